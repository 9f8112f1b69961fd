//! TLS as a server: whom we show ourselves as and which client certificates we look at. Read from its
//! files whole or not at all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::certificate::ClientCertificate;
use jeton_engine::clock::{Clock, Time};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, VerifierBuilderError};
use rustls::time_provider::TimeProvider as _;
use rustls::{Error, RootCertStore, ServerConfig, ServerConnection};

use super::client_chains::ClientChains;
use super::{Identity, Now, TlsError, VERSIONS, certificates, inspect, provider, read};
use crate::config::{ClientCertificates, Tls};

/// The settings that name a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Certificate,
    Key,
    ClientCa,
    ClientCrls,
}

impl Named {
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Certificate => "server.tls.certificate",
            Self::Key => "server.tls.key",
            Self::ClientCa => "server.tls.client_ca",
            Self::ClientCrls => "server.tls.client_crls",
        }
    }
}

/// What is wrong with the files of one server, each with the setting that names it. At least one.
#[derive(Debug)]
pub struct FileProblems(pub(crate) Vec<(Named, TlsError)>);

impl fmt::Display for FileProblems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (named, error)) in self.0.iter().enumerate() {
            let between = if number > 0 { "; " } else { "" };
            write!(formatter, "{between}`{}`: {error}", named.setting())?;
        }
        Ok(())
    }
}

impl std::error::Error for FileProblems {}

/// One state of everything that the files say. Never changed, only replaced.
pub(crate) struct ServerSide {
    pub(crate) config: Arc<ServerConfig>,
    /// Absent when no certificate is asked for.
    clients: Option<Arc<ClientChains>>,
    now: Now,
    pub(crate) handshake_timeout: Duration,
    pub(crate) ends: Ends,
}

/// When files are to be replaced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The first of the chain's certificates to expire.
    pub(crate) certificate: Option<Time>,
    /// The first of the revocation lists.
    pub(crate) revocation_list: Option<Time>,
}

impl ServerSide {
    /// Reads every file.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read(tls: &Tls, clock: &Clock) -> Result<Self, FileProblems> {
        let identity = identity(tls, clock);
        let clients = match &tls.client_certificates {
            ClientCertificates::Off => Ok((None, None)),
            ClientCertificates::Optional { ca, crls } => chains(ca.as_deref(), crls)
                .map(|(chains, list_ends)| (Some(Arc::new(chains)), list_ends)),
        };
        let (identity, (clients, list_ends)) = match (identity, clients) {
            (Ok(identity), Ok(clients)) => (identity, clients),
            (identity, clients) => {
                let problems = identity.err().into_iter().chain(clients.err());
                return Err(FileProblems(problems.collect()));
            }
        };
        let ends =
            Ends { certificate: inspect::chain_end(&identity.chain), revocation_list: list_ends };
        let config = config(identity, clients.clone(), clock);
        let config = config.map_err(|error| FileProblems(vec![(Named::Certificate, error)]))?;
        Ok(Self {
            config: Arc::new(config),
            clients,
            now: Now(clock.clone()),
            handshake_timeout: tls.handshake_timeout,
            ends,
        })
    }

    /// The certificate that the client of a connection presented.
    ///
    /// It is looked at anew for a resumed session, which brings the certificate of the first handshake with
    /// it: the certificate may have run out since. (A session from before a change of the files
    /// cannot be resumed: each state has ticket keys of its own.)
    ///
    /// # Errors
    /// When it is no good any more.
    pub(crate) fn client_certificate(
        &self,
        connection: &ServerConnection,
    ) -> Result<Option<ClientCertificate>, Error> {
        let (Some(clients), Some(presented)) = (&self.clients, connection.peer_certificates())
        else {
            return Ok(None);
        };
        let now = self.now.current_time().ok_or(Error::FailedToGetCurrentTime)?;
        clients.read(presented, now).map(Some)
    }
}

fn config(
    Identity { chain, key }: Identity,
    clients: Option<Arc<ClientChains>>,
    clock: &Clock,
) -> Result<ServerConfig, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        Some(clients) => clients,
        None => Arc::new(NoClientAuth),
    };
    let builder = ServerConfig::builder_with_details(provider(), Arc::new(Now(clock.clone())));
    let mut config = builder
        .with_protocol_versions(VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    // Tickets alone, whose keys are changed every six hours and gone after twelve: nothing is kept here
    // that a flood of sessions could fill.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new()?;
    // Each is good for one connection (RFC 8446 appendix C.4), whose handshake brings the next. More would
    // be for clients that connect several times at once, which then make a full handshake more.
    config.send_tls13_tickets = 1;
    // What is sent along with the first packet can be replayed, and a token request must not be
    // (RFC 8446 section 8).
    config.max_early_data_size = 0;
    Ok(config)
}

fn identity(tls: &Tls, clock: &Clock) -> Result<Identity, (Named, TlsError)> {
    let of_certificate = |error| (Named::Certificate, error);
    let chain = certificates(&tls.certificate).map_err(of_certificate)?;
    // Before the key: what is out of order has the wrong key as well, and that would mislead.
    inspect::chain(&tls.certificate, &chain, clock.now()).map_err(of_certificate)?;
    Identity::read(&tls.certificate, &tls.key).map_err(|error| match &error {
        TlsError::Unreadable { path, .. } | TlsError::File { path, .. }
            if *path == tls.certificate =>
        {
            (Named::Certificate, error)
        }
        _ => (Named::Key, error),
    })
}

/// The chains of clients, and when the first revocation list is to be replaced.
fn chains(
    ca: Option<&Path>,
    crls: &[PathBuf],
) -> Result<(ClientChains, Option<Time>), (Named, TlsError)> {
    let Some(ca) = ca else { return Ok((ClientChains::without_roots(), None)) };
    let roots = roots(ca).map_err(|error| (Named::ClientCa, error))?;
    let mut lists = Vec::new();
    for path in crls {
        lists.extend(revocation_lists(path).map_err(|error| (Named::ClientCrls, error))?);
    }
    let list_ends = inspect::lists_end(&lists);
    let chains = ClientChains::new(roots, lists).map_err(|error| match (error, crls.first()) {
        (VerifierBuilderError::InvalidCrl(_), Some(path)) => {
            let problem =
                "or another of the lists holds a revocation list that cannot be understood";
            (Named::ClientCrls, TlsError::File { path: path.clone(), problem })
        }
        _ => (Named::ClientCa, TlsError::NoRoots),
    })?;
    Ok((chains, list_ends))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let problem = "holds a certificate that cannot be a root";
        let refused = |_| TlsError::File { path: path.to_owned(), problem };
        inspect::authority(path, &certificate)?;
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}

/// The revocation lists of a file, in PEM, or one in DER, as authorities publish them (RFC 5280 section 4.2.1.13).
pub(super) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let broken = || TlsError::File {
        path: path.to_owned(),
        problem: "holds no revocation list: a file with BEGIN X509 CRL, or one list in DER, is expected",
    };
    let found: Vec<_> = if bytes.starts_with(&[0x30]) {
        vec![CertificateRevocationListDer::from(bytes.to_vec())]
    } else {
        CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| broken())?
    };
    let readable = |list: &CertificateRevocationListDer<'_>| inspect::is_revocation_list(list);
    if found.is_empty() || !found.iter().all(readable) {
        return Err(broken());
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
