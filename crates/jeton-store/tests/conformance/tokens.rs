//! Cases about tokens and events, and about what is removed of both.

use std::sync::Arc;

use jeton_engine::event::EventKind;
use jeton_engine::name::TokenId;
use jeton_engine::store::{Change, Changed, Revision, Store, StoreError, TokenFilter};
use jeton_engine::token::{TokenFormat, TokenOrigin, TokenRecord};

use crate::sample::{at, before, client, event, id, main, other, token, token_id};

pub(crate) async fn a_token_is_found_by_its_digest(store: Arc<dyn Store>) {
    let mut by_hand = token(2);
    by_hand.format = TokenFormat::Jwt;
    by_hand.origin = TokenOrigin::ByHand("my laptop".into());
    by_hand.subject = "somebody".parse().unwrap();
    by_hand.audiences = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    by_hand.expires_at = None;
    by_hand.revoked_at = Some(at(1));
    // The same but for the last byte of the digest.
    let mut twin = token(3);
    twin.digest = by_hand.digest;
    twin.digest[31] = 1;
    for token in [token(1), by_hand.clone(), twin.clone()] {
        store.keep_token(token, None).await.unwrap();
    }
    for token in [token(1), by_hand, twin] {
        assert_eq!(store.token(&other(), &token.digest).await.unwrap(), None);
        assert_eq!(store.token(&main(), &token.digest).await.unwrap(), Some(token));
    }
    assert_eq!(store.token(&main(), &[255; 32]).await.unwrap(), None);
}

pub(crate) async fn a_token_is_kept_once(store: Arc<dyn Store>) {
    store.keep_token(token(1), None).await.unwrap();
    let mut second = token(1);
    second.digest = [9; 32];
    let issued = event(EventKind::TokenIssued);
    let outcome = store.keep_token(second.clone(), Some(issued.clone())).await;
    assert_eq!(outcome, Err(StoreError::Exists));
    assert_eq!(store.token(&main(), &[9; 32]).await.unwrap(), None);
    assert_eq!(store.event(issued.reference).await.unwrap(), None);
    second.realm = other();
    store.keep_token(second.clone(), None).await.unwrap();
    assert_eq!(store.token(&other(), &[9; 32]).await.unwrap(), Some(second));
}

pub(crate) async fn an_event_is_kept_with_its_token(store: Arc<dyn Store>) {
    let mut issued = event(EventKind::TokenIssued);
    issued.source = None;
    issued.client_id = None;
    issued.detail = None;
    store.keep_token(token(1), Some(issued.clone())).await.unwrap();
    assert_eq!(store.event(issued.reference).await.unwrap(), Some(issued));
}

async fn listed(
    store: &Arc<dyn Store>,
    filter: &TokenFilter,
    before: Option<&TokenId>,
    count: u32,
) -> Vec<String> {
    let tokens = store.tokens(&main(), filter, before, count).await.unwrap();
    tokens.into_iter().map(|token| token.id.into()).collect()
}

pub(crate) async fn tokens_come_newest_first(store: Arc<dyn Store>) {
    let mut elsewhere = token(9);
    elsewhere.realm = other();
    // Not kept in the order they were made.
    for token in [token(2), token(4), token(1), elsewhere, token(3)] {
        store.keep_token(token, None).await.unwrap();
    }
    let all = TokenFilter::default();
    assert_eq!(listed(&store, &all, None, 10).await, ["t00004", "t00003", "t00002", "t00001"]);
    assert_eq!(listed(&store, &all, None, 2).await, ["t00004", "t00003"]);
    assert_eq!(listed(&store, &all, Some(&token_id("t00003")), 10).await, ["t00002", "t00001"]);
    assert_eq!(listed(&store, &all, Some(&token_id("t00002z")), 1).await, ["t00002"]);
    assert!(listed(&store, &all, Some(&token_id("t00001")), 10).await.is_empty());
    assert!(listed(&store, &all, None, 0).await.is_empty());
    let whole = store.tokens(&main(), &all, None, 1).await.unwrap();
    assert_eq!(whole, [token(4)]);
}

