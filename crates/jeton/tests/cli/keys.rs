//! `jeton key`: keys are made, brought along and given out, the private ones only when that is said.

use std::os::unix::fs::PermissionsExt as _;

use super::place::Place;

#[test]
fn an_imported_secret_comes_out_as_base64url_and_goes_in_again() {
    let place = Place::new();
    let secret = b"0123456789abcdef0123456789abcdef\n";
    let import = ["key", "import", "--realm", "staff", "--algorithm", "HS256", "--json"];
    let made =
        place.jeton_reading(&[&import[..], &["--secret-stdin"]].concat(), secret).done().json();
    assert_eq!((&made["algorithm"], &made["status"]), (&"HS256".into(), &"active".into()));
    let id = made["key_id"].as_str().unwrap();
    let export = ["key", "export", id, "--realm", "staff"];
    place.jeton(&export).failed(1, &["no public half", "--private"]);
    let text = place.jeton(&[&export[..], &["--private"]].concat()).done().stdout;
    assert_eq!(text, "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\n");
    let again = [&import[..], &["--secret-stdin", "--base64url"]].concat();
    let second = place.jeton_reading(&again, text.as_bytes()).done().json();
    let id = second["key_id"].as_str().unwrap();
    assert_eq!(
        place.jeton(&["key", "export", id, "--realm", "staff", "--private"]).done().stdout,
        text
    );
    let listed = place.jeton(&["key", "list", "--realm", "staff", "--json"]).done().json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn a_private_key_is_written_to_a_file_of_its_owners_and_comes_back_from_it() {
    let place = Place::new();
    let made = place
        .jeton(&["key", "create", "--realm", "main", "--algorithm", "EdDSA", "--json"])
        .done()
        .json();
    let id = made["key_id"].as_str().unwrap();
    let public = place.jeton(&["key", "export", id, "--realm", "main"]).done().json();
    assert_eq!(public["kty"], "OKP");
    assert!(public.get("d").is_none(), "{public}");
    let private = ["key", "export", id, "--realm", "main", "--private", "--out", "key.pem"];
    place.jeton(&private).done();
    assert_eq!(
        std::fs::metadata(place.path("key.pem")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    place.jeton(&private).failed(1, &["exists already", "key.pem"]);
    let import = ["key", "import", "--realm", "main", "--pem-file", "key.pem", "--algorithm"];
    place.jeton(&[&import[..], &["EdDSA"]].concat()).done();
    place.jeton(&[&import[..], &["ES256"]].concat()).failed(1, &["key"]);
}

#[test]
fn a_key_of_no_kind_or_of_two_is_wrong_usage_and_a_weak_one_is_refused() {
    let place = Place::new();
    let import = ["key", "import", "--realm", "staff"];
    place.jeton(&[&import[..], &["--algorithm", "HS256"]].concat()).failed(2, &["--secret-stdin"]);
    place
        .jeton(
            &[&import[..], &["--algorithm", "HS256", "--secret-stdin", "--pem-file", "x"]].concat(),
        )
        .failed(2, &["cannot be used with"]);
    place
        .jeton(&[&import[..], &["--algorithm", "HS1", "--secret-stdin"]].concat())
        .failed(2, &["HS256"]);
    place
        .jeton_reading(
            &[&import[..], &["--algorithm", "HS256", "--secret-stdin"]].concat(),
            b"short",
        )
        .failed(1, &["key"]);
    place
        .jeton(&["key", "export", "nope", "--realm", "staff"])
        .failed(1, &["jeton key list --realm staff"]);
}

#[test]
fn a_key_is_followed_retired_and_removed_and_its_realm_always_has_one_that_signs() {
    let place = Place::new();
    let made = place
        .jeton(&["key", "create", "--realm", "main", "--algorithm", "ES256", "--json"])
        .done()
        .json();
    let first = made["key_id"].as_str().unwrap();
    let rotate = ["key", "rotate", "--realm", "main", "--algorithm", "ES256", "--json"];
    let next = place.jeton(&rotate).done().json();
    assert_eq!(next["status"], "upcoming");
    let again = place.jeton(&rotate).done().json();
    assert_eq!(again["key_id"], next["key_id"], "one successor is enough");

    let statuses = || {
        let listed = place.jeton(&["key", "list", "--realm", "main", "--json"]).done().json();
        let status = |key: &serde_json::Value| key["status"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(status).collect::<Vec<_>>()
    };
    let retire = |id: &str| place.jeton(&["key", "retire", id, "--realm", "main", "--json"]);
    assert_eq!(retire(first).done().json()["status"], "retired");
    assert_eq!(statuses(), ["retired", "active"]);
    assert_eq!(retire(first).done().json()["status"], "removed");
    assert_eq!(statuses(), ["active"]);
    let second = next["key_id"].as_str().unwrap();
    assert_eq!(retire(second).done().json()["status"], "retired");
    assert_eq!(statuses(), ["retired", "active"], "a new one took over");
    retire("nope").failed(1, &["jeton key list --realm main"]);
}

#[test]
fn the_public_half_comes_as_pem_too() {
    let place = Place::new();
    let made = place
        .jeton(&["key", "create", "--realm", "main", "--algorithm", "EdDSA", "--json"])
        .done()
        .json();
    let id = made["key_id"].as_str().unwrap();
    let pem = place.jeton(&["key", "export", id, "--realm", "main", "--pem"]).done().stdout;
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
    assert!(!pem.contains("PRIVATE"));
}
