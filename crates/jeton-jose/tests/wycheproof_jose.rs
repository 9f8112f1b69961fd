//! Wycheproof's vectors for whole tokens and key sets: what it calls invalid is refused, what it calls
//! valid is accepted; where we differ, `vectors/wycheproof-differences.json` states the reason.

#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::collections::HashMap;

use jeton_jose::JwkSet;
use jeton_jose::jws;
use serde_json::Value;

const FILES: [(&str, &str); 3] = [
    (
        "json_web_signature_test.json",
        include_str!("vectors/wycheproof/json_web_signature_test.json"),
    ),
    ("json_web_key_test.json", include_str!("vectors/wycheproof/json_web_key_test.json")),
    ("json_web_crypto_test.json", include_str!("vectors/wycheproof/json_web_crypto_test.json")),
];

/// The stated differences: whether the vector is accepted, and with which words it is refused.
fn differences() -> HashMap<(String, u64), Value> {
    let all: Vec<Value> =
        serde_json::from_str(include_str!("vectors/wycheproof-differences.json")).unwrap();
    let each = all.iter().flat_map(|one| {
        let file = one["file"].as_str().unwrap();
        let vectors = one["vectors"].as_array().unwrap();
        vectors.iter().map(move |id| ((file.to_owned(), id.as_u64().unwrap()), one.clone()))
    });
    each.collect()
}

#[test]
fn wycheproof_tokens_and_key_sets() {
    let mut differences = differences();
    let (mut accepted, mut refused) = (0, 0);
    for (name, text) in FILES {
        let file: Value = serde_json::from_str(text).unwrap();
        for group in file["testGroups"].as_array().unwrap() {
            let keys = group.get("public").unwrap_or(&group["private"]).to_string();
            let keys = JwkSet::parse_kept(&keys).unwrap();
            for vector in group["tests"].as_array().unwrap() {
                // Encrypted tokens are none of ours.
                let Some(token) = vector.get("jws") else { continue };
                let id = vector["tcId"].as_u64().unwrap();
                let differs = differences.remove(&(name.to_owned(), id));
                match check(&format!("{name} {id}"), vector, token, &keys, differs.as_ref()) {
                    true => accepted += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(differences.is_empty(), "stated, but not there: {:?}", differences.keys());
    assert_eq!((accepted, refused), (33, 443));
}

/// Whether the vector was accepted, as it should be or not.
fn check(
    place: &str,
    vector: &Value,
    token: &Value,
    keys: &JwkSet,
    differs: Option<&Value>,
) -> bool {
    // The JSON serialization (RFC 7515 section 7.2) stands in the file as JSON.
    let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
    let result = jws::verify_compact(&token, keys);
    let valid = vector["result"] == "valid";
    let Some(differs) = differs else {
        assert_eq!(result.is_ok(), valid, "{place} {}: {result:?}", vector["comment"]);
        return valid;
    };
    assert_eq!(differs["outcome"] == "accepted", !valid, "{place}: no difference");
    assert_eq!(result.is_ok(), !valid, "{place} {}: {result:?}", vector["comment"]);
    if let Err(error) = result {
        assert_eq!(differs["message"], error.to_string(), "{place}: refused for another reason");
    }
    !valid
}
