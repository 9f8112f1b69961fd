//! A connection's stream as HTTP/1.1 sees it. Whoever spoke last may take it out of its hands while the
//! caller is silent, and give it back with what was read too much.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::WatchedStream;

/// A stream that can be waited for without a buffer to read into.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The watched stream that it comes down to.
    fn watched(&self) -> &WatchedStream;

    /// Whether something has come that nobody has read yet, which the watched stream does not know of.
    fn holds_bytes(&self) -> bool;
}

impl Wire for WatchedStream {
    fn watched(&self) -> &WatchedStream {
        self
    }

    fn holds_bytes(&self) -> bool {
        false
    }
}

/// A stream, and what was read of it already.
pub(super) struct Line<S> {
    pub(super) stream: S,
    pub(super) read: Bytes,
}

impl<S: Wire> Line<S> {
    /// Waits until there is something to read, or the caller has gone.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.read.is_empty() || self.stream.holds_bytes() {
            return Poll::Ready(());
        }
        self.stream.watched().poll_readable(context)
    }
}

impl<S: Wire> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read.split_to(count));
        self.stream.watched().watch().bytes_came();
        Poll::Ready(Ok(()))
    }
}

impl<S: Wire> AsyncWrite for Line<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
