//! Proves that a token is bound to the key of a DPoP proof, that a proof must be for the very request
//! that it comes with, and that it counts once (RFC 9449 section 4.3): for every yes the nearest no.

use std::time::Duration;

use jeton_engine::client::proof::{Binding, Proof, SenderConstraint};
use jeton_engine::confirmation::Thumbprint;
use jeton_engine::dpop;
use jeton_engine::error::{Kind, Reason};
use jeton_engine::jose::{Algorithm, SigningKey, base64url};
use jeton_engine::manage::NewClient;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::{Nonces, Profile};
use jeton_engine::request::{Caller, PresentedProof, TokenRequest};
use jeton_engine::terms::TokenShape;
use jeton_engine::token::{Decision, Issued};
use serde_json::{Map, Value, json};

use crate::stage::{
    Ask, SHARED, START, Stage, kind, orders, realm, reason, settings, stated_terms, terms,
};

/// The token endpoint.
pub(crate) const TOKEN: &str = "https://auth.example.com/main/oauth2/token";

/// A proof on its way.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl Draft {
    /// A good one for the token endpoint, made at [`START`].
    pub(crate) fn new(key: &SigningKey) -> Self {
        let jwk: Value = serde_json::from_str(&key.public_jwk("k").unwrap()).unwrap();
        let header = json!({"typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": jwk});
        let claims = json!({"jti": "one", "htm": "POST", "htu": TOKEN, "iat": START});
        let members = |value: Value| value.as_object().unwrap().clone();
        Self { header: members(header), claims: members(claims) }
    }

    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        assert!(self.claims.remove(name).is_some() || self.header.remove(name).is_some());
        self
    }

    fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        let header = base64url::encode(Value::Object(self.header.clone()).to_string());
        key.sign_compact(&header, Value::Object(self.claims.clone()).to_string().as_bytes())
            .unwrap()
    }
}

pub(crate) fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap()
}

/// Asks for a token as `orders` does, with this proof.
async fn ask(stage: &Stage, secret: &str, proof: Option<&str>) -> Decision {
    let (terms, ask) = (terms(), Ask::new("orders", secret));
    let request =
        TokenRequest { credentials: ask.credentials(), scope: None, audiences: Default::default() };
    let dpop = proof.map(|proof| PresentedProof { proof, method: "POST", uri: TOKEN });
    let caller = Caller { dpop, ..ask.source.into() };
    stage.engine.decide(&stage.state(), &terms, caller, Ok(&request)).await
}

async fn issued(stage: &Stage, secret: &str, proof: &str) -> Issued {
    ask(stage, secret, Some(proof)).await.outcome.unwrap()
}

async fn refused(stage: &Stage, secret: &str, proof: &str) -> Reason {
    reason(&ask(stage, secret, Some(proof)).await)
}

fn constrained(dpop: Binding) -> NewClient {
    let sender = SenderConstraint { dpop, ..SenderConstraint::default() };
    NewClient { proof: Proof { sender, ..Proof::default() }, ..orders() }
}

fn asking_for_nonces() -> Realm {
    let mut realm = realm();
    realm.proving.dpop.nonces = Nonces::Required;
    realm
}

#[tokio::test]
async fn a_token_of_every_format_is_bound_to_the_key_of_the_proof() {
    for shape in [TokenShape::stored(), TokenShape::Sealed, TokenShape::rfc9068(Algorithm::EdDsa)] {
        let stage = Stage::with(settings(), Realm { token: shape, ..realm() }).await;
        stage.engine.ensure_keys(&stage.state(), &[terms().into()]).await.unwrap();
        let secret = stage.orders().await;
        let key = key(Algorithm::Es256);
        let issued = issued(&stage, &secret, &Draft::new(&key).sign(&key)).await;
        assert_eq!(issued.token_type(), "DPoP");
        assert_eq!(issued.confirmation.key, Some(thumbprint(&key)));
        let known = stage.check(issued.access_token.reveal()).await.unwrap();
        assert_eq!(known.says.confirmation, issued.confirmation);

        let bearer = ask(&stage, &secret, None).await.outcome.unwrap();
        assert_eq!((bearer.token_type(), bearer.confirmation.key), ("Bearer", None));
    }
}

