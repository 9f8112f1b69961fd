//! What holds for SQLite beyond the conformance suite: many writers, two processes, a database
//! that is locked, damaged, copied or closed.
#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::client::ClientRole;
use jeton_engine::client::extract::ClientExtract;
use jeton_engine::event::EventKind;
use jeton_engine::store::{Change, Changed, Revision, Store, StoreError, TokenFilter};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use rusqlite::Connection;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

#[path = "sqlite/place.rs"]
mod place;
#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;

use place::place;
use sample::{client, event, extracts, id, main, secret, token};

fn open(path: &Path, settings: SqliteSettings) -> Arc<SqliteStore> {
    SqliteStore::open(&Location::File(path.to_owned()), settings).unwrap()
}

fn open_plainly(path: &Path) -> Arc<SqliteStore> {
    open(path, SqliteSettings::default())
}

/// Another process that is in the middle of a write.
fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Gives the writer a token to keep while the database is locked, so that all else has to wait.
async fn occupy(store: &Arc<SqliteStore>, number: u16) -> JoinHandle<Result<(), StoreError>> {
    let before = store.activity();
    assert_eq!(before.waiting, 0);
    let keeping = {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.keep_token(token(number), None).await })
    };
    // It is queued when its task first runs, and taken out as soon as the writer wakes up.
    sleep(Duration::from_millis(20)).await;
    until("the writer has begun", || store.activity().waiting == 0).await;
    keeping
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_many_callers_share_commits() {
    const CALLERS: u16 = 64;
    const EACH: u16 = 20;
    let (_directory, path) = place();
    let store = open_plainly(&path);
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in caller * EACH..(caller + 1) * EACH {
                    let issued = event(EventKind::TokenIssued);
                    store.keep_token(token(number), Some(issued)).await.unwrap();
                    // Whoever was answered finds the token, in whichever commit it was.
                    let digest = token(number).digest;
                    assert!(store.token(&main(), &digest).await.unwrap().is_some());
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let all = store.tokens(&main(), &TokenFilter::default(), None, 10_000).await.unwrap();
    let newest_first: Vec<_> = (0..CALLERS * EACH).rev().map(token).collect();
    assert_eq!(all, newest_first);
    let activity = store.activity();
    assert_eq!(activity.writes, u64::from(CALLERS * EACH));
    assert!(activity.commits < activity.writes / 2, "{activity:?}");
    assert_eq!(activity.waiting, 0);
}

#[tokio::test]
async fn one_failing_write_does_not_undo_those_beside_it() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    store.keep_token(token(1), None).await.unwrap();
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    let locked = lock(&path);
    let occupied = occupy(&store, 0).await;
    // All of these wait for it, and then share a commit.
    let mut twins = client("twins");
    twins.secrets = vec![secret("s-1"), secret("s-1")];
    let tells = event(EventKind::ClientCreated);
    let together = async {
        let (orders, returns) = (client("orders"), client("returns"));
        tokio::join!(
            store.keep_token(token(2), None),
            store.keep_token(token(1), None),
            store.add_client(&orders, &tells),
            store.add_client(&twins, &tells),
            store.add_client(&returns, &tells),
            store.keep_token(token(3), None),
        )
    };
    let before = store.activity().commits;
    let release = async {
        until("the writes wait", || store.activity().waiting == 6).await;
        locked.execute_batch("ROLLBACK").unwrap();
    };
    let (outcomes, ()) = tokio::join!(together, release);
    assert_eq!(outcomes.0, Ok(()));
    assert_eq!(outcomes.1, Err(StoreError::Exists));
    assert_eq!(outcomes.2, Err(StoreError::Exists));
    assert!(matches!(outcomes.3, Err(StoreError::Failed(_))));
    assert_eq!((outcomes.4, outcomes.5), (Ok(()), Ok(())));
    occupied.await.unwrap().unwrap();
    assert_eq!(store.activity().commits, before + 2);
    let kept = store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert_eq!(kept, [3, 2, 1, 0].map(token));
    assert_eq!(store.client(&main(), &id("twins")).await.unwrap(), None);
    assert!(store.client(&main(), &id("returns")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_token_that_is_there_already_takes_none_of_its_neighbours_with_it() {
    const COUNT: u16 = 60;
    let (_directory, path) = place();
    let store = open_plainly(&path);
    for known in [20, 59] {
        store.keep_token(token(known), None).await.unwrap();
    }
    let locked = lock(&path);
    let occupied = occupy(&store, 100).await;
    let mut together = Vec::new();
    for number in 0..COUNT {
        let store = Arc::clone(&store);
        together.push(tokio::spawn(async move { store.keep_token(token(number), None).await }));
    }
    until("the writes wait", || store.activity().waiting == usize::from(COUNT)).await;
    locked.execute_batch("ROLLBACK").unwrap();
    for (number, keeping) in (0..COUNT).zip(together) {
        let expected = if [20, 59].contains(&number) { Err(StoreError::Exists) } else { Ok(()) };
        assert_eq!(keeping.await.unwrap(), expected, "{number}");
    }
    occupied.await.unwrap().unwrap();
    let kept = store.tokens(&main(), &TokenFilter::default(), None, 100).await.unwrap();
    let newest_first: Vec<_> = (0..COUNT).chain([100]).rev().map(token).collect();
    assert_eq!(kept, newest_first);
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once_and_nothing_acknowledged_is_lost() {
    let (_directory, path) = place();
    let patience = Duration::from_secs(30);
    let store = open(&path, SqliteSettings { queue_max: 4, patience, ..Default::default() });
    let locked = lock(&path);
    let keep = |number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.keep_token(token(number), None).await })
    };
    // The writer has taken the first and waits for the lock; the next four fill the queue.
    let mut accepted = vec![occupy(&store, 0).await];
    accepted.extend((1..=4).map(keep));
    until("the queue is full", || store.activity().waiting == 4).await;
    let began = Instant::now();
    assert_eq!(store.keep_token(token(5), None).await, Err(StoreError::Overloaded));
    assert_eq!(store.check().await, Err(StoreError::Overloaded));
    assert!(began.elapsed() < Duration::from_secs(1));
    // Reads go on.
    assert_eq!(store.token(&main(), &token(0).digest).await.unwrap(), None);
    locked.execute_batch("ROLLBACK").unwrap();
    for write in accepted {
        write.await.unwrap().unwrap();
    }
    store.keep_token(token(6), None).await.unwrap();
    let all = store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert_eq!(all, [6, 4, 3, 2, 1, 0].map(token));
}

#[tokio::test]
async fn a_database_locked_for_too_long_fails_the_write_and_not_the_next() {
    let (_directory, path) = place();
    let patience = Duration::from_millis(50);
    let store = open(&path, SqliteSettings { patience, ..Default::default() });
    let locked = lock(&path);
    let outcome = store.keep_token(token(1), None).await;
    assert!(matches!(outcome, Err(StoreError::Unreachable(_))), "{outcome:?}");
    assert!(matches!(store.check().await, Err(StoreError::Unreachable(_))));
    locked.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.token(&main(), &token(1).digest).await.unwrap(), None);
    store.keep_token(token(1), None).await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn the_writer_answers_while_others_lock_the_database_and_not_once_it_is_closed() {
    let (_directory, path) = place();
    let patience = Duration::from_millis(20);
    let store = open(&path, SqliteSettings { patience, ..SqliteSettings::default() });
    assert!(store.answers().await);
    let locked = lock(&path);
    assert!(store.check().await.is_err());
    assert!(store.answers().await, "it answers that it cannot write");
    drop(locked);
    store.close().await;
    assert!(!store.answers().await);
}

#[tokio::test]
async fn two_stores_on_one_file_hear_of_each_other_within_a_second() {
    let (_directory, path) = place();
    let (server, command) = (open_plainly(&path), open_plainly(&path));
    server.add_client(&client("before"), &event(EventKind::ClientCreated)).await.unwrap();
    let mut revision = server.changes(Revision(0)).await.unwrap().revision;
    for name in ["one", "two", "three"] {
        command.add_client(&client(name), &event(EventKind::ClientCreated)).await.unwrap();
        let heard = async {
            loop {
                server.wait_for_change().await.unwrap();
                let changes = server.changes(revision).await.unwrap();
                revision = changes.revision;
                match changes.changed {
                    Changed::These(changes) if changes.is_empty() => {}
                    other => break other,
                }
            }
        };
        let heard = timeout(Duration::from_secs(1), heard).await.unwrap();
        assert_eq!(heard, Changed::These(vec![Change::Client(main(), id(name))]));
        assert!(server.client(&main(), &id(name)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn too_many_changes_are_everything() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    let other = Connection::open(&path).unwrap();
    let add = |count: u32| {
        other
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                 INSERT INTO change (at, kind, realm) SELECT 0, 'keys', 'main' FROM n",
                [count],
            )
            .unwrap();
    };
    add(10_000);
    let Changed::These(changes) = store.changes(Revision(0)).await.unwrap().changed else {
        panic!("ten thousand changes can be followed");
    };
    assert_eq!(changes.len(), 10_000);
    add(1);
    assert_eq!(store.changes(Revision(0)).await.unwrap().changed, Changed::Everything);
    // A kind of change that only a later jeton knows is followed by reading everything.
    other
        .execute("INSERT INTO change (at, kind, realm, subject) VALUES (0, 'new', 'main', 'x')", [])
        .unwrap();
    let changes = store.changes(Revision(10_001)).await.unwrap();
    assert_eq!((changes.revision, changes.changed), (Revision(10_002), Changed::Everything));
}

#[tokio::test]
async fn a_row_that_does_not_parse_is_named() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    store.keep_token(token(1), None).await.unwrap();
    let other = Connection::open(&path).unwrap();
    let failed = |outcome: Result<(), StoreError>, names: &str| {
        let Err(StoreError::Failed(text)) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains(names), "{text}");
    };
    for (column, sound, broken) in [
        ("scope", "read", "two  spaces"),
        ("audiences", "[\"a\"]", "{"),
        ("networks", "[\"10.0.0.0/8\"]", "[\"x\"]"),
        ("claims", "{\"a\":1}", "{\"sub\":1}"),
    ] {
        other.execute(&format!("UPDATE client SET {column} = ?1"), [broken]).unwrap();
        let names = format!("client main/orders cannot be read: its {column} ");
        failed(store.client(&main(), &id("orders")).await.map(drop), &names);
        failed(store.clients(&main(), None, 10).await.map(drop), &names);
        failed(extracts(&*store, &main()).await.map(drop), &names);
        other.execute(&format!("UPDATE client SET {column} = ?1"), [sound]).unwrap();
    }
    other.execute("UPDATE token SET subject = ''", []).unwrap();
    let found = store.token(&main(), &token(1).digest).await.map(drop);
    failed(found, "token main/t00001 cannot be read: its subject ");
    let found = store.tokens(&main(), &TokenFilter::default(), None, 1).await.map(drop);
    failed(found, "token main/t00001");
}

#[tokio::test]
async fn a_copy_made_in_use_is_whole_and_takes_nobody_s_place() {
    let (directory, path) = place();
    let store = open_plainly(&path);
    for number in 0..50 {
        store.keep_token(token(number), None).await.unwrap();
    }
    let to = directory.path().join("copy.db");
    store.backup(&to).await.unwrap();
    store.keep_token(token(50), None).await.unwrap();
    assert_eq!(store.backup(&to).await, Err(StoreError::Exists));
    let nowhere = directory.path().join("nowhere").join("copy.db");
    assert!(matches!(store.backup(&nowhere).await, Err(StoreError::Failed(_))));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy.db", "jeton.db", "jeton.db-shm", "jeton.db-wal"]);
    let copy = open_plainly(&to);
    copy.integrity().await.unwrap();
    assert_eq!(copy.tokens(&main(), &TokenFilter::default(), None, 100).await.unwrap().len(), 50);
    let memory = SqliteStore::open(&Location::Memory, SqliteSettings::default()).unwrap();
    memory.keep_token(token(1), None).await.unwrap();
    let to = directory.path().join("memory.db");
    memory.backup(&to).await.unwrap();
    assert!(open_plainly(&to).token(&main(), &token(1).digest).await.unwrap().is_some());
}

#[tokio::test]
async fn damage_is_found_and_not_copied() {
    let (directory, path) = place();
    let store = open_plainly(&path);
    for number in 0..200 {
        store.keep_token(token(number), None).await.unwrap();
    }
    store.integrity().await.unwrap();
    store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes.get_mut(last..).unwrap().fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let store = open_plainly(&path);
    assert!(matches!(store.integrity().await, Err(StoreError::Failed(_))));
    let to = directory.path().join("copy.db");
    assert!(store.backup(&to).await.is_err());
    assert!(!to.exists());
}

#[tokio::test]
async fn a_closed_store_has_written_what_waited_and_takes_no_more() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    let locked = lock(&path);
    let waiting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.keep_token(token(1), None).await })
    };
    tokio::task::yield_now().await;
    let (closing, again) = (Arc::clone(&store), Arc::clone(&store));
    let closing = tokio::spawn(async move { closing.close().await });
    let again = tokio::spawn(async move { again.close().await });
    locked.execute_batch("ROLLBACK").unwrap();
    waiting.await.unwrap().unwrap();
    closing.await.unwrap();
    again.await.unwrap();
    let closed = |outcome| matches!(outcome, Err(StoreError::Unreachable(_)));
    assert!(closed(store.keep_token(token(2), None).await));
    assert!(closed(store.check().await));
    assert!(closed(store.token(&main(), &token(1).digest).await.map(drop)));
    assert!(closed(store.wait_for_change().await));
    let store = open_plainly(&path);
    let all = store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert_eq!(all, [token(1)]);
}

