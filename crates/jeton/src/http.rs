//! HTTP: the public listener. A path is a mount; the mount says which dialect is spoken there.

pub mod route;
