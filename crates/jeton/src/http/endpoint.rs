//! The protocol's other endpoints: every realm has them, each at its path, whatever dialects it mounts.

use std::pin::pin;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};

use super::asker::Asker;
use super::peer::Peer;
use super::question::{self, Act};
use super::route::Site;
use super::token::After;
use super::{Front, forward_auth, jwks, metadata, registration};

/// The JWK set (RFC 7517 section 5).
pub(crate) const JWKS: &str = "/.well-known/jwks.json";
/// Metadata (RFC 8414 section 3).
pub(crate) const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Metadata under the name that OpenID Connect clients look for (RFC 8414 section 5).
pub(crate) const OPENID: &str = "/.well-known/openid-configuration";
/// Introspection (RFC 7662).
pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
/// Revocation (RFC 7009).
pub(crate) const REVOKE: &str = "/oauth2/revoke";
/// Dynamic client registration (RFC 7591), where a realm has it; each client's own URL (RFC 7592) is
/// below.
pub(crate) const REGISTER: &str = "/oauth2/register";
/// Forward-auth, for gateways; also with a caller's path behind it.
pub(crate) const VERIFY: &str = "/oauth2/verify";

/// An endpoint that is no mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The public keys.
    Jwks,
    /// What the realm can do, and where.
    Metadata,
    /// A question about a token.
    Question(Act),
    /// A gateway's question about a request.
    Verify,
    /// A registration, new or known. Not every realm has it.
    Registration,
}

impl Endpoint {
    /// Every path below a realm that belongs to an endpoint.
    pub(crate) const PATHS: &'static [(&'static str, Self)] = &[
        (VERIFY, Self::Verify),
        (INTROSPECT, Self::Question(Act::Introspect)),
        (REVOKE, Self::Question(Act::Revoke)),
        (REGISTER, Self::Registration),
        (JWKS, Self::Jwks),
        (METADATA, Self::Metadata),
        (OPENID, Self::Metadata),
    ];

    /// The endpoint at this path below a realm.
    pub(crate) fn at(path: &str) -> Option<Self> {
        if path.strip_prefix(VERIFY).is_some_and(|behind| behind.starts_with('/')) {
            return Some(Self::Verify);
        }
        let client_id = path.strip_prefix(REGISTER).and_then(|behind| behind.strip_prefix('/'));
        if client_id.is_some_and(|id| !id.is_empty() && !id.contains('/')) {
            return Some(Self::Registration);
        }
        Self::PATHS.iter().find(|(own, _)| *own == path).map(|(_, endpoint)| *endpoint)
    }

    /// Its path below a realm; the first, where it has several.
    pub(crate) fn path(self) -> &'static str {
        Self::PATHS.iter().find(|(_, endpoint)| *endpoint == self).map_or("", |(path, _)| path)
    }

    /// Whether a dialect must not have this path below its realm.
    pub(crate) fn claims(path: &str) -> bool {
        let below = |own: &str| path.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'));
        Self::PATHS.iter().any(|(own, _)| path == *own || below(own))
    }
}

/// The prefix of the realm whose metadata is asked for in the inserted position: between the host
/// and the path of the issuer (RFC 8414 section 3.1).
pub(crate) fn inserted_prefix(path: &str) -> Option<&str> {
    let prefix = path.strip_prefix(METADATA).or_else(|| path.strip_prefix(OPENID))?;
    prefix.starts_with('/').then_some(prefix)
}

/// Answers a request to an endpoint.
pub(crate) async fn answer(
    front: &Front,
    site: &Site,
    endpoint: Endpoint,
    request: &mut Request<Incoming>,
    peer: &Peer,
) -> (Response<Full<Bytes>>, After) {
    let response = match endpoint {
        Endpoint::Verify => pin!(forward_auth::answer(front, site, request, peer.address)).await,
        Endpoint::Jwks => jwks::answer(site, request),
        Endpoint::Metadata => metadata::answer(site, request),
        Endpoint::Registration => {
            // Seldom asked and large: every other request would carry the room for it.
            return Box::pin(registration::answer(front, site, request, peer)).await;
        }
        Endpoint::Question(act) => {
            let asker = Asker::of(front, peer, request.headers());
            return pin!(question::answer(front, site, act, request, &asker)).await;
        }
    };
    (response, After::Keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_endpoints_in_their_exact_spelling_only() {
        assert_eq!(Endpoint::at("/.well-known/jwks.json"), Some(Endpoint::Jwks));
        assert_eq!(Endpoint::at(METADATA), Endpoint::at(OPENID));
        for path in ["", "/", "/.well-known", "/.well-known/jwks.json/", "/.well-known/JWKS.json"] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
        assert_eq!(Endpoint::at("/oauth2/introspect/"), None);
        assert_eq!(Endpoint::at("/oauth2/verifying"), None);
        assert_eq!(Endpoint::at("/oauth2/verify/orders/7"), Some(Endpoint::Verify));
        assert_eq!(Endpoint::at("/oauth2/register"), Some(Endpoint::Registration));
        assert_eq!(Endpoint::at("/oauth2/register/orders"), Some(Endpoint::Registration));
        for path in ["/oauth2/register/", "/oauth2/register/orders/7", "/oauth2/registered"] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
    }

    #[test]
    fn the_inserted_position_names_the_prefix() {
        assert_eq!(inserted_prefix("/.well-known/oauth-authorization-server/a/b"), Some("/a/b"));
        assert_eq!(inserted_prefix("/.well-known/openid-configuration/a"), Some("/a"));
        assert_eq!(inserted_prefix("/.well-known/openid-configuration"), None);
        assert_eq!(inserted_prefix("/.well-known/openid-configurations/a"), None);
        assert_eq!(inserted_prefix("/a/.well-known/openid-configuration"), None);
    }

    #[test]
    fn a_dialect_may_be_beside_an_endpoint_but_not_at_or_below_it() {
        for path in
            [JWKS, METADATA, REVOKE, "/oauth2/verify/x", "/.well-known/openid-configuration/main"]
        {
            assert!(Endpoint::claims(path), "{path}");
        }
        for path in ["/oauth2/token", "/.well-known/openid-configurations", "/"] {
            assert!(!Endpoint::claims(path), "{path}");
        }
    }
}