#[tokio::test]
async fn a_dialect_that_states_its_tokens_binds_them_all_the_same() {
    let stage = Stage::new().await;
    stage.import_shared(None).await;
    let secret = stage.orders().await;
    let key = key(Algorithm::EdDsa);
    let proof = Draft::new(&key).sign(&key);
    let ask = Ask::new("orders", &secret);
    let request =
        TokenRequest { credentials: ask.credentials(), scope: None, audiences: Default::default() };
    let dpop = Some(PresentedProof { proof: &proof, method: "POST", uri: TOKEN });
    let caller = Caller { dpop, ..ask.source.into() };
    let issued = stage.engine.decide(&stage.state(), &stated_terms(), caller, Ok(&request)).await;
    let known = stage.check(issued.outcome.unwrap().access_token.reveal()).await.unwrap();
    assert!(known.says.confirmation.key.is_some());
}

#[tokio::test]
async fn a_client_must_may_or_cannot_bind_its_tokens() {
    for (binding, without, with) in [
        (Binding::Required, None, Some("DPoP")),
        (Binding::Allowed, Some("Bearer"), Some("DPoP")),
        (Binding::Off, Some("Bearer"), Some("Bearer")),
    ] {
        let stage = Stage::new().await;
        let secret = stage.client(constrained(binding)).await;
        let key = key(Algorithm::EdDsa);
        let proof = Draft::new(&key).sign(&key);
        for (proof, expected) in [(None, without), (Some(proof.as_str()), with)] {
            let decision = ask(&stage, &secret, proof).await;
            match expected {
                Some(kind) => assert_eq!(decision.outcome.unwrap().token_type(), kind),
                None => assert_eq!(reason(&decision), Reason::ProofMissing),
            }
        }
        // A proof that says nothing good is ignored only where none counts.
        let bad = ask(&stage, &secret, Some("nonsense")).await;
        match binding {
            Binding::Off => assert_eq!(bad.outcome.unwrap().token_type(), "Bearer"),
            _ => assert_eq!(reason(&bad), Reason::ProofMalformed),
        }
    }
}

#[test]
fn every_algorithm_that_is_told_is_taken_and_no_other() {
    for algorithm in Algorithm::ALL.iter().filter(|algorithm| !algorithm.is_symmetric()) {
        let key = key(*algorithm);
        let proof = Draft::new(&key).sign(&key);
        for profile in [Profile::Standard, Profile::Fapi2] {
            let read = dpop::Proof::read(&proof, profile.algorithms());
            match profile.allows(*algorithm) {
                true => assert_eq!(read.unwrap().key, thumbprint(&key), "{algorithm}"),
                false => assert_eq!(read, Err(Reason::ProofAlgorithm), "{algorithm}"),
            }
        }
    }
    let secret = SigningKey::from_secret(SHARED).unwrap();
    let proof = Draft::new(&key(Algorithm::Es256)).header("alg", "HS256").sign(&secret);
    let read = dpop::Proof::read(&proof, Profile::Standard.algorithms());
    assert_eq!(read, Err(Reason::ProofAlgorithm));
}

fn thumbprint(key: &SigningKey) -> Thumbprint {
    key.verifying_key().thumbprint().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_a_proof_may_have_beside_the_rest_does_no_harm() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::Es256);
    let good = Draft::new(&key);
    for (index, draft) in [
        good.clone().header("typ", "DPoP+JWT"),
        good.clone().header("kid", "k").header("x", json!({"y": [1]})),
        good.clone().claim("nbf", START + 10).claim("exp", START - 9).claim("x", json!([1])),
        good.clone().claim("ath", "of-no-token-here"),
        good.clone().claim("htu", format!("{TOKEN}?a=b#c")),
        good.clone().claim("htu", "HTTPS://AUTH.EXAMPLE.COM:443/main/oauth2/token"),
        good.clone().claim("iat", json!(START as f64 + 0.25)),
        good.clone().claim("jti", "j".repeat(256)),
    ]
    .into_iter()
    .enumerate()
    {
        let draft = if index < 7 { draft.claim("jti", index.to_string()) } else { draft };
        assert_eq!(issued(&stage, &secret, &draft.sign(&key)).await.token_type(), "DPoP");
    }
}

