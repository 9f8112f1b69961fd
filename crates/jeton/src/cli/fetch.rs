//! Requests to other servers: https to anywhere, plain http to this machine, and nothing else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jeton_engine::clock::Clock;
use rustls::ClientConfig;
use url::{Host, Url};

use super::dialect::wire::{self, Answer, Expect};
use super::failure::Failure;
use crate::tls::{Identity, TlsError, client, trouble};

/// Whom we trust, and as whom we come, when another server is called by https.
#[derive(Args, Debug)]
pub(super) struct Trust {
    /// Trust the authorities in this PEM file too, besides those that this machine trusts
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Show this certificate (PEM, with those that lead to its root) to a server that asks for one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM, not encrypted)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

impl Trust {
    /// Whether there is a certificate to be known by.
    pub(super) fn has_certificate(&self) -> bool {
        self.tls_certificate.is_some()
    }

    /// How to speak TLS with the server of a URL; nothing where it is http.
    pub(super) fn tls(&self, url: &Url) -> Result<Option<Arc<ClientConfig>>, Failure> {
        if url.scheme() != "https" {
            let shown = self.has_certificate();
            let refused = "a certificate can only be shown by https";
            return if shown { Err(Failure::usage(refused).at(url)) } else { Ok(None) };
        }
        let roots = client::roots(self.ca_file.as_deref()).map_err(|error| unusable(&error))?;
        let identity = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity::read(certificate, key).map_err(|error| unusable(&error))?)
            }
            _ => None,
        };
        let config =
            client::config(roots, identity, Clock::System).map_err(|error| unusable(&error))?;
        Ok(Some(Arc::new(config)))
    }
}

fn unusable(error: &TlsError) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        TlsError::NoRoots => failure.next("--ca-file FILE, or the package ca-certificates"),
        _ => failure,
    }
}

/// A request to another server.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// Whole header lines, each with its end.
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

/// Sends it and takes the answer. A redirect is an answer like any other: it is not followed, so that
/// no secret goes where nobody sent it.
pub(super) fn fetch(request: &Request<'_>, trust: &Trust) -> Result<Answer, Failure> {
    let Request { method, url, headers, body } = *request;
    check(url)?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = wire::authority(url);
    let length = body.len();
    let request = zeroize::Zeroizing::new(format!(
        "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    ));
    let tls = trust.tls(url)?;
    wire::send(url, tls.as_ref(), request.as_bytes(), Expect::Body)
        .map_err(|error| unanswered(&error, url))
}

/// Why there is no answer, and what to do.
fn unanswered(error: &io::Error, url: &Url) -> Failure {
    let Some(error) = trouble::tls_error(error) else {
        return Failure::failed(format!("no answer: {error}")).at(url);
    };
    let trouble = trouble::explain(error, wire::host(url));
    let failure = Failure::failed(trouble.what).at(url);
    match trouble.next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// A URL as it was typed.
pub(super) fn url(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        Failure::usage(format!("this is not a URL: {error}"))
            .at(text)
            .next("https://auth.example.com/main/oauth2/introspect")
    })
}

fn check(url: &Url) -> Result<(), Failure> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("a URL may not carry a name or a password"));
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        "http" => Err(Failure::usage("plain http would send everything in the clear")
            .at(url)
            .next("the same URL with https")),
        _ => Err(Failure::usage("only https URLs can be called, and http on this machine").at(url)),
    }
}
