//! Whatever a client or token may be, it comes back as it was kept.

use std::num::NonZeroU32;
use std::sync::Arc;

use ipnet::IpNet;
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::proof::Proof;
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use jeton_engine::clock::Time;
use jeton_engine::confirmation::{Confirmation, Thumbprint};
use jeton_engine::event::EventKind;
use jeton_engine::name::{Audience, ClientId, RealmName, SecretId, Subject, TokenId};
use jeton_engine::registration::{Registration, RegistrationTokenDigest};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::scope::Scope;
use jeton_engine::store::Store;
use jeton_engine::terms::Lifetime;
use jeton_engine::token::{TokenFormat, TokenOrigin, TokenRecord};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::sample::{event, extracts};

const CASES: usize = 64;

pub(crate) async fn any_client_and_any_token_come_back_as_they_were(store: Arc<dyn Store>) {
    let mut runner = TestRunner::default();
    for _ in 0..CASES {
        let client = any_client().new_tree(&mut runner).unwrap().current();
        store.add_client(&client, &event(EventKind::ClientCreated)).await.unwrap();
        let found = store.client(&client.realm, &client.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&client));
        let page = store.clients(&client.realm, None, 1000).await.unwrap();
        assert!(page.contains(&client));
        let extracts = extracts(&*store, &client.realm).await.unwrap();
        assert!(extracts.contains(&client.into()));

        let token = any_token().new_tree(&mut runner).unwrap().current();
        store.keep_token(token.clone(), None).await.unwrap();
        let found = store.token(&token.realm, &token.digest).await.unwrap();
        assert_eq!(found, Some(token));
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    shape: &'static str,
) -> impl Strategy<Value = T> {
    shape.prop_map(|text| text.parse().unwrap())
}

fn realm() -> impl Strategy<Value = RealmName> {
    parsed("[a-z0-9][a-z0-9-]{0,62}")
}

fn client_id() -> impl Strategy<Value = ClientId> {
    // Up to 63 characters of up to four bytes each, without control characters.
    parsed("\\PC{1,63}")
}

fn audience() -> impl Strategy<Value = Audience> {
    parsed("\\PC{1,63}")
}

fn scope() -> impl Strategy<Value = Scope> {
    parsed("([!#-\\[\\]-~]{1,20}( [!#-\\[\\]-~]{1,20}){0,5})?")
}

fn time() -> impl Strategy<Value = Time> {
    any::<i64>().prop_map(Time::from_milliseconds)
}

fn text() -> impl Strategy<Value = Box<str>> {
    any::<String>().prop_map(String::into_boxed_str)
}

fn network() -> impl Strategy<Value = IpNet> {
    (any::<std::net::IpAddr>(), 0..=32_u8)
        .prop_map(|(address, length)| IpNet::new(address, length).unwrap())
}

fn any_client() -> impl Strategy<Value = Client> {
    let words = (realm(), client_id(), of(text()), of(parsed::<Subject>("\\PC{1,63}")), scope());
    let lock =
        prop_oneof![Just(Lock::Open), time().prop_map(Lock::Until), Just(Lock::UntilUnlocked),];
    let lifetime =
        prop_oneof![any::<NonZeroU32>().prop_map(Lifetime::Seconds), Just(Lifetime::Never),];
    let status = prop_oneof![Just(ClientStatus::Enabled), Just(ClientStatus::Disabled)];
    let role = prop_oneof![Just(ClientRole::Client), Just(ClientRole::ResourceServer)];
    let proof = of(any_proof());
    let claims = parsed::<CustomClaims>(r#"\{("tenant":"[a-z]{0,9}","tiers":\[[1-9]{1,3}\])?\}"#);
    let standing = (status, role, claims, proof, of(any_registration()));
    let lists = (
        vec(audience(), 0..4),
        vec(network(), 0..4),
        vec(proptest::sample::select(AuthenticationMethod::ALL), 0..3),
        vec(any_secret(), 0..Client::SECRETS_MAX),
    );
    let rest = (standing, lock, of(lifetime), time(), time(), 0..=i64::MAX as u64);
    (words, lists, rest).prop_map(|(words, lists, rest)| Client {
        realm: words.0,
        id: words.1,
        name: words.2,
        subject: words.3,
        scope: words.4,
        audiences: lists.0,
        networks: lists.1,
        authentication: lists.2,
        secrets: each_once(lists.3),
        status: rest.0.0,
        role: rest.0.1,
        claims: rest.0.2,
        proof: rest.0.3.map(Box::new),
        registration: rest.0.4.map(Box::new),
        lock: rest.1,
        lifetime: rest.2,
        created_at: rest.3,
        changed_at: rest.4,
        revision: rest.5,
    })
}

fn any_proof() -> impl Strategy<Value = Proof> {
    let keys = r#""keys":\{"jwks_uri":"https://[a-z]{1,9}\.example/[a-z]{0,9}"\}"#;
    let names = concat!(
        r#""certificate":\{("subject_dn":"CN=[a-z]{1,9}"|"san_dns":"[a-z]{1,9}\.example"|"#,
        r#""san_uri":"spiffe://[a-z]{1,9}/[a-z]{1,9}"|"san_email":"[a-z]{1,9}@[a-z]{1,9}\.example")\}"#,
    );
    let federated =
        r#""federated":\{"issuer":"k8s","subject":"[a-z:]{1,9}","claims":\{"a":\[1\]\}\}"#;
    let sender = r#""sender":\{"dpop":"(off|required)","mtls":"(allowed|required)"\}"#;
    let shapes = [keys, names, federated, sender].map(proptest::string::string_regex);
    let parts = shapes.into_iter().map(|shape| of(shape.unwrap())).collect::<Vec<_>>();
    parts.prop_map(|parts| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{{{}}}", parts.join(",")).parse().unwrap()
    })
}

