//! `jeton dev`: a token of every dialect over plain HTTP, and changes from another process obeyed
//! within a second.

use std::time::{Duration, Instant};

use jeton_dialect::Dialects;
use jeton_dialect::exchange::{self, Request};
use serde_json::Value;

use super::place::{Place, Process, program, talk};

struct Dev {
    process: Process,
    ready: Value,
    place: Place,
}

impl Dev {
    fn start(more: &[&str]) -> Self {
        let place = Place::empty();
        let mut command = program();
        command.current_dir(place.path("")).args(["dev", "--port", "0", "--json"]).args(more);
        let (process, line) = Process::start(&mut command);
        Self { process, ready: serde_json::from_str(&line).unwrap(), place }
    }

    fn address(&self) -> &str {
        self.ready["listeners"]["public"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    fn realm(&self, name: &str) -> &Value {
        let realms = self.ready["realms"].as_array().unwrap();
        realms.iter().find(|realm| realm["realm"] == name).unwrap()
    }

    fn with_status(&self, realm: &str, status: &str) -> (String, String) {
        let clients = self.realm(realm)["clients"].as_array().unwrap();
        let client = clients.iter().find(|client| client["status"] == status).unwrap();
        let text = |name: &str| client[name].as_str().unwrap().to_owned();
        (text("client_id"), text("client_secret"))
    }

    /// Asks for a token with the form that most dialects understand.
    fn ask(&self, realm: &str, (id, secret): &(String, String)) -> u16 {
        let form =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            form(id),
            form(secret)
        );
        let endpoint = self.realm(realm)["token_endpoint"].as_str().unwrap();
        let path = endpoint.split_once(self.address()).unwrap().1;
        talk(self.address(), &super::place::post(path, "application/x-www-form-urlencoded", &body))
            .0
    }

    fn manage(&self, arguments: &[&str]) {
        let config = self.ready["config"].as_str().unwrap();
        self.place.jeton(&[arguments, &["--config", config]].concat()).done();
    }

    /// Waits until a question has this answer, a second at most.
    fn obeyed(&self, realm: &str, client: &(String, String), status: u16) {
        let start = Instant::now();
        while self.ask(realm, client) != status {
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{client:?} is not {status} within a second"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn bytes(prefix: &str, request: &Request) -> Vec<u8> {
    let mut bytes =
        format!("{} {prefix}{} HTTP/1.1\r\nHost: localhost\r\n", request.method, request.target)
            .into_bytes();
    for (name, value) in &request.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(
        format!("Content-Length: {}\r\nConnection: close\r\n\r\n", request.body.len()).bytes(),
    );
    bytes.extend(&request.body);
    bytes
}

#[test]
fn every_dialect_issues_a_token_and_every_exchange_passes() {
    let dev = Dev::start(&[]);
    for folder in Dialects::builtin().unwrap().iter() {
        let name = folder.dialect.name().as_str();
        let mut exchanges = folder.exchanges.iter();
        let (file, text) = exchanges.find(|(file, _)| file.starts_with("accepted")).unwrap();
        let accepted = exchange::parse(file, text).unwrap();
        let (status, body) = talk(dev.address(), &bytes(&format!("/{name}"), &accepted.request));
        assert_eq!(status, accepted.response.status, "{name}: {body}");
        let url = dev.realm(name)["issuer"].as_str().unwrap();
        let told = dev.place.jeton(&["dialect", "replay", name, "--url", url, "--json"]);
        let told = told.done().json();
        assert_eq!(told["failed"], 0, "{told}");
        assert!(told["passed"].as_u64().unwrap() > 0, "{told}");
    }
    // The nearest no: another dialect's exchanges differ, and that is told.
    let url = dev.realm("fuuffy")["issuer"].as_str().unwrap().to_owned();
    let ran = dev.place.jeton(&["dialect", "replay", "dt-growth", "--url", &url]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("differs\taccepted\t") && ran.stdout.contains("  status\n"),
        "{ran:?}"
    );
}

#[test]
fn a_second_process_disables_and_unlocks_within_a_second() {
    let dev = Dev::start(&[]);
    let disabled = dev.with_status("fuuffy", "disabled");
    assert_eq!(dev.ask("fuuffy", &disabled), 403);
    let enabled = dev.with_status("rfc6749", "enabled");
    assert_eq!(dev.ask("rfc6749", &enabled), 200);
    dev.manage(&["client", "disable", &enabled.0, "--realm", "rfc6749"]);
    dev.obeyed("rfc6749", &enabled, 401);
    dev.manage(&["client", "enable", &enabled.0, "--realm", "rfc6749"]);
    dev.obeyed("rfc6749", &enabled, 200);
    let locked = dev.with_status("apinizer", "locked");
    assert_eq!(dev.ask("apinizer", &locked), 401);
    dev.manage(&["client", "unlock", &locked.0, "--realm", "apinizer"]);
    dev.obeyed("apinizer", &locked, 200);
}

#[test]
fn a_kept_folder_remembers_and_a_temporary_one_is_removed() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("dev").display().to_string();
    let first = Dev::start(&["--dir", &folder]);
    let client = first.with_status("rfc6749", "enabled");
    first.manage(&["client", "disable", &client.0, "--realm", "rfc6749"]);
    assert_eq!(first.process.terminate(), Some(0));
    let second = Dev::start(&["--dir", &folder]);
    let clients = second.realm("rfc6749")["clients"].as_array().unwrap();
    let known = clients.iter().find(|known| known["client_id"] == client.0.as_str()).unwrap();
    assert_eq!(known["status"], "disabled");
    drop(second);

    let temporary = Dev::start(&[]);
    let config = temporary.ready["config"].as_str().unwrap().to_owned();
    assert!(std::path::Path::new(&config).is_file());
    assert_eq!(temporary.process.terminate(), Some(0));
    assert!(!std::path::Path::new(&config).exists());
}

#[test]
fn a_port_that_is_taken_and_an_address_of_others_are_refused_with_a_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = Place::empty();
    place.jeton(&["dev", "--port", &port]).failed(1, &[&port, "--port 0"]);
    let mut command = program();
    command
        .current_dir(place.path(""))
        .args(["dev", "--port", "0"])
        .env("JETON__SERVER__LISTEN", "0.0.0.0:8080");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("127.0.0.1 only"), "{output:?}");
}

