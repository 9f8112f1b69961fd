//! Calling servers by https: whom we trust, as whom we come, and what is said when it fails.

use super::place::{Place, Ran, program};
use super::rehearsal::{Authority, Leaf, Server, Use, answer};

const TOKEN: &str = r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":60}"#;

/// A folder with the certificate of an authority that a server could have.
struct Stage {
    place: Place,
    authority: Authority,
}

impl Stage {
    fn new() -> Self {
        let (place, authority) = (Place::empty(), Authority::new("the authority"));
        std::fs::write(place.path("ca.pem"), authority.pem()).unwrap();
        std::fs::write(place.path("secret"), "s3cret").unwrap();
        Self { place, authority }
    }

    fn keep(&self, name: &str, leaf: &Leaf) {
        std::fs::write(self.place.path(&format!("{name}.pem")), &leaf.certificate_pem).unwrap();
        std::fs::write(self.place.path(&format!("{name}.key")), &leaf.key_pem).unwrap();
    }

    /// `jeton token get` at this server.
    fn get(&self, host: &str, server: &Server, more: &[&str]) -> Ran {
        let url = format!("https://{host}:{}/oauth2/token", server.address.port());
        let get = ["token", "get", "--token-endpoint", &url, "--client-id", "ada"];
        self.place.jeton(&[&get[..], more].concat())
    }
}

const WITH_SECRET: &[&str] = &["--client-secret-file", "secret"];
const TRUSTING: &[&str] = &["--client-secret-file", "secret", "--ca-file", "ca.pem"];

fn token_server(leaf: &Leaf, clients: Option<&Authority>) -> Server {
    Server::start(leaf.config(clients), |_, out| {
        let headers = "Content-Type: application/json\r\n";
        let _ = out.write_all(&answer("200 OK", headers, TOKEN));
    })
}

#[test]
fn a_server_whose_authority_was_named_is_trusted_by_name_and_by_address() {
    let stage = Stage::new();
    let server = token_server(&stage.authority.server(&["localhost", "127.0.0.1"]), None);
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(stage.get(host, &server, TRUSTING).done().stdout, "t0ken\n");
    }
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].starts_with("POST /oauth2/token HTTP/1.1\r\nHost: localhost:"));
    assert!(requests[0].contains("Basic YWRhOnMzY3JldA=="), "{requests:?}");
}

#[test]
fn a_server_of_an_unknown_authority_hears_no_secret() {
    let stage = Stage::new();
    let server = token_server(&stage.authority.server(&["localhost"]), None);
    std::fs::write(stage.place.path("other.pem"), Authority::new("another").pem()).unwrap();
    let other = [WITH_SECRET, &["--ca-file", "other.pem"]].concat();
    stage
        .get("localhost", &server, &other)
        .failed(1, &["authority that is not trusted", "localhost", "--ca-file"]);
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn the_authorities_of_the_machine_are_trusted_and_none_at_all_is_said() {
    let stage = Stage::new();
    let server = token_server(&stage.authority.server(&["localhost"]), None);
    std::fs::write(stage.place.path("none.pem"), "").unwrap();
    std::fs::create_dir(stage.place.path("none")).unwrap();
    let url = format!("https://localhost:{}/oauth2/token", server.address.port());
    let with_roots = |file: &str| {
        let mut command = program();
        command.env("SSL_CERT_FILE", stage.place.path(file));
        command.env("SSL_CERT_DIR", stage.place.path("none"));
        command.args(["token", "get", "--token-endpoint", &url, "--client-id", "ada"]);
        command.args(["--client-secret-file", "secret"]);
        command.current_dir(stage.place.path("")).output().unwrap()
    };
    assert_eq!(with_roots("ca.pem").stdout, b"t0ken\n");
    let without = with_roots("none.pem");
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("no root certificates"));
}

