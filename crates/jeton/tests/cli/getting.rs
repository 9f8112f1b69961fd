//! `jeton token get | introspect` in every way of authenticating, and with DPoP: what is sent, once each.

use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_engine::jose::JwkSet;
use jeton_engine::jose::jws::verify_compact;
use serde_json::{Value, json};

use super::place::{Place, Process, Ran, program};
use super::rehearsal::{Authority, Leaf, Server, Use, answer};

const ISSUER: &str = "https://auth.example.com/main";
const TOKEN: &str = r#"{"access_token":"t0ken","token_type":"DPoP","expires_in":60}"#;

/// A folder with a key pair (`ada.key`, `ada.jwks.json`), a secret and an authority's certificate.
struct Stage {
    place: Place,
    authority: Authority,
    jwks: String,
}

impl Stage {
    fn new(place: Place) -> Self {
        let authority = Authority::new("the authority");
        let keygen = ["client", "keygen", "--key-id", "-k1", "--out", "ada.key"];
        let jwks = place.jeton(&keygen).done().stdout;
        std::fs::write(place.path("ca.pem"), authority.pem()).unwrap();
        std::fs::write(place.path("ada.jwks.json"), &jwks).unwrap();
        std::fs::write(place.path("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
        Self { place, authority, jwks }
    }

    fn keep(&self, name: &str, leaf: &Leaf) {
        std::fs::write(self.place.path(&format!("{name}.pem")), &leaf.certificate_pem).unwrap();
        std::fs::write(self.place.path(&format!("{name}.tls.key")), &leaf.key_pem).unwrap();
    }

    /// A server on `localhost` that answers a token, or this.
    fn server(&self, reply: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Server {
        let count = AtomicUsize::new(0);
        let leaf = self.authority.server(&["localhost"]);
        Server::start(leaf.config(None), move |_, out| {
            let usual = || answer("200 OK", "Content-Type: application/json\r\n", TOKEN);
            let reply = reply(count.fetch_add(1, Ordering::SeqCst)).unwrap_or_else(usual);
            let _ = out.write_all(&reply);
        })
    }

    fn get(&self, server: &Server, more: &[&str]) -> Ran {
        let url = format!("https://localhost:{}/oauth2/token", server.address.port());
        let get = ["token", "get", "--ca-file", "ca.pem", "--token-endpoint", &url];
        self.place.jeton(&[&get[..], &["--client-id", "ada"], more].concat())
    }
}

fn requests(server: &Server) -> Vec<String> {
    server.requests.lock().unwrap().clone()
}

/// A parameter of the form that was sent.
fn parameter(request: &str, name: &str) -> Option<String> {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let mut pairs = url::form_urlencoded::parse(body.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn header(request: &str, name: &str) -> Option<String> {
    let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.map(str::to_owned)
}

fn part(jws: &str, at: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(jws.split('.').nth(at).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

const BY_KEY: &[&str] = &["--key-file", "ada.key", "--issuer", ISSUER];

#[test]
fn a_key_signs_a_short_assertion_for_the_issuer_and_a_new_one_each_time() {
    let stage = Stage::new(Place::empty());
    let server = stage.server(|_| None);
    let kid = serde_json::from_str::<Value>(&stage.jwks).unwrap()["keys"][0]["kid"].clone();
    let named = [BY_KEY, &["--key-id", kid.as_str().unwrap()]].concat();
    assert_eq!(stage.get(&server, &named).done().stdout, "t0ken\n");
    stage.get(&server, BY_KEY).done();
    let sent = requests(&server);
    let keys = JwkSet::parse(&stage.jwks).unwrap();
    let assertions: Vec<_> =
        sent.iter().map(|sent| parameter(sent, "client_assertion").unwrap()).collect();
    for (sent, assertion) in sent.iter().zip(&assertions) {
        verify_compact(assertion, &keys).unwrap();
        let claims = part(assertion, 1);
        for (name, value) in [("iss", "ada"), ("sub", "ada"), ("aud", ISSUER)] {
            assert_eq!(claims[name], value);
        }
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(parameter(sent, "client_assertion_type").as_deref(), Some(kind));
        assert_eq!(header(sent, "authorization"), None);
    }
    assert_eq!((&part(&assertions[0], 0)["kid"], part(&assertions[1], 0).get("kid")), (&kid, None));
    assert_ne!(part(&assertions[0], 1)["jti"], part(&assertions[1], 1)["jti"]);
}

#[test]
fn an_assertion_is_for_whom_is_said_or_with_a_warning_for_the_endpoint() {
    let stage = Stage::new(Place::empty());
    let server = stage.server(|_| None);
    let said = ["--assertion-audience", "https://b.example.com"];
    let ran = stage.get(&server, &[BY_KEY, &said[..]].concat()).done();
    assert_eq!(ran.stderr, "");
    let ran = stage.get(&server, &BY_KEY[..2]).done();
    assert!(ran.stderr.contains("warning:") && ran.stderr.contains("--issuer"), "{ran:?}");
    let secret = ["--client-secret-file", "secret", "--authentication", "client_secret_jwt"];
    stage.get(&server, &[&secret[..], &["--issuer", ISSUER]].concat()).done();
    let sent = requests(&server);
    let aud =
        |at: usize| part(&parameter(&sent[at], "client_assertion").unwrap(), 1)["aud"].clone();
    let endpoint = format!("https://localhost:{}/oauth2/token", server.address.port());
    assert_eq!((aud(0), aud(1), aud(2)), (json!(said[1]), json!(endpoint), json!(ISSUER)));
    assert_eq!(part(&parameter(&sent[2], "client_assertion").unwrap(), 0)["alg"], "HS256");
    assert!(!sent[2].contains("0123456789abcdef"), "the secret itself is not sent");
}

#[test]
fn a_ready_assertion_is_sent_as_it_is() {
    let stage = Stage::new(Place::empty());
    std::fs::write(stage.place.path("token.jwt"), "aa.bb.cc\n").unwrap();
    let server = stage.server(|_| None);
    let ran = stage.get(&server, &["--assertion-file", "token.jwt"]).done();
    assert_eq!(ran.stderr, "", "whom it is for was somebody else's choice");
    let sent = &requests(&server)[0];
    assert_eq!(parameter(sent, "client_assertion").as_deref(), Some("aa.bb.cc"));
    assert_eq!(parameter(sent, "client_id").as_deref(), Some("ada"));
}

#[test]
fn a_dpop_proof_is_for_the_request_and_comes_once_more_with_the_nonce() {
    let stage = Stage::new(Place::empty());
    let nonce = || {
        let body = r#"{"error":"use_dpop_nonce"}"#;
        Some(answer("400 Bad Request", "DPoP-Nonce: n-1\r\n", body))
    };
    let server = stage.server(move |at| nonce().filter(|_| at == 0));
    let dpop = [BY_KEY, &["--dpop-key-file", "ada.key", "--json"]].concat();
    let said = stage.get(&server, &dpop).done().json();
    let keys = JwkSet::parse(&stage.jwks).unwrap();
    assert_eq!(said["dpop_jkt"].as_str(), keys.keys()[0].thumbprint().as_deref());
    assert_eq!(said["access_token"], "t0ken");
    let sent = requests(&server);
    let proofs: Vec<_> = sent.iter().map(|sent| header(sent, "DPoP").unwrap()).collect();
    let endpoint = format!("https://localhost:{}/oauth2/token", server.address.port());
    for proof in &proofs {
        let head = part(proof, 0);
        assert_eq!((&head["typ"], &head["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
        assert!(head["jwk"].get("d").is_none());
        JwkSet::parse(&json!({ "keys": [head["jwk"]] }).to_string()).unwrap();
        let claims = part(proof, 1);
        assert_eq!((&claims["htm"], &claims["htu"]), (&json!("POST"), &json!(endpoint)));
    }
    assert_eq!(
        (part(&proofs[0], 1).get("nonce"), &part(&proofs[1], 1)["nonce"]),
        (None, &json!("n-1"))
    );
    assert_ne!(part(&proofs[0], 1)["jti"], part(&proofs[1], 1)["jti"]);
    let assertion = |at: usize| parameter(&sent[at], "client_assertion").unwrap();
    assert_ne!(assertion(0), assertion(1), "no server takes an assertion twice");

    let never = stage.server(move |_| nonce());
    stage.get(&never, &[BY_KEY, &["--dpop"]].concat()).failed(1, &["use_dpop_nonce"]);
    assert_eq!(requests(&never).len(), 2, "once more and not again");
    let plain = stage.server(move |_| nonce());
    stage.get(&plain, BY_KEY).failed(1, &["use_dpop_nonce"]);
    assert_eq!(requests(&plain).len(), 1);
}

#[test]
fn a_token_that_is_not_bound_is_told_and_fresh_keys_differ() {
    let stage = Stage::new(Place::empty());
    let bearer = TOKEN.replace("DPoP", "Bearer");
    let server = stage.server(move |at| (at == 0).then(|| answer("200 OK", "", &bearer)));
    let dpop = [BY_KEY, &["--dpop", "--json"]].concat();
    let first = stage.get(&server, &dpop).done();
    assert!(first.stderr.contains("not bound to the DPoP key"), "{first:?}");
    let second = stage.get(&server, &dpop).done();
    assert_eq!(second.stderr, "");
    assert_ne!(first.json()["dpop_jkt"], second.json()["dpop_jkt"]);
}

#[test]
fn a_method_without_what_it_needs_is_refused_before_anything_is_sent() {
    let stage = Stage::new(Place::empty());
    let server = stage.server(|_| None);
    let secret = ["--client-secret-file", "secret"];
    let key = ["--key-file", "ada.key"];
    let by = |method, more: &[&str], words: &str| {
        let arguments = [&["--authentication", method], more].concat();
        stage.get(&server, &arguments).failed(2, &[words]);
    };
    for method in ["client_secret_basic", "client_secret_post", "client_secret_jwt"] {
        by(method, &[], "--client-secret-file");
        by(method, &key, "--client-secret-file");
    }
    by("private_key_jwt", &[], "--key-file");
    by("private_key_jwt", &secret, "--key-file");
    for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
        by(method, &[], "--tls-certificate");
        by(method, &key, "--tls-certificate");
    }
    let with = |more: &[&str], words: &str| stage.get(&server, more).failed(2, &[words]);
    with(&[], "nothing proves who the client is");
    with(&[&key[..], &secret].concat(), "both a secret and something better");
    with(&[&key[..], &["--assertion-file", "secret"]].concat(), "cannot be used with");
    with(&["--key-id", "k"], "--key-file");
    with(&["--dpop", "--dpop-key-file", "ada.key"], "cannot be used with");
    let unsigned = ["--dialect", "dt-growth", "--key-file", "ada.key", "--issuer", ISSUER];
    with(&unsigned, "cannot express private_key_jwt");
    std::fs::write(stage.place.path("short"), "short").unwrap();
    let short = ["--client-secret-file", "short", "--authentication", "client_secret_jwt"];
    with(&short, "32 bytes");
    assert!(requests(&server).is_empty());
}

#[test]
fn a_file_that_is_no_private_key_is_refused_and_nothing_of_it_is_shown() {
    let stage = Stage::new(Place::empty());
    let server = stage.server(|_| None);
    let jwk = serde_json::from_str::<Value>(&stage.jwks).unwrap()["keys"][0].to_string();
    std::fs::write(stage.place.path("public.json"), jwk).unwrap();
    for (file, words) in [
        ("public.json", "public key where a private one belongs"),
        ("secret", "the key"),
        ("ca.pem", "the key"),
        ("absent", "absent"),
    ] {
        for flag in ["--key-file", "--dpop-key-file"] {
            let arguments = ["--issuer", ISSUER, "--client-secret-file", "secret", flag, file];
            let arguments = if flag == "--key-file" {
                [&arguments[..2], &arguments[4..]].concat()
            } else {
                arguments.to_vec()
            };
            let ran = stage.get(&server, &arguments);
            assert!(ran.code != 0 && ran.stderr.contains(words), "{ran:?}");
            assert!(!ran.stderr.contains("0123456789"), "{ran:?}");
        }
    }
    let wrong = ["--key-file", "ada.key", "--issuer", ISSUER, "--key-algorithm", "EdDSA"];
    stage.get(&server, &wrong).failed(2, &["EdDSA"]);
    stage.place.jeton(&["client", "keygen", "--out", "rsa.key", "--algorithm", "PS256"]).done();
    let rsa = ["--key-file", "rsa.key", "--issuer", ISSUER];
    stage.get(&server, &rsa).failed(2, &["--key-algorithm PS256", "--key-algorithm RS256"]);
    assert!(requests(&server).is_empty());
    stage.get(&server, &[&rsa[..], &["--key-algorithm", "RS256"]].concat()).done();
}

#[test]
fn the_issuers_metadata_name_the_endpoint_when_they_are_its_own() {
    let stage = Stage::new(Place::empty());
    let clients = Authority::new("of clients");
    stage.keep("ada", &clients.sign(&["ada"], Use::Client, (2000, 3000)));
    let leaf = stage.authority.server(&["localhost"]);
    let tokens = stage.server(|_| None);
    let port = tokens.address.port();
    let server = Server::start(leaf.config(None), move |request, out| {
        let host = header(request, "Host").unwrap();
        let (issuer, token) = match request {
            _ if request.starts_with("GET /.well-known/oauth-authorization-server/main ") => {
                (format!("https://{host}/main"), format!("https://localhost:{port}/token"))
            }
            _ => ("https://elsewhere.example".to_owned(), String::new()),
        };
        let aliases = json!({ "token_endpoint": format!("https://localhost:{port}/mtls/token") });
        let said = json!({
            "issuer": issuer, "token_endpoint": token, "mtls_endpoint_aliases": aliases
        });
        let _ = out.write_all(&answer("200 OK", "", &said.to_string()));
    });
    let get = |path: &str, more: &[&str]| {
        let issuer = format!("https://localhost:{}{path}", server.address.port());
        let get =
            ["token", "get", "--ca-file", "ca.pem", "--client-id", "ada", "--issuer", &issuer];
        stage.place.jeton(&[&get[..], more].concat())
    };
    get("/main", &["--key-file", "ada.key"]).done();
    get("/main", &["--tls-certificate", "ada.pem", "--tls-key", "ada.tls.key"]).done();
    get("/other", &["--key-file", "ada.key"])
        .failed(1, &["the metadata are of https://elsewhere.example"]);
    let sent = requests(&tokens);
    assert!(sent[0].starts_with("POST /token ") && sent[1].starts_with("POST /mtls/token "));
    assert_eq!(sent.len(), 2);
    stage.place.jeton(&["token", "get", "--client-id", "ada"]).failed(2, &["--token-endpoint"]);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A jeton that speaks TLS and asks for certificates, and its issuer.
fn serving(stage: &Stage, clients: &Authority) -> (Process, String) {
    let port = free_port();
    let issuer = format!("https://localhost:{port}/main");
    stage.keep("server", &stage.authority.server(&["localhost"]));
    std::fs::write(stage.place.path("clients.pem"), clients.pem()).unwrap();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[server.tls]\ncertificate = \"server.pem\"\nkey = \"server.tls.key\"\n\
         client_certificates = \"optional\"\nclient_ca = \"clients.pem\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [storage]\nurl = \"sqlite:jeton.db\"\n[realm.main]\nissuer = \"{issuer}\"\ndialects = [\"rfc6749\"]\n"
    );
    std::fs::write(stage.place.path("jeton.toml"), text).unwrap();
    let mut command = program();
    command.current_dir(stage.place.path("")).arg("serve");
    let server = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the server does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    (server, issuer)
}

#[test]
fn every_way_of_authenticating_gets_a_token_from_a_real_server_and_may_ask_about_it() {
    let stage = Stage::new(Place::empty());
    let clients = Authority::new("of clients");
    let (_server, issuer) = serving(&stage, &clients);
    stage.keep("ada", &clients.sign(&["ada.example.com"], Use::Client, (2000, 3000)));
    stage.keep("self", &Authority::new("itself").sign(&["self"], Use::Client, (2000, 3000)));
    let secret = ["--client-secret-file", "secret"];
    let tls = |name: &'static str| match name {
        "ada" => ["--tls-certificate", "ada.pem", "--tls-key", "ada.tls.key"],
        _ => ["--tls-certificate", "self.pem", "--tls-key", "self.tls.key"],
    };
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("client_secret_basic", &["--secret-file", "secret"], &secret),
        ("client_secret_post", &["--secret-file", "secret"], &secret),
        ("client_secret_jwt", &["--secret-file", "secret"], &secret),
        ("private_key_jwt", &["--jwks-file", "ada.jwks.json"], &["--key-file", "ada.key"]),
        ("tls_client_auth", &["--tls-san-dns", "ada.example.com"], &tls("ada")),
        ("self_signed_tls_client_auth", &["--jwks-file", "self.pem"], &tls("self")),
    ];
    for (method, registered, proof) in cases {
        let create = ["client", "create", method, "--realm", "main", "--authentication", method];
        stage.place.jeton(&[&create[..], registered].concat()).done();
        let who = ["--ca-file", "ca.pem", "--issuer", &issuer, "--client-id", method];
        let who = [&who[..], &["--authentication", method], proof].concat();
        let token = stage.place.jeton(&[&["token", "get"], &who[..]].concat()).done().stdout;
        let ask = [&["token", "introspect", "--json"], &who[..]].concat();
        let said = stage.place.jeton_reading(&ask, token.as_bytes()).done().json();
        assert_eq!(said["client_id"], method);
        // Nobody gets in as somebody else.
        let other = [&who[..5], &["nobody", "--authentication", method], proof].concat();
        let ran = stage.place.jeton(&[&["token", "get"], &other[..]].concat());
        let ran = ran.failed(1, &["invalid_client"]);
        assert!(!ran.stderr.contains("0123456789") && !ran.stderr.contains("eyJ"), "{ran:?}");
    }
}
