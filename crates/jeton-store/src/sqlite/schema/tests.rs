//! Proves what a database is migrated from and to, and which one is refused.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::sqlite::SqliteSettings;

const FIRST: Migration = Migration {
    number: 1,
    name: "first",
    sql: "CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT; \
          CREATE TABLE child (parent INTEGER REFERENCES parent (id)) STRICT;",
    works_from: 1,
};
const SECOND: Migration = Migration {
    number: 2,
    name: "second",
    sql: "ALTER TABLE parent ADD COLUMN name TEXT; INSERT INTO parent VALUES (2, 'two');",
    works_from: 2,
};
const BROKEN: Migration =
    Migration { number: 3, name: "broken", sql: "DELETE FROM parent; SELECT nonsense;", ..SECOND };
const DANGLING: Migration =
    Migration { number: 3, name: "dangling", sql: "INSERT INTO child VALUES (99);", ..SECOND };

fn open(path: &Path, known: &[Migration]) -> Result<Connection, OpenError> {
    let location = Location::File(path.to_owned());
    connect::create(&location)?;
    let mut connection = connect::writer(&location, &SqliteSettings::default())?;
    prepare(&mut connection, &location, known)?;
    Ok(connection)
}

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    (directory, path)
}

fn files(directory: &TempDir) -> Vec<String> {
    let mut files: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

fn parents(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM parent", [], |row| row.get(0)).unwrap()
}

#[test]
fn our_migrations_are_numbered_without_gaps() {
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        assert_eq!(migration.number as usize, index + 1);
    }
}

