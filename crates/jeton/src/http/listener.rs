//! A listener: accepts connections, serves each, and stops when it is told to.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use jeton_engine::certificate::ClientCertificate;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::alarm::{End, last_answer_or_none};
use super::connection::{Patience, Watch, WatchedStream};
use super::conversation::{Conversation, Hall};
use super::line::Wire;
use super::peer::Peer;
use super::secured::Secured;
use super::speak::Speech;
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
        &self,
        request: &mut Request<Incoming>,
        peer: &Peer,
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
    // Answers are small: waiting to fill a packet would only delay them. Every connection inherits it.
    socket.set_nodelay(true)?;
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
    let answer = move |mut request, peer| {
        let answers = Arc::clone(&answers);
        async move { answers.answer(&mut request, &peer).await }
    };
    let hall = Hall::new(answer);
    let (hall, speech) = (Arc::new(hall), Speech::new(&limits));
    let house = Arc::new(House { hall, speech, limits, tls, counts, draining });
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

async fn welcome<C, F>(house: Arc<House<C, F>>, accepted: Accepted, stop: watch::Receiver<bool>)
where
    C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
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
        let usable = stream.set_nonblocking(true);
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
            Ok((stream, peer)) => return (stream, peer, place),
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

/// What a connection speaks, as far as is known before its first request.
enum Tongue {
    Http1,
    Http2,
    /// It may begin like HTTP/2; plain HTTP/1.1 may too, with a method of that name.
    Unclear,
}

/// What all connections of a listener share.
struct House<C, F> {
    hall: Arc<Hall<C, F>>,
    speech: Speech,
    limits: ListenerLimits,
    tls: Option<Arc<Current>>,
    counts: Arc<Connections>,
    draining: watch::Receiver<bool>,
}

impl<C, F> House<C, F>
where
    C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    /// One connection from its first byte to its last.
    async fn welcome(&self, stream: TcpStream, address: SocketAddr, stop: watch::Receiver<bool>) {
        let watch = Watch::begin(self.limits.patience);
        // Inside of TLS, so that it sees what really passes.
        let stream = WatchedStream::new(stream, Arc::clone(&watch));
        let conversation = |certificate| Conversation {
            hall: Arc::clone(&self.hall),
            watch: Arc::clone(&watch),
            peer: Peer { address, certificate },
        };
        let end = End { draining: self.draining.clone(), stop };
        let Some(tls) = &self.tls else {
            let is_http1 = tokio::select! {
                biased;
                is_http1 = stream.begins_as_http1() => is_http1,
                () = sleep(self.limits.patience.header) => return,
                _ = last_answer_or_none(&watch, end.clone()) => return,
            };
            let tongue = if is_http1 { Tongue::Http1 } else { Tongue::Unclear };
            return self.speak(stream, conversation(None), tongue, end).await;
        };
        match shake_hands(tls, stream, address).await {
            Ok((stream, certificate)) => {
                self.counts.handshakes.count(Handshook::Done);
                watch.secured();
                // Who speaks HTTP/2 over TLS says so in the handshake, and then nothing else (RFC 9113 section 3.3).
                let is_http2 = stream.session().alpn_protocol() == Some(b"h2");
                let tongue = if is_http2 { Tongue::Http2 } else { Tongue::Http1 };
                self.speak(stream, conversation(certificate), tongue, end).await;
            }
            Err(why) => self.counts.handshakes.count(why),
        }
    }

    async fn speak<S: Wire>(
        &self,
        stream: S,
        conversation: Conversation<C, F>,
        tongue: Tongue,
        end: End,
    ) {
        let speech = &self.speech;
        match tongue {
            Tongue::Http1 => speech.http1(stream, conversation, &self.counts, end).await,
            // Larger, and rare.
            Tongue::Http2 => Box::pin(speech.http2(stream, conversation, end)).await,
            Tongue::Unclear => Box::pin(speech.either(stream, conversation, end)).await,
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
) -> Result<(Box<Secured>, Option<Arc<ClientCertificate>>), Handshook> {
    let side = tls.side();
    let handshake = tls.handshakes.begin();
    let mut stream = Secured::new(&side.config, stream).map_err(|error| {
        tracing::error!(%address, %error, "TLS cannot be spoken");
        Handshook::Failed
    })?;
    let shaken = tokio::select! {
        shaken = timeout(side.handshake_timeout, stream.shake_hands()) => shaken,
        () = handshake.must_end() => {
            tracing::debug!(%address, "a TLS handshake gave way to newer ones");
            return Err(Handshook::GaveWay);
        }
    };
    match shaken {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a TLS handshake failed");
            // Our alert has been written; closing in order lets it arrive.
            let _ = stream.into_stream().shutdown().await;
            return Err(Handshook::Failed);
        }
        Err(_) => {
            tracing::debug!(%address, "a TLS handshake took too long");
            return Err(Handshook::TooSlow);
        }
    }
    match side.client_certificate(stream.session()) {
        Ok(certificate) => Ok((stream, certificate.map(Arc::new))),
        Err(error) => {
            tracing::debug!(%address, %error, "a resumed TLS session brought a certificate that is no good any more");
            let _ = stream.shutdown().await;
            Err(Handshook::Failed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn bytes<A, B, C, W>(_: fn(A, B, C) -> W) -> usize {
        size_of::<W>()
    }

    fn of_a_connection<C, F>(_: &Hall<C, F>) -> usize
    where
        C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        bytes(welcome::<C, F>)
    }

    #[tokio::test]
    async fn a_connection_inherits_that_it_waits_for_nothing_to_fill_a_packet() {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let _client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = socket.accept().await.unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn a_connection_takes_little_whatever_a_request_takes() {
        let answer = |_: Request<Incoming>, _: Peer| async {
            let large = [0_u8; 10_000];
            tokio::task::yield_now().await;
            Response::new(Full::from(Bytes::copy_from_slice(&large)))
        };
        let hall = Hall::new(answer);
        let bytes = of_a_connection(&hall);
        assert!(bytes <= 2048, "{bytes}");
    }
}
