//! `jeton token`: made by hand, listed, revoked, looked at.

use jeton_engine::jose::{Algorithm, SigningKey, base64url};

use super::place::Place;

fn place_with_a_client() -> Place {
    let place = Place::new();
    place
        .jeton(&["client", "create", "ada", "--realm", "staff", "--name", "Ada", "--no-secret"])
        .done();
    place
}

#[test]
fn a_token_made_by_hand_is_printed_alone_listed_by_name_and_revoked() {
    let place = place_with_a_client();
    let issue = ["token", "issue", "--realm", "staff", "--client", "ada", "--name", "build server"];
    let alone = place.jeton(&[&issue[..], &["--expires", "90d"]].concat()).done().stdout;
    assert_eq!(alone.trim_end().split('.').count(), 3, "{alone}");
    let made = place.jeton(&[&issue[..], &["--expires", "never", "--json"]].concat()).done().json();
    assert!(made["expires_at"].is_null());
    let listed =
        place.jeton(&["token", "list", "--realm", "staff", "--by-hand", "--json"]).done().json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["status"]),
        (&"build server".into(), &"active".into())
    );
    assert!(listed[0].get("access_token").is_none());
    let id = made["token_id"].as_str().unwrap();
    place.jeton(&["token", "revoke", id, "--realm", "staff"]).done();
    let listed = place
        .jeton(&["token", "list", "--realm", "staff", "--client", "ada", "--json"])
        .done()
        .json();
    let of_id = listed.as_array().unwrap().iter().find(|token| token["token_id"] == id).unwrap();
    assert_eq!(of_id["status"], "revoked");
    place
        .jeton(&["token", "revoke", "nope", "--realm", "staff"])
        .failed(1, &["jeton token list --realm staff"]);
}

#[test]
fn a_token_for_nobody_for_ever_or_in_another_dialect_is_refused() {
    let place = place_with_a_client();
    let issue =
        |more: &[&str]| place.jeton(&[&["token", "issue", "--name", "n"][..], more].concat());
    issue(&["--realm", "staff", "--client", "nobody"])
        .failed(1, &["jeton client list --realm staff"]);
    place.jeton(&["client", "create", "m", "--realm", "main", "--no-secret"]).done();
    issue(&["--realm", "main", "--client", "m", "--expires", "never"]).failed(1, &["never expire"]);
    issue(&["--realm", "main", "--client", "m", "--dialect", "nope"]).failed(2, &["rfc6749"]);
    place.jeton(&["client", "disable", "ada", "--realm", "staff"]).done();
    issue(&["--realm", "staff", "--client", "ada"]).failed(1, &["disabled"]);
}

#[test]
fn inspect_tells_what_a_token_says_and_that_nothing_was_checked() {
    let place = place_with_a_client();
    let token = place
        .jeton(&[
            "token",
            "issue",
            "--realm",
            "staff",
            "--client",
            "ada",
            "--name",
            "n",
            "--expires",
            "1h",
        ])
        .done()
        .stdout;
    let told = place.jeton_reading(&["token", "inspect"], token.as_bytes()).done().stdout;
    for words in ["NOT checked", "sub\tada", "name\tAda", "header alg\tHS256"] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    let told = place.jeton_reading(&["token", "inspect", "--json"], token.as_bytes()).done().json();
    assert_eq!((&told["format"], &told["signature_checked"]), (&"jwt".into(), &false.into()));
    assert_eq!(told["expired"], false);
    let told = place.jeton_reading(&["token", "inspect", "--json"], b"sk-0123abc\n").done().json();
    assert_eq!((&told["format"], &told["characters"]), (&"opaque".into(), &10.into()));
    place.jeton(&["token", "inspect"]).failed(2, &["no token on standard input"]);
}

