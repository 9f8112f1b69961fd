//! A connection once it is known what it speaks.
//!
//! HTTP/1.1 needs a buffer to read into and one to write from, 8 KiB each, whatever its caller does. So
//! there are none before the first request, and they are given back while the caller is silent: at the next
//! look, or between two requests where half of the places are taken.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};

use super::alarm::{Alarm, Alarms, End, Heed};
use super::connection::Watch;
use super::conversation::Conversation;
use super::line::{Line, Wire};
use super::listener::ListenerLimits;
use super::peer::Peer;
use super::traffic::Connections;

/// How HTTP is spoken on a listener.
pub(super) struct Speech {
    /// Looks which version a connection speaks.
    either: auto::Builder<TokioExecutor>,
    /// For those that have said that it is HTTP/2. What else they say ends the connection.
    http2: auto::Builder<TokioExecutor>,
    /// For those that speak HTTP/1.1 as far as is known: what they send first needs no second place, and
    /// the buffer for all that follows stays as small as it began.
    http1: http1::Builder,
    /// From as many open connections on, memory counts more than what it costs to make buffers anew: some
    /// thousand instructions a request.
    many: u64,
}

impl Speech {
    /// What hyper takes when it is told nothing. It then has the place for them on the stack.
    const HEADERS_MAX: usize = 100;

    /// Within these limits.
    pub(super) fn new(limits: &ListenerLimits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(limits.header_bytes_max)
            // Answers are small: to copy one behind its head costs less than to tell the system of two pieces.
            .writev(false)
            // Many small tools close their writing half after the request and still want the answer.
            .half_close(true);
        if limits.headers_max != Self::HEADERS_MAX {
            http1.max_headers(limits.headers_max);
        }
        let mut either = auto::Builder::new(TokioExecutor::new());
        either
            .http1()
            .max_buf_size(limits.header_bytes_max)
            .max_headers(limits.headers_max)
            .writev(false)
            .half_close(true);
        either
            .http2()
            .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
            .max_concurrent_streams(128)
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(1024 * 1024);
        let many = u64::try_from(limits.connections_max / 2).unwrap_or(u64::MAX);
        let http2 = either.clone().http2_only();
        Self { either, http2, http1, many }
    }

    /// Speaks HTTP/1.1 with a caller until one of the two hangs up.
    pub(super) async fn http1<S, C, F>(
        &self,
        stream: S,
        mut conversation: Conversation<C, F>,
        connections: &Connections,
        end: End,
    ) where
        S: Wire,
        C: Fn(Request<Incoming>, Peer) -> F,
        F: Future<Output = Response<Full<Bytes>>>,
    {
        let watch = Arc::clone(&conversation.watch);
        let mut alarms = Alarms::set(&watch, end);
        let mut line = Line { stream, read: Bytes::new() };
        while wait(&line, &mut alarms).await {
            let mut connection = self.http1.serve_connection(TokioIo::new(line), conversation);
            if alarms.have_dismissed() {
                Pin::new(&mut connection).graceful_shutdown();
            }
            loop {
                let many = || connections.open_now() >= self.many;
                let alarm = tokio::select! {
                    biased;
                    talked = poll_fn(|context| talk(&mut connection, &watch, many, context)) => match talked {
                        // Whatever went wrong is the caller's doing, and it has heard of it where it can.
                        Talked::Over => return,
                        Talked::Silent => break,
                    },
                    alarm = alarms.next() => alarm,
                };
                match alarms.heed(&alarm) {
                    Heed::Cut => return,
                    Heed::Dismiss => Pin::new(&mut connection).graceful_shutdown(),
                    Heed::GoOn if matches!(alarm, Alarm::Look) && watch.is_silent() => break,
                    Heed::GoOn => {}
                }
            }
            let parts = connection.into_parts();
            conversation = parts.service;
            line = Line { read: parts.read_buf, ..parts.io.into_inner() };
        }
    }

    /// Speaks HTTP/2, and nothing else, until one of the two hangs up.
    pub(super) async fn http2<S, C, F>(&self, stream: S, conversation: Conversation<C, F>, end: End)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        converse(&self.http2, stream, conversation, end).await;
    }

    /// Speaks whatever the caller begins with.
    pub(super) async fn either<S, C, F>(
        &self,
        stream: S,
        conversation: Conversation<C, F>,
        end: End,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        converse(&self.either, stream, conversation, end).await;
    }
}

async fn converse<S, C, F>(
    how: &auto::Builder<TokioExecutor>,
    stream: S,
    conversation: Conversation<C, F>,
    end: End,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    C: Fn(Request<Incoming>, Peer) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let mut alarms = Alarms::set(&conversation.watch, end);
    let mut connection = pin!(how.serve_connection(TokioIo::new(stream), conversation));
    loop {
        let alarm = tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            alarm = alarms.next() => alarm,
        };
        match alarms.heed(&alarm) {
            Heed::Cut => return,
            Heed::Dismiss => connection.as_mut().graceful_shutdown(),
            Heed::GoOn => {}
        }
    }
}

/// How far a connection has come.
enum Talked {
    /// To its end.
    Over,
    /// To where nobody has anything to say; and there are many that could.
    Silent,
}

fn talk<C: Future + Unpin>(
    connection: &mut C,
    watch: &Watch,
    many: impl Fn() -> bool,
    context: &mut Context<'_>,
) -> Poll<Talked> {
    match Pin::new(connection).poll(context) {
        Poll::Ready(_) => Poll::Ready(Talked::Over),
        Poll::Pending if watch.is_silent() && many() => Poll::Ready(Talked::Silent),
        Poll::Pending => Poll::Pending,
    }
}

/// Waits until there is something to say. Whether there is; otherwise it is time to hang up.
async fn wait<S: Wire>(line: &Line<S>, alarms: &mut Alarms) -> bool {
    while !alarms.have_dismissed() {
        let alarm = tokio::select! {
            biased;
            () = poll_fn(|context| line.poll_readable(context)) => break,
            alarm = alarms.next() => alarm,
        };
        if alarms.heed(&alarm) == Heed::Cut {
            return false;
        }
    }
    true
}
