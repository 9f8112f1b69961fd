//! Events: every decision leaves one, with a short reference that callers can quote.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::{Random, Time};
use crate::name::{ClientId, NameError, RealmName};

/// A short reference to one decision: ten characters of Crockford's base 32 (50 random bits).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference([u8; 10]);

impl Reference {
    const ALPHABET: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    /// A new random reference.
    pub fn new(random: &Random) -> Self {
        let bits = u64::from_le_bytes(random.bytes());
        let mut text = [b'0'; 10];
        for (index, character) in text.iter_mut().enumerate() {
            let five_bits = (bits >> (5 * index)) & 31;
            *character = Self::ALPHABET.get(five_bits as usize).copied().unwrap_or(b'0');
        }
        Self(text)
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        // The constructors only let ASCII in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Reference {
    type Err = NameError;

    /// Reads a reference as people type it: any letter case, `O` for 0, `I` and `L` for 1.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const SHAPE: NameError = NameError("must be ten letters and digits");
        let mut reference = [0; 10];
        if text.len() != reference.len() {
            return Err(SHAPE);
        }
        for (to, from) in reference.iter_mut().zip(text.bytes()) {
            *to = match from.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other if Self::ALPHABET.contains(&other) => other,
                _ => return Err(SHAPE),
            };
        }
        Ok(Self(reference))
    }
}

impl TryFrom<String> for Reference {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> String {
        reference.as_str().to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One decision, as kept and logged. Never holds a secret or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was decided.
    pub at: Time,
    /// The reference that the caller may have been told.
    pub reference: Reference,
    /// In which realm.
    pub realm: RealmName,
    /// What happened.
    pub kind: EventKind,
    /// The client it was about, once it is known that it exists.
    pub client_id: Option<ClientId>,
    /// Where the caller was.
    pub source: Option<IpAddr>,
    /// What explains it: a refusal's reason code, a key's or token's identifier.
    pub detail: Option<Cow<'static, str>>,
}

macro_rules! event_kinds {
    ($($name:ident, $code:literal;)+) => {
        /// What an event tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum EventKind { $(#[doc = $code] $name,)+ }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name in logs and in the store.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }
        }
    };
}

event_kinds! {
    TokenIssued, "token_issued";
    TokenRefused, "token_refused";
    RequestFailed, "request_failed";
    IntrospectionRefused, "introspection_refused";
    RevocationRefused, "revocation_refused";
    AccessRefused, "access_refused";
    RegistrationRefused, "registration_refused";
    TokenMade, "token_made";
    TokenRevoked, "token_revoked";
    RegistrationTokenMade, "registration_token_made";
    RegistrationTokenRevoked, "registration_token_revoked";
    ClientRegistered, "client_registered";
    ClientCreated, "client_created";
    ClientChanged, "client_changed";
    ClientEnabled, "client_enabled";
    ClientDisabled, "client_disabled";
    ClientLocked, "client_locked";
    ClientUnlocked, "client_unlocked";
    ClientDeleted, "client_deleted";
    SecretAdded, "secret_added";
    SecretsRevoked, "secrets_revoked";
    KeyCreated, "key_created";
    KeyImported, "key_imported";
    KeyExported, "key_exported";
    KeyActivated, "key_activated";
    KeyRetired, "key_retired";
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let found = Self::ALL.iter().copied().find(|kind| kind.name() == text);
        found.ok_or(NameError("is not a kind of event"))
    }
}
