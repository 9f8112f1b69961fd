//! Management: register, change, disable, rotate. Command line, admin API and console all come
//! through here; a rule written in one of those doors is a bug.

mod clients;
mod keys;
mod proof;
mod registration;
mod secrets;
mod tokens;

pub use keys::RetiredKey;

use std::borrow::Cow;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::certificate::CertificateName;
use crate::claims::CustomClaims;
use crate::client::ClientRole;
use crate::client::proof::{Binding, ClientKeys, Federated, Proof};
use crate::clock::Time;
use crate::engine::Parts;
use crate::error::Fault;
use crate::event::{Event, EventKind, Reference};
use crate::name::{Audience, ClientId, RealmName, SecretId, Subject};
use crate::request::AuthenticationMethod;
use crate::scope::Scope;
use crate::store::StoreError;
use crate::terms::Lifetime;

/// The one room behind the doors.
#[derive(Clone)]
pub struct Manage {
    parts: Parts,
}

/// Why a management act was not done. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// It is there already.
    #[error("{0} exists already")]
    Exists(String),
    /// It is not there.
    #[error("{0} does not exist")]
    Missing(String),
    /// Somebody else changed it at the same moment, again and again.
    #[error("{0} is being changed by somebody else; try again")]
    Conflict(String),
    /// What was asked is not allowed.
    #[error("{field}: {problem}")]
    Invalid {
        /// What is wrong, by its name on the command line, without dashes.
        field: &'static str,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// We broke.
    #[error("{0}")]
    Fault(Fault),
}

/// A client to be made.
#[derive(Clone, Debug, Default)]
pub struct NewClient {
    /// Its identifier; generated when absent.
    pub id: Option<ClientId>,
    /// What people call it.
    pub name: Option<String>,
    /// What its tokens are about.
    pub subject: Option<Subject>,
    /// The scope it may have.
    pub scope: Scope,
    /// Who its tokens may be for.
    pub audiences: Vec<Audience>,
    /// How long its tokens live.
    pub lifetime: Option<Lifetime>,
    /// The networks it may call from.
    pub networks: Vec<IpNet>,
    /// The ways it may authenticate; when empty those that it has keys or a certificate's name
    /// for, or any way of presenting its secret.
    pub authentication: Vec<AuthenticationMethod>,
    /// What it is to the realm.
    pub role: ClientRole,
    /// What it adds to its tokens.
    pub claims: CustomClaims,
    /// What it proves itself with beside secrets, and what its tokens are bound to.
    pub proof: Proof,
    /// Its first secret.
    pub secret: NewSecret,
    /// What people call that secret.
    pub secret_name: Option<String>,
    /// When that secret expires.
    pub secret_expires_at: Option<Time>,
}

/// A secret to be made.
#[derive(Clone, Default)]
pub enum NewSecret {
    /// Generate one when the client cannot prove itself otherwise.
    #[default]
    AsNeeded,
    /// Generate one and show it once.
    Generated,
    /// Take this one.
    Supplied(Zeroizing<String>),
    /// None now.
    None,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::AsNeeded => "AsNeeded",
            Self::Generated => "Generated",
            Self::Supplied(_) => "Supplied([redacted])",
            Self::None => "None",
        })
    }
}

/// What to change of a client; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct ClientChange {
    /// What people call it; `Some(None)` takes the name away.
    pub name: Option<Option<String>>,
    /// What its tokens are about; `Some(None)`: its identifier again.
    pub subject: Option<Option<Subject>>,
    /// The scope it may have.
    pub scope: Option<Scope>,
    /// Who its tokens may be for.
    pub audiences: Option<Vec<Audience>>,
    /// How long its tokens live; `Some(None)`: as the realm or the dialect says.
    pub lifetime: Option<Option<Lifetime>>,
    /// The networks it may call from.
    pub networks: Option<Vec<IpNet>>,
    /// The ways it may authenticate.
    pub authentication: Option<Vec<AuthenticationMethod>>,
    /// What it is to the realm.
    pub role: Option<ClientRole>,
    /// What it adds to its tokens.
    pub claims: Option<CustomClaims>,
    /// What it proves itself with beside secrets, and what its tokens are bound to.
    pub proof: ProofChange,
}

