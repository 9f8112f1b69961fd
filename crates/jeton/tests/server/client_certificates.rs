//! Proves whose certificate counts for whom: that of the connection, or what a trusted proxy passes on, and
//! nobody else's word.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton::serve::Running;
use jeton_engine::certificate::CertificateName;
use jeton_engine::client::proof::Proof;
use jeton_engine::manage::{Manage, NewClient, NewSecret};
use jeton_engine::request::AuthenticationMethod;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};

use crate::started::{Answer, Line, ask, configured, start, within_patience};
use crate::tls::{Leaf, Stage};

const MAIN: &str = "[realm.main]\nissuer = \"https://auth.example.com\"\n";

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn signed(issuer: &Issuer<'_, KeyPair>) -> Leaf {
    let key = KeyPair::generate().unwrap();
    (params().signed_by(&key, issuer).unwrap(), key)
}

fn self_signed() -> Leaf {
    let key = KeyPair::generate().unwrap();
    (params().self_signed(&key).unwrap(), key)
}

/// A server that knows one client, by a name of its certificate.
async fn started(text: &str) -> Running {
    let running = start(text).await;
    let certificate = Some(CertificateName::dns("client.example").unwrap());
    let new = NewClient {
        id: Some("partner".parse().unwrap()),
        authentication: vec![AuthenticationMethod::TlsClientAuth],
        proof: Proof { certificate, ..Proof::default() },
        secret: NewSecret::None,
        ..NewClient::default()
    };
    let manage = Manage::new(running.parts().clone());
    let config = configured(text);
    manage.create_client(&config.realm("main").unwrap().realm, new).await.unwrap();
    running
}

fn request(headers: &str) -> String {
    let body = "grant_type=client_credentials&client_id=partner";
    format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Waits until the server has heard of the client.
async fn known(mut look: impl AsyncFnMut() -> Answer) {
    within_patience(async || (look().await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_connections_certificate_is_its_callers_and_a_header_changes_nothing() {
    let stage = Stage::new();
    let clients = stage.add_client_authority("ca.pem");
    let optional = stage.asking_clients("ca.pem");
    let text = format!(
        "[server]\nclient_certificate_header = {{ format = \"rfc9440\", chain = \"verified\" }}\n{}",
        stage.section(&optional, MAIN)
    );
    let running = started(&text).await;
    let good = signed(&clients);
    let ask_as = async |leaf: Option<&Leaf>, headers: &str| {
        let stream = stage.connect_as(running.public_address(), leaf).await.unwrap();
        let mut line = Line::over(stream);
        line.send(&request(headers)).await;
        line.answer().await
    };
    known(async || ask_as(Some(&good), "").await).await;
    let spoofed = format!("Client-Cert: :{}:\r\n", STANDARD.encode(good.0.der()));
    for (what, leaf, headers) in [
        ("nothing", None, ""),
        ("the header of nobody", None, spoofed.as_str()),
        ("a self-signed certificate", Some(&self_signed()), ""),
        ("a self-signed certificate and the header", Some(&self_signed()), spoofed.as_str()),
        ("a certificate of somebody else", Some(&signed(&stage.authority)), ""),
    ] {
        let answer = ask_as(leaf, headers).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert!(answer.body.contains("invalid_client"), "{what}: {}", answer.body);
    }
    running.stop().await;
}

#[tokio::test]
async fn what_a_trusted_proxy_passes_on_counts_as_it_answers_for_it() {
    let (cert, other) = (self_signed(), self_signed());
    let header = |leaf: &Leaf| format!("X-Cert: {}\r\n", STANDARD.encode(leaf.0.der()));
    let (good, twice) = (header(&cert), format!("{}{}", header(&cert), header(&other)));
    let text = |trusted: &str, chain: &str| {
        format!(
            "[server]\ntrusted_proxies = {trusted}\n[server.client_certificate_header]\n\
             format = \"der-base64\"\nname = \"X-Cert\"\nchain = \"{chain}\"\n{MAIN}"
        )
    };
    let running = started(&text("[\"127.0.0.1\"]", "verified")).await;
    let address = running.public_address();
    known(async || ask(address, &request(&good)).await).await;
    for (headers, status) in [
        ("", 401),
        ("X-Cert:\r\n", 401),
        (twice.as_str(), 400),
        ("X-Cert: bm90aGluZw==\r\n", 400),
        ("Client-Cert: :bm90aGluZw==:\r\n", 401),
    ] {
        let answer = ask(address, &request(headers)).await;
        assert_eq!(answer.status, status, "{headers}: {}", answer.body);
    }
    running.stop().await;

    for text in [text("[\"127.0.0.1\"]", "unverified"), text("[\"192.0.2.1\"]", "verified")] {
        let running = started(&text).await;
        let address = running.public_address();
        // Known is whom the refusal names a reason for; give it the time in which servers hear of clients.
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        assert_eq!(ask(address, &request(&good)).await.status, 401, "{text}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_proxys_own_certificate_is_never_its_callers() {
    let stage = Stage::new();
    let clients = stage.add_client_authority("ca.pem");
    let section = stage.section(&stage.asking_clients("ca.pem"), MAIN);
    let direct = started(&section).await;
    let good = signed(&clients);
    let ask_as = async |running: &Running| {
        let stream = stage.connect_as(running.public_address(), Some(&good)).await.unwrap();
        let mut line = Line::over(stream);
        line.send(&request("")).await;
        line.answer().await
    };
    known(async || ask_as(&direct).await).await;
    direct.stop().await;
    for header in ["", "client_certificate_header.format = \"rfc9440\"\n"] {
        let proxied =
            started(&format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{header}{section}"))
                .await;
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        assert_eq!(ask_as(&proxied).await.status, 401);
        proxied.stop().await;
    }
}
