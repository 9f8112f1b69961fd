//! A look at a database that changes nothing in it: nothing is made, migrated, locked or written
//! down. For those who want to know how an installation is, whether a server runs on it or not.

use std::path::Path;

use jeton_engine::client::Client;
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;

use crate::error::OpenError;
use crate::postgres::{PostgresAddress, PostgresLook};
use crate::sqlite::SqliteLook;

/// Which schema a database has, and which this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration that was applied; 0: the database is empty.
    pub found: u32,
    /// The newest that this program knows.
    pub known: u32,
}

impl Schema {
    /// Whether nothing need be migrated before the tables can be read.
    pub fn is_current(self) -> bool {
        self.found >= self.known
    }
}

/// A database that is only looked at.
#[derive(Debug)]
pub enum Look {
    /// A SQLite file.
    Sqlite(SqliteLook),
    /// A PostgreSQL database.
    Postgres(PostgresLook),
}

impl Look {
    /// Looks at a SQLite file, which must be there.
    ///
    /// # Errors
    /// Why it is no database that this program can work with.
    pub fn at_file(path: &Path) -> Result<Self, OpenError> {
        SqliteLook::open(path).map(Self::Sqlite)
    }

    /// Looks at a PostgreSQL database.
    ///
    /// # Errors
    /// Why it is none that this program can work with.
    pub async fn at_postgres(address: &PostgresAddress) -> Result<Self, OpenError> {
        PostgresLook::open(address).await.map(Self::Postgres)
    }

    /// Its schema.
    pub fn schema(&self) -> Schema {
        match self {
            Self::Sqlite(look) => look.schema(),
            Self::Postgres(look) => look.schema(),
        }
    }

    /// A realm's keys, in the order they were made. The schema must be current.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError> {
        match self {
            Self::Sqlite(look) => look.keys(realm),
            Self::Postgres(look) => look.keys(realm).await,
        }
    }

    /// Up to `count` clients of a realm in the byte order of their identifiers, after `after`. The
    /// schema must be current.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError> {
        match self {
            Self::Sqlite(look) => look.clients(realm, after, count),
            Self::Postgres(look) => look.clients(realm, after, count).await,
        }
    }
}
