//! Cases about signing keys.

use std::sync::Arc;

use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::store::{Store, StoreError};

use crate::sample::{at, event, key, main, other};

async fn stored(store: &Arc<dyn Store>, key_id: &str) -> KeyRecord {
    let keys = store.keys(&main()).await.unwrap();
    keys.into_iter().find(|key| key.id.as_str() == key_id).unwrap()
}

pub(crate) async fn keys_come_back_in_the_order_they_were_made(store: Arc<dyn Store>) {
    let mut symmetric = key("z", Algorithm::Hs256, KeyStatus::Retired);
    symmetric.public_jwk = None;
    symmetric.activated_at = Some(at(2));
    symmetric.retired_at = Some(at(3));
    let second = key("k", Algorithm::EdDsa, KeyStatus::Upcoming);
    let mut third = key("a", Algorithm::MlDsa44, KeyStatus::Active);
    third.created_at = at(9);
    let keys = [symmetric, second, third];
    for key in &keys {
        let created = event(EventKind::KeyCreated);
        store.add_key(key, &created).await.unwrap();
        assert_eq!(store.event(created.reference).await.unwrap(), Some(created));
    }
    // Debug leaves most of a key out, so the whole is compared without it.
    assert!(store.keys(&main()).await.unwrap() == keys);
    assert_eq!(store.keys(&other()).await.unwrap(), []);
}

pub(crate) async fn a_key_is_added_once(store: Arc<dyn Store>) {
    let first = key("k", Algorithm::EdDsa, KeyStatus::Active);
    store.add_key(&first, &event(EventKind::KeyCreated)).await.unwrap();
    let again = event(EventKind::KeyImported);
    let mut second = key("k", Algorithm::EdDsa, KeyStatus::Active);
    second.sealed = vec![9];
    assert_eq!(store.add_key(&second, &again).await, Err(StoreError::Exists));
    assert!(store.keys(&main()).await.unwrap() == [first]);
    assert_eq!(store.event(again.reference).await.unwrap(), None);
    second.realm = other();
    store.add_key(&second, &again).await.unwrap();
    assert!(store.keys(&other()).await.unwrap() == [second]);
}

pub(crate) async fn an_active_key_retires_the_one_before_it(store: Arc<dyn Store>) {
    let created = || event(EventKind::KeyCreated);
    let mut elsewhere = key("old", Algorithm::EdDsa, KeyStatus::Active);
    elsewhere.realm = other();
    store.add_key(&elsewhere, &created()).await.unwrap();
    for (name, algorithm) in [("old", Algorithm::EdDsa), ("es256", Algorithm::Es256)] {
        store.add_key(&key(name, algorithm, KeyStatus::Active), &created()).await.unwrap();
    }
    store.add_key(&key("next", Algorithm::EdDsa, KeyStatus::Upcoming), &created()).await.unwrap();
    assert_eq!(stored(&store, "old").await.status, KeyStatus::Active);
    let mut new = key("new", Algorithm::EdDsa, KeyStatus::Active);
    new.created_at = at(70);
    store.add_key(&new, &created()).await.unwrap();
    let mut retired = key("old", Algorithm::EdDsa, KeyStatus::Retired);
    retired.activated_at = Some(at(1));
    retired.retired_at = Some(at(70));
    assert!(stored(&store, "old").await == retired);
    assert!(stored(&store, "new").await == new);
    assert_eq!(stored(&store, "es256").await.status, KeyStatus::Active);
    assert_eq!(stored(&store, "next").await.status, KeyStatus::Upcoming);
    assert!(store.keys(&other()).await.unwrap() == [elsewhere]);
}

pub(crate) async fn of_many_first_keys_at_once_one_is_added(store: Arc<dyn Store>) {
    let attempts: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&store);
            let key = key(&format!("k{number}"), Algorithm::EdDsa, KeyStatus::Active);
            let created = event(EventKind::KeyCreated);
            tokio::spawn(async move {
                let added = store.add_first_key(&key, &created).await.unwrap();
                (key, created, added)
            })
        })
        .collect();
    let mut added = Vec::new();
    for attempt in attempts {
        let (key, created, was_added) = attempt.await.unwrap();
        let kept = store.event(created.reference).await.unwrap();
        assert_eq!(kept.is_some(), was_added);
        added.extend(was_added.then_some(key));
    }
    assert_eq!(added.len(), 1);
    assert!(store.keys(&main()).await.unwrap() == added);
    // Another algorithm, another realm: each has its own first key.
    let second = key("es256", Algorithm::Es256, KeyStatus::Active);
    assert!(store.add_first_key(&second, &event(EventKind::KeyCreated)).await.unwrap());
    let mut elsewhere = key("k0", Algorithm::EdDsa, KeyStatus::Active);
    elsewhere.realm = other();
    assert!(store.add_first_key(&elsewhere, &event(EventKind::KeyCreated)).await.unwrap());
}

