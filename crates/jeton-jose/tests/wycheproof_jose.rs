//! Wycheproof's vectors for whole tokens and key sets, read from a checkout (tests/vectors/README.md):
//! what it calls invalid is refused, what it calls valid is accepted, or refused for a stated reason.

#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::path::Path;

use jeton_jose::jws;
use jeton_jose::{Algorithm, JwkSet, JwsError, SigningKey};
use serde_json::Value;

/// Valid in general, but refused by us.
const REFUSED_BY_POLICY: [(&str, &str); 6] = [
    ("json_web_signature_test.json", "372 373: characters outside the alphabet in a part"),
    ("json_web_signature_test.json", "264 265 266 267 268 269 270 271: RS384, RS512"),
    ("json_web_signature_test.json", "320 321 322 323 325 326 327 328: PS384, PS512"),
    ("json_web_signature_test.json", "346 350: PS384 with a key that says PS256"),
    ("json_web_signature_test.json", "347 351: P-521, under a name that is not registered"),
    ("json_web_key_test.json", "14 15: HS384, HS512"),
];

/// Called invalid, but identical to the valid vector 357: their padding was lost when the file was
/// written. Nobody can refuse them and accept that one.
const IDENTICAL_TO_A_VALID_ONE: [u64; 2] = [367, 370];

#[test]
#[ignore = "needs a checkout of Wycheproof, named by WYCHEPROOF_VECTORS"]
fn wycheproof_tokens_and_key_sets() {
    let directory = std::env::var("WYCHEPROOF_VECTORS").expect("WYCHEPROOF_VECTORS names it");
    for name in ["json_web_signature_test.json", "json_web_key_test.json"] {
        let text = std::fs::read_to_string(Path::new(&directory).join(name)).unwrap();
        let file: Value = serde_json::from_str(&text).unwrap();
        let mut count = 0;
        for group in file["testGroups"].as_array().unwrap() {
            let keys = keys(group);
            for vector in group["tests"].as_array().unwrap() {
                check(name, vector, &keys);
                count += 1;
            }
        }
        assert_eq!(file["numberOfTests"], count);
    }
}

fn check(file: &str, vector: &Value, keys: &JwkSet) {
    let id = vector["tcId"].as_u64().unwrap();
    let result = jws::verify_compact(vector["jws"].as_str().unwrap(), keys);
    let by_policy = REFUSED_BY_POLICY.iter().any(|(of, reason)| {
        let ids = reason.split(':').next().unwrap();
        *of == file && ids.split(' ').any(|one| one.parse() == Ok(id))
    });
    let expected = match vector["result"].as_str().unwrap() {
        "valid" => !by_policy,
        _ => file == "json_web_signature_test.json" && IDENTICAL_TO_A_VALID_ONE.contains(&id),
    };
    assert_eq!(result.is_ok(), expected, "{file} {id} {}: {result:?}", vector["comment"]);
    if by_policy {
        assert_ne!(result, Err(JwsError::Signature), "{file} {id}: refused for another reason");
    }
}

/// The group's keys. A set never brings us a secret, so secrets are taken one by one.
fn keys(group: &Value) -> JwkSet {
    if let Some(public) = group.get("public") {
        let set = if public.get("keys").is_some() {
            public.to_string()
        } else {
            format!(r#"{{"keys":[{public}]}}"#)
        };
        return JwkSet::parse(&set).unwrap();
    }
    let private = &group["private"];
    let secrets = private["keys"].as_array().cloned().unwrap_or_else(|| vec![private.clone()]);
    // A set that mixes secrets and other keys is refused whole; so the file wants it.
    if secrets.iter().any(|key| key["kty"] != "oct") {
        return JwkSet::parse(&private.to_string()).unwrap();
    }
    // Whoever reads secrets stops at the first that is refused.
    let key = |jwk: &Value| {
        let key = SigningKey::from_jwk(Algorithm::Hs256, &jwk.to_string()).ok()?;
        Some(key.verifying_key().with_key_id(jwk["kid"].as_str()?))
    };
    JwkSet::new(secrets.iter().map(key).collect::<Option<Vec<_>>>().unwrap_or_default())
}