#[tokio::test]
async fn the_log_is_emptied_when_nothing_is_written() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    let log = path.with_extension("db-wal");
    for number in 0..2 {
        store.keep_token(token(number), None).await.unwrap();
        assert!(log.metadata().unwrap().len() > 0);
        until("the log is empty", || log.metadata().unwrap().len() == 0).await;
    }
}

#[tokio::test]
async fn extracts_are_of_what_is_there_whoever_wrote_it() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    for name in ["a", "b", "c", "d"] {
        let mut client = client(name);
        client.secrets = vec![secret("s-1")];
        store.add_client(&client, &event(EventKind::ClientCreated)).await.unwrap();
    }
    let by_hand = Connection::open(&path).unwrap();
    for (sql, plain) in [
        ("UPDATE client SET scope = 'read' WHERE id = 'a'", "a b c d"),
        ("UPDATE client SET role = 'resource_server' WHERE id = 'a'", "b c d"),
        (
            "UPDATE secret SET generated = zeroblob(32), expires_at = 7 WHERE client_id = 'b'",
            "b c d",
        ),
        ("UPDATE secret SET generated = NULL, supplied = '$argon2id' WHERE client_id = 'b'", "c d"),
        ("DELETE FROM secret WHERE client_id = 'b'", "b c d"),
        ("UPDATE client SET id = 'e' WHERE id = 'b'", "c d e"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM client WHERE id = 'e'", "c d"),
        // What cannot be read so is read whole.
        ("UPDATE client_extract SET terms = '1 1  s-1' WHERE id = 'c'", "c d"),
        ("UPDATE client_extract SET digest = x'00' WHERE id = 'd'", "c d"),
    ] {
        by_hand.execute_batch(sql).unwrap();
        let whole = store.clients(&main(), None, 10).await.unwrap();
        let made: Vec<ClientExtract> = whole.into_iter().map(ClientExtract::from).collect();
        assert_eq!(extracts(&*store, &main()).await.unwrap(), made, "{sql}");
        let plain_ids = made.iter().filter(|one| matches!(one, ClientExtract::Plain(_)));
        let ids: Vec<&str> = plain_ids.map(|one| one.id().as_str()).collect();
        assert_eq!(ids.join(" "), plain, "{sql}");
    }
    store.close().await;
}

