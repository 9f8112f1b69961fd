//! Plays every exchange of every built-in dialect, whole: engine, SQLite in memory, fixed clock and
//! seed; the answer must be the recorded one, byte for byte.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test assumes and fails")]

use std::sync::Arc;

use http::StatusCode;
use jeton_dialect::exchange::{
    Breaks, Cast, CastClient, CastState, Exchange, Response, compare, compare_live, parse,
};
use jeton_dialect::{Answer, Dialects, Folder, Incoming};
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::proof::{ClientKeys, Proof};
use jeton_engine::client::{ClientRole, ClientStatus, Lock};
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::{Engine, Parts, Settings};
use jeton_engine::error::{Fault, Reason, Refusal};
use jeton_engine::jose::Algorithm;
use jeton_engine::key_source::NoKeySource;
use jeton_engine::manage::{KeyMaterial, Manage, NewClient, NewSecret};
use jeton_engine::master_key::MasterKey;
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::Proving;
use jeton_engine::rotate::Rotation;
use jeton_engine::scope::Scope;
use jeton_engine::terms::{Lifetime, TokenShape};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use zeroize::Zeroizing;

/// What the server takes as a body when nobody says otherwise.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The realm of exchanges: where the dialect leaves the token to the realm, it is a JWT of RFC 9068.
fn realm() -> Realm {
    Realm {
        name: "exchanges".parse().unwrap(),
        issuer: "https://auth.example.com".to_owned(),
        audience: None,
        scopes: Scope::default(),
        token: TokenShape::rfc9068(Algorithm::Hs256),
        claims: CustomClaims::default(),
        lifetime: None,
        lifetime_max: None,
        lifetime_longest: Lifetime::Never,
        registration: None,
        proving: Proving::default(),
        rotation: Rotation::default(),
        client_limits: None,
        source_limits: Rates::default(),
        realm_limits: Rates::default(),
    }
}

fn parts(store: Arc<SqliteStore>, clock: Clock, seed: u64) -> Parts {
    let master_key = MasterKey::generate(&Random::seeded(0)).parse().unwrap();
    // Exchanges are about the wire: the cheapest hash that there is proves as much.
    let settings = Settings { argon2_memory_kib: 8, argon2_passes: 1, ..Settings::default() };
    let (random, key_source) = (Random::seeded(seed), Arc::new(NoKeySource));
    Parts { store, clock, random, master_key, key_source, settings }
}

async fn provision(manage: &Manage, realm: &Realm, cast: &Cast) {
    for key in &cast.keys {
        let material = KeyMaterial::Secret(key.secret.reveal().as_bytes().to_vec().into());
        let id = Some("exchanges".parse().unwrap());
        manage.import_key(&realm.name, key.algorithm, id, material).await.unwrap();
    }
    for client in &cast.clients {
        add(manage, realm, client).await;
    }
}

async fn add(manage: &Manage, realm: &Realm, client: &CastClient) {
    let new = NewClient {
        id: Some(client.id.clone()),
        name: client.name.clone(),
        subject: client.subject.clone(),
        scope: client.scope.clone(),
        audiences: client.audiences.clone(),
        lifetime: client.lifetime,
        networks: client.networks.clone(),
        authentication: client.authentication.clone(),
        role: ClientRole::default(),
        proof: Proof { keys: client.jwks.clone().map(ClientKeys::Jwks), ..Proof::default() },
        claims: CustomClaims::default(),
        secret: match &client.secret {
            Some(secret) => NewSecret::Supplied(Zeroizing::new(secret.reveal().to_owned())),
            None => NewSecret::None,
        },
        secret_name: None,
        secret_expires_at: client.secret_expires_at,
    };
    manage.create_client(realm, new).await.unwrap();
    match client.state {
        CastState::Enabled => {}
        CastState::Disabled => {
            manage.set_status(&realm.name, &client.id, ClientStatus::Disabled).await.unwrap();
        }
        CastState::Locked => {
            manage.lock_client(&realm.name, &client.id, Lock::UntilUnlocked).await.unwrap();
        }
        CastState::Revoked => {
            manage.revoke_secrets(&realm.name, &client.id, None).await.unwrap();
        }
    }
}

/// Sends the request as often as the exchange says; the last answer.
async fn play(folder: &Folder, cast: &Cast, exchange: &Exchange) -> Answer {
    let store = SqliteStore::open(&Location::Memory, SqliteSettings::default()).unwrap();
    let realm = realm();
    let before = Clock::fixed(Time::from_seconds(1_500_000_000));
    provision(&Manage::new(parts(Arc::clone(&store), before, 0)), &realm, cast).await;
    let clock = Clock::fixed(exchange.time);
    let parts = parts(Arc::clone(&store), clock, exchange.seed);
    let engine = Engine::open(parts, vec![realm.clone()]).await.unwrap();
    let mut last = None;
    for _ in 0..exchange.times {
        last = Some(answer(folder, &engine, &realm, exchange).await);
    }
    store.close().await;
    last.unwrap()
}

