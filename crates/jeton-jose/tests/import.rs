//! Keys from outside: what OpenSSL writes is read; what is weak, of another kind, for another use or
//! does not hold together is refused, for its own reason.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may assume"
)]

use jeton_jose::json::NotStrictObject;
use jeton_jose::jws::Unverified;
use jeton_jose::{Algorithm, JwkSet, KeyError, SigningKey, VerifyingKey, base64url};
use serde_json::{Value, json};

use Algorithm::{EdDsa, Es256, Es384, Hs256, MlDsa44, MlDsa65, Ps256, Rs256};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("vectors/pem/", $name, ".pem"))
    };
}

fn sign(key: &SigningKey) -> String {
    let header = base64url::encode(format!(r#"{{"alg":"{}"}}"#, key.algorithm()));
    key.sign_compact(&header, b"{}").unwrap()
}

fn verifies(token: &str, key: &VerifyingKey) -> bool {
    Unverified::parse(token).unwrap().verify(key).is_ok()
}

#[test]
fn private_and_public_keys_of_openssl_belong_together() {
    for (algorithm, private, public) in [
        (Rs256, pem!("rsa-2048-pkcs1"), pem!("rsa-2048-public")),
        (Rs256, pem!("rsa-2048-pkcs8"), pem!("rsa-2048-public-pkcs1")),
        (Ps256, pem!("rsa-2048-pkcs8"), pem!("rsa-2048-public")),
        (Es256, pem!("ec-prime256v1-sec1"), pem!("ec-prime256v1-public")),
        (Es256, pem!("ec-prime256v1-pkcs8"), pem!("ec-prime256v1-public-compressed")),
        (EdDsa, pem!("ed25519-pkcs8"), pem!("ed25519-public")),
    ] {
        let key = SigningKey::from_pem(algorithm, private).unwrap();
        let public = VerifyingKey::from_public_pem(algorithm, public).unwrap();
        assert!(verifies(&sign(&key), &public));
        assert_eq!(public.thumbprint(), key.verifying_key().thumbprint());
        // Line ends and text around the block do not matter.
        let dressed = format!("a text\r\n{}\r\nanother", private.replace('\n', "\r\n"));
        assert!(SigningKey::from_pem(algorithm, &dressed).is_ok());
    }
    assert!(SigningKey::from_pem(Es384, pem!("ec-secp384r1-sec1")).is_ok());
}

#[test]
fn pem_of_unfit_keys_is_refused_with_the_reason() {
    let refused = |algorithm, pem: &str| SigningKey::from_pem(algorithm, pem).unwrap_err();
    assert_eq!(refused(Rs256, pem!("rsa-1024-pkcs1")), KeyError::RsaSize);
    assert_eq!(refused(Rs256, pem!("rsa-2048-exponent-3")), KeyError::RsaExponent);
    assert_eq!(refused(Rs256, pem!("rsa-2048-encrypted-pkcs1")), KeyError::PemEncrypted);
    assert_eq!(refused(EdDsa, pem!("ed25519-encrypted")), KeyError::PemEncrypted);
    assert_eq!(refused(EdDsa, pem!("ed25519-public")), KeyError::PublicWherePrivate);
    assert_eq!(refused(EdDsa, pem!("certificate")), KeyError::Pem);
    for (algorithm, pem) in [
        (EdDsa, pem!("x25519-pkcs8")),
        (EdDsa, pem!("rsa-2048-pkcs1")),
        (EdDsa, pem!("ec-prime256v1-sec1")),
        (Es256, pem!("ec-secp384r1-sec1")),
        (Es256, pem!("ec-secp256k1-sec1")),
        (Es256, pem!("ed25519-pkcs8")),
        (Es384, pem!("ec-prime256v1-pkcs8")),
        (Es384, pem!("ec-secp521r1-sec1")),
        (Rs256, pem!("ec-prime256v1-pkcs8")),
        (Rs256, pem!("rsa-pss-2048-pkcs8")),
        (Hs256, pem!("ed25519-pkcs8")),
        (MlDsa44, pem!("ed25519-pkcs8")),
        (MlDsa65, pem!("rsa-2048-pkcs8")),
    ] {
        assert_eq!(refused(algorithm, pem), KeyError::KindMismatch(algorithm), "{pem}");
    }
    let public = |algorithm, pem: &str| VerifyingKey::from_public_pem(algorithm, pem).unwrap_err();
    assert_eq!(public(EdDsa, pem!("ed25519-pkcs8")), KeyError::PrivateWherePublic);
    assert_eq!(public(Es256, pem!("ed25519-public")), KeyError::KindMismatch(Es256));
    assert_eq!(public(EdDsa, pem!("rsa-2048-public-pkcs1")), KeyError::KindMismatch(EdDsa));
    assert_eq!(public(Es384, pem!("ec-prime256v1-public")), KeyError::KindMismatch(Es384));
}

#[test]
fn text_that_is_not_one_pem_block_is_refused() {
    let good = pem!("ed25519-pkcs8");
    let lines: Vec<_> = good.lines().collect();
    let refused = |pem: &str| SigningKey::from_pem(EdDsa, pem).unwrap_err();
    for wrong in [
        String::new(),
        "no key".to_owned(),
        lines[..2].join("\n"),
        lines[1..].join("\n"),
        format!("{good}{good}"),
        good.replace("END PRIVATE", "END PUBLIC"),
        good.replace(lines[1], "not base64"),
        good.replace(lines[1], &lines[1][1..]),
        good.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY"),
    ] {
        assert_eq!(refused(&wrong), KeyError::Pem, "{wrong}");
    }
    assert_eq!(refused(&good.replace(lines[1], "")), KeyError::KindMismatch(EdDsa));
    assert_eq!(refused(&"x".repeat(1 << 20)), KeyError::TooLong);
}

fn private_jwks() -> Vec<(Algorithm, Value)> {
    let file: Value = serde_json::from_str(include_str!("vectors/rfc.json")).unwrap();
    let vectors = file["signatures"].as_array().unwrap();
    let key = |vector: &Value| {
        (vector["algorithm"].as_str().unwrap().parse().unwrap(), vector["key"].clone())
    };
    vectors.iter().map(key).collect()
}

fn from_jwk(algorithm: Algorithm, jwk: &Value) -> Result<(), KeyError> {
    SigningKey::from_jwk(algorithm, &jwk.to_string()).map(|_| ())
}

/// The JWK with another value for a member; `null` takes the member away.
fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut changed = jwk.clone();
    let members = changed.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name)
    } else {
        members.insert(name.into(), value)
    };
    changed
}

