//! Cases about clients and their secrets.

use std::num::NonZeroU32;
use std::sync::Arc;

use jeton_engine::client::extract::ClientExtract;
use jeton_engine::client::{
    Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest, SecretUse,
};
use jeton_engine::event::EventKind;
use jeton_engine::name::ClientId;
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::store::{Changed, Revision, Store, StoreError, TokenFilter};
use jeton_engine::terms::Lifetime;
use jeton_engine::token::TokenOrigin;

use crate::sample::{
    at, before, client, event, extracts, id, main, other, registered, secret, token,
};

fn full() -> Client {
    let mut full = client("orders");
    full.name = Some("Orders & returns".into());
    full.subject = Some("warehouse/é".parse().unwrap());
    full.status = ClientStatus::Disabled;
    full.lock = Lock::Until(at(99));
    full.audiences = vec!["https://a.example".parse().unwrap(), "b \"c\"".parse().unwrap()];
    full.lifetime = Some(Lifetime::Seconds(NonZeroU32::new(600).unwrap()));
    full.networks = vec!["10.1.2.3/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    full.authentication = AuthenticationMethod::ALL.to_vec();
    let mut supplied = secret("s-supplied");
    supplied.name = Some("from the old system".into());
    supplied.digest = SecretDigest::Supplied("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA".into());
    supplied.expires_at = Some(at(500));
    supplied.last_used_at = Some(at(5));
    // Not in the order of their identifiers: made in this order.
    full.secrets = vec![supplied, secret("s-generated")];
    full.changed_at = at(3);
    full.revision = 7;
    full
}

async fn stored(store: &Arc<dyn Store>, client_id: &str) -> Client {
    store.client(&main(), &id(client_id)).await.unwrap().unwrap()
}

pub(crate) async fn a_client_comes_back_as_it_was_added(store: Arc<dyn Store>) {
    let mut locked = client("locked");
    locked.lock = Lock::UntilUnlocked;
    locked.lifetime = Some(Lifetime::Never);
    for client in [full(), locked, client("plain")] {
        let created = event(EventKind::ClientCreated);
        store.add_client(&client, &created).await.unwrap();
        assert_eq!(store.client(&main(), &client.id).await.unwrap(), Some(client));
        assert_eq!(store.event(created.reference).await.unwrap(), Some(created));
    }
    assert_eq!(store.client(&other(), &id("orders")).await.unwrap(), None);
    assert_eq!(store.client(&main(), &id("Orders")).await.unwrap(), None);
}

pub(crate) async fn a_client_is_added_once(store: Arc<dyn Store>) {
    store.add_client(&full(), &event(EventKind::ClientCreated)).await.unwrap();
    let again = event(EventKind::ClientCreated);
    let mut second = client("orders");
    second.secrets = vec![secret("s-other")];
    assert_eq!(store.add_client(&second, &again).await, Err(StoreError::Exists));
    assert_eq!(stored(&store, "orders").await, full());
    assert_eq!(store.event(again.reference).await.unwrap(), None);
    // In another realm it is another client.
    second.realm = other();
    store.add_client(&second, &again).await.unwrap();
    assert_eq!(store.client(&other(), &second.id).await.unwrap(), Some(second));
    assert_eq!(stored(&store, "orders").await, full());
}

pub(crate) async fn a_client_is_replaced_with_its_secrets(store: Arc<dyn Store>) {
    let mut first = client("orders");
    first.secrets = vec![secret("s-1"), secret("s-2")];
    store.add_client(&first, &event(EventKind::ClientCreated)).await.unwrap();
    store.add_client(&client("returns"), &event(EventKind::ClientCreated)).await.unwrap();
    let mut second = full();
    second.revision = 2;
    second.secrets.push(secret("s-2"));
    let changed = event(EventKind::ClientChanged);
    store.replace_client(&second, &changed).await.unwrap();
    assert_eq!(stored(&store, "orders").await, second);
    assert_eq!(store.event(changed.reference).await.unwrap(), Some(changed));
    assert_eq!(stored(&store, "returns").await, client("returns"));
}

pub(crate) async fn a_replacement_needs_the_next_revision(store: Arc<dyn Store>) {
    let mut changed = client("orders");
    let tells = event(EventKind::ClientChanged);
    changed.revision = 2;
    assert_eq!(store.replace_client(&changed, &tells).await, Err(StoreError::Missing));
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    changed.name = Some("changed".into());
    changed.secrets = vec![secret("s-1")];
    for revision in [0, 1, 3] {
        changed.revision = revision;
        assert_eq!(store.replace_client(&changed, &tells).await, Err(StoreError::Conflict));
    }
    assert_eq!(stored(&store, "orders").await, client("orders"));
    assert_eq!(store.event(tells.reference).await.unwrap(), None);
    changed.revision = 2;
    store.replace_client(&changed, &tells).await.unwrap();
    assert_eq!(stored(&store, "orders").await, changed);
}

pub(crate) async fn of_many_replacements_at_once_one_wins(store: Arc<dyn Store>) {
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    let attempts: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&store);
            let mut changed = client("orders");
            changed.revision = 2;
            changed.name = Some(format!("by {number}").into());
            tokio::spawn(async move {
                let outcome =
                    store.replace_client(&changed, &event(EventKind::ClientChanged)).await;
                (changed, outcome)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            (changed, Ok(())) => winners.push(changed),
            (_, outcome) => assert_eq!(outcome, Err(StoreError::Conflict)),
        }
    }
    assert_eq!(winners, [stored(&store, "orders").await]);
}

