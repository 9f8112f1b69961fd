//! Tokens: what was issued, and what is kept of it.

use std::fmt;
use std::sync::Arc;

use crate::clock::Time;
use crate::confirmation::Confirmation;
use crate::error::Error;
use crate::event::Reference;
use crate::limit::Allowances;
use crate::live::LiveClient;
use crate::name::{Audience, ClientId, RealmName, Subject, TokenId};
use crate::scope::Scope;

/// The outcome of one token request.
pub type Decision = Answered<Issued>;

/// The outcome of one request.
#[derive(Debug)]
pub struct Answered<T> {
    /// The reference under which log and store know it.
    pub reference: Reference,
    /// When it was decided.
    pub at: Time,
    /// What was asked for, or why not.
    pub outcome: Result<T, Error>,
}

/// An issued token, on its way to the dialect's writer.
#[derive(Clone)]
pub struct Issued {
    /// The token itself.
    pub access_token: AccessToken,
    /// The client that has it.
    pub client: Arc<LiveClient>,
    /// What it is bound to.
    pub confirmation: Confirmation,
    /// When it was issued, a whole second.
    pub issued_at: Time,
    /// When it expires; `None`: never.
    pub expires_at: Option<Time>,
    /// The granted scope.
    pub scope: Scope,
    /// Whether the granted scope is just what was asked for (RFC 6749 section 5.1).
    pub scope_is_as_asked: bool,
    /// What is left of the client's limits.
    pub allowances: Allowances,
}

impl Issued {
    /// How it is to be used (RFC 6749 section 7.1).
    pub fn token_type(&self) -> &'static str {
        self.confirmation.token_type()
    }

    /// The seconds the token lives from now on; `None`: for ever.
    pub fn expires_in(&self) -> Option<u64> {
        self.expires_at.map(|end| end.since(self.issued_at).as_secs())
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Issued")
            .field("client_id", &self.client.id)
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// A token's string. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps a token's string.
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// The string, for the one who may have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// SHA-256 of a token's string, of a JWT's without the signature: what is kept instead of it.
pub type TokenDigest = [u8; 32];

/// What is kept of a token: of every stored one, and of every one made by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The realm that issued it.
    pub realm: RealmName,
    /// Its identifier, safe to show. Ordered by time.
    pub id: TokenId,
    /// What it is found by.
    pub digest: TokenDigest,
    /// How it looks.
    pub format: TokenFormat,
    /// How it came about.
    pub origin: TokenOrigin,
    /// The client that has it.
    pub client_id: ClientId,
    /// What it is about.
    pub subject: Subject,
    /// What it may be used for.
    pub scope: Scope,
    /// Who it is for.
    pub audiences: Vec<Audience>,
    /// What it is bound to.
    pub confirmation: Confirmation,
    /// When it was issued.
    pub issued_at: Time,
    /// When it expires; `None`: never.
    pub expires_at: Option<Time>,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
}

/// How a token looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFormat {
    /// A JSON Web Token.
    Jwt,
    /// A random string.
    Stored,
    /// An encrypted claims set.
    Sealed,
}

impl TokenFormat {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Stored => "stored",
            Self::Sealed => "sealed",
        }
    }
}

impl std::str::FromStr for TokenFormat {
    type Err = crate::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Jwt, Self::Stored, Self::Sealed];
        let found = known.into_iter().find(|format| format.name() == text);
        found.ok_or(crate::name::NameError("must be jwt, stored or sealed"))
    }
}

/// How a token came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenOrigin {
    /// At a token endpoint.
    Endpoint,
    /// By hand, under this name.
    ByHand(Box<str>),
}
