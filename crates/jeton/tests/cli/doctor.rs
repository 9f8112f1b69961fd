//! `jeton doctor`: what it finds, that it finds nothing where nothing is, and that it changes nothing.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::{Place, Process, Ran, program, talk};
use super::rehearsal::{Authority, Server, answer};

/// What was found: check and level, the place and what of it.
fn findings(ran: &Ran) -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |one: &Value| {
        let whole =
            format!("{} {} {}", text(&one["where"]), text(&one["what"]), text(&one["remedy"]));
        (text(&one["check"]), text(&one["level"]), whole)
    };
    document["findings"].as_array().unwrap().iter().map(of).collect()
}

fn doctor(place: &Place) -> Ran {
    place.jeton(&["doctor", "--json"])
}

/// Expects a finding of this check and level that has these words.
#[track_caller]
fn has(ran: &Ran, check: &str, level: &str, words: &str) {
    let found = findings(ran);
    let is = |(own, other, text): &(String, String, String)| {
        own == check && other == level && text.contains(words)
    };
    assert!(found.iter().any(is), "no {check} {level} {words:?} in {found:#?}");
}

/// Expects no problem.
#[track_caller]
fn is_well(place: &Place) -> Ran {
    let ran = doctor(place);
    assert_eq!(ran.code, 0, "{:#?}", findings(&ran));
    ran
}

/// Expects a problem of this check that has these words.
#[track_caller]
fn is_ill(place: &Place, check: &str, words: &str) {
    let ran = doctor(place);
    assert_eq!(ran.code, 1, "{:#?}", findings(&ran));
    has(&ran, check, "problem", words);
}

/// A place with a database and a client.
fn used() -> Place {
    let place = Place::new();
    place.jeton(&["client", "create", "orders", "--realm", "main", "--json"]).done();
    place.jeton(&["key", "create", "--realm", "main", "--algorithm", "EdDSA", "--json"]).done();
    place
}

/// Every file of a folder with its mode and content.
fn all(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let of = |entry: std::fs::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode();
        let content = std::fs::read(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), (mode, content))
    };
    entries.map(of).collect()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn before_the_first_start_all_is_well_and_nothing_is_made() {
    let place = Place::new();
    let ran = is_well(&place);
    has(&ran, "database", "note", "not there yet");
    has(&ran, "master_key", "note", "not there yet");
    assert_eq!(all(&place.path("")).len(), 1, "only the configuration is there");
}

