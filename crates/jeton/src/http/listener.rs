//! A listener: accepts connections, serves each, and stops when it is told to.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use jeton_engine::certificate::ClientCertificate;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::{Answering, Patience, Verdict, Watch, WatchedStream};
use super::peer::Peer;
use super::together::others_first;
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
    /// Turns true when the server is about to stop: every answer is then the last on its connection.
    pub(crate) draining: watch::Receiver<bool>,
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
    let Door { socket, tls, connections: counts, draining } = door;
    let either = builder(&limits);
    let http1 = either.clone().http1_only();
    let house = Arc::new(House { answers, either, http1, limits, tls, counts, draining });
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        connections.spawn(welcome(Arc::clone(&house), accepted, stop.clone()));
    }
    for accepted in left_in_the_kernel(socket, &places) {
        connections.spawn(welcome(Arc::clone(&house), accepted, stop.clone()));
    }
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(grace, finished).await.is_err() {
        tracing::warn!(
            count = connections.len(),
            "connections were cut: their time to finish is over"
        );
    }
    // Dropping the set cuts what is left.
}

/// A connection and its place.
type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn welcome<A: Answers>(
    house: Arc<House<A>>,
    accepted: Accepted,
    stop: watch::Receiver<bool>,
) {
    let (stream, peer, place) = accepted;
    let open = house.counts.open();
    house.welcome(stream, peer, stop).await;
    drop((place, open));
}

/// Closes the socket, and gives the connections that the kernel had already made: closing would reset
/// them, while their callers believe that they are heard.
fn left_in_the_kernel(socket: TcpListener, places: &Arc<Semaphore>) -> Vec<Accepted> {
    let mut left = Vec::new();
    let Ok(socket) = socket.into_std() else { return left };
    while let Ok(place) = Arc::clone(places).try_acquire_owned()
        && let Ok((stream, peer)) = socket.accept()
    {
        let usable = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
        if let Ok(stream) = usable.and_then(|()| TcpStream::from_std(stream)) {
            left.push((stream, peer, place));
        }
    }
    left
}

/// The next connection, once there is a place for it; until then it waits in the kernel.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Accepted {
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
        // Answers are small: to copy one behind its head costs less than to tell the system of two pieces.
        .writev(false)
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
    /// Looks which version a connection speaks.
    either: Builder<TokioExecutor>,
    /// For those that speak HTTP/1.1 as far as is known: what they send first needs no second place, and
    /// the buffer for all that follows stays as small as it began.
    http1: Builder<TokioExecutor>,
    limits: ListenerLimits,
    tls: Option<Arc<Current>>,
    counts: Arc<Connections>,
    draining: watch::Receiver<bool>,
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
        let end = End { draining: self.draining.clone(), stop };
        let Some(tls) = &self.tls else {
            let builder = tokio::select! {
                biased;
                is_http1 = stream.begins_as_http1() => if is_http1 { &self.http1 } else { &self.either },
                () = sleep(self.limits.patience.header) => return,
                _ = last_answer_or_none(&watch, end.clone()) => return,
            };
            return serve(stream, conversation(None), builder, end).await;
        };
        // Larger by far than what a connection without TLS keeps.
        let secured = async {
            match shake_hands(tls, stream, address).await {
                Ok((stream, certificate)) => {
                    self.counts.handshakes.count(Handshook::Done);
                    watch.secured();
                    let is_http1 = stream.get_ref().1.alpn_protocol() == Some(b"http/1.1");
                    let builder = if is_http1 { &self.http1 } else { &self.either };
                    serve(stream, conversation(certificate), builder, end).await;
                }
                Err(why) => self.counts.handshakes.count(why),
            }
        };
        Box::pin(secured).await;
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

/// What tells a connection that the server ends.
#[derive(Clone)]
struct End {
    draining: watch::Receiver<bool>,
    stop: watch::Receiver<bool>,
}

impl End {
    /// How long the first request of a connection that was just made may take to come.
    const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

    fn has_begun(&self) -> bool {
        *self.draining.borrow() || *self.stop.borrow()
    }

    /// A server that is dropped, or never drains, says nothing.
    async fn drains(draining: &mut watch::Receiver<bool>) {
        if draining.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn stops(stop: &mut watch::Receiver<bool>) {
        // An error means that nobody is left who could say it.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

async fn serve<A: Answers, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    service: Conversation<A>,
    builder: &Builder<TokioExecutor>,
    end: End,
) {
    let watch = Arc::clone(&service.watch);
    let service = service_fn(|request| service.answer(request));
    if end.has_begun() {
        watch.leave();
    }
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut alarms = FuturesUnordered::new();
    alarms.push(look(watch.next_look()).boxed());
    alarms.push(last_answer_or_none(&watch, end).boxed());
    let mut dismissed = false;
    loop {
        let alarm = tokio::select! {
            biased;
            // Whatever went wrong is the caller's doing, and it has heard of it where it can.
            _ = connection.as_mut() => return,
            // Asked for each request, but each alarm only when it goes off.
            Some(alarm) = alarms.next() => alarm,
        };
        let dismiss = match (alarm, watch.verdict()) {
            (Alarm::Look, Verdict::LookAgain(at)) => {
                alarms.push(look(at).boxed());
                false
            }
            (Alarm::Look, Verdict::Dismiss) if !dismissed => {
                alarms.push(look(watch.next_look()).boxed());
                true
            }
            (Alarm::Look, Verdict::Dismiss | Verdict::Cut) => return,
            (Alarm::End, _) => true,
        };
        if dismiss && !dismissed {
            dismissed = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// What a connection may have to be looked at for, apart from what its caller does.
enum Alarm {
    /// To see whether its caller is slow or silent.
    Look,
    /// The server ends.
    End,
}

async fn look(at: Instant) -> Alarm {
    sleep_until(at).await;
    Alarm::Look
}

/// Waits until the connection is to be closed because the server ends. While it drains, HTTP/2 is told at
/// once, which loses nothing; HTTP/1.1 can only be told with an answer, so its connections are left
/// open until one is due.
async fn last_answer_or_none(watch: &Watch, mut end: End) -> Alarm {
    tokio::select! {
        biased;
        () = End::stops(&mut end.stop) => {}
        () = End::drains(&mut end.draining) => {
            watch.leave();
            if watch.is_multiplexed() {
                return Alarm::End;
            }
            End::stops(&mut end.stop).await;
        }
    }
    watch.leave();
    if watch.expects_request() {
        sleep(End::FIRST_REQUEST_WITHIN).await;
    } else {
        // The connection is looked at once more: a request may have arrived this moment.
        tokio::task::yield_now().await;
    }
    Alarm::End
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
        answer.then(move |mut response| async move {
            others_first().await;
            if answering.is_last() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            drop(answering);
            Ok(response)
        })
    }
}
