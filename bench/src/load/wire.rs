//! One connection of the load generator: bytes out, bytes in, with TLS or without, never waiting.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// Absent: plain HTTP.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// What came of reading.
pub(crate) enum Received {
    Bytes,
    Nothing,
    Closed,
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    inbox: Vec<u8>,
    filled: usize,
    /// What the kernel did not take at once.
    outbox: Vec<u8>,
    /// When the request that is under way was to be sent, while there is one.
    pub(crate) asked: Option<Instant>,
}

impl Wire {
    /// Connects. To this machine that takes no time worth waiting for.
    pub(crate) fn open(target: &Target, registry: &Registry, token: Token) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let tls = match &target.tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(target.address.ip());
                let tls = ClientConnection::new(Arc::clone(config), name);
                Some(Box::new(tls.map_err(io::Error::other)?))
            }
        };
        let inbox = vec![0; 16 * 1024];
        Ok(Self { stream, tls, inbox, filled: 0, outbox: Vec::new(), asked: None })
    }

    pub(crate) fn close(&mut self, registry: &Registry) {
        // It is closed by being dropped; a failure here would only say that it is gone already.
        let _ = registry.deregister(&mut self.stream);
    }

    pub(crate) fn send(&mut self, request: &[u8], intended: Instant) -> io::Result<()> {
        self.asked = Some(intended);
        self.filled = 0;
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(request)?;
            return self.flush();
        }
        match self.stream.write(request) {
            Ok(sent) if sent == request.len() => Ok(()),
            Ok(sent) => {
                self.outbox.extend_from_slice(request.get(sent..).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.outbox.extend_from_slice(request);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what is left to send, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let pending = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if pending(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        }
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(sent) => drop(self.outbox.drain(..sent)),
                Err(error) if pending(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there.
    pub(crate) fn receive(&mut self) -> io::Result<Received> {
        if self.filled == self.inbox.len() {
            self.inbox.resize(self.inbox.len() * 2, 0);
        }
        let room = self.inbox.get_mut(self.filled..).unwrap_or_default();
        let read = match &mut self.tls {
            None => self.stream.read(room),
            Some(tls) => read_tls(tls, &mut self.stream, room),
        };
        match read {
            Ok(0) => Ok(Received::Closed),
            Ok(count) => {
                self.filled += count;
                Ok(Received::Bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// What came since the last request.
    pub(crate) fn received(&self) -> &[u8] {
        self.inbox.get(..self.filled).unwrap_or_default()
    }
}

/// Plain bytes of a TLS connection; also sends what its handshake has to say.
fn read_tls(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    room: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(room) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        let count = tls.read_tls(stream)?;
        tls.process_new_packets().map_err(io::Error::other)?;
        while tls.wants_write() {
            tls.write_tls(stream)?;
        }
        if count == 0 {
            return Ok(0);
        }
    }
}
