//! Opens the store that the configuration names.

use std::sync::Arc;

use jeton_engine::clock::Random;
use jeton_engine::store::Store;
use jeton_store::{
    Activity, Location, OpenError, PostgresSettings, PostgresStore, SqliteSettings, SqliteStore,
};

use crate::config::{Database, Storage};

/// An open store. Everything but its end is the engine's.
#[derive(Clone, Debug)]
pub enum Opened {
    /// One machine's own.
    Sqlite(Arc<SqliteStore>),
    /// Shared by several servers.
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    /// What the engine needs of it.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<_>,
            Self::Postgres(store) => Arc::clone(store) as Arc<_>,
        }
    }

    /// Returns once those who write have answered, well or ill; false when they are gone.
    pub(crate) async fn answers(&self) -> bool {
        match self {
            Self::Sqlite(store) => store.answers().await,
            Self::Postgres(store) => store.answers().await,
        }
    }

    /// What it is called.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// What it has done and has to do.
    pub(crate) fn activity(&self) -> Activity {
        match self {
            Self::Sqlite(store) => store.activity(),
            Self::Postgres(store) => store.activity(),
        }
    }

    /// Writes what waits and lets go of the database.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// The store; its tables are made when they are not there yet. When it was away, `random` keeps
/// servers from coming back in step.
///
/// # Errors
/// Why the database cannot be used.
pub async fn open(storage: &Storage, random: &Random) -> Result<Opened, OpenError> {
    let queue_max = storage.queue_max;
    let sqlite = |location: &Location| {
        let settings = SqliteSettings { queue_max, ..SqliteSettings::default() };
        SqliteStore::open(location, settings).map(Opened::Sqlite)
    };
    match &storage.database {
        Database::File(path) => sqlite(&Location::File(path.clone())),
        Database::Memory => sqlite(&Location::Memory),
        Database::Postgres(address) => {
            let random = random.clone();
            let settings = PostgresSettings { queue_max, random, ..PostgresSettings::default() };
            PostgresStore::open(address, settings).await.map(Opened::Postgres)
        }
    }
}
