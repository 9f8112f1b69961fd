//! A listener: accepts connections, serves each, and stops when it is told to.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use jeton_engine::certificate::ClientCertificate;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{Answering, Patience, Verdict, Watch, WatchedStream};
use super::peer::Peer;
use super::traffic::{Connections, Handshook};
use crate::tls::reload::Current;

/// What a listener allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerLimits {
    pub(crate) patience: Patience,
    pub(crate) header_bytes_max: usize,
    pub(crate) headers_max: usize,
    pub(crate) connections_max: usize,
}

/// Answers requests. Shared by all connections.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Where connections come in.
pub(crate) struct Door {
    pub(crate) socket: TcpListener,
    /// What they are wrapped in; absent: nothing.
    pub(crate) tls: Option<Arc<Current>>,
    /// Where they are counted.
    pub(crate) connections: Arc<Connections>,
}

/// Opens a listening socket. Port 0 takes any free one.
///
/// # Errors
/// What the system says, most often that the port is taken.
pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait until the old connections' sockets have been forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// Accepts and serves until `stop` turns true, then lets what has begun finish within `grace`.
pub(crate) async fn listen<A: Answers>(
    door: Door,
    answers: Arc<A>,
    limits: ListenerLimits,
    grace: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let Door { socket, tls, connections: counts } = door;
    let builder = builder(&limits);
    let house = Arc::new(House { answers, builder, limits, tls, counts: Arc::clone(&counts) });
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, peer, place) = accepted;
        let (house, stop, open) = (Arc::clone(&house), stop.clone(), counts.open());
        connections.spawn(async move {
            house.welcome(stream, peer, stop).await;
            drop((place, open));
        });
    }
    drop(socket);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, finished).await.is_err() {
        tracing::warn!(
            count = connections.len(),
            "connections were cut: their time to finish is over"
        );
    }
    // Dropping the set cuts what is left.
}

/// The next connection, once there is a place for it; until then it waits in the kernel.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // Nobody closes the semaphore.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small: waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Most often there are no file descriptors left. The connection stays in the
                // queue, so asking again at once would spin until somebody hangs up.
                tracing::error!(%error, "a connection cannot be accepted; trying again in a moment");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The caller gave up before we accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn builder(limits: &ListenerLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max)
        // Many small tools close their writing half after the request and still want the answer.
        .half_close(true);
    builder
        .http2()
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024);
    builder
}

/// What all connections of a listener share.
struct House<A> {
    answers: Arc<A>,
    builder: Builder<TokioExecutor>,
    limits: ListenerLimits,
    tls: Option<Arc<Current>>,
    counts: Arc<Connections>,
}

impl<A: Answers> House<A> {
    /// One connection from its first byte to its last.
    async fn welcome(&self, stream: TcpStream, address: SocketAddr, stop: watch::Receiver<bool>) {
        let watch = Watch::begin(self.limits.patience);
        // Inside of TLS, so that it sees what really passes.
        let stream = WatchedStream::new(stream, Arc::clone(&watch));
        let conversation = |certificate| Conversation {
            answers: Arc::clone(&self.answers),
            watch: Arc::clone(&watch),
            peer: Peer { address, certificate },
        };
        let Some(tls) = &self.tls else {
            return serve(stream, conversation(None), &self.builder, stop).await;
        };
        match shake_hands(tls, stream, address).await {
            Ok((stream, certificate)) => {
                self.counts.handshakes.count(Handshook::Done);
                watch.secured();
                serve(stream, conversation(certificate), &self.builder, stop).await;
            }
            Err(why) => self.counts.handshakes.count(why),
        }
    }
}

/// The connection once its TLS handshake is over, and the certificate that the client presented.
///
/// # Errors
/// What became of it otherwise; the client has heard of it where it can.
async fn shake_hands(
    tls: &Current,
    stream: WatchedStream,
    address: SocketAddr,
) -> Result<(TlsStream<WatchedStream>, Option<Arc<ClientCertificate>>), Handshook> {
    let side = tls.side();
    let handshake = tls.handshakes.begin();
    let accepting = TlsAcceptor::from(Arc::clone(&side.config)).accept(stream).into_fallible();
    let accepted = tokio::select! {
        accepted = timeout(side.handshake_timeout, accepting) => accepted,
        () = handshake.must_end() => {
            tracing::debug!(%address, "a TLS handshake gave way to newer ones");
            return Err(Handshook::GaveWay);
        }
    };
    let mut stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err((error, mut stream))) => {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            // Our alert has been written; closing in order lets it arrive.
            let _ = stream.shutdown().await;
            return Err(Handshook::Failed);
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake took too long");
            return Err(Handshook::TooSlow);
        }
    };
    match side.client_certificate(stream.get_ref().1) {
        Ok(certificate) => Ok((stream, certificate.map(Arc::new))),
        Err(error) => {
            tracing::debug!(%address, %error, "a resumed TLS session brought a certificate that is no good any more");
            let _ = stream.shutdown().await;
            Err(Handshook::Failed)
        }
    }
}

async fn serve<A: Answers, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    service: Conversation<A>,
    builder: &Builder<TokioExecutor>,
    mut stop: watch::Receiver<bool>,
) {
    let watch = Arc::clone(&service.watch);
    let service = service_fn(|request| service.answer(request));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut look = pin!(sleep_until(watch.next_look()));
    let mut dismissed = false;
    loop {
        tokio::select! {
            biased;
            // Whatever went wrong is the caller's doing, and it has heard of it where it can.
            _ = connection.as_mut() => return,
            () = look.as_mut() => match watch.verdict() {
                Verdict::LookAgain(at) => look.as_mut().reset(at),
                Verdict::Dismiss if !dismissed => {
                    dismissed = true;
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(watch.next_look());
                }
                Verdict::Dismiss | Verdict::Cut => return,
            },
            _ = stop.wait_for(|stop| *stop), if !dismissed => {
                dismissed = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// One connection's requests and answers.
struct Conversation<A> {
    answers: Arc<A>,
    watch: Arc<Watch>,
    peer: Peer,
}

impl<A: Answers> Conversation<A> {
    /// Answers one request.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + use<A> {
        let answering: Answering = self.watch.answering(request.version());
        let answer = Arc::clone(&self.answers).answer(request, self.peer.clone());
        answer.map(move |response| {
            drop(answering);
            Ok(response)
        })
    }
}