/// As many as are read in three pages: many of the first are not plain, nor is the last one of the second.
async fn many_clients(store: &Arc<SqliteStore>) {
    let mut adding = JoinSet::new();
    for number in 0..1100 {
        let mut client = client(&format!("client-{number:04}"));
        client.secrets = vec![secret("s-1")];
        if number < 50 || number == 999 {
            client.role = ClientRole::ResourceServer;
        }
        let store = Arc::clone(store);
        adding.spawn(async move {
            store.add_client(&client, &event(EventKind::ClientCreated)).await.unwrap();
        });
    }
    adding.join_all().await;
}

#[tokio::test]
async fn extracts_of_many_clients_come_in_order_and_each_once() {
    let (_directory, path) = place();
    let store = open_plainly(&path);
    many_clients(&store).await;
    let whole = store.clients(&main(), None, 2000).await.unwrap();
    let made: Vec<ClientExtract> = whole.into_iter().map(ClientExtract::from).collect();
    assert!(extracts(&*store, &main()).await.unwrap() == made);
    let by_hand = Connection::open(&path).unwrap();
    // What cannot be taken apart, and what is not even text: all from there on are read whole.
    for (id, terms) in [("client-1050", "'1 1  s-1'"), ("client-0700", "CAST(x'ff' AS TEXT)")] {
        let sql = format!("UPDATE client_extract SET terms = {terms} WHERE id = '{id}'");
        by_hand.execute_batch(&sql).unwrap();
        assert!(extracts(&*store, &main()).await.unwrap() == made, "{id}");
    }
    by_hand.execute_batch("UPDATE client SET scope = '  ' WHERE id = 'client-0800'").unwrap();
    let error = extracts(&*store, &main()).await.unwrap_err().to_string();
    assert!(error.contains("client main/client-0800 cannot be read: its scope "), "{error}");
}

#[tokio::test]
async fn who_stops_taking_clients_leaves_the_store_as_it_was() {
    let (_directory, path) = place();
    let store = open(&path, SqliteSettings { readers: 1, ..SqliteSettings::default() });
    many_clients(&store).await;
    let stopped = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut take = |_| panic!("no more of them");
            store.client_extracts(&main(), &mut take).await
        }
    });
    assert!(stopped.await.unwrap_err().is_panic());
    assert_eq!(extracts(&*store, &main()).await.unwrap().len(), 1100);
}
