//! Properties: base64url has one spelling for every value, and no altered token is accepted.

#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::sync::LazyLock;

use jeton_jose::jws::{self, Unverified};
use jeton_jose::{Algorithm, JwkSet, SigningKey, VerifyingKey, base64url, json};
use proptest::prelude::*;

static TOKENS: LazyLock<Vec<(String, VerifyingKey)>> = LazyLock::new(|| {
    let token = |algorithm: &Algorithm| {
        let key = SigningKey::generate(*algorithm).unwrap();
        let header = jws::encode_header(&key, Some("k"), Some("at+jwt"));
        let token = key.sign_compact(&header, br#"{"sub":"a","exp":1}"#).unwrap();
        (token, key.verifying_key())
    };
    Algorithm::ALL.iter().map(token).collect()
});

fn accepted(token: &str, key: &VerifyingKey) -> bool {
    Unverified::parse(token).is_ok_and(|parsed| parsed.verify(key).is_ok())
}

#[test]
fn every_altered_character_of_a_token_is_refused() {
    for (token, key) in TOKENS.iter() {
        assert!(accepted(token, key));
        // ML-DSA has thousands of characters: every seventh of them, and all of the others.
        let step = if token.len() > 1000 { 7 } else { 1 };
        for at in (0..token.len()).step_by(step) {
            for other in [b'A', b'B', b'-', b'_', b'.', b'='] {
                let mut altered = token.clone().into_bytes();
                if altered[at] == other {
                    continue;
                }
                altered[at] = other;
                let altered = String::from_utf8(altered).unwrap();
                assert!(!accepted(&altered, key), "{} at {at}", key.algorithm());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn base64url_comes_back(bytes: Vec<u8>) {
        let text = base64url::encode(&bytes);
        prop_assert_eq!(text.len(), base64url::encoded_len(bytes.len()));
        prop_assert_eq!(base64url::decode(&text), Ok(bytes));
    }

    #[test]
    fn base64url_has_one_spelling(text in "[A-Za-z0-9_-]{0,24}|[ -~]{0,12}|[A-Z=+/\\n]{0,12}") {
        if let Ok(bytes) = base64url::decode(&text) {
            prop_assert_eq!(base64url::encode(bytes), text);
        }
    }

    #[test]
    fn a_token_that_was_cut_grown_or_altered_is_refused(
        which in 0..8_usize,
        at: prop::sample::Index,
        character in "[A-Za-z0-9_.=-]",
        kind in 0..4_u8,
    ) {
        let (token, key) = &TOKENS[which];
        let at = at.index(token.len());
        let mut altered = token.clone();
        match kind {
            0 => altered.truncate(at),
            1 => altered.insert_str(at, &character),
            2 => drop(altered.remove(at)),
            _ => altered.replace_range(at..=at, &character),
        }
        prop_assert_eq!(accepted(&altered, key), altered == *token);
    }

    #[test]
    fn nothing_makes_the_readers_panic(text in "\\PC{0,200}", json in "[{}\\[\\]\",:a-c0-9]{0,60}") {
        for text in [&text, &json] {
            let _ = Unverified::parse(text);
            let _ = JwkSet::parse(text);
            let _ = VerifyingKey::from_jwk(text);
            let _ = SigningKey::from_pem(Algorithm::EdDsa, text);
        }
    }

    #[test]
    fn strict_json_reads_as_the_lenient_reader_does(json in "[{}\\[\\]\",:a-c0-9]{0,60}") {
        if let Ok(strict) = json::object(json.as_bytes()) {
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), serde_json::Value::Object(strict));
        }
    }
}