#[tokio::test]
async fn a_proof_that_is_wrong_in_one_thing_is_refused_for_it() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let (key, other) = (key(Algorithm::Es256), key(Algorithm::Es256));
    let good = Draft::new(&key);
    let private = private_jwk();
    use Reason::{
        ProofAlgorithm, ProofKey, ProofMalformed, ProofMethod, ProofSignature, ProofTarget,
        ProofTime, ProofType,
    };
    for (draft, expected) in [
        (good.clone().without("typ"), ProofType),
        (good.clone().header("typ", "JWT"), ProofType),
        (good.clone().header("typ", "dpop+jwt+wrong"), ProofType),
        (good.clone().header("typ", 1), ProofMalformed),
        (good.clone().without("alg"), ProofMalformed),
        (good.clone().header("alg", "none"), ProofAlgorithm),
        (good.clone().header("alg", "ES512"), ProofAlgorithm),
        (good.clone().header("alg", "ES384"), ProofKey),
        (good.clone().header("alg", "HS256"), ProofAlgorithm),
        (good.clone().without("jwk"), ProofKey),
        (good.clone().header("jwk", "text"), ProofMalformed),
        (good.clone().header("jwk", json!({})), ProofKey),
        (good.clone().header("jwk", private), ProofKey),
        (good.clone().header("jwk", json!({"kty": "oct", "k": "A".repeat(43)})), ProofKey),
        (good.clone().header("jwk", Draft::new(&other).header["jwk"].clone()), ProofSignature),
        (good.clone().header("crit", json!(["x"])).header("x", 1), ProofMalformed),
        (good.clone().without("jti"), ProofMalformed),
        (good.clone().claim("jti", ""), ProofMalformed),
        (good.clone().claim("jti", "j".repeat(257)), ProofMalformed),
        (good.clone().claim("jti", 1), ProofMalformed),
        (good.clone().without("htm"), ProofMalformed),
        (good.clone().claim("htm", "PUT"), ProofMethod),
        (good.clone().claim("htm", "post"), ProofMethod),
        (good.clone().without("htu"), ProofMalformed),
        (good.clone().claim("htu", "https://auth.example.com/other/oauth2/token"), ProofTarget),
        (good.clone().claim("htu", "https://auth.example.com.evil.example/"), ProofTarget),
        (good.clone().without("iat"), ProofMalformed),
        (good.clone().claim("iat", START.to_string()), ProofMalformed),
        (good.clone().claim("iat", -1), ProofMalformed),
        (good.clone().claim("exp", START - 10), ProofTime),
        (good.clone().claim("exp", "never"), ProofMalformed),
        (good.clone().claim("nbf", START + 11), ProofTime),
        (good.clone().claim("nbf", json!(null)), ProofMalformed),
        (good.clone().claim("nonce", 1), ProofMalformed),
        (good.clone().claim("ath", json!(null)), ProofMalformed),
    ] {
        let decision = ask(&stage, &secret, Some(&draft.sign(&key))).await;
        assert_eq!(reason(&decision), expected, "{:?} {:?}", draft.header, draft.claims);
        assert_eq!(kind(&decision), Kind::InvalidDpopProof);
    }
    // None of them has used the identifier up.
    issued(&stage, &secret, &good.sign(&key)).await;
}

/// A private key where only the public half belongs.
fn private_jwk() -> Value {
    // RFC 7517 appendix A.2.
    json!({
        "kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
    })
}

#[tokio::test]
async fn what_is_no_single_jwt_is_no_proof() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::Es256);
    let good = Draft::new(&key).sign(&key);
    let (two_parts, signature) = good.rsplit_once('.').unwrap();
    let large = Draft::new(&key).claim("x", "x".repeat(8 * 1024)).sign(&key);
    for proof in [
        "",
        ".",
        "..",
        two_parts,
        &format!("{two_parts}."),
        &format!("{good}.{signature}"),
        &format!("{good}, {good}"),
        &format!("{good},"),
        &format!("{good} "),
        &format!("{good}="),
        "\u{fc}",
        &large,
    ] {
        let reason = refused(&stage, &secret, proof).await;
        let expected = match proof == format!("{two_parts}.") {
            true => Reason::ProofSignature,
            false => Reason::ProofMalformed,
        };
        assert_eq!(reason, expected, "{proof}");
    }
    assert_eq!(issued(&stage, &secret, &good).await.token_type(), "DPoP");
}

