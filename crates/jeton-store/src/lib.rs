//! Keep: what the engine needs kept, in SQLite.
//!
//! [`SqliteStore`] is the embedded database behind the engine's [`Store`](jeton_engine::store::Store).
//! One thread writes, and what many callers wait for shares one commit; readers never wait for it.

mod error;
mod migrate;
mod sqlite;

pub use error::OpenError;
pub use sqlite::{Activity, Location, SqliteSettings, SqliteStore};
