//! The DPoP proof of a request: the header that it stands in, and the URL that it must be made for
//! (RFC 9449 sections 4.1 and 4.3).

use http::{HeaderMap, HeaderName};
use jeton_engine::confirmation::Confirmation;
use jeton_engine::error::{Error, Reason};
use url::Url;

use super::Front;
use super::original::OriginalRequest;
use super::refusal::put;
use super::route::Site;

/// The header with the proof.
const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header with the nonce for the next one (RFC 9449 section 8.1).
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The proof, where the request has one.
///
/// # Errors
/// When it has several: nobody could say which one counts. Several in one header are no proof, which
/// the engine says of them.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Option<&str>, Reason> {
    let mut all = headers.get_all(DPOP).iter();
    let only = all.next();
    if all.next().is_some() {
        return Err(Reason::ProofTwice);
    }
    // What is no text is no proof either: an empty one says as much.
    Ok(only.map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or_default()))
}

/// The URL of an endpoint as the realm publishes it: from the issuer, never from a header.
pub(crate) fn published_uri(site: &Site, path: &str) -> String {
    format!("{}{path}", site.realm.realm().issuer)
}

/// Hands out the nonce that belongs to this answer, where one does.
pub(crate) fn put_nonce(
    front: &Front,
    site: &Site,
    outcome: Result<&Confirmation, &Error>,
    headers: &mut HeaderMap,
) {
    if let Some(nonce) = front.engine.nonce_with(&site.realm, outcome) {
        put(headers, DPOP_NONCE, &nonce);
    }
}

/// The origin that a gateway names for the requests it asks about: scheme, host and perhaps a port,
/// nothing more.
pub(crate) fn named_origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let origin = url.origin().ascii_serialization();
    // Whatever else the URL had would be lost.
    let is_bare = url.as_str().strip_suffix('/') == Some(origin.as_str());
    is_bare.then_some(origin)
}

/// The URL of a request at a gateway, as its sender wrote it; `None` when the gateway does not tell.
/// The origin is the one that the gateway's operator names, else what a trusted gateway says of the
/// request, else that of the issuer.
pub(crate) fn original_uri(
    site: &Site,
    named: Option<&str>,
    original: OriginalRequest<'_>,
) -> Option<String> {
    let target = original.target?;
    let origin = match (named, original.scheme, original.host) {
        (Some(named), _, _) => named.to_owned(),
        (None, Some(scheme), Some(host)) => format!("{scheme}://{host}"),
        (None, _, _) => Url::parse(&site.realm.realm().issuer).ok()?.origin().ascii_serialization(),
    };
    Some(format!("{origin}{target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port_alone() {
        for (text, origin) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.example.com/", "https://api.example.com"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(named_origin(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "",
            "api.example.com",
            "//api.example.com",
            "https://api.example.com/a",
            "https://api.example.com?a",
            "https://api.example.com#a",
            "https://user@api.example.com",
            "https://user:secret@api.example.com",
            "ftp://api.example.com",
            "https://",
        ] {
            assert_eq!(named_origin(text), None, "{text}");
        }
    }
}
