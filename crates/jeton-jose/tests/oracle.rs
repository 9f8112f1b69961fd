//! Another implementation as oracle: the crate `jsonwebtoken` verifies what we sign, and we verify
//! what it signs, for every algorithm it knows.

#![expect(clippy::unwrap_used, reason = "a test may assume")]

use jeton_jose::jws::{self, Unverified};
use jeton_jose::{Algorithm, SigningKey, VerifyingKey};
use jsonwebtoken::{DecodingKey, EncodingKey, Validation, jwk::Jwk};
use serde_json::{Value, json};

fn theirs(algorithm: Algorithm) -> Option<jsonwebtoken::Algorithm> {
    algorithm.name().parse().ok()
}

fn encoding_key(key: &SigningKey) -> EncodingKey {
    let pem = key.to_pem();
    let pem = || pem.as_ref().unwrap().as_bytes();
    match key.algorithm() {
        Algorithm::Hs256 => EncodingKey::from_secret(&key.private_bytes().unwrap()),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(pem()).unwrap(),
        Algorithm::Es256 | Algorithm::Es384 => EncodingKey::from_ec_pem(pem()).unwrap(),
        _ => EncodingKey::from_rsa_pem(pem()).unwrap(),
    }
}

/// Their key from our JWK, and from our PEM: both must do.
fn decoding_keys(key: &SigningKey) -> Vec<DecodingKey> {
    let Some(jwk) = key.public_jwk("k") else {
        return vec![DecodingKey::from_secret(&key.private_bytes().unwrap())];
    };
    let jwk: Jwk = serde_json::from_str(&jwk).unwrap();
    let pem = key.verifying_key().to_public_pem().unwrap();
    let from_pem = match key.algorithm() {
        Algorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        Algorithm::Es256 | Algorithm::Es384 => DecodingKey::from_ec_pem(pem.as_bytes()),
        _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
    };
    vec![DecodingKey::from_jwk(&jwk).unwrap(), from_pem.unwrap()]
}

#[test]
fn the_oracle_and_we_verify_each_other() {
    let mut compared = 0;
    for algorithm in Algorithm::ALL {
        let Some(theirs) = theirs(*algorithm) else { continue };
        compared += 1;
        let key = SigningKey::generate(*algorithm).unwrap();
        let stranger = SigningKey::generate(*algorithm).unwrap();
        let claims = json!({"sub": "é", "exp": 4_000_000_000_u64, "n": 1.5});

        let header = jws::encode_header(&key, Some("k"), Some("JWT"));
        let token = key.sign_compact(&header, claims.to_string().as_bytes()).unwrap();
        for decoding in decoding_keys(&key) {
            let read =
                jsonwebtoken::decode::<Value>(&token, &decoding, &Validation::new(theirs)).unwrap();
            assert_eq!(read.claims, claims, "{algorithm}");
            assert_eq!(read.header.kid.as_deref(), Some("k"));
        }
        for decoding in decoding_keys(&stranger) {
            let validation = Validation::new(theirs);
            assert!(jsonwebtoken::decode::<Value>(&token, &decoding, &validation).is_err());
        }

        let mut header = jsonwebtoken::Header::new(theirs);
        header.kid = Some("k".to_owned());
        let token = jsonwebtoken::encode(&header, &claims, &encoding_key(&key)).unwrap();
        let verified = Unverified::parse(&token).unwrap().verify(&key.verifying_key()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&verified.payload).unwrap(), claims);
        assert_eq!(verified.header.key_id.as_deref(), Some("k"));
        let refused = Unverified::parse(&token).unwrap().verify(&stranger.verifying_key());
        assert!(refused.is_err(), "{algorithm}");
    }
    assert_eq!(compared, 6, "all but ML-DSA");
}

#[test]
fn the_oracle_and_we_agree_on_thumbprints() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let jwk = key.public_jwk("k").unwrap();
        let theirs: Jwk = serde_json::from_str(&jwk).unwrap();
        let thumbprint = theirs.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
        let ours = VerifyingKey::from_jwk(&jwk).unwrap().thumbprint();
        assert_eq!(ours.as_deref(), Some(thumbprint.as_str()), "{algorithm}");
    }
}
