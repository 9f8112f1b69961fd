//! Proves that a backup is whole and sound, that a restore puts it back or changes nothing, wherever
//! it is cut off, and that damage is found, named and refused.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assume"
)]

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use jeton_engine::clock::Random;
use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyStatus;
use jeton_engine::master_key::MasterKey;
use jeton_engine::store::{Changed, Revision, Store as _};
use jeton_store::{
    CopyError, Examined, Existing, Location, OpenError, SqliteSettings, SqliteStore, back_up,
    examine, restore,
};
use rusqlite::Connection;
use tempfile::TempDir;

#[path = "keeping/damage.rs"]
mod damage;
#[path = "sqlite/place.rs"]
mod place;
#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;

use place::place;
use sample::{client, event, key, main, secret, token};

fn open(path: &Path) -> Arc<SqliteStore> {
    SqliteStore::open(&Location::File(path.to_owned()), SqliteSettings::default()).unwrap()
}

fn master_key() -> MasterKey {
    MasterKey::generate(&Random::seeded(1)).parse().unwrap()
}

/// A database with something in every table that matters, closed again.
async fn filled(path: &Path, tokens: u16) {
    let store = open(path);
    let mut orders = client("orders");
    orders.secrets = vec![secret("s1")];
    store.add_client(&orders, &event(EventKind::ClientCreated)).await.unwrap();
    let mut signing = key("k1", Algorithm::EdDsa, KeyStatus::Active);
    signing.sealed =
        master_key().seal(&main(), &signing.id, b"private", &Random::seeded(2)).unwrap();
    store.add_key(&signing, &event(EventKind::KeyCreated)).await.unwrap();
    for number in 0..tokens {
        store.keep_token(token(number), Some(event(EventKind::TokenIssued))).await.unwrap();
    }
    store.close().await;
}

fn look(path: &Path) -> Examined {
    examine(path, Some(&master_key()), &|_| {}).unwrap()
}

async fn has(path: &Path, number: u16) -> bool {
    let store = open(path);
    let found = store.token(&main(), &token(number).digest).await.unwrap();
    store.close().await;
    found.is_some()
}

