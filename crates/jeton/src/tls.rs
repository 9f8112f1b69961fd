//! TLS on either side: which algorithms we speak, and with which certificate and key we show who we are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use jeton_engine::clock::Clock;

pub(crate) mod client;
mod client_chains;
pub(crate) mod handshake;
pub(crate) mod inspect;
#[cfg(test)]
#[expect(dead_code, reason = "tests of the command line use the rest")]
pub(crate) mod rehearsal;
pub(crate) mod reload;
pub(crate) mod server;
pub(crate) mod trouble;

/// TLS 1.3 where the other side can, else 1.2; nothing older (RFC 9325 section 3.1.1).
pub(crate) const VERSIONS: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// For TLS 1.2 just the four that RFC 9325 section 4.2 recommends, which are all that the FAPI 2.0
/// Security Profile section 5.2 permits: ephemeral keys, authenticated encryption. AES-128 goes first: it is as
/// strong as the key exchanges and certificates beside it, and processors have its SHA-256 built in, while
/// SHA-384 was a sixth of what a connection for one token took. Who wants AES-256 offers nothing else.
const CIPHER_SUITES: [SupportedCipherSuite; 7] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// The hybrid first, so that what is recorded today stays secret when quantum computers come.
const KEY_EXCHANGES: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// The cryptography of every TLS connection, in or out. It is handed to each configuration; none is
/// installed for the process, so that nobody gets another by accident.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: KEY_EXCHANGES.to_vec(),
        ..default_provider()
    })
}

/// The time that certificates are held against: our clock's.
#[derive(Debug)]
pub(crate) struct Now(pub(crate) Clock);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// Why a certificate, a key or roots cannot be used. Never says what stands in a key's file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    /// A file is something else than was expected.
    #[error("{} {problem}", path.display())]
    File { path: PathBuf, problem: &'static str },
    /// The key in the one file is not that of the certificate in the other.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    /// The certificates of a chain do not follow one another.
    #[error("{}: certificate {first} is not signed by certificate {second}, which follows it", path.display())]
    Order { path: PathBuf, first: usize, second: usize },
    /// A certificate's time is over.
    #[error("{}: certificate {number} expired at {at}", path.display())]
    Expired { path: PathBuf, number: usize, at: String },
    /// A certificate's time has not come.
    #[error("{}: certificate {number} is not valid before {at}", path.display())]
    NotYetValid { path: PathBuf, number: usize, at: String },
    /// An authority is expected and this is somebody else.
    #[error("{} holds a certificate that is not an authority's (basic constraints: CA)", path.display())]
    NoAuthority { path: PathBuf },
    /// There is nobody to trust.
    #[error("this machine has no root certificates, so no server can be trusted")]
    NoRoots,
    /// The TLS library refuses the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A certificate with what leads to its root, and its key: who we are.
pub(crate) struct Identity {
    /// The certificate first, then those that lead to its root.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// The certificate's private key.
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both from PEM files and makes sure that they belong together.
    ///
    /// # Errors
    /// When a file cannot be read, holds something else, or the key is another's.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::File {
            path: key.to_owned(),
            problem: "holds no private key: a PEM file with an unencrypted PRIVATE KEY is expected",
        })?;
        let identity = Self { chain, key: private };
        match CertifiedKey::from_der(
            identity.chain.clone(),
            identity.key.clone_key(),
            &default_provider(),
        ) {
            Ok(_) => Ok(identity),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })
            }
            Err(rustls::Error::InvalidCertificate(_)) => {
                let problem = "holds a certificate that cannot be understood";
                Err(TlsError::File { path: certificate.to_owned(), problem })
            }
            Err(_) => {
                let problem = "holds a private key of a kind that cannot be used";
                Err(TlsError::File { path: key.to_owned(), problem })
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The certificates of a PEM file, in its order; at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TlsError::File {
            path: path.to_owned(),
            problem: "holds no certificate: a PEM file with BEGIN CERTIFICATE is expected",
        }),
    }
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    std::fs::read(path).map(zeroize::Zeroizing::new).map_err(unreadable)
}