pub(crate) async fn tokens_are_filtered(store: Arc<dyn Store>) {
    for number in 0..8_u16 {
        let mut token = token(number);
        if number % 2 == 1 {
            token.client_id = id("returns");
        }
        if number >= 4 {
            token.origin = TokenOrigin::ByHand("laptop".into());
        }
        store.keep_token(token, None).await.unwrap();
    }
    let only = |client: Option<&str>, by_hand_only| TokenFilter {
        client_id: client.map(id),
        by_hand_only,
    };
    assert_eq!(
        listed(&store, &only(Some("returns"), false), None, 10).await,
        ["t00007", "t00005", "t00003", "t00001"]
    );
    assert_eq!(
        listed(&store, &only(None, true), None, 10).await,
        ["t00007", "t00006", "t00005", "t00004"]
    );
    assert_eq!(listed(&store, &only(Some("orders"), true), None, 10).await, ["t00006", "t00004"]);
    let before = token_id("t00006");
    assert_eq!(listed(&store, &only(Some("orders"), true), Some(&before), 10).await, ["t00004"]);
    assert_eq!(listed(&store, &only(Some("orders"), true), None, 1).await, ["t00006"]);
    assert!(listed(&store, &only(Some("nobody"), false), None, 10).await.is_empty());
}

pub(crate) async fn a_revoked_token_keeps_its_first_moment(store: Arc<dyn Store>) {
    store.keep_token(token(1), None).await.unwrap();
    store.keep_token(token(2), None).await.unwrap();
    let unknown = event(EventKind::TokenRevoked);
    assert!(!store.revoke_token(&main(), &token_id("t00003"), &unknown).await.unwrap());
    assert!(!store.revoke_token(&other(), &token(1).id, &unknown).await.unwrap());
    assert_eq!(store.event(unknown.reference).await.unwrap(), None);
    let mut first = event(EventKind::TokenRevoked);
    first.at = at(30);
    assert!(store.revoke_token(&main(), &token(1).id, &first).await.unwrap());
    let mut second = event(EventKind::TokenRevoked);
    second.at = at(40);
    assert!(store.revoke_token(&main(), &token(1).id, &second).await.unwrap());
    let revoked = TokenRecord { revoked_at: Some(at(30)), ..token(1) };
    assert_eq!(store.token(&main(), &revoked.digest).await.unwrap(), Some(revoked));
    assert_eq!(store.token(&main(), &token(2).digest).await.unwrap(), Some(token(2)));
    assert_eq!(store.event(first.reference).await.unwrap(), Some(first));
    assert_eq!(store.event(second.reference).await.unwrap(), None);
}

pub(crate) async fn only_expired_tokens_are_removed(store: Arc<dyn Store>) {
    let ends = |number, expires_at| TokenRecord { expires_at, ..token(number) };
    let revoked = |record| TokenRecord { revoked_at: Some(at(1)), ..record };
    let gone = [ends(1, Some(at(99))), revoked(ends(2, Some(at(98))))];
    let mut by_hand = ends(6, Some(at(101)));
    by_hand.origin = TokenOrigin::ByHand("laptop".into());
    let kept = [
        ends(3, Some(at(100))),
        ends(4, None),
        revoked(ends(5, Some(at(100)))),
        by_hand,
        revoked(ends(7, None)),
    ];
    for token in gone.iter().chain(&kept) {
        store.keep_token(token.clone(), None).await.unwrap();
    }
    assert_eq!(store.remove_expired(&before(at(100), at(-1000)), 100).await.unwrap(), 2);
    assert_eq!(store.remove_expired(&before(at(100), at(-1000)), 100).await.unwrap(), 0);
    for token in gone {
        assert_eq!(store.token(&main(), &token.digest).await.unwrap(), None);
    }
    for token in kept {
        assert_eq!(store.token(&main(), &token.digest).await.unwrap(), Some(token));
    }
}

pub(crate) async fn old_events_and_changes_are_removed(store: Arc<dyn Store>) {
    let mut events: Vec<_> = (0..3).map(|_| event(EventKind::TokenRefused)).collect();
    for (index, event) in events.iter_mut().enumerate() {
        event.at = at(10 * index as i64);
    }
    store.keep_events(&events).await.unwrap();
    let mut created = event(EventKind::ClientCreated);
    created.at = at(5);
    store.add_client(&client("orders"), &created).await.unwrap();
    // Two of the three events, and the event and change of the client.
    assert_eq!(store.remove_expired(&before(at(-1000), at(20)), 100).await.unwrap(), 4);
    for gone in [&events[0], &events[1], &created] {
        assert_eq!(store.event(gone.reference).await.unwrap(), None);
    }
    assert_eq!(store.event(events[2].reference).await.unwrap().as_ref(), Some(&events[2]));
    let changes = store.changes(Revision(0)).await.unwrap();
    assert_eq!(changes.changed, Changed::Everything);
    assert!(store.client(&main(), &id("orders")).await.unwrap().is_some());
    assert_eq!(store.remove_expired(&before(at(-1000), at(20)), 100).await.unwrap(), 0);
}

