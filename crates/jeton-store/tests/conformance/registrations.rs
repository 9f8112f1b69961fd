//! Cases about initial access tokens, and about clients that are registered with them.

use std::sync::Arc;

use jeton_engine::event::{Event, EventKind};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::store::{Admitted, Changed, Revision, Store, StoreError};

use crate::sample::{
    at, before, event, id, initial_access_token, main, other, registered, token_id,
};

/// The most clients that any case but one may register.
const MANY: u32 = 1000;

async fn add(store: &Arc<dyn Store>, token: &InitialAccessToken) {
    let made = event(EventKind::RegistrationTokenMade);
    store.add_initial_access_token(token, &made).await.unwrap();
}

async fn kept(store: &Arc<dyn Store>, number: u8) -> Option<InitialAccessToken> {
    store.initial_access_token(&main(), &[number; 32]).await.unwrap()
}

async fn register(store: &Arc<dyn Store>, name: &str, through: Option<&str>) -> Admitted {
    let (client, tells) = (registered(name, through), event(EventKind::ClientRegistered));
    let through = through.map(token_id);
    store.register_client(&client, through.as_ref(), MANY, &tells).await.unwrap()
}

pub(crate) async fn a_token_comes_back_as_it_was_added(store: Arc<dyn Store>) {
    let lasting = InitialAccessToken {
        scope: "".parse().unwrap(),
        expires_at: None,
        ..initial_access_token(2)
    };
    let elsewhere = InitialAccessToken { realm: other(), ..initial_access_token(1) };
    for token in [&initial_access_token(1), &lasting, &elsewhere] {
        add(&store, token).await;
        let found = store.initial_access_token(&token.realm, &token.digest).await.unwrap();
        assert_eq!(found.as_ref(), Some(token));
    }
    assert_eq!(kept(&store, 3).await, None);
    let all = store.initial_access_tokens(&main()).await.unwrap();
    assert_eq!(all, [initial_access_token(1), lasting]);
    let nobody = "nobody".parse().unwrap();
    assert_eq!(store.initial_access_tokens(&nobody).await.unwrap(), []);
}

pub(crate) async fn a_token_is_added_once(store: Arc<dyn Store>) {
    add(&store, &initial_access_token(1)).await;
    let same_id = InitialAccessToken { digest: [9; 32], ..initial_access_token(1) };
    let same_digest = InitialAccessToken { id: token_id("other"), ..initial_access_token(1) };
    for again in [same_id, same_digest] {
        let tells = event(EventKind::RegistrationTokenMade);
        let added = store.add_initial_access_token(&again, &tells).await;
        assert_eq!(added, Err(StoreError::Exists));
        assert_eq!(store.event(tells.reference).await.unwrap(), None);
    }
    assert_eq!(store.initial_access_tokens(&main()).await.unwrap(), [initial_access_token(1)]);
}

pub(crate) async fn a_deleted_token_lets_nobody_in(store: Arc<dyn Store>) {
    let tells = event(EventKind::RegistrationTokenRevoked);
    let delete = |realm| {
        let (store, tells) = (Arc::clone(&store), tells.clone());
        async move { store.delete_initial_access_token(&realm, &token_id("i1"), &tells).await.unwrap() }
    };
    assert!(!delete(main()).await);
    assert_eq!(store.event(tells.reference).await.unwrap(), None);
    add(&store, &initial_access_token(1)).await;
    add(&store, &initial_access_token(2)).await;
    assert!(!delete(other()).await);
    assert!(delete(main()).await);
    assert_eq!(store.event(tells.reference).await.unwrap(), Some(tells.clone()));
    assert_eq!(kept(&store, 1).await, None);
    assert_eq!(register(&store, "orders", Some("i1")).await, Admitted::TokenUsedUp);
    assert_eq!(register(&store, "orders", Some("i2")).await, Admitted::Registered);
}

