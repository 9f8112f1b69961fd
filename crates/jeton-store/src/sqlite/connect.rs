//! Makes the database's file and opens connections to it, each with the settings it must have.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};

use super::trouble::Trouble;
use super::{Location, SqliteSettings, frames, restore};
use crate::error::OpenError;

/// How many different statements a connection keeps prepared: all that we have.
const STATEMENTS: usize = 64;

/// Makes the file, readable by its owner alone, unless it is there. A file that is there is not
/// even opened: closing it again would end the locks that this process may hold on it.
pub(super) fn create(location: &Location) -> Result<(), OpenError> {
    let Location::File(path) = location else { return Ok(()) };
    refuse_half_restored(path)?;
    match create_private(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(OpenError::Unusable { place: location.to_string(), reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

/// What tells the file that has the database's name from any other that had it or will have it.
pub(super) fn file_number(location: &Location) -> Option<u64> {
    let Location::File(path) = location else { return None };
    #[cfg(unix)]
    let number = |found: std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(&found);
    #[cfg(not(unix))]
    let number = |_| 0;
    path.metadata().ok().map(number)
}

/// Refuses a database whose restore was cut off at the moment when neither the old file nor the new
/// one is whole.
pub(super) fn refuse_half_restored(path: &Path) -> Result<(), OpenError> {
    if restore::decided(&frames::real(path)).exists() {
        return Err(OpenError::HalfRestored { place: path.display().to_string() });
    }
    Ok(())
}

/// Refuses a database whose log lost what was acknowledged: SQLite would pass over it in silence.
pub(super) fn refuse_broken_log(location: &Location) -> Result<(), OpenError> {
    let Location::File(path) = location else { return Ok(()) };
    let place = location.to_string();
    match frames::look(&frames::real(path)) {
        Ok(log) => match log.damage {
            None => Ok(()),
            Some(damage) => Err(OpenError::Damaged { place, reason: format!("its log: {damage}") }),
        },
        Err(error) => Err(OpenError::Unusable { place, reason: format!("its log: {error}") }),
    }
}

/// Makes an empty file that is readable by its owner alone.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Opens the connection that writes. Foreign keys are off until the schema is prepared.
pub(super) fn writer(
    location: &Location,
    settings: &SqliteSettings,
) -> Result<Connection, OpenError> {
    writing(location, settings).map_err(|error| explain(location, &error))
}

fn writing(location: &Location, settings: &SqliteSettings) -> rusqlite::Result<Connection> {
    let connection = match location {
        Location::Memory => Connection::open_in_memory()?,
        Location::File(path) => Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
    };
    // SQLite opens what it may only read all the same, and would say so at each write, for ever.
    if connection.is_readonly(MAIN_DB)? {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY),
            Some("the file can only be read".to_owned()),
        ));
    }
    connection.busy_timeout(settings.patience)?;
    use_log(&connection, settings.patience)?;
    // FULL: a commit is on the disk before anybody is told of it. Checkpoints are not made by
    // commits but by a thread of their own. In memory is what most transactions change. What a larger one changes
    // goes to the log before its end, which costs no more: rows are added at the end, and never touched again.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA foreign_keys = OFF; \
         PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -256;",
    )?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Changes a new database to write-ahead logging. Of several processes that do so at the same
/// moment, SQLite turns all but one away without waiting.
fn use_log(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && waited < patience =>
            {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            other => return other,
        }
    }
}

/// Opens a connection that reads, to a file.
pub(super) fn reader(path: &Path, settings: &SqliteSettings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(settings.patience)?;
    // Little of its own: what is read twice is in the system's cache.
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -128;",
    )?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Has statements planned once, whatever is bound to them. Otherwise SQLite plans each with a `LIMIT ?`
/// anew whenever it is asked, which costs more than many a read.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Opens the connection that makes checkpoints; where it would have to wait, it comes back later.
pub(super) fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    Ok(connection)
}

/// What an error of SQLite means to somebody who opens a database.
pub(super) fn explain(location: &Location, error: &rusqlite::Error) -> OpenError {
    let place = location.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { place },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { place, reason: error.to_string() },
        Some(ErrorCode::DatabaseBusy) => OpenError::Unusable {
            place,
            reason: "another process has kept it locked for too long".to_owned(),
        },
        _ => OpenError::Unusable { place, reason: error.to_string() },
    }
}

/// The same for trouble of any kind.
pub(super) fn explain_trouble(location: &Location, trouble: Trouble) -> OpenError {
    match trouble {
        Trouble::Sqlite(error) => explain(location, &error),
        Trouble::Store(error) => {
            OpenError::Unusable { place: location.to_string(), reason: error.to_string() }
        }
    }
}
