//! One message to the collector, over a connection of its own: a collector that hangs, babbles or is not
//! there costs its time limit and nothing else. The collector is named by configuration, so it may be
//! anywhere; redirects are not followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jeton_engine::clock::Clock;
use prost::Message as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use super::{Settings, message};
use crate::tls::{TlsError, client};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where messages go.
pub(super) struct Collector {
    endpoint: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was taken, but for so many spans.
    Taken { rejected: u64 },
    /// It was not; it may be another time.
    Later(String),
    /// It was not, and never will be.
    Never(String),
}

impl Collector {
    /// Reads the authorities that are trusted, where the collector is reached by https.
    pub(super) fn new(settings: &Settings, clock: &Clock) -> Result<Self, TlsError> {
        let tls = match settings.endpoint.scheme() {
            "https" => {
                let roots = client::roots(settings.ca_file.as_deref())?;
                let mut config = client::config(roots, None, clock.clone())?;
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(Arc::new(config))
            }
            _ => None,
        };
        let (endpoint, headers) = (settings.endpoint.clone(), settings.headers.clone());
        Ok(Self { endpoint, headers, tls, timeout: settings.timeout })
    }

    /// Sends a message and takes the answer.
    pub(super) async fn post(&self, body: Bytes) -> Sent {
        match timeout(self.timeout, self.exchange(body)).await {
            Ok(Ok(answer)) => judge(&answer),
            Ok(Err(reason)) => Sent::Later(reason),
            Err(_) => Sent::Later("it does not answer in time".to_owned()),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Answer, String> {
        let host = self.endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.endpoint.port_or_known_default().unwrap_or(4318);
        let stream = TcpStream::connect((host, port)).await.map_err(told)?;
        match &self.tls {
            None => self.ask(stream, body).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(told)?;
                let connector = TlsConnector::from(Arc::clone(tls));
                self.ask(connector.connect(name, stream).await.map_err(told)?, body).await
            }
        }
    }

    async fn ask<S>(&self, stream: S, body: Bytes) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        // Whatever happens, the connection ends with this message.
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        let response = sender.send_request(self.request(body)?).await.map_err(told)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        Ok(Answer { status: head.status, body: body.ok().map(Collected::to_bytes) })
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let target = &self.endpoint[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &self.endpoint[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::post(target)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("jeton/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Full::new(body))
            .map_err(told)?;
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        Ok(request)
    }
}

/// What the collector said.
struct Answer {
    status: StatusCode,
    /// Absent when it was too long or broke off.
    body: Option<Bytes>,
}

/// An answer is judged by its status; a body that makes no sense does not undo a success.
fn judge(answer: &Answer) -> Sent {
    match answer.status {
        status if status.is_success() => {
            let body = answer.body.clone().unwrap_or_default();
            let partial =
                message::Response::decode(body).ok().and_then(|read| read.partial_success);
            let rejected = partial.map_or(0, |partial| partial.rejected_spans);
            Sent::Taken { rejected: u64::try_from(rejected).unwrap_or(0) }
        }
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Sent::Later(format!("it answers {}", answer.status)),
        status => Sent::Never(format!("it answers {status}")),
    }
}

fn told(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: Option<&'static [u8]>) -> Sent {
        let status = StatusCode::from_u16(status).unwrap();
        judge(&Answer { status, body: body.map(Bytes::from_static) })
    }

    #[test]
    fn what_was_taken_what_may_be_and_what_never_will_be_are_told_apart() {
        assert_eq!(judged(200, Some(b"")), Sent::Taken { rejected: 0 });
        // partial_success { rejected_spans: 3 }
        assert_eq!(judged(200, Some(&[0x0a, 0x02, 0x08, 0x03])), Sent::Taken { rejected: 3 });
        assert_eq!(judged(202, Some(b"<html>")), Sent::Taken { rejected: 0 });
        assert_eq!(judged(200, None), Sent::Taken { rejected: 0 });
        for status in [429, 502, 503, 504] {
            assert!(matches!(judged(status, None), Sent::Later(_)), "{status}");
        }
        for status in [301, 400, 401, 404, 500] {
            assert!(matches!(judged(status, None), Sent::Never(_)), "{status}");
        }
    }
}
