//! A realm on a store in memory: what the tests play on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::certificate::ClientCertificate;
use jeton_engine::check::ActiveToken;
use jeton_engine::client::Client;
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::{Engine, Parts, RealmState, Settings};
use jeton_engine::error::{Error, Fault, Kind, Reason};
use jeton_engine::event::{Event, EventKind, Reference};
use jeton_engine::introspect::Introspected;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyRecord;
use jeton_engine::key_source::NoKeySource;
use jeton_engine::manage::{KeyMaterial, Manage, NewClient, NewSecret};
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::Proving;
use jeton_engine::request::{
    AuthenticationMethod, Caller, Credentials, Reading, SecretCredentials, TokenQuestion,
    TokenRequest,
};
use jeton_engine::rotate::Rotation;
use jeton_engine::store::Store;
use jeton_engine::terms::{
    ClaimValue, HeaderValue, JwtShape, Lifetime, Permission, Terms, TokenShape,
};
use jeton_engine::token::{Answered, Decision, Issued};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use zeroize::Zeroizing;

/// The moment at which every test begins, in seconds.
pub(crate) const START: i64 = 1_700_000_000;
/// A secret that is long enough for HS256.
pub(crate) const SHARED: &[u8] = b"0123456789abcdef0123456789abcdef";
/// A secret that somebody brought along.
pub(crate) const SUPPLIED: &str = "correct horse battery staple";

/// An engine, what it is made of, and the realm it decides for.
pub(crate) struct Stage {
    pub(crate) engine: Arc<Engine>,
    pub(crate) parts: Parts,
    pub(crate) realm: Realm,
}

impl Stage {
    /// A fresh store, and an engine with the realm `main` on it.
    pub(crate) async fn new() -> Self {
        Self::with(settings(), realm()).await
    }

    pub(crate) async fn with(settings: Settings, realm: Realm) -> Self {
        let store = SqliteStore::open(&Location::Memory, SqliteSettings::default()).unwrap();
        let parts = Parts {
            store,
            clock: Clock::fixed(Time::from_seconds(START)),
            random: Random::seeded(1),
            master_key: "ab".repeat(32).parse().unwrap(),
            key_source: Arc::new(NoKeySource),
            settings,
        };
        Self::on(parts, realm).await
    }

    /// An engine on these parts.
    pub(crate) async fn on(parts: Parts, realm: Realm) -> Self {
        let engine = Engine::open(parts.clone(), vec![realm.clone()]).await.unwrap();
        Self { engine, parts, realm }
    }

    /// Another server on the same store and clock.
    pub(crate) async fn another(&self) -> Self {
        Self::on(self.parts.clone(), self.realm.clone()).await
    }

