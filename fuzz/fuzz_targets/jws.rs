//! Tokens from outside: reading one never panics, what is read is spelled in one way only, and
//! nobody finds a signature.

#![no_main]

use std::sync::LazyLock;

use jeton_jose::jws::{self, TOKEN_BYTES_MAX, Unverified};
use jeton_jose::jwt::Claims;
use jeton_jose::{Algorithm, JwkSet, SigningKey, VerifyingKey, base64url};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
    let key =
        |algorithm: &Algorithm| SigningKey::generate(*algorithm).map(|key| key.verifying_key());
    Algorithm::ALL.iter().filter_map(|algorithm| key(algorithm).ok()).collect()
});

fuzz_target!(|token: &str| {
    let keys = JwkSet::new(KEYS.clone());
    assert!(jws::verify_compact(token, &keys).is_err(), "a signature was found");
    let Ok(parsed) = Unverified::parse(token) else { return };
    assert!(token.len() <= TOKEN_BYTES_MAX);
    let payload = parsed.danger_unverified_payload();
    assert_eq!(token.split('.').nth(1), Some(base64url::encode(payload).as_str()));
    if let Ok(claims) = Claims::parse(payload) {
        let _ = claims.audiences();
        for name in ["exp", "nbf", "iat"] {
            let _ = claims.time(name);
        }
        for name in ["iss", "sub", "jti"] {
            let _ = claims.text(name);
        }
    }
    let _ = parsed.header().is_type("at+jwt");
    if let Some(jwk) = &parsed.header().embedded_jwk {
        let _ = VerifyingKey::from_jwk(jwk);
    }
});
