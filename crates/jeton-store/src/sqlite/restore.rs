//! Puts a backup in the place of a database, whole or not at all, and keeps the old one.
//!
//! A database is its file and its log, and no call of the system replaces both at once. So the new
//! file is made beside the old one, examined and flushed; the old file and its log get a second name;
//! and then the new file is called `…restoring`. From that moment on the restore counts: while there
//! is a file of this name nobody opens the database, and whoever restores again finishes this one
//! first. Cut off at any earlier moment, everything is as it was.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jeton_engine::master_key::MasterKey;
use rusqlite::{Connection, params};
use rustix::fs::{FlockOperation, fcntl_lock};

use super::backup::{draft, failed, refuse_unsound, sync_folder};
use super::examine::examine;
use super::{Location, changes, connect, frames, viewer};
use crate::examined::{CopyError, Examined, Existing, Progress, Tell};

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What was found in the backup.
    pub examined: Examined,
    /// Where the database is now that was there before.
    pub kept: Option<PathBuf>,
    /// Whether an earlier restore, which was cut off, was finished first.
    pub finished_another: bool,
}

/// The name of a new database that counts, though it is not in its place yet.
pub(super) fn decided(database: &Path) -> PathBuf {
    frames::beside(database, ".restoring")
}

/// Puts the backup `from` in the place of the database `to`, once an examination has found nothing
/// wrong with it.
///
/// # Errors
/// Why nothing was restored; whatever was there before is still there.
pub fn restore(
    from: &Path,
    (to, existing): (&Path, Existing),
    master_key: Option<&MasterKey>,
    tell: Tell<'_>,
) -> Result<Restored, CopyError> {
    let (from, to) = (&*frames::real(from), &*frames::real(to));
    let source_place = Location::File(from.to_owned());
    if from == to {
        return Err(CopyError::Database(from.display().to_string()));
    }
    connect::refuse_broken_log(&source_place)?;
    let source = viewer::open(from).map_err(|error| connect::explain(&source_place, &error))?;
    let finished_another = finish_another(to, tell)?;
    if to.exists() && existing == Existing::Stays {
        return Err(CopyError::Exists(to.display().to_string()));
    }
    // Before the lock is taken: closing the file would end it.
    let last = last_revision(to);
    let taken = Taken::take(to)?;
    let unfinished = frames::beside(to, ".restore-unfinished");
    let examined = draft(&source, &unfinished, tell).and_then(|copy| {
        go_beyond(&copy, last).map_err(|error| CopyError::Failed {
            act: format!("writing {}", unfinished.display()),
            reason: error.to_string(),
        })?;
        drop(copy);
        refuse_unsound(examine(&unfinished, master_key, tell)?)
    });
    let examined = match examined {
        Ok(examined) => examined,
        Err(error) => {
            // The copy is of no use, and the error is what matters.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
    };
    let kept = keep(to, taken.as_ref()).map_err(failed("keeping the database that is there"))?;
    told(tell, "the old database has a second name", 1);
    decide(&unfinished, to).map_err(failed("deciding"))?;
    told(tell, "the restore counts", 2);
    put(to, tell).map_err(failed("putting the database in its place"))?;
    let examined = Examined { place: to.display().to_string(), ..examined };
    Ok(Restored { examined, kept, finished_another })
}

fn told(tell: Tell<'_>, step: &'static str, done: u64) {
    tell(Progress { step, done, total: 4 });
}

/// Finishes a restore that was cut off after it had begun to count.
fn finish_another(to: &Path, tell: Tell<'_>) -> Result<bool, CopyError> {
    if !decided(to).exists() {
        return Ok(false);
    }
    let _taken = Taken::take(to)?;
    put(to, tell).map_err(failed("finishing a restore that was cut off"))?;
    Ok(true)
}

/// From here on the restore counts.
fn decide(unfinished: &Path, to: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, decided(to))?;
    sync_folder(to)
}

/// Puts what was decided in its place. The log of the old database goes before: SQLite would take
/// it for the new one's.
fn put(to: &Path, tell: Tell<'_>) -> io::Result<()> {
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(frames::beside(to, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync_folder(to)?;
    told(tell, "the old log is out of the way", 3);
    fs::rename(decided(to), to)?;
    sync_folder(to)?;
    told(tell, "the database is in its place", 4);
    Ok(())
}

/// A database that is there and that nobody uses until this is dropped.
struct Taken(File);

impl Taken {
    /// Takes it by the locks that SQLite uses, over the whole file: so it does not matter whether
    /// what is in it can still be read.
    fn take(path: &Path) -> Result<Option<Self>, CopyError> {
        let opened = File::options().read(true).write(true).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed(&format!("opening {}", path.display())))?,
        };
        let in_use = || CopyError::InUse(path.display().to_string());
        fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| in_use())?;
        // Somebody else may have put another file there before the lock was ours.
        let number = |found: io::Result<fs::Metadata>| found.map(|found| found.ino());
        match (number(file.metadata()), number(path.metadata())) {
            (Ok(ours), Ok(there)) if ours == there => Ok(Some(Self(file))),
            _ => Err(in_use()),
        }
    }
}

/// Gives the old database and its log a second name. Says which.
fn keep(path: &Path, taken: Option<&Taken>) -> io::Result<Option<PathBuf>> {
    let Some(Taken(file)) = taken else { return Ok(None) };
    let name = |number: u32| frames::beside(path, &format!(".replaced-{number}"));
    let is_free = |name: &PathBuf| !name.exists() && !frames::path_of(name).exists();
    let kept = (1..u32::MAX).map(name).find(is_free);
    let kept = kept.ok_or_else(|| io::Error::other("there are too many old databases"))?;
    let old_log = frames::path_of(path);
    if old_log.exists() {
        link(&old_log, &frames::path_of(&kept), &mut File::open(&old_log)?)?;
    }
    // Through the file that is open: opened again and closed, it would no longer be locked.
    link(path, &kept, &mut &*file)?;
    sync_folder(path)?;
    Ok(Some(kept))
}

/// Gives a file a second name, or copies it where a file has one name only.
fn link(from: &Path, to: &Path, open: &mut impl io::Read) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    connect::create_private(to)?;
    let mut copy = File::options().write(true).open(to)?;
    io::copy(open, &mut copy)?;
    copy.sync_all()
}

/// The last revision that the database which is there has given, as far as that can be read.
fn last_revision(path: &Path) -> u64 {
    let open = || viewer::open(path).ok().filter(|_| path.exists());
    open().and_then(|database| changes::newest(&database).ok()).map_or(0, |newest| newest.0)
}

/// Has the revisions go on after the last that anybody can remember, with a gap: whoever asks what
/// changed since then hears that everything did.
fn go_beyond(copy: &Connection, last: u64) -> rusqlite::Result<()> {
    let own: Option<i64> =
        copy.query_row("SELECT max(seq) FROM sqlite_sequence WHERE name = 'change'", [], |row| {
            row.get(0)
        })?;
    let last = i64::try_from(last).unwrap_or(0).max(own.unwrap_or(0));
    let beyond = last.saturating_add(GAP);
    if own.is_some() {
        let sql = "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'change'";
        copy.execute(sql, params![beyond])?;
    } else {
        let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ('change', ?1)";
        copy.execute(sql, params![beyond])?;
    }
    Ok(())
}

/// More than anybody follows change by change.
const GAP: i64 = 100_000;