pub(crate) async fn no_more_is_removed_than_asked(store: Arc<dyn Store>) {
    for number in 0..5 {
        store.keep_token(token(number), None).await.unwrap();
    }
    let events: Vec<_> = (0..5).map(|_| event(EventKind::TokenRefused)).collect();
    store.keep_events(&events).await.unwrap();
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    let mut removed = Vec::new();
    for _ in 0..5 {
        removed.push(store.remove_expired(&before(at(9999), at(9999)), 3).await.unwrap());
    }
    assert_eq!(removed, [3, 3, 3, 3, 0]);
    assert_eq!(store.remove_expired(&before(at(9999), at(9999)), 0).await.unwrap(), 0);
}

pub(crate) async fn events_are_found_by_their_reference(store: Arc<dyn Store>) {
    let mut events: Vec<_> = EventKind::ALL.iter().copied().map(event).collect();
    events[1].source = Some("192.0.2.1".parse().unwrap());
    store.keep_events(&events).await.unwrap();
    store.keep_events(&[]).await.unwrap();
    for event in &events {
        assert_eq!(store.event(event.reference).await.unwrap().as_ref(), Some(event));
    }
    assert_eq!(store.event("0000000000".parse().unwrap()).await.unwrap(), None);
    // Should two ever share a reference, the later one is meant.
    let later = jeton_engine::event::Event { at: at(99), ..events[0].clone() };
    store.keep_events(std::slice::from_ref(&later)).await.unwrap();
    assert_eq!(store.event(later.reference).await.unwrap(), Some(later));
}

pub(crate) async fn a_token_that_was_never_kept_is_revoked_all_the_same(store: Arc<dyn Store>) {
    let mut revoked = token(1);
    revoked.format = TokenFormat::Sealed;
    revoked.revoked_at = Some(at(5));
    let first = event(EventKind::TokenRevoked);
    assert_eq!(store.revoke(&revoked, &first).await, Ok(true));
    assert_eq!(store.token(&main(), &revoked.digest).await, Ok(Some(revoked.clone())));
    let told = vec![Change::TokenRevoked(main(), revoked.digest)];
    assert_eq!(store.changes(Revision(0)).await.unwrap().changed, Changed::These(told));

    let second = event(EventKind::TokenRevoked);
    assert_eq!(store.revoke(&revoked, &second).await, Ok(false));
    assert_eq!(store.event(second.reference).await, Ok(None));
    assert_eq!(store.event(first.reference).await, Ok(Some(first)));
}

pub(crate) async fn a_kept_token_is_revoked_by_its_digest(store: Arc<dyn Store>) {
    store.keep_token(token(1), None).await.unwrap();
    let mut told = token(1);
    told.id = token_id("another-name-for-it");
    told.revoked_at = Some(at(5));
    let mut revoking = event(EventKind::TokenRevoked);
    revoking.at = at(5);
    assert_eq!(store.revoke(&told, &revoking).await, Ok(true));
    let mut expected = token(1);
    expected.revoked_at = Some(at(5));
    assert_eq!(store.token(&main(), &expected.digest).await, Ok(Some(expected)));
}

pub(crate) async fn a_token_of_a_deleted_client_can_still_be_revoked(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    store.keep_token(token(1), None).await.unwrap();
    let deleted = event(EventKind::ClientDeleted);
    assert!(store.delete_client(&main(), &id("orders"), &deleted).await.unwrap());
    let mut revoked = token(1);
    revoked.revoked_at = Some(at(0));
    let revoking = event(EventKind::TokenRevoked);
    assert_eq!(store.revoke(&revoked, &revoking).await, Ok(true));
    assert_eq!(store.event(revoking.reference).await, Ok(Some(revoking)));
    assert_eq!(store.revoke(&revoked, &event(EventKind::TokenRevoked)).await, Ok(false));
    let known = store.revoked_tokens(&main(), at(0)).await.unwrap();
    assert_eq!(known, [(revoked.digest, revoked.expires_at)]);
}

pub(crate) async fn revoked_tokens_are_known_until_they_expire(store: Arc<dyn Store>) {
    let mut lasting = token(3);
    lasting.expires_at = None;
    for token in [token(1), token(2), lasting.clone()] {
        store.keep_token(token, None).await.unwrap();
    }
    for id in [token(2).id, lasting.id] {
        store.revoke_token(&main(), &id, &event(EventKind::TokenRevoked)).await.unwrap();
    }
    let mut revoked = store.revoked_tokens(&main(), at(3599)).await.unwrap();
    revoked.sort_unstable();
    assert_eq!(revoked, [(token(2).digest, Some(at(3600))), (lasting.digest, None)]);
    let later = store.revoked_tokens(&main(), at(3600)).await.unwrap();
    assert_eq!(later, [(lasting.digest, None)]);
    assert_eq!(store.revoked_tokens(&other(), at(0)).await, Ok(Vec::new()));
}
