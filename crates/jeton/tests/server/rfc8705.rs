//! Proves that clients authenticate with certificates and that tokens are bound to them (RFC 8705), over TLS of
//! our own and behind a proxy that ends it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton::serve::Running;
use jeton_engine::certificate::CertificateName;
use jeton_engine::client::proof::{Binding, ClientKeys, Proof, PublicKeys, SenderConstraint};
use jeton_engine::jose::{Algorithm, VerifyingKey};
use jeton_engine::manage::{Manage, NewClient, NewSecret};
use jeton_engine::request::AuthenticationMethod;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, Issuer, KeyPair, PublicKeyData as _};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::started::{Answer, Line, ask, configured, start, within_patience};
use crate::tls::{Leaf, Stage};

const REALM: &str =
    "[realm.main]\nissuer = \"https://auth.example.com\"\ntoken.format = \"sealed\"\n";

const SECRET: &str = "a secret that somebody brought along";

/// A certificate of this authority with this common name.
fn issued(authority: &Issuer<'_, KeyPair>, name: &str) -> Leaf {
    let key = KeyPair::generate().unwrap();
    (named(name).signed_by(&key, authority).unwrap(), key)
}

fn self_signed(name: &str) -> Leaf {
    let key = KeyPair::generate().unwrap();
    (named(name).self_signed(&key).unwrap(), key)
}

/// `x5t#S256`.
fn thumbprint(leaf: &Leaf) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf.0.der());
    URL_SAFE_NO_PAD.encode(digest)
}

/// As a proxy passes it on by RFC 9440.
fn header(leaf: &Leaf) -> String {
    format!("Client-Cert: :{}:\r\n", STANDARD.encode(leaf.0.der()))
}

fn jwks(leaf: &Leaf) -> PublicKeys {
    let text = STANDARD.encode(leaf.1.subject_public_key_info());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let key = VerifyingKey::from_public_pem(Algorithm::Es256, &pem).unwrap();
    format!("{{\"keys\":[{}]}}", key.to_jwk().unwrap()).parse().unwrap()
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn required() -> SenderConstraint {
    SenderConstraint { mtls: Binding::Required, ..SenderConstraint::default() }
}

/// Makes the client `partner` with this proof, and `keyed` with this key.
async fn make_clients(running: &Running, text: &str, keyed: &Leaf) {
    let realm = configured(text).realm("main").unwrap().realm.clone();
    let manage = Manage::new(running.parts().clone());
    let name = CertificateName::subject_dn("CN=partner").unwrap();
    let new = |id: &str, method, proof| NewClient {
        id: Some(id.parse().unwrap()),
        authentication: vec![method],
        proof,
        secret: NewSecret::None,
        ..NewClient::default()
    };
    let by_name = Proof { certificate: Some(name), sender: required(), ..Proof::default() };
    let by_key = Proof { keys: Some(ClientKeys::Jwks(jwks(keyed))), ..Proof::default() };
    let by_secret = Proof { sender: required(), ..Proof::default() };
    let secret = NewSecret::Supplied(Zeroizing::new(SECRET.to_owned()));
    for client in [
        new("partner", AuthenticationMethod::TlsClientAuth, by_name),
        NewClient { secret, ..new("secretive", AuthenticationMethod::ClientSecretPost, by_secret) },
        // The last: when the server knows this one, it knows them all.
        new("keyed", AuthenticationMethod::SelfSignedTlsClientAuth, by_key),
    ] {
        manage.create_client(&realm, client).await.unwrap();
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn token_request(headers: &str, client: &str) -> String {
    let body = format!("grant_type=client_credentials&client_id={client}");
    post("/oauth2/token", headers, &body)
}

fn token_of(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["error"], error, "{answer:?}");
}

/// A server with TLS that asks for certificates, and its clients.
struct Tls {
    stage: Stage,
    clients: CertifiedIssuer<'static, KeyPair>,
    running: Running,
    keyed: Leaf,
}

impl Tls {
    async fn begin() -> Self {
        let stage = Stage::new();
        let clients = stage.add_client_authority("ca.pem");
        let text = stage.section(&stage.asking_clients("ca.pem"), REALM);
        let running = start(&text).await;
        let keyed = self_signed("anybody");
        make_clients(&running, &text, &keyed).await;
        Self { stage, clients, running, keyed }
    }

    /// Sends one request over a connection that shows this.
    async fn ask(&self, shown: Option<&Leaf>, request: &str) -> Answer {
        let stream = self.stage.connect_as(self.running.public_address(), shown).await.unwrap();
        let mut line = Line::over(stream);
        assert!(line.send(request).await);
        line.answer().await
    }

    /// Asks until the server has heard of its clients.
    async fn token(&self, shown: &Leaf, client: &str) -> String {
        within_patience(async || {
            let answer = self.ask(Some(shown), &token_request("", client)).await;
            (answer.status == 200).then(|| token_of(&answer))
        })
        .await
    }
}

#[tokio::test]
async fn a_certificate_with_the_registered_name_is_let_in_and_binds_the_token() {
    let tls = Tls::begin().await;
    let partner = issued(&tls.clients, "partner");
    let token = tls.token(&partner, "partner").await;

    let question = format!("client_id=partner&token={token}");
    let introspection = post("/oauth2/introspect", "", &question);
    let answer = tls.ask(Some(&partner), &introspection).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &body["active"]), (200, &Value::Bool(true)), "{answer:?}");
    assert_eq!(body["cnf"], serde_json::json!({ "x5t#S256": thumbprint(&partner) }));

    let others = [
        // Another name of the same authority, the same name of another one, another's key, nothing.
        Some(issued(&tls.clients, "partners")),
        Some(self_signed("partner")),
        None,
    ];
    let revocation = post("/oauth2/revoke", "", &question);
    for shown in &others {
        for request in [&token_request("", "partner"), &introspection, &revocation] {
            assert_refused(&tls.ask(shown.as_ref(), request).await, 401, "invalid_client");
        }
    }
    // Another certificate of the same name and authority is the client's as well.
    let renewed = issued(&tls.clients, "partner");
    assert_eq!(tls.ask(Some(&renewed), &revocation).await.status, 200);
    let answer = tls.ask(Some(&partner), &introspection).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"active\":false}"));
    tls.running.stop().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_let_in_by_its_registered_key() {
    let tls = Tls::begin().await;
    tls.token(&tls.keyed, "keyed").await;
    for shown in [self_signed("anybody"), issued(&tls.clients, "keyed")] {
        let answer = tls.ask(Some(&shown), &token_request("", "keyed")).await;
        assert_refused(&answer, 401, "invalid_client");
    }
    // The key of one client is no key of another.
    let answer = tls.ask(Some(&tls.keyed), &token_request("", "partner")).await;
    assert_refused(&answer, 401, "invalid_client");
    tls.running.stop().await;
}