#[test]
fn a_new_database_gets_every_schema_and_needs_no_copy() {
    let (directory, path) = place();
    drop(open(&path, &[FIRST, SECOND]).unwrap());
    assert_eq!(files(&directory), ["jeton.db"]);
    let connection = open(&path, &[FIRST, SECOND]).unwrap();
    assert_eq!(parents(&connection), 1);
    let kept: (u32, String, String, i64) = connection
        .query_row(
            "SELECT number, name, checksum, applied_at FROM migration WHERE number = 2",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!((kept.0, kept.1.as_str(), kept.2), (2, "second", SECOND.checksum()));
    assert!(kept.3 > 1_700_000_000_000);
}

#[test]
fn an_older_database_is_copied_and_migrated() {
    let (directory, path) = place();
    let first = open(&path, &[FIRST]).unwrap();
    first.execute("INSERT INTO parent VALUES (1)", []).unwrap();
    // Still open, and its last row still in the log.
    let second = open(&path, &[FIRST, SECOND]).unwrap();
    assert_eq!(parents(&second), 2);
    drop((first, second));
    assert_eq!(files(&directory), ["jeton.db", "jeton.db.before-0002.bak"]);
    let copy = directory.path().join("jeton.db.before-0002.bak");
    #[cfg(unix)]
    for file in [&path, &copy] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // The copy is the database as it was: the old jeton can go on with it.
    assert_eq!(parents(&open(&copy, &[FIRST]).unwrap()), 1);
}

#[test]
fn tokens_of_the_first_schema_keep_their_numbers_and_are_found_by_their_digests() {
    let (_directory, path) = place();
    let first = open(&path, MIGRATIONS.get(..1).unwrap()).unwrap();
    first
        .execute_batch(
            "INSERT INTO token (realm, id, digest, format, client_id, subject, scope, issued_at) \
             VALUES ('main', 'a', unhex(hex(zeroblob(31)) || '01'), 'stored', 'c', 'c', '', 7), \
             ('main', 'b', unhex('ff' || hex(zeroblob(31))), 'stored', 'c', 'c', 'read', 8), \
             ('main', 'c', zeroblob(32), 'stored', 'c', 'c', '', 9); \
             DELETE FROM token WHERE id <> 'b'",
        )
        .unwrap();
    drop(first);
    let connection = open(&path, MIGRATIONS).unwrap();
    let places = "SELECT p.seq, t.id, t.scope, t.issued_at, through, hex(key) FROM token_place AS p \
        JOIN token AS t ON t.seq = p.seq, token_placed";
    let of_b = connection.query_row(places, [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
    });
    let key = "FF00000000000000".to_owned();
    assert_eq!(of_b, Ok((2, "b".to_owned(), "read".to_owned(), 8, 2, key)));
    let next = "INSERT INTO token (realm, id, digest, format, client_id, subject, scope, issued_at) \
        VALUES ('main', 'd', zeroblob(32), 'stored', 'c', 'c', '', 9) RETURNING seq";
    assert_eq!(connection.query_row(next, [], |row| row.get(0)), Ok(4));
}

#[test]
fn clients_of_the_second_schema_have_their_extracts() {
    let (_directory, path) = place();
    let second = open(&path, MIGRATIONS.get(..2).unwrap()).unwrap();
    second
        .execute_batch(
            "INSERT INTO client (realm, id, name, status, role, lock, scope, created_at, changed_at, \
             revision) VALUES ('main', 'a', NULL, 'enabled', 'client', 'open', 'read write', 5, 5, 1), \
             ('main', 'b', 'B b', 'enabled', 'client', 'open', '', 6, 7, 2), \
             ('main', 'c', NULL, 'disabled', 'client', 'open', '', 8, 8, 1); \
             INSERT INTO secret (realm, client_id, position, id, generated, created_at, expires_at) \
             VALUES ('main', 'a', 0, 's', zeroblob(32), 5, 9)",
        )
        .unwrap();
    drop(second);
    let connection = open(&path, MIGRATIONS).unwrap();
    let mut select = connection
        .prepare("SELECT id, terms, length(digest) FROM client_extract ORDER BY id")
        .unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows: Vec<(String, Option<String>, Option<u32>)> = rows.map(Result::unwrap).collect();
    let terms = |terms: &str| Some(terms.to_owned());
    assert_eq!(rows[0], ("a".to_owned(), terms("5 1 9 s read write"), Some(32)));
    assert_eq!(rows[1], ("b".to_owned(), terms("6 2   \nB b"), None));
    assert_eq!(rows[2], ("c".to_owned(), None, None));
    assert_eq!(rows.len(), 3);
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let (directory, path) = place();
    drop(open(&path, &[FIRST, SECOND]).unwrap());
    let before = fs::read(&path).unwrap();
    let place = path.display().to_string();
    let error = open(&path, &[FIRST]).unwrap_err();
    assert_eq!(error, OpenError::Newer { place, found: 2, known: 1 });
    let text = error.to_string();
    assert!(text.contains("has schema 2") && text.contains("jeton.db.before-0002.bak"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(files(&directory), ["jeton.db"]);
}

#[test]
fn a_database_made_by_other_migrations_is_refused() {
    let (_directory, path) = place();
    drop(open(&path, &[FIRST, SECOND]).unwrap());
    let other = Migration { sql: "CREATE TABLE parent (id INTEGER) STRICT;", ..FIRST };
    let place = path.display().to_string();
    let error = open(&path, &[other, SECOND]).unwrap_err();
    assert_eq!(error, OpenError::Altered { place, number: 1 });
    open(&path, &[FIRST, SECOND]).unwrap();
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    for wrong in [BROKEN, DANGLING] {
        let (_directory, path) = place();
        drop(open(&path, &[FIRST]).unwrap());
        for _ in 0..2 {
            let error = open(&path, &[FIRST, SECOND, Migration { ..wrong }]).unwrap_err();
            assert!(matches!(error, OpenError::Migration { number: 3, .. }), "{error}");
        }
        assert_eq!(parents(&open(&path, &[FIRST]).unwrap()), 0);
    }
}

#[test]
fn of_many_processes_that_migrate_at_once_one_does() {
    let (directory, path) = place();
    let opened = || {
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| open(&path, &[FIRST, SECOND]).map(drop))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    drop(open(&path, &[FIRST]).unwrap());
    assert_eq!(opened(), vec![Ok(()); 4]);
    assert_eq!(parents(&open(&path, &[FIRST, SECOND]).unwrap()), 1);
    assert_eq!(files(&directory), ["jeton.db", "jeton.db.before-0002.bak"]);
}
