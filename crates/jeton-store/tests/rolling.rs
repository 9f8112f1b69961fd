//! What a program does when a newer one migrates the database under it: it works on beside what was
//! only added, and stops writing and being ready when something was taken away.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may assume")]

use std::time::Duration;

use jeton_engine::event::EventKind;
use jeton_engine::spent::Spent;
use jeton_engine::store::{Revision, Store, StoreError};
use jeton_store::{
    Location, OpenError, PostgresSettings, PostgresStore, SqliteSettings, SqliteStore,
};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;
#[path = "postgres/server.rs"]
#[expect(dead_code, reason = "these tests need no pooler")]
mod server;

use sample::{at, client, event, main, token};

fn is_outdated<T>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unreachable(text)) if text.contains("start the newer version"))
}

/// Nothing is written any more, by whatever way, and nobody is told that all is well.
async fn assert_stopped(store: &dyn Store) {
    let issued = event(EventKind::TokenIssued);
    assert!(is_outdated(store.keep_token(token(2), None).await));
    assert!(is_outdated(store.keep_token(token(3), Some(issued.clone())).await));
    assert!(is_outdated(store.keep_events(std::slice::from_ref(&issued)).await));
    assert!(is_outdated(store.add_client(&client("new"), &issued).await));
    assert!(is_outdated(store.revoke(&token(1), &issued).await));
    let spent = [Spent { id: [1; 16], until: at(60) }];
    assert!(is_outdated(store.spend(&main(), &spent, at(0)).await));
    assert!(is_outdated(store.check().await));
    assert!(is_outdated(store.changes(Revision(0)).await.map(drop)));
    assert_eq!(store.token(&main(), &token(2).digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_sqlite_server_writes_nothing_after_a_contract() {
    let directory = TempDir::new().unwrap();
    let location = Location::File(directory.path().join("jeton.db"));
    let store = SqliteStore::open(&location, SqliteSettings::default()).unwrap();
    let newer = Connection::open(directory.path().join("jeton.db")).unwrap();
    let note = |works_from: &str| {
        let sql = format!(
            "INSERT INTO migration (number, name, checksum, works_from, applied_at) \
             SELECT max(number) + 1, 'later', 'x', {works_from}, 0 FROM migration"
        );
        newer.execute_batch(&sql).unwrap();
    };
    note("max(number)");
    store.keep_token(token(1), None).await.unwrap();
    store.check().await.unwrap();
    SqliteStore::open(&location, SqliteSettings::default()).unwrap().check().await.unwrap();
    note("max(number) + 1");
    assert_stopped(&*store).await;
    let refused = SqliteStore::open(&location, SqliteSettings::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_postgres_server_writes_nothing_once_it_has_heard_of_a_contract() {
    let place = server::Place::schema().await;
    let open = async || PostgresStore::open(&place.address(), PostgresSettings::default()).await;
    let store = open().await.unwrap();
    let newer = place.connect().await;
    let note = |works_from: &str| {
        format!(
            "INSERT INTO migration (number, name, checksum, works_from) \
             SELECT max(number) + 1, 'later', 'x', {works_from} FROM migration"
        )
    };
    newer.batch_execute(&note("max(number)")).await.unwrap();
    store.wait_for_change().await.unwrap();
    store.keep_token(token(1), None).await.unwrap();
    store.check().await.unwrap();
    open().await.unwrap().check().await.unwrap();
    newer.batch_execute(&note("max(number) + 1")).await.unwrap();
    // As upkeep does it, several times a second.
    let end = Instant::now() + Duration::from_secs(10);
    while store.check().await.is_ok() {
        assert!(Instant::now() < end, "it does not hear of it");
        let _ = store.wait_for_change().await;
        sleep(Duration::from_millis(5)).await;
    }
    assert_stopped(&*store).await;
    assert!(matches!(open().await.unwrap_err(), OpenError::Newer { .. }));
}
