//! Proves what a DPoP proof is, against RFC 9449's own examples and against signatures that were made
//! to slip through, and that a bound token passes a gateway with its proof once (section 7).

use std::path::PathBuf;

use jeton_engine::clock::Time;
use jeton_engine::confirmation::Thumbprint;
use jeton_engine::dpop::Proof;
use jeton_engine::error::{Error, Reason};
use jeton_engine::jose::{Algorithm, SigningKey, base64url};
use jeton_engine::realm::proving::Profile;
use jeton_engine::request::{Caller, PresentedProof, TokenRequest};
use jeton_engine::verify::{Access, Requirement, Scheme};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::dpop::{Draft, TOKEN, key};
use crate::stage::{Ask, START, Stage, reason, terms};

/// Section 5, figure 2: at the token endpoint.
const AT_TOKEN_ENDPOINT: &str = include_str!("../../../../fuzz/seeds/proof/rfc-9449-section-5");
/// Section 7.1, figure 12: at a resource.
const AT_RESOURCE: &str = include_str!("../../../../fuzz/seeds/proof/rfc-9449-section-7-1");
/// The access token of section 7.1.
const ACCESS_TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
/// The key of both, by section 6.1.
const THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn read(text: &str) -> Result<Proof, Reason> {
    Proof::read(text, Profile::Standard.algorithms())
}

fn said(proof: &Proof) -> (&str, &str, &str, i64) {
    (&proof.id, &proof.method, &proof.uri, proof.issued_at.seconds())
}

#[test]
fn the_rfcs_own_examples_are_read_as_it_explains_them() {
    let proof = read(AT_TOKEN_ENDPOINT).unwrap();
    let expected = ("-BwC3ESc6acc2lTc", "POST", "https://server.example.com/token", 1_562_262_616);
    assert_eq!(said(&proof), expected);
    assert_eq!((&proof.nonce, &proof.token_digest), (&None, &None));
    assert_eq!(proof.key, THUMBPRINT.parse::<Thumbprint>().unwrap());

    let proof = read(AT_RESOURCE).unwrap();
    let uri = "https://resource.example.org/protectedresource";
    assert_eq!(said(&proof), ("e1j3V_bKic8-LAEB", "GET", uri, 1_562_262_618));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, ACCESS_TOKEN);
    assert_eq!(proof.token_digest.as_deref(), Some(&*base64url::encode(digest)));
    assert_eq!(proof.key, THUMBPRINT.parse::<Thumbprint>().unwrap());
}

#[tokio::test]
async fn the_rfcs_example_gets_a_bound_token_at_its_time_and_place() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let made = 1_562_262_616;
    for (uri, now, expected) in [
        ("https://server.example.com/token", made + 61, Err(Reason::ProofTime)),
        ("https://server.example.com/tokens", made, Err(Reason::ProofTarget)),
        ("https://server.example.com/token", made, Ok(THUMBPRINT)),
        ("https://server.example.com/token", made, Err(Reason::ProofReplayed)),
    ] {
        stage.parts.clock.set(Time::from_seconds(now));
        let ask = Ask::new("orders", &secret);
        let request = TokenRequest {
            credentials: ask.credentials(),
            scope: None,
            audiences: Default::default(),
        };
        let proof = AT_TOKEN_ENDPOINT;
        let dpop = Some(PresentedProof { proof, method: "POST", uri });
        let caller = Caller { dpop, ..ask.source.into() };
        let decision = stage.engine.decide(&stage.state(), &terms(), caller, Ok(&request)).await;
        match expected {
            Ok(thumbprint) => {
                let issued = decision.outcome.unwrap();
                assert_eq!(issued.confirmation.key.unwrap().to_string(), thumbprint);
            }
            Err(expected) => assert_eq!(reason(&decision), expected),
        }
    }
}

#[test]
fn no_bit_of_a_proof_can_be_changed() {
    for (at, letter) in AT_TOKEN_ENDPOINT.char_indices() {
        let other = if letter == 'A' { 'B' } else { 'A' };
        let mut altered = AT_TOKEN_ENDPOINT.to_owned();
        altered.replace_range(at..=at, &other.to_string());
        assert!(read(&altered).is_err(), "letter {at}");
    }
}

