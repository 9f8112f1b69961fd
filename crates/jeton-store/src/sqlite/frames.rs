//! Looks whether a database's log is as it was written.
//!
//! SQLite reads the log as far as the checksums of its frames go, and takes whatever follows for
//! what a crash left of a commit that nobody was told of. When a commit follows that was made later,
//! that cannot be: then what is broken was acknowledged once, and must not be passed over in silence.
//!
//! Commits whose flush failed are written over by the next, and may leave their ends behind. Each such end
//! is of one commit, and goes on from nothing that stands before it: the checksums tell them from commits
//! that were made one after the other.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// What the log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// How many frames, each a page, count.
    pub(super) frames: u64,
    /// What is wrong with it.
    pub(super) damage: Option<String>,
}

/// The file itself, where its name is a link: SQLite puts what belongs to a database beside that.
pub(super) fn real(database: &Path) -> PathBuf {
    database.canonicalize().unwrap_or_else(|_| database.to_owned())
}

/// The file with a database's log.
pub(super) fn path_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// The file beside a database whose name goes on like this.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How often a log is looked at that seems to be broken: somebody may be writing it.
const LOOKS: usize = 3;

/// Looks at a database's log; there is none when nobody has written since it was closed.
///
/// # Errors
/// The file cannot be read.
pub(super) fn look(database: &Path) -> io::Result<Log> {
    let mut before = None;
    for _ in 0..LOOKS {
        let seen = match File::open(path_of(database)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::default()),
            opened => read(BufReader::with_capacity(1 << 20, opened?))?,
        };
        if seen.damage.is_none() || before.as_ref() == Some(&seen) {
            // A database that lost all its pages cannot have a log: SQLite would delete it.
            return if seen.frames > 0 && database.metadata()?.len() == 0 {
                let damage = Some("the database is empty, but its log is not".to_owned());
                Ok(Log { damage, ..seen })
            } else {
                Ok(seen)
            };
        }
        before = Some(seen);
    }
    // It was different each time, and so it is being written.
    Ok(Log { damage: None, ..before.unwrap_or_default() })
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit tells in which order the checksums take bytes.
const MAGIC: u32 = 0x377f_0682;

fn read(mut file: impl Read) -> io::Result<Log> {
    let mut header = [0; HEADER];
    if !filled(&mut file, &mut header)? {
        return Ok(Log::default());
    }
    let magic = word(&header, 0);
    let mut sum = Sum { is_big_endian: magic & 1 == 1, first: 0, second: 0 };
    sum.add(header.get(..24).unwrap_or_default());
    let page = usize::try_from(word(&header, 8)).unwrap_or(0);
    let is_header_whole = magic & !1 == MAGIC
        && (sum.first, sum.second) == (word(&header, 24), word(&header, 28))
        && (512..=65_536).contains(&page)
        && page.is_power_of_two();
    // Of a header that says nothing, the size of pages is guessed: ours.
    let page = if is_header_whole { page } else { 4096 };
    let mut salts = is_header_whole.then(|| (word(&header, 16), word(&header, 20)));
    let mut log = Log::default();
    let mut broken = (!is_header_whole).then(|| "its header".to_owned());
    if broken.is_some() {
        // It may say the wrong order. SQLite takes the machine's own.
        sum.is_big_endian = cfg!(target_endian = "big");
    }
    let mut after = After { needed: 2, commits: 0, sum: (sum.first, sum.second) };
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut number = 0_u64;
    while filled(&mut file, &mut frame)? {
        number += 1;
        let own = (word(&frame, 8), word(&frame, 12));
        let is_commit = word(&frame, 4) != 0;
        let is_of_now = *salts.get_or_insert(own) == own;
        if broken.is_some() {
            (sum.first, sum.second) = after.sum;
        }
        sum.add(frame.get(..8).unwrap_or_default());
        sum.add(frame.get(FRAME_HEADER..).unwrap_or_default());
        let stored = (word(&frame, 16), word(&frame, 20));
        let follows = is_of_now && (sum.first, sum.second) == stored;
        if let Some(broken) = &broken {
            if !follows {
                // Another row begins here, perhaps with what is left of a commit.
                after = After { needed: 2, commits: 0, sum: stored };
            }
            after.sum = stored;
            after.commits += u64::from(is_of_now && is_commit);
            if after.commits >= after.needed {
                log.damage = Some(format!(
                    "{broken} is not what was written, and {} commits come after it",
                    after.commits
                ));
            }
        } else if follows {
            log.frames = number;
        } else {
            broken = Some(format!("its page {number}"));
            // Broken in its last page, a commit is over; otherwise its own end is still to come.
            let needed = if is_of_now && is_commit { 1 } else { 2 };
            after = After { needed, commits: 0, sum: stored };
        }
    }
    Ok(log)
}

/// A row of frames that go on from each other, after one that is broken.
struct After {
    /// So many commits in it were not all made before the broken one.
    needed: u64,
    commits: u64,
    /// The checksum that its next frame goes on from.
    sum: (u32, u32),
}

/// Reads as much as there is room for; not when there is less.
fn filled(file: &mut impl Read, to: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(to) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    found.map_or(0, u32::from_be_bytes)
}

/// The checksum of SQLite's logs, which goes on from frame to frame.
struct Sum {
    is_big_endian: bool,
    first: u32,
    second: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let (pairs, _) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in pairs {
            let of = if self.is_big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            self.first = self.first.wrapping_add(of([a, b, c, d])).wrapping_add(self.second);
            self.second = self.second.wrapping_add(of([e, f, g, h])).wrapping_add(self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

    /// The log of a database at `path` after one more commit, of so many pages.
    fn log_after(path: &Path, to: &TempDir, pages: i32) -> Vec<u8> {
        let copy = to.path().join(format!("{pages}.db"));
        fs::copy(path, &copy).unwrap();
        fs::copy(path_of(path), path_of(&copy)).unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection.execute("INSERT INTO load VALUES (randomblob(?1))", [pages * 4096]).unwrap();
        fs::read(path_of(&copy)).unwrap()
    }

    #[test]
    fn what_failed_commits_leave_behind_is_no_damage_and_a_broken_commit_is() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("jeton.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE load (bytes BLOB)")
            .unwrap();
        let frames = look(&path).unwrap().frames;

        // Each begins where the others do, as after a flush that failed.
        let mut left = log_after(&path, &directory, 40);
        for pages in [20, 10, 5] {
            let over = log_after(&path, &directory, pages);
            left[..over.len()].copy_from_slice(&over);
        }
        fs::write(path_of(&path), &left).unwrap();
        let log = look(&path).unwrap();
        assert_eq!(log.damage, None);
        assert!(log.frames > frames + 4);

        // Commits that were made one after the other.
        let whole = directory.path().join("whole.db");
        let connection = Connection::open(&whole).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE load (n)").unwrap();
        for _ in 0..4 {
            connection.execute("INSERT INTO load VALUES (1)", []).unwrap();
        }
        assert_eq!(look(&whole).unwrap().damage, None);
        let mut bytes = fs::read(path_of(&whole)).unwrap();
        let second = HEADER + FRAME_HEADER + 4096;
        bytes[second + FRAME_HEADER + 100] ^= 1;
        fs::write(path_of(&whole), &bytes).unwrap();
        let log = look(&whole).unwrap();
        assert!(log.damage.is_some_and(|damage| damage.contains("its page 2")));
    }
}
