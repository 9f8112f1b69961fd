//! Proves that the public listener speaks TLS: with the certificate of the moment, under the same limits as
//! without it, and that nobody keeps others out by beginning handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jeton::serve::Running;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::started::{
    GROWTH, Line, PATIENCE, configured, get, growth_request, make_client, start, within_patience,
};

const JWKS: &str = "/.well-known/jwks.json";

/// A certificate and its key.
pub(crate) type Leaf = (rcgen::Certificate, KeyPair);

/// An authority and the folder in which a server finds its certificate.
pub(crate) struct Stage {
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self { authority: authority("servers"), folder: tempfile::tempdir().unwrap() };
        let (certificate, key) = stage.sign();
        stage.write("cert.pem", &certificate.pem());
        stage.write("key.pem", &key.serialize_pem());
        stage
    }

    fn sign(&self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap(), key)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn text(&self, more: &str) -> String {
        self.section(more, GROWTH)
    }

    pub(crate) fn section(&self, more: &str, realms: &str) -> String {
        let folder = self.folder.path().display();
        format!(
            "[server.tls]\ncertificate = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"\n{more}\n{realms}"
        )
    }

    /// A new authority for clients, its certificate in this file.
    pub(crate) fn add_client_authority(&self, name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let clients = authority("clients");
        self.write(name, &clients.pem());
        clients
    }

    /// The lines that ask clients for a certificate.
    pub(crate) fn asking_clients(&self, ca: &str) -> String {
        let folder = self.folder.path().display();
        format!("client_certificates = \"optional\"\nclient_ca = \"{folder}/{ca}\"")
    }

    async fn connect(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_with(address, version, &[], None).await
    }

    pub(crate) async fn connect_as(
        &self,
        address: SocketAddr,
        leaf: Option<&Leaf>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_with(address, &rustls::version::TLS13, &[], leaf).await
    }

    async fn connect_with(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
        leaf: Option<&Leaf>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match leaf {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        timeout(PATIENCE, connecting).await.expect("the handshake is over in time")
    }

    /// The certificate that is shown to a new connection.
    async fn shown(&self, running: &Running) -> CertificateDer<'static> {
        let stream = self.connect(running.public_address(), &rustls::version::TLS13).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}

#[tokio::test]
async fn tokens_are_issued_over_tls_1_3_and_1_2() {
    let stage = Stage::new();
    let text = stage.text("");
    let running = start(&text).await;
    let secret = make_client(&running, &text, "growth").await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let stream = stage.connect(running.public_address(), version).await.unwrap();
        let mut line = Line::over(stream);
        within_patience(async || {
            assert!(line.send(&growth_request("x", &secret)).await);
            (line.answer().await.status == 200).then_some(())
        })
        .await;
    }
    running.stop().await;
}

#[tokio::test]
async fn http_2_is_spoken_with_those_who_offer_it() {
    let stage = Stage::new();
    let running = start(&stage.text("")).await;
    let address = running.public_address();
    let stream = stage
        .connect_with(address, &rustls::version::TLS13, &["h2", "http/1.1"], None)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("https://localhost{JWKS}"));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    response.into_body().collect().await.unwrap();
    drop(sender);
    connection.await.unwrap().unwrap();

    let stream =
        stage.connect_with(address, &rustls::version::TLS13, &["http/1.1"], None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let refused = stage.connect_with(address, &rustls::version::TLS13, &["spdy/3"], None).await;
    assert!(refused.unwrap_err().to_string().contains("NoApplicationProtocol"));
    running.stop().await;
}

#[tokio::test]
async fn who_has_offered_http_2_is_not_answered_in_http_1() {
    let stage = Stage::new();
    let running = start(&stage.text("")).await;
    let address = running.public_address();
    for (offered, answers) in [("h2", false), ("http/1.1", true)] {
        let version = &rustls::version::TLS13;
        let stream = stage.connect_with(address, version, &[offered], None).await.unwrap();
        let mut line = Line::over(stream);
        line.send(&get(JWKS, "x").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(line.closed().await.contains("HTTP/1.1"), answers, "{offered}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_speak_tls_is_hung_up_on() {
    let stage = Stage::new();
    let running = start(&stage.text("")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&get(JWKS, "x")).await;
    assert!(!line.closed().await.contains("HTTP"));
    running.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let stage = Stage::new();
    let running = start(&stage.text("")).await;
    let first = stage.shown(&running).await;
    let stream = stage.connect(running.public_address(), &rustls::version::TLS13).await.unwrap();
    let mut old = Line::over(stream);
    old.send(&get(JWKS, "x")).await;
    assert_eq!(old.answer().await.status, 200);

    let (certificate, key) = stage.sign();
    stage.write("cert.pem", &certificate.pem());
    stage.write("key.pem", &key.serialize_pem());
    within_patience(async || (stage.shown(&running).await != first).then_some(())).await;
    assert_eq!(stage.shown(&running).await, *certificate.der());
    old.send(&get(JWKS, "x")).await;
    assert_eq!(old.answer().await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn half_of_a_change_changes_nothing_until_the_other_half_is_there() {
    let stage = Stage::new();
    let text = stage.text("");
    let running = start(&text).await;
    let first = stage.shown(&running).await;
    let (certificate, key) = stage.sign();
    let pem = certificate.pem();
    for half in [pem.split_at(pem.len() / 2).0, &pem] {
        stage.write("cert.pem", half);
        // Asked to read them at once, it says what is wrong; so no time has to pass here.
        let refused = running.reload(configured(&text)).await.unwrap_err().to_string();
        assert!(refused.contains("server.tls."), "{refused}");
        assert_eq!(stage.shown(&running).await, first);
    }
    stage.write("key.pem", &key.serialize_pem());
    assert_eq!(running.reload(configured(&text)).await.unwrap(), Vec::<&str>::new());
    assert_eq!(stage.shown(&running).await, *certificate.der());
    running.stop().await;
}

#[tokio::test]
async fn tls_is_not_turned_on_or_off_without_a_restart() {
    let stage = Stage::new();
    let running = start(&stage.text("")).await;
    let first = stage.shown(&running).await;
    assert_eq!(running.reload(configured(GROWTH)).await.unwrap(), ["server"]);
    assert_eq!(stage.shown(&running).await, first);
    running.stop().await;
}

#[tokio::test]
async fn handshakes_that_are_only_begun_do_not_keep_others_out() {
    let stage = Stage::new();
    let running = start(&stage.text("handshakes_max = 2\nhandshake_timeout = \"1h\"")).await;
    let address = running.public_address();
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(Line::open(address).await);
    }
    stage.connect(address, &rustls::version::TLS13).await.unwrap();
    // The oldest gave way.
    assert_eq!(silent[0].closed().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let stage = Stage::new();
    let running = start(&stage.text("handshake_timeout = \"1s\"")).await;
    let mut silent = Line::open(running.public_address()).await;
    assert_eq!(timeout(Duration::from_secs(10), silent.closed()).await.unwrap(), "");
    running.stop().await;
}
