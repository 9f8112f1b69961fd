//! What a client proves itself with where it does not show a secret, and what its tokens are bound
//! to: the matter of client metadata (RFC 7591 section 2, RFC 8705, RFC 9449 section 5.2).

use std::fmt;
use std::str::FromStr;

use jeton_jose::JwkSet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::certificate::CertificateName;
use crate::name::{NameError, RealmName, Subject};

/// What a client proves itself with beside its secrets, and what its tokens are bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proof {
    /// Its public keys: for `private_key_jwt` and `self_signed_tls_client_auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<ClientKeys>,
    /// Whom its certificate names: for `tls_client_auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateName>,
    /// Whose assertions stand for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub federated: Option<Federated>,
    /// What its tokens are bound to.
    #[serde(skip_serializing_if = "SenderConstraint::is_default")]
    pub sender: SenderConstraint,
}

impl Proof {
    /// The most bytes of it as JSON.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// Whether it says nothing that is not so of every client.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Proof {
    type Err = NameError;

    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::BYTES_MAX {
            return Err(NameError("must have at most 65536 bytes as JSON"));
        }
        serde_json::from_str(text).map_err(|_| NameError("is no proof of a client as JSON"))
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// A client's public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// These (`jwks`).
    Jwks(PublicKeys),
    /// Those at this URL (`jwks_uri`), as they are when they are needed.
    JwksUri(HttpsUri),
}

/// A JWK set of public keys, as it was handed in. At least one of them can be used, and none is
/// private.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct PublicKeys(Map<String, Value>);

impl PublicKeys {
    /// The keys, ready for use. Parsed anew: keep them.
    pub fn parse(&self) -> JwkSet {
        // It was read when it was made.
        JwkSet::parse(&self.to_string()).unwrap_or_default()
    }

    /// The set, for showing.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl TryFrom<Map<String, Value>> for PublicKeys {
    type Error = NameError;

    fn try_from(members: Map<String, Value>) -> Result<Self, NameError> {
        let text = Value::Object(members.clone()).to_string();
        let set = JwkSet::parse(&text).map_err(|_| NameError("must be a JWK set"))?;
        if !set.skipped().is_empty() {
            return Err(NameError(
                "must only have public keys for signatures that are known and large enough",
            ));
        }
        if set.keys().is_empty() {
            return Err(NameError("must have at least one key"));
        }
        Ok(Self(members))
    }
}

impl From<PublicKeys> for Map<String, Value> {
    fn from(keys: PublicKeys) -> Self {
        keys.0
    }
}

impl FromStr for PublicKeys {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let members = jeton_jose::json::object(text.as_bytes());
        members.map_err(|_| NameError("must be a JSON object with every member once"))?.try_into()
    }
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        formatter.write_str(&json)
    }
}

/// An `https` URL with a host, without user information and fragment; at most 2048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpsUri(Box<str>);

impl HttpsUri {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HttpsUri {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const BAD: NameError = NameError("must be an https URL without user, password or fragment");
        if text.len() > 2048 || text.chars().any(|letter| letter.is_control() || letter == ' ') {
            return Err(BAD);
        }
        let url = url::Url::parse(text).map_err(|_| BAD)?;
        let named = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "https" || !url.has_host() || named || url.fragment().is_some() {
            return Err(BAD);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for HttpsUri {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<HttpsUri> for String {
    fn from(uri: HttpsUri) -> Self {
        uri.0.into()
    }
}

/// Whose assertions stand for a client: another issuer's tokens about one subject, with just these
/// claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// The trusted issuer, by the name that the realm's configuration gives it.
    pub issuer: RealmName,
    /// The subject that the assertion must have.
    pub subject: Subject,
    /// What else it must say, claim by claim.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

/// What a client's tokens are bound to (RFC 8705 section 3, RFC 9449 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SenderConstraint {
    /// To the key of the DPoP proof that comes with a token request
    /// (`dpop_bound_access_tokens` when required).
    pub dpop: Binding,
    /// To the certificate that the client shows in TLS
    /// (`tls_client_certificate_bound_access_tokens` when required).
    pub mtls: Binding,
}

impl Default for SenderConstraint {
    /// A DPoP proof binds, because it is made for nothing else; a certificate does not, because the
    /// resource servers of a client that shows one here may not see it.
    fn default() -> Self {
        Self { dpop: Binding::Allowed, mtls: Binding::Off }
    }
}

impl SenderConstraint {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether tokens are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// They are not.
    Off,
    /// They are when the request shows what to bind them to.
    Allowed,
    /// They are, and a request that does not show it is refused.
    Required,
}
