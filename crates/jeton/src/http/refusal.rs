//! What callers of the protocol's endpoints hear when the answer is no: RFC 6749 section 5.2, with
//! constant texts and the reference under which the log knows more.

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use jeton_engine::error::{Error, Kind};
use jeton_engine::event::Reference;
use jeton_engine::name::RealmName;

/// The header that carries the reference.
pub(crate) const REFERENCE: HeaderName = HeaderName::from_static("jeton-reference");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The answer in this realm. Every 401 carries a challenge (RFC 9110 section 15.5.2), also where the
/// secret came in the form and RFC 6749 section 5.2 would do without.
pub(crate) fn answer(
    error: &Error,
    reference: Reference,
    realm: &RealmName,
) -> Response<Full<Bytes>> {
    let kind = error.kind();
    let (status, code) = row(kind);
    let description = match kind {
        // Of this kind is only a token that is somebody else's.
        Kind::Forbidden => "The token was issued to another client.",
        kind => kind.message(),
    };
    let mut response = json(status, code, description);
    let headers = response.headers_mut();
    put(headers, REFERENCE, reference.as_str());
    if status == StatusCode::UNAUTHORIZED {
        put(headers, WWW_AUTHENTICATE, &format!("Basic realm=\"{realm}\""));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        put(headers, ALLOW, "POST");
    }
    retry_later(error, headers);
    response
}

/// Tells when to try again, where that helps; a fault may always be over in a moment.
pub(crate) fn retry_later(error: &Error, headers: &mut HeaderMap) {
    let wait = match (error.retry_after(), error) {
        (Some(wait), _) => wait.as_millis().div_ceil(1000).max(1),
        (None, Error::Fault(_)) => 1,
        (None, Error::Refusal(_)) => return,
    };
    put(headers, RETRY_AFTER, &wait.to_string());
}

/// An answer with `error` and `error_description`.
pub(crate) fn json(status: StatusCode, code: &str, description: &str) -> Response<Full<Bytes>> {
    // Both texts are ours and have no character that JSON would have to escape.
    let body = format!("{{\"error\":\"{code}\",\"error_description\":\"{description}\"}}");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Status and code of each kind. Every fault is 503: the caller must take it that nothing was done
/// and may try again (RFC 7009 section 2.2.1).
fn row(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::NotFound => (StatusCode::NOT_FOUND, "invalid_request"),
        Kind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request"),
        Kind::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
        Kind::InvalidClient
        | Kind::MalformedAuthorization
        | Kind::ClientDisabled
        | Kind::SourceNotAllowed => (StatusCode::UNAUTHORIZED, "invalid_client"),
        Kind::Forbidden => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        Kind::RateLimited | Kind::SlowDown => {
            (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable")
        }
        Kind::ServerError | Kind::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
        Kind::Refused
        | Kind::InvalidRequest
        | Kind::MediaType
        | Kind::EmptyBody
        | Kind::MalformedBody
        | Kind::DuplicateParameter
        | Kind::MissingParameter
        | Kind::InvalidParameter
        | Kind::SeveralAuthentications
        | Kind::UnsupportedGrantType
        | Kind::InvalidScope
        | Kind::InvalidTarget
        | Kind::InvalidDpopProof
        | Kind::UseDpopNonce => (StatusCode::BAD_REQUEST, "invalid_request"),
    }
}
