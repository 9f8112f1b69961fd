//! A client's side of HTTP/1.1 that knows whether a request was answered: that decides what the
//! oracle may hold against the server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A whole request, as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Request(pub(crate) Vec<u8>);

impl Request {
    /// One without a body.
    pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Self {
        Self::new("GET", path, headers, "")
    }

    /// One with a form as its body.
    pub(crate) fn form(path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        Self::new("POST", path, &all, &body)
    }

    fn new(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: jeton.test\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        Self(text.into_bytes())
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its status line and headers.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, the first of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered, whole.
    Answered(Answer),
    /// It was not sent: nobody took the connection.
    NotSent(String),
    /// It was sent, in part at least, and no whole answer came. It may have been obeyed or not.
    Unanswered(String),
}

impl Outcome {
    /// The answer, if there was one.
    pub(crate) fn answer(self) -> Option<Answer> {
        match self {
            Self::Answered(answer) => Some(answer),
            Self::NotSent(_) | Self::Unanswered(_) => None,
        }
    }
}

/// A way to a server: one connection that is kept, and made anew when it was closed.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    patience: Duration,
    line: Option<Line>,
}

#[derive(Debug)]
struct Line {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    /// A way to this address, on which answers are waited for as long as this.
    pub(crate) fn to(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, line: None }
    }

    /// Goes to another address from now on.
    pub(crate) fn turn_to(&mut self, address: SocketAddr) {
        if self.address != address {
            self.address = address;
            self.line = None;
        }
    }

    /// Opens the connection now, if there is none.
    pub(crate) async fn open(&mut self) -> io::Result<()> {
        // As every client does that keeps connections: one that was closed meanwhile is not used.
        if self.line.as_ref().is_some_and(Line::is_closed) {
            self.line = None;
        }
        if self.line.is_none() {
            let connecting = timeout(CONNECT_WITHIN, TcpStream::connect(self.address));
            let stream = connecting.await.map_err(|_| io::ErrorKind::TimedOut)??;
            stream.set_nodelay(true)?;
            self.line = Some(Line { stream, unread: Vec::new() });
        }
        Ok(())
    }

    /// Sends a request and waits for its answer. Nothing is ever sent twice.
    pub(crate) async fn ask(&mut self, request: &Request) -> Outcome {
        if let Err(error) = self.open().await {
            return Outcome::NotSent(error.to_string());
        }
        let Some(mut line) = self.line.take() else {
            return Outcome::NotSent("there is no connection".to_owned());
        };
        match timeout(self.patience, line.exchange(request)).await {
            Ok(Ok(answer)) => {
                if !answer.closes() {
                    self.line = Some(line);
                }
                Outcome::Answered(answer)
            }
            Ok(Err(error)) => Outcome::Unanswered(error.to_string()),
            Err(_) => Outcome::Unanswered("no answer in time".to_owned()),
        }
    }
}

impl Line {
    fn is_closed(&self) -> bool {
        let mut byte = [0];
        // Nothing is expected now; whatever comes but nothing is the end.
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        self.stream.write_all(&request.0).await?;
        loop {
            if let Some(answer) = self.take_answer()? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                let bytes = self.unread.len();
                return Err(io::Error::other(format!("closed after {bytes} bytes of an answer")));
            }
            if self.unread.len() > ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
        }
    }

    /// The answer, once it is there whole. Those of the token endpoint all say their length.
    fn take_answer(&mut self) -> io::Result<Option<Answer>> {
        let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(self.unread.get(..end).unwrap_or_default()).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("this is no answer"))?;
        let mut answer = Answer { status, head, body: String::new() };
        let length = match answer.header("content-length").map(str::parse) {
            Some(Ok(length)) => length,
            Some(Err(_)) => return Err(io::Error::other("the length is no number")),
            None if status == 204 || status == 304 => 0,
            None => return Err(io::Error::other("the answer has no length")),
        };
        let Some(body) = self.unread.get(end + 4..end + 4 + length) else { return Ok(None) };
        answer.body = String::from_utf8_lossy(body).into_owned();
        self.unread.drain(..end + 4 + length);
        Ok(Some(answer))
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: &Request, patience: Duration) -> Outcome {
    Connection::to(address, patience).ask(request).await
}
