//! TLS to the database: which servers are believed, and who can listen.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jeton_engine::store::Store as _;
use jeton_store::{OpenError, PostgresAddress, PostgresSettings, PostgresStore};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::server::Place;

/// An authority, and a file with its certificate.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: std::path::PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = directory.join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// Speaks TLS in front of the database, with a certificate for this host.
    async fn serve(&self, host: &str, upstream: SocketAddr) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, acceptor.clone(), upstream));
            }
        });
        address
    }
}

/// Answers the question for TLS (PostgreSQL's protocol, "SSL Session Encryption") and hands on what
/// comes decrypted; whoever does not ask is not served.
async fn forward(mut stream: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr) {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut asked = [0; 8];
    if stream.read_exact(&mut asked).await.is_err() || asked != SSL_REQUEST {
        return;
    }
    stream.write_all(b"S").await.unwrap();
    // A client that does not believe us goes away.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut upstream = TcpStream::connect(upstream).await.unwrap();
    // Either side may end it.
    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
}

/// Whether a store opens and works there.
async fn opens(place: &Place, at: SocketAddr, parameters: &str) -> bool {
    let url = place.url_at(&format!("localhost:{}", at.port()));
    let url = format!("{url}&{parameters}");
    let address = PostgresAddress::parse(&url, Path::new(".")).unwrap();
    match PostgresStore::open(&address, PostgresSettings::default()).await {
        Ok(store) => {
            store.check().await.unwrap();
            store.close().await;
            true
        }
        Err(error) => {
            assert!(matches!(error, OpenError::Unusable { .. }), "{error}");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn only_a_server_with_the_right_certificate_is_believed() {
    let directory = TempDir::new().unwrap();
    let place = Place::schema().await;
    let upstream = place.server_address().await;
    let ours = Authority::new(directory.path(), "ours");
    let theirs = Authority::new(directory.path(), "theirs");
    let localhost = ours.serve("localhost", upstream).await;
    let elsewhere = ours.serve("db.example.com", upstream).await;
    let stranger = theirs.serve("localhost", upstream).await;
    let root = format!("sslrootcert={}", ours.file.display());
    for (mode, at_localhost, at_elsewhere, at_stranger) in [
        ("verify-full", true, false, false),
        ("verify-ca", true, true, false),
        // Naming an authority means asking it.
        ("require", true, true, false),
        ("disable", false, false, false),
    ] {
        let parameters = format!("sslmode={mode}&{root}");
        assert_eq!(opens(&place, localhost, &parameters).await, at_localhost, "{mode}");
        assert_eq!(opens(&place, elsewhere, &parameters).await, at_elsewhere, "{mode}");
        assert_eq!(opens(&place, stranger, &parameters).await, at_stranger, "{mode}");
    }
    assert!(opens(&place, stranger, "sslmode=require").await, "nobody was asked");
    assert!(!opens(&place, localhost, "sslmode=verify-full").await, "the system knows it not");
    let theirs = format!("sslmode=verify-full&sslrootcert={}", theirs.file.display());
    assert!(!opens(&place, localhost, &theirs).await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_server_that_speaks_no_tls_is_not_spoken_to_where_it_must() {
    let place = Place::schema().await;
    let upstream = place.server_address().await;
    // The throwaway server has no certificate, and says so.
    assert!(!opens(&place, upstream, "sslmode=require").await);
    assert!(opens(&place, upstream, "sslmode=disable").await);
}

#[tokio::test]
async fn a_certificate_file_that_is_none_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "no certificate\n").unwrap();
    for parameters in [
        format!("sslrootcert={}", file.display()),
        format!("sslrootcert={}", directory.path().join("missing.pem").display()),
        format!("sslmode=require&sslcert={0}&sslkey={0}", file.display()),
    ] {
        let url = format!("postgres://jeton@db.example.com/auth?{parameters}");
        let address = PostgresAddress::parse(&url, Path::new(".")).unwrap();
        let error = PostgresStore::open(&address, PostgresSettings::default()).await.unwrap_err();
        assert!(error.to_string().contains(".pem") || error.to_string().contains("authority"));
    }
}