fn files(directory: &TempDir) -> Vec<String> {
    let names = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_in_use_is_one_moment_and_sound() {
    let (directory, path) = place();
    filled(&path, 100).await;
    let store = open(&path);
    store.keep_token(token(200), None).await.unwrap();
    let to = directory.path().join("backup.db");
    let steps = Cell::new(0);
    let tell = |_| steps.set(steps.get() + 1);
    let examined = back_up(&path, (&to, Existing::Stays), Some(&master_key()), &tell).unwrap();
    store.keep_token(token(201), None).await.unwrap();
    assert!(examined.is_sound() && steps.get() > 3);
    assert_eq!((examined.sealed, examined.opened), (1, 1));
    assert!(examined.tables.contains(&("token", 101)) && examined.tables.contains(&("client", 1)));
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    store.close().await;
    assert_eq!(files(&directory), ["backup.db", "jeton.db"]);
    assert!(has(&to, 200).await && !has(&to, 201).await);
}

#[tokio::test]
async fn a_backup_takes_nobody_s_place_unless_it_is_told_to() {
    let (directory, path) = place();
    filled(&path, 3).await;
    let to = directory.path().join("backup.db");
    fs::write(&to, "the only copy of something").unwrap();
    let key = master_key();
    let stays = back_up(&path, (&to, Existing::Stays), Some(&key), &|_| {}).unwrap_err();
    assert!(matches!(stays, CopyError::Exists(_)), "{stays}");
    assert_eq!(fs::read(&to).unwrap(), b"the only copy of something");
    back_up(&path, (&to, Existing::Replaced), Some(&key), &|_| {}).unwrap();
    assert!(look(&to).is_sound());
    // The database itself, by whatever name, and another one that is in use.
    let alias = directory.path().join("alias.db");
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    let other = directory.path().join("other.db");
    let in_use = open(&other);
    in_use.keep_token(token(1), None).await.unwrap();
    for to in [&path, &alias, &other] {
        let refused = back_up(&path, (to, Existing::Replaced), Some(&key), &|_| {}).unwrap_err();
        assert!(matches!(refused, CopyError::Database(_)), "{refused}");
    }
    in_use.close().await;
    assert!(look(&path).is_sound() && has(&other, 1).await);
}

#[tokio::test]
async fn what_does_not_open_under_the_master_key_is_no_backup() {
    let (directory, path) = place();
    filled(&path, 3).await;
    let to = directory.path().join("backup.db");
    let other: MasterKey = MasterKey::generate(&Random::seeded(3)).parse().unwrap();
    let refused = back_up(&path, (&to, Existing::Stays), Some(&other), &|_| {}).unwrap_err();
    let CopyError::Unsound(examined) = refused else { panic!("{refused}") };
    assert_eq!((examined.sealed, examined.opened), (1, 0));
    assert_eq!(examined.problems[0].place, "table signing_key");
    assert_eq!(files(&directory), ["jeton.db"]);
    let unopened = back_up(&path, (&to, Existing::Stays), None, &|_| {}).unwrap();
    assert_eq!((unopened.sealed, unopened.opened), (1, 0));
}

/// A backup with token 1, and after it token 2 in the database.
async fn backed_up(directory: &TempDir, path: &Path) -> PathBuf {
    filled(path, 2).await;
    let backup = directory.path().join("backup.db");
    back_up(path, (&backup, Existing::Stays), Some(&master_key()), &|_| {}).unwrap();
    let store = open(path);
    store.keep_token(token(2), Some(event(EventKind::TokenIssued))).await.unwrap();
    store.add_client(&client("later"), &event(EventKind::ClientCreated)).await.unwrap();
    store.close().await;
    backup
}

#[tokio::test]
async fn a_restore_brings_the_backup_back_and_keeps_what_was_there() {
    let (directory, path) = place();
    let backup = backed_up(&directory, &path).await;
    let key = master_key();
    let before = open(&path);
    let revision = before.changes(Revision(0)).await.unwrap().revision;
    before.close().await;
    let stays = restore(&backup, (&path, Existing::Stays), Some(&key), &|_| {}).unwrap_err();
    assert!(matches!(stays, CopyError::Exists(_)), "{stays}");
    assert!(has(&path, 2).await);

    let restored = restore(&backup, (&path, Existing::Replaced), Some(&key), &|_| {}).unwrap();
    assert!(has(&path, 1).await && !has(&path, 2).await);
    let kept = restored.kept.unwrap();
    assert_eq!(kept, directory.path().join("jeton.db.replaced-1"));
    assert!(has(&kept, 2).await);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(&directory), ["backup.db", "jeton.db", "jeton.db.replaced-1"]);
    // Whoever remembers anything of before must read everything anew.
    let store = open(&path);
    for remembered in 0..=revision.0 + 1 {
        let changes = store.changes(Revision(remembered)).await.unwrap();
        assert_eq!(changes.changed, Changed::Everything);
        assert!(changes.revision > revision);
    }
    let now = store.changes(Revision(0)).await.unwrap().revision;
    store.add_client(&client("new"), &event(EventKind::ClientCreated)).await.unwrap();
    let changes = store.changes(now).await.unwrap();
    assert!(matches!(changes.changed, Changed::These(these) if these.len() == 1));
    store.close().await;
    let again = restore(&backup, (&path, Existing::Replaced), Some(&key), &|_| {}).unwrap();
    assert_eq!(again.kept.unwrap(), directory.path().join("jeton.db.replaced-2"));
}

#[tokio::test]
async fn a_database_in_use_is_not_replaced() {
    const TEST: &str = "a_database_in_use_is_not_replaced";
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        let store = open(&folder.join("jeton.db"));
        println!("in use");
        // Until whoever waits for us has seen enough.
        let _ = std::io::stdin().read_line(&mut String::new());
        store.close().await;
        return;
    }
    let (directory, path) = place();
    let backup = backed_up(&directory, &path).await;
    let mut user = Command::new(std::env::current_exe().unwrap());
    user.args(["--exact", TEST, "--nocapture"]).env(FOLDER, directory.path());
    let mut user = user.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(user.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("in use")));
    let before = files(&directory);
    let to = (path.as_path(), Existing::Replaced);
    let in_use = restore(&backup, to, Some(&master_key()), &|_| {}).unwrap_err();
    assert!(matches!(in_use, CopyError::InUse(_)), "{in_use}");
    assert_eq!(files(&directory), before);
    drop(user.stdin.take());
    assert!(lines.all(|line| line.is_ok()) && user.wait().unwrap().success());
    assert!(has(&path, 2).await);
    restore(&backup, to, Some(&master_key()), &|_| {}).unwrap();
}

