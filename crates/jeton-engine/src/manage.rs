//! Management: register, change, disable, rotate. Command line, admin API and console all come
//! through here; a rule written in one of those doors is a bug.

use std::sync::Arc;

use ipnet::IpNet;
use jeton_jose::Algorithm;
use zeroize::Zeroizing;

use crate::client::{Client, ClientStatus};
use crate::clock::{Clock, Random, Time};
use crate::engine::{Parts, Settings};
use crate::error::Fault;
use crate::key::KeyRecord;
use crate::master_key::MasterKey;
use crate::name::{Audience, ClientId, KeyId, RealmName, SecretId, Subject, TokenId};
use crate::realm::Realm;
use crate::request::AuthenticationMethod;
use crate::scope::Scope;
use crate::store::{Store, TokenFilter};
use crate::terms::{Lifetime, Terms};
use crate::token::{AccessToken, TokenRecord};

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
    /// The ways it may authenticate.
    pub authentication: Vec<AuthenticationMethod>,
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
    /// Generate one and show it once.
    #[default]
    Generated,
    /// Take this one.
    Supplied(Zeroizing<String>),
    /// None now.
    None,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
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
}

/// A secret that has just been made; shown once.
pub struct MadeSecret {
    /// Its identifier.
    pub id: SecretId,
    /// The secret, when it was generated.
    pub generated: Option<Zeroizing<String>>,
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

#[expect(unused_variables, missing_docs, clippy::todo, reason = "signatures first")]
impl Manage {
    pub fn new(parts: Parts) -> Self {
        Self { parts }
    }
    pub async fn create_client(
        &self,
        realm: &Realm,
        new: NewClient,
    ) -> Result<(Client, Option<MadeSecret>), ManageError> {
        todo!()
    }
    pub async fn client(&self, realm: &RealmName, id: &ClientId) -> Result<Client, ManageError> {
        todo!()
    }
    pub async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, ManageError> {
        todo!()
    }
    pub async fn change_client(
        &self,
        realm: &Realm,
        id: &ClientId,
        change: ClientChange,
    ) -> Result<Client, ManageError> {
        todo!()
    }
    pub async fn set_status(
        &self,
        realm: &RealmName,
        id: &ClientId,
        status: ClientStatus,
    ) -> Result<Client, ManageError> {
        todo!()
    }
    pub async fn unlock_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
    ) -> Result<Client, ManageError> {
        todo!()
    }
    pub async fn delete_client(&self, realm: &RealmName, id: &ClientId) -> Result<(), ManageError> {
        todo!()
    }
    /// Adds a secret; the others expire `grace` from now at the latest (`None`: they stay as they are).
    pub async fn rotate_secret(
        &self,
        realm: &RealmName,
        id: &ClientId,
        new: NewSecret,
        name: Option<String>,
        expires_at: Option<Time>,
        grace: Option<std::time::Duration>,
    ) -> Result<(Client, MadeSecret), ManageError> {
        todo!()
    }
    /// Revokes one secret, or all of them; says how many went.
    pub async fn revoke_secrets(
        &self,
        realm: &RealmName,
        id: &ClientId,
        secret: Option<&SecretId>,
    ) -> Result<usize, ManageError> {
        todo!()
    }
    /// Adds a client as exported elsewhere: digests and all; identifiers and times stay.
    pub async fn import_client(&self, realm: &Realm, client: Client) -> Result<(), ManageError> {
        todo!()
    }

    /// Makes a key that signs from now on.
    pub async fn create_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
        id: Option<KeyId>,
    ) -> Result<KeyRecord, ManageError> {
        todo!()
    }
    /// Imports a key that signs from now on.
    pub async fn import_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
        id: Option<KeyId>,
        material: KeyMaterial,
    ) -> Result<KeyRecord, ManageError> {
        todo!()
    }
    pub async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, ManageError> {
        todo!()
    }
    /// The private key, for export: the secret's bytes of a symmetric key, otherwise PKCS #8 in PEM.
    pub async fn export_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
    ) -> Result<Zeroizing<Vec<u8>>, ManageError> {
        todo!()
    }

    /// Makes a token by hand, on the terms of one of the realm's mounts.
    pub async fn make_token(
        &self,
        realm: &Realm,
        terms: &Terms,
        new: NewToken,
    ) -> Result<(AccessToken, TokenRecord), ManageError> {
        todo!()
    }
    pub async fn tokens(
        &self,
        realm: &RealmName,
        filter: &TokenFilter,
        before: Option<&TokenId>,
        count: u32,
    ) -> Result<Vec<TokenRecord>, ManageError> {
        todo!()
    }
    pub async fn revoke_token(&self, realm: &RealmName, id: &TokenId) -> Result<(), ManageError> {
        todo!()
    }
    /// The record of a token whose string is at hand; `None` when nothing is kept of it.
    pub async fn token_record(
        &self,
        realm: &RealmName,
        token: &str,
    ) -> Result<Option<TokenRecord>, ManageError> {
        todo!()
    }
    /// The event under a reference.
    pub async fn event(
        &self,
        reference: crate::event::Reference,
    ) -> Result<Option<crate::event::Event>, ManageError> {
        todo!()
    }
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
