//! The log that an earlier process left: brings it to the disk before anything is built on it.
//!
//! When a flush fails, the system may take the pages that it could not write for written. The process
//! that was told refuses what it wrote and writes over it. But when it ends first, the next one finds
//! those pages in the system's memory, where they look like any commit, and a flush that succeeds no
//! longer writes them: every commit that is acknowledged after them would be lost with the power. So
//! whoever comes first writes the whole log once more and flushes that.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rusqlite::Connection;

use super::trouble::Trouble;
use super::{Location, connect};
use crate::error::OpenError;

/// How much is written at a time. More would make the allocator keep larger pieces for later, too.
const STEP: usize = 64 * 1024;

/// Tells other processes, as long as it lives, that the log has been brought to the disk. SQLite itself
/// locks the database and the log's index, never the log, so this is not in its way.
pub(super) struct Settled {
    _log: Option<File>,
}

impl Settled {
    /// Brings the log to the disk, unless a process that has done so is still there. `writer` has read
    /// the database, and stays open meanwhile: so the log is there and nobody deletes it.
    pub(super) fn begin(location: &Location, writer: &Connection) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::Unusable {
            place: location.to_string(),
            reason: format!("its log (-wal) cannot be written: {error}"),
        };
        let Some(path) = log_of(location, writer) else { return Ok(Self { _log: None }) };
        let log = match File::options().read(true).write(true).open(path) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { _log: None });
            }
            Err(error) => return Err(unusable(error)),
        };
        match log.try_lock() {
            Ok(()) => {}
            // Whoever has it to itself is bringing it to the disk: then this waits for that.
            Err(TryLockError::WouldBlock) => {
                log.lock_shared().map_err(unusable)?;
                return Ok(Self { _log: Some(log) });
            }
            // A file system without such locks: better once too often.
            Err(TryLockError::Error(_)) => {}
        }
        let sql = |error| connect::explain_trouble(location, Trouble::Sqlite(error));
        // Nobody else appends to the log or empties it until this has ended.
        writer.execute_batch("BEGIN IMMEDIATE").map_err(sql)?;
        let written = write_again(&log);
        writer.execute_batch("ROLLBACK").map_err(sql)?;
        written.map_err(unusable)?;
        // What was locked for one is now locked for many, without a moment between.
        let _ = log.lock_shared();
        Ok(Self { _log: Some(log) })
    }
}

/// Where the log of a database in a file is. SQLite follows links, and so does this.
fn log_of(location: &Location, writer: &Connection) -> Option<PathBuf> {
    let Location::File(_) = location else { return None };
    let mut path = OsString::from(writer.path().filter(|path| !path.is_empty())?);
    path.push("-wal");
    Some(path.into())
}

fn write_again(log: &File) -> io::Result<()> {
    let mut bytes = vec![0; STEP];
    let mut at = 0;
    loop {
        let count = log.read_at(&mut bytes, at)?;
        let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else { break };
        log.write_all_at(read, at)?;
        at += count as u64;
    }
    if at > 0 { log.sync_data() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::*;
    use crate::sqlite::SqliteSettings;

    /// A database whose process ended without closing it, with three rows in its log.
    fn left_behind(directory: &TempDir) -> PathBuf {
        let living = directory.path().join("living.db");
        let location = Location::File(living.clone());
        connect::create(&location).unwrap();
        let writer = connect::writer(&location, &SqliteSettings::default()).unwrap();
        writer
            .execute_batch("CREATE TABLE load (n INTEGER); INSERT INTO load VALUES (1), (2), (3)")
            .unwrap();
        let path = directory.path().join("jeton.db");
        fs::copy(&living, &path).unwrap();
        fs::copy(living.with_extension("db-wal"), path.with_extension("db-wal")).unwrap();
        path
    }

    fn writer(path: &Path) -> (Location, Connection) {
        let location = Location::File(path.to_owned());
        let writer = connect::writer(&location, &SqliteSettings::default()).unwrap();
        (location, writer)
    }

    fn make_old(log: &Path) -> SystemTime {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::options().write(true).open(log).unwrap().set_modified(long_ago).unwrap();
        long_ago
    }

    #[test]
    fn who_comes_first_writes_the_log_again_and_who_comes_second_does_not() {
        let directory = TempDir::new().unwrap();
        let path = left_behind(&directory);
        let log = path.with_extension("db-wal");
        let before = fs::read(&log).unwrap();
        let long_ago = make_old(&log);
        let (location, first) = writer(&path);
        let settled = Settled::begin(&location, &first).unwrap();
        assert_ne!(log.metadata().unwrap().modified().unwrap(), long_ago);
        assert_eq!(fs::read(&log).unwrap(), before);
        assert_eq!(first.query_row("SELECT sum(n) FROM load", [], |row| row.get(0)), Ok(6));

        make_old(&log);
        let (location, second) = writer(&path);
        let beside = Settled::begin(&location, &second).unwrap();
        assert_eq!(log.metadata().unwrap().modified().unwrap(), long_ago);

        // Neither keeps the other from writing, nor from leaving.
        first.execute_batch("INSERT INTO load VALUES (4)").unwrap();
        drop((first, settled));
        second.execute_batch("INSERT INTO load VALUES (5)").unwrap();
        drop((second, beside));
        assert!(!log.exists());
    }

    #[test]
    fn a_new_database_and_one_in_memory_have_nothing_to_bring() {
        let directory = TempDir::new().unwrap();
        let location = Location::File(directory.path().join("jeton.db"));
        connect::create(&location).unwrap();
        for location in [location, Location::Memory] {
            let writer = connect::writer(&location, &SqliteSettings::default()).unwrap();
            Settled::begin(&location, &writer).unwrap();
        }
    }
}