#[tokio::test]
async fn a_client_of_secrets_must_show_a_certificate_where_its_tokens_are_bound() {
    let tls = Tls::begin().await;
    tls.token(&tls.keyed, "keyed").await;
    let with = |secret| {
        let body =
            format!("grant_type=client_credentials&client_id=secretive&client_secret={secret}");
        post("/oauth2/token", "", &body)
    };
    let right = with(SECRET.replace(' ', "+"));
    assert_refused(&tls.ask(None, &right).await, 400, "invalid_request");
    let shown = self_signed("whatever");
    assert_eq!(tls.ask(Some(&shown), &right).await.status, 200);
    let wrong = with("wrong".to_owned());
    assert_refused(&tls.ask(Some(&shown), &wrong).await, 401, "invalid_client");
    assert_refused(&tls.ask(None, &wrong).await, 401, "invalid_client");
    tls.running.stop().await;
}

/// A server behind a proxy on this machine.
fn behind_proxy(chain: &str) -> String {
    format!(
        "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n\
         client_certificate_header = {{ format = \"rfc9440\", chain = \"{chain}\" }}\n{REALM}"
    )
}

#[tokio::test]
async fn metadata_names_what_certificates_are_good_for() {
    let tls = Tls::begin().await;
    let path = "/.well-known/oauth-authorization-server";
    let request = crate::started::get(path, "x");
    let body: Value = serde_json::from_str(&tls.ask(None, &request).await.body).unwrap();
    assert_eq!(body["tls_client_certificate_bound_access_tokens"], true);
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = body[format!("{endpoint}_endpoint_auth_methods_supported")].to_string();
        assert!(methods.contains("\"tls_client_auth\""), "{methods}");
        assert!(methods.contains("\"self_signed_tls_client_auth\""), "{methods}");
    }
    tls.running.stop().await;

    for (chain, by_name) in [("verified", true), ("unverified", false)] {
        let running = start(&behind_proxy(chain)).await;
        let passed_on = ask(running.public_address(), &request).await.body;
        assert!(passed_on.contains("\"self_signed_tls_client_auth\""), "{passed_on}");
        assert!(passed_on.contains("tls_client_certificate_bound"), "{passed_on}");
        assert_eq!(passed_on.contains("\"tls_client_auth\""), by_name, "{passed_on}");
        running.stop().await;
    }

    let running = start(REALM).await;
    let plain = ask(running.public_address(), &request).await.body;
    assert!(!plain.contains("tls_client"), "{plain}");
    running.stop().await;
}

#[tokio::test]
async fn a_token_is_taken_from_whom_the_gateway_says_that_its_certificate_is() {
    let text = behind_proxy("verified");
    let running = start(&text).await;
    let (clients, keyed) = (Stage::new().authority, self_signed("anybody"));
    make_clients(&running, &text, &keyed).await;
    let address = running.public_address();
    let partner = issued(&clients, "partner");
    let token = within_patience(async || {
        let answer = ask(address, &token_request(&header(&partner), "partner")).await;
        (answer.status == 200).then(|| token_of(&answer))
    })
    .await;
    let twice = format!("{}{}", header(&partner), header(&partner));
    let verify = |token: &str, headers: &str| {
        format!(
            "GET /oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}\r\n"
        )
    };
    assert_eq!(ask(address, &verify(&token, &header(&partner))).await.status, 204);
    let renewed = issued(&clients, "partner");
    for headers in ["", &header(&renewed), &header(&keyed), &twice, "Client-Cert: :AA==:\r\n"] {
        let answer = ask(address, &verify(&token, headers)).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    // A token that is bound to nothing passes with whatever certificate.
    let unbound = within_patience(async || {
        let answer = ask(address, &token_request(&header(&keyed), "keyed")).await;
        (answer.status == 200).then(|| token_of(&answer))
    })
    .await;
    for headers in ["", &header(&partner)] {
        assert_eq!(ask(address, &verify(&unbound, headers)).await.status, 204);
    }
    running.stop().await;
}

#[tokio::test]
async fn the_certificate_of_a_gateways_own_connection_proves_nothing_about_its_callers() {
    let tls = Tls::begin().await;
    let partner = issued(&tls.clients, "partner");
    let token = tls.token(&partner, "partner").await;
    let request =
        format!("GET /oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    for shown in [Some(&partner), None] {
        assert_eq!(tls.ask(shown, &request).await.status, 401);
    }
    let unbound = tls.token(&tls.keyed, "keyed").await;
    let request = format!(
        "GET /oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {unbound}\r\n\r\n"
    );
    assert_eq!(tls.ask(None, &request).await.status, 204);
    tls.running.stop().await;
}
