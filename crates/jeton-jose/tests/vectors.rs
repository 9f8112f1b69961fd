//! Published vectors: what the RFCs sign we verify (and sign alike where signing is
//! deterministic), and what Wycheproof calls invalid is refused.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may assume"
)]

use jeton_jose::jws::Unverified;
use jeton_jose::{Algorithm, JwsError, KeyError, SigningKey, VerifyingKey};
use serde_json::Value;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    let hex = text(value, name);
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

fn rfc() -> Value {
    serde_json::from_str(include_str!("vectors/rfc.json")).unwrap()
}

#[test]
fn tokens_of_the_rfcs_verify_and_are_signed_alike_where_signing_is_deterministic() {
    let vectors = rfc();
    assert_eq!(list(&vectors, "signatures").len(), 8);
    for vector in list(&vectors, "signatures") {
        let source = text(vector, "source");
        let algorithm = text(vector, "algorithm").parse().unwrap();
        let key = SigningKey::from_jwk(algorithm, &vector["key"].to_string()).unwrap();
        let token = text(vector, "token");
        let verified = Unverified::parse(token).unwrap().verify(&key.verifying_key()).unwrap();
        let deterministic = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::EdDsa];
        let header = token.split('.').next().unwrap();
        let ours = key.sign_compact(header, &verified.payload).unwrap();
        assert_eq!(ours == token, deterministic.contains(&algorithm), "{source}");
        if let Some(thumbprint) = vector["thumbprint"].as_str() {
            assert_eq!(key.verifying_key().thumbprint().as_deref(), Some(thumbprint), "{source}");
        }
    }
}

#[test]
fn the_thumbprint_of_rfc_7638_comes_out() {
    for vector in list(&rfc(), "thumbprints") {
        let key = VerifyingKey::from_jwk(&vector["key"].to_string()).unwrap();
        assert_eq!(key.thumbprint().as_deref(), Some(text(vector, "thumbprint")));
    }
}

#[test]
fn the_unsigned_token_of_rfc_7515_and_algorithms_we_do_not_use_are_refused() {
    let vectors = rfc();
    let refused = |vector: &Value| Unverified::parse(text(vector, "token")).unwrap_err();
    assert_eq!(refused(&vectors["unsigned"]), JwsError::Unsigned);
    for vector in list(&vectors, "unknown_algorithms") {
        assert_eq!(refused(vector), JwsError::AlgorithmUnknown);
    }
}

/// What a file of Wycheproof holds beside what is refused and accepted as it says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Valid in general, refused by us, each for the reason that the test states.
    refused_by_policy: usize,
}

/// Runs every vector of a file. `key` reads a group's key; `policy` says whether a valid vector is
/// refused by us.
fn run(
    file: &str,
    signature: &str,
    key: impl Fn(&Value, &Value) -> Result<VerifyingKey, KeyError>,
    policy: impl Fn(&Value, &Value) -> bool,
) -> Tally {
    let file: Value = serde_json::from_str(file).unwrap();
    let mut tally = Tally::default();
    for group in list(&file, "testGroups") {
        for vector in list(group, "tests") {
            let (message, signature) = (bytes(vector, "msg"), bytes(vector, signature));
            let accepted =
                key(group, vector).is_ok_and(|key| key.verify(&message, &signature).is_ok());
            match (text(vector, "result"), accepted) {
                ("valid", true) => tally.accepted += 1,
                ("invalid" | "acceptable", false) => tally.refused += 1,
                ("valid", false) if policy(group, vector) => tally.refused_by_policy += 1,
                (expected, _) => panic!("{expected}, but accepted is {accepted}: {vector}"),
            }
        }
    }
    let total = tally.accepted + tally.refused + tally.refused_by_policy;
    assert_eq!(file["numberOfTests"], total);
    tally
}

/// The key of a group, which must be the same read from PEM and from a JWK.
fn public_key(algorithm: Algorithm, group: &Value) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_public_pem(algorithm, text(group, "publicKeyPem"))?;
    if let Some(jwk) = group.get("publicKeyJwk").or_else(|| group.get("keyJwk")) {
        let from_jwk = VerifyingKey::from_jwk_for(algorithm, &jwk.to_string())?;
        assert_eq!(from_jwk.thumbprint(), key.thumbprint());
    }
    Ok(key)
}

fn no_policy(_: &Value, _: &Value) -> bool {
    false
}

macro_rules! wycheproof {
    ($name:literal) => {
        include_str!(concat!("vectors/wycheproof/", $name, "_test.json"))
    };
}

#[test]
fn wycheproof_es256() {
    let file = wycheproof!("ecdsa_secp256r1_sha256_p1363");
    let tally = run(file, "sig", |group, _| public_key(Algorithm::Es256, group), no_policy);
    assert_eq!(tally, Tally { accepted: 173, refused: 89, refused_by_policy: 0 });
}

