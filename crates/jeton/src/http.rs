//! HTTP: the public listener. A path is a mount, whose dialect is spoken there, or one of the
//! endpoints that every realm has.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use ipnet::IpNet;
use jeton_dialect::Answer;
use jeton_engine::engine::Engine;
use jeton_engine::error::Fault;
use jeton_engine::request::AuthenticationMethod;

use crate::config::{RealmConfig, Server};

mod alarm;
mod asker;
mod body;
pub(crate) mod certificate_header;
mod connection;
mod conversation;
mod document;
pub(crate) mod endpoint;
mod forward_auth;
mod introspect;
mod jwks;
mod line;
pub(crate) mod listener;
mod metadata;
mod mistakes;
mod original;
pub(crate) mod peer;
mod places;
mod proof;
mod question;
mod refusal;
mod registration;
mod revoke;
pub(crate) mod route;
mod secured;
mod speak;
mod together;
mod token;
pub(crate) mod traffic;

use asker::Asker;
use body::BodyLimits;
use certificate_header::CertificateHeader;
use endpoint::Endpoint;
use listener::{Answers, ListenerLimits};
use mistakes::Mistakes;
use peer::Peer;
use places::Places;
use route::{Found, Path, Routes, Site};
use token::{After, Told};
use tokio::time::Instant;
use traffic::{Meter, Outcome, RequestReadings};

/// Everything that answers on the public listener.
pub(crate) struct Front {
    engine: Arc<Engine>,
    routes: ArcSwap<Routes>,
    /// The ways in which clients can authenticate by certificate.
    by_certificate: &'static [AuthenticationMethod],
    trusted_proxies: Vec<IpNet>,
    certificate_header: Option<CertificateHeader>,
    body: BodyLimits,
    in_flight: Places,
    mistakes: Mistakes,
    /// Requests that belong to no realm.
    of_nobody: Meter,
}

impl Front {
    /// The front of these realms, which the engine must know already.
    pub(crate) fn new(
        server: &Server,
        realms: &[RealmConfig],
        engine: Arc<Engine>,
    ) -> Result<Self, Fault> {
        let by_certificate = server.certificate_methods();
        Ok(Self {
            routes: ArcSwap::from_pointee(Routes::new(realms, &engine, by_certificate, None)?),
            by_certificate,
            engine,
            trusted_proxies: server.trusted_proxies.clone(),
            certificate_header: server.certificate_header.clone(),
            body: BodyLimits { bytes_max: server.body_bytes_max, timeout: server.body_timeout },
            in_flight: Places::new(server.requests_in_flight_max),
            mistakes: Mistakes::default(),
            of_nobody: Meter::default(),
        })
    }

    /// Serves these realms from now on; requests that have begun are answered as they began.
    pub(crate) fn reroute(&self, realms: &[RealmConfig]) -> Result<(), Fault> {
        let before = self.routes.load();
        let routes = Routes::new(realms, &self.engine, self.by_certificate, Some(&**before))?;
        self.routes.store(Arc::new(routes));
        Ok(())
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<RequestReadings> {
        let routes = self.routes.load();
        let mut sites: Vec<_> = routes.sites().collect();
        sites.sort_by_key(|site| site.realm.realm().name.clone());
        let of_realms = sites.iter().flat_map(|site| site.meters.read(&site.realm.realm().name));
        of_realms.chain([RequestReadings::of_nobody(&self.of_nobody)]).collect()
    }

    /// How many requests are being decided right now, and how many may be at most.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        self.in_flight.read()
    }

    /// Where a request belongs.
    fn find(&self, request: &Request<Incoming>) -> Result<Found, Nowhere> {
        if has_other_coding(request.headers()) {
            return Err(Nowhere::OtherCoding);
        }
        let authority = authority(request)?;
        let found = self.routes.load().find(request.uri().path(), authority);
        found.ok_or(Nowhere::Unknown)
    }

    /// The pattern of the path that a request is for, as configuration has it; none where nothing is.
    pub(crate) fn route(&self, request: &Request<Incoming>) -> Option<String> {
        let authority = authority(request).ok()?;
        let found = self.routes.load().find(request.uri().path(), authority)?;
        match found.path {
            Path::Known => found.mount().ok().map(|mount| mount.path.clone()),
            Path::Endpoint(endpoint) => Some(format!("{}{}", found.site.prefix(), endpoint.path())),
            Path::Unknown => None,
        }
    }

    async fn answer_mount(
        &self,
        found: &Found,
        request: &mut Request<Incoming>,
        peer: &Peer,
    ) -> (Response<Full<Bytes>>, Outcome) {
        let version = request.version();
        let asker = Asker::of(self, peer, request.headers());
        let answering = pin!(token::answer(self, found, request, &asker));
        // One bad request must not end the server, nor leave its caller without an answer.
        let fault = match AssertUnwindSafe(answering).catch_unwind().await {
            Ok(Ok(Told { answer, after, outcome })) => {
                return (response(answer, after, version), outcome);
            }
            Ok(Err(fault)) => fault,
            Err(_) => Fault::Impossible("a request made the server panic; the log says where"),
        };
        let Ok(mount) = found.mount() else {
            return (plain(StatusCode::INTERNAL_SERVER_ERROR), Outcome::Failed);
        };
        let decision = self.engine.fail(&found.site.realm, &mount.terms, asker.caller(), fault);
        // A fault never challenges, so what the request's headers were does not matter.
        let answer = mount.dialect.write(&decision, &HeaderMap::new());
        (response(answer, After::Close, version), Outcome::Failed)
    }

