//! Records to keep: small ones that differ where a test says so.

use jeton_engine::claims::CustomClaims;
use jeton_engine::client::extract::ClientExtract;
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use jeton_engine::clock::{Random, Time};
use jeton_engine::confirmation::Confirmation;
use jeton_engine::event::{Event, EventKind, Reference};
use jeton_engine::jose::Algorithm;
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::name::{ClientId, RealmName, SecretId, TokenId};
use jeton_engine::registration::{InitialAccessToken, Registration, RegistrationTokenDigest};
use jeton_engine::store::{Horizon, Store, StoreError};
use jeton_engine::token::{TokenFormat, TokenOrigin, TokenRecord};

/// A moment, in seconds after the one at which all tests begin.
pub(crate) fn at(seconds: i64) -> Time {
    Time::from_seconds(1_700_000_000 + seconds)
}

/// From before when rows are removed; nothing that was spent.
pub(crate) fn before(tokens: Time, events: Time) -> Horizon {
    Horizon { tokens, events, spent: at(-9999) }
}

pub(crate) fn main() -> RealmName {
    "main".parse().unwrap()
}

pub(crate) fn other() -> RealmName {
    "other".parse().unwrap()
}

pub(crate) fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

pub(crate) fn token_id(text: &str) -> TokenId {
    text.parse().unwrap()
}

/// An event with a reference that no other has.
pub(crate) fn event(kind: EventKind) -> Event {
    Event {
        at: at(0),
        reference: Reference::new(&Random::System),
        realm: main(),
        kind,
        client_id: Some(id("orders")),
        source: Some("2001:db8::1".parse().unwrap()),
        detail: Some("something to know".into()),
    }
}

/// A client with nothing that may be absent.
pub(crate) fn client(client_id: &str) -> Client {
    Client {
        realm: main(),
        id: id(client_id),
        name: None,
        subject: None,
        status: ClientStatus::Enabled,
        role: ClientRole::Client,
        lock: Lock::Open,
        scope: "read write".parse().unwrap(),
        audiences: Vec::new(),
        lifetime: None,
        networks: Vec::new(),
        authentication: Vec::new(),
        claims: CustomClaims::default(),
        proof: None,
        registration: None,
        secrets: Vec::new(),
        created_at: at(0),
        changed_at: at(0),
        revision: 1,
    }
}

/// The clients of a realm as memory takes them up.
pub(crate) async fn extracts(
    store: &dyn Store,
    realm: &RealmName,
) -> Result<Vec<ClientExtract>, StoreError> {
    let mut extracts = Vec::new();
    store.client_extracts(realm, &mut |extract| extracts.push(extract)).await?;
    Ok(extracts)
}

/// A secret that somebody generated.
pub(crate) fn secret(secret_id: &str) -> Secret {
    Secret {
        id: secret_id.parse::<SecretId>().unwrap(),
        name: None,
        digest: SecretDigest::Generated([7; 32]),
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
    }
}

/// A key with this status.
pub(crate) fn key(key_id: &str, algorithm: Algorithm, status: KeyStatus) -> KeyRecord {
    KeyRecord {
        realm: main(),
        id: key_id.parse().unwrap(),
        algorithm,
        status,
        sealed: vec![0, 1, 2, 255],
        public_jwk: Some(r#"{"kty":"OKP"}"#.to_owned()),
        created_at: at(1),
        activated_at: (status == KeyStatus::Active).then(|| at(1)),
        retired_at: None,
    }
}

/// A token of `orders` that lives for an hour; `number` orders it among the others.
pub(crate) fn token(number: u16) -> TokenRecord {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    TokenRecord {
        realm: main(),
        id: token_id(&format!("t{number:05}")),
        digest,
        format: TokenFormat::Stored,
        origin: TokenOrigin::Endpoint,
        client_id: id("orders"),
        subject: "orders".parse().unwrap(),
        scope: "read".parse().unwrap(),
        audiences: Vec::new(),
        confirmation: Confirmation::default(),
        issued_at: at(0),
        expires_at: Some(at(3600)),
        revoked_at: None,
    }
}

/// A client that registered itself.
pub(crate) fn registered(client_id: &str, through: Option<&str>) -> Client {
    let registration = Registration {
        token: RegistrationTokenDigest::of(client_id),
        through: through.map(token_id),
        scope_max: Some("read".parse().unwrap()),
        members: serde_json::from_str(r#"{"software_id":"s","client_name#fr":"é"}"#).unwrap(),
    };
    Client { registration: Some(Box::new(registration)), ..client(client_id) }
}

/// A token that lets three clients be registered, for a minute.
pub(crate) fn initial_access_token(number: u8) -> InitialAccessToken {
    InitialAccessToken {
        realm: main(),
        id: token_id(&format!("i{number}")),
        digest: [number; 32],
        scope: "read write".parse().unwrap(),
        uses_left: 3,
        created_at: at(0),
        expires_at: Some(at(60)),
    }
}