    pub(crate) fn manage(&self) -> Manage {
        Manage::new(self.parts.clone())
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(crate) fn state(&self) -> Arc<RealmState> {
        self.engine.realm(&self.realm.name).unwrap()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.parts.clock.set(self.parts.clock.now().plus(time));
    }

    pub(crate) fn pass_seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(crate) async fn follow(&self) {
        self.engine.take_changes().await.unwrap();
    }

    /// Changes the realm's configuration.
    pub(crate) async fn reconfigure(&mut self, change: impl FnOnce(&mut Realm)) {
        change(&mut self.realm);
        self.engine.reconfigure(vec![self.realm.clone()]).await.unwrap();
    }

    /// Changes a client past all rules, as an older version or another configuration may have left it.
    pub(crate) async fn keep(&self, mut client: Client) {
        client.revision += 1;
        let event = Event {
            at: client.changed_at,
            reference: Reference::new(&Random::seeded(client.revision)),
            realm: client.realm.clone(),
            kind: EventKind::ClientChanged,
            client_id: Some(client.id.clone()),
            source: None,
            detail: None,
        };
        self.store().replace_client(&client, &event).await.unwrap();
        self.follow().await;
    }

    /// Makes a client; its generated secret.
    pub(crate) async fn client(&self, new: NewClient) -> String {
        let (_, made) = self.manage().create_client(&self.realm, new).await.unwrap();
        self.follow().await;
        let generated = made.and_then(|made| made.generated);
        generated.map(|secret| secret.to_string()).unwrap_or_default()
    }

    /// Makes a client of this identifier that may read and write; its secret.
    pub(crate) async fn orders(&self) -> String {
        self.client(orders()).await
    }

    /// Makes the same client with [`SUPPLIED`] as its secret.
    pub(crate) async fn orders_supplied(&self) {
        self.client(NewClient { secret: supplied(SUPPLIED), ..orders() }).await;
    }

    pub(crate) async fn delete(&self, client: &str) {
        self.manage().delete_client(&self.realm.name, &id(client)).await.unwrap();
        self.follow().await;
    }

    pub(crate) async fn kept(&self, client: &str) -> Client {
        self.manage().client(&self.realm.name, &id(client)).await.unwrap()
    }

    pub(crate) async fn import_shared(&self, key: Option<&str>) -> KeyRecord {
        let (name, key) = (&self.realm.name, key.map(|key| key.parse().unwrap()));
        let material = KeyMaterial::Secret(Zeroizing::new(SHARED.to_vec()));
        let manage = self.manage();
        let record = manage.import_key(name, Algorithm::Hs256, key, material).await.unwrap();
        self.follow().await;
        record
    }

    pub(crate) async fn ask(&self, terms: &Terms, ask: &Ask<'_>) -> Decision {
        self.ask_showing(terms, ask, None).await
    }

    /// Asks over a connection with this certificate.
    pub(crate) async fn ask_showing(
        &self,
        terms: &Terms,
        ask: &Ask<'_>,
        certificate: Option<&ClientCertificate>,
    ) -> Decision {
        let request = TokenRequest {
            credentials: ask.credentials(),
            scope: ask.scope,
            audiences: ask.audiences.iter().copied().collect(),
        };
        let caller = Caller { certificate, ..Caller::from(ask.source) };
        self.engine.decide(&self.state(), terms, caller, Ok(&request)).await
    }

    /// Asks, and is given a token.
    pub(crate) async fn issued(&self, terms: &Terms, ask: &Ask<'_>) -> Issued {
        self.ask(terms, ask).await.outcome.unwrap()
    }

    /// Asks, and is given a token's string.
    pub(crate) async fn token(&self, terms: &Terms, ask: &Ask<'_>) -> String {
        self.issued(terms, ask).await.access_token.reveal().to_owned()
    }

    /// Asks, and is refused.
    pub(crate) async fn refused(&self, terms: &Terms, ask: &Ask<'_>) -> Reason {
        reason(&self.ask(terms, ask).await)
    }

    pub(crate) async fn check(&self, token: &str) -> Option<ActiveToken> {
        self.engine.check(&self.state(), token.as_bytes()).await.unwrap()
    }

    pub(crate) async fn holds(&self, token: &str) -> bool {
        self.check(token).await.is_some()
    }

    pub(crate) async fn introspect(&self, ask: &Ask<'_>, token: &str) -> Answered<Introspected> {
        let question = TokenQuestion { credentials: ask.credentials(), token };
        self.engine.introspect(&self.state(), &terms(), ask.source.into(), Ok(&question)).await
    }

    pub(crate) async fn revoke(&self, ask: &Ask<'_>, token: &str) -> Answered<()> {
        let question = TokenQuestion { credentials: ask.credentials(), token };
        self.engine.revoke(&self.state(), &terms(), ask.source.into(), Ok(&question)).await
    }
}

/// What a caller sends.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) method: AuthenticationMethod,
    pub(crate) readings: Vec<(&'a str, &'a str)>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) audiences: Vec<&'a str>,
    pub(crate) source: IpAddr,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(client: &'a str, secret: &'a str) -> Self {
        Self {
            method: AuthenticationMethod::ClientSecretPost,
            readings: vec![(client, secret)],
            scope: None,
            audiences: Vec::new(),
            source: "192.0.2.1".parse().unwrap(),
        }
    }

    /// In the `Authorization: Basic` header, which may be read in several ways.
    pub(crate) fn basic(readings: &[(&'a str, &'a str)]) -> Self {
        let method = AuthenticationMethod::ClientSecretBasic;
        Self { method, readings: readings.to_vec(), ..Self::new("", "") }
    }

    pub(crate) fn scope(self, scope: &'a str) -> Self {
        Self { scope: Some(scope), ..self }
    }

    pub(crate) fn audiences(self, audiences: &[&'a str]) -> Self {
        Self { audiences: audiences.to_vec(), ..self }
    }

    pub(crate) fn from(self, source: &str) -> Self {
        Self { source: source.parse().unwrap(), ..self }
    }

    pub(crate) fn credentials(&self) -> Credentials<'a> {
        let reading = |(client_id, secret): &(&'a str, &'a str)| Reading { client_id, secret };
        let readings = self.readings.iter().map(reading).collect();
        Credentials::Secret(SecretCredentials { method: self.method, readings })
    }
}

