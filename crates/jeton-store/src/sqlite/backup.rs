//! Copies a database in use into a new file, and checks that a database is sound.
//!
//! Pages are copied by SQLite's online backup, within one read transaction: one snapshot, however
//! much is written meanwhile, at the price of a log that cannot start anew until the copy is done.
//! `VACUUM INTO` would write every row anew: it costs more, and what it leaves is smaller but no
//! longer the same pages. Neither sees all damage while it copies, and so the copy is examined.

use std::fs::File;
use std::io;
use std::path::Path;

use jeton_engine::master_key::MasterKey;
use jeton_engine::store::StoreError;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::examine::examine;
use super::trouble::Trouble;
use super::{Location, connect, frames, viewer};
use crate::error::OpenError;
use crate::examined::{CopyError, Examined, Existing, Progress, Tell};

/// Copies the database behind `from` into the new file `to`. The file has its name only once the
/// copy is whole, checked and on the disk.
pub(super) fn copy(from: &Connection, to: &Path) -> Result<(), Trouble> {
    if to.exists() {
        return Err(StoreError::Exists.into());
    }
    let file = |error: io::Error| {
        StoreError::Failed(format!("cannot write the copy {}: {error}", to.display()))
    };
    let unfinished = frames::beside(to, ".unfinished");
    begin(&unfinished).map_err(file)?;
    let filled = fill(from, &unfinished, &|_| {}).and_then(|copy| check(&copy));
    if let Err(trouble) = filled {
        // The copy is of no use, and the trouble is what matters.
        let _ = std::fs::remove_file(&unfinished);
        return Err(trouble);
    }
    finish(&unfinished, to).map_err(file)?;
    Ok(())
}

/// Copies the database in the file `from` into the file `to`, while servers use it, and examines
/// the copy: only one without a problem gets its name.
///
/// # Errors
/// Why there is no copy; whatever was there before is still there.
pub fn back_up(
    from: &Path,
    (to, existing): (&Path, Existing),
    master_key: Option<&MasterKey>,
    tell: Tell<'_>,
) -> Result<Examined, CopyError> {
    let from = &*frames::real(from);
    let place = Location::File(from.to_owned());
    connect::refuse_half_restored(from)?;
    connect::refuse_broken_log(&place)?;
    refuse_target(from, to, existing)?;
    let source = viewer::open(from).map_err(|error| connect::explain(&place, &error))?;
    let unfinished = frames::beside(to, ".unfinished");
    let examined = draft(&source, &unfinished, tell)
        .and_then(|copy| drop_and(copy, || Ok(examine(&unfinished, master_key, tell)?)))
        .and_then(refuse_unsound);
    match examined {
        Ok(examined) => {
            finish(&unfinished, to).map_err(failed(&format!("writing {}", to.display())))?;
            Ok(Examined { place: to.display().to_string(), ..examined })
        }
        Err(error) => {
            // The copy is of no use, and the error is what matters.
            let _ = std::fs::remove_file(&unfinished);
            Err(error)
        }
    }
}

/// Refuses to write a backup over what must not be lost.
fn refuse_target(from: &Path, to: &Path, existing: Existing) -> Result<(), CopyError> {
    if to.exists() && existing == Existing::Stays {
        return Err(CopyError::Exists(to.display().to_string()));
    }
    let is_same = match (from.canonicalize(), to.canonicalize()) {
        (Ok(from), Ok(to)) => from == to,
        _ => false,
    };
    if is_same || frames::path_of(to).exists() {
        return Err(CopyError::Database(to.display().to_string()));
    }
    Ok(())
}

/// Refuses a copy in which a problem was found.
pub(super) fn refuse_unsound(examined: Examined) -> Result<Examined, CopyError> {
    if examined.is_sound() { Ok(examined) } else { Err(CopyError::Unsound(Box::new(examined))) }
}

/// Lets go of a connection before something else is done.
pub(super) fn drop_and<T>(connection: Connection, act: impl FnOnce() -> T) -> T {
    drop(connection);
    act()
}

/// Copies a database into a file that has not got its name yet.
pub(super) fn draft(
    source: &Connection,
    unfinished: &Path,
    tell: Tell<'_>,
) -> Result<Connection, CopyError> {
    begin(unfinished).map_err(failed(&format!("making {}", unfinished.display())))?;
    fill(source, unfinished, tell).map_err(|trouble| match trouble {
        Trouble::Sqlite(error) => {
            let location = Location::File(unfinished.to_owned());
            match connect::explain(&location, &error) {
                OpenError::Unusable { place, reason } => {
                    CopyError::Failed { act: format!("copying to {place}"), reason }
                }
                other => other.into(),
            }
        }
        Trouble::Store(error) => {
            CopyError::Failed { act: "copying".to_owned(), reason: error.to_string() }
        }
    })
}

/// What the system refused.
pub(super) fn failed(act: &str) -> impl Fn(io::Error) -> CopyError {
    move |error| CopyError::Failed { act: act.to_owned(), reason: error.to_string() }
}

/// Makes an empty file; what an attempt that was cut off left there goes.
fn begin(unfinished: &Path) -> io::Result<()> {
    match std::fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    connect::create_private(unfinished)
}

/// Gives a finished copy its name, for good.
pub(super) fn finish(unfinished: &Path, to: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    std::fs::rename(unfinished, to)?;
    sync_folder(to)
}

/// Sees to it that names given in a file's folder survive a loss of power.
pub(super) fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// How many pages are copied between two reports: 16 MiB.
const STEP: i32 = 4_000;

fn fill(from: &Connection, to: &Path, tell: Tell<'_>) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(to, flags)?;
    // While the snapshot stands, nothing makes the copy begin anew.
    let snapshot = from.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    {
        let backup = Backup::new(&snapshot, &mut copy)?;
        loop {
            let step = backup.step(STEP)?;
            let pages = backup.progress();
            let total = u64::try_from(pages.pagecount).unwrap_or(0);
            let left = u64::try_from(pages.remaining).unwrap_or(0);
            tell(Progress { step: "copying pages", done: total.saturating_sub(left), total });
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(StoreError::Unreachable("the database is locked".into()).into()),
            }
        }
    }
    // Without a log the copy is one file.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(copy)
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
