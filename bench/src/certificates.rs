//! Certificates for a run: a server's, a client's, and how the load generator speaks TLS.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jeton_jose::{Algorithm, VerifyingKey};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider as Library;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;

/// Certificates, and keys (P-256) beside them.
pub(crate) struct Certificates {
    client: CertificateDer<'static>,
    client_key: Vec<u8>,
    /// The client's public key.
    pub(crate) client_jwk: Value,
}

impl Certificates {
    /// What a configuration says to use them.
    pub(crate) const SECTION: &str = "\n[server.tls]\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n\
         client_certificates = \"optional\"\nclient_ca = \"tls/client-ca.pem\"\n";
    /// The host name in the client's certificate.
    pub(crate) const CLIENT_NAME: &str = "client.example";

    /// Makes them, below a folder.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("tls");
        fs::create_dir_all(&folder)?;
        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        fs::write(folder.join("cert.pem"), server.self_signed(&key)?.pem())?;
        fs::write(folder.join("key.pem"), key.serialize_pem())?;

        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        fs::write(folder.join("client-ca.pem"), authority.pem())?;
        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::new(vec![Self::CLIENT_NAME.to_owned()])?;
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&client_key, &authority)?.der().clone();
        let public = VerifyingKey::from_public_pem(Algorithm::Es256, &client_key.public_key_pem())?;
        let client_jwk = serde_json::from_str(&public.to_jwk().unwrap_or_default())?;
        Ok(Self { client, client_key: client_key.serialize_der(), client_jwk })
    }

    /// TLS 1.3 with X25519, a full handshake each time; `with_certificate` presents the client's.
    ///
    /// # Errors
    /// When the library refuses it.
    pub(crate) fn client(&self, with_certificate: bool) -> anyhow::Result<Arc<ClientConfig>> {
        let library = Arc::new(Library {
            kx_groups: vec![rustls::crypto::aws_lc_rs::kx_group::X25519],
            ..rustls::crypto::aws_lc_rs::default_provider()
        });
        let schemes = library.signature_verification_algorithms.supported_schemes();
        let builder = ClientConfig::builder_with_provider(library)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody { schemes }));
        let mut config = if with_certificate {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.client_key.clone()));
            builder.with_client_auth_cert(vec![self.client.clone()], key)?
        } else {
            builder.with_no_client_auth()
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Believes every server. Checking is the client's work, not what is measured, and the generator must not
/// be slower than the server.
#[derive(Debug)]
struct Anybody {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
