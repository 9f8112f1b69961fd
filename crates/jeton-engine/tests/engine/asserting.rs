//! Making assertions, and presenting them.

use std::sync::Arc;

use async_trait::async_trait;
use jeton_engine::client::proof::{ClientKeys, Proof, PublicKeys};
use jeton_engine::error::Reason;
use jeton_engine::introspect::Introspected;
use jeton_engine::jose::jws::encode_header;
use jeton_engine::jose::{Algorithm, JwkSet, SigningKey};
use jeton_engine::key_source::{KeyLocation, KeySource, KeysUnavailable};
use jeton_engine::manage::{NewClient, NewSecret};
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::Profile;
use jeton_engine::request::{
    AssertionCredentials, AuthenticationMethod, Credentials, TokenQuestion, TokenRequest,
};
use jeton_engine::terms::Terms;
use jeton_engine::token::{Answered, Decision};
use serde_json::{Map, Value, json};

use crate::stage::{START, Stage, named, realm, reason, settings, terms};

pub(crate) const ISSUER: &str = "https://auth.example.com/main";
const SOURCE: &str = "192.0.2.1";

/// Somebody with a key.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) key_id: Option<&'static str>,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { key: SigningKey::generate(algorithm).unwrap(), key_id: Some("k1") }
    }

    pub(crate) fn of_secret(secret: &str) -> Self {
        Self { key: SigningKey::from_secret(secret.as_bytes()).unwrap(), key_id: None }
    }

    pub(crate) fn named(self, key_id: &'static str) -> Self {
        Self { key_id: Some(key_id), ..self }
    }

    /// The public JWK.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk: Value =
            serde_json::from_str(&self.key.public_jwk(self.key_id.unwrap_or("")).unwrap()).unwrap();
        if self.key_id.is_none() {
            jwk.as_object_mut().unwrap().remove("kid");
        }
        jwk
    }

    /// Signs claims under a header of the usual kind.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = encode_header(&self.key, self.key_id, None);
        self.key.sign_compact(&header, claims.to_string().as_bytes()).unwrap()
    }

    /// Signs claims under this header, whatever it says.
    pub(crate) fn sign_under(&self, header: &Value, claims: &Value) -> String {
        use jeton_engine::jose::base64url::encode;
        let header = encode(header.to_string());
        self.key.sign_compact(&header, claims.to_string().as_bytes()).unwrap()
    }
}

pub(crate) fn set(jwks: &[Value]) -> PublicKeys {
    json!({ "keys": jwks }).to_string().parse().unwrap()
}

/// The claims of an assertion of `orders` that is right at the beginning.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "orders", "sub": "orders", "aud": ISSUER, "jti": "once",
        "iat": START, "nbf": START, "exp": START + 60,
    })
}

/// The same with other claims; null takes one away.
pub(crate) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    change(&mut claims, changes);
    claims
}

pub(crate) fn change(claims: &mut Value, changes: &Value) {
    let members: &mut Map<String, Value> = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
}

/// A client that proves itself with these keys.
pub(crate) fn signing(client: &str, jwks: &[Value]) -> NewClient {
    let keys = Some(ClientKeys::Jwks(set(jwks)));
    NewClient {
        proof: Proof { keys, ..Proof::default() },
        secret: NewSecret::None,
        authentication: vec![AuthenticationMethod::PrivateKeyJwt],
        ..named(client)
    }
}

pub(crate) fn realm_with(change: impl FnOnce(&mut Realm)) -> Realm {
    let mut realm = realm();
    change(&mut realm);
    realm
}

pub(crate) fn fapi2() -> Realm {
    realm_with(|realm| realm.proving.profile = Profile::Fapi2)
}

/// A stage on which `orders` signs with a key of this algorithm.
pub(crate) async fn stage_of(algorithm: Algorithm, realm: Realm) -> (Stage, Signer) {
    let stage = Stage::with(settings(), realm).await;
    let signer = Signer::new(algorithm);
    stage.client(signing("orders", &[signer.jwk()])).await;
    (stage, signer)
}

pub(crate) async fn stage() -> (Stage, Signer) {
    stage_of(Algorithm::EdDsa, realm()).await
}

/// What comes with an assertion.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    pub(crate) client_id: Option<&'a str>,
    pub(crate) assertion_type: &'a str,
    pub(crate) source: &'a str,
}

impl Default for Beside<'_> {
    fn default() -> Self {
        let assertion_type = AssertionCredentials::JWT_BEARER;
        Self { client_id: None, assertion_type, source: SOURCE }
    }
}

impl Stage {
    pub(crate) async fn present_with(
        &self,
        terms: &Terms,
        beside: Beside<'_>,
        assertion: &str,
    ) -> Decision {
        let Beside { client_id, assertion_type, source } = beside;
        let credentials = AssertionCredentials { client_id, assertion_type, assertion };
        let request = TokenRequest {
            credentials: Credentials::Assertion(credentials),
            scope: None,
            audiences: std::iter::empty().collect(),
        };
        let source: std::net::IpAddr = source.parse().unwrap();
        self.engine.decide(&self.state(), terms, source.into(), Ok(&request)).await
    }

    pub(crate) async fn present(&self, assertion: &str) -> Decision {
        self.present_with(&terms(), Beside::default(), assertion).await
    }

    /// Asks about a token that is none: whether an assertion proves who asks shows here also where
    /// a token would have to be bound.
    pub(crate) async fn ask_by(&self, assertion: &str) -> Answered<Introspected> {
        let (client_id, assertion_type) = (None, AssertionCredentials::JWT_BEARER);
        let credentials = AssertionCredentials { client_id, assertion_type, assertion };
        let question =
            TokenQuestion { credentials: Credentials::Assertion(credentials), token: "none" };
        let source: std::net::IpAddr = SOURCE.parse().unwrap();
        self.engine.introspect(&self.state(), &terms(), source.into(), Ok(&question)).await
    }

    /// Presents an assertion that is accepted.
    pub(crate) async fn accepted(&self, assertion: &str) {
        self.present(assertion).await.outcome.unwrap();
    }

    /// Presents an assertion that is refused.
    pub(crate) async fn rejected(&self, assertion: &str) -> Reason {
        reason(&self.present(assertion).await)
    }
}

/// Key sets at fixed places.
#[derive(Default)]
pub(crate) struct Places(pub(crate) Vec<(KeyLocation, Arc<JwkSet>)>);

impl Places {
    pub(crate) fn one(location: KeyLocation, jwks: &[Value]) -> Arc<Self> {
        Arc::new(Self(vec![(location, Arc::new(set(jwks).parse()))]))
    }
}

#[async_trait]
impl KeySource for Places {
    async fn key_set(
        &self,
        location: &KeyLocation,
        _: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let found = self.0.iter().find(|(place, _)| place == location);
        let found = found.map(|(_, keys)| Arc::clone(keys));
        found.ok_or_else(|| KeysUnavailable("nobody is there".into()))
    }
}
