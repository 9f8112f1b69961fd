//! Keep: what the engine needs kept, in SQLite or PostgreSQL.
//!
//! [`SqliteStore`] is the embedded database behind the engine's [`Store`](jeton_engine::store::Store),
//! [`PostgresStore`] the one for several servers. Both let what many callers wait for share one
//! commit; readers never wait for it.

mod activity;
mod admitted;
mod error;
mod examined;
mod kept;
mod look;
mod migrate;
mod postgres;
mod sqlite;
mod tables;

pub use activity::{Activity, PoolActivity, QueueActivity};
pub use error::OpenError;
pub use examined::{CopyError, Examined, Existing, Problem, Progress, Tell};
pub use look::{Look, Schema};
pub use postgres::{
    AddressError, PostgresAddress, PostgresFacts, PostgresLook, PostgresSettings, PostgresStore,
    TransferError, TransferProgress, TransferStage, examine as examine_postgres, transfer,
};
pub use sqlite::{
    Location, Restored, SqliteLook, SqliteSettings, SqliteStore, back_up, examine, restore,
};
