//! What an authorization server says of itself (RFC 8414): where its endpoints are.

use serde_json::{Map, Value};
use url::Url;

use super::failure::Failure;
use super::fetch::{self, Trust};

/// The metadata of an issuer.
pub(super) struct Metadata {
    issuer: Url,
    members: Map<String, Value>,
}

impl Metadata {
    /// Fetches the metadata of an issuer, and makes sure that they are its own.
    pub(super) fn fetch(issuer: &str, trust: &Trust) -> Result<Self, Failure> {
        let url = well_known(&fetch::url(issuer)?);
        let request = fetch::Request { method: "GET", url: &url, headers: "", body: "" };
        let answer = fetch::fetch(&request, trust)?;
        if answer.status != 200 {
            let what = format!("the metadata of {issuer} were not found: status {}", answer.status);
            return Err(Failure::failed(what).at(&url));
        }
        let members: Option<Map<String, Value>> = serde_json::from_slice(&answer.body).ok();
        let members =
            members.ok_or_else(|| Failure::failed("the metadata are no JSON object").at(&url))?;
        // RFC 8414 section 3.3: else anybody could point to endpoints of his own.
        let said = members.get("issuer").and_then(Value::as_str);
        if said != Some(issuer) {
            let what = format!("the metadata are of {}, not of {issuer}", said.unwrap_or("nobody"));
            let failure = Failure::failed(what).at(&url);
            return Err(said.into_iter().fold(failure, |failure, said| {
                failure.next(format!("--issuer {said}, if that is the one you mean"))
            }));
        }
        Ok(Self { issuer: url, members })
    }

    /// An endpoint, by the name of its member; the one for clients that show a certificate, where
    /// there is such (RFC 8705 section 5).
    pub(super) fn endpoint(&self, member: &str, has_certificate: bool) -> Result<Url, Failure> {
        let aliases = self.members.get("mtls_endpoint_aliases").filter(|_| has_certificate);
        let alias = aliases.and_then(|aliases| aliases.get(member));
        let said = alias.or_else(|| self.members.get(member)).and_then(Value::as_str);
        let said = said.ok_or_else(|| {
            Failure::failed(format!("the metadata name no {member}")).at(&self.issuer)
        })?;
        fetch::url(said)
    }
}

/// Between host and path (RFC 8414 section 3.1).
fn well_known(issuer: &Url) -> Url {
    let mut url = issuer.clone();
    let path = issuer.path().trim_end_matches('/');
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_stands_between_host_and_path() {
        for (issuer, expected) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            ("https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
            (
                "https://a.example/x/y",
                "https://a.example/.well-known/oauth-authorization-server/x/y",
            ),
        ] {
            assert_eq!(well_known(&Url::parse(issuer).unwrap()).as_str(), expected);
        }
    }
}
