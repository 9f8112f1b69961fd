//! How many instructions the hot path takes: whole requests without HTTP, and the steps that cost most.
//! Fixed clock, fixed seed, everything warm: the same in every run of the same compiler.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what is measured must work; where it does not, there is nothing to measure"
)]
#![expect(
    clippy::disallowed_methods,
    missing_docs,
    unused_qualifications,
    reason = "what the macros of gungraun write"
)]

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gungraun::{library_benchmark, library_benchmark_group, main};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use jeton_dialect::{Dialect, Dialects, Incoming};
use jeton_engine::claims::CustomClaims;
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::{Engine, Parts, RealmState, Settings};
use jeton_engine::jose::Algorithm;
use jeton_engine::key_source::NoKeySource;
use jeton_engine::manage::{KeyMaterial, Manage, NewClient};
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::Proving;
use jeton_engine::request::Caller;
use jeton_engine::rotate::Rotation;
use jeton_engine::terms::{Lifetime, TokenShape};
use jeton_engine::token::Decision;
use jeton_jose::jws::Unverified;
use jeton_jose::{SigningKey, VerifyingKey};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use tokio::runtime::Runtime;

/// An engine that has decided before, and a request for it.
struct Stage {
    engine: Arc<Engine>,
    state: Arc<RealmState>,
    dialect: Arc<Dialect>,
    headers: HeaderMap,
    body: String,
    /// The last token that was given out.
    token: String,
    _runtime: Runtime,
}

impl Stage {
    fn new(dialect: &str, token: TokenShape, limits: &[&str]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dialects = Dialects::builtin().unwrap_or_else(|problems| panic!("{problems}"));
        let dialect = Arc::clone(dialects.get(dialect).unwrap());
        let realm = Realm { token, ..realm(limits) };
        let (engine, secret) = runtime.block_on(engine(&realm, &dialect));
        let json = dialect.name().as_str() == "dt-growth";
        let (media_type, body) = if json {
            let body = format!(
                r#"{{"grant_type":"client_credentials","client_id":"orders","client_secret":"{secret}"}}"#
            );
            ("application/json", body)
        } else {
            let body =
                format!("grant_type=client_credentials&client_id=orders&client_secret={secret}");
            ("application/x-www-form-urlencoded", body)
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let state = engine.realm(&realm.name).unwrap();
        let token = String::new();
        let mut stage = Self { engine, state, dialect, headers, body, token, _runtime: runtime };
        // Whole requests, and often enough that the allocator has sorted what setting up gave back: it does so
        // when the first large piece is asked for, once, and that is no request's doing.
        for _ in 0..20 {
            let decision = stage.decide();
            black_box(stage.dialect.write(&decision, &stage.headers));
            stage.token = decision.outcome.unwrap().access_token.reveal().to_owned();
            at_once(stage.engine.check(&stage.state, stage.token.as_bytes())).unwrap().unwrap();
        }
        stage
    }

    fn incoming(&self) -> Incoming<'_> {
        let (method, body) = (&Method::POST, Ok(self.body.as_bytes()));
        Incoming { method, query: None, headers: &self.headers, body }
    }

    fn decide(&self) -> Decision {
        let asked = self.dialect.read(&self.incoming()).unwrap();
        let caller = Caller::from(std::net::IpAddr::from([192, 0, 2, 1]));
        let terms = self.dialect.terms();
        at_once(self.engine.decide(&self.state, terms, caller, Ok(&asked.request())))
    }
}

/// What never waits is there when it is first asked for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the hot path waited"),
    }
}

fn realm(limits: &[&str]) -> Realm {
    let limits = limits.iter().map(|limit| limit.parse().unwrap()).collect();
    let limits = Rates::new(limits).unwrap();
    Realm {
        name: "main".parse().unwrap(),
        issuer: "https://auth.example.com/main".to_owned(),
        audience: None,
        scopes: "".parse().unwrap(),
        token: TokenShape::Sealed,
        claims: CustomClaims::default(),
        proving: Proving::default(),
        registration: None,
        lifetime: None,
        lifetime_max: None,
        lifetime_longest: Lifetime::seconds(3600),
        rotation: Rotation::default(),
        client_limits: Some(limits.clone()),
        source_limits: limits,
        realm_limits: Rates::default(),
    }
}

