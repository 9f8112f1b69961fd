//! Cases about the feed of changes, and about the check of health.

use std::sync::Arc;
use std::time::Duration;

use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyStatus;
use jeton_engine::store::{Change, Changed, Changes, Revision, Store, StoreError};
use tokio::time::{Instant, timeout};

use crate::sample::{at, before, client, event, id, key, main, token};

/// A change is obeyed within a second; this much of it is the store's.
const WELL_WITHIN_A_SECOND: Duration = Duration::from_millis(400);

fn orders_changed() -> Change {
    Change::Client(main(), id("orders"))
}

pub(crate) async fn a_new_store_has_no_changes(store: Arc<dyn Store>) {
    let none = Changes { revision: Revision(0), changed: Changed::These(Vec::new()) };
    assert_eq!(store.changes(Revision(0)).await.unwrap(), none);
}

pub(crate) async fn changes_come_in_the_order_they_happened(store: Arc<dyn Store>) {
    let mut revision = Revision(0);
    let mut told = async |expected: Vec<Change>| {
        let changes = store.changes(revision).await.unwrap();
        assert_eq!(changes.changed, Changed::These(expected));
        assert!(changes.revision > revision);
        revision = changes.revision;
    };
    let keys = || vec![Change::Keys(main())];
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    told(vec![orders_changed()]).await;
    let mut changed = client("orders");
    changed.revision = 2;
    store.replace_client(&changed, &event(EventKind::ClientChanged)).await.unwrap();
    told(vec![orders_changed()]).await;
    let mut first = key("k", Algorithm::EdDsa, KeyStatus::Active);
    assert!(store.add_first_key(&first, &event(EventKind::KeyCreated)).await.unwrap());
    told(keys()).await;
    store
        .add_key(&key("l", Algorithm::EdDsa, KeyStatus::Active), &event(EventKind::KeyCreated))
        .await
        .unwrap();
    told(keys()).await;
    first.status = KeyStatus::Upcoming;
    store.change_key(&first, &event(EventKind::KeyRetired)).await.unwrap();
    told(keys()).await;
    assert!(store.delete_key(&main(), &first.id, &event(EventKind::KeyRetired)).await.unwrap());
    told(keys()).await;
    store.keep_token(token(1), None).await.unwrap();
    let revoked = event(EventKind::TokenRevoked);
    assert!(store.revoke_token(&main(), &token(1).id, &revoked).await.unwrap());
    told(vec![Change::TokenRevoked(main(), token(1).digest)]).await;
    let deleted = event(EventKind::ClientDeleted);
    assert!(store.delete_client(&main(), &id("orders"), &deleted).await.unwrap());
    store.add_client(&client("z"), &event(EventKind::ClientCreated)).await.unwrap();
    told(vec![
        orders_changed(),
        Change::TokensDeleted(main(), id("orders")),
        Change::Client(main(), id("z")),
    ])
    .await;
    let changes = store.changes(Revision(0)).await.unwrap();
    assert!(matches!(changes.changed, Changed::These(all) if all.len() == 10));
}

pub(crate) async fn what_is_no_change_is_not_told(store: Arc<dyn Store>) {
    store.keep_token(token(1), Some(event(EventKind::TokenIssued))).await.unwrap();
    store.keep_events(&[event(EventKind::TokenRefused)]).await.unwrap();
    store.remove_expired(&before(at(9999), at(-1)), 10).await.unwrap();
    store.check().await.unwrap();
    let none = Changes { revision: Revision(0), changed: Changed::These(Vec::new()) };
    assert_eq!(store.changes(Revision(0)).await.unwrap(), none);
}

