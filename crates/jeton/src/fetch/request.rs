//! One request on its guarded way: look up, check, connect to what was checked, ask, read within bounds.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_ENCODING, HOST, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jeton_engine::clock::Clock;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::address::Reachable;
use super::resolver::Resolver;
use super::target::Target;
use super::{Bounds, FetchError, freshness};
use crate::tls::{TlsError, client, trouble};

/// The most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;
/// The longest head of an answer, in bytes, and its most header fields.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;

/// Makes requests, a bounded number at one time.
pub(super) struct Requests {
    bounds: Bounds,
    reachable: Reachable,
    resolver: Resolver,
    clock: Clock,
    places: Semaphore,
    tls: OnceLock<Arc<ClientConfig>>,
}

/// An answer with status 200.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// For how long it says that it may be used, if it says so.
    pub(super) fresh_for: Option<Duration>,
}

impl Requests {
    /// Roots are read when they are first needed: most servers fetch nothing, and start faster so.
    ///
    /// # Errors
    /// When the file with further roots cannot be used.
    pub(super) fn new(bounds: Bounds, resolver: Resolver, clock: Clock) -> Result<Self, TlsError> {
        if let Some(path) = &bounds.ca_file {
            crate::tls::certificates(path)?;
        }
        Ok(Self {
            reachable: Reachable::new(bounds.allow.clone()),
            places: Semaphore::new(bounds.requests_max),
            resolver,
            clock,
            tls: OnceLock::new(),
            bounds,
        })
    }

    /// Trusts these roots and no others.
    #[cfg(test)]
    pub(super) fn trust(&self, roots: rustls::RootCertStore) {
        let config = client::config(roots, None, self.clock.clone()).unwrap();
        assert!(self.tls.set(Arc::new(for_fetching(config))).is_ok());
    }

    /// Asks for what is at `target`.
    pub(super) async fn get(&self, target: &Target) -> Result<Answer, FetchError> {
        let place = timeout(self.bounds.timeout, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(FetchError::Busy) };
        match timeout(self.bounds.timeout, self.exchange(target)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(timed_out(target)),
        }
    }

    async fn exchange(&self, target: &Target) -> Result<Answer, FetchError> {
        let connected = timeout(self.bounds.connect_timeout, self.connect(target)).await;
        let stream = connected.map_err(|_| timed_out(target))??;
        let broken = |error: hyper::Error| match error.is_parse_too_large() {
            true => FetchError::TooLong,
            false => unreachable(target, &error),
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // Whatever happens, the connection ends with this request.
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(question(target)?).await.map_err(broken)?;
        self.read(target, response).await
    }

    /// The stream to one of the addresses that were checked. Nothing is looked up twice, so that a
    /// name cannot mean one address when it is checked and another when it is used.
    async fn connect(&self, target: &Target) -> Result<TlsStream<TcpStream>, FetchError> {
        let config = self.tls().await?;
        let name = ServerName::try_from(target.host_name().to_owned())
            .map_err(|error| unreachable(target, &error))?;
        let addresses = self.addresses(target).await?;
        // One that swallows everything must not use up the time of those behind it.
        let share =
            self.bounds.connect_timeout / (addresses.len().min(ADDRESSES_MAX) as u32).max(1);
        let mut failure = None;
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let connecting = TcpStream::connect(SocketAddr::new(address, target.port()));
            match timeout(share, connecting).await {
                Ok(Ok(stream)) => {
                    let securing = TlsConnector::from(config).connect(name, stream);
                    return securing.await.map_err(|error| not_secured(target, &error));
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = Some(io::ErrorKind::TimedOut.into()),
            }
        }
        let failure = failure.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(unreachable(target, &failure))
    }

    /// Every address of the host that may be reached; at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, FetchError> {
        let host = target.host_name();
        let found = match target.host() {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(name) => self.resolver.addresses(name).await.map_err(|error| {
                let problem = error.to_string().into();
                FetchError::Unresolved { host: host.to_owned(), problem }
            })?,
        };
        if found.is_empty() {
            let problem = "its name servers know none".into();
            return Err(FetchError::Unresolved { host: host.to_owned(), problem });
        }
        let permitted: Vec<IpAddr> =
            found.into_iter().filter(|address| self.reachable.permits(*address)).collect();
        match permitted.is_empty() {
            true => Err(FetchError::Forbidden { host: host.to_owned() }),
            false => Ok(permitted),
        }
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let (ca_file, clock) = (self.bounds.ca_file.clone(), self.clock.clone());
        let failed = |error: &dyn fmt::Display| FetchError::Tls(error.to_string().into());
        // A machine has some hundred roots, each in need of parsing: not where requests are answered.
        let reading = move || client::config(client::roots(ca_file.as_deref())?, None, clock);
        let config = tokio::task::spawn_blocking(reading).await.map_err(|error| failed(&error))?;
        let config = config.map_err(|error| failed(&error))?;
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(for_fetching(config)))))
    }

    async fn read(
        &self,
        target: &Target,
        response: Response<Incoming>,
    ) -> Result<Answer, FetchError> {
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(FetchError::Status(head.status.as_u16()));
        }
        if is_encoded(&head.headers) {
            return Err(FetchError::Encoded);
        }
        let most = self.bounds.body_bytes_max;
        if body.size_hint().lower() > most as u64 {
            return Err(FetchError::TooLong);
        }
        let body = Limited::new(body, most).collect().await.map_err(|error| match error
            .downcast_ref::<LengthLimitError>(
        ) {
            Some(_) => FetchError::TooLong,
            None => unreachable(target, &*error),
        })?;
        Ok(Answer { body: body.to_bytes(), fresh_for: freshness::stated(&head.headers) })
    }
}

/// One request a connection, each with a whole handshake: a certificate that has expired since, or
/// whose root has gone, is noticed.
fn for_fetching(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// No cookie, no credentials; nothing that would let the answer be compressed.
fn question(target: &Target) -> Result<Request<Empty<Bytes>>, FetchError> {
    Request::get(target.path_and_query())
        .header(HOST, target.authority())
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("jeton/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| unreachable(target, &error))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).into_iter();
    codings.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn not_secured(target: &Target, error: &io::Error) -> FetchError {
    match trouble::tls_error(error) {
        Some(error) => FetchError::Tls(trouble::explain(error, target.host_name()).what.into()),
        None => unreachable(target, error),
    }
}

fn unreachable(target: &Target, error: &(dyn std::error::Error + 'static)) -> FetchError {
    let host = target.host_name().to_owned();
    FetchError::Unreachable { host, problem: error.to_string().into() }
}

fn timed_out(target: &Target) -> FetchError {
    FetchError::TimedOut { host: target.host_name().to_owned() }
}
