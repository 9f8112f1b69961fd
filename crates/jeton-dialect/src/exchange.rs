//! Exchanges: one recorded request with its response each. Tests and documentation at once.

mod cast;
mod compare;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jeton_engine::clock::Time;

use crate::problem::{Finder, Problems, nearest};

pub use cast::{Cast, CastClient, CastKey, CastSecret, CastState};
pub use compare::{Difference, compare, compare_live};

/// When exchanges happen that do not say: 2026-01-01T00:00:00Z.
pub const TIME: Time = Time::from_seconds(1_767_225_600);
/// The seed of exchanges that do not say.
pub const SEED: u64 = 1;
/// The line between request and response.
const DIVIDER: &str = "---";

/// A recorded request with its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What it proves: the comment at the top.
    pub proves: String,
    /// When it happens.
    pub time: Time,
    /// What randomness starts from.
    pub seed: u64,
    /// How often the request is sent; the response is the last one's.
    pub times: u32,
    /// Where the caller is.
    pub source: IpAddr,
    /// Whether the request shows something that only holds at that time; such an exchange cannot be
    /// replayed at another.
    pub expires: bool,
    /// What breaks on our side meanwhile; such an exchange cannot be replayed elsewhere.
    pub breaks: Option<Breaks>,
    /// The request.
    pub request: Request,
    /// The response.
    pub response: Response,
}

/// What breaks on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaks {
    /// The store fails: `server_error`.
    Store,
    /// More is asked than can be done: `unavailable`.
    Capacity,
}

/// A recorded request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its headers. Host and length are the sender's business.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Request {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, when there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

/// A recorded response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers. Length and date are the server's business.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// Parses an exchange file.
///
/// # Errors
/// Every problem of the file at once.
pub fn parse(file: &str, text: &str) -> Result<Exchange, Problems> {
    let mut finder = Finder::new(file, text);
    let mut lines = Lines::new(text);
    let exchange = read(&mut lines, &mut finder);
    let problems = finder.finish();
    match exchange {
        Some(exchange) if problems.is_empty() => Ok(exchange),
        _ if problems.is_empty() => Err(Problems::with_file(file, "this is no exchange")),
        _ => Err(problems),
    }
}

/// The lines of a file with their places.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<(&'a str, Range<usize>)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or_default();
        Some((line, self.at..self.at + line.len()))
    }

    fn next(&mut self) -> Option<(&'a str, Range<usize>)> {
        let (line, span) = self.peek()?;
        self.at = (span.end + 1).min(self.text.len());
        Some((line, span))
    }

    fn skip_blank(&mut self) {
        while self.peek().is_some_and(|(line, _)| line.trim().is_empty()) {
            self.next();
        }
    }

    /// The lines up to the divider or the end, without the line breaks at the end.
    fn body(&mut self) -> &'a str {
        let start = self.at;
        let mut end = start;
        while let Some((line, span)) = self.next() {
            if line == DIVIDER {
                break;
            }
            end = span.end;
        }
        self.text.get(start..end).unwrap_or_default().trim_end_matches('\n')
    }

    fn here(&self) -> Range<usize> {
        self.peek().map_or(self.text.len()..self.text.len(), |(_, span)| span)
    }
}

/// The lines that begin with `@`.
struct Directives {
    time: Time,
    seed: u64,
    times: u32,
    source: IpAddr,
    expires: bool,
    breaks: Option<Breaks>,
    body_hex: bool,
    pad: usize,
}

fn read(lines: &mut Lines<'_>, finder: &mut Finder<'_>) -> Option<Exchange> {
    let mut proves = Vec::new();
    while let Some((line, _)) = lines.peek().filter(|(line, _)| line.starts_with('#')) {
        proves.push(line.trim_start_matches('#').trim().to_owned());
        lines.next();
    }
    if proves.is_empty() {
        finder.at(&lines.here(), "this does not say what it proves", "begin with a line `# …`");
    }
    let directives = directives(lines, finder);
    let request = request(lines, &directives, finder);
    lines.skip_blank();
    let response = response(lines, finder);
    Some(Exchange {
        proves: proves.join(" "),
        time: directives.time,
        seed: directives.seed,
        times: directives.times,
        source: directives.source,
        expires: directives.expires,
        breaks: directives.breaks,
        request: request?,
        response: response?,
    })
}

fn directives(lines: &mut Lines<'_>, finder: &mut Finder<'_>) -> Directives {
    const KNOWN: [&str; 8] =
        ["time", "seed", "times", "source", "expires", "breaks", "body-hex", "pad"];
    let mut read = Directives {
        time: TIME,
        seed: SEED,
        times: 1,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        expires: false,
        breaks: None,
        body_hex: false,
        pad: 0,
    };
    while let Some((line, span)) = lines.peek() {
        let Some(directive) = line.strip_prefix('@') else { break };
        lines.next();
        let (name, value) = directive.split_once(' ').unwrap_or((directive, ""));
        let value = value.trim();
        let understood = match name {
            "time" => value.parse().ok().map(|moment: jiff::Timestamp| {
                read.time = Time::from_milliseconds(moment.as_millisecond());
            }),
            "seed" => value.parse().ok().map(|seed| read.seed = seed),
            "times" => {
                value.parse().ok().filter(|times| *times > 0).map(|times| read.times = times)
            }
            "source" => value.parse().ok().map(|source| read.source = source),
            "pad" => value.parse().ok().map(|pad| read.pad = pad),
            "body-hex" => value.is_empty().then(|| read.body_hex = true),
            "expires" => value.is_empty().then(|| read.expires = true),
            "breaks" => match value {
                "store" => Some(Breaks::Store),
                "capacity" => Some(Breaks::Capacity),
                _ => None,
            }
            .map(|breaks| read.breaks = Some(breaks)),
            _ => {
                let message = format!("there is no directive `@{name}`");
                let near = nearest(name, KNOWN).map(|known| format!("did you mean `@{known}`?"));
                let remedy = near.unwrap_or_else(|| format!("known here: @{}", KNOWN.join(", @")));
                finder.at(&span, message, remedy);
                continue;
            }
        };
        if understood.is_none() {
            finder.at(&span, format!("`@{name}` cannot have this value"), usage(name));
        }
    }
    lines.skip_blank();
    read
}

