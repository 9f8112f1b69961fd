//! `jeton database backup | restore | check`: what an operator is told, and with which exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::place::{Place, Process, program};

/// A folder with a database that has a client and a signing key.
fn filled() -> Place {
    let place = Place::new();
    place.jeton(&["client", "create", "a", "--realm", "main", "--json"]).done();
    place.jeton(&["key", "create", "--realm", "main", "--algorithm", "EdDSA", "--json"]).done();
    place
}

#[test]
fn a_backup_comes_back_with_its_keys_and_says_what_is_not_in_it() {
    let place = filled();
    let made = place.jeton(&["database", "backup", "--to", "b.db", "--json"]).done().json();
    assert_eq!((&made["sound"], &made["opened"]), (&true.into(), &made["sealed"]));
    assert_eq!(made["rows"]["client"], 1);
    assert_eq!(made["master_key"]["included"], false);
    assert!(made["master_key"]["place"].as_str().unwrap().ends_with("jeton.db.master-key"));
    let mode = fs::metadata(place.path("b.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = ["database", "backup", "--to", "b.db"];
    place.jeton(&again).failed(1, &["no backup was made", "exists already", "--replace"]);
    let told = place.jeton(&[&again[..], &["--replace"]].concat()).done().stdout;
    assert!(told.contains("master key\tNOT in it: ") && told.contains("keys opened\t"), "{told}");
    assert!(place.jeton(&["database", "check", "--file", "b.db"]).done().stdout.contains("b.db"));

    place.jeton(&["client", "create", "later", "--realm", "main", "--json"]).done();
    let restore = ["database", "restore", "--from", "b.db"];
    place.jeton(&restore).failed(1, &["nothing was restored", "exists already", "--replace"]);
    let restored = [&restore[..], &["--replace"]].concat();
    let told = place.jeton(&restored).done().stdout;
    assert!(told.contains("database of before\t") && told.contains(".replaced-1"), "{told}");
    place.jeton(&["client", "show", "a", "--realm", "main"]).done();
    place.jeton(&["client", "show", "later", "--realm", "main"]).failed(1, &["does not exist"]);
}

#[test]
fn a_database_that_is_served_is_backed_up_and_not_replaced() {
    let place = filled();
    let mut serve = program();
    serve.current_dir(place.path("")).arg("serve").stdout(std::process::Stdio::null());
    let server = Process(serve.spawn().unwrap());
    // It has the database open once it has made what a database in use has.
    while !place.path("jeton.db-shm").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    place.jeton(&["database", "backup", "--to", "b.db"]).done();
    place.jeton(&["database", "check"]).done();
    let restore = ["database", "restore", "--from", "b.db", "--replace"];
    place.jeton(&restore).failed(1, &["is in use", "stop every jeton"]);
    server.terminate();
    place.jeton(&restore).done();
}

#[test]
fn the_master_key_is_asked_for_and_never_made() {
    let place = filled();
    let key = place.path("jeton.db.master-key");
    fs::rename(&key, place.path("away")).unwrap();
    for command in [&["backup", "--to", "b.db"][..], &["check"][..]] {
        let arguments = [&["database"][..], command].concat();
        place.jeton(&arguments).failed(1, &["master key", "--without-master-key"]);
        assert!(!key.exists());
        place.jeton(&[&arguments[..], &["--without-master-key"]].concat()).done();
    }
    fs::write(&key, "A".repeat(43)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let told = ["problem: table signing_key", "does not open under this master key"];
    place.jeton(&["database", "check"]).failed(1, &told);
    place.jeton(&["database", "backup", "--to", "c.db"]).failed(1, &["not sound"]);
    assert!(!place.path("c.db").exists());
}

#[test]
fn damage_is_named_with_its_remedy_and_exit_code_1() {
    let place = filled();
    let path = place.path("jeton.db");
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..200].fill(0x5a);
    }
    fs::write(&path, &bytes).unwrap();
    let ran = place.jeton(&["database", "check", "--json"]).failed(1, &[]).json();
    assert_eq!(ran["sound"], false);
    assert!(ran["problems"][0]["remedy"].as_str().unwrap().contains("database restore"));
    // Nor does a server begin with it, nor a backup end.
    place.jeton(&["serve"]).failed(1, &["is damaged", "jeton database check"]);
    place.jeton(&["database", "backup", "--to", "b.db"]).failed(1, &["jeton database check"]);
    assert!(!place.path("b.db").exists());
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
}

#[test]
fn where_there_is_no_file_the_way_is_told() {
    let place = Place::new();
    place.jeton(&["database", "check"]).failed(1, &["master key"]);
    let unopened = ["database", "check", "--without-master-key"];
    place.jeton(&unopened).failed(1, &["jeton.db", "No such file"]);
    place.jeton(&["database", "backup", "--to", "b.db"]).failed(1, &["no such database"]);
    place.jeton(&["database", "restore", "--from", "b.db"]).failed(1, &["no such backup"]);
    let text = "[storage]\nurl = \"postgres://jeton@127.0.0.1:1/auth\"\nmaster_key.env = \"KEY\"\n\
         [realm.main]\nissuer = \"http://127.0.0.1:8080/main\"\n";
    fs::write(place.path("jeton.toml"), text).unwrap();
    place.jeton(&["database", "backup", "--to", "b.db"]).failed(2, &["PostgreSQL", "pg_dump"]);
    assert!(!place.path("jeton.db").exists());
}
