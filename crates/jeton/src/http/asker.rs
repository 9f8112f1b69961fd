//! Who is asking: where the caller is and which certificate it showed, to us or to a trusted proxy.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use jeton_engine::certificate::ClientCertificate;
use jeton_engine::request::Caller;

use super::Front;
use super::peer::{self, Peer};

/// Who is asking.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) source: IpAddr,
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

impl Asker {
    /// The one who sent a request with these headers.
    ///
    /// A trusted proxy asks for others. The certificate of its connection is its own and never theirs, whatever
    /// else it says or leaves out: otherwise whoever comes through it would pass for the proxy.
    pub(crate) fn of(front: &Front, peer: &Peer, headers: &HeaderMap) -> Self {
        let trusted = &front.trusted_proxies;
        let source = peer::source(peer.address, headers, trusted);
        let certificate = match peer::is_trusted(peer.address.ip().to_canonical(), trusted) {
            true => None,
            false => peer.certificate.clone(),
        };
        Self { source, certificate }
    }

    /// In the engine's words.
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { certificate: self.certificate.as_deref(), ..Caller::from(self.source) }
    }
}