fn any_registration() -> impl Strategy<Value = Registration> {
    let through = of(parsed::<TokenId>("[A-Za-z0-9_.-]{1,64}"));
    let said = ("[a-z_]{1,9}(#[a-z]{2})?", any::<String>());
    (any::<String>(), through, of(scope()), said).prop_map(|(token, through, scope_max, said)| {
        let members = [(said.0, said.1.into())].into_iter().collect();
        let token = RegistrationTokenDigest::of(&token);
        Registration { token, through, scope_max, members }
    })
}

fn any_confirmation() -> impl Strategy<Value = Confirmation> {
    let thumbprint = || of(any::<[u8; 9]>().prop_map(|der| Thumbprint::of_certificate(&der)));
    (thumbprint(), thumbprint()).prop_map(|(key, certificate)| Confirmation { key, certificate })
}

/// A secret's identifier is its own.
fn each_once(mut secrets: Vec<Secret>) -> Vec<Secret> {
    let mut seen = std::collections::HashSet::new();
    secrets.retain(|secret| seen.insert(secret.id.clone()));
    secrets
}

fn any_secret() -> impl Strategy<Value = Secret> {
    let digest = prop_oneof![
        any::<[u8; 32]>().prop_map(SecretDigest::Generated),
        text().prop_map(SecretDigest::Supplied),
        vec(any::<u8>(), 1..99).prop_map(|bytes| SecretDigest::Sealed(bytes.into())),
    ];
    let id = parsed::<SecretId>("[A-Za-z0-9_.-]{1,64}");
    (id, of(text()), digest, time(), of(time()), of(time())).prop_map(
        |(id, name, digest, created_at, expires_at, last_used_at)| Secret {
            id,
            name,
            digest,
            created_at,
            expires_at,
            last_used_at,
        },
    )
}

fn any_token() -> impl Strategy<Value = TokenRecord> {
    let format =
        proptest::sample::select(&[TokenFormat::Jwt, TokenFormat::Stored, TokenFormat::Sealed][..]);
    let origin = prop_oneof![Just(TokenOrigin::Endpoint), text().prop_map(TokenOrigin::ByHand)];
    let words = (realm(), client_id(), parsed::<Subject>("\\PC{1,63}"), scope());
    let id = parsed::<TokenId>("[A-Za-z0-9_.-]{32,64}");
    let own = (id, any::<[u8; 32]>(), format, origin, vec(audience(), 0..4));
    let times = (time(), of(time()), of(time()), any_confirmation());
    (words, own, times).prop_map(|(words, own, times)| TokenRecord {
        realm: words.0,
        client_id: words.1,
        subject: words.2,
        scope: words.3,
        id: own.0,
        digest: own.1,
        format: own.2,
        origin: own.3,
        audiences: own.4,
        confirmation: times.3,
        issued_at: times.0,
        expires_at: times.1,
        revoked_at: times.2,
    })
}