#[test]
fn a_sound_installation_is_found_to_be_so_and_left_as_it_is() {
    let place = used();
    let before = all(&place.path(""));
    let ran = is_well(&place);
    for (check, words) in [
        ("configuration", "realms: 2"),
        ("files", "nobody but their owner"),
        ("master_key", "well formed"),
        ("database.schema", "has schema"),
        ("database.soundness", "are sound"),
        ("database.disk", "MiB are free"),
        ("keys.open", "opens all keys (1)"),
        ("keys.signing", "another follows in 89 days"),
        ("secrets", "of all enabled clients (1) hold"),
    ] {
        has(&ran, check, "ok", words);
    }
    assert_eq!(all(&place.path("")), before);
    let lines = place.jeton(&["doctor"]).done().stdout;
    assert!(lines.lines().all(|line| line.split('\t').count() == 5), "{lines}");
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_line() {
    let place = Place::new();
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let wrong = text.replace("[admin]", "[admins]").replace("rfc6749", "rfc6750");
    std::fs::write(place.path("jeton.toml"), wrong).unwrap();
    is_ill(&place, "configuration", "jeton.toml:4 ");
    is_ill(&place, "configuration", "rfc6750");
    std::fs::remove_file(place.path("jeton.toml")).unwrap();
    doctor(&place).failed(2, &["no configuration file"]);
}

#[test]
fn a_configuration_without_a_realm_serves_nobody() {
    let place = Place::new();
    std::fs::write(place.path("jeton.toml"), "[storage]\nurl = \"sqlite:jeton.db\"\n").unwrap();
    is_ill(&place, "configuration", "no realm");
}

#[test]
fn files_that_others_can_read_or_change_are_problems() {
    let place = used();
    for (name, mode, check) in [
        ("jeton.db", 0o640, "files.database"),
        ("jeton.db.master-key", 0o604, "files.master_key"),
        ("jeton.toml", 0o646, "files.configuration"),
        ("", 0o777, "files.folder"),
    ] {
        let path = place.path(name);
        let before = path.metadata().unwrap().permissions().mode() & 0o777;
        chmod(&path, mode);
        is_ill(&place, check, "chmod");
        chmod(&path, before);
        is_well(&place);
    }
    chmod(&place.path("jeton.toml"), 0o644);
    is_well(&place);
}

#[test]
fn a_password_in_a_configuration_that_others_can_read_is_a_problem() {
    let place = Place::empty();
    let text = "[storage]\nurl = \"postgres://jeton:hunter2@127.0.0.1:1/auth?connect_timeout=1\"\n\
        master_key.env = \"KEY\"\n[realm.main]\nissuer = \"http://127.0.0.1:8080/main\"\n";
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    chmod(&place.path("jeton.toml"), 0o600);
    let ran = doctor(&place);
    assert!(!findings(&ran).iter().any(|(check, _, _)| check == "files.configuration"));
    chmod(&place.path("jeton.toml"), 0o640);
    is_ill(&place, "files.configuration", "JETON__STORAGE__URL_FILE");
    is_ill(&place, "database", "postgres://127.0.0.1:1/auth");
    has(&ran, "master_key", "warning", "environment variable KEY");
    assert!(!doctor(&place).stdout.contains("hunter2"));
}

#[test]
fn another_master_key_and_none_at_all_are_found_before_a_server_does() {
    let place = used();
    let key = place.path("jeton.db.master-key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "A".repeat(43)).unwrap();
    is_ill(&place, "keys.open", "does not open");
    std::fs::write(&key, "hunter2").unwrap();
    is_ill(&place, "master_key", "must be 32 bytes");
    std::fs::remove_file(&key).unwrap();
    is_ill(&place, "master_key", "restore it");
    assert!(!key.exists());
    std::fs::write(&key, right).unwrap();
    chmod(&key, 0o600);
    is_well(&place);
}

#[test]
fn a_damaged_database_and_a_foreign_one_are_named() {
    let place = used();
    let path = place.path("jeton.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // A page in the middle; the first ones tell what the others are.
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    is_ill(&place, "database.soundness", "damaged");
    std::fs::write(&path, "no database at all. ".repeat(300)).unwrap();
    is_ill(&place, "database", "not a SQLite database");
}

#[test]
fn secrets_that_run_out_soon_are_told_and_others_are_not() {
    let place = used();
    let create = |id: &str, expires: &str| {
        let arguments = ["client", "create", id, "--realm", "main", "--json", "--secret-expires"];
        place.jeton(&[&arguments[..], &[expires]].concat()).done();
    };
    create("lasting", "60d");
    has(&is_well(&place), "secrets", "ok", "(2) hold");
    create("ending", "3d");
    place.jeton(&["client", "create", "bare", "--realm", "main", "--no-secret", "--json"]).done();
    let ran = is_well(&place);
    has(&ran, "secrets.expiring", "warning", "within 14 days: ending");
    has(&ran, "secrets.none", "warning", "have none: bare");
    place.jeton(&["client", "disable", "ending", "--realm", "main", "--json"]).done();
    place.jeton(&["client", "disable", "bare", "--realm", "main", "--json"]).done();
    has(&is_well(&place), "secrets", "ok", "(2) hold");
}

#[test]
fn a_dialect_that_nobody_speaks_is_noted() {
    let place = used();
    let own = place.path("dialects/mine");
    std::fs::create_dir_all(&own).unwrap();
    let text = place.jeton(&["dialect", "show", "rfc6749"]).done().stdout;
    std::fs::write(own.join("dialect.toml"), text.replace("oauth2/token", "mine/token")).unwrap();
    has(&is_well(&place), "dialects", "note", "mine is spoken in no realm");
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let text = text.replace("[\"rfc6749\"]", "[\"rfc6749\", \"mine\"]");
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    assert!(!findings(&is_well(&place)).iter().any(|(check, _, _)| check == "dialects"));
}

#[test]
fn keys_of_trusted_issuers_are_fetched_as_the_server_would() {
    let place = used();
    let authority = Authority::new("the authority");
    std::fs::write(place.path("ca.pem"), authority.pem()).unwrap();
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let server = Server::start(authority.server(&["localhost"]).config(None), move |_, out| {
        let _ = out.write_all(&answer("200 OK", "Content-Type: application/json\r\n", keys));
    });
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let configure = |port: u16| {
        let more = format!(
            "[fetch]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nca_file = \"ca.pem\"\n\
             [realm.main.trusted_issuers.ci]\nissuer = \"https://ci.example.com\"\n\
             jwks_uri = \"https://localhost:{port}/keys\"\n"
        );
        std::fs::write(place.path("jeton.toml"), format!("{text}{more}")).unwrap();
    };
    configure(server.address.port());
    has(&is_well(&place), "issuers.keys", "ok", "keys can be fetched: 1");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    configure(nobody);
    is_ill(&place, "issuers.keys", "trusted_issuers.ci");
}

#[test]
fn tls_files_that_cannot_be_used_are_problems() {
    let place = used();
    let authority = Authority::new("the authority");
    let leaf = authority.server(&["127.0.0.1", "localhost"]);
    std::fs::write(place.path("cert.pem"), &leaf.certificate_pem).unwrap();
    std::fs::write(place.path("key.pem"), &leaf.key_pem).unwrap();
    chmod(&place.path("key.pem"), 0o600);
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let with = "[server.tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    std::fs::write(place.path("jeton.toml"), format!("{text}{with}")).unwrap();
    has(&is_well(&place), "tls", "ok", "good for now");
    chmod(&place.path("key.pem"), 0o604);
    has(&is_well(&place), "tls", "warning", "key.pem");
    std::fs::remove_file(place.path("key.pem")).unwrap();
    is_ill(&place, "tls", "key.pem");
}

/// Listens where it was told; gives the configuration's ports back.
fn with_ports(place: &Place) -> (u16, u16) {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (public, admin) = (free(), free());
    let ports = (public.local_addr().unwrap().port(), admin.local_addr().unwrap().port());
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let text = text.replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports.0), 1);
    let text = text.replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports.1), 1);
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    ports
}

