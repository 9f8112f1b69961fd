//! Whose key signed an assertion: the client's own, with the algorithm that is the key's.

use std::time::Duration;

use jeton_engine::client::proof::{ClientKeys, Proof};
use jeton_engine::engine::{Parts, Settings};
use jeton_engine::error::{Kind, Reason};
use jeton_engine::jose::base64url::{decode, encode};
use jeton_engine::jose::{Algorithm, SigningKey};
use jeton_engine::key_source::KeyLocation;
use jeton_engine::manage::{ClientChange, NewClient, ProofChange};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};

use crate::asserting::{
    Beside, ISSUER, Places, Signer, claims, claims_with, fapi2, set, signing, stage, stage_of,
};
use crate::stage::{Ask, Stage, id, kind, named, orders, realm, realm_of, reason, settings, terms};

fn fresh(jti: &str) -> Value {
    claims_with(&json!({ "jti": jti }))
}

/// Wrong in every way that a signature can be while header and claims are right.
#[tokio::test]
async fn a_transplanted_signature_is_never_accepted() {
    for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Ps256] {
        let (stage, signer) = stage_of(algorithm, realm()).await;
        let right = signer.sign(&claims());
        let (signed, signature) = right.rsplit_once('.').unwrap();
        let whole = decode(signature).unwrap();
        for forged in forgeries(&whole, algorithm) {
            let assertion = format!("{signed}.{}", encode(&forged));
            let refused = stage.rejected(&assertion).await;
            assert_eq!(refused, Reason::AssertionSignature, "{algorithm} {}", encode(&forged));
        }
        stage.accepted(&right).await;
    }
}

/// The encodings of Wycheproof's ECDSA, EdDSA and RSASSA-PSS files, around a signature that is right.
fn forgeries(right: &[u8], algorithm: Algorithm) -> Vec<Vec<u8>> {
    let (r, s) = right.split_at(right.len() / 2);
    let zeros = vec![0; r.len()];
    let ones = [vec![0; r.len() - 1], vec![1]].concat();
    let mut forged: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0; right.len()],
        vec![0xff; right.len()],
        right[1..].to_vec(),
        right[..right.len() - 1].to_vec(),
        r.to_vec(),
        [right, &[0]].concat(),
        [&[0], right].concat(),
        [right, right].concat(),
        [s, r].concat(),
        [&zeros, s].concat(),
        [r, &zeros].concat(),
        [&ones, s].concat(),
        [r, &ones].concat(),
        [&ones[..], &ones[..]].concat(),
        right.iter().map(|byte| !byte).collect(),
        right.iter().rev().copied().collect(),
    ];
    for bit in [0, 7, right.len() * 4, right.len() * 8 - 1] {
        let mut flipped = right.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        forged.push(flipped);
    }
    if let Some(order) = order(algorithm) {
        forged.push(der(r, s));
        forged.push([&order, s].concat());
        forged.push([r, &order].concat());
        forged.push([&order[..], &order[..]].concat());
        // Longer halves, r and s padded: the same numbers, another form.
        forged.push([&[0], r, &[0], s].concat());
    }
    if algorithm == Algorithm::EdDsa {
        // S + L: the same signature modulo the order, which RFC 8032 section 5.1.7 refuses.
        const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        forged.push([r, &add_little_endian(s, &hex(L))].concat());
    }
    forged
}

/// The order of the curve's group.
fn order(algorithm: Algorithm) -> Option<Vec<u8>> {
    let text = match algorithm {
        Algorithm::Es256 => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        Algorithm::Es384 => {
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"
        }
        _ => return None,
    };
    Some(hex(text))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn add_little_endian(number: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let add = |(one, two): (&u8, &u8)| {
        let sum = u16::from(*one) + u16::from(*two) + carry;
        carry = sum >> 8;
        sum.to_le_bytes()[0]
    };
    number.iter().zip(other).map(add).collect()
}

/// The same two numbers as ASN.1 has them.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let mut value = bytes[start..].to_vec();
        if value[0] & 0x80 != 0 {
            value.insert(0, 0);
        }
        [vec![2, u8::try_from(value.len()).unwrap()], value].concat()
    };
    let body = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(body.len()).unwrap()], body].concat()
}

