//! The JWK set (RFC 7517 section 5): the realm's public keys, upcoming and retired ones among them.
//! A symmetric key is never among them.
//!
//! The media type is the one that RFC 7517 section 8.5.2 registers. Libraries that look at it take
//! it beside `application/json`; most do not look.

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};

use super::document::Document;
use super::route::Site;

/// Answers with the JWK set.
pub(crate) fn answer(site: &Site, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let keys = site.realm.published_keys();
    let document = Document {
        media_type: "application/jwk-set+json",
        text: keys.json.clone(),
        version: keys.version.clone(),
    };
    document.answer(request)
}
