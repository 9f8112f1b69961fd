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
    /// Whether something was said that may not have gone out yet. What the library says by itself (tickets, new
    /// keys) waits for that, or for the end.
    said: bool,
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
        Ok(Box::new(Self { session, stream, said: false }))
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
            // What is left are tickets.
            Some(ProtocolVersion::TLSv1_3) => Poll::Ready(Ok(())),
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
        self.said = false;
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
        self.said = true;
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
        if self.said {
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
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use rustix::net::RecvFlags;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, SupportedProtocolVersion, version};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::super::connection::{Patience, Watch};
    use super::*;
    use crate::tls::provider;
    use crate::tls::rehearsal::Authority;

    const LONG: Duration = Duration::from_secs(60);
    const PATIENCE: Patience = Patience { header: LONG, write: LONG, idle: LONG };

    /// A server and its client, at the two ends of a connection that has just been made.
    async fn ends() -> (WatchedStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (WatchedStream::new(server.unwrap().0, Watch::begin(PATIENCE)), client.unwrap())
    }

    /// The same after the handshake.
    async fn met(
        version: &'static SupportedProtocolVersion,
    ) -> (Box<Secured>, TlsStream<TcpStream>) {
        let authority = Authority::new("servers");
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let config = builder.with_root_certificates(authority.roots()).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let (server, client) = ends().await;
        let mut server =
            Secured::new(&authority.server(&["localhost"]).config(None), server).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let (client, shaken) = tokio::join!(connector.connect(name, client), server.shake_hands());
        shaken.unwrap();
        (server, client.unwrap())
    }

    fn tickets(client: &TlsStream<TcpStream>) -> u32 {
        client.get_ref().1.tls13_tickets_received()
    }

    async fn hear<const COUNT: usize>(client: &mut TlsStream<TcpStream>) -> [u8; COUNT] {
        let mut heard = [0; COUNT];
        client.read_exact(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn tickets_come_with_the_first_answer_and_not_before() {
        let (mut server, mut client) = met(&version::TLS13).await;
        server.flush().await.unwrap();
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let before = rustix::net::recv(client.get_ref().0, &mut [0_u8; 1], flags);
        assert_eq!(before.unwrap_err(), rustix::io::Errno::AGAIN);
        client.write_all(b"question").await.unwrap();
        server.read_exact(&mut [0; 8]).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!((hear(&mut client).await, tickets(&client)), (*b"answer", 2));
    }

    #[tokio::test]
    async fn tls_1_2_needs_no_answer_to_end_its_handshake() {
        let (mut server, mut client) = met(&version::TLS12).await;
        server.write_all(b"answer").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!((hear(&mut client).await, tickets(&client)), (*b"answer", 0));
    }

    #[tokio::test]
    async fn more_than_may_wait_goes_out_before_it_is_flushed() {
        let (mut server, mut client) = met(&version::TLS13).await;
        let long: Vec<u8> = (0..1_000_000_u32).map(|place| (place % 251) as u8).collect();
        let mut heard = vec![0; long.len()];
        let saying = async {
            server.write_all(&long).await.unwrap();
            server.flush().await.unwrap();
        };
        let (_, hearing) = tokio::join!(saying, client.read_exact(&mut heard));
        hearing.unwrap();
        assert!(heard == long);
    }

    #[tokio::test]
    async fn an_end_is_told_from_being_cut_off() {
        let (mut server, mut client) = met(&version::TLS13).await;
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
        // Still owed to the client: an answer, and the end.
        server.write_all(b"answer").await.unwrap();
        server.flush().await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");

        let (mut server, client) = met(&version::TLS13).await;
        drop(client);
        let cut = server.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn who_hangs_up_or_talks_nonsense_has_not_shaken_hands() {
        for (said, kind) in [
            (&b""[..], io::ErrorKind::UnexpectedEof),
            (b"\x16\x03\x01\x02", io::ErrorKind::UnexpectedEof),
            (b"GET / HTTP/1.1\r\n\r\n", io::ErrorKind::InvalidData),
        ] {
            let (server, mut client) = ends().await;
            let config = Authority::new("servers").server(&["localhost"]).config(None);
            let mut server = Secured::new(&config, server).unwrap();
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(server.shake_hands().await.unwrap_err().kind(), kind, "{said:?}");
            server.into_stream().shutdown().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            // An alert tells who talked why; who hung up has nothing to hear.
            assert_eq!(heard.is_empty(), kind == io::ErrorKind::UnexpectedEof);
        }
    }
}
