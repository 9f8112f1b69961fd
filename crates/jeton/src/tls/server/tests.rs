//! Proves which handshakes succeed, what is known of a client after one, and what is said of files that
//! cannot be used. Both sides speak in memory, on a clock of their own.

use std::fs;

use jeton_engine::certificate::Chain;
use jeton_engine::clock::Time;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion,
    SupportedCipherSuite,
};

use super::*;

/// 2026-07-01T00:00:00Z
const NOW: i64 = 1_782_864_000;

struct Ca(CertifiedIssuer<'static, KeyPair>);

struct Leaf {
    pem: String,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: KeyPair,
    serial: Vec<u8>,
}

/// A certificate for clients, valid through 2026.
fn for_clients() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        Leaf::new(&params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn server(&self) -> Leaf {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        self.sign(&params)
    }

    /// A list that is good through 2026.
    fn list(&self, revoked: &[&Leaf]) -> String {
        self.list_between(revoked, (2026, 2027))
    }

    fn list_between(&self, revoked: &[&Leaf], (from, until): (i32, i32)) -> String {
        let at = date_time_ymd(from, 1, 1);
        let revoked = revoked.iter().map(|leaf| RevokedCertParams {
            serial_number: leaf.serial.clone().into(),
            revocation_time: at,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at,
            next_update: date_time_ymd(until, 1, 1),
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

impl Leaf {
    fn new(certificate: &rcgen::Certificate, key: KeyPair) -> Self {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
        let serial = parsed.raw_serial().to_vec();
        Self { pem: certificate.pem(), chain: vec![certificate.der().clone()], key, serial }
    }

    fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::new(&params.self_signed(&key).unwrap(), key)
    }
}

/// The files of a server in a folder of their own.
struct Stage {
    folder: tempfile::TempDir,
    ca: Ca,
    clients: Ca,
    clock: Clock,
}

impl Stage {
    fn new() -> Self {
        let (folder, ca) = (tempfile::tempdir().unwrap(), Ca::new("servers"));
        let stage = Self {
            folder,
            ca,
            clients: Ca::new("clients"),
            clock: Clock::fixed(Time::from_seconds(NOW)),
        };
        stage.write_server(&stage.ca.server());
        stage.write("ca.pem", &stage.clients.0.pem());
        stage
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn write_server(&self, leaf: &Leaf) {
        self.write("cert.pem", &leaf.pem);
        self.write("key.pem", &leaf.key.serialize_pem());
    }

    fn settings(&self, crls: &[&str]) -> Tls {
        let path = |name: &str| self.folder.path().join(name);
        Tls {
            certificate: path("cert.pem"),
            key: path("key.pem"),
            client_certificates: ClientCertificates::Optional {
                ca: Some(path("ca.pem")),
                crls: crls.iter().map(|name| path(name)).collect(),
            },
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 10,
        }
    }

    fn read(&self, crls: &[&str]) -> Result<ServerSide, FileProblems> {
        ServerSide::read(&self.settings(crls), &self.clock)
    }

    fn side(&self) -> ServerSide {
        self.read(&[]).unwrap()
    }

    fn problem(&self) -> String {
        self.read(&[])
            .map(|_| ())
            .unwrap_err()
            .to_string()
            .replace(self.folder.path().to_str().unwrap(), "")
    }

    fn client(
        &self,
        leaf: Option<&Leaf>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        self.client_with(provider(), leaf, version)
    }

    fn client_with(
        &self,
        provider: Arc<CryptoProvider>,
        leaf: Option<&Leaf>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.0.der().clone()).unwrap();
        let builder =
            ClientConfig::builder_with_details(provider, Arc::new(Now(self.clock.clone())));
        let builder =
            builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
        Arc::new(match leaf {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(leaf.chain.clone(), key).unwrap()
            }
        })
    }
}

const VERSIONS_SPOKEN: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];

/// Lets both talk until neither has anything to say.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    loop {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let said = wire.len();
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        if said == 0 && wire.is_empty() {
            return Ok(());
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
}

/// A whole handshake; what the server knows of the client after it.
fn met(
    side: &ServerSide,
    client: &Arc<ClientConfig>,
) -> Result<(ServerConnection, Option<ClientCertificate>), Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&side.config)).unwrap();
    shake(&mut client, &mut server)?;
    assert!(!server.is_handshaking());
    let certificate = side.client_certificate(&server)?;
    Ok((server, certificate))
}

fn chain_of(side: &ServerSide, client: &Arc<ClientConfig>) -> Chain {
    met(side, client).unwrap().1.expect("a certificate was presented").chain()
}