pub(crate) fn reason<T>(answered: &Answered<T>) -> Reason {
    match &answered.outcome {
        Err(Error::Refusal(refusal)) => refusal.reason,
        Err(Error::Fault(fault)) => panic!("a fault: {fault}"),
        Ok(_) => panic!("not refused"),
    }
}

pub(crate) fn fault<T>(answered: &Answered<T>) -> &Fault {
    match &answered.outcome {
        Err(Error::Fault(fault)) => fault,
        Err(Error::Refusal(refusal)) => panic!("a refusal: {refusal}"),
        Ok(_) => panic!("no fault"),
    }
}

pub(crate) fn kind<T>(answered: &Answered<T>) -> Kind {
    match &answered.outcome {
        Err(error) => error.kind(),
        Ok(_) => panic!("not refused"),
    }
}

/// Hashes cheaply, and lets guess as often as one likes.
pub(crate) fn settings() -> Settings {
    Settings {
        argon2_memory_kib: 64,
        argon2_passes: 1,
        guesses_free: 100_000,
        ..Settings::default()
    }
}

/// A realm of stored tokens, without limits.
pub(crate) fn realm() -> Realm {
    Realm {
        name: "main".parse().unwrap(),
        issuer: "https://auth.example.com/main".to_owned(),
        audience: None,
        scopes: "".parse().unwrap(),
        token: TokenShape::stored(),
        claims: "{}".parse().unwrap(),
        proving: Proving::default(),
        registration: None,
        lifetime: None,
        lifetime_max: None,
        lifetime_longest: Lifetime::seconds(3600),
        rotation: Rotation::default(),
        client_limits: None,
        source_limits: Rates::default(),
        realm_limits: Rates::default(),
    }
}

/// The realm with tokens of another shape.
pub(crate) fn realm_of(token: TokenShape) -> Realm {
    Realm { token, ..realm() }
}

/// Terms that leave everything to the realm.
pub(crate) fn terms() -> Terms {
    Terms {
        dialect: "rfc6749".parse().unwrap(),
        authentication: AuthenticationMethod::ALL.to_vec(),
        token: None,
        lifetime: Lifetime::seconds(3600),
        never_expires: Permission::Refused,
        audience: None,
        lockout: None,
        limits: Vec::new(),
    }
}

/// The JWT of a provider that states its tokens to the letter: no issuer, no client, no identifier.
pub(crate) fn stated_jwt() -> TokenShape {
    let claim = |name: &str, value| (name.to_owned(), value);
    TokenShape::Jwt(JwtShape {
        algorithm: Algorithm::Hs256,
        header: vec![
            ("alg".to_owned(), HeaderValue::Algorithm),
            ("typ".to_owned(), HeaderValue::Constant("JWT".into())),
        ],
        claims: vec![
            claim("iat", ClaimValue::IssuedAt),
            claim("exp", ClaimValue::ExpiresAt),
            claim("aud", ClaimValue::Audience),
            claim("sub", ClaimValue::Subject),
        ],
    })
}

pub(crate) fn stated_terms() -> Terms {
    Terms { token: Some(stated_jwt()), audience: Some("speedball".parse().unwrap()), ..terms() }
}

/// A client that may read and write.
pub(crate) fn orders() -> NewClient {
    NewClient {
        id: Some(id("orders")),
        scope: "read write".parse().unwrap(),
        ..NewClient::default()
    }
}

/// The same with another identifier.
pub(crate) fn named(client: &str) -> NewClient {
    NewClient { id: Some(id(client)), ..orders() }
}

pub(crate) fn supplied(secret: &str) -> NewSecret {
    NewSecret::Supplied(Zeroizing::new(secret.to_owned()))
}

pub(crate) fn id(text: &str) -> ClientId {
    text.parse().unwrap()
}

pub(crate) fn main() -> RealmName {
    "main".parse().unwrap()
}

pub(crate) fn time(seconds: i64) -> Time {
    Time::from_seconds(START + seconds)
}