pub(crate) async fn a_registered_client_comes_back_and_its_token_has_a_use_less(
    store: Arc<dyn Store>,
) {
    add(&store, &initial_access_token(1)).await;
    let (client, tells) = (registered("orders", Some("i1")), event(EventKind::ClientRegistered));
    let through = token_id("i1");
    let registering = store.register_client(&client, Some(&through), MANY, &tells);
    assert_eq!(registering.await, Ok(Admitted::Registered));
    assert_eq!(store.client(&main(), &id("orders")).await.unwrap(), Some(client.clone()));
    assert_eq!(store.event(tells.reference).await.unwrap(), Some(tells));
    assert_eq!(kept(&store, 1).await.map(|token| token.uses_left), Some(2));
    let changes = store.changes(Revision(0)).await.unwrap();
    let Changed::These(these) = changes.changed else { unreachable!("so few changes are told") };
    assert_eq!(these.len(), 1);

    // Replaced, it keeps what is new; an identifier that is taken uses nothing up.
    let mut replaced = registered("orders", None);
    replaced.revision = 2;
    store.replace_client(&replaced, &event(EventKind::ClientChanged)).await.unwrap();
    assert_eq!(store.client(&main(), &id("orders")).await.unwrap(), Some(replaced));
    let again = event(EventKind::ClientRegistered);
    let registering = store.register_client(&client, Some(&through), MANY, &again);
    assert_eq!(registering.await, Err(StoreError::Exists));
    assert_eq!(store.event(again.reference).await.unwrap(), None);
    assert_eq!(kept(&store, 1).await.map(|token| token.uses_left), Some(2));
}

pub(crate) async fn a_token_ends_with_its_last_use_and_with_its_time(store: Arc<dyn Store>) {
    add(&store, &initial_access_token(1)).await;
    for name in ["a", "b", "c"] {
        assert_eq!(register(&store, name, Some("i1")).await, Admitted::Registered);
    }
    assert_eq!(register(&store, "d", Some("i1")).await, Admitted::TokenUsedUp);
    assert_eq!(store.client(&main(), &id("d")).await.unwrap(), None);
    assert_eq!(kept(&store, 1).await.map(|token| token.uses_left), Some(0));

    add(&store, &initial_access_token(2)).await;
    for (name, seconds, expected) in
        [("e", 59, Admitted::Registered), ("f", 60, Admitted::TokenUsedUp)]
    {
        let tells = Event { at: at(seconds), ..event(EventKind::ClientRegistered) };
        let client = registered(name, Some("i2"));
        let admitted = store.register_client(&client, Some(&token_id("i2")), MANY, &tells).await;
        assert_eq!(admitted, Ok(expected));
    }
    assert_eq!(register(&store, "g", Some("unknown")).await, Admitted::TokenUsedUp);
    // Nobody needs a token where the realm is open.
    assert_eq!(register(&store, "h", None).await, Admitted::Registered);
}

pub(crate) async fn of_many_last_uses_at_once_one_registers(store: Arc<dyn Store>) {
    let last = InitialAccessToken { uses_left: 1, ..initial_access_token(1) };
    add(&store, &last).await;
    let attempts = (0..32).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { register(&store, &format!("c{number}"), Some("i1")).await })
    });
    let mut registered = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        registered += usize::from(attempt.await.unwrap() == Admitted::Registered);
    }
    assert_eq!(registered, 1);
    assert_eq!(store.clients(&main(), None, 100).await.unwrap().len(), 1);
}

pub(crate) async fn no_more_are_registered_than_there_may_be(store: Arc<dyn Store>) {
    add(&store, &initial_access_token(1)).await;
    // Made by an operator: it does not count.
    let own = crate::sample::client("own");
    store.add_client(&own, &event(EventKind::ClientCreated)).await.unwrap();
    let register = |name: &'static str| {
        let store = Arc::clone(&store);
        async move {
            let (client, tells) = (registered(name, None), event(EventKind::ClientRegistered));
            store.register_client(&client, Some(&token_id("i1")), 2, &tells).await.unwrap()
        }
    };
    assert_eq!(register("a").await, Admitted::Registered);
    assert_eq!(register("b").await, Admitted::Registered);
    assert_eq!(register("c").await, Admitted::Full);
    assert_eq!(kept(&store, 1).await.map(|token| token.uses_left), Some(1));
    store.delete_client(&main(), &id("a"), &event(EventKind::ClientDeleted)).await.unwrap();
    assert_eq!(register("c").await, Admitted::Registered);
}

pub(crate) async fn only_expired_tokens_are_removed(store: Arc<dyn Store>) {
    let lasting = InitialAccessToken { expires_at: None, ..initial_access_token(2) };
    for token in [initial_access_token(1), lasting] {
        add(&store, &token).await;
    }
    let remove = |seconds| {
        let store = Arc::clone(&store);
        async move { store.remove_expired(&before(at(-9999), at(seconds)), 100).await.unwrap() }
    };
    remove(60).await;
    assert!(kept(&store, 1).await.is_some());
    remove(61).await;
    assert!(kept(&store, 1).await.is_none() && kept(&store, 2).await.is_some());
}