#[tokio::test]
async fn a_restore_where_there_is_nothing_makes_the_database() {
    let (directory, path) = place();
    let backup = backed_up(&directory, &path).await;
    let elsewhere = TempDir::new().unwrap();
    let to = elsewhere.path().join("jeton.db");
    let restored = restore(&backup, (&to, Existing::Stays), Some(&master_key()), &|_| {}).unwrap();
    assert_eq!(restored.kept, None);
    assert!(has(&to, 1).await);
    assert_eq!(files(&elsewhere), ["jeton.db"]);
    // By a link, it is the file behind it that is replaced.
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&to, &link).unwrap();
    let by_link = (link.as_path(), Existing::Replaced);
    let restored = restore(&backup, by_link, Some(&master_key()), &|_| {}).unwrap();
    assert_eq!(restored.kept.unwrap(), elsewhere.path().join("jeton.db.replaced-1"));
    assert!(link.is_symlink() && has(&link, 1).await);
    let itself = restore(&to, (&to, Existing::Replaced), Some(&master_key()), &|_| {});
    assert!(matches!(itself, Err(CopyError::Database(_))));
}

#[tokio::test]
async fn a_backup_that_is_not_sound_is_not_restored() {
    let (directory, path) = place();
    let backup = backed_up(&directory, &path).await;
    damage::spoil(&backup, *damage::pages(&backup, "token").last().unwrap());
    let key = master_key();
    let refused = restore(&backup, (&path, Existing::Replaced), Some(&key), &|_| {}).unwrap_err();
    assert!(matches!(refused, CopyError::Unsound(_)), "{refused}");
    fs::write(&backup, "CREATE TABLE client").unwrap();
    let refused = restore(&backup, (&path, Existing::Replaced), Some(&key), &|_| {}).unwrap_err();
    assert!(matches!(refused, CopyError::Open(OpenError::NotADatabase { .. })), "{refused}");
    assert!(has(&path, 2).await);
    assert_eq!(files(&directory), ["backup.db", "jeton.db"]);
}

/// Restores, and ends abruptly at the step with this number, counted from one.
const ENDING: &str = "JETON_TEST_RESTORE_ENDS_AT";
const FOLDER: &str = "JETON_TEST_RESTORE_IN";

#[tokio::test]
async fn a_restore_that_is_cut_off_anywhere_loses_nothing() {
    const TEST: &str = "a_restore_that_is_cut_off_anywhere_loses_nothing";
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        let end: u32 = std::env::var(ENDING).unwrap().parse().unwrap();
        let step = Cell::new(0);
        let tell = |_| {
            step.set(step.get() + 1);
            if step.get() == end {
                std::process::abort();
            }
        };
        let (backup, path) = (folder.join("backup.db"), folder.join("jeton.db"));
        restore(&backup, (&path, Existing::Replaced), Some(&master_key()), &tell).unwrap();
        return;
    }
    let (mut old, mut half, mut new) = (0, 0, 0);
    for end in 1.. {
        let (directory, path) = place();
        backed_up(&directory, &path).await;
        // What was written last is in the log alone, as after a crash.
        let writer = Connection::open(&path).unwrap();
        writer
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
            .unwrap();
        writer.execute_batch("UPDATE probe SET checks = 4711").unwrap();
        drop(writer);
        assert!(fs::metadata(directory.path().join("jeton.db-wal")).unwrap().len() > 0);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", TEST, "--test-threads=1"]);
        child.env(ENDING, end.to_string()).env(FOLDER, directory.path());
        let ended = child.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let checks = |path: &Path| {
            let connection = Connection::open(path).unwrap();
            connection.query_row("SELECT checks FROM probe", [], |row| row.get::<_, i64>(0))
        };
        let kept = directory.path().join("jeton.db.replaced-1");
        let location = Location::File(path.clone());
        match SqliteStore::open(&location, SqliteSettings::default()) {
            Ok(store) => {
                store.integrity().await.unwrap();
                let is_old = store.token(&main(), &token(2).digest).await.unwrap().is_some();
                store.close().await;
                let is_all_there = checks(if is_old { &path } else { &kept }).unwrap() == 4711;
                assert!(is_all_there, "cut off at {end}");
                if is_old { old += 1 } else { new += 1 }
            }
            Err(OpenError::HalfRestored { .. }) => {
                half += 1;
                assert_eq!(checks(&kept).unwrap(), 4711, "cut off at {end}");
                let looked = examine(&path, None, &|_| {}).unwrap_err();
                assert!(matches!(looked, OpenError::HalfRestored { .. }));
                let backup = directory.path().join("backup.db");
                let to = (path.as_path(), Existing::Replaced);
                let restored = restore(&backup, to, Some(&master_key()), &|_| {}).unwrap();
                assert!(restored.finished_another);
                assert!(has(&path, 1).await && !has(&path, 2).await);
                assert!(has(&kept, 2).await, "cut off at {end}");
            }
            Err(error) => panic!("cut off at {end}: {error}"),
        }
        if ended.success() {
            break;
        }
    }
    assert!(old > 3 && half >= 2 && new >= 1, "{old} {half} {new}");
}