#[test]
fn a_private_jwk_must_be_for_signing_with_this_algorithm() {
    for (algorithm, jwk) in private_jwks() {
        assert_eq!(from_jwk(algorithm, &jwk), Ok(()));
        for fit in [
            with(&jwk, "use", json!("sig")),
            with(&with(&jwk, "use", Value::Null), "key_ops", json!(["verify", "sign"])),
            with(&jwk, "alg", json!(algorithm.name())),
            with(&jwk, "unknown", json!({})),
        ] {
            assert_eq!(from_jwk(algorithm, &fit), Ok(()));
        }
        assert_eq!(from_jwk(algorithm, &with(&jwk, "use", json!("enc"))), Err(KeyError::Use));
        let wrong = from_jwk(algorithm, &with(&jwk, "use", json!(["sig"])));
        assert_eq!(wrong, Err(KeyError::Member("use")));
        for (operations, error) in [
            (json!(["verify"]), KeyError::Operations),
            (json!([]), KeyError::Operations),
            (json!("sign"), KeyError::Member("key_ops")),
            (json!(["sign", "sign"]), KeyError::Member("key_ops")),
            (json!(["sign", 1]), KeyError::Member("key_ops")),
        ] {
            assert_eq!(from_jwk(algorithm, &with(&jwk, "key_ops", operations)), Err(error));
        }
        let unknown = from_jwk(algorithm, &with(&jwk, "alg", json!("A256GCM")));
        assert_eq!(unknown, Err(KeyError::AlgorithmUnknown));
        for other in Algorithm::ALL.iter().filter(|other| **other != algorithm) {
            let refused = from_jwk(*other, &jwk).err();
            let stated = jwk.get("alg").is_some();
            let rsa = [Rs256, Ps256];
            match refused {
                Some(KeyError::AlgorithmMismatch(_)) => assert!(stated),
                Some(KeyError::KindMismatch(_)) => assert!(!stated),
                None => assert!(rsa.contains(&algorithm) && rsa.contains(other) && !stated),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_halves_of_a_private_jwk_must_belong_together() {
    for (algorithm, jwk) in private_jwks() {
        let stranger = match algorithm {
            Hs256 => continue,
            algorithm => SigningKey::generate(algorithm).unwrap(),
        };
        let other: Value = serde_json::from_str(&stranger.public_jwk("k").unwrap()).unwrap();
        for name in ["x", "y", "n", "pub"] {
            if let Some(value) = other.get(name) {
                let refused = from_jwk(algorithm, &with(&jwk, name, value.clone()));
                assert_eq!(refused, Err(KeyError::HalvesDiffer), "{algorithm} {name}");
            }
        }
    }
}

#[test]
fn every_member_of_a_private_jwk_is_needed_in_its_one_form() {
    for (algorithm, jwk) in private_jwks() {
        let names =
            ["x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi", "k", "pub", "priv", "crv"];
        for name in names.into_iter().filter(|name| jwk.get(name).is_some()) {
            let missing = from_jwk(algorithm, &with(&jwk, name, Value::Null));
            if ["k", "priv"].contains(&name) || name == "d" && algorithm != Rs256 {
                assert_eq!(missing, Err(KeyError::PublicWherePrivate));
            } else {
                assert_eq!(missing, Err(KeyError::Member(name)), "{algorithm}");
            }
            let number = from_jwk(algorithm, &with(&jwk, name, json!(1)));
            assert_eq!(number, Err(KeyError::Member(name)));
            if name != "crv" {
                let text = jwk[name].as_str().unwrap();
                let padded = from_jwk(algorithm, &with(&jwk, name, json!(format!("{text}="))));
                assert_eq!(padded, Err(KeyError::Member(name)));
                if name != "k" && name != "pub" {
                    let zero = [&[0], &base64url::decode(text).unwrap()[..]].concat();
                    let long = with(&jwk, name, json!(base64url::encode(zero)));
                    assert_eq!(from_jwk(algorithm, &long), Err(KeyError::Member(name)), "{name}");
                }
            }
        }
        assert_eq!(
            from_jwk(algorithm, &with(&jwk, "kty", Value::Null)),
            Err(KeyError::Member("kty"))
        );
        let unknown = from_jwk(algorithm, &with(&jwk, "kty", json!("EC2")));
        assert_eq!(unknown, Err(KeyError::KindUnknown));
        if algorithm == Rs256 {
            let multi = from_jwk(algorithm, &with(&jwk, "oth", json!([])));
            assert_eq!(multi, Err(KeyError::Member("oth")));
        }
    }
}

#[test]
fn weak_secrets_in_jwks_are_refused() {
    let jwk = |len| json!({"kty": "oct", "k": base64url::encode(vec![1; len])});
    assert_eq!(from_jwk(Hs256, &jwk(31)), Err(KeyError::SecretShort));
    assert_eq!(from_jwk(Hs256, &jwk(0)), Err(KeyError::SecretShort));
    assert_eq!(from_jwk(Hs256, &jwk(32)), Ok(()));
    assert_eq!(from_jwk(Hs256, &jwk(1025)), Err(KeyError::SecretLong));
}

fn public(jwk: &Value) -> Result<Algorithm, KeyError> {
    VerifyingKey::from_jwk(&jwk.to_string()).map(|key| key.algorithm())
}

#[test]
fn public_keys_say_their_algorithm_and_hold_nothing_private() {
    for (algorithm, jwk) in private_jwks() {
        assert_eq!(public(&jwk), Err(KeyError::PrivateWherePublic), "{algorithm}");
    }
    let key = SigningKey::generate(Es256).unwrap();
    let jwk: Value = serde_json::from_str(&key.public_jwk("k").unwrap()).unwrap();
    let bare = with(&with(&jwk, "alg", Value::Null), "use", Value::Null);
    assert_eq!(public(&bare), Ok(Es256));
    assert_eq!(public(&with(&bare, "key_ops", json!(["verify"]))), Ok(Es256));
    let signs_only = with(&bare, "key_ops", json!(["sign"]));
    assert_eq!(public(&signs_only), Err(KeyError::Operations));
    assert_eq!(public(&with(&jwk, "kid", json!(1))), Err(KeyError::Member("kid")));
    for (curve, algorithm) in [("P-256", "ES384"), ("P-256", "EdDSA"), ("P-384", "ES256")] {
        let mixed = with(&with(&jwk, "crv", json!(curve)), "alg", json!(algorithm));
        let refused = KeyError::KindMismatch(algorithm.parse().unwrap());
        assert_eq!(public(&mixed), Err(refused));
    }
    for curve in ["P-521", "secp256k1", "p-256", "Ed25519"] {
        assert_eq!(public(&with(&bare, "crv", json!(curve))), Err(KeyError::KindUnknown));
    }
    let off = with(&bare, "y", bare["x"].clone());
    assert_eq!(public(&off), Err(KeyError::Invalid));
    let zero = base64url::encode([0; 32]);
    let infinity = with(&with(&bare, "x", json!(zero)), "y", json!(zero));
    assert_eq!(public(&infinity), Err(KeyError::Invalid));
}

#[test]
fn an_rsa_key_that_does_not_say_its_algorithm_may_be_either() {
    let key = SigningKey::generate(Rs256).unwrap();
    let jwk: Value = serde_json::from_str(&key.public_jwk("k").unwrap()).unwrap();
    assert_eq!(public(&jwk), Ok(Rs256));
    let bare = with(&jwk, "alg", Value::Null);
    assert_eq!(public(&bare), Err(KeyError::AlgorithmMissing));
    let chosen = VerifyingKey::from_jwk_for(Ps256, &bare.to_string()).unwrap();
    assert_eq!(chosen.algorithm(), Ps256);
    let refused = VerifyingKey::from_jwk_for(Ps256, &jwk.to_string()).unwrap_err();
    assert_eq!(refused, KeyError::AlgorithmMismatch(Ps256));
    let set = JwkSet::parse(&json!({"keys": [bare]}).to_string()).unwrap();
    assert!(set.find(Some("k"), Rs256).count() == 1 && set.find(Some("k"), Ps256).count() == 1);
    let set = JwkSet::parse(&json!({"keys": [jwk]}).to_string()).unwrap();
    assert!(set.find(Some("k"), Rs256).count() == 1 && set.find(Some("k"), Ps256).count() == 0);
}

#[test]
fn an_rsa_modulus_of_guessable_primes_is_refused() {
    // A multiple of nothing, but congruent to a power of 65537 modulo every prime of the fingerprint.
    let weak = "jINiULVDc_lTGYHTG0m9A7SjJqTHQ0UIylmkYDlNk9x-zIdr_IBnGv9Gv6tp-n5EM8uT0JIDV5zWqPWGXxrJnhKI7XgH\
        eQoyVrnabYdA5Kc05q2_XORAGi0YIqCQW5y_e4-DLjHu2FDZAip7ztx5v3U1hzRO8kNzZ3P70kppXpLGRKnBfhxeJr2x-sSMGHJXG7MB\
        UyVwXLMTxNo0H2mr9-T9R4fVCkkfRoIVo8J8EaMQ7tYIMG-OpHkyBSCA3SyIMxJ8ZtEzIzaS1Yx3NdRNnfvcTQSGDaTZxiOBvlO7_Mb3\
        2w7rhYRG_6bGFgdEQdZIKXGLEq7DHLMQAS-HtwPIxQ";
    let jwk = json!({"kty": "RSA", "alg": "RS256", "n": weak, "e": "AQAB"});
    assert_eq!(public(&jwk), Err(KeyError::RsaWeak));
}

#[test]
fn jwks_that_are_no_strict_json_are_refused() {
    let parse = |jwk: &str| VerifyingKey::from_jwk(jwk).unwrap_err();
    assert_eq!(parse("[]"), KeyError::Json(NotStrictObject::NotObject));
    assert_eq!(parse("{"), KeyError::Json(NotStrictObject::NotJson));
    let twice = r#"{"kty":"OKP","kty":"EC"}"#;
    assert_eq!(parse(twice), KeyError::Json(NotStrictObject::MemberTwice));
    assert_eq!(parse(&" ".repeat(40_000)), KeyError::TooLong);
}

#[test]
fn a_set_takes_what_is_sound_and_skips_the_rest() {
    let key = |algorithm| {
        let jwk = SigningKey::generate(algorithm).unwrap().public_jwk("k").unwrap();
        serde_json::from_str::<Value>(&jwk).unwrap()
    };
    let (sound, secret) = (key(EdDsa), json!({"kty": "oct", "k": base64url::encode([1; 32])}));
    let set = json!({"keys": [
        sound,
        secret,
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "quantum"},
        {"kid": "no kind"},
        "no object",
        with(&key(Es256), "use", json!("enc")),
        private_jwks()[2].1,
    ]});
    let set = JwkSet::parse(&set.to_string()).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!(set.keys()[0].algorithm(), EdDsa);
    assert_eq!(
        set.skipped(),
        [
            KeyError::PrivateWherePublic,
            KeyError::KindUnknown,
            KeyError::KindUnknown,
            KeyError::Member("kty"),
            KeyError::Member("keys"),
            KeyError::Use,
            KeyError::PrivateWherePublic,
        ]
    );
}

#[test]
fn sets_are_bounded_and_strict() {
    let refused = |text: &str| JwkSet::parse(text).unwrap_err();
    assert_eq!(refused("{}"), KeyError::Member("keys"));
    assert_eq!(refused(r#"{"keys":{}}"#), KeyError::Member("keys"));
    assert_eq!(refused("[]"), KeyError::Json(NotStrictObject::NotObject));
    let twice = KeyError::Json(NotStrictObject::MemberTwice);
    assert_eq!(refused(r#"{"keys":[],"keys":[]}"#), twice);
    assert_eq!(refused(r#"{"keys":[{"kty":"EC","kty":"OKP"}]}"#), twice);
    let keys = |count| json!({"keys": vec![json!({}); count]}).to_string();
    assert!(JwkSet::parse(&keys(100)).is_ok());
    assert_eq!(refused(&keys(101)), KeyError::TooLong);
    assert_eq!(refused(&" ".repeat(600_000)), KeyError::TooLong);
    assert!(JwkSet::parse(r#"{"keys":[]}"#).unwrap().keys().is_empty());
}

#[test]
fn secrets_are_read_from_a_kept_file_among_themselves_and_all_or_none() {
    let secret =
        |id: &str, len| json!({"kty": "oct", "kid": id, "k": base64url::encode(vec![1; len])});
    let public = serde_json::from_str::<Value>(
        &SigningKey::generate(EdDsa).unwrap().public_jwk("p").unwrap(),
    )
    .unwrap();
    let kept = |keys: &Value| {
        let set = JwkSet::parse_kept(&keys.to_string()).unwrap();
        set.keys().iter().map(VerifyingKey::algorithm).collect::<Vec<_>>()
    };
    assert_eq!(kept(&secret("a", 32)), [Hs256]);
    assert_eq!(kept(&public), [EdDsa]);
    assert_eq!(kept(&json!({"keys": [secret("a", 32), secret("b", 32)]})), [Hs256, Hs256]);
    assert_eq!(kept(&json!({"keys": [secret("a", 32), public]})), [EdDsa]);
    assert_eq!(kept(&json!({"keys": [secret("a", 32), secret("b", 31)]})), []);
    assert_eq!(kept(&with(&secret("a", 32), "key_ops", json!(["verify"]))), [Hs256]);
    for (name, other) in [
        ("key_ops", json!(["sign"])),
        ("use", json!("enc")),
        ("alg", json!("A256GCM")),
        ("alg", json!("HS512")),
        ("kid", json!(1)),
    ] {
        assert_eq!(kept(&with(&secret("a", 32), name, other)), [], "{name}");
    }
    let published = json!({"keys": [secret("a", 32)]}).to_string();
    assert!(JwkSet::parse(&published).unwrap().keys().is_empty());
    assert_eq!(JwkSet::parse_kept("{}").unwrap_err(), KeyError::Member("keys"));
}