#[tokio::test]
async fn weak_keys_and_points_off_the_curve_are_no_keys() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::Es256);
    let good = Draft::new(&key);
    let mut off = good.header["jwk"].clone();
    off["y"] = off["x"].clone();
    let mut short = good.header["jwk"].clone();
    short["x"] = base64url::encode([1; 31]).into();
    let rsa = |bytes: usize, exponent: &str| {
        let modulus = base64url::encode(vec![0xC5; bytes]);
        json!({"kty": "RSA", "n": modulus, "e": exponent})
    };
    for (algorithm, jwk) in [
        ("ES256", off),
        ("ES256", short),
        ("PS256", rsa(128, "AQAB")),
        ("PS256", rsa(255, "AQAB")),
        ("PS256", rsa(513, "AQAB")),
        ("PS256", rsa(256, "Aw")),
        ("EdDSA", json!({"kty": "OKP", "crv": "X25519", "x": base64url::encode([9; 32])})),
    ] {
        let draft = good.clone().header("alg", algorithm).header("jwk", jwk);
        let refused = refused(&stage, &secret, &draft.sign(&key)).await;
        assert_eq!(refused, Reason::ProofKey, "{:?}", draft.header);
    }
}

#[tokio::test]
async fn a_proof_holds_for_a_minute_and_may_be_ten_seconds_ahead_to_the_second() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::EdDsa);
    for (age, holds) in [
        (10, true),
        (60, true),
        (61, false),
        (3600, false),
        (-8, true),
        (-10, true),
        (-11, false),
        (-3600, false),
    ] {
        let draft = Draft::new(&key).claim("iat", START - age).claim("jti", age.to_string());
        let decision = ask(&stage, &secret, Some(&draft.sign(&key))).await;
        match holds {
            true => assert_eq!(decision.outcome.unwrap().token_type(), "DPoP", "{age}"),
            false => assert_eq!(reason(&decision), Reason::ProofTime, "{age}"),
        }
    }
}

#[tokio::test]
async fn a_proof_counts_once_until_it_is_too_old_to_count() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let (key, other) = (key(Algorithm::EdDsa), key(Algorithm::EdDsa));
    let ahead = Draft::new(&key).claim("iat", START + 10);
    issued(&stage, &secret, &ahead.sign(&key)).await;
    // Another proof with the identifier is as good as the same one.
    for again in [&ahead, &ahead.clone().claim("iat", START)] {
        assert_eq!(refused(&stage, &secret, &again.sign(&key)).await, Reason::ProofReplayed);
    }
    // Of another key it is another proof's.
    issued(&stage, &secret, &Draft::new(&other).sign(&other)).await;
    issued(&stage, &secret, &Draft::new(&key).claim("jti", "two").sign(&key)).await;

    let proof = ahead.sign(&key);
    stage.pass_seconds(70);
    assert_eq!(refused(&stage, &secret, &proof).await, Reason::ProofReplayed);
    assert_eq!(refused(&stage.another().await, &secret, &proof).await, Reason::ProofReplayed);
    stage.pass(Duration::from_millis(1));
    assert_eq!(refused(&stage, &secret, &proof).await, Reason::ProofTime);
}

#[tokio::test]
async fn a_request_that_is_refused_for_something_else_uses_no_proof_up() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::EdDsa);
    let proof = Draft::new(&key).sign(&key);
    let wrong = ask(&stage, "wrong", Some(&proof)).await;
    assert_eq!(reason(&wrong), Reason::SecretWrong);
    issued(&stage, &secret, &proof).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_get_one_proof_at_the_same_time_one_says_yes_two_hundred_times() {
    let one = Stage::new().await;
    let two = one.another().await;
    let secret = one.orders().await;
    two.follow().await;
    let key = key(Algorithm::EdDsa);
    for round in 0..200 {
        let proof = Draft::new(&key).claim("jti", round.to_string()).sign(&key);
        let (first, second) =
            tokio::join!(ask(&one, &secret, Some(&proof)), ask(&two, &secret, Some(&proof)));
        let refused = match (first.outcome.is_ok(), second.outcome.is_ok()) {
            (true, false) => second,
            (false, true) => first,
            both => panic!("round {round}: {both:?}"),
        };
        assert_eq!(reason(&refused), Reason::ProofReplayed);
    }
}