#[test]
fn tls_1_3_is_preferred_with_the_hybrid_key_exchange_and_1_2_is_spoken() {
    let (stage, name) = (Stage::new(), ServerName::try_from("localhost").unwrap());
    let side = stage.side();
    let config =
        ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(stage.ca.0.der().clone()).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    config.time_provider = Arc::new(Now(stage.clock.clone()));
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&side.config)).unwrap();
    shake(&mut client, &mut server).unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));

    let (server, certificate) = met(&side, &stage.client(None, &rustls::version::TLS12)).unwrap();
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    assert_eq!(certificate, None);
}

/// A ClientHello of TLS 1.2 or older, with these suites and nothing that 1.3 needs.
fn old_hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let signatures = [0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let points = [0, 11, 0, 2, 1, 0];
    let extensions = [&signatures[..], &groups, &points].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [
        &version[..],
        &[7; 32],
        &[0],
        &length(&suites),
        &suites,
        &[1, 0],
        &length(&extensions),
        &extensions,
    ]
    .concat();
    let message = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&message), &message].concat()
}

#[test]
fn old_versions_and_weak_suites_are_refused() {
    const ECDHE_ECDSA_AES_128_GCM: u16 = 0xc02b;
    const ECDHE_ECDSA_AES_128_CBC: u16 = 0xc023;
    const RSA_AES_128_GCM: u16 = 0x009c;
    const RSA_AES_128_CBC: u16 = 0x002f;
    let side = Stage::new().side();
    let heard = |version, suites: &[u16]| {
        let mut server = ServerConnection::new(Arc::clone(&side.config)).unwrap();
        server.read_tls(&mut old_hello(version, suites).as_slice()).unwrap();
        server.process_new_packets().map(|_| ())
    };
    heard([3, 3], &[ECDHE_ECDSA_AES_128_GCM]).unwrap();
    for (version, suites) in [
        ([3, 3], &[ECDHE_ECDSA_AES_128_CBC, RSA_AES_128_GCM, RSA_AES_128_CBC][..]),
        ([3, 2], &[ECDHE_ECDSA_AES_128_GCM]),
        ([3, 1], &[RSA_AES_128_CBC]),
        ([3, 0], &[RSA_AES_128_CBC]),
    ] {
        let refused = heard(version, suites).unwrap_err();
        assert!(matches!(refused, Error::PeerIncompatible(_)), "{version:?} {refused:?}");
    }
}

#[test]
fn only_ephemeral_authenticated_encryption_is_offered() {
    let ephemeral = |suite: &SupportedCipherSuite| format!("{:?}", suite.suite());
    for suite in &provider().cipher_suites {
        let name = ephemeral(suite);
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
        assert!(name.contains("_GCM_") || name.contains("_CHACHA20_"), "{name}");
    }
}

#[test]
fn aes_128_is_preferred_and_aes_256_is_spoken() {
    let (stage, tls13) = (Stage::new(), &rustls::version::TLS13);
    let side = stage.side();
    let agreed = |offered: &[SupportedCipherSuite]| {
        let offers = CryptoProvider { cipher_suites: offered.to_vec(), ..(*provider()).clone() };
        let (server, _) = met(&side, &stage.client_with(Arc::new(offers), None, tls13)).unwrap();
        server.negotiated_cipher_suite().unwrap().suite()
    };
    let (aes_128, aes_256) = (TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384);
    assert_eq!(agreed(&[aes_256, aes_128]), aes_128.suite());
    assert_eq!(agreed(&[aes_256]), aes_256.suite());
}

#[test]
fn whom_the_authority_vouches_for_is_verified_and_everybody_else_is_not() {
    let stage = Stage::new();
    let side = stage.side();
    let changed = |change: fn(&mut CertificateParams)| {
        let mut params = for_clients();
        change(&mut params);
        params
    };
    let expired = changed(|params| params.not_after = date_time_ymd(2026, 2, 1));
    let early = changed(|params| params.not_before = date_time_ymd(2026, 12, 1));
    let of_servers =
        changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let authority = changed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    // The same name, another key.
    let impostor = Ca::new("clients");
    for (what, leaf, chain) in [
        ("of the authority", stage.clients.sign(&for_clients()), Chain::Verified),
        ("expired", stage.clients.sign(&expired), Chain::Unverified),
        ("not valid yet", stage.clients.sign(&early), Chain::Unverified),
        ("for servers", stage.clients.sign(&of_servers), Chain::Unverified),
        ("of another authority", Ca::new("others").sign(&for_clients()), Chain::Unverified),
        ("of an impostor", impostor.sign(&for_clients()), Chain::Unverified),
        ("self-signed", Leaf::self_signed(&for_clients()), Chain::Unverified),
        ("self-signed as an authority", Leaf::self_signed(&authority), Chain::Unverified),
        ("of the servers' authority", stage.ca.sign(&for_clients()), Chain::Unverified),
    ] {
        for version in VERSIONS_SPOKEN {
            let client = stage.client(Some(&leaf), version);
            assert_eq!(chain_of(&side, &client), chain, "{what} {version:?}");
        }
    }
}