pub(crate) async fn a_changed_key_keeps_all_but_status_and_moments(store: Arc<dyn Store>) {
    let mut key = key("k", Algorithm::EdDsa, KeyStatus::Active);
    let retired = event(EventKind::KeyRetired);
    assert_eq!(store.change_key(&key, &retired).await, Err(StoreError::Missing));
    assert_eq!(store.event(retired.reference).await.unwrap(), None);
    store.add_key(&key, &event(EventKind::KeyCreated)).await.unwrap();
    key.status = KeyStatus::Retired;
    key.retired_at = Some(at(60));
    let mut change = key.clone();
    change.sealed = vec![9];
    change.public_jwk = None;
    change.algorithm = Algorithm::Hs256;
    store.change_key(&change, &retired).await.unwrap();
    assert!(store.keys(&main()).await.unwrap() == [key]);
    assert_eq!(store.event(retired.reference).await.unwrap(), Some(retired));
}

pub(crate) async fn a_key_that_becomes_active_retires_the_one_before_it(store: Arc<dyn Store>) {
    for (name, algorithm, status) in [
        ("old", Algorithm::EdDsa, KeyStatus::Active),
        ("es256", Algorithm::Es256, KeyStatus::Active),
        ("new", Algorithm::EdDsa, KeyStatus::Upcoming),
    ] {
        let key = key(name, algorithm, status);
        store.add_key(&key, &event(EventKind::KeyCreated)).await.unwrap();
    }
    let mut new = key("new", Algorithm::EdDsa, KeyStatus::Active);
    new.activated_at = Some(at(80));
    // Twice: a key that is active already retires nobody, least of all itself.
    for _ in 0..2 {
        store.change_key(&new, &event(EventKind::KeyActivated)).await.unwrap();
        assert!(stored(&store, "new").await == new);
        assert_eq!(stored(&store, "old").await.status, KeyStatus::Retired);
        assert_eq!(stored(&store, "old").await.retired_at, Some(at(80)));
        assert_eq!(stored(&store, "es256").await.status, KeyStatus::Active);
    }
}

pub(crate) async fn a_deleted_key_is_gone(store: Arc<dyn Store>) {
    let retired = event(EventKind::KeyRetired);
    let first = key("k", Algorithm::EdDsa, KeyStatus::Active);
    store.add_key(&first, &event(EventKind::KeyCreated)).await.unwrap();
    assert!(!store.delete_key(&main(), &"other".parse().unwrap(), &retired).await.unwrap());
    assert!(!store.delete_key(&other(), &first.id, &retired).await.unwrap());
    assert_eq!(store.event(retired.reference).await.unwrap(), None);
    assert_eq!(store.keys(&main()).await.unwrap().len(), 1);
    assert!(store.delete_key(&main(), &first.id, &retired).await.unwrap());
    assert_eq!(store.keys(&main()).await.unwrap(), []);
    assert_eq!(store.event(retired.reference).await.unwrap(), Some(retired));
}

pub(crate) async fn of_many_upcoming_keys_at_once_one_is_added(store: Arc<dyn Store>) {
    let active = key("active", Algorithm::Es256, KeyStatus::Active);
    store.add_key(&active, &event(EventKind::KeyCreated)).await.unwrap();
    let adding = (0..8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let key = key(&format!("k{number}"), Algorithm::Es256, KeyStatus::Upcoming);
            store.add_first_key(&key, &event(EventKind::KeyCreated)).await.unwrap()
        })
    });
    let mut added = 0;
    for adding in adding.collect::<Vec<_>>() {
        added += usize::from(adding.await.unwrap());
    }
    assert_eq!(added, 1);
    let keys = store.keys(&main()).await.unwrap();
    assert_eq!(keys.len(), 2, "the active one and one upcoming");
    let other = key("other", Algorithm::EdDsa, KeyStatus::Upcoming);
    let another_algorithm = store.add_first_key(&other, &event(EventKind::KeyCreated)).await;
    assert_eq!(another_algorithm, Ok(true));
}

pub(crate) async fn an_upcoming_key_is_activated_once(store: Arc<dyn Store>) {
    let active = key("old", Algorithm::Es256, KeyStatus::Active);
    let upcoming = key("new", Algorithm::Es256, KeyStatus::Upcoming);
    for key in [&active, &upcoming] {
        store.add_key(key, &event(EventKind::KeyCreated)).await.unwrap();
    }
    let mut activated = event(EventKind::KeyActivated);
    activated.at = at(60);
    assert_eq!(store.activate_key(&other(), &upcoming.id, &activated).await, Ok(false));
    assert_eq!(store.activate_key(&main(), &active.id, &activated).await, Ok(false));
    assert_eq!(store.activate_key(&main(), &upcoming.id, &activated).await, Ok(true));
    let again = event(EventKind::KeyActivated);
    assert_eq!(store.activate_key(&main(), &upcoming.id, &again).await, Ok(false));
    assert_eq!(store.event(again.reference).await, Ok(None));

    let (old, new) = (stored(&store, "old").await, stored(&store, "new").await);
    assert_eq!((new.status, new.activated_at), (KeyStatus::Active, Some(at(60))));
    assert_eq!((old.status, old.retired_at), (KeyStatus::Retired, Some(at(60))));
}