pub(crate) async fn the_later_of_two_last_uses_survives_a_replacement(store: Arc<dyn Store>) {
    let mut first = client("orders");
    first.secrets = vec![secret("s-1"), secret("s-2"), secret("s-3"), secret("s-4")];
    first.secrets[0].last_used_at = Some(at(50));
    first.secrets[1].last_used_at = Some(at(50));
    first.secrets[2].last_used_at = Some(at(50));
    store.add_client(&first, &event(EventKind::ClientCreated)).await.unwrap();
    let mut second = first.clone();
    second.revision = 2;
    second.secrets[0].last_used_at = Some(at(40));
    second.secrets[1].last_used_at = Some(at(60));
    second.secrets[2].last_used_at = None;
    second.secrets[3].last_used_at = Some(at(60));
    store.replace_client(&second, &event(EventKind::ClientChanged)).await.unwrap();
    let uses: Vec<_> =
        stored(&store, "orders").await.secrets.iter().map(|secret| secret.last_used_at).collect();
    assert_eq!(uses, [Some(at(50)), Some(at(60)), Some(at(50)), Some(at(60))]);
}

pub(crate) async fn deleting_a_client_takes_its_secrets_and_tokens_with_it(store: Arc<dyn Store>) {
    let deleted = event(EventKind::ClientDeleted);
    assert!(!store.delete_client(&main(), &id("orders"), &deleted).await.unwrap());
    assert_eq!(store.event(deleted.reference).await.unwrap(), None);
    for name in ["orders", "returns"] {
        store.add_client(&client(name), &event(EventKind::ClientCreated)).await.unwrap();
    }
    let mut lasting = token(2);
    lasting.expires_at = None;
    let mut by_hand = token(3);
    by_hand.origin = TokenOrigin::ByHand("laptop".into());
    let mut of_another = token(4);
    of_another.client_id = id("returns");
    let mut elsewhere = token(5);
    elsewhere.realm = other();
    for token in [token(1), lasting, by_hand, of_another.clone(), elsewhere.clone()] {
        store.keep_token(token, None).await.unwrap();
    }
    assert!(store.delete_client(&main(), &id("orders"), &deleted).await.unwrap());
    assert_eq!(store.event(deleted.reference).await.unwrap(), Some(deleted));
    assert_eq!(store.client(&main(), &id("orders")).await.unwrap(), None);
    for number in 1..=3 {
        let gone = token(number);
        assert_eq!(store.token(&main(), &gone.digest).await.unwrap(), None, "{number}");
        let revoked = event(EventKind::TokenRevoked);
        assert!(!store.revoke_token(&main(), &gone.id, &revoked).await.unwrap());
        assert_eq!(store.event(revoked.reference).await.unwrap(), None);
    }
    let left = store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert_eq!(left, [of_another]);
    assert_eq!(store.token(&other(), &elsewhere.digest).await.unwrap(), Some(elsewhere));
    let again = event(EventKind::ClientDeleted);
    assert!(!store.delete_client(&main(), &id("orders"), &again).await.unwrap());
}

pub(crate) async fn a_client_made_again_has_nothing_of_the_old_one(store: Arc<dyn Store>) {
    for round in 0..3 {
        let mut first = client("orders");
        first.secrets = vec![secret("s-1")];
        store.add_client(&first, &event(EventKind::ClientCreated)).await.unwrap();
        store.keep_token(token(round * 2), None).await.unwrap();
        // Also when every row has been removed meanwhile.
        store.remove_expired(&before(at(9999), at(-1)), 100).await.unwrap();
        store.keep_token(token(round * 2 + 1), None).await.unwrap();
        let tokens = store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
        assert_eq!(tokens, [token(round * 2 + 1)]);
        assert!(
            store
                .delete_client(&main(), &id("orders"), &event(EventKind::ClientDeleted))
                .await
                .unwrap()
        );
    }
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    assert_eq!(stored(&store, "orders").await, client("orders"));
    assert_eq!(store.tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap(), []);
}

