//! A public document that changes seldom: who has it already is not sent it again.

use std::fmt::Display;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jeton_engine::rotate::Rotation;

/// A document and what is said of it.
pub(crate) struct Document {
    pub(crate) media_type: &'static str,
    pub(crate) text: String,
    /// Changes with the text, within the characters of an entity tag.
    pub(crate) version: String,
}

impl Document {
    /// Answers `GET` and `HEAD`; with 304 when the caller has this version (RFC 9110 section 13.1.2).
    pub(crate) fn answer(self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return not_allowed();
        }
        let tag = format!("\"{}\"", self.version);
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        put(headers, CACHE_CONTROL, format_args!("public, max-age={}", Rotation::CACHE_SECONDS));
        put(headers, ETAG, &tag);
        if has_already(request.headers(), &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        put(headers, CONTENT_TYPE, self.media_type);
        if *request.method() == Method::HEAD {
            put(headers, CONTENT_LENGTH, self.text.len());
        } else {
            *response.body_mut() = Full::new(Bytes::from(self.text));
        }
        response
    }
}

/// Whether `If-None-Match` names this entity tag, or any. A weak tag is as good (RFC 9110 section
/// 8.8.3.2).
fn has_already(headers: &HeaderMap, tag: &str) -> bool {
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    let mut named = fields.flat_map(|field| field.split(',')).map(str::trim);
    named.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: impl Display) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        headers.insert(name, value);
    }
}

fn not_allowed() -> Response<Full<Bytes>> {
    let mut response = super::plain(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_any_list_and_any_strength_but_only_whole() {
        for (value, found) in [
            ("\"v1\"", true),
            ("W/\"v1\"", true),
            ("\"v0\", \"v1\"", true),
            ("*", true),
            ("\"v10\"", false),
            ("v1", false),
            ("\"V1\"", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            assert_eq!(has_already(&headers, "\"v1\""), found, "{value}");
        }
        assert!(!has_already(&HeaderMap::new(), "\"v1\""));
    }
}
