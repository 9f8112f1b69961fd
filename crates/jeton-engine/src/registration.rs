//! Dynamic client registration (RFC 7591, RFC 7592): what is kept of the tokens that let somebody
//! register clients, and of a client that registered itself.

pub mod metadata;
mod register;
mod statement;

use std::fmt;
use std::str::FromStr;

use jeton_jose::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::authenticate::digest_of;
use crate::client::Client;
use crate::clock::Time;
use crate::error::Refusal;
use crate::limiter::{Buckets, SourceLimits};
use crate::name::{NameError, RealmName, TokenId};
use crate::realm::Realm;
use crate::scope::Scope;
use crate::token::TokenDigest;

/// An initial access token (RFC 7591 section 1.2) as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct InitialAccessToken {
    /// The realm that it is for.
    pub realm: RealmName,
    /// Its identifier, safe to show.
    pub id: TokenId,
    /// SHA-256 of the token: what it is found by.
    pub digest: TokenDigest,
    /// The scope that clients may have that are registered with it; the realm's when empty.
    pub scope: Scope,
    /// How many clients can still be registered with it.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: Time,
    /// From when on it is refused.
    pub expires_at: Option<Time>,
}

impl InitialAccessToken {
    /// Whether a client can be registered with it at `now`.
    pub fn is_usable(&self, now: Time) -> bool {
        self.uses_left > 0 && self.expires_at.is_none_or(|end| now < end)
    }
}

impl fmt::Debug for InitialAccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InitialAccessToken")
            .field("id", &self.id)
            .field("uses_left", &self.uses_left)
            .finish_non_exhaustive()
    }
}

/// What is kept of a client that registered itself, beside what every client has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// What its registration access token (RFC 7592 section 3) is compared with.
    pub token: RegistrationTokenDigest,
    /// The initial access token that it came with; absent in open registration.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub through: Option<TokenId>,
    /// The scope that it may give itself; the realm's when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scope_max: Option<Scope>,
    /// What it says of itself that has no place of its own in a client.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub members: Map<String, Value>,
}

impl Registration {
    /// The most bytes of it as JSON.
    pub const BYTES_MAX: usize = 48 * 1024;

    /// The one algorithm that the client signs its assertions with, where it said so.
    pub fn signing_algorithm(&self) -> Option<Algorithm> {
        self.members.get(metadata::SIGNING_ALGORITHM)?.as_str()?.parse().ok()
    }
}

impl FromStr for Registration {
    type Err = NameError;

    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::BYTES_MAX {
            return Err(NameError("must have at most 49152 bytes as JSON"));
        }
        serde_json::from_str(text).map_err(|_| NameError("is no registration as JSON"))
    }
}

impl fmt::Display for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// SHA-256 of a registration access token. Its text is base64url.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistrationTokenDigest([u8; 32]);

impl RegistrationTokenDigest {
    /// The digest of a token.
    pub fn of(token: &str) -> Self {
        Self(digest_of(token))
    }

    /// Whether this is the digest of `presented`, found out in constant time.
    pub fn is_of(&self, presented: &str) -> bool {
        self.0.ct_eq(&digest_of(presented)).into()
    }
}

impl TryFrom<String> for RegistrationTokenDigest {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let bytes = jeton_jose::base64url::decode(text).ok();
        let digest = bytes.and_then(|bytes| bytes.try_into().ok());
        digest.map(Self).ok_or(NameError("must be 32 bytes in base64url"))
    }
}

impl From<RegistrationTokenDigest> for String {
    fn from(digest: RegistrationTokenDigest) -> Self {
        jeton_jose::base64url::encode(digest.0)
    }
}

impl fmt::Debug for RegistrationTokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// A request to register a client (RFC 7591 section 3.1).
pub struct RegistrationRequest<'a> {
    /// The initial access token that came with it.
    pub token: Option<&'a str>,
    /// The client metadata, or why there is none.
    pub metadata: Result<Map<String, Value>, Refusal>,
}

/// A request of a registered client about itself (RFC 7592 section 2).
pub struct ManagementRequest<'a> {
    /// The client that the URL names.
    pub client_id: &'a str,
    /// The registration access token that came with it.
    pub token: Option<&'a str>,
    /// What it wants.
    pub act: ManagementAct,
}

/// What a registered client wants with its registration.
pub enum ManagementAct {
    /// To read it.
    Read,
    /// To replace all of its metadata by these, or why there are none.
    Replace(Result<Map<String, Value>, Refusal>),
    /// To delete itself.
    Delete,
}

/// A client that is registered, and what only itself may know.
pub struct Registered {
    /// The client.
    pub client: Client,
    /// Its secret, when one was made just now: only a digest is kept.
    pub secret: Option<Zeroizing<String>>,
    /// Its registration access token.
    pub access_token: Zeroizing<String>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registered")
            .field("client_id", &self.client.id)
            .finish_non_exhaustive()
    }
}

/// What came of a request of a registered client about itself.
#[derive(Debug)]
pub enum Managed {
    /// This is its registration now.
    Is(Box<Registered>),
    /// It is gone.
    Deleted,
}

/// Requests counted against the limits on registration.
pub(crate) struct RegistrationCounts {
    sources: SourceLimits,
    realm: Buckets,
}

impl RegistrationCounts {
    pub(crate) fn new() -> Self {
        Self { sources: SourceLimits::new(), realm: Buckets::default() }
    }
}

/// The scope that a client may give itself: what its initial access token says, and never more than
/// the realm names. A realm that names none gives none away to those who come by themselves.
fn scope_within(realm: &Realm, scope_max: Option<&Scope>) -> Scope {
    match scope_max {
        None => realm.scopes.clone(),
        Some(most) if realm.scopes.is_empty() => most.clone(),
        Some(most) => most.only(|token| realm.scopes.contains(token)),
    }
}
