//! Signing keys: their life from `upcoming` over `active` to `retired`, and how they are kept.

use std::fmt;

use jeton_jose::Algorithm;
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::name::{KeyId, RealmName};

/// What is kept of a signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The realm whose tokens it signs.
    pub realm: RealmName,
    /// Its identifier (`kid`), unique in the realm.
    pub id: KeyId,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub status: KeyStatus,
    /// The private key or secret, encrypted under the master key.
    pub sealed: Vec<u8>,
    /// The public key as a JWK; absent for a symmetric key.
    pub public_jwk: Option<String>,
    /// When it was made or imported.
    pub created_at: Time,
    /// When it began to sign.
    pub activated_at: Option<Time>,
    /// When it stopped signing.
    pub retired_at: Option<Time>,
}

impl KeyRecord {
    /// Since when it has signed, if it ever did: since it was made active, or came about so.
    pub fn signing_since(&self) -> Time {
        self.activated_at.unwrap_or(self.created_at)
    }
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyRecord")
            .field("realm", &self.realm)
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Where a signing key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Published, not yet signing.
    Upcoming,
    /// Signing. One a realm and algorithm.
    Active,
    /// No longer signing; its tokens still verify.
    Retired,
}

impl KeyStatus {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}