#[tokio::test]
async fn the_key_decides_the_algorithm() {
    let (stage, signer) = stage_of(Algorithm::Es256, realm()).await;
    let refused = |header: Value, expected: Reason| {
        let assertion = signer.sign_under(&header, &claims());
        let stage = &stage;
        async move { assert_eq!(stage.rejected(&assertion).await, expected, "{header}") }
    };
    for none in ["none", "None", "NONE", "nOnE"] {
        refused(json!({ "alg": none, "kid": "k1" }), Reason::AssertionAlgorithm).await;
    }
    for unknown in ["", "ES256K", "RS512", "HS512", "es256"] {
        refused(json!({ "alg": unknown, "kid": "k1" }), Reason::AssertionAlgorithm).await;
    }
    refused(json!({ "kid": "k1" }), Reason::AssertionMalformed).await;
    for other in ["ES384", "EdDSA", "RS256", "PS256"] {
        refused(json!({ "alg": other, "kid": "k1" }), Reason::AssertionKeyUnknown).await;
    }
    refused(json!({ "alg": "ML-DSA-44", "kid": "k1" }), Reason::AssertionAlgorithm).await;
    for kid in ["k2", "", "K1"] {
        refused(json!({ "alg": "ES256", "kid": kid }), Reason::AssertionKeyUnknown).await;
    }
    // An unsigned one, in the form of RFC 7519 section 6.1.
    let header = encode(json!({ "alg": "none" }).to_string());
    let unsigned = format!("{header}.{}.", encode(claims().to_string()));
    assert_eq!(stage.rejected(&unsigned).await, Reason::AssertionAlgorithm);
    stage.accepted(&signer.sign(&claims())).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let (stage, signer) = stage_of(Algorithm::Rs256, realm()).await;
    let jwk = signer.jwk();
    let pem = signer.key.verifying_key().to_public_pem().unwrap();
    let modulus = decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [pem.trim().as_bytes(), pem.as_bytes(), jwk.to_string().as_bytes(), &modulus] {
        let forger = Signer { key: SigningKey::from_secret(secret).unwrap(), key_id: Some("k1") };
        assert_eq!(stage.rejected(&forger.sign(&claims())).await, Reason::AssertionKeysNone);
    }
}

#[tokio::test]
async fn a_key_in_the_header_is_never_followed() {
    let (stage, _) = stage().await;
    let forger = Signer::new(Algorithm::EdDsa);
    let url = "https://attacker.example.com/keys";
    for (name, value) in
        [("jwk", forger.jwk()), ("jku", json!(url)), ("x5u", json!(url)), ("x5c", json!(["MIIB"]))]
    {
        for header in [json!({ "alg": "EdDSA", "kid": "k1" }), json!({ "alg": "EdDSA" })] {
            let mut header = header;
            header[name] = value.clone();
            let assertion = forger.sign_under(&header, &claims());
            assert_eq!(stage.rejected(&assertion).await, Reason::AssertionSignature, "{name}");
        }
    }
}

#[tokio::test]
async fn extensions_that_nobody_knows_are_refused() {
    let (stage, signer) = stage().await;
    for header in [
        json!({ "alg": "EdDSA", "crit": ["x"], "x": 1 }),
        json!({ "alg": "EdDSA", "crit": [] }),
        json!({ "alg": "EdDSA", "crit": ["exp"], "exp": 1 }),
        json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false }),
        json!({ "alg": "EdDSA", "zip": "DEF" }),
    ] {
        let assertion = signer.sign_under(&header, &claims());
        assert_eq!(stage.rejected(&assertion).await, Reason::AssertionMalformed, "{header}");
    }
    stage.accepted(&signer.sign_under(&json!({ "alg": "EdDSA", "x": 1 }), &claims())).await;
}

#[tokio::test]
async fn of_several_keys_each_is_right_until_it_goes() {
    let stage = Stage::new().await;
    let (one, two) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa).named("k2"));
    stage.client(signing("orders", &[one.jwk(), two.jwk()])).await;
    stage.accepted(&one.sign(&fresh("1"))).await;
    stage.accepted(&two.sign(&fresh("2"))).await;
    let nameless = |signer: &Signer| Signer { key_id: None, ..signer.clone() };
    stage.accepted(&nameless(&two).sign(&fresh("3"))).await;
    // Under the other's name.
    let misnamed = one.clone().named("k2").sign(&fresh("4"));
    assert_eq!(stage.rejected(&misnamed).await, Reason::AssertionSignature);

    let keys = Some(Some(ClientKeys::Jwks(set(&[two.jwk()]))));
    let proof = ProofChange { keys, ..ProofChange::default() };
    let change = ClientChange { proof, ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), change).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&one.sign(&fresh("5"))).await, Reason::AssertionKeyUnknown);
    stage.accepted(&two.sign(&fresh("6"))).await;
}

#[tokio::test]
async fn an_assertion_that_names_no_key_is_tried_with_few_keys_only() {
    let stage = Stage::new().await;
    let signers: Vec<Signer> =
        (0..9).map(|_| Signer { key_id: None, ..Signer::new(Algorithm::EdDsa) }).collect();
    let jwks: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    stage.client(signing("orders", &jwks)).await;
    stage.client(signing("fewer", &jwks[..8])).await;
    assert_eq!(stage.rejected(&signers[0].sign(&claims())).await, Reason::AssertionKeyUnknown);
    let claims = claims_with(&json!({ "iss": "fewer", "sub": "fewer" }));
    stage.accepted(&signers[7].sign(&claims)).await;
}

