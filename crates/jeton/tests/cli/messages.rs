//! `jeton init`, `config`, `dialect` and `explain`: what they say when things are right and when not.

use super::place::Place;

#[test]
fn init_makes_a_working_place_once() {
    let place = Place::empty();
    let said = place.jeton(&["init", "new"]).done().stdout;
    assert!(said.contains("jeton serve --config new/jeton.toml"), "{said}");
    for name in ["new/jeton.toml", "new/jeton.db", "new/jeton.db.master-key"] {
        assert!(place.path(name).is_file(), "{name}");
    }
    let config = ["--config", "new/jeton.toml"];
    assert_eq!(place.jeton(&[&["config", "check"][..], &config].concat()).done().stdout, "ok\n");
    // The only realm needs no naming.
    place.jeton(&[&["client", "create", "a"][..], &config].concat()).done();
    place
        .jeton(&["init", "new"])
        .failed(1, &["there is a configuration already", "new/jeton.toml"]);
}

#[test]
fn config_check_tells_every_problem_with_its_line() {
    let place = Place::empty();
    place.jeton(&["config", "check"]).failed(2, &["jeton.toml", "jeton init"]);
    let text = "[server]\nlisten = \"nowhere\"\nlisen = 1\n[realm.main]\nissuer = 5\ndialects = [\"nope\"]\n";
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    place.jeton(&["config", "check"]).failed(2, &["jeton.toml:2", "jeton.toml:3", "jeton.toml:5"]);
    let told = place.jeton(&["config", "check", "--json"]).failed(2, &[]).json();
    assert_eq!(told["ok"], false);
    assert!(told["problems"].as_array().unwrap().len() >= 3);
    place.jeton(&["client", "list"]).failed(2, &["jeton config check"]);
}

#[test]
fn config_show_tells_where_each_value_came_from() {
    let place = Place::new();
    let shown = place.jeton(&["config", "show", "--json"]).done().json();
    let origin = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap()["origin"].clone()
    };
    assert_eq!(origin("server.listen"), "jeton.toml:3");
    assert_eq!(origin("server.backlog"), "default");
    let lines = place.jeton(&["config", "show"]).done().stdout;
    assert!(lines.lines().all(|line| line.split('\t').count() == 3), "{lines}");
    let note = "Each server counts limits for itself";
    let quiet = place.jeton(&["config", "show"]).done();
    assert!(!quiet.stderr.contains(note), "{}", quiet.stderr);
    let file = place.path("jeton.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n[realm.main.limits]\nrealm = [\"600/min\"]\n")).unwrap();
    let limited = place.jeton(&["config", "show"]).done();
    assert!(limited.stderr.contains(note), "{}", limited.stderr);
}

#[test]
fn dialects_are_listed_shown_and_checked() {
    let place = Place::empty();
    let listed = place.jeton(&["dialect", "list", "--json"]).done().json();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|dialect| dialect["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"rfc6749") && names.len() >= 6, "{names:?}");
    for name in names {
        let text = place.jeton(&["dialect", "show", name]).done().stdout;
        std::fs::create_dir_all(place.path(&format!("dialects/{name}"))).unwrap();
        std::fs::write(place.path(&format!("dialects/{name}/dialect.toml")), text).unwrap();
    }
    let checked = place.jeton(&["dialect", "check", "dialects"]).done().stdout;
    assert!(checked.lines().all(|line| line.ends_with("\tok")), "{checked}");
    place.jeton(&["dialect", "show", "nope"]).failed(1, &["nope", "rfc6749"]);
    place.jeton(&["dialect", "check", "nowhere"]).failed(2, &["nowhere", "dialect.toml"]);
}

#[test]
fn dialect_check_tells_every_problem_with_file_and_line() {
    let place = Place::empty();
    std::fs::create_dir_all(place.path("mine/exchanges")).unwrap();
    std::fs::write(
        place.path("mine/dialect.toml"),
        "title = 5\n[request]\nmethod = \"POST\"\ncolour = \"red\"\n",
    )
    .unwrap();
    let ran = place
        .jeton(&["dialect", "check", "mine"])
        .failed(1, &["mine/dialect.toml:1", "mine/dialect.toml:4"]);
    assert!(ran.stdout.starts_with("mine\t"), "{ran:?}");
    let text = place.jeton(&["dialect", "show", "rfc6749"]).done().stdout;
    std::fs::write(place.path("mine/dialect.toml"), text).unwrap();
    place.jeton(&["dialect", "check", "mine/dialect.toml"]).done();
    std::fs::write(place.path("mine/exchanges/bad.http"), "POST /\n").unwrap();
    let told = place.jeton(&["dialect", "check", "mine", "--json"]).failed(1, &[]).json();
    assert_eq!(told["ok"], false);
    assert!(told["problems"][0]["file"].as_str().unwrap().ends_with("bad.http"), "{told}");
}

#[test]
fn dialect_check_tells_the_problems_of_all_files_at_once_and_says_error_once() {
    let place = Place::empty();
    std::fs::create_dir_all(place.path("mine/exchanges")).unwrap();
    let text = place.jeton(&["dialect", "show", "rfc6749"]).done().stdout;
    std::fs::write(place.path("draft.toml"), &text).unwrap();
    let checked = place.jeton(&["dialect", "check", "draft.toml"]).done().stdout;
    assert_eq!(checked, "draft.toml\tok\n");
    std::fs::write(place.path("draft.toml"), "title = 5\n").unwrap();
    place.jeton(&["dialect", "check", "draft.toml"]).failed(1, &["draft.toml:1"]);

    std::fs::write(place.path("mine/dialect.toml"), format!("colour = 1\n{text}")).unwrap();
    std::fs::write(place.path("mine/exchanges/cast.toml"), "[[clint]]\n").unwrap();
    std::fs::write(place.path("mine/exchanges/denied.http"), "POST /\n").unwrap();
    let told = place
        .jeton(&["dialect", "check", "mine"])
        .failed(1, &["mine/dialect.toml:1", "cast.toml:1", "denied.http:1", "problems found"]);
    assert!(!told.stderr.contains("error: error:"), "{}", told.stderr);
    assert!(told.stderr.ends_with("try: jeton dialect guide\n"), "{}", told.stderr);
    let guide = place.jeton(&["dialect", "guide"]).done().stdout;
    assert!(guide.starts_with("# Dialects\n") && guide.contains("### `[token]`"), "{guide}");
}

#[test]
fn a_dialect_that_is_not_there_and_a_server_that_is_not_there_say_what_to_do() {
    let place = Place::empty();
    place.jeton(&["dialect", "show", "nope"]).failed(1, &["nope", "--config", "[dialects]"]);
    // Nothing listens on the port of the discard service.
    place
        .jeton(&["dialect", "replay", "rfc6749", "--url", "http://127.0.0.1:9/main"])
        .failed(1, &["jeton serve"]);
}

#[test]
fn explain_knows_message_ids_and_says_when_it_does_not_know_a_reference() {
    let place = Place::new();
    let told = place.jeton(&["explain", "secret_expired"]).done().stdout;
    assert!(told.contains("rotate-secret"), "{told}");
    let told = place.jeton(&["explain", "secret_expired", "--json"]).done().json();
    assert_eq!((&told["id"], &told["kind"]), (&"secret_expired".into(), &"invalid_client".into()));
    assert!(place.jeton(&["explain"]).done().stdout.lines().count() > 25);
    place.jeton(&["explain", "secret_expred"]).failed(2, &["neither a reference nor a message id"]);
    place.jeton(&["explain", "0123456789"]).failed(1, &["nothing is known", "events_kept_for"]);
}
