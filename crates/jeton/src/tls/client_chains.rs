//! Which certificates clients may present, and which of their chains are verified.
//!
//! Any certificate may be presented: `self_signed_tls_client_auth` and certificate-bound tokens need no
//! authority (RFC 8705 sections 2.2 and 3). That the caller holds its key is proven in the handshake, always.
//! What the chain is worth is found out with the roots and revocation lists in force and kept beside the
//! certificate. Only a certificate that its authority has revoked is turned away at once.

use std::fmt;
use std::sync::Arc;

use jeton_engine::certificate::{Chain, ClientCertificate};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::provider;

/// The roots and revocation lists for clients' certificates.
pub(crate) struct ClientChains {
    /// Absent without roots: then no chain is verified.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientChains {
    /// Believes no authority.
    pub(crate) fn without_roots() -> Self {
        Self { verifier: None, algorithms: provider().signature_verification_algorithms }
    }

    /// Believes these roots. With revocation lists, each certificate of a chain needs one of its issuer
    /// that has not run out: who cannot say that a certificate is good does not say so.
    ///
    /// # Errors
    /// When there is no root or a list cannot be read.
    pub(crate) fn new(
        roots: RootCertStore,
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Self, VerifierBuilderError> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = builder.with_crls(lists).enforce_revocation_expiration();
        Ok(Self { verifier: Some(builder.build()?), ..Self::without_roots() })
    }

    /// What the chain is worth now.
    ///
    /// # Errors
    /// When it leads to one of the roots and one of its certificates has been revoked.
    fn chain(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Chain, Error> {
        let Some(verifier) = &self.verifier else { return Ok(Chain::Unverified) };
        match verifier.verify_client_cert(certificate, others, now) {
            Ok(_) => Ok(Chain::Verified),
            Err(Error::InvalidCertificate(CertificateError::Revoked)) => {
                Err(CertificateError::Revoked.into())
            }
            Err(error) => {
                tracing::debug!(%error, "the chain of a client's certificate is not verified");
                Ok(Chain::Unverified)
            }
        }
    }

    /// Reads what a client presented, its own certificate first.
    ///
    /// # Errors
    /// When it is no certificate or a revoked one.
    pub(crate) fn read(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertificate, Error> {
        let (own, others) = presented.split_first().ok_or(Error::NoCertificatesPresented)?;
        let chain = self.chain(own, others, now)?;
        ClientCertificate::from_der(own, chain).map_err(|_| CertificateError::BadEncoding.into())
    }
}

impl fmt::Debug for ClientChains {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientChains").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientChains {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client that heard of authorities would hold back a certificate of its own making
    /// (RFC 8446 section 4.2.4).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.chain(end_entity, intermediates, now)?;
        ClientCertificate::from_der(end_entity, Chain::Unverified)
            .map_err(|_| Error::from(CertificateError::BadEncoding))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
