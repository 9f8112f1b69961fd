//! `jeton client registration-token`: made once, listed without the token, revoked, and refused where
//! nobody may register.

use std::fs;

use super::place::Place;

const COMMAND: [&str; 2] = ["client", "registration-token"];

fn place() -> Place {
    let place = Place::new();
    let file = place.path("jeton.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}\n[realm.main.registration]\nenabled = true\n")).unwrap();
    place
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&COMMAND[..], &["--realm", "main"], more].concat()
}

#[test]
fn a_token_is_shown_once_listed_without_itself_and_revoked() {
    let place = place();
    let made = place
        .jeton(&with(&["--uses", "5", "--expires", "1d", "--scope", "read write", "--json"]))
        .done()
        .json();
    let token = made["initial_access_token"].as_str().unwrap();
    assert!(token.starts_with("jti_") && token.len() == 47, "{token}");
    assert_eq!((&made["uses_left"], &made["scope"]), (&5.into(), &"read write".into()));
    let lasting = place.jeton(&with(&["--expires", "never", "--json"])).done().json();
    assert_eq!((&lasting["uses_left"], lasting["expires_at"].is_null()), (&1.into(), true));

    let listed = place.jeton(&with(&["--list", "--json"])).done();
    assert!(!listed.stdout.contains(token));
    assert_eq!(listed.json().as_array().unwrap().len(), 2);
    let id = made["token_id"].as_str().unwrap();
    let revoked = place.jeton(&with(&["--revoke", id])).done();
    assert_eq!(revoked.stdout, format!("{id}\trevoked\n"));
    let listed = place.jeton(&with(&["--list"])).done();
    assert!(!listed.stdout.contains(id) && listed.stdout.lines().count() == 1, "{listed:?}");
    place.jeton(&with(&["--revoke", id])).failed(1, &[id, "does not exist"]);
}

#[test]
fn what_is_nearly_right_is_refused() {
    let place = place();
    place.jeton(&with(&["--uses", "0"])).failed(1, &["uses"]);
    place.jeton(&with(&["--scope", "admin"])).failed(1, &["scope", "only knows"]);
    place.jeton(&with(&["--list", "--uses", "2"])).failed(2, &["cannot be used with"]);
    place.jeton(&with(&["--expires", "soon"])).failed(2, &["is no duration"]);
    let off = [&COMMAND[..], &["--realm", "staff"]].concat();
    place.jeton(&off).failed(1, &["[realm.staff.registration] enabled = true"]);
}