/// An engine on a store in memory, with keys and one client; the client's secret.
async fn engine(realm: &Realm, dialect: &Dialect) -> (Arc<Engine>, String) {
    let parts = Parts {
        store: SqliteStore::open(&Location::Memory, SqliteSettings::default()).unwrap(),
        clock: Clock::fixed(Time::from_seconds(1_700_000_000)),
        random: Random::seeded(1),
        master_key: "ab".repeat(32).parse().unwrap(),
        key_source: Arc::new(NoKeySource),
        settings: Settings::default(),
    };
    let manage = Manage::new(parts.clone());
    let shared = KeyMaterial::Secret(vec![7; 32].into());
    manage.import_key(&realm.name, Algorithm::Hs256, None, shared).await.unwrap();
    let new = NewClient { id: Some("orders".parse().unwrap()), ..NewClient::default() };
    let (_, made) = manage.create_client(realm, new).await.unwrap();
    let engine = Engine::open(parts, vec![realm.clone()]).await.unwrap();
    let state = engine.realm(&realm.name).unwrap();
    engine.ensure_keys(&state, &[Arc::clone(dialect.terms())]).await.unwrap();
    let secret = made.unwrap().generated.unwrap().to_string();
    (engine, secret)
}

fn growth() -> Stage {
    Stage::new("dt-growth", TokenShape::Sealed, &[])
}

fn limited() -> Stage {
    Stage::new("dt-growth", TokenShape::Sealed, &["1000000/min"])
}

fn eddsa() -> Stage {
    Stage::new("rfc6749", TokenShape::rfc9068(Algorithm::EdDsa), &[])
}

fn sealed() -> Stage {
    Stage::new("rfc6749", TokenShape::Sealed, &[])
}

// Read, decide, write: all of a token request but HTTP.
#[library_benchmark]
#[bench::growth_hs256(setup = growth)]
#[bench::growth_hs256_limited(setup = limited)]
#[bench::rfc6749_eddsa(setup = eddsa)]
#[bench::rfc6749_sealed(setup = sealed)]
fn request(stage: Stage) -> (Stage, usize) {
    let decision = black_box(&stage).decide();
    let length = stage.dialect.write(&decision, &stage.headers).body.len();
    (stage, length)
}

// A dialect's reading alone.
#[library_benchmark]
#[bench::json(setup = growth)]
#[bench::form(setup = sealed)]
fn read(stage: Stage) -> Stage {
    let _ = black_box(black_box(&stage).dialect.read(&stage.incoming()).unwrap());
    stage
}

fn decided(stage: Stage) -> (Stage, Decision) {
    let decision = stage.decide();
    (stage, decision)
}

fn growth_decided() -> (Stage, Decision) {
    decided(growth())
}

fn sealed_decided() -> (Stage, Decision) {
    decided(sealed())
}

// A dialect's writing alone.
#[library_benchmark]
#[bench::json(setup = growth_decided)]
#[bench::rfc6749(setup = sealed_decided)]
fn write((stage, decision): (Stage, Decision)) -> (Stage, Decision) {
    black_box(stage.dialect.write(black_box(&decision), &stage.headers));
    (stage, decision)
}

fn sealed_unseen() -> (Stage, String) {
    // One was checked before, so that only this token is new.
    let stage = sealed();
    let token = stage.decide().outcome.unwrap().access_token.reveal().to_owned();
    (stage, token)
}

fn eddsa_seen() -> (Stage, String) {
    let stage = eddsa();
    let token = stage.token.clone();
    (stage, token)
}

// Whether a token holds: a sealed one that is opened, a JWT that was verified before.
#[library_benchmark]
#[bench::sealed_opened(setup = sealed_unseen)]
#[bench::jwt_seen(setup = eddsa_seen)]
fn check((stage, token): (Stage, String)) -> Stage {
    black_box(
        at_once(stage.engine.check(&stage.state, black_box(token.as_bytes()))).unwrap().unwrap(),
    );
    stage
}

/// A key that has signed and verified: what the library prepares on first use is not what is measured.
fn shared() -> SigningKey {
    let key = SigningKey::from_secret(&[7; 32]).unwrap();
    let token = key.sign_compact(HEADER, PAYLOAD).unwrap();
    Unverified::parse(&token).unwrap().verify(&key.verifying_key()).unwrap();
    key
}

const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
const PAYLOAD: &[u8] = br#"{"iat":1700000000,"exp":1700003600,"aud":"api","sub":"orders"}"#;

// A signature, and a compact JWS around it.
#[library_benchmark]
#[bench::hs256(setup = shared)]
fn sign(key: SigningKey) -> (SigningKey, String) {
    let token = black_box(&key).sign_compact(HEADER, PAYLOAD).unwrap();
    (key, token)
}

fn signed() -> (VerifyingKey, String) {
    let key = shared();
    let token = key.sign_compact(HEADER, PAYLOAD).unwrap();
    (key.verifying_key(), token)
}

// A compact JWS taken apart and verified.
#[library_benchmark]
#[bench::hs256(setup = signed)]
fn verify((key, token): (VerifyingKey, String)) -> (VerifyingKey, String) {
    let _ = black_box(Unverified::parse(black_box(&token)).unwrap().verify(&key).unwrap());
    (key, token)
}

library_benchmark_group!(name = hot, benchmarks = [request, read, write, check, sign, verify]);
main!(library_benchmark_groups = hot);