async fn answer(folder: &Folder, engine: &Engine, realm: &Realm, exchange: &Exchange) -> Answer {
    let (dialect, request) = (&folder.dialect, &exchange.request);
    let state = engine.realm(&realm.name).unwrap();
    let (terms, source) = (dialect.terms(), exchange.source);
    let broken = exchange.breaks.map(|breaks| match breaks {
        Breaks::Store => Fault::Store("the disk is on fire".to_owned()),
        Breaks::Capacity => Fault::Overloaded,
    });
    let is_too_large = request.body.len() > BODY_BYTES_MAX;
    let incoming = Incoming {
        method: &request.method,
        query: request.query(),
        headers: &request.headers,
        body: if is_too_large { Err(Reason::BodyTooLarge) } else { Ok(&request.body) },
    };
    let asked = match request.path() == dialect.path() {
        true => dialect.read(&incoming),
        false => Err(Refusal::from(Reason::PathUnknown)),
    };
    let decision = match broken {
        Some(fault) => engine.fail(&state, terms, source.into(), fault),
        None => {
            let asked = asked.as_ref().map(|asked| asked.request()).map_err(Clone::clone);
            engine.decide(&state, terms, source.into(), asked.as_ref()).await
        }
    };
    dialect.write(&decision, &request.headers)
}

fn response(answer: Answer) -> Response {
    Response { status: answer.status.as_u16(), headers: answer.headers, body: answer.body.to_vec() }
}

fn as_text(response: &Response) -> String {
    let headers: Vec<String> = response
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let status = StatusCode::from_u16(response.status).unwrap();
    let body = String::from_utf8_lossy(&response.body);
    format!("HTTP/1.1 {status}\n{}\n{body}", headers.concat())
}

/// Every exchange of a folder, parsed.
fn exchanges(folder: &Folder) -> Vec<(String, Exchange)> {
    let name = folder.dialect.name();
    let parsed = folder.exchanges.iter().map(|(file, text)| {
        let file = format!("dialects/{name}/exchanges/{file}");
        let exchange = parse(&file, text).unwrap_or_else(|problems| panic!("{problems}"));
        (file, exchange)
    });
    parsed.collect()
}

fn cast(folder: &Folder) -> Cast {
    let file = format!("dialects/{}/exchanges/cast.toml", folder.dialect.name());
    let text = folder.cast.as_deref().unwrap_or_else(|| panic!("{file} is missing"));
    Cast::parse(&file, text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exchange_of_every_dialect_is_answered_byte_for_byte() {
    let dialects = Dialects::builtin().unwrap_or_else(|problems| panic!("{problems}"));
    let mut told = String::new();
    for folder in dialects.iter() {
        let cast = cast(folder);
        for (file, exchange) in exchanges(folder) {
            let actual = response(play(folder, &cast, &exchange).await);
            let differences = compare(&exchange.response, &actual);
            if !differences.is_empty() {
                let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
                told.push_str(&format!(
                    "\n=== {file}\n{}\n--- whole answer\n{}\n",
                    shown.join("\n"),
                    as_text(&actual)
                ));
            }
        }
    }
    assert!(told.is_empty(), "{told}");
}

/// What `jeton dialect replay` does against a server with a clock, a seed and keys of its own.
#[tokio::test(flavor = "multi_thread")]
async fn replay_accepts_another_clock_and_seed_and_nothing_else() {
    let dialects = Dialects::builtin().unwrap_or_else(|problems| panic!("{problems}"));
    for folder in dialects.iter() {
        let cast = cast(folder);
        for (file, exchange) in exchanges(folder) {
            if exchange.expires {
                continue;
            }
            let recorded = exchange.response.clone();
            let hour = std::time::Duration::from_secs(3_601);
            let mut elsewhere = exchange;
            elsewhere.time = elsewhere.time.plus(hour);
            elsewhere.seed += 1;
            let mut live = response(play(folder, &cast, &elsewhere).await);
            let differences = compare_live(&folder.dialect, &recorded, &live);
            assert!(differences.is_empty(), "{file}\n{differences:#?}");

            live.body.push(b'x');
            assert_ne!(compare_live(&folder.dialect, &recorded, &live), [], "{file}");
        }
    }
}

#[test]
fn every_dialect_shows_an_accepted_and_a_refused_request() {
    let dialects = Dialects::builtin().unwrap_or_else(|problems| panic!("{problems}"));
    for folder in dialects.iter() {
        let name = folder.dialect.name();
        let exchanges = exchanges(folder);
        for beginning in ["accepted", "refused"] {
            let found = exchanges.iter().any(|(file, _)| file.contains(&format!("/{beginning}")));
            assert!(found, "{name} shows no request that is {beginning}");
        }
    }
}