/// What to change of a client's proof; what is absent stays, `Some(None)` takes it away.
#[derive(Clone, Debug, Default)]
pub struct ProofChange {
    /// Its public keys.
    pub keys: Option<Option<ClientKeys>>,
    /// Whom its certificate names.
    pub certificate: Option<Option<CertificateName>>,
    /// Whose assertions stand for it.
    pub federated: Option<Option<Federated>>,
    /// Whether its tokens are bound to the key of a DPoP proof.
    pub dpop: Option<Binding>,
    /// Whether its tokens are bound to its certificate.
    pub mtls: Option<Binding>,
}

/// A secret that has just been made; shown once.
pub struct MadeSecret {
    /// Its identifier.
    pub id: SecretId,
    /// The secret, when it was generated.
    pub generated: Option<Zeroizing<String>>,
}

/// A secret that takes the place of the others.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// The new secret; [`NewSecret::None`] is refused.
    pub secret: NewSecret,
    /// What people call it.
    pub name: Option<String>,
    /// When it expires.
    pub expires_at: Option<Time>,
    /// How much longer the others are right; `None`: as long as they are now.
    pub grace: Option<Duration>,
}

/// A token to be made by hand.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The client that will have it.
    pub client_id: ClientId,
    /// What people call it.
    pub name: String,
    /// How long it lives; the terms' lifetime when absent.
    pub lifetime: Option<Lifetime>,
    /// What it may be used for; all that the client may have when absent.
    pub scope: Option<Scope>,
}

/// An initial access token to be made.
#[derive(Clone, Debug)]
pub struct NewRegistrationToken {
    /// The scope that clients registered with it may have; the realm's when empty.
    pub scope: Scope,
    /// How many clients can be registered with it.
    pub uses: u32,
    /// From when on it is refused.
    pub expires_at: Option<Time>,
}

/// A key brought along.
pub enum KeyMaterial {
    /// The bytes of an HMAC secret.
    Secret(Zeroizing<Vec<u8>>),
    /// A private key in PEM (PKCS #8, SEC 1 or PKCS #1).
    Pem(Zeroizing<String>),
    /// A private or symmetric JWK.
    Jwk(Zeroizing<String>),
}

impl Manage {
    /// Management of what the parts' store keeps.
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// The event under a reference that a caller quotes.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn event(&self, reference: Reference) -> Result<Option<Event>, ManageError> {
        self.parts.store.event(reference).await.map_err(fault)
    }

    /// The event of an act that is being done now.
    fn act(
        &self,
        kind: EventKind,
        realm: &RealmName,
        client_id: Option<&ClientId>,
        detail: Option<String>,
    ) -> Event {
        Event {
            at: self.parts.clock.now(),
            reference: Reference::new(&self.parts.random),
            realm: realm.clone(),
            kind,
            client_id: client_id.cloned(),
            source: None,
            detail: detail.map(Cow::Owned),
        }
    }
}

fn fault(error: StoreError) -> ManageError {
    ManageError::Fault(error.into())
}

fn invalid(field: &'static str, problem: impl Into<String>) -> ManageError {
    ManageError::Invalid { field, problem: problem.into() }
}

/// A name that people gave to something: 1 to 255 bytes without control characters.
fn check_label(field: &'static str, label: &str) -> Result<Box<str>, ManageError> {
    if label.is_empty() || label.len() > 255 {
        return Err(invalid(field, "must have 1 to 255 bytes"));
    }
    if label.chars().any(char::is_control) {
        return Err(invalid(field, "must not have control characters"));
    }
    Ok(label.into())
}
