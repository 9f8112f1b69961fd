//! Keys: every algorithm signs and verifies, survives being kept, and refuses what is not its own.

#![expect(clippy::unwrap_used, reason = "a test may assume")]

use jeton_jose::jws::{self, Unverified};
use jeton_jose::{Algorithm, JwkSet, JwsError, KeyError, SigningKey, VerifyingKey, base64url};

fn token(key: &SigningKey) -> String {
    key.sign_compact(&jws::encode_header(key, Some("k"), Some("JWT")), br#"{"sub":"a"}"#).unwrap()
}

fn verify(token: &str, key: &VerifyingKey) -> Result<Vec<u8>, JwsError> {
    Unverified::parse(token)?.verify(key).map(|verified| verified.payload)
}

#[test]
fn every_algorithm_signs_and_verifies_and_only_under_its_own_key() {
    let keys: Vec<_> =
        Algorithm::ALL.iter().map(|algorithm| SigningKey::generate(*algorithm).unwrap()).collect();
    for key in &keys {
        let token = token(key);
        assert_eq!(token.capacity(), token.len(), "{}", key.algorithm());
        assert_eq!(verify(&token, &key.verifying_key()).as_deref(), Ok(&br#"{"sub":"a"}"#[..]));
        let stranger = SigningKey::generate(key.algorithm()).unwrap();
        assert_eq!(verify(&token, &stranger.verifying_key()), Err(JwsError::Signature));
        for other in keys.iter().filter(|other| other.algorithm() != key.algorithm()) {
            assert_eq!(verify(&token, &other.verifying_key()), Err(JwsError::AlgorithmMismatch));
        }
    }
}

#[test]
fn a_key_survives_being_kept() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(*algorithm).unwrap();
        let kept = key.private_bytes().unwrap();
        let again = SigningKey::from_private_bytes(*algorithm, &kept).unwrap();
        assert_eq!(again.public_jwk("k"), key.public_jwk("k"));
        assert!(verify(&token(&again), &key.verifying_key()).is_ok());
        if algorithm.is_symmetric() {
            assert_eq!(key.to_pem().map(|_| ()), Err(KeyError::Symmetric));
            continue;
        }
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{algorithm}");
        let again = SigningKey::from_pem(*algorithm, &pem).unwrap();
        assert!(verify(&token(&again), &key.verifying_key()).is_ok());
        for other in Algorithm::ALL.iter().filter(|other| *other != algorithm) {
            // An RSA key can be taken for either; all other pairs differ.
            let rsa = [Algorithm::Rs256, Algorithm::Ps256];
            if rsa.contains(algorithm) && rsa.contains(other) {
                continue;
            }
            let refused = Err(KeyError::KindMismatch(*other));
            assert_eq!(SigningKey::from_pem(*other, &pem).map(|_| ()), refused, "{algorithm}");
        }
    }
}

#[test]
fn a_public_half_travels_as_jwk_and_as_pem_and_stays_itself() {
    for algorithm in Algorithm::ALL.iter().filter(|algorithm| !algorithm.is_symmetric()) {
        let key = SigningKey::generate(*algorithm).unwrap();
        let jwk = key.public_jwk("key \"1\"").unwrap();
        let public = VerifyingKey::from_jwk(&jwk).unwrap();
        assert_eq!(public.algorithm(), *algorithm);
        assert_eq!(public.key_id(), Some("key \"1\""));
        assert_eq!(public.to_jwk().as_deref(), Some(jwk.as_str()));
        assert!(verify(&token(&key), &public).is_ok());

        let pem = public.to_public_pem().unwrap();
        let from_pem = VerifyingKey::from_public_pem(*algorithm, &pem).unwrap();
        assert_eq!(from_pem.key_id(), None);
        assert_eq!(from_pem.thumbprint(), public.thumbprint());
        assert_eq!(from_pem.with_key_id("key \"1\"").to_jwk().as_deref(), Some(jwk.as_str()));
        assert!(verify(&token(&key), &from_pem).is_ok());

        let wrong = SigningKey::from_pem(*algorithm, &pem).map(|_| ());
        assert_eq!(wrong, Err(KeyError::PublicWherePrivate));
        let wrong = VerifyingKey::from_public_pem(*algorithm, &key.to_pem().unwrap()).map(|_| ());
        assert_eq!(wrong, Err(KeyError::PrivateWherePublic));
    }
}

#[test]
fn ed25519_and_hmac_sign_deterministically() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Hs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        assert_eq!(token(&key), token(&key));
    }
}

#[test]
fn weak_secrets_are_refused() {
    let from = |len| SigningKey::from_secret(&vec![1; len]).map(|_| ());
    assert_eq!(from(31), Err(KeyError::SecretShort));
    assert_eq!(from(32), Ok(()));
    assert_eq!(from(1024), Ok(()));
    assert_eq!(from(1025), Err(KeyError::SecretLong));
    assert_eq!(VerifyingKey::from_secret(b"short").map(|_| ()), Err(KeyError::SecretShort));
}

