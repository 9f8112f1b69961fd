//! The smallest HTTP/1.1 client that sends what it is given, byte for byte: odd methods, bodies
//! without a type, the same header twice. Over TLS where the caller says how; one connection a request.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use url::Url;

use crate::tls::trouble;

/// How long to wait for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of an answer, and the longest body.
const HEAD_BYTES_MAX: u64 = 64 * 1024;
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An answer, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Answer {
    /// The status code.
    pub(in crate::cli) status: u16,
    /// Names and values in the order of the wire.
    pub(in crate::cli) headers: Vec<(String, String)>,
    /// The body, transfer codings taken off.
    pub(in crate::cli) body: Vec<u8>,
}

/// Whether the answer to a request has a body (RFC 9110 section 9.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Expect {
    Body,
    HeadOnly,
}

/// What `Host` must say for a URL (RFC 9110 section 7.2).
pub(in crate::cli) fn authority(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default();
    base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The host of a URL as it is looked up, and as certificates name it: an IPv6 address without brackets.
pub(in crate::cli) fn host(base: &Url) -> &str {
    base.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// Sends a request and takes the answer; inside TLS when it is said how.
pub(in crate::cli) fn send(
    base: &Url,
    tls: Option<&Arc<ClientConfig>>,
    request: &[u8],
    expect: Expect,
) -> io::Result<Answer> {
    let host = host(base);
    let mut stream = connect(host, base.port_or_known_default().unwrap_or(80))?;
    let Some(tls) = tls else { return talk(&mut stream, request, expect) };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| malformed("the host is none that a certificate could name"))?;
    let failed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut secured = ClientConnection::new(Arc::clone(tls), name).map_err(failed)?;
    secured.complete_io(&mut stream)?;
    talk(&mut StreamOwned::new(secured, stream), request, expect)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn talk(stream: &mut (impl Read + Write), request: &[u8], expect: Expect) -> io::Result<Answer> {
    // A server may refuse before it has read everything; its answer still counts, and so does
    // what it says of our certificate, which TLS 1.3 tells only after the handshake.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    match (read(&mut BufReader::new(stream), expect), sent) {
        (Err(answer), Err(sent)) if trouble::tls_error(&answer).is_none() => Err(sent),
        (answer, _) => answer,
    }
}

fn read(from: &mut impl BufRead, expect: Expect) -> io::Result<Answer> {
    loop {
        let (status, headers) = read_head(from)?;
        // Interim answers come before the one that counts (RFC 9110 section 15.2).
        if (100..200).contains(&status) {
            continue;
        }
        let body = match expect {
            Expect::Body if status != 204 && status != 304 => read_body(from, &headers)?,
            Expect::Body | Expect::HeadOnly => Vec::new(),
        };
        return Ok(Answer { status, headers, body });
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let mut left = HEAD_BYTES_MAX;
    let status_line = read_line(from, &mut left)?;
    let mut words = status_line.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().and_then(|word| word.parse().ok());
    let status = status.filter(|_| version.starts_with("HTTP/1."));
    let status = status.ok_or_else(|| malformed("the answer is not HTTP/1.1"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from, &mut left)?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("the answer has a header without a colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// A line without its end; bytes beyond ASCII as Latin-1, so that none is lost.
fn read_line(from: &mut impl BufRead, left: &mut u64) -> io::Result<String> {
    let mut line = Vec::new();
    let read = from.by_ref().take(*left).read_until(b'\n', &mut line)?;
    *left = left.saturating_sub(read as u64);
    if line.pop() != Some(b'\n') {
        return Err(malformed("the answer ended in its head, or its head is too long"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line.into_iter().map(char::from).collect())
}

fn read_body(from: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let chunked = header("transfer-encoding").is_some_and(|codings| {
        codings
            .split(',')
            .next_back()
            .is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"))
    });
    if chunked {
        return read_chunks(from);
    }
    let mut body = Vec::new();
    let Some(length) = header("content-length") else {
        from.take(BODY_BYTES_MAX).read_to_end(&mut body)?;
        return Ok(body);
    };
    let length: u64 =
        length.parse().map_err(|_| malformed("the answer's Content-Length is no number"))?;
    read_exactly(from, length, &mut body)?;
    Ok(body)
}

fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut left = HEAD_BYTES_MAX;
        let line = read_line(from, &mut left)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            u64::from_str_radix(size, 16).map_err(|_| malformed("a chunk's size is no number"))?;
        if size == 0 {
            // Trailers, and the empty line after them.
            while !read_line(from, &mut left)?.is_empty() {}
            return Ok(body);
        }
        read_exactly(from, size, &mut body)?;
        read_line(from, &mut left)?;
    }
}

fn read_exactly(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if (body.len() as u64).saturating_add(length) > BODY_BYTES_MAX {
        return Err(malformed("the answer's body is too long"));
    }
    let read = from.by_ref().take(length).read_to_end(body)?;
    if (read as u64) < length { Err(malformed("the answer's body ended early")) } else { Ok(()) }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(wire: &[u8]) -> io::Result<Vec<u8>> {
        read(&mut io::Cursor::new(wire), Expect::Body).map(|answer| answer.body)
    }

    #[test]
    fn bodies_end_where_length_chunks_or_connection_say() {
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").unwrap(), b"ab");
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap(), b"abc");
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(body_of(chunked).unwrap(), b"abc");
        assert_eq!(body_of(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), b"");
        assert_eq!(
            body_of(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc").unwrap(),
            b"abc"
        );
    }

    #[test]
    fn what_is_cut_off_or_not_http_is_an_error() {
        for wire in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc"[..],
            b"HTTP/1.1 200 OK\r\nContent-Len",
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"",
        ] {
            assert!(body_of(wire).is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn the_same_header_twice_stays_twice_and_in_order() {
        let wire = b"HTTP/1.1 200 OK\r\nB: 1\r\na: 2\r\nB: 3\r\nContent-Length: 0\r\n\r\n";
        let answer = read(&mut io::Cursor::new(wire), Expect::Body).unwrap();
        let names: Vec<_> =
            answer.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(names, ["B=1", "a=2", "B=3", "Content-Length=0"]);
    }

    #[test]
    fn the_authority_names_a_port_only_where_the_url_does() {
        let of = |text: &str| authority(&Url::parse(text).unwrap());
        assert_eq!(of("http://127.0.0.1:8080/main"), "127.0.0.1:8080");
        assert_eq!(of("http://example.com/"), "example.com");
        assert_eq!(of("http://[::1]:8080"), "[::1]:8080");
    }
}
