//! `jeton dialect replay`: a dialect's exchanges, sent to a realm, anybody's; a diff where it answers
//! otherwise.

use std::sync::Arc;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use jeton_dialect::exchange::{Difference, Exchange, Request, Response, compare_live};
use jeton_dialect::{Dialect, Folder};
use jeton_engine::name::DialectName;
use serde_json::{Value, json};
use url::Url;

use super::script::Script;
use super::stand_in::{self, Replacement};
use super::wire::{self, Expect};
use crate::cli::failure::Failure;
use crate::cli::fetch::Trust;
use crate::cli::output::{Cell, Form, Output};
use crate::cli::secret_input::ClientSecret;
use crate::tls::trouble;

/// What to send where.
#[derive(Args, Debug)]
pub(in crate::cli) struct Replay {
    /// The dialect's name
    #[arg(value_name = "NAME")]
    name: DialectName,
    /// The realm's issuer URL: what stands before the dialect's own path
    #[arg(long, value_name = "BASE")]
    url: Url,
    /// A client that stands in for the exchanges' first one
    #[arg(long, value_name = "ID", requires = "secret", allow_hyphen_values = true)]
    client_id: Option<String>,
    #[command(flatten)]
    secret: ClientSecret,
    #[command(flatten)]
    trust: Trust,
}

impl Replay {
    /// The dialect's name.
    pub(super) fn name(&self) -> &DialectName {
        &self.name
    }
}

/// Where the exchanges go, and how TLS is spoken there.
struct Target<'a> {
    base: &'a Url,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// What became of one exchange.
enum Outcome {
    Passed,
    Differs(Vec<Difference>),
    /// No answer came.
    Broken(String),
    /// It says nothing about this server.
    Skipped(&'static str),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Differs(_) => "differs",
            Self::Broken(_) => "broken",
            Self::Skipped(_) => "skipped",
        }
    }
}

/// Sends the exchanges one after the other.
pub(super) fn run(replay: &Replay, folder: &Folder, output: Output) -> Result<(), Failure> {
    if !["http", "https"].contains(&replay.url.scheme()) || replay.url.host_str().is_none() {
        return Err(Failure::usage(format!("{} is not an http:// or https:// URL", replay.url))
            .next("--url https://auth.example.com/REALM"));
    }
    let target = Target { base: &replay.url, tls: replay.trust.tls(&replay.url)? };
    let script = Script::read(folder)
        .map_err(|problems| Failure::failed(format!("the exchanges have problems\n{problems}")))?;
    if script.exchanges.is_empty() {
        return Err(Failure::failed(format!("dialect {} has no exchanges", replay.name))
            .next("files NAME.http in the folder `exchanges` beside dialect.toml"));
    }
    let own = replay.secret.read()?;
    let own = replay.client_id.as_deref().zip(own.as_deref().map(String::as_str));
    let mut outcomes = Vec::new();
    let mut reached = false;
    for (name, exchange) in &script.exchanges {
        let outcome = match prepare(exchange, &script, own) {
            Ok(request) => play(&folder.dialect, &target, exchange, &request),
            Err(reason) => Outcome::Skipped(reason),
        };
        if !reached && let Outcome::Broken(error) = &outcome {
            return Err(Failure::failed(error.as_str())
                .at(&replay.url)
                .next("is the server running? jeton serve; for built-in dialects, jeton dev"));
        }
        reached |= !matches!(outcome, Outcome::Skipped(_));
        if output.form() != Form::Json {
            print(name, exchange, &outcome, output)?;
        }
        outcomes.push((name, exchange, outcome));
    }
    summarize(replay, &outcomes, output)
}

/// The request to send, or why there is none.
fn prepare(
    exchange: &Exchange,
    script: &Script,
    own: Option<(&str, &str)>,
) -> Result<Request, &'static str> {
    if exchange.breaks.is_some() {
        return Err("it needs a server that is broken");
    }
    if exchange.expires {
        return Err("what it shows has expired by now");
    }
    if !exchange.source.is_loopback() {
        return Err("it needs a caller at another address");
    }
    let Some((id, secret)) = own else { return Ok(exchange.request.clone()) };
    let principal = script.principal();
    let others = script.cast.clients.iter().map(|client| client.id.as_str());
    let mut others = others.filter(|other| principal.is_none_or(|(known, _)| known != *other));
    if others.any(|other| stand_in::mentions(&exchange.request, other)) {
        return Err("it needs another client of the exchanges");
    }
    let Some((known_id, known_secret)) = principal else { return Ok(exchange.request.clone()) };
    let replacements =
        [Replacement { old: known_secret, new: secret }, Replacement { old: known_id, new: id }];
    Ok(stand_in::replace(&exchange.request, &replacements))
}

/// Sends the request as often as the exchange says; the last answer counts.
fn play(dialect: &Dialect, target: &Target<'_>, exchange: &Exchange, request: &Request) -> Outcome {
    let bytes = serialize(target.base, request);
    let expect = if request.method == http::Method::HEAD { Expect::HeadOnly } else { Expect::Body };
    let mut last = None;
    for _ in 0..exchange.times {
        match wire::send(target.base, target.tls.as_ref(), &bytes, expect) {
            Ok(answer) => last = Some(answer),
            Err(error) => return Outcome::Broken(unanswered(&error, target.base)),
        }
    }
    let Some(actual) = last.map(response) else { return Outcome::Skipped("it is never sent") };
    let differences = compare_live(dialect, &exchange.response, &actual);
    if differences.is_empty() { Outcome::Passed } else { Outcome::Differs(differences) }
}

