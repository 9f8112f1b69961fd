//! Authorization server metadata (RFC 8414): registered members only, and just what is switched on.
//!
//! Every URL is made from the issuer, never from what a request says of its host. One document
//! serves both positions and both names, so that whoever computes one of them finds the same.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jeton_engine::jose::Algorithm;
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Map, Value, json};

use super::document::Document;
use super::endpoint::{self, INTROSPECT, REGISTER, REVOKE};
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
        for (name, value) in authentication(site, "token", &mount.terms.authentication) {
            put(&name, value);
        }
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
    for (endpoint, path) in [("introspection", INTROSPECT), ("revocation", REVOKE)] {
        put(&format!("{endpoint}_endpoint"), url(path));
        for (name, value) in authentication(site, endpoint, &site.terms.authentication) {
            put(&name, value);
        }
    }
    if realm.registration.is_some() {
        put("registration_endpoint", url(REGISTER));
    }
    // RFC 9701 section 7.
    if let Some(algorithm) = site.realm.statement_algorithm() {
        put("introspection_signing_alg_values_supported", json!([algorithm.name()]));
    }
    // RFC 9449 section 5.1, RFC 8705 section 3.3.
    let algorithms = realm.proving.profile.algorithms().iter();
    put(
        "dpop_signing_alg_values_supported",
        algorithms.map(|algorithm| algorithm.name()).collect(),
    );
    if !site.by_certificate.is_empty() {
        put("tls_client_certificate_bound_access_tokens", true.into());
    }
    members
}

/// How clients may authenticate at an endpoint whose dialect reads `methods`: those that the
/// profile allows and for which what they need reaches us; and with what they may sign.
fn authentication(
    site: &Site,
    endpoint: &str,
    methods: &[AuthenticationMethod],
) -> Vec<(String, Value)> {
    use AuthenticationMethod as Method;
    let profile = site.realm.realm().proving.profile;
    let reaches_us = |method: &Method| match method {
        Method::TlsClientAuth | Method::SelfSignedTlsClientAuth => {
            site.by_certificate.contains(method)
        }
        _ => true,
    };
    let possible = |method: &&Method| profile.allows_method(**method) && reaches_us(method);
    let methods: Vec<Method> = methods.iter().filter(possible).copied().collect();
    let names = methods.iter().map(|method| method.name()).collect();
    let mut members = vec![(format!("{endpoint}_endpoint_auth_methods_supported"), names)];

    // Required as soon as one of the two ways with a JWT is named (RFC 8414 section 2).
    let mut algorithms: Vec<&str> = Vec::new();
    if methods.contains(&Method::PrivateKeyJwt) {
        algorithms.extend(profile.algorithms().iter().map(|algorithm| algorithm.name()));
    }
    if methods.contains(&Method::ClientSecretJwt) {
        algorithms.push(Algorithm::Hs256.name());
    }
    if !algorithms.is_empty() {
        let name = format!("{endpoint}_endpoint_auth_signing_alg_values_supported");
        members.push((name, algorithms.into()));
    }
    members
}
