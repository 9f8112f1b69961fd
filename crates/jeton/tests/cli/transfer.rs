//! `jeton client import | export`: what was exported comes back; one bad line keeps all of them out.

use super::place::Place;

#[test]
fn an_export_can_be_imported_elsewhere_and_exports_the_same() {
    let (from, to) = (Place::new(), Place::new());
    from.jeton(&[
        "client",
        "create",
        "a",
        "--realm",
        "main",
        "--scope",
        "read",
        "--lifetime",
        "never",
    ])
    .done();
    from.jeton_reading(
        &["client", "create", "b", "--realm", "main", "--secret-stdin"],
        b"hunter2-hunter2",
    )
    .done();
    from.jeton(&["client", "disable", "b", "--realm", "main"]).done();
    let exported = from.jeton(&["client", "export", "--realm", "main"]).done().stdout;
    assert_eq!(exported.lines().count(), 2);
    assert!(!exported.contains("hunter2"));
    let import = ["client", "import", "--realm", "main"];
    to.jeton_reading(&import, exported.as_bytes()).done();
    assert_eq!(to.jeton(&["client", "export", "--realm", "main"]).done().stdout, exported);
    to.jeton_reading(&import, exported.as_bytes())
        .failed(1, &["standard input:1:", "nothing was imported"]);
}

#[test]
fn one_bad_line_keeps_all_of_them_out_and_every_problem_is_told() {
    let place = Place::new();
    let lines = "{\"client_id\":\"a\",\"client_secret\":\"hunter2-hunter2\"}\n\n{\"client_id\":\"\"}\n\
                 {\"client_id\":\"a\"}\nnot json\n{\"client_id\":\"b\",\"scope\":\"admin\"}\n";
    std::fs::write(place.path("clients.jsonl"), lines).unwrap();
    let ran = place.jeton(&["client", "import", "clients.jsonl", "--realm", "main"]);
    let told = [
        "clients.jsonl:3: client_id",
        "clients.jsonl:4: client_id",
        "clients.jsonl:5:",
        "clients.jsonl:6: scope",
    ];
    let ran = ran.failed(1, &told).failed(1, &["nothing was imported"]);
    assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    assert_eq!(
        place.jeton(&["client", "list", "--realm", "main", "--json"]).done().json(),
        serde_json::json!([])
    );
}

#[test]
fn a_dry_run_checks_and_a_secret_in_clear_is_kept_as_a_slow_hash() {
    let place = Place::new();
    let line =
        b"{\"client_id\":\"a\",\"client_secret\":\"hunter2-hunter2\",\"status\":\"disabled\"}";
    let import = ["client", "import", "--realm", "main", "--json"];
    let dry = place.jeton_reading(&[&import[..], &["--dry-run"]].concat(), line).done().json();
    assert_eq!((&dry["clients"], &dry["imported"]), (&1.into(), &0.into()));
    place.jeton(&["client", "show", "a", "--realm", "main"]).failed(1, &["does not exist"]);
    assert_eq!(place.jeton_reading(&import, line).done().json()["imported"], 1);
    let exported = place.jeton(&["client", "export", "--realm", "main"]).done().json();
    assert_eq!(exported["status"], "disabled");
    assert!(exported["secrets"][0]["digest"].as_str().unwrap().starts_with("$argon2id$"));
    place
        .jeton(&["client", "import", "missing.jsonl", "--realm", "main"])
        .failed(1, &["missing.jsonl"]);
}
