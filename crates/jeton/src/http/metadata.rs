//! Authorization server metadata (RFC 8414): registered members only, and just what is switched on.
//!
//! Every URL is made from the issuer, never from what a request says of its host. One document
//! serves both positions and both names, so that whoever computes one of them finds the same.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Map, Value, json};

use super::document::Document;
use super::endpoint;
use super::route::Site;

/// The dialect that standard clients speak.
const STANDARD_DIALECT: &str = "rfc6749";

/// Answers with the metadata.
pub(crate) fn answer(site: &Site, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let text = Value::Object(metadata(site)).to_string();
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let version = format!("{:016x}", hasher.finish());
    Document { media_type: "application/json", text, version }.answer(request)
}

fn metadata(site: &Site) -> Map<String, Value> {
    let realm = site.realm.realm();
    let url = |path: &str| Value::from(format!("{}{path}", realm.issuer));
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);

    put("issuer", realm.issuer.as_str().into());
    // The member is required. Where nobody speaks the standard dialect, the first one's endpoint is
    // still where this realm's tokens come from.
    let standard =
        site.mounts.iter().find(|mount| mount.dialect.name().as_str() == STANDARD_DIALECT);
    if let Some(mount) = standard.or_else(|| site.mounts.first()) {
        put("token_endpoint", url(mount.dialect.path()));
        put("token_endpoint_auth_methods_supported", methods(&mount.terms.authentication));
    }
    // A set without keys would only make clients wait for one.
    if site.realm.published_keys().count > 0 {
        put("jwks_uri", url(endpoint::JWKS));
    }
    if !realm.scopes.is_empty() {
        put("scopes_supported", realm.scopes.tokens().collect());
    }
    // Required as well, and empty: there is no authorization endpoint.
    put("response_types_supported", json!([]));
    put("grant_types_supported", json!(["client_credentials"]));
    let any = methods(&site.terms.authentication);
    put("introspection_endpoint", url(endpoint::INTROSPECT));
    put("introspection_endpoint_auth_methods_supported", any.clone());
    // RFC 9701 section 7.
    if let Some(algorithm) = site.realm.statement_algorithm() {
        put("introspection_signing_alg_values_supported", json!([algorithm.name()]));
    }
    put("revocation_endpoint", url(endpoint::REVOKE));
    put("revocation_endpoint_auth_methods_supported", any);
    members
}

fn methods(methods: &[AuthenticationMethod]) -> Value {
    methods.iter().filter(|method| method.shows_secret()).map(|method| method.name()).collect()
}
