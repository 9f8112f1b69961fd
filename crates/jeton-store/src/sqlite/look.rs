//! A look at a SQLite file, through a connection that cannot write.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_engine::client::Client;
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::trouble::Trouble;
use super::{Location, clients, connect, keys, schema};
use crate::error::OpenError;
use crate::look::Schema;
use crate::migrate::pending;

/// How long somebody else may keep the file locked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What would end a file's name in a URI.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

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
        let connection = reading(path).map_err(explain)?;
        let applied = schema::applied(&connection, &location)?;
        let known = schema::MIGRATIONS.last().map_or(0, |migration| migration.number);
        pending(&location.to_string(), &applied, schema::MIGRATIONS)?;
        let found = applied.last().map_or(0, |applied| applied.number);
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

/// The files beside a database: its log, and the log's index.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Opens the file for reading. With a log beside it, as a server that runs or was killed has it, the
/// log is read too; without one the file is all there is, and it is read as something that nobody
/// changes, because SQLite would make the log anew otherwise.
fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = beside(path, "-wal").exists();
    let connection = match path.to_str().filter(|_| !has_log) {
        Some(text) => {
            flags |= OpenFlags::SQLITE_OPEN_URI;
            let name = utf8_percent_encode(text, NOT_IN_A_PATH);
            Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?
        }
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}