#[test]
fn without_an_authority_nobody_is_verified_and_when_off_nobody_is_asked() {
    let stage = Stage::new();
    let client = stage.client(Some(&stage.clients.sign(&for_clients())), &rustls::version::TLS13);
    let mut settings = stage.settings(&[]);
    settings.client_certificates = ClientCertificates::Optional { ca: None, crls: Vec::new() };
    let side = ServerSide::read(&settings, &stage.clock).unwrap();
    assert_eq!(chain_of(&side, &client), Chain::Unverified);
    settings.client_certificates = ClientCertificates::Off;
    let side = ServerSide::read(&settings, &stage.clock).unwrap();
    assert_eq!(met(&side, &client).unwrap().1, None);
}

/// Signs the handshake with a key that is not the certificate's.
#[test]
fn who_does_not_hold_the_key_of_a_certificate_does_not_get_through() {
    let stage = Stage::new();
    let side = stage.side();
    for (mine, theirs) in [
        (Leaf::self_signed(&for_clients()), Leaf::self_signed(&for_clients())),
        (stage.clients.sign(&for_clients()), stage.clients.sign(&for_clients())),
    ] {
        for version in VERSIONS_SPOKEN {
            let client = stage.client(None, version);
            let mut client = ClientConfig::clone(&client);
            let key = PrivateKeyDer::try_from(mine.key.serialize_der()).unwrap();
            let key = provider().key_provider.load_private_key(key).unwrap();
            let stolen = rustls::sign::CertifiedKey::new(theirs.chain.clone(), key);
            client.client_auth_cert_resolver =
                Arc::new(rustls::sign::SingleCertAndKey::from(stolen));
            let refused = met(&side, &Arc::new(client)).map(|_| ()).unwrap_err();
            let bad = Error::InvalidCertificate(rustls::CertificateError::BadSignature);
            assert_eq!(refused, bad, "{version:?}");
        }
    }
}

#[test]
fn a_revoked_certificate_is_turned_away_and_a_list_that_says_nothing_verifies_nobody() {
    let stage = Stage::new();
    let (good, bad) = (stage.clients.sign(&for_clients()), stage.clients.sign(&for_clients()));
    stage.write("crl.pem", &stage.clients.list(&[&bad]));
    let side = stage.read(&["crl.pem"]).unwrap();
    for version in VERSIONS_SPOKEN {
        assert_eq!(chain_of(&side, &stage.client(Some(&good), version)), Chain::Verified);
        let refused = met(&side, &stage.client(Some(&bad), version)).map(|_| ()).unwrap_err();
        assert_eq!(refused, Error::InvalidCertificate(rustls::CertificateError::Revoked));
    }
    let good = stage.client(Some(&good), &rustls::version::TLS13);
    stage.write("crl.pem", &Ca::new("others").list(&[]));
    assert_eq!(chain_of(&stage.read(&["crl.pem"]).unwrap(), &good), Chain::Unverified);
    stage.write("crl.pem", &stage.clients.list(&[]));
    let side = stage.read(&["crl.pem"]).unwrap();
    assert_eq!(chain_of(&side, &good), Chain::Verified);
    // A list that was to be replaced says nothing any more.
    stage.write("crl.pem", &stage.clients.list_between(&[], (2025, 2026)));
    assert_eq!(chain_of(&stage.read(&["crl.pem"]).unwrap(), &good), Chain::Unverified);
}

#[test]
fn each_handshake_brings_one_ticket_and_each_ticket_spares_one() {
    let stage = Stage::new();
    let (side, config) = (stage.side(), stage.client(None, &rustls::version::TLS13));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&side.config)).unwrap();
        shake(&mut client, &mut server).unwrap();
        assert_eq!(server.handshake_kind(), Some(kind));
        assert_eq!(client.tls13_tickets_received(), 1);
    }
}

