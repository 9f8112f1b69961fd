//! A look at a SQLite file, through a connection that cannot write.

use std::fmt;
use std::path::Path;

use jeton_engine::client::Client;
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::trouble::Trouble;
use super::{Location, clients, connect, keys, schema, viewer};
use crate::error::OpenError;
use crate::look::Schema;

/// A SQLite database that is only looked at.
pub struct SqliteLook {
    connection: Mutex<Connection>,
    schema: Schema,
}

impl fmt::Debug for SqliteLook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqliteLook").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl SqliteLook {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let location = Location::File(path.to_owned());
        let explain = |error: rusqlite::Error| connect::explain(&location, &error);
        let connection = viewer::open(path).map_err(explain)?;
        let found = schema::look(&connection, &location, schema::MIGRATIONS)?.applied;
        let known = schema::MIGRATIONS.last().map_or(0, |migration| migration.number);
        Ok(Self { connection: Mutex::new(connection), schema: Schema { found, known } })
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }

    /// What is wrong with the pages and rows of the database, the first three things; nothing where
    /// all is well. Indexes are not compared with their tables, which takes longest.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn damage(&self) -> Result<Option<String>, StoreError> {
        let found = self.read(|connection| {
            let mut select = connection.prepare("PRAGMA quick_check(3)")?;
            let found = select.query_map([], |row| row.get::<_, String>(0))?;
            Ok(found.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        Ok((found != ["ok"]).then(|| found.join("; ")))
    }

    pub(crate) fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|connection| keys::all(connection, realm))
    }

    pub(crate) fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError> {
        self.read(|connection| clients::page(connection, realm, after, count))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        read(&self.connection.lock()).map_err(StoreError::from)
    }
}
