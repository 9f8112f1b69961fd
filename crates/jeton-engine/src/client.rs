//! Clients: what is known of one, and what it may do.

pub mod extract;
pub mod proof;

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::claims::CustomClaims;
use crate::client::proof::{Proof, SenderConstraint};
use crate::clock::Time;
use crate::name::{Audience, ClientId, RealmName, SecretId, Subject};
use crate::registration::Registration;
use crate::request::AuthenticationMethod;
use crate::scope::Scope;
use crate::terms::Lifetime;

/// A client of a realm (RFC 6749 section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// The realm it belongs to.
    pub realm: RealmName,
    /// Its identifier, unique in the realm.
    pub id: ClientId,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// What its tokens are about (`sub`); its identifier when absent.
    pub subject: Option<Subject>,
    /// Whether it may have tokens at all.
    pub status: ClientStatus,
    /// What it is to the realm.
    pub role: ClientRole,
    /// Whether wrong guesses or nobody have locked it.
    pub lock: Lock,
    /// The scope it may have; also what it gets when it asks for none.
    pub scope: Scope,
    /// Who its tokens may be for; the realm's audience when empty.
    pub audiences: Vec<Audience>,
    /// How long its tokens live; the realm's or the dialect's word when absent.
    pub lifetime: Option<Lifetime>,
    /// The networks it may call from; any when empty.
    pub networks: Vec<IpNet>,
    /// The ways it may authenticate; any way of presenting its secret when empty.
    pub authentication: Vec<AuthenticationMethod>,
    /// What it proves itself with where it does not show a secret, and what its tokens are bound
    /// to. Boxed, for most clients have nothing of it, and all are held in memory.
    pub proof: Option<Box<Proof>>,
    /// What is kept of it because it registered itself; boxed for the same reason.
    pub registration: Option<Box<Registration>>,
    /// What it adds to its tokens, where the dialect leaves their shape to the realm.
    pub claims: CustomClaims,
    /// Its secrets, the oldest first.
    pub secrets: Vec<Secret>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub changed_at: Time,
    /// How often it was changed: a change is refused when the stored revision is another.
    pub revision: u64,
}

impl Client {
    /// The most secrets a client may have at one time.
    pub const SECRETS_MAX: usize = 8;

    /// What its tokens are about.
    pub fn subject(&self) -> &str {
        self.subject.as_ref().map_or_else(|| self.id.as_str(), Subject::as_str)
    }

    /// Whether it may authenticate in this way. A client that was registered for one way cannot
    /// use another.
    pub fn may_authenticate_by(&self, method: AuthenticationMethod) -> bool {
        method.is_allowed_by(&self.authentication)
    }

    /// What its tokens are bound to.
    pub fn sender_constraint(&self) -> SenderConstraint {
        self.proof.as_ref().map(|proof| proof.sender).unwrap_or_default()
    }
}

/// Whether a client may have tokens at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientStatus {
    /// It may.
    #[default]
    Enabled,
    /// An operator said no.
    Disabled,
}

/// What a client is to its realm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRole {
    /// It has tokens, and may ask about its own.
    #[default]
    Client,
    /// It also serves resources: it may introspect every token of the realm.
    ResourceServer,
}

/// Whether an account is locked after wrong guesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// It is not.
    #[default]
    Open,
    /// Until this moment.
    Until(Time),
    /// Until an operator unlocks it.
    UntilUnlocked,
}

impl Lock {
    /// Whether the lock holds at `now`.
    pub fn holds(self, now: Time) -> bool {
        match self {
            Self::Open => false,
            Self::Until(end) => now < end,
            Self::UntilUnlocked => true,
        }
    }
}

/// One of a client's secrets: nothing here can be turned back into the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its identifier, safe to show.
    pub id: SecretId,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// How a presented secret is compared with it.
    pub digest: SecretDigest,
    /// When it was made.
    pub created_at: Time,
    /// From when on it is refused.
    pub expires_at: Option<Time>,
    /// When it was last right, to within a minute.
    pub last_used_at: Option<Time>,
}

impl Secret {
    /// Whether the secret may be used at `now`.
    pub fn is_current(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// What is kept of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretDigest {
    /// SHA-256 of a secret that we generated with at least 256 random bits: guessing is hopeless,
    /// so a fast digest is enough.
    Generated([u8; 32]),
    /// Argon2id, as a PHC string, of a secret that somebody chose or brought along.
    Supplied(Box<str>),
    /// The secret itself, encrypted under the master key: an HMAC (`client_secret_jwt`) cannot be
    /// checked with less. Good for nothing else.
    Sealed(Box<[u8]>),
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Generated(_) => "Generated([redacted])",
            Self::Supplied(_) => "Supplied([redacted])",
            Self::Sealed(_) => "Sealed([redacted])",
        })
    }
}

/// When a secret was last right, on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The realm.
    pub realm: RealmName,
    /// The client.
    pub client_id: ClientId,
    /// The secret.
    pub secret_id: SecretId,
    /// When.
    pub at: Time,
}
