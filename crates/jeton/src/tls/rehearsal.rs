//! For tests: authorities that sign whatever a test needs, and a server on loopback that speaks TLS with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, StreamOwned};

/// An authority that signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Leaf {
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// What a certificate is for.
#[derive(Clone, Copy)]
pub(crate) enum Use {
    Server,
    Client,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The store that trusts this authority alone.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A server's certificate for these names and addresses, valid from 2000 to 3000.
    pub(crate) fn server(&self, names: &[&str]) -> Leaf {
        self.sign(names, Use::Server, (2000, 3000))
    }

    /// A certificate valid from the beginning of the one year to that of the other.
    pub(crate) fn sign(&self, names: &[&str], usage: Use, years: (i32, i32)) -> Leaf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "rehearsal");
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        params.insert_extended_key_usage(match usage {
            Use::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Use::Client => ExtendedKeyUsagePurpose::ClientAuth,
        });
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (certificate_pem, key_pem) = (certificate.pem(), key.serialize_pem());
        Leaf { certificate_pem, key_pem, certificate, key }
    }
}

impl Leaf {
    /// A server that shows this certificate, and asks for those of `clients` when there are any.
    pub(crate) fn config(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.certificate.der().clone()], key).unwrap())
    }
}

/// The connection on which an answer is written.
pub(crate) type Out<'a> = &'a mut dyn Write;

/// A server on loopback; one thread a connection, one request a connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Connections accepted, whatever became of them.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Heads and bodies of the requests that came.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request with what `answer` writes.
    pub(crate) fn start(
        config: Arc<ServerConfig>,
        answer: impl Fn(&str, Out<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), config, answer)
    }

    /// The same at this address; port 0 is any free one.
    pub(crate) fn start_at(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        answer: impl Fn(&str, Out<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
            stopped: Arc::default(),
        };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let (stopped, answer) = (server.stopped.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                connections.fetch_add(1, Ordering::SeqCst);
                let (config, requests, answer) = (config.clone(), requests.clone(), answer.clone());
                let Ok(stream) = stream else { return };
                std::thread::spawn(move || serve(stream, config, &requests, &*answer));
            }
        });
        server
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    requests: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str, Out<'_>) + Send + Sync),
) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    // Whoever does not trust us is gone after the handshake.
    let Some(request) = read_request(&mut stream) else { return };
    requests.lock().unwrap().push(request.clone());
    answer(&request, &mut stream);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

/// An answer with a length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}
