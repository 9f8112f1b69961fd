//! Where an issuer's keys are: asked of the issuer itself (RFC 8414 section 3, OpenID Connect Discovery
//! 1.0 section 4).

use jeton_engine::jose::json;
use serde_json::Value;

use super::FetchError;
use super::request::{Answer, Requests};
use super::target::Target;

const WHAT: &str = "metadata of an issuer";

/// The URL of the issuer's JWK set. Metadata that are somebody else's are refused, whatever keys they
/// name (RFC 8414 section 3.3).
pub(super) async fn jwks_uri(requests: &Requests, issuer: &Issuer) -> Result<Target, FetchError> {
    let [openid, oauth] = issuer.places();
    let answer = match requests.get(&openid).await {
        // Only where there is nothing: an answer that is refused is not asked for again elsewhere.
        Err(FetchError::Status(404 | 410)) => requests.get(&oauth).await?,
        answer => answer?,
    };
    read(&answer, issuer)
}

fn read(answer: &Answer, issuer: &Issuer) -> Result<Target, FetchError> {
    let wrong = |problem: &str| FetchError::Content { what: WHAT, problem: problem.into() };
    let metadata = json::object(&answer.body).map_err(|error| wrong(&error.to_string()))?;
    let text = |name| metadata.get(name).and_then(Value::as_str);
    // Compared as strings, without any normalization (RFC 8414 section 4).
    if text("issuer") != Some(issuer.0.as_str()) {
        return Err(FetchError::AnotherIssuer);
    }
    let jwks_uri = text("jwks_uri").ok_or_else(|| wrong("there is no jwks_uri"))?;
    Ok(Target::parse(jwks_uri)?)
}

/// An issuer's URL, as its tokens spell it.
#[derive(Clone, Debug)]
pub(super) struct Issuer(String, Target);

impl Issuer {
    /// Reads an issuer's URL.
    ///
    /// # Errors
    /// When it may not be asked, or has a query (RFC 8414 section 2).
    pub(super) fn parse(text: &str) -> Result<Self, super::TargetError> {
        let target = Target::parse(text)?;
        if target.has_query() {
            return Err(super::TargetError::Malformed);
        }
        Ok(Self(text.to_owned(), target))
    }

    /// Behind the issuer's path, then before it (RFC 8414 sections 3.1 and 5).
    fn places(&self) -> [Target; 2] {
        let path = self.1.path().trim_end_matches('/');
        [
            self.1.with_path(&format!("{path}/.well-known/openid-configuration")),
            self.1.with_path(&format!("/.well-known/oauth-authorization-server{path}")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_behind_the_issuers_path_or_before_it() {
        let places = |text| Issuer::parse(text).unwrap().places().map(|place| place.to_string());
        assert_eq!(
            places("https://example.com/a/b"),
            [
                "https://example.com/a/b/.well-known/openid-configuration",
                "https://example.com/.well-known/oauth-authorization-server/a/b",
            ]
        );
        for issuer in ["https://example.com", "https://example.com/"] {
            assert_eq!(
                places(issuer),
                [
                    "https://example.com/.well-known/openid-configuration",
                    "https://example.com/.well-known/oauth-authorization-server",
                ]
            );
        }
        assert!(Issuer::parse("https://example.com/?tenant=1").is_err());
    }
}