pub(crate) async fn what_was_refused_is_not_told(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    let first = key("k", Algorithm::EdDsa, KeyStatus::Active);
    store.add_key(&first, &event(EventKind::KeyCreated)).await.unwrap();
    store.keep_token(token(1), None).await.unwrap();
    let revoked = event(EventKind::TokenRevoked);
    assert!(store.revoke_token(&main(), &token(1).id, &revoked).await.unwrap());
    let revision = store.changes(Revision(0)).await.unwrap().revision;

    let refused = event(EventKind::ClientChanged);
    assert_eq!(store.add_client(&client("orders"), &refused).await, Err(StoreError::Exists));
    assert_eq!(store.replace_client(&client("orders"), &refused).await, Err(StoreError::Conflict));
    assert_eq!(store.replace_client(&client("gone"), &refused).await, Err(StoreError::Missing));
    assert!(!store.delete_client(&main(), &id("gone"), &refused).await.unwrap());
    assert_eq!(store.add_key(&first, &refused).await, Err(StoreError::Exists));
    assert!(!store.add_first_key(&first, &refused).await.unwrap());
    let gone = key("gone", Algorithm::EdDsa, KeyStatus::Active);
    assert_eq!(store.change_key(&gone, &refused).await, Err(StoreError::Missing));
    assert!(!store.delete_key(&main(), &gone.id, &refused).await.unwrap());
    assert!(!store.revoke_token(&main(), &token(2).id, &refused).await.unwrap());
    assert!(store.revoke_token(&main(), &token(1).id, &refused).await.unwrap());
    let none = Changes { revision, changed: Changed::These(Vec::new()) };
    assert_eq!(store.changes(revision).await.unwrap(), none);
}

pub(crate) async fn removed_changes_are_everything(store: Arc<dyn Store>) {
    for (name, seconds) in [("a", 1), ("b", 2), ("c", 3)] {
        let mut created = event(EventKind::ClientCreated);
        created.at = at(seconds);
        store.add_client(&client(name), &created).await.unwrap();
    }
    let newest = store.changes(Revision(0)).await.unwrap().revision;
    // Two events and two changes.
    assert_eq!(store.remove_expired(&before(at(-1), at(3)), 100).await.unwrap(), 4);
    let everything = Changes { revision: newest, changed: Changed::Everything };
    assert_eq!(store.changes(Revision(0)).await.unwrap(), everything);
    assert_eq!(store.changes(Revision(newest.0 - 2)).await.unwrap(), everything);
    let last = Changed::These(vec![Change::Client(main(), id("c"))]);
    assert_eq!(store.changes(Revision(newest.0 - 1)).await.unwrap().changed, last);
    // With the last one gone too, the newest revision is still known.
    assert_eq!(store.remove_expired(&before(at(-1), at(99)), 100).await.unwrap(), 2);
    assert_eq!(store.changes(Revision(newest.0 - 1)).await.unwrap(), everything);
    let none = Changes { revision: newest, changed: Changed::These(Vec::new()) };
    assert_eq!(store.changes(newest).await.unwrap(), none);
}

pub(crate) async fn a_revision_from_the_future_is_everything(store: Arc<dyn Store>) {
    // As after a backup was restored.
    let changes = store.changes(Revision(5)).await.unwrap();
    assert_eq!(changes, Changes { revision: Revision(0), changed: Changed::Everything });
}

pub(crate) async fn a_change_made_before_the_wait_ends_it(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    let began = Instant::now();
    store.wait_for_change().await.unwrap();
    assert!(began.elapsed() < WELL_WITHIN_A_SECOND);
    assert_eq!(
        store.changes(Revision(0)).await.unwrap().changed,
        Changed::These(vec![orders_changed()])
    );
}

pub(crate) async fn a_change_made_meanwhile_ends_the_wait(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    store.wait_for_change().await.unwrap();
    for number in 0..2 {
        let waits = {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.wait_for_change().await })
        };
        tokio::task::yield_now().await;
        let mut changed = client("orders");
        changed.revision = 2 + number;
        store.replace_client(&changed, &event(EventKind::ClientChanged)).await.unwrap();
        timeout(WELL_WITHIN_A_SECOND, waits).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) async fn without_a_change_the_wait_goes_on(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    store.wait_for_change().await.unwrap();
    // Tokens are kept all the time; nobody needs to look for changes because of them. A wait may end early
    // for what was told late of the change before, but not after each token.
    for number in 1..=20 {
        store.keep_token(token(number), None).await.unwrap();
        if timeout(Duration::from_millis(50), store.wait_for_change()).await.is_err() {
            return;
        }
    }
    panic!("every token ended a wait");
}

pub(crate) async fn a_store_in_order_passes_its_check(store: Arc<dyn Store>) {
    store.check().await.unwrap();
    store.check().await.unwrap();
}