/// A place with a JWK set, and a token that its key signed for `orders`.
fn place_with_a_signed_token() -> (Place, String) {
    let place = Place::new();
    let create = ["client", "create", "ada", "--realm", "main", "--no-secret"];
    place.jeton(&[&create[..], &["--audience", "orders"]].concat()).done();
    let issue = ["token", "issue", "--realm", "main", "--client", "ada", "--name", "x"];
    let token = place.jeton(&issue).done().stdout.trim().to_owned();
    let listed = place.jeton(&["key", "list", "--realm", "main", "--json"]).done().json();
    let set = serde_json::json!({ "keys": [listed[0]["public_jwk"]] });
    std::fs::write(place.path("jwks.json"), set.to_string()).unwrap();
    (place, token)
}

#[test]
fn a_signed_token_is_held_against_a_set_of_keys() {
    let (place, token) = place_with_a_signed_token();
    let verify = ["token", "verify", "--jwks", "jwks.json"];
    let with = |more: &[&str]| place.jeton_reading(&[&verify[..], more].concat(), token.as_bytes());
    with(&[]).done();
    let said = with(&["--issuer", "http://127.0.0.1:8080/main", "--audience", "orders", "--json"]);
    let said = said.done().json();
    assert_eq!((&said["valid"], &said["type"]), (&true.into(), &"at+jwt".into()));
    assert_eq!(said["claims"]["sub"], "ada");
    with(&["--audience", "billing"]).failed(1, &["is for orders, not for billing"]);
    with(&["--issuer", "http://127.0.0.1:8080/staff"]).failed(1, &["the issuer is"]);
    let refused = with(&["--audience", "billing", "--json"]);
    assert_eq!(refused.code, 1);
    assert_eq!(refused.json()["valid"], false);
}

#[test]
fn what_is_altered_unsigned_or_signed_by_another_is_not_valid() {
    let (place, token) = place_with_a_signed_token();
    let (_, other) = place_with_a_signed_token();
    let verify = |token: &str| {
        place.jeton_reading(&["token", "verify", "--jwks", "jwks.json"], token.as_bytes())
    };
    let (signed, _) = token.rsplit_once('.').unwrap();
    let (_, signature) = other.rsplit_once('.').unwrap();
    verify(&other).failed(1, &["no known key"]);
    verify(&format!("{signed}.{signature}")).failed(1, &["signature is wrong"]);
    verify(&format!("{signed}.")).failed(1, &["signature is wrong"]);
    verify("nonsense").failed(1, &["three parts"]);
    let in_the_clear = ["token", "verify", "--jwks", "http://a.example.com/jwks.json"];
    place.jeton_reading(&in_the_clear, token.as_bytes()).failed(2, &["in the clear"]);
}

#[test]
fn what_a_token_is_bound_to_is_told_and_of_a_bearer_token_nothing() {
    let place = Place::empty();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let jwk = key.public_jwk("k").unwrap();
    std::fs::write(place.path("jwks.json"), format!("{{\"keys\":[{jwk}]}}")).unwrap();
    let token = |claims: &serde_json::Value| {
        let header = base64url::encode(r#"{"alg":"EdDSA","kid":"k"}"#);
        key.sign_compact(&header, claims.to_string().as_bytes()).unwrap()
    };
    let read = |command: &[&str], claims: &serde_json::Value| {
        place.jeton_reading(&[&["token"], command].concat(), token(claims).as_bytes()).done().stdout
    };
    let bound = serde_json::json!({ "cnf": { "jkt": "abc", "x5t#S256": "def" } });
    let verify = ["verify", "--jwks", "jwks.json"];
    let told = read(&verify, &bound);
    assert!(told.contains("bound to\ta DPoP key\tabc\nbound to\ta certificate\tdef\n"), "{told}");
    let told = read(&["inspect"], &bound);
    assert!(told.contains("bound to\ta DPoP key: abc\nbound to\ta certificate: def\n"), "{told}");
    let bearer = serde_json::json!({ "sub": "ada" });
    assert_eq!(read(&verify, &bearer), "valid\tEdDSA\tk\n");
    assert!(!read(&["inspect"], &bearer).contains("bound to"));
}