/// Signatures of Wycheproof under keys of Wycheproof, good ones for another text and bad ones that
/// faulty libraries take for good whatever the text is (zeros, the curve's order, …).
#[test]
fn no_signature_that_was_made_for_something_else_holds_on_a_proof() {
    let mut tried = 0;
    for (file, algorithm) in [
        ("ecdsa_secp256r1_sha256_p1363_test.json", "ES256"),
        ("ecdsa_secp384r1_sha384_p1363_test.json", "ES384"),
        ("ed25519_test.json", "EdDSA"),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", "PS256"),
    ] {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../jeton-jose/tests/vectors/wycheproof", file]
                .iter()
                .collect();
        let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for group in vectors["testGroups"].as_array().unwrap() {
            let Some(jwk) = group.get("publicKeyJwk") else { continue };
            let mut jwk = jwk.clone();
            // Some groups name an algorithm of their own.
            jwk.as_object_mut().unwrap().remove("alg");
            let header = json!({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk}).to_string();
            let claims = json!({"jti": "x", "htm": "POST", "htu": TOKEN, "iat": START}).to_string();
            let signed = format!("{}.{}", base64url::encode(header), base64url::encode(claims));
            for vector in group["tests"].as_array().unwrap() {
                let proof = format!("{signed}.{}", base64url::encode(hex(&vector["sig"])));
                let refused = read(&proof).unwrap_err();
                assert!(
                    matches!(refused, Reason::ProofSignature | Reason::ProofKey),
                    "{file} {}: {refused:?}",
                    vector["tcId"]
                );
                tried += usize::from(refused == Reason::ProofSignature);
            }
        }
    }
    assert_eq!(tried, 781);
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    let pairs = (0..text.len() / 2).map(|at| text.get(at * 2..at * 2 + 2).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,300}") {
        prop_assert!(read(&text).is_err());
    }

    #[test]
    fn any_header_and_claims_are_read_or_refused(
        header in r#"\{("(typ|alg|jwk|crit|b64)":("dpop\+jwt"|"ES256"|\{\}|1|"")(,)?){0,4}\}"#,
        claims in r#"\{("(jti|htm|htu|iat|nonce|ath)":("x"|1|-1|1e300|null|\[\])(,)?){0,5}\}"#,
    ) {
        let proof = format!("{}.{}.AAAA", base64url::encode(header), base64url::encode(claims));
        prop_assert!(read(&proof).is_err());
    }
}

/// A gateway, and a client with a token that is bound to its key.
struct Passage {
    stage: Stage,
    key: SigningKey,
    token: String,
}

const ORDERS: &str = "https://api.example.com/orders/7";

impl Passage {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let secret = stage.orders().await;
        let key = key(Algorithm::EdDsa);
        let proof = Draft::new(&key).sign(&key);
        let ask = Ask::new("orders", &secret).scope("read");
        let request = TokenRequest {
            credentials: ask.credentials(),
            scope: ask.scope,
            audiences: Default::default(),
        };
        let dpop = Some(PresentedProof { proof: &proof, method: "POST", uri: TOKEN });
        let caller = Caller { dpop, ..ask.source.into() };
        let decision = stage.engine.decide(&stage.state(), &terms(), caller, Ok(&request)).await;
        let token = decision.outcome.unwrap().access_token.reveal().to_owned();
        Self { stage, key, token }
    }

    fn proof(&self, id: &str) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.token.as_bytes());
        let draft = Draft::new(&self.key).claim("jti", id).claim("htm", "GET");
        draft.claim("htu", ORDERS).claim("ath", base64url::encode(digest)).sign(&self.key)
    }
}

/// Whether the token passes at this server, with this scope asked for.
async fn passes(stage: &Stage, token: &str, proof: &str, scope: &str) -> Result<(), Reason> {
    let dpop = Some(PresentedProof { proof, method: "GET", uri: ORDERS });
    let source: std::net::IpAddr = "192.0.2.1".parse().unwrap();
    let caller = Caller { dpop, ..source.into() };
    let requirement = Requirement { scope: scope.parse().unwrap(), audiences: Vec::new() };
    let access = Access { scheme: Scheme::Dpop, token: token.as_bytes(), requirement };
    match stage.engine.verify(&stage.state(), &terms(), caller, &access).await {
        Ok(_) => Ok(()),
        Err(Error::Refusal(refusal)) => Err(refusal.reason),
        Err(Error::Fault(fault)) => panic!("a fault: {fault}"),
    }
}

#[tokio::test]
async fn a_proof_is_spent_when_all_else_has_passed_and_then_on_every_server() {
    let passage = Passage::new().await;
    let (stage, token) = (&passage.stage, passage.token.as_str());
    let proof = passage.proof("a");
    assert_eq!(passes(stage, token, &proof, "write").await, Err(Reason::ScopeInsufficient));
    assert_eq!(passes(stage, token, &proof, "read").await, Ok(()));
    // The token is remembered by now; its proof is looked at all the same.
    assert_eq!(passes(stage, token, &proof, "read").await, Err(Reason::ProofReplayed));
    let another = stage.another().await;
    assert_eq!(passes(&another, token, &proof, "read").await, Err(Reason::ProofReplayed));
    let of_token_endpoint = Draft::new(&passage.key).claim("jti", "b").sign(&passage.key);
    assert_eq!(passes(stage, token, &of_token_endpoint, "").await, Err(Reason::ProofMethod));
    assert_eq!(passes(stage, token, &passage.proof("b"), "read").await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_are_asked_at_the_same_time_one_lets_the_request_pass() {
    let passage = Passage::new().await;
    let (one, token) = (&passage.stage, passage.token.as_str());
    let two = one.another().await;
    for round in 0..200 {
        let proof = passage.proof(&round.to_string());
        let (first, second) =
            tokio::join!(passes(one, token, &proof, ""), passes(&two, token, &proof, ""));
        let no = Err(Reason::ProofReplayed);
        assert!([(Ok(()), no), (no, Ok(()))].contains(&(first, second)), "round {round}");
    }
}