/// An RSA key with and without its algorithm.
#[tokio::test]
async fn an_rsa_key_is_used_with_one_algorithm() {
    let ps256 = Signer::new(Algorithm::Ps256);
    let pem = ps256.key.to_pem().unwrap();
    let rs256 =
        Signer { key: SigningKey::from_pem(Algorithm::Rs256, &pem).unwrap(), key_id: ps256.key_id };
    let mut unsaid = ps256.jwk();
    unsaid.as_object_mut().unwrap().remove("alg");
    let cases = [
        (ps256.jwk(), realm(), [true, false]),
        (rs256.jwk(), realm(), [false, true]),
        (unsaid.clone(), realm(), [false, true]),
        (unsaid, fapi2(), [true, false]),
        (ps256.jwk(), fapi2(), [true, false]),
    ];
    for (jwk, realm, expected) in cases {
        let stage = Stage::with(settings(), realm).await;
        stage.client(signing("orders", std::slice::from_ref(&jwk))).await;
        for (signer, right) in [&ps256, &rs256].into_iter().zip(expected) {
            let decision = stage.ask_by(&signer.sign(&fresh(signer.key.algorithm().name()))).await;
            assert_eq!(decision.outcome.is_ok(), right, "{jwk} {}", signer.key.algorithm());
        }
    }
}

#[tokio::test]
async fn keys_at_a_url_are_fetched_and_what_cannot_be_had_costs_no_guess() {
    let signer = Signer::new(Algorithm::Es256);
    let place = KeyLocation::Uri("https://client.example.com/jwks".into());
    let settings = Settings { guesses_free: 2, guess_wait_max: Duration::ZERO, ..settings() };
    let stage = Stage::with(settings, realm()).await;
    let parts = Parts { key_source: Places::one(place, &[signer.jwk()]), ..stage.parts.clone() };
    let stage = Stage::on(parts, realm()).await;
    let at = |client: &str, url: &str| NewClient {
        proof: Proof { keys: Some(ClientKeys::JwksUri(url.parse().unwrap())), ..Proof::default() },
        authentication: vec![AuthenticationMethod::PrivateKeyJwt],
        ..named(client)
    };
    stage.client(at("orders", "https://client.example.com/jwks")).await;
    stage.client(at("away", "https://client.example.com/gone")).await;
    stage.accepted(&signer.sign(&claims())).await;
    let away = signer.sign(&claims_with(&json!({ "iss": "away", "sub": "away" })));
    for _ in 0..10 {
        assert_eq!(stage.rejected(&away).await, Reason::KeysUnavailable);
    }
    let other = signer.clone().named("k2").sign(&fresh("2"));
    assert_eq!(stage.rejected(&other).await, Reason::AssertionKeyUnknown);
}

#[tokio::test]
async fn wrong_assertions_are_guesses_and_lock_nobody() {
    let settings = Settings {
        guesses_free: 3,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm()).await;
    let signer = Signer::new(Algorithm::EdDsa);
    stage.client(signing("orders", &[signer.jwk()])).await;
    let right = |jti: &str| signer.sign(&fresh(jti));
    stage.accepted(&right("1")).await;

    let wrong = [
        Signer::new(Algorithm::EdDsa).sign(&claims()),
        signer.sign(&claims_with(&json!({ "iss": "nobody", "sub": "nobody" }))),
        "no assertion".to_owned(),
    ];
    let from = |source| Beside { source, ..Beside::default() };
    for assertion in &wrong {
        let decision = stage.present_with(&terms(), from("198.51.100.7"), assertion).await;
        assert_ne!(reason(&decision), Reason::SourceSlowed);
    }
    let slowed = stage.present_with(&terms(), from("198.51.100.7"), &right("2")).await;
    assert_eq!(reason(&slowed), Reason::SourceSlowed);
    // Five in a row, as a conformance suite sends them, and the client itself goes on elsewhere.
    stage.accepted(&right("2")).await;
    stage.pass_seconds(3);
    stage.present_with(&terms(), from("198.51.100.7"), &right("3")).await.outcome.unwrap();
}

#[tokio::test]
async fn unknown_client_wrong_key_and_wrong_signature_are_told_alike() {
    let (stage, signer) = stage().await;
    let stranger = Signer::new(Algorithm::EdDsa);
    let assertions = [
        signer.sign(&claims_with(&json!({ "iss": "nobody", "sub": "nobody" }))),
        stranger.sign(&claims()),
        stranger.clone().named("k2").sign(&claims()),
        signer.sign(&claims_with(&json!({ "aud": "https://else.example.com" }))),
        signer.sign(&claims_with(&json!({ "exp": 1 }))),
    ];
    for assertion in assertions {
        let decision = stage.present(&assertion).await;
        assert_eq!(kind(&decision), Kind::InvalidClient);
    }
}

#[tokio::test]
async fn no_access_token_of_the_realm_is_an_assertion() {
    use jeton_engine::terms::TokenShape;
    let realm = realm_of(TokenShape::rfc9068(Algorithm::EdDsa));
    let stage = Stage::with(settings(), realm).await;
    stage.engine.ensure_keys(&stage.state(), &[std::sync::Arc::new(terms())]).await.unwrap();
    let secret =
        stage.client(NewClient { audiences: vec![ISSUER.parse().unwrap()], ..orders() }).await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    assert_eq!(stage.rejected(&token).await, Reason::AssertionTyped);
}