/// How a directive is written.
fn usage(name: &str) -> &'static str {
    match name {
        "time" => "write a moment, such as `@time 2019-10-02T11:48:20Z`",
        "seed" => "write a whole number, such as `@seed 2`",
        "times" => "write a whole number from 1, such as `@times 101`",
        "source" => "write an address, such as `@source 203.0.113.9`",
        "pad" => "write a whole number, such as `@pad 70000`",
        "expires" => "write `@expires` alone; `@time` says when it holds",
        "body-hex" => "write `@body-hex` alone; the hex digits stand in the body",
        _ => "write `@breaks store` or `@breaks capacity`",
    }
}

fn request(
    lines: &mut Lines<'_>,
    directives: &Directives,
    finder: &mut Finder<'_>,
) -> Option<Request> {
    let (line, span) = lines.next()?;
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts.as_slice() else {
        let remedy = "write the request line, such as `POST /auth/v1/token HTTP/1.1`";
        finder.at(&span, "this is no request line", remedy);
        lines.body();
        return None;
    };
    let headers = headers(lines, finder);
    let text = lines.body();
    let mut body = if directives.body_hex {
        let bytes = unhex(text);
        if bytes.is_none() {
            finder.at(&span, "the body is not hex", "write two hex digits for every byte");
        }
        bytes?
    } else {
        text.as_bytes().to_vec()
    };
    body.resize(body.len() + directives.pad, b' ');
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    Some(Request { method, target: (*target).to_owned(), headers, body })
}

fn response(lines: &mut Lines<'_>, finder: &mut Finder<'_>) -> Option<Response> {
    let Some((line, span)) = lines.next() else {
        let remedy = "after a line `---` comes the response, such as `HTTP/1.1 200 OK`";
        finder.at(&lines.here(), "there is no response", remedy);
        return None;
    };
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    if status.is_none() {
        finder.at(&span, "this is no status line", "write it as in `HTTP/1.1 200 OK`");
    }
    let headers = headers(lines, finder);
    let body = lines.body().as_bytes().to_vec();
    Some(Response { status: status?, headers, body })
}

/// Headers, up to the blank line after them, or to the divider when there is no body.
fn headers(lines: &mut Lines<'_>, finder: &mut Finder<'_>) -> HeaderMap {
    let mut read = HeaderMap::new();
    while let Some((line, span)) = lines.peek() {
        if line == DIVIDER {
            break;
        }
        lines.next();
        if line.is_empty() {
            break;
        }
        let parsed = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.trim().as_bytes()).ok()?))
        });
        match parsed {
            Some((name, value)) => {
                read.append(name, value);
            }
            None => finder.at(&span, "this is no header", "write `Name: value`"),
        }
    }
    read
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .map(|character| character.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Proves a thing.\n# And another.\n@times 3\n@time 2019-10-02T11:48:20Z\n\n\
        POST /a?b=c HTTP/1.1\nContent-Type: text/plain\n\nline one\n\nline two\n\n---\n\n\
        HTTP/1.1 405 Method Not Allowed\nAllow: GET\n";

    #[test]
    fn a_file_is_directives_a_request_and_a_response() {
        let exchange = parse("a.http", TEXT).unwrap();
        assert_eq!(exchange.proves, "Proves a thing. And another.");
        assert_eq!((exchange.times, exchange.time), (3, Time::from_seconds(1_570_016_900)));
        assert_eq!((exchange.request.path(), exchange.request.query()), ("/a", Some("b=c")));
        assert_eq!(exchange.request.body, b"line one\n\nline two");
        assert_eq!(exchange.response.status, 405);
        assert_eq!(exchange.response.headers.get("allow").unwrap(), "GET");
        assert!(exchange.response.body.is_empty());
    }

    #[test]
    fn odd_bytes_are_said_in_hex_and_long_bodies_by_padding() {
        let text = "# x\n@body-hex\n@pad 2\n\nPOST / HTTP/1.1\n\nefbb bf\n7B\n---\nHTTP/1.1 400\n";
        assert_eq!(parse("a.http", text).unwrap().request.body, b"\xef\xbb\xbf{  ");
    }

    #[test]
    fn a_request_may_show_what_expires() {
        let parse = |words: &str| {
            parse("a.http", &format!("# x\n{words}\nPOST / HTTP/1.1\n\n---\nHTTP/1.1 400\n"))
        };
        assert!(parse("@expires\n").unwrap().expires);
        assert!(!parse("").unwrap().expires);
        assert!(parse("@expires soon\n").is_err());
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let text = "@tims 3\n@seed x\n\nPOST /\nno header\n---\nHTTP/1.1 abc\n";
        let problems = parse("a.http", text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(|problem| problem.line.unwrap()).collect();
        assert_eq!(lines, [1, 1, 2, 4, 7], "{problems}");
        assert!(problems.to_string().contains("did you mean `@times`?"), "{problems}");
    }
}
