//! Requests to other servers: plain HTTP to this machine, and nothing else in this version.

use url::{Host, Url};

use super::dialect::wire::{self, Answer, Expect};
use super::failure::Failure;

/// Sends a request with these headers and this body, and takes the answer.
pub(super) fn fetch(method: &str, url: &Url, headers: &str, body: &str) -> Result<Answer, Failure> {
    check(url)?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = wire::authority(url);
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    wire::send(url, request.as_bytes(), Expect::Body)
        .map_err(|error| Failure::failed(format!("no answer: {error}")).at(url))
}

/// A URL as it was typed.
pub(super) fn url(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        Failure::usage(format!("this is not a URL: {error}"))
            .at(text)
            .next("http://127.0.0.1:8080/main/oauth2/introspect")
    })
}

fn check(url: &Url) -> Result<(), Failure> {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "http" if is_here => Ok(()),
        "http" => Err(Failure::usage("plain http would send everything in the clear").at(url)),
        _ => Err(Failure::usage("https is not available in this version of jeton")
            .at(url)
            .next("fetch it with curl and give the file")),
    }
}
