//! Copies a database in use into a new file, and checks that a database is sound.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use jeton_engine::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::connect;
use super::trouble::Trouble;

/// Copies the database behind `from` into the new file `to`. The file has its name only once the
/// copy is whole, checked and on the disk.
pub(super) fn copy(from: &Connection, to: &Path) -> Result<(), Trouble> {
    if to.exists() {
        return Err(StoreError::Exists.into());
    }
    let unfinished = {
        let mut name = to.as_os_str().to_owned();
        name.push(".unfinished");
        PathBuf::from(name)
    };
    let file = |error: io::Error| {
        StoreError::Failed(format!("cannot write the copy {}: {error}", to.display()))
    };
    if let Err(error) = std::fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(file(error).into());
    }
    connect::create_private(&unfinished).map_err(file)?;
    if let Err(trouble) = fill(from, &unfinished) {
        // The copy is of no use, and the trouble is what matters.
        let _ = std::fs::remove_file(&unfinished);
        return Err(trouble);
    }
    File::open(&unfinished).and_then(|copy| copy.sync_all()).map_err(file)?;
    std::fs::rename(&unfinished, to).map_err(file)?;
    if let Some(directory) = to.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(file)?;
    }
    Ok(())
}

fn fill(from: &Connection, to: &Path) -> Result<(), Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags)?;
    // All pages in one step: one snapshot, however much is written meanwhile.
    match Backup::new(from, &mut copy)?.step(-1)? {
        StepResult::Done => {}
        _ => return Err(StoreError::Unreachable("the database is locked".to_owned()).into()),
    }
    // Without a log the copy is one file.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    check(&copy)
}

/// Reads the whole database and checks that it is sound.
pub(super) fn check(connection: &Connection) -> Result<(), Trouble> {
    let mut select = connection.prepare("PRAGMA integrity_check(3)")?;
    let found = select.query_map([], |row| row.get::<_, String>(0))?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    if found != ["ok"] {
        let found = found.join("; ");
        return Err(StoreError::Failed(format!("the database is damaged: {found}")).into());
    }
    if connection.prepare("PRAGMA foreign_key_check")?.exists([])? {
        let text = "the database is damaged: rows refer to rows that are not there";
        return Err(StoreError::Failed(text.to_owned()).into());
    }
    Ok(())
}