#[test]
fn a_certificate_for_another_host_expired_or_early_is_refused() {
    let stage = Stage::new();
    let sign = |names: &[&str], years| stage.authority.sign(names, Use::Server, years);
    let cases = [
        (sign(&["auth.example.com"], (2000, 3000)), "for another host than localhost"),
        (sign(&["localhost"], (2000, 2001)), "has expired"),
        (sign(&["localhost"], (2900, 3000)), "is not valid yet"),
        (stage.authority.sign(&["localhost"], Use::Client, (2000, 3000)), "is not for servers"),
    ];
    for (leaf, words) in cases {
        let server = token_server(&leaf, None);
        stage.get("localhost", &server, TRUSTING).failed(1, &[words, "localhost"]);
        assert!(server.requests.lock().unwrap().is_empty(), "{words}");
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it_or_says_so() {
    let stage = Stage::new();
    let clients = Authority::new("of clients");
    stage.keep("ada", &clients.sign(&["ada"], Use::Client, (2000, 3000)));
    stage.keep("eve", &Authority::new("nobody's").sign(&["eve"], Use::Client, (2000, 3000)));
    let server = token_server(&stage.authority.server(&["localhost"]), Some(&clients));
    let with = |more: &[&str]| stage.get("localhost", &server, &[TRUSTING, more].concat());
    with(&[]).failed(1, &["wants a client certificate", "--tls-certificate"]);
    with(&["--tls-certificate", "eve.pem", "--tls-key", "eve.key"])
        .failed(1, &["refuses the client certificate"]);
    assert!(server.requests.lock().unwrap().is_empty());
    let ada = ["--tls-certificate", "ada.pem", "--tls-key", "ada.key"];
    assert_eq!(with(&ada).done().stdout, "t0ken\n");
}

#[test]
fn a_client_known_by_its_certificate_sends_its_identifier_and_no_secret() {
    let stage = Stage::new();
    let clients = Authority::new("of clients");
    stage.keep("ada", &clients.sign(&["ada"], Use::Client, (2000, 3000)));
    let ada = ["--ca-file", "ca.pem", "--tls-certificate", "ada.pem", "--tls-key", "ada.key"];
    let leaf = stage.authority.server(&["localhost"]);
    let server = token_server(&leaf, Some(&clients));
    let named = ["--authentication", "tls_client_auth"];
    for more in [&named[..], &[], &["--authentication", "self_signed_tls_client_auth"]] {
        stage.get("localhost", &server, &[&ada, more].concat()).done();
    }
    let without = [TRUSTING, &named].concat();
    stage.get("localhost", &server, &without).failed(2, &["needs a certificate"]);
    let asked = server.requests.lock().unwrap().clone();
    assert_eq!((asked.len(), &asked[0], &asked[0]), (3, &asked[1], &asked[2]));
    let asked = asked[0].clone();
    assert!(!asked.contains("Authorization") && !asked.contains("authorization"), "{asked}");
    assert!(asked.ends_with("\r\n\r\ngrant_type=client_credentials&client_id=ada"), "{asked}");

    let server = Server::start(leaf.config(Some(&clients)), |_, out| {
        let _ = out.write_all(&answer("200 OK", "", r#"{"active":true}"#));
    });
    let url = format!("https://localhost:{}/introspect", server.address.port());
    let introspect =
        ["token", "introspect", "--introspection-endpoint", &url, "--client-id", "ada"];
    stage.place.jeton_reading(&[&introspect[..], &ada].concat(), b"t0ken\n").done();
    let asked = server.requests.lock().unwrap()[0].clone();
    assert!(asked.ends_with("\r\n\r\ntoken=t0ken&client_id=ada"), "{asked}");
    stage
        .place
        .jeton_reading(&[&introspect[..], &ada[..2]].concat(), b"t0ken\n")
        .failed(2, &["nothing proves who the client is"]);
}

#[test]
fn files_that_are_no_certificate_no_key_or_anothers_are_named() {
    let stage = Stage::new();
    let server = token_server(&stage.authority.server(&["localhost"]), None);
    stage.keep("ada", &stage.authority.sign(&["ada"], Use::Client, (2000, 3000)));
    stage.keep("eve", &stage.authority.sign(&["eve"], Use::Client, (2000, 3000)));
    let with = |more: &[&str]| stage.get("localhost", &server, &[WITH_SECRET, more].concat());
    with(&["--ca-file", "absent.pem"]).failed(2, &["absent.pem", "cannot be read"]);
    with(&["--ca-file", "ada.key"]).failed(2, &["ada.key", "no certificate"]);
    let ca = ["--ca-file", "ca.pem"];
    let pair = |one, two| with(&[&ca[..], &["--tls-certificate", one, "--tls-key", two]].concat());
    pair("ada.pem", "eve.key").failed(2, &["eve.key", "not that of the certificate", "ada.pem"]);
    pair("ada.pem", "ada.pem").failed(2, &["ada.pem", "no private key"]);
    with(&["--tls-certificate", "ada.pem"]).failed(2, &["--tls-key"]);
    assert_eq!(server.connections(), 0);
}

#[test]
fn keys_come_by_https_and_a_redirect_is_not_followed() {
    let stage = Stage::new();
    let canary = token_server(&stage.authority.server(&["localhost"]), None);
    let away = format!("Location: https://localhost:{}/\r\n", canary.address.port());
    let server =
        Server::start(stage.authority.server(&["localhost"]).config(None), move |request, out| {
            let _ = out.write_all(&match request.starts_with("GET /jwks") {
                true => answer("200 OK", "", r#"{"keys":[]}"#),
                false => answer("302 Found", &away, ""),
            });
        });
    let verify = |path: &str| {
        let url = format!("https://localhost:{}{path}", server.address.port());
        let verify = ["token", "verify", "--ca-file", "ca.pem", "--jwks", &url];
        stage.place.jeton_reading(&verify, b"a.b.c")
    };
    verify("/jwks").failed(1, &["token"]);
    verify("/moved").failed(1, &["status 302"]);
    assert_eq!(canary.connections(), 0);
}

#[test]
fn exchanges_are_replayed_by_https_byte_for_byte() {
    let stage = Stage::new();
    let server = token_server(&stage.authority.server(&["localhost"]), None);
    let url = format!("https://localhost:{}/realm", server.address.port());
    let replay = ["dialect", "replay", "rfc6749", "--url", &url];
    let ran = stage.place.jeton(&[&replay[..], &["--ca-file", "ca.pem", "--json"]].concat());
    assert_eq!(ran.code, 1, "it answers everything alike, so something differs");
    assert!(ran.json()["passed"].as_u64().is_some());
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().any(|request| request.starts_with("POST /realm/oauth2/token ")));
    drop(requests);
    std::fs::write(stage.place.path("other.pem"), Authority::new("another").pem()).unwrap();
    stage
        .place
        .jeton(&[&replay[..], &["--ca-file", "other.pem"]].concat())
        .failed(1, &["not trusted"]);
}
