//! Proves that a token is found by its digest wherever its place is: not written yet, written by this
//! process or by another, or moved there from an older schema.
#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::path::Path;
use std::sync::Arc;

use jeton_engine::event::EventKind;
use jeton_engine::store::{Horizon, Store as _};
use jeton_store::{Location, SqliteSettings, SqliteStore, examine};
use rusqlite::Connection;

#[path = "sqlite/place.rs"]
mod place;
#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;

use place::place;
use sample::{at, event, main, token};

fn open(path: &Path, unplaced_max: usize) -> Arc<SqliteStore> {
    let settings = SqliteSettings { unplaced_max, ..SqliteSettings::default() };
    SqliteStore::open(&Location::File(path.to_owned()), settings).unwrap()
}

async fn keep(store: &SqliteStore, number: u16) {
    store.keep_token(token(number), None).await.unwrap();
}

async fn has(store: &SqliteStore, number: u16) -> bool {
    store.token(&main(), &token(number).digest).await.unwrap().is_some()
}

/// Revokes a token of which something is kept; one that was kept twice would be there twice.
async fn revoke(store: &SqliteStore, number: u16) -> bool {
    let mut revoked = token(number);
    revoked.revoked_at = Some(at(1));
    store.revoke(&revoked, &event(EventKind::TokenRevoked)).await.unwrap()
}

/// Up to which token places are written, and how many are.
fn written(path: &Path) -> (i64, i64) {
    let sql = "SELECT through, (SELECT count(*) FROM token_place) FROM token_placed";
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[tokio::test]
async fn places_are_written_many_at_a_time_and_every_token_is_found_all_along() {
    // More and fewer than one statement writes.
    for unplaced_max in [10, 70] {
        let (_directory, path) = place();
        let store = open(&path, unplaced_max);
        let count = u16::try_from(unplaced_max).unwrap();
        for number in 0..2 * count + 5 {
            keep(&store, number).await;
            let full = i64::from((number + 1) / count * count);
            assert_eq!(written(&path), (full, full));
            for earlier in (0..=number).rev().step_by(9) {
                assert!(has(&store, earlier).await, "{earlier} of {number}");
            }
            assert!(!has(&store, number + 1).await);
        }
        store.close().await;
        // Another process begins with what is written, and finds the others all the same.
        let store = open(&path, unplaced_max);
        for number in 0..2 * count + 5 {
            assert!(has(&store, number).await, "{number}");
        }
        assert!(examine(&path, None, &|_| {}).unwrap().is_sound());
    }
}

#[tokio::test]
async fn what_another_process_keeps_and_places_is_found() {
    let (_directory, path) = place();
    let (ours, theirs) = (open(&path, 1_000), open(&path, 4));
    keep(&ours, 0).await;
    assert!(has(&ours, 0).await);
    for number in 1..10 {
        keep(&theirs, number).await;
        assert!(has(&ours, number).await, "{number}");
        assert!(has(&ours, number - 1).await, "{number}");
    }
    assert_eq!(written(&path), (8, 8));
}

#[tokio::test]
async fn a_token_is_revoked_once_whether_its_place_is_written_or_not() {
    let (_directory, path) = place();
    for unplaced_max in [1, 3, 1_000] {
        let store = open(&path, unplaced_max);
        let first = u16::try_from(unplaced_max).unwrap() * 10;
        for number in first..first + 5 {
            // Kept and revoked in one commit or in two.
            let (kept, revoked) =
                tokio::join!(store.keep_token(token(number), None), revoke(&store, number));
            kept.unwrap();
            assert!(revoked);
            assert!(!revoke(&store, number).await);
            let kept = store.token(&main(), &token(number).digest).await.unwrap().unwrap();
            assert!(kept.revoked_at.is_some());
        }
        // Nothing is kept of this one before.
        assert!(revoke(&store, first + 5).await);
        assert!(!revoke(&store, first + 5).await);
        store.close().await;
    }
}

#[tokio::test]
async fn the_place_of_a_token_goes_with_it() {
    let (_directory, path) = place();
    let store = open(&path, 4);
    for number in 0..10 {
        let mut token = token(number);
        token.expires_at = Some(at(i64::from(number)));
        store.keep_token(token, None).await.unwrap();
    }
    assert_eq!(written(&path), (8, 8));
    let horizon = Horizon { tokens: at(5), events: at(0), spent: at(0) };
    assert_eq!(store.remove_expired(&horizon, 100).await.unwrap(), 5);
    assert_eq!(written(&path), (8, 3));
    for number in 0..10 {
        assert_eq!(has(&store, number).await, number >= 5, "{number}");
    }
    // Of those that were removed before their places were written, none is.
    let horizon = Horizon { tokens: at(10), events: at(0), spent: at(0) };
    assert_eq!(store.remove_expired(&horizon, 100).await.unwrap(), 5);
    for number in 20..22 {
        keep(&store, number).await;
    }
    assert_eq!(written(&path), (12, 2));
    assert!(has(&store, 20).await && has(&store, 21).await && !has(&store, 9).await);
}
