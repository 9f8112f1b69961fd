//! A connection inside of TLS, and when what is said goes out: once it is flushed, all in one packet.
//!
//! Why not the library's own stream: at the end of a handshake it sends the session ticket, which nobody waits
//! for, in a packet of its own. Here it goes with the first answer: a packet less where a connection is for one
//! token.

use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ProtocolVersion, ServerConfig, ServerConnection, Writer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::WatchedStream;
use super::line::Wire;

/// A connection inside of TLS.
pub(super) struct Secured {
    session: ServerConnection,
    stream: WatchedStream,
    /// Whether all that waits to be sent are the tickets of the handshake. They go with the first answer, or at
    /// the end; everything else that the library says by itself goes out like what we say.
    only_tickets: bool,
}

impl Secured {
    /// Before the handshake. In a box, for it is a kilobyte that would be moved each time that it is given on.
    ///
    /// # Errors
    /// When the library refuses the configuration.
    pub(super) fn new(
        config: &Arc<ServerConfig>,
        stream: WatchedStream,
    ) -> Result<Box<Self>, rustls::Error> {
        let session = ServerConnection::new(Arc::clone(config))?;
        Ok(Box::new(Self { session, stream, only_tickets: false }))
    }

    /// The handshake.
    ///
    /// # Errors
    /// When the two sides do not agree, or the client has gone. The client has been told where it can.
    pub(super) async fn shake_hands(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_handshake(context)).await
    }

    /// What is agreed upon and known of the client.
    pub(super) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// What it comes down to.
    pub(super) fn into_stream(self: Box<Self>) -> WatchedStream {
        self.stream
    }

    fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            ready!(self.poll_send(context))?;
            if ready!(self.poll_hear(context))? == 0 {
                let gone = "the client hung up before the handshake was over";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, gone)));
            }
        }
        match self.session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => {
                self.only_tickets = true;
                Poll::Ready(Ok(()))
            }
            // The client waits for our last word (RFC 5246 section 7.3).
            _ => self.poll_send(context),
        }
    }

    /// Sends all that has been said.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut now = Now { stream: &mut self.stream, context };
            if ready!(or_later(self.session.write_tls(&mut now)))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in what has come; how many bytes, none at the end.
    fn poll_hear(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut now = Now { stream: &mut self.stream, context };
        let count = ready!(or_later(self.session.read_tls(&mut now)))?;
        if let Err(error) = self.session.process_new_packets() {
            // The alert tells the client why (RFC 8446 section 6.2), if it can be sent at once.
            let _ = self.poll_send(context);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(count))
    }

    /// Enciphers something, to be sent with the rest.
    fn poll_say(
        &mut self,
        context: &mut Context<'_>,
        say: impl Fn(&mut Writer<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut taken = say(&mut self.session.writer())?;
        if taken == 0 {
            // As much waits already as may.
            ready!(self.poll_send(context))?;
            taken = say(&mut self.session.writer())?;
        }
        self.only_tickets = false;
        Poll::Ready(Ok(taken))
    }
}

impl Wire for Box<Secured> {
    fn watched(&self) -> &WatchedStream {
        &self.stream
    }

    fn holds_bytes(&self) -> bool {
        // It reads on when all that it has deciphered was taken.
        !self.session.wants_read()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut reader = self.session.reader();
            if let Poll::Ready(heard) = or_later(reader.fill_buf()) {
                let heard = heard?;
                let (heard, _) = heard.split_at(heard.len().min(buffer.remaining()));
                buffer.put_slice(heard);
                let count = heard.len();
                reader.consume(count);
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_hear(context))?;
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_say(context, |writer| writer.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_say(context, |writer| writer.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.only_tickets {
            ready!(self.poll_send(context))?;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Said once, however often (RFC 8446 section 6.1).
        self.session.send_close_notify();
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The stream as the library sees it: something that never waits.
struct Now<'a, 'b> {
    stream: &'a mut WatchedStream,
    context: &'a mut Context<'b>,
}

impl Read for Now<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        now(Pin::new(&mut *self.stream).poll_read(self.context, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl Write for Now<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write_vectored(self.context, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.stream).poll_flush(self.context))
    }
}

fn now<T>(progress: Poll<io::Result<T>>) -> io::Result<T> {
    match progress {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn or_later<T>(done: io::Result<T>) -> Poll<io::Result<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

#[cfg(test)]
mod tests;