fn unanswered(error: &std::io::Error, base: &Url) -> String {
    match trouble::tls_error(error) {
        Some(error) => trouble::explain(error, wire::host(base)).what,
        None => format!("no answer came: {error}"),
    }
}

/// The bytes of a request. Host, length and the end of the connection are our business, unless the
/// exchange says otherwise.
fn serialize(base: &Url, request: &Request) -> Vec<u8> {
    let prefix = base.path().trim_end_matches('/');
    let mut bytes = format!(
        "{} {prefix}{} HTTP/1.1\r\nHost: {}\r\n",
        request.method,
        request.target,
        wire::authority(base)
    )
    .into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let says = |name: &str| request.headers.contains_key(name);
    let may_have_a_body = !["GET", "HEAD", "OPTIONS", "TRACE"].contains(&request.method.as_str());
    if !says("content-length")
        && !says("transfer-encoding")
        && (may_have_a_body || !request.body.is_empty())
    {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", request.body.len()).as_bytes());
    }
    if !says("connection") {
        bytes.extend_from_slice(b"Connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&request.body);
    bytes
}

fn response(answer: wire::Answer) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        // The head was read as Latin-1; a header that is none of HTTP's is no part of a dialect.
        let bytes: Vec<u8> =
            value.chars().filter_map(|character| u8::try_from(character).ok()).collect();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&bytes))
        {
            headers.append(name, value);
        }
    }
    Response { status: answer.status, headers, body: answer.body }
}

fn print(
    name: &str,
    exchange: &Exchange,
    outcome: &Outcome,
    output: Output,
) -> Result<(), Failure> {
    let word = match outcome {
        Outcome::Passed => Cell::good(outcome.word()),
        Outcome::Differs(_) | Outcome::Broken(_) => Cell::bad(outcome.word()),
        Outcome::Skipped(_) => Cell::new(outcome.word()),
    };
    let told = match outcome {
        Outcome::Skipped(reason) => *reason,
        Outcome::Passed | Outcome::Differs(_) | Outcome::Broken(_) => exchange.proves.as_str(),
    };
    output.table_row(&[word, Cell::new(name), Cell::new(told)])?;
    match outcome {
        Outcome::Differs(differences) => differences.iter().try_for_each(|difference| {
            output.line(&format!("  {}", difference.to_string().replace('\n', "\n  ")))
        }),
        Outcome::Broken(error) => output.line(&format!("  {error}")),
        Outcome::Passed | Outcome::Skipped(_) => Ok(()),
    }
}

fn summarize(
    replay: &Replay,
    outcomes: &[(&String, &Exchange, Outcome)],
    output: Output,
) -> Result<(), Failure> {
    let count = |word: &str| outcomes.iter().filter(|(.., outcome)| outcome.word() == word).count();
    let (passed, skipped) = (count("passed"), count("skipped"));
    let failed = outcomes.len() - passed - skipped;
    if output.form() == Form::Json {
        let exchanges: Vec<_> = outcomes
            .iter()
            .map(|(name, exchange, outcome)| listed(name, exchange, outcome))
            .collect();
        output.json(&json!({
            "dialect": replay.name, "url": replay.url.as_str(), "passed": passed, "failed": failed,
            "skipped": skipped, "exchanges": exchanges,
        }))?;
    } else {
        let total = outcomes.len();
        output.line(&format!(
            "{total} exchanges: {passed} passed, {failed} failed, {skipped} skipped"
        ))?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Said) }
}

fn listed(name: &str, exchange: &Exchange, outcome: &Outcome) -> Value {
    let (differences, reason) = match outcome {
        Outcome::Passed => (Vec::new(), None),
        Outcome::Differs(differences) => (differences.iter().map(difference).collect(), None),
        Outcome::Broken(error) => (Vec::new(), Some(error.as_str())),
        Outcome::Skipped(reason) => (Vec::new(), Some(*reason)),
    };
    json!({
        "name": name, "proves": exchange.proves, "result": outcome.word(),
        "differences": differences, "reason": reason,
    })
}

fn difference(found: &Difference) -> Value {
    json!({ "place": found.place, "expected": found.expected, "actual": found.actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_out_below_the_realm_with_what_the_exchange_says_and_no_more() {
        let base = Url::parse("http://127.0.0.1:8080/main/").unwrap();
        let mut headers = HeaderMap::new();
        headers.append("content-type", "a/b".parse().unwrap());
        headers.append("content-type", "c/d".parse().unwrap());
        let post = Request {
            method: http::Method::POST,
            target: "/t?x=1".to_owned(),
            headers,
            body: b"{}".to_vec(),
        };
        assert_eq!(
            String::from_utf8(serialize(&base, &post)).unwrap(),
            "POST /main/t?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\ncontent-type: a/b\r\ncontent-type: c/d\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        );
        let get = Request {
            method: http::Method::GET,
            body: Vec::new(),
            headers: HeaderMap::new(),
            ..post
        };
        assert!(!String::from_utf8(serialize(&base, &get)).unwrap().contains("Content-Length"));
    }
}
