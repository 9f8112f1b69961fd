//! Starts a server for one test and speaks HTTP to it, byte by byte.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use jeton::config::{self, Config};
use jeton::serve::{Listeners, Running, Server, Sources};
use jeton_engine::manage::{Manage, NewClient, NewSecret};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The beginning of every configuration: everything in memory, any free ports.
pub(crate) const IN_MEMORY: &str = "[storage]\nurl = \"sqlite::memory:\"\n";

/// One realm at the root that speaks one dialect.
pub(crate) const GROWTH: &str =
    "[realm.growth]\nissuer = \"https://reporting.example.com\"\ndialects = [\"dt-growth\"]\n";

pub(crate) fn configured(text: &str) -> Config {
    let text = format!("{IN_MEMORY}{text}");
    let parsed = config::parse("jeton.toml", &text, std::iter::empty(), Path::new("/nowhere"));
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) async fn start(text: &str) -> Running {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::open(any, any, 64).unwrap();
    Server::start_on(listeners, configured(text), Sources::default()).await.unwrap()
}

/// Makes a client with the identifier `partner` and gives its secret.
pub(crate) async fn make_client(running: &Running, text: &str, realm: &str) -> String {
    make(
        running,
        text,
        realm,
        NewClient { id: Some("partner".parse().unwrap()), ..NewClient::default() },
    )
    .await
}

pub(crate) async fn make(running: &Running, text: &str, realm: &str, new: NewClient) -> String {
    let manage = Manage::new(running.parts().clone());
    let config = configured(text);
    let supplied = match &new.secret {
        NewSecret::Supplied(secret) => Some(secret.to_string()),
        _ => None,
    };
    let made = manage.create_client(&config.realm(realm).unwrap().realm, new).await.unwrap();
    supplied.unwrap_or_else(|| made.1.unwrap().generated.unwrap().to_string())
}

/// Asks until the server has heard of the client, which was made behind its back.
pub(crate) async fn token_when_known(address: SocketAddr, host: &str, secret: &str) -> Answer {
    timeout(PATIENCE, async {
        loop {
            let answer = ask(address, &growth_request(host, secret)).await;
            if answer.status == 200 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the server hears of a new client within a second")
}

/// Asks again and again until there is an answer to be had: servers hear of changes within a second.
pub(crate) async fn within_patience<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it comes true in time")
}

pub(crate) fn growth_body(secret: &str) -> String {
    format!(
        "{{\"grant_type\":\"client_credentials\",\"client_id\":\"partner\",\"client_secret\":\"{secret}\"}}"
    )
}

pub(crate) fn growth_request(host: &str, secret: &str) -> String {
    post("/auth/v1/token", host, &growth_body(secret))
}

pub(crate) fn post(path: &str, host: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// An answer, head and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut line = Line::open(address).await;
    line.send(request).await;
    line.answer().await
}

/// What a connection is made over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection.
pub(crate) struct Line {
    stream: Box<dyn Wire>,
    unread: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: impl Wire + 'static) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// A connection that soon takes no more unless it is read from.
    pub(crate) async fn open_narrow(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }

    /// Sends, or finds that nobody listens any more.
    pub(crate) async fn send(&mut self, text: &str) -> bool {
        self.send_bytes(text.as_bytes()).await
    }

    /// Sends what need not be text.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    pub(crate) async fn finish_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer on this connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer()).await.expect("an answer comes in time")
    }

    async fn read_answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.take_answer() {
                return answer;
            }
            let count =
                self.stream.read_buf(&mut self.unread).await.expect("the answer is readable");
            assert!(
                count > 0,
                "closed without an answer: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    fn take_answer(&mut self) -> Option<Answer> {
        let text = String::from_utf8_lossy(&self.unread).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer { status, head: head.to_owned(), body: String::new() };
        let length = match answer.header("content-length") {
            Some(length) => length.parse().unwrap(),
            None => 0,
        };
        answer.body = rest.get(..length)?.to_owned();
        self.unread.drain(..head.len() + 4 + length);
        Some(answer)
    }

    /// Waits until the server hangs up; whatever it still said comes back.
    pub(crate) async fn closed(&mut self) -> String {
        let reading = async {
            loop {
                match self.stream.read_buf(&mut self.unread).await {
                    // A reset is a way of hanging up, too.
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        };
        timeout(PATIENCE, reading).await.expect("the server hangs up in time");
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// Whether anything comes within a moment.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let moment = Duration::from_millis(200);
        timeout(moment, self.stream.read_buf(&mut self.unread)).await.is_err()
    }
}