#[test]
fn a_token_of_every_dialect_is_got_alone_and_a_refusal_is_told() {
    let dev = Dev::start(&[]);
    for realm in dev.ready["realms"].as_array().unwrap() {
        let name = realm["realm"].as_str().unwrap();
        let dialect = realm["dialect"].as_str().unwrap_or(name);
        let (id, secret) = dev.with_status(name, "enabled");
        let get = [
            "token",
            "get",
            "--token-endpoint",
            realm["token_endpoint"].as_str().unwrap(),
            "--dialect",
            dialect,
            "--client-id",
            &id,
            "--client-secret-stdin",
        ];
        let token = dev.place.jeton_reading(&get, secret.as_bytes()).done().stdout;
        let token = token.strip_suffix('\n').unwrap();
        assert!(token.len() > 16 && !token.contains(['\n', ' ', '"']), "{dialect}: {token}");
        let whole = dev.place.jeton_reading(&[&get[..], &["--json"]].concat(), secret.as_bytes());
        assert!(whole.done().json().is_object(), "{dialect}");
        dev.place.jeton_reading(&get, b"wrong").failed(1, &["no token"]);
    }
}

#[test]
fn with_tls_everything_is_https_and_clients_may_show_a_certificate() {
    let dev = Dev::start(&["--tls", "--dir", "dev"]);
    let file = |name: &str| dev.ready["tls"][name].as_str().unwrap().to_owned();
    let (ca, certificate, key) = (file("ca"), file("client_certificate"), file("client_key"));
    let realm = dev.realm("rfc6749");
    let issuer = realm["issuer"].as_str().unwrap();
    assert!(issuer.starts_with("https://127.0.0.1:"), "{issuer}");
    let curl = realm["curl"].as_str().unwrap();
    assert!(curl.starts_with(&format!("curl -sS --cacert {ca} ")), "{curl}");
    let replay = ["dialect", "replay", "rfc6749", "--url", issuer, "--json"];
    let told = dev.place.jeton(&[&replay[..], &["--ca-file", &ca]].concat()).done().json();
    assert_eq!(told["failed"], 0, "{told}");
    dev.place.jeton(&replay).failed(1, &["authority that is not trusted"]);

    let orders = r#"{"client_id":"orders","authentication":["tls_client_auth"],"proof":{"certificate":{"san_dns":"dev-client"}}}"#;
    std::fs::write(dev.place.path("orders.jsonl"), orders).unwrap();
    dev.manage(&["client", "import", "orders.jsonl", "--realm", "rfc6749"]);
    let endpoint = realm["token_endpoint"].as_str().unwrap();
    let get =
        ["token", "get", "--token-endpoint", endpoint, "--ca-file", &ca, "--client-id", "orders"];
    let by_certificate = [
        "--authentication",
        "tls_client_auth",
        "--tls-certificate",
        &certificate,
        "--tls-key",
        &key,
    ];
    let get = [&get[..], &by_certificate].concat();
    let begun = Instant::now();
    while dev.place.jeton(&get).code != 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", dev.place.jeton(&get));
    }
}