    async fn answer_endpoint(
        &self,
        site: &Site,
        endpoint: Endpoint,
        request: &mut Request<Incoming>,
        peer: &Peer,
    ) -> Response<Full<Bytes>> {
        let version = request.version();
        let answering = pin!(endpoint::answer(self, site, endpoint, request, peer));
        match AssertUnwindSafe(answering).catch_unwind().await {
            Ok((response, after)) => closing(response, after, version),
            Err(_) => {
                let source = peer.address.ip().to_canonical();
                let fault =
                    Fault::Impossible("a request made the server panic; the log says where");
                let failed = self.engine.fail(&site.realm, &site.terms, source.into(), fault);
                let mut response = plain(StatusCode::INTERNAL_SERVER_ERROR);
                refusal::put(response.headers_mut(), refusal::REFERENCE, failed.reference.as_str());
                closing(response, After::Close, version)
            }
        }
    }
}

impl Answers for Front {
    async fn answer(&self, request: &mut Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let found = match self.find(request) {
            Ok(found) => found,
            Err(nowhere) => {
                self.of_nobody.begin(began).end(Outcome::Refused);
                return nowhere.answer(request.version());
            }
        };
        let passing = found.meter().begin(began);
        let (response, outcome) = match found.path {
            Path::Endpoint(endpoint) => {
                let answering = pin!(self.answer_endpoint(&found.site, endpoint, request, peer));
                let response = answering.await;
                let outcome = Outcome::told_by(response.status());
                (response, outcome)
            }
            Path::Known | Path::Unknown => pin!(self.answer_mount(&found, request, peer)).await,
        };
        passing.end(outcome);
        response
    }
}

/// The limits of the public listener.
pub(crate) fn listener_limits(server: &Server) -> ListenerLimits {
    ListenerLimits {
        patience: connection::Patience {
            header: server.header_timeout,
            write: server.write_timeout,
            idle: server.idle_timeout,
        },
        header_bytes_max: server.header_bytes_max,
        headers_max: server.headers_max,
        connections_max: server.connections_max,
    }
}

/// Whether the body comes in a transfer coding besides `chunked`, which nobody would take off: a proxy
/// that does would see another body than we (RFC 9112 section 6.1).
fn has_other_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let only = codings.next();
    codings.next().is_some()
        || only
            .is_some_and(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Why a request belongs to no realm.
enum Nowhere {
    /// Its body comes in a coding that nobody would take off.
    OtherCoding,
    /// No `Host` field where there must be one, more than one, or one that is no host.
    HostUnclear,
    /// No realm has its path.
    Unknown,
}

impl Nowhere {
    fn answer(self, version: Version) -> Response<Full<Bytes>> {
        match self {
            Self::OtherCoding => closing(plain(StatusCode::BAD_REQUEST), After::Close, version),
            Self::HostUnclear => plain(StatusCode::BAD_REQUEST),
            Self::Unknown => plain(StatusCode::NOT_FOUND),
        }
    }
}

/// The host that was asked for: the target's own (RFC 9112 section 3.2.2; `:authority` in HTTP/2), otherwise
/// the `Host` header's.
fn authority(request: &Request<Incoming>) -> Result<Option<&str>, Nowhere> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    // Two, or something else than a host, would let a proxy and us believe different ones (RFC 9112
    // section 3.2). Only HTTP/1.0 may do without.
    if hosts.next().is_some() || (host.is_none() && request.version() == Version::HTTP_11) {
        return Err(Nowhere::HostUnclear);
    }
    if host.is_some_and(|host| !host.as_bytes().iter().all(|byte| may_stand_in_host(*byte))) {
        return Err(Nowhere::HostUnclear);
    }
    let of_target = request.uri().authority().map(http::uri::Authority::as_str);
    Ok(of_target.or_else(|| host?.to_str().ok()))
}

/// The characters of a host and a port (RFC 3986 sections 3.2.2 and 3.2.3).
fn may_stand_in_host(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!'
        | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']')
}

fn response(answer: Answer, after: After, version: Version) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    closing(response, after, version)
}

/// The response, and whether the connection ends with it.
fn closing(
    mut response: Response<Full<Bytes>>,
    after: After,
    version: Version,
) -> Response<Full<Bytes>> {
    // HTTP/2 has no such header and no need of it: each request is a stream of its own.
    if after == After::Close && version != Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer where no dialect is spoken.
fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let body = match status {
        StatusCode::NOT_FOUND => "{\"error\":\"not_found\"}",
        StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED => {
            "{\"error\":\"invalid_request\"}"
        }
        _ => "{\"error\":\"server_error\"}",
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of what `answer` returns.
    fn room<'a, F>(_answer: impl Fn(&'a Front, &'a mut Request<Incoming>, &'a Peer) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_a_request_carries_stays_small() {
        let bytes = room(Front::answer);
        assert!(bytes <= 2048, "{bytes} bytes are moved about and held while a request waits");
    }
}
