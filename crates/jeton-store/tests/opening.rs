//! Which files are opened as a database, and what is said of those that are not.
#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::fs;
use std::path::{Path, PathBuf};

use jeton_engine::store::Store as _;
use jeton_store::{Location, Look, OpenError, SqliteSettings, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    (directory, path)
}

fn refused(path: &Path) -> OpenError {
    let error =
        SqliteStore::open(&Location::File(path.to_owned()), SqliteSettings::default()).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

#[tokio::test]
async fn a_new_database_is_made_for_its_owner_alone() {
    let (directory, path) = place();
    let store =
        SqliteStore::open(&Location::File(path.clone()), SqliteSettings::default()).unwrap();
    store.check().await.unwrap();
    #[cfg(unix)]
    for entry in fs::read_dir(directory.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    store.close().await;
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["jeton.db"], "after it was closed the database is one file");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (_directory, path) = place();
    let text = "realm = \"main\"\n".repeat(200);
    fs::write(&path, &text).unwrap();
    assert!(matches!(refused(&path), OpenError::NotADatabase { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let (_directory, path) = place();
    let store =
        SqliteStore::open(&Location::File(path.clone()), SqliteSettings::default()).unwrap();
    store.close().await;
    // The header stays; the first page's own table of contents does not.
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..4096].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(refused(&path), OpenError::Damaged { .. }));
}

#[test]
fn another_program_s_database_is_refused() {
    let (_directory, path) = place();
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    drop(theirs);
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE migration (version TEXT)").unwrap();
    drop(theirs);
    assert!(matches!(refused(&path), OpenError::Foreign { .. }));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let (_directory, path) = place();
    assert!(matches!(refused(&path.join("deeper.db")), OpenError::Unusable { .. }));
}

#[tokio::test]
async fn a_database_of_a_newer_jeton_is_refused() {
    let (_directory, path) = place();
    let location = Location::File(path.clone());
    SqliteStore::open(&location, SqliteSettings::default()).unwrap().close().await;
    let newer = Connection::open(&path).unwrap();
    newer
        .execute(
            "INSERT INTO migration (number, name, checksum, works_from, applied_at) \
             VALUES (9999, 'later', 'ab', 9999, 0)",
            [],
        )
        .unwrap();
    assert!(matches!(refused(&path), OpenError::Newer { found: 9999, .. }));
    newer.execute("DELETE FROM migration WHERE number = 9999", []).unwrap();
    SqliteStore::open(&location, SqliteSettings::default()).unwrap();
    newer.execute("UPDATE migration SET checksum = 'ab' WHERE number = 1", []).unwrap();
    assert!(matches!(refused(&path), OpenError::Altered { number: 1, .. }));
}

#[tokio::test]
async fn many_may_make_the_same_database_at_once() {
    let (_directory, path) = place();
    let location = Location::File(path);
    let attempts: Vec<_> = (0..6)
        .map(|_| {
            let location = location.clone();
            tokio::task::spawn_blocking(move || {
                SqliteStore::open(&location, SqliteSettings::default())
            })
        })
        .collect();
    for attempt in attempts {
        attempt.await.unwrap().unwrap().check().await.unwrap();
    }
}

#[tokio::test]
async fn a_look_makes_nothing_and_leaves_nothing_behind() {
    let (directory, path) = place();
    assert!(matches!(Look::at_file(&path), Err(OpenError::Unusable { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let location = Location::File(path.clone());
    SqliteStore::open(&location, SqliteSettings::default()).unwrap().close().await;
    let before = fs::read(&path).unwrap();
    let look = Look::at_file(&path).unwrap();
    assert!(look.schema().is_current());
    let realm = "main".parse().unwrap();
    assert_eq!(look.clients(&realm, None, 10).await.unwrap(), []);
    assert_eq!(look.keys(&realm).await.unwrap(), []);
    drop(look);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_look_at_a_database_in_use_sees_the_last_commit() {
    let (_directory, path) = place();
    let store =
        SqliteStore::open(&Location::File(path.clone()), SqliteSettings::default()).unwrap();
    let writer = Connection::open(&path).unwrap();
    writer.execute("UPDATE migration SET name = 'renamed'", []).unwrap();
    let Look::Sqlite(look) = Look::at_file(&path).unwrap() else { unreachable!() };
    assert_eq!(look.damage().unwrap(), None);
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_look_at_an_older_schema_migrates_nothing_and_a_newer_one_is_refused() {
    let (_directory, path) = place();
    let location = Location::File(path.clone());
    SqliteStore::open(&location, SqliteSettings::default()).unwrap().close().await;
    let other = Connection::open(&path).unwrap();
    other.execute("DELETE FROM migration WHERE number > 1", []).unwrap();
    let schema = Look::at_file(&path).unwrap().schema();
    assert!(!schema.is_current() && schema.found == 1, "{schema:?}");
    let later = "INSERT INTO migration (number, name, checksum, works_from, applied_at) \
        VALUES (9999, 'later', 'ab', 9999, 0)";
    other.execute(later, []).unwrap();
    assert!(matches!(Look::at_file(&path), Err(OpenError::Newer { found: 9999, .. })));
}
