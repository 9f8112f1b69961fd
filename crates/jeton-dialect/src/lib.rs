//! Speak: the wire format of a token endpoint, as data.
//!
//! A dialect is a file. [`load`] checks it, finds every problem at once and compiles it;
//! [`Dialect::read`] turns a request into the engine's [`TokenRequest`](jeton_engine::request::TokenRequest),
//! [`Dialect::write`] turns the engine's [`Decision`](jeton_engine::token::Decision) into an answer.
//! A dialect can rename, reorder and rephrase. It can never grant.

mod check;
mod compose;
mod dialect;
mod dialects;
pub mod exchange;
mod inspect;
mod limit_fields;
mod problem;
mod question;
mod raw;
mod read;
mod said;
mod shape;
mod template;
mod value;
mod write;

/// The dialect language, key by key, for people: `dialects/README.md`.
pub const GUIDE: &str = include_str!("../../../dialects/README.md");

pub use check::load;
pub use compose::{CannotAsk, Wanted};
pub use dialect::Dialect;
pub use dialects::{Dialects, Folder, Origin, load_folder};
pub use inspect::{inspect_file, inspect_folder};
pub use problem::{Problem, Problems};
pub use question::Question;
pub use raw::json_schema;
pub use read::{Asked, Incoming};
pub use write::Answer;
