//! `jeton client`: each verb does what it says, and refuses what is nearly right.

use serde_json::json;

use super::place::Place;

#[test]
fn a_generated_secret_is_shown_once_and_never_again() {
    let place = Place::new();
    let made = place.jeton(&["client", "create", "a", "--realm", "main", "--json"]).done().json();
    let secret = made["client_secret"].as_str().unwrap();
    assert!(secret.len() > 43, "{secret}");
    assert_eq!(made["client_id"], "a");
    assert_eq!(made["secrets"][0]["kind"], "generated");
    for arguments in [&["client", "show", "a"][..], &["client", "list"], &["client", "export"]] {
        let ran = place.jeton(&[arguments, &["--realm", "main", "--json"]].concat());
        assert!(!ran.stdout.contains(secret), "{ran:?}");
    }
}

#[test]
fn everything_that_create_takes_is_shown() {
    let place = Place::new();
    place
        .jeton(&[
            "client",
            "create",
            "a",
            "--realm",
            "main",
            "--name",
            "Partner A",
            "--subject",
            "7",
            "--scope",
            "read write",
            "--audience",
            "x",
            "--audience",
            "y",
            "--lifetime",
            "10m",
            "--secret-expires",
            "90d",
            "--secret-name",
            "first",
            "--authentication",
            "client_secret_basic",
            "--network",
            "10.0.0.0/8",
        ])
        .done();
    let shown = place.jeton(&["client", "show", "a", "--realm", "main", "--json"]).done().json();
    for (name, value) in [
        ("name", json!("Partner A")),
        ("subject", json!("7")),
        ("status", json!("enabled")),
        ("scope", json!("read write")),
        ("audience", json!(["x", "y"])),
        ("lifetime", json!(600)),
        ("authentication", json!(["client_secret_basic"])),
        ("networks", json!(["10.0.0.0/8"])),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(shown["secrets"][0]["name"], "first");
    assert!(shown["secrets"][0]["expires_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_supplied_secret_comes_through_a_pipe_a_file_or_the_environment_and_is_never_printed() {
    let place = Place::new();
    let create = |id, how: &[&str]| {
        let arguments = [&["client", "create", id, "--realm", "main", "--json"][..], how].concat();
        place.jeton_reading(&arguments, b"hunter2-hunter2\n")
    };
    std::fs::write(place.path("secret"), "hunter2-hunter2\n").unwrap();
    for ran in [create("a", &["--secret-stdin"]), create("b", &["--secret-file", "secret"])] {
        let ran = ran.done();
        assert!(!ran.stdout.contains("hunter2"), "{ran:?}");
        let made = ran.json();
        assert_eq!(made["secrets"][0]["kind"], "supplied");
        assert!(made.get("client_secret").is_none());
    }
    create("c", &["--secret-env", "NOT_SET"]).failed(2, &["NOT_SET"]);
    create("c", &["--secret-stdin", "--no-secret"]).failed(2, &["--no-secret"]);
    place
        .jeton(&["client", "create", "c", "--realm", "main", "--secret-stdin"])
        .failed(2, &["the secret is empty"]);
    place
        .jeton(&["client", "create", "c", "hunter2", "--realm", "main"])
        .failed(2, &["unexpected"]);
}

#[test]
fn what_the_realm_does_not_know_is_refused_with_a_way_out() {
    let place = Place::new();
    let main = ["--realm", "main"];
    place.jeton(&["client", "create", "a", "--realm", "main"]).done();
    place
        .jeton(&["client", "create", "a", "--realm", "main"])
        .failed(1, &["exists already", "another ID"]);
    place
        .jeton(&["client", "create", "b", "--realm", "main", "--scope", "admin"])
        .failed(1, &["scope", "read write"]);
    place
        .jeton(&["client", "create", "b", "--realm", "nope"])
        .failed(2, &["realm nope does not exist", "main, staff"]);
    place.jeton(&["client", "list"]).failed(2, &["--realm is missing", "main, staff"]);
    for verb in ["show", "enable", "disable", "unlock", "delete", "rotate-secret", "revoke-secrets"]
    {
        place.jeton(&[&["client", verb, "nobody"][..], &main].concat()).failed(
            1,
            &["client nobody of realm main does not exist", "jeton client list --realm main"],
        );
    }
    place
        .jeton(&["client", "create", "b", "--realm", "main", "--lifetime", "10"])
        .failed(2, &["10m, 12h or 90d"]);
    place
        .jeton(&["client", "create", "b", "--realm", "main", "--network", "10.0.0.0/33"])
        .failed(2, &["--network"]);
}

#[test]
fn update_changes_what_is_said_and_nothing_else() {
    let place = Place::new();
    let update = |arguments: &[&str]| {
        place.jeton(
            &[&["client", "update", "a", "--realm", "main", "--json"][..], arguments].concat(),
        )
    };
    place
        .jeton(&[
            "client",
            "create",
            "a",
            "--realm",
            "main",
            "--name",
            "A",
            "--lifetime",
            "10m",
            "--audience",
            "x",
        ])
        .done();
    let changed = update(&["--scope", "read", "--network", "10.0.0.0/8"]).done().json();
    assert_eq!((&changed["name"], &changed["scope"]), (&json!("A"), &json!("read")));
    let changed =
        update(&["--no-name", "--no-lifetime", "--no-network", "--no-audience"]).done().json();
    assert_eq!((&changed["name"], &changed["lifetime"]), (&json!(null), &json!(null)));
    assert_eq!((&changed["networks"], &changed["audience"]), (&json!([]), &json!([])));
    assert_eq!(changed["scope"], "read");
    update(&[]).failed(2, &["required"]);
    update(&["--name", "B", "--no-name"]).failed(2, &["cannot be used with"]);
    update(&["--scope", "admin"]).failed(1, &["scope"]);
}

#[test]
fn a_client_is_disabled_enabled_and_deleted() {
    let place = Place::new();
    let run = |verb| place.jeton(&["client", verb, "a", "--realm", "main"]).done().stdout;
    place.jeton(&["client", "create", "a", "--realm", "main"]).done();
    assert_eq!(run("disable"), "a\tdisabled\n");
    assert!(run("show").contains("status\tdisabled\n"));
    assert_eq!(run("enable"), "a\tenabled\n");
    assert_eq!(run("unlock"), "a\tunlocked\n");
    assert_eq!(run("delete"), "a\tdeleted\n");
    assert_eq!(place.jeton(&["client", "list", "--realm", "main"]).done().stdout, "");
}

#[test]
fn secrets_rotate_with_grace_and_are_revoked_one_or_all() {
    let place = Place::new();
    let run = |verb: &str, more: &[&str]| {
        place.jeton(&[&["client", verb, "a", "--realm", "main", "--json"][..], more].concat())
    };
    let first = place.jeton(&["client", "create", "a", "--realm", "main", "--json"]).done().json();
    let rotated = run("rotate-secret", &["--grace", "1h", "--secret-name", "second"]).done().json();
    assert_ne!(first["client_secret"], rotated["client_secret"]);
    assert!(rotated["secrets"][0]["expires_at"].is_string(), "the old one ends");
    assert!(rotated["secrets"][1]["expires_at"].is_null(), "the new one does not");
    let id = rotated["secret_id"].as_str().unwrap();
    assert_eq!(run("revoke-secrets", &["--secret", id]).done().json()["secrets_revoked"], 1);
    run("revoke-secrets", &["--secret", id]).failed(1, &["does not exist"]);
    assert_eq!(run("revoke-secrets", &[]).done().json()["secrets_revoked"], 1);
    assert_eq!(run("show", &[]).done().json()["secrets"], json!([]));
    run("rotate-secret", &["--grace", "soon"]).failed(2, &["--grace"]);
}

#[test]
fn a_client_serves_resources_and_adds_claims_as_long_as_it_is_told_to() {
    let place = Place::new();
    let claims = r#"{"tenant":"acme"}"#;
    let create = ["client", "create", "orders", "--realm", "main", "--resource-server", "--json"];
    let made = place.jeton(&[&create[..], &["--claims", claims]].concat()).done().json();
    assert_eq!(
        (&made["role"], &made["claims"]),
        (&json!("resource_server"), &json!({"tenant": "acme"}))
    );
    let update = ["client", "update", "orders", "--realm", "main", "--json"];
    let changed = |more: &[&str]| place.jeton(&[&update[..], more].concat()).done().json();
    assert_eq!(changed(&["--no-resource-server"])["role"], "client");
    assert_eq!(changed(&["--resource-server"])["role"], "resource_server");
    assert_eq!(
        changed(&["--name", "Orders"])["claims"],
        json!({"tenant": "acme"}),
        "what is not mentioned stays"
    );
    assert_eq!(changed(&["--claims", "{}"])["claims"], json!({}));
    for wrong in [r#"{"sub":"x"}"#, "[]", "tenant"] {
        place.jeton(&[&update[..], &["--claims", wrong]].concat()).failed(2, &["--claims"]);
    }
}