pub(crate) async fn clients_come_in_the_byte_order_of_their_identifiers(store: Arc<dyn Store>) {
    let mut elsewhere = client("b");
    elsewhere.realm = other();
    store.add_client(&elsewhere, &event(EventKind::ClientCreated)).await.unwrap();
    for name in ["b", "é", "a b", "Z", "ab", "a"] {
        store.add_client(&client(name), &event(EventKind::ClientCreated)).await.unwrap();
    }
    let page = async |after: Option<&ClientId>, count| -> Vec<String> {
        let clients = store.clients(&main(), after, count).await.unwrap();
        clients.into_iter().map(|client| client.id.into()).collect()
    };
    assert_eq!(page(None, 100).await, ["Z", "a", "a b", "ab", "b", "é"]);
    assert_eq!(page(None, 2).await, ["Z", "a"]);
    assert_eq!(page(Some(&id("a")), 2).await, ["a b", "ab"]);
    // What the page begins after need not be there.
    assert_eq!(page(Some(&id("aa")), 100).await, ["ab", "b", "é"]);
    assert!(page(Some(&id("é")), 100).await.is_empty());
    assert!(page(None, 0).await.is_empty());
}

pub(crate) async fn every_client_of_a_page_has_its_own_secrets(store: Arc<dyn Store>) {
    let clients: Vec<Client> = (0..6)
        .map(|number| {
            let mut client = client(&format!("client-{number}"));
            client.secrets =
                (0..number % 3).rev().map(|one| secret(&format!("s-{number}-{one}"))).collect();
            client
        })
        .collect();
    for client in &clients {
        store.add_client(client, &event(EventKind::ClientCreated)).await.unwrap();
    }
    assert_eq!(store.clients(&main(), None, 10).await.unwrap(), clients);
    assert_eq!(store.clients(&main(), None, 3).await.unwrap(), clients[..3]);
    assert_eq!(store.clients(&main(), Some(&clients[2].id), 2).await.unwrap(), clients[3..5]);
}