#[test]
fn wycheproof_es384() {
    let file = wycheproof!("ecdsa_secp384r1_sha384_p1363");
    let tally = run(file, "sig", |group, _| public_key(Algorithm::Es384, group), no_policy);
    assert_eq!(tally, Tally { accepted: 193, refused: 87, refused_by_policy: 0 });
}

#[test]
fn wycheproof_eddsa() {
    let file = wycheproof!("ed25519");
    let tally = run(file, "sig", |group, _| public_key(Algorithm::EdDsa, group), no_policy);
    assert_eq!(tally, Tally { accepted: 88, refused: 63, refused_by_policy: 0 });
}

#[test]
fn wycheproof_rs256() {
    let files = [
        (wycheproof!("rsa_signature_2048_sha256"), 7, 250, 2),
        (wycheproof!("rsa_signature_3072_sha256"), 7, 251, 1),
        (wycheproof!("rsa_signature_4096_sha256"), 7, 251, 0),
        (wycheproof!("rsa_signature_8192_sha256"), 0, 251, 7),
    ];
    for (file, accepted, refused, refused_by_policy) in files {
        // Policy: no public exponent below 65537 (NIST SP 800-56B section 6.2), and no modulus of
        // which one signature costs more than a hundred others.
        let policy = |group: &Value, _: &Value| {
            group["publicKey"]["publicExponent"] == "03" || group["keySize"].as_u64() > Some(4096)
        };
        let tally = run(file, "sig", |group, _| public_key(Algorithm::Rs256, group), policy);
        // One of the refused is "acceptable": its padding lacks a NULL that RFC 8017 asks for.
        assert_eq!(tally, Tally { accepted, refused, refused_by_policy });
    }
}

#[test]
fn wycheproof_ps256() {
    for file in [
        wycheproof!("rsa_pss_2048_sha256_mgf1_32"),
        wycheproof!("rsa_pss_3072_sha256_mgf1_32"),
        wycheproof!("rsa_pss_4096_sha256_mgf1_32"),
    ] {
        let tally = run(file, "sig", |group, _| public_key(Algorithm::Ps256, group), no_policy);
        assert_eq!(tally, Tally { accepted: 63, refused: 45, refused_by_policy: 0 });
    }
}

/// RFC 7518 section 3.5: the salt is as long as the hash, and the mask is made with SHA-256.
#[test]
fn wycheproof_pss_with_another_salt_or_mask_is_not_ps256() {
    for (file, of_ps256) in [
        // Wrong for a scheme without salt, and just for that reason right for ours.
        (wycheproof!("rsa_pss_2048_sha256_mgf1_0"), &["s_len changed to 32"][..]),
        (wycheproof!("rsa_pss_2048_sha256_mgf1sha1_20"), &[]),
    ] {
        let file: Value = serde_json::from_str(file).unwrap();
        let mut accepted = Vec::new();
        for group in list(&file, "testGroups") {
            let key = public_key(Algorithm::Ps256, group).unwrap();
            for vector in list(group, "tests") {
                if key.verify(&bytes(vector, "msg"), &bytes(vector, "sig")).is_ok() {
                    accepted.push(text(vector, "comment"));
                }
            }
        }
        assert_eq!(accepted, of_ps256);
    }
}

#[test]
fn wycheproof_hs256() {
    // Policy: RFC 7518 section 3.2 wants secrets of 32 bytes or more, and whole tags.
    let policy =
        |group: &Value, _: &Value| group["keySize"].as_u64() < Some(256) || group["tagSize"] != 256;
    let key = |_: &Value, vector: &Value| VerifyingKey::from_secret(&bytes(vector, "key"));
    let tally = run(wycheproof!("hmac_sha256"), "tag", key, policy);
    assert_eq!(tally.accepted + tally.refused_by_policy, 66);
    assert_eq!(tally.refused, 108);
    assert!(tally.accepted > 20, "{tally:?}");
}

#[test]
fn wycheproof_ml_dsa() {
    let files = [
        (Algorithm::MlDsa44, wycheproof!("mldsa_44_verify"), 75, 103),
        (Algorithm::MlDsa65, wycheproof!("mldsa_65_verify"), 77, 131),
    ];
    for (algorithm, file, accepted, refused) in files {
        let key = |group: &Value, _: &Value| {
            let public = jeton_jose::base64url::encode(bytes(group, "publicKey"));
            let jwk = format!(r#"{{"kty":"AKP","alg":"{algorithm}","pub":"{public}"}}"#);
            VerifyingKey::from_jwk(&jwk)
        };
        // Policy: RFC 9964 section 4 signs with an empty context, so others do not verify.
        let policy =
            |_: &Value, vector: &Value| vector["ctx"].as_str().is_some_and(|ctx| !ctx.is_empty());
        let tally = run(file, "sig", key, policy);
        assert_eq!(tally, Tally { accepted, refused, refused_by_policy: 2 });
    }
}
