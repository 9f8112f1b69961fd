//! Who is asking: where the caller is and which certificate it showed, to us or to a trusted proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use jeton_engine::certificate::ClientCertificate;
use jeton_engine::error::{Reason, Refusal};
use jeton_engine::request::Caller;

use super::Front;
use super::certificate_header::{self, Malformed};
use super::peer::{self, Peer};

/// Who is asking.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) source: IpAddr,
    certificate: Result<Option<Arc<ClientCertificate>>, Malformed>,
}

impl Asker {
    /// The one who sent a request with these headers.
    ///
    /// A trusted proxy asks for others. The certificate of its connection is its own and never theirs, whatever
    /// else it says or leaves out: otherwise whoever comes through it would pass for the proxy. Anybody
    /// else has the certificate of its connection, whatever its headers say.
    pub(crate) fn of(front: &Front, peer: &Peer, headers: &HeaderMap) -> Self {
        let trusted = &front.trusted_proxies;
        let source = peer::source(peer.address, headers, trusted);
        let is_proxy = peer::is_trusted(peer.address.ip().to_canonical(), trusted);
        let certificate = match (is_proxy, &front.certificate_header) {
            (false, _) => Ok(peer.certificate.clone()),
            (true, None) => Ok(None),
            (true, Some(header)) => {
                certificate_header::read(header, headers).map(|read| read.map(Arc::new))
            }
        };
        Self { source, certificate }
    }

    /// The one whose request a gateway asks about. Whatever the connection shows is the gateway's own,
    /// trusted or not.
    pub(crate) fn behind(front: &Front, gateway: SocketAddr, headers: &HeaderMap) -> Self {
        Self::of(front, &Peer { address: gateway, certificate: None }, headers)
    }

    /// In the engine's words.
    pub(crate) fn caller(&self) -> Caller<'_> {
        let certificate = self.certificate.as_ref().ok().and_then(Option::as_deref);
        Caller { certificate, ..Caller::from(self.source) }
    }

    /// Whether it is known who is asking. What a proxy says in a way that nobody understands must not pass
    /// for a caller without a certificate.
    pub(crate) fn known(&self) -> Result<(), Refusal> {
        match self.certificate {
            Ok(_) => Ok(()),
            Err(Malformed) => Err(Reason::CertificateMalformed.into()),
        }
    }
}