#[test]
fn a_resumed_session_is_held_against_the_time_at_which_it_resumes() {
    let stage = Stage::new();
    let mut params = for_clients();
    params.not_after =
        date_time_ymd(2026, 7, 1).saturating_add(Duration::from_secs(3600).try_into().unwrap());
    let leaf = stage.clients.sign(&params);
    for version in VERSIONS_SPOKEN {
        stage.clock.set(Time::from_seconds(NOW));
        let (side, client) = (stage.side(), stage.client(Some(&leaf), version));
        assert_eq!(chain_of(&side, &client), Chain::Verified);
        let (server, certificate) = met(&side, &client).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        assert_eq!(certificate.unwrap().chain(), Chain::Verified);

        stage.clock.set(Time::from_seconds(NOW + 3601));
        let (server, certificate) = met(&side, &client).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        let certificate = certificate.unwrap();
        assert_eq!(certificate.chain(), Chain::Unverified);
        assert!(!certificate.is_valid_at(stage.clock.now()));
    }
}

#[test]
fn no_session_survives_a_change_of_the_files() {
    let stage = Stage::new();
    let leaf = stage.clients.sign(&for_clients());
    for version in VERSIONS_SPOKEN {
        let client = stage.client(Some(&leaf), version);
        assert_eq!(chain_of(&stage.side(), &client), Chain::Verified);
        // A certificate that its authority revokes, and an authority that is taken out.
        stage.write("crl.pem", &stage.clients.list(&[&leaf]));
        let refused = met(&stage.read(&["crl.pem"]).unwrap(), &client).map(|_| ()).unwrap_err();
        assert_eq!(refused, Error::InvalidCertificate(rustls::CertificateError::Revoked));
        stage.write("ca.pem", &Ca::new("others").0.pem());
        let (server, certificate) = met(&stage.side(), &client).unwrap();
        assert_eq!(server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(certificate.unwrap().chain(), Chain::Unverified);
        stage.write("ca.pem", &stage.clients.0.pem());
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let stage = Stage::new();
    let (good, other) = (stage.ca.server(), stage.ca.server());
    stage.write("key.pem", &other.key.serialize_pem());
    stage.write("cert.pem", &good.pem);
    assert_eq!(
        stage.problem(),
        "`server.tls.key`: the key in /key.pem is not that of the certificate in /cert.pem"
    );
    stage.write("key.pem", &good.key.serialize_pem());
    stage.write("cert.pem", &format!("{}{}", stage.ca.0.pem(), good.pem));
    assert_eq!(
        stage.problem(),
        "`server.tls.certificate`: /cert.pem: certificate 1 is not signed by certificate 2, which follows it"
    );
    stage.write("cert.pem", &format!("{}{}", good.pem, stage.ca.0.pem()));
    stage.side();
    stage.write("cert.pem", good.pem.split_at(good.pem.len() / 2).0);
    assert!(
        stage.problem().starts_with("`server.tls.certificate`: /cert.pem holds no certificate")
    );
    stage.write("cert.pem", &good.key.serialize_pem());
    assert!(
        stage.problem().starts_with("`server.tls.certificate`: /cert.pem holds no certificate")
    );
    stage.write("cert.pem", &good.pem);
    stage.write("key.pem", &good.pem);
    assert!(stage.problem().starts_with("`server.tls.key`: /key.pem holds no private key"));
    stage.write("key.pem", &good.key.serialize_pem());
    stage.write("ca.pem", &good.pem);
    assert!(stage.problem().starts_with(
        "`server.tls.client_ca`: /ca.pem holds a certificate that is not an authority's"
    ));
    stage.write("ca.pem", "nothing");
    stage.write("crl.pem", "nothing");
    fs::remove_file(stage.folder.path().join("cert.pem")).unwrap();
    let problems = stage.problem();
    assert!(problems.contains("`server.tls.certificate`: /cert.pem cannot be read"), "{problems}");
    assert!(
        problems.contains("`server.tls.client_ca`: /ca.pem holds no certificate"),
        "{problems}"
    );
}

#[test]
fn a_certificate_out_of_its_time_and_a_broken_list_are_refused() {
    let stage = Stage::new();
    stage.clock.set(Time::from_seconds(1_798_761_601));
    assert_eq!(
        stage.problem(),
        "`server.tls.certificate`: /cert.pem: certificate 1 expired at 2027-01-01T00:00:00Z"
    );
    stage.clock.set(Time::from_seconds(1_735_689_600));
    assert_eq!(
        stage.problem(),
        "`server.tls.certificate`: /cert.pem: certificate 1 is not valid before 2026-01-01T00:00:00Z"
    );
    stage.clock.set(Time::from_seconds(NOW));
    for broken in ["nothing", "0", &stage.ca.0.pem()] {
        stage.write("crl.pem", broken);
        let problems = stage.read(&["crl.pem"]).map(|_| ()).unwrap_err().to_string();
        assert!(problems.contains("`server.tls.client_crls`"), "{problems}");
        assert!(problems.contains("holds no revocation list"), "{problems}");
    }
}