#[test]
fn a_port_that_another_program_has_is_a_problem_and_a_free_one_is_not() {
    let place = used();
    let (public, admin) = with_ports(&place);
    has(&is_well(&place), "listeners", "ok", "can be listened on");
    for (port, check) in [(public, "listeners.public"), (admin, "listeners.admin")] {
        let another = TcpListener::bind(("127.0.0.1", port)).unwrap();
        // Whoever asks it for its health hears nothing that makes sense.
        let answering = std::thread::spawn(move || {
            if let Ok((mut stream, _)) = another.accept() {
                let _ = std::io::Write::write_all(&mut stream, b"220 mail.example.com\r\n");
            }
        });
        is_ill(&place, check, "another program");
        // Nobody may have asked it.
        drop(std::net::TcpStream::connect(("127.0.0.1", port)));
        answering.join().unwrap();
    }
}

#[test]
fn a_server_that_runs_is_asked_and_its_database_left_alone() {
    let place = used();
    let (_, admin) = with_ports(&place);
    let mut serve = program();
    serve.current_dir(place.path("")).arg("serve").stderr(Stdio::null());
    let server = Process(serve.spawn().unwrap());
    let address = format!("127.0.0.1:{admin}");
    let begin = Instant::now();
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the server does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = is_well(&place);
    has(&ran, "server", "ok", "runs and is ready");
    has(&ran, "listeners.public", "ok", "is listened on");
    has(&ran, "database.log", "ok", "the log has");
    let ready = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(talk(&address, ready).0, 200);
    assert_eq!(server.terminate(), Some(0));
    has(&is_well(&place), "server", "note", "no server runs");
}