/// What keeps a client from being plain, each by itself, beside what does not.
fn plain_and_not() -> (Vec<Client>, Vec<Client>) {
    let with = |change: &dyn Fn(&mut Client)| {
        let mut changed = client("?");
        changed.secrets = vec![secret("s-1")];
        change(&mut changed);
        changed
    };
    let one = |digest| vec![Secret { digest, ..secret("s-1") }];
    let plain = vec![
        with(&|_| {}),
        with(&|client| client.secrets.clear()),
        with(&|client| client.name = Some("Orders & returns".into())),
        with(&|client| client.scope = "".parse().unwrap()),
        with(&|client| client.secrets[0].digest = SecretDigest::Generated([0; 32])),
        with(&|client| client.secrets[0].expires_at = Some(at(500))),
        with(&|client| client.secrets[0].last_used_at = Some(at(5))),
        with(&|client| (client.changed_at, client.revision) = (at(3), 7)),
    ];
    let not = vec![
        with(&|client| client.subject = Some("warehouse/é".parse().unwrap())),
        with(&|client| client.status = ClientStatus::Disabled),
        with(&|client| client.role = ClientRole::ResourceServer),
        with(&|client| client.lock = Lock::Until(at(99))),
        with(&|client| client.lock = Lock::UntilUnlocked),
        with(&|client| client.audiences = vec!["a".parse().unwrap()]),
        with(&|client| client.lifetime = Some(Lifetime::Never)),
        with(&|client| client.networks = vec!["10.1.2.3/8".parse().unwrap()]),
        with(&|client| client.authentication = AuthenticationMethod::ALL[..1].to_vec()),
        with(&|client| client.claims = r#"{"tier":1}"#.parse().unwrap()),
        with(&|client| client.proof = Some(Box::default())),
        with(&|client| client.registration = registered("?", None).registration),
        with(&|client| client.secrets = one(SecretDigest::Supplied("$argon2id$v=19".into()))),
        with(&|client| client.secrets = one(SecretDigest::Sealed([1, 2].into()))),
        with(&|client| client.secrets.push(secret("s-0"))),
    ];
    (plain, not)
}

pub(crate) async fn extracts_are_those_of_the_whole_clients(store: Arc<dyn Store>) {
    let (plain, not) = plain_and_not();
    let count = plain.len();
    // First those that are plain, among them one that is not; then the others.
    let mut clients: Vec<Client> = plain.into_iter().chain(not).collect();
    clients.insert(2, full());
    for (number, client) in clients.iter_mut().enumerate() {
        client.id = id(&format!("client-{number:02}"));
        store.add_client(client, &event(EventKind::ClientCreated)).await.unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let extract = ClientExtract::from(client.clone());
        let is_plain = matches!(extract, ClientExtract::Plain(_));
        assert_eq!(is_plain, number <= count && number != 2, "{number}");
    }
    let made: Vec<ClientExtract> = clients.into_iter().map(ClientExtract::from).collect();
    assert_eq!(extracts(&*store, &main()).await.unwrap(), made);
    assert_eq!(extracts(&*store, &other()).await.unwrap(), []);
}

pub(crate) async fn extracts_follow_every_change(store: Arc<dyn Store>) {
    let extracts = async || {
        let whole = store.clients(&main(), None, 10).await.unwrap();
        let made: Vec<ClientExtract> = whole.into_iter().map(ClientExtract::from).collect();
        assert_eq!(extracts(&*store, &main()).await.unwrap(), made);
        made
    };
    let plain = |extract: Option<&ClientExtract>| match extract {
        Some(ClientExtract::Plain(plain)) => Some((plain.revision, plain.secret.is_some())),
        _ => None,
    };
    let mut orders = client("orders");
    store.add_client(&orders, &event(EventKind::ClientCreated)).await.unwrap();
    store.add_client(&client("returns"), &event(EventKind::ClientCreated)).await.unwrap();
    assert_eq!(plain(extracts().await.first()), Some((1, false)));
    let changes: [&dyn Fn(&mut Client); 6] = [
        &|client| client.secrets = vec![secret("s-1")],
        &|client| client.secrets.push(secret("s-2")),
        &|client| drop(client.secrets.remove(0)),
        &|client| client.status = ClientStatus::Disabled,
        &|client| client.status = ClientStatus::Enabled,
        &|client| client.name = Some("Orders\nand returns".into()),
    ];
    let mut seen = Vec::new();
    for change in changes {
        change(&mut orders);
        orders.revision += 1;
        store.replace_client(&orders, &event(EventKind::ClientChanged)).await.unwrap();
        let extracts = extracts().await;
        assert_eq!(plain(extracts.get(1)), Some((1, false)), "the other one is as it was");
        seen.push(plain(extracts.first()));
    }
    let with_secret = |revision| Some((revision, true));
    assert_eq!(seen, [with_secret(2), None, with_secret(4), None, with_secret(6), with_secret(7)]);
    let secret_id = orders.secrets[0].id.clone();
    let used = SecretUse { realm: main(), client_id: id("orders"), secret_id, at: at(50) };
    store.note_secret_uses(&[used]).await.unwrap();
    assert_eq!(plain(extracts().await.first()), with_secret(7));
    store.delete_client(&main(), &id("orders"), &event(EventKind::ClientDeleted)).await.unwrap();
    assert_eq!(extracts().await.len(), 1);
    store.add_client(&client("orders"), &event(EventKind::ClientCreated)).await.unwrap();
    assert_eq!(plain(extracts().await.first()), Some((1, false)));
}

pub(crate) async fn uses_of_secrets_are_noted_when_they_are_later(store: Arc<dyn Store>) {
    let mut first = client("orders");
    first.secrets = vec![secret("s-1"), secret("s-2"), secret("s-3")];
    first.secrets[1].last_used_at = Some(at(50));
    first.secrets[2].last_used_at = Some(at(50));
    store.add_client(&first, &event(EventKind::ClientCreated)).await.unwrap();
    let revision = store.changes(Revision(0)).await.unwrap().revision;
    let used = |client_id, secret_id: &str, seconds| SecretUse {
        realm: main(),
        client_id: id(client_id),
        secret_id: secret_id.parse().unwrap(),
        at: at(seconds),
    };
    let uses = [
        used("orders", "s-1", 10),
        used("orders", "s-2", 49),
        used("gone", "s-1", 99),
        used("orders", "s-gone", 99),
        used("orders", "s-3", 51),
    ];
    store.note_secret_uses(&uses).await.unwrap();
    store.note_secret_uses(&[]).await.unwrap();
    let mut expected = first;
    expected.secrets[0].last_used_at = Some(at(10));
    expected.secrets[2].last_used_at = Some(at(51));
    assert_eq!(stored(&store, "orders").await, expected);
    let after = store.changes(revision).await.unwrap();
    assert_eq!(after.changed, Changed::These(Vec::new()));
}
