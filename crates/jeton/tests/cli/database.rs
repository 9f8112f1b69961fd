//! `jeton database`: what is refused before any database is touched.

use super::place::Place;

const ADDRESS: &str = "postgres://jeton@127.0.0.1:1/auth?connect_timeout=1";

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let place = Place::new();
    let url = "postgres://jeton:hunter2@127.0.0.1:1/auth";
    let ran = place.jeton(&["database", "migrate", "--to", url]);
    let ran = ran.failed(2, &["list of processes", "--to-file"]);
    assert!(!ran.stderr.contains("hunter2"));
    for url in ["sqlite:jeton.db", "postgres://jeton@db/auth?sslmode=prefer"] {
        place
            .jeton(&["database", "migrate", "--to", url])
            .failed(2, &["the URL of the new database"]);
    }
    place.jeton(&["database", "migrate"]).failed(2, &["--to"]);
}

#[test]
fn a_database_that_is_not_there_is_not_moved_and_not_made() {
    let place = Place::new();
    place.jeton(&["database", "migrate", "--to", ADDRESS]).failed(1, &["no such database"]);
    assert!(!place.path("jeton.db").exists());
}

#[test]
fn a_server_that_is_not_there_is_named_and_the_password_is_not() {
    let place = Place::new();
    place.jeton(&["client", "create", "a", "--realm", "main", "--json"]).done();
    std::fs::write(place.path("url"), format!("{}\n", ADDRESS.replace('@', ":hunter2@"))).unwrap();
    let ran = place.jeton(&["database", "migrate", "--to-file", "url"]);
    let ran = ran.failed(1, &["nothing was moved", "postgres://127.0.0.1:1/auth", "tried again"]);
    assert!(!ran.stderr.contains("hunter2"));
    place.jeton(&["client", "show", "a", "--realm", "main", "--json"]).done();
}

#[test]
fn only_a_sqlite_installation_can_be_moved() {
    let place = Place::empty();
    let text = format!(
        "[storage]\nurl = \"{ADDRESS}\"\nmaster_key.env = \"KEY\"\n\
         [realm.main]\nissuer = \"http://127.0.0.1:8080/main\"\n"
    );
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    place.jeton(&["database", "migrate", "--to", ADDRESS]).failed(2, &["no SQLite file"]);
}
