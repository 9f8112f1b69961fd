//! Tokens: each way of being malformed or dangerous is refused, for its own reason.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may assume")]

use jeton_jose::json::NotStrictObject;
use jeton_jose::jws::{self, TOKEN_BYTES_MAX, Unverified};
use jeton_jose::{Algorithm, JwsError, SigningKey, base64url};

const SECRET: [u8; 32] = [7; 32];

fn key() -> SigningKey {
    SigningKey::from_secret(&SECRET).unwrap()
}

/// What becomes of a rightly signed token with this header.
fn header(json: &str) -> Result<jws::Header, JwsError> {
    let token = key().sign_compact(&base64url::encode(json), b"{}").unwrap();
    Unverified::parse(&token)?.verify(&key().verifying_key()).map(|verified| verified.header)
}

#[test]
fn a_header_is_read_by_its_types() {
    let read = header(
        r#"{"alg":"HS256","kid":"k","typ":"at+jwt","cty":"x","jku":"https://evil.example","x5c":[]}"#,
    )
    .unwrap();
    assert_eq!(read.algorithm, Algorithm::Hs256);
    assert_eq!(read.key_id.as_deref(), Some("k"));
    assert_eq!(read.token_type.as_deref(), Some("at+jwt"));
    assert_eq!(read.content_type.as_deref(), Some("x"));
    assert_eq!(read.embedded_jwk, None);
    for (json, parameter) in [
        (r#"{}"#, "alg"),
        (r#"{"alg":null}"#, "alg"),
        (r#"{"alg":["HS256"]}"#, "alg"),
        (r#"{"alg":"HS256","kid":1}"#, "kid"),
        (r#"{"alg":"HS256","typ":{}}"#, "typ"),
        (r#"{"alg":"HS256","cty":false}"#, "cty"),
        (r#"{"alg":"HS256","jwk":"{}"}"#, "jwk"),
    ] {
        assert_eq!(header(json), Err(JwsError::Header(parameter)), "{json}");
    }
}

#[test]
fn types_are_compared_as_media_types() {
    let is = |stated: &str, expected: &str| {
        header(&format!(r#"{{"alg":"HS256","typ":"{stated}"}}"#)).unwrap().is_type(expected)
    };
    assert!(is("at+jwt", "at+jwt"));
    assert!(is("AT+JWT", "at+jwt"));
    assert!(is("application/at+jwt", "at+jwt"));
    assert!(is("Application/AT+jwt", "at+jwt"));
    assert!(!is("jwt", "at+jwt"));
    assert!(!is("text/at+jwt", "at+jwt"));
    assert!(!is("", "at+jwt"));
    assert!(!header(r#"{"alg":"HS256"}"#).unwrap().is_type("at+jwt"));
}

#[test]
fn headers_that_are_no_strict_json_objects_are_refused() {
    for (json, reason) in [
        ("", NotStrictObject::NotJson),
        ("[]", NotStrictObject::NotObject),
        (r#""HS256""#, NotStrictObject::NotObject),
        (r#"{"alg":"HS256"} x"#, NotStrictObject::NotJson),
        (r#"{"alg":"none","alg":"HS256"}"#, NotStrictObject::MemberTwice),
        (r#"{"alg":"HS256","alg":"HS256"}"#, NotStrictObject::MemberTwice),
        (r#"{"alg":"HS256","a":{"b":1,"b":1}}"#, NotStrictObject::MemberTwice),
    ] {
        assert_eq!(header(json), Err(JwsError::HeaderJson(reason)), "{json}");
    }
}

#[test]
fn unsigned_tokens_are_refused_in_every_spelling() {
    for name in ["none", "None", "NONE", "nOnE"] {
        let json = format!(r#"{{"alg":"{name}"}}"#);
        assert_eq!(header(&json), Err(JwsError::Unsigned));
        let token = format!("{}.e30.", base64url::encode(json));
        assert_eq!(Unverified::parse(&token).unwrap_err(), JwsError::Unsigned);
    }
    let empty = key().sign_compact(&base64url::encode(r#"{"alg":"HS256"}"#), b"{}").unwrap();
    let empty = &empty[..=empty.rfind('.').unwrap()];
    let refused = Unverified::parse(empty).unwrap().verify(&key().verifying_key());
    assert_eq!(refused, Err(JwsError::Signature));
}

#[test]
fn algorithms_are_those_of_the_key_and_no_others() {
    for name in ["HS384", "HS512", "hs256", "ES512", "RS1", "ES256K", "Ed448", "", "HS256 "] {
        let json = format!(r#"{{"alg":"{name}"}}"#);
        assert_eq!(header(&json), Err(JwsError::AlgorithmUnknown), "{name}");
    }
    for algorithm in Algorithm::ALL.iter().filter(|algorithm| **algorithm != Algorithm::Hs256) {
        let json = format!(r#"{{"alg":"{algorithm}"}}"#);
        assert_eq!(header(&json), Err(JwsError::AlgorithmMismatch));
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let pair = SigningKey::generate(Algorithm::Rs256).unwrap();
    let public = pair.verifying_key();
    let header = base64url::encode(r#"{"alg":"HS256"}"#);
    for secret in [public.to_public_pem().unwrap(), public.to_jwk().unwrap()] {
        let forged =
            SigningKey::from_secret(secret.as_bytes()).unwrap().sign_compact(&header, b"{}");
        let refused = Unverified::parse(&forged.unwrap()).unwrap().verify(&public);
        assert_eq!(refused, Err(JwsError::AlgorithmMismatch));
    }
}

#[test]
fn ed25519_has_two_names_on_reading() {
    let pair = SigningKey::generate(Algorithm::EdDsa).unwrap();
    for name in ["EdDSA", "Ed25519"] {
        let header = base64url::encode(format!(r#"{{"alg":"{name}"}}"#));
        let token = pair.sign_compact(&header, b"{}").unwrap();
        assert!(Unverified::parse(&token).unwrap().verify(&pair.verifying_key()).is_ok());
    }
}

#[test]
fn extensions_are_refused_unless_known() {
    let with = |rest: &str| header(&format!(r#"{{"alg":"HS256",{rest}}}"#)).map(|_| ());
    assert_eq!(with(r#""unknown":1"#), Ok(()));
    assert_eq!(with(r#""b64":true"#), Ok(()));
    assert_eq!(with(r#""b64":true,"crit":["b64"]"#), Ok(()));
    assert_eq!(with(r#""b64":false,"crit":["b64"]"#), Err(JwsError::PayloadUnencoded));
    assert_eq!(with(r#""b64":false"#), Err(JwsError::PayloadUnencoded));
    assert_eq!(with(r#""b64":"false""#), Err(JwsError::Header("b64")));
    assert_eq!(with(r#""crit":["exp"],"exp":1"#), Err(JwsError::CriticalUnknown));
    assert_eq!(with(r#""zip":"DEF""#), Err(JwsError::Compressed));
    for crit in [
        r#""crit":[]"#,
        r#""crit":"b64","b64":true"#,
        r#""crit":{},"b64":true"#,
        r#""crit":null"#,
        r#""crit":[1]"#,
        r#""crit":["b64"]"#,
        r#""crit":["b64","b64"],"b64":true"#,
        r#""crit":["alg"]"#,
        r#""crit":["crit"]"#,
        r#""crit":["absent"]"#,
    ] {
        assert_eq!(with(crit), Err(JwsError::Header("crit")), "{crit}");
    }
}

#[test]
fn a_key_in_the_header_is_shown_but_never_used() {
    let attacker = SigningKey::generate(Algorithm::Es256).unwrap();
    let trusted = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwk = attacker.public_jwk("k").unwrap();
    let header = base64url::encode(format!(r#"{{"alg":"ES256","kid":"k","jwk":{jwk}}}"#));
    let token = attacker.sign_compact(&header, b"{}").unwrap();
    let parsed = Unverified::parse(&token).unwrap();
    assert_eq!(parsed.header().embedded_jwk.as_deref(), Some(jwk.as_str()));
    assert_eq!(parsed.verify(&trusted.verifying_key()), Err(JwsError::Signature));
}

#[test]
fn only_three_parts_of_base64url_make_a_token() {
    let token = key().sign_compact(&base64url::encode(r#"{"alg":"HS256"}"#), b"{}").unwrap();
    let refused = |token: &str| Unverified::parse(token).unwrap_err();
    let parts: Vec<_> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    for wrong in [
        String::new(),
        ".".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.e30"),
        format!("{header}..{payload}.{signature}"),
    ] {
        assert_eq!(refused(&wrong), JwsError::Parts, "{wrong}");
    }
    for wrong in [
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}=.{signature}"),
        format!("{header}.e3+.{signature}"),
        format!("{header}.e3/.{signature}"),
        // The last two bits of "e31" are not zero.
        format!("{header}.e31.{signature}"),
        format!("{header}.e.{signature}"),
        format!("{header}.é.{signature}"),
    ] {
        assert_eq!(refused(&wrong), JwsError::Base64url, "{wrong}");
    }
    assert_eq!(refused(".."), JwsError::HeaderJson(NotStrictObject::NotJson));
}

#[test]
fn long_tokens_are_refused_before_anything_is_decoded() {
    let header = base64url::encode(r#"{"alg":"HS256"}"#);
    let room = TOKEN_BYTES_MAX - header.len() - 2 - 43;
    let longest = key().sign_compact(&header, &vec![0; room / 4 * 3]).unwrap();
    assert!(Unverified::parse(&longest).unwrap().verify(&key().verifying_key()).is_ok());
    let longer = key().sign_compact(&header, &vec![0; room / 4 * 3 + 3]).unwrap();
    assert_eq!(Unverified::parse(&longer).unwrap_err(), JwsError::TooLong);
    assert_eq!(Unverified::parse(&"!".repeat(1 << 20)).unwrap_err(), JwsError::TooLong);
}

#[test]
fn payloads_stay_out_of_debug_output() {
    let token = key().sign_compact(&base64url::encode(r#"{"alg":"HS256"}"#), b"secret").unwrap();
    let parsed = Unverified::parse(&token).unwrap();
    assert_eq!(parsed.danger_unverified_payload(), b"secret");
    let shown = format!("{parsed:?}");
    let verified = parsed.verify(&key().verifying_key()).unwrap();
    for shown in [shown, format!("{verified:?}")] {
        assert!(!shown.contains("115, 101") && !shown.contains("secret"), "{shown}");
    }
}

#[test]
fn encoded_headers_have_their_members_in_a_fixed_order() {
    let decode = |text: String| String::from_utf8(base64url::decode(text).unwrap()).unwrap();
    assert_eq!(
        decode(jws::encode_header(&key(), Some("a\"b"), Some("at+jwt"))),
        r#"{"alg":"HS256","typ":"at+jwt","kid":"a\"b"}"#
    );
    assert_eq!(
        decode(jws::encode_header(&key(), None, Some("JWT"))),
        r#"{"alg":"HS256","typ":"JWT"}"#
    );
    assert_eq!(decode(jws::encode_header(&key(), None, None)), r#"{"alg":"HS256"}"#);
}
