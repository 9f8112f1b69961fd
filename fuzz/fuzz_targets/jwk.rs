//! Keys from outside: reading a JWK, a set or PEM never panics, and a key that is read stays itself
//! when it is written and read again.

#![no_main]

use jeton_jose::{Algorithm, JwkSet, SigningKey, VerifyingKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(key) = VerifyingKey::from_jwk(text) {
        comes_back(&key);
    }
    if let Ok(set) = JwkSet::parse(text) {
        set.keys().iter().for_each(comes_back);
    }
    for algorithm in Algorithm::ALL {
        if let Ok(key) = VerifyingKey::from_public_pem(*algorithm, text) {
            comes_back(&key);
        }
        for key in [SigningKey::from_jwk(*algorithm, text), SigningKey::from_pem(*algorithm, text)]
        {
            let Ok(key) = key else { continue };
            let bytes = key.private_bytes().expect("a key can be kept");
            let again = SigningKey::from_private_bytes(*algorithm, &bytes).expect("and read");
            assert_eq!(again.public_jwk("k"), key.public_jwk("k"));
            key.sign_compact("e30", b"").expect("and used");
        }
    }
});

fn comes_back(key: &VerifyingKey) {
    let Some(jwk) = key.to_jwk() else { return };
    let again = VerifyingKey::from_jwk(&jwk).expect("what we write we read");
    assert_eq!(again.to_jwk(), Some(jwk));
    assert_eq!(again.thumbprint(), key.thumbprint());
    let pem = key.to_public_pem().expect("a public key has a PEM form");
    let again = VerifyingKey::from_public_pem(key.algorithm(), &pem).expect("that we read");
    assert_eq!(again.thumbprint(), key.thumbprint());
}