#[test]
fn no_secret_gets_out_by_debug_output_or_as_a_public_key() {
    let secret = [0x41; 32];
    let key = SigningKey::from_secret(&secret).unwrap();
    assert_eq!(format!("{key:?}"), "[redacted]");
    let shown = format!("{:?}", key.verifying_key());
    assert_eq!(shown, "VerifyingKey { algorithm: Hs256, key_id: None, .. }");
    assert_eq!(key.public_jwk("k"), None);
    assert_eq!(key.verifying_key().to_jwk(), None);
    assert_eq!(key.verifying_key().thumbprint(), None);
    assert_eq!(key.verifying_key().to_public_pem(), Err(KeyError::Symmetric));
}

#[test]
fn rsa_keys_have_2048_to_4096_bits() {
    let key = SigningKey::generate_rsa(Algorithm::Ps256, 3072).unwrap();
    assert!(verify(&token(&key), &key.verifying_key()).is_ok());
    let refused = |bits| SigningKey::generate_rsa(Algorithm::Rs256, bits).map(|_| ());
    assert_eq!(refused(1024), Err(KeyError::RsaSize));
    assert_eq!(refused(8192), Err(KeyError::RsaSize));
    let wrong = SigningKey::generate_rsa(Algorithm::EdDsa, 2048).map(|_| ());
    assert_eq!(wrong, Err(KeyError::KindMismatch(Algorithm::EdDsa)));
    let key = |bits: usize, last: u8, e: &[u8]| {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        modulus[bits / 8 - 1] = last;
        let (n, e) = (base64url::encode(modulus), base64url::encode(e));
        VerifyingKey::from_jwk(&format!(r#"{{"kty":"RSA","alg":"RS256","n":"{n}","e":"{e}"}}"#))
            .map(|_| ())
    };
    let jwk = |bits, e: &[u8]| key(bits, 0xff, e);
    assert_eq!(jwk(2048, &[1, 0, 1]), Ok(()));
    assert_eq!(key(2048, 0xfe, &[1, 0, 1]), Err(KeyError::Invalid), "an even modulus");
    assert_eq!(jwk(4096, &[1, 0, 1]), Ok(()));
    assert_eq!(jwk(2040, &[1, 0, 1]), Err(KeyError::RsaSize));
    assert_eq!(jwk(4104, &[1, 0, 1]), Err(KeyError::RsaSize));
    for exponent in [&[1][..], &[3], &[0xff, 0xff], &[1, 0, 0], &[1, 0, 0, 0, 1]] {
        assert_eq!(jwk(2048, exponent), Err(KeyError::RsaExponent), "{exponent:?}");
    }
}

#[test]
fn a_set_verifies_by_key_identifier_and_by_algorithm_alone() {
    let first = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let second = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let text = format!(
        r#"{{"keys":[{},{},{{"kty":"new"}}]}}"#,
        first.public_jwk("1").unwrap(),
        second.public_jwk("2").unwrap()
    );
    let set = JwkSet::parse(&text).unwrap();
    assert_eq!(set.keys().len(), 2);
    assert_eq!(set.skipped(), [KeyError::KindUnknown]);
    let signed = |key: &SigningKey, kid| {
        key.sign_compact(&jws::encode_header(key, kid, None), b"{}").unwrap()
    };
    for token in [signed(&first, Some("1")), signed(&second, Some("2")), signed(&second, None)] {
        assert!(jws::verify_compact(&token, &set).is_ok());
    }
    let refused = |token: &str| jws::verify_compact(token, &set).unwrap_err();
    assert_eq!(refused(&signed(&first, Some("2"))), JwsError::Signature);
    assert_eq!(refused(&signed(&first, Some("3"))), JwsError::KeyUnknown);
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    assert_eq!(refused(&signed(&stranger, Some("1"))), JwsError::KeyUnknown);
    let many = JwkSet::new(vec![first.verifying_key(); 9]);
    let unnamed = jws::verify_compact(&signed(&first, None), &many);
    assert_eq!(unnamed, Err(JwsError::KeyAmbiguous));
}

#[test]
fn a_jwk_names_the_certificate_of_its_key_by_the_first_of_its_chain() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let jwk = key.public_jwk("k").unwrap();
    let with = |x5c: &str| jwk.replacen('{', &format!("{{\"x5c\":{x5c},"), 1);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"first?>");
    let read = VerifyingKey::from_jwk(&with(r#"["Zmlyc3Q/Pg==","c2Vjb25k"]"#)).unwrap();
    assert_eq!(read.certificate().map(<[u8; 32]>::as_slice), Some(digest.as_ref()));
    assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap().certificate(), None);
    for broken in
        ["[]", "null", "\"Zmlyc3Q/Pg==\"", "[1]", "[\"Zmlyc3Q_Pg==\"]", "[\"Zmlyc3Q/Pg\"]"]
    {
        let refused = VerifyingKey::from_jwk(&with(broken)).map(|_| ());
        assert_eq!(refused, Err(KeyError::Member("x5c")), "{broken}");
    }
    let spki = key.verifying_key().to_public_der().unwrap();
    assert_eq!(spki.len(), 44);
    let secret = VerifyingKey::from_secret(&[7; 32]).unwrap();
    assert_eq!(secret.to_public_der().map(|_| ()), Err(KeyError::Symmetric));
}