#[tokio::test]
async fn a_realm_that_asks_for_nonces_takes_its_own_from_every_server_and_no_other() {
    let stage = Stage::with(settings(), asking_for_nonces()).await;
    let another = stage.another().await;
    let secret = stage.client(constrained(Binding::Required)).await;
    another.follow().await;
    let key = key(Algorithm::EdDsa);
    let draft = Draft::new(&key);

    // Without a proof nobody is told to bring a nonce.
    let missing = ask(&stage, &secret, None).await;
    assert_eq!(kind(&missing), Kind::InvalidDpopProof);
    let error = missing.outcome.unwrap_err();
    assert_eq!(stage.engine.nonce_with(&stage.state(), Err(&error)), None);

    for (draft, expected) in [
        (draft.clone(), Reason::NonceMissing),
        (draft.clone().claim("nonce", ""), Reason::NonceStale),
        (draft.clone().claim("nonce", "invented"), Reason::NonceStale),
    ] {
        let decision = ask(&stage, &secret, Some(&draft.sign(&key))).await;
        assert_eq!((reason(&decision), kind(&decision)), (expected, Kind::UseDpopNonce));
        let error = decision.outcome.unwrap_err();
        let nonce = another.engine.nonce_with(&another.state(), Err(&error)).unwrap();
        // The nonce tells the age better than the sender's clock.
        let id = format!("{:?}", draft.claims.get("nonce"));
        let stale = draft.claim("nonce", nonce).claim("iat", START - 3600).claim("jti", id);
        let proof = stale.sign(&key);
        let issued = issued(&stage, &secret, &proof).await;
        assert!(stage.engine.nonce_with(&stage.state(), Ok(&issued.confirmation)).is_some());
        assert_eq!(refused(&another, &secret, &proof).await, Reason::ProofReplayed);
    }
}

#[tokio::test]
async fn a_nonce_ends_and_its_proofs_with_it() {
    let stage = Stage::with(settings(), asking_for_nonces()).await;
    let secret = stage.orders().await;
    let key = key(Algorithm::EdDsa);
    let error = ask(&stage, &secret, Some(&Draft::new(&key).sign(&key))).await.outcome.unwrap_err();
    let nonce = stage.engine.nonce_with(&stage.state(), Err(&error)).unwrap();
    let used = Draft::new(&key).claim("nonce", nonce.as_str()).sign(&key);
    let unused = Draft::new(&key).claim("nonce", nonce.as_str()).claim("jti", "two").sign(&key);
    issued(&stage, &secret, &used).await;
    // START is twenty seconds into its minute.
    stage.pass_seconds(99);
    assert_eq!(refused(&stage, &secret, &used).await, Reason::ProofReplayed);
    stage.pass_seconds(1);
    for proof in [used, unused] {
        assert_eq!(refused(&stage, &secret, &proof).await, Reason::NonceStale);
    }
}

#[tokio::test]
async fn where_no_nonce_is_asked_for_one_that_is_there_must_be_right() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let key = key(Algorithm::EdDsa);
    let wrong = Draft::new(&key).claim("nonce", "another server's");
    let decision = ask(&stage, &secret, Some(&wrong.sign(&key))).await;
    assert_eq!(reason(&decision), Reason::NonceStale);
    let error = decision.outcome.unwrap_err();
    let nonce = stage.engine.nonce_with(&stage.state(), Err(&error)).unwrap();
    let right = Draft::new(&key).claim("nonce", nonce);
    let issued = issued(&stage, &secret, &right.sign(&key)).await;
    assert_eq!(stage.engine.nonce_with(&stage.state(), Ok(&issued.confirmation)), None);
}
