//! What of a client is taken into memory: of most, which have nothing special, just what decisions ask.

use crate::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use crate::clock::Time;
use crate::name::{ClientId, RealmName, SecretId};
use crate::scope::Scope;
use crate::store::{Store, StoreError, TakeExtract};

/// A client for whoever only decides.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientExtract {
    /// One without anything special.
    Plain(PlainClient),
    /// Any other, with all that is kept of it.
    Whole(Box<Client>),
}

/// A client that is enabled and not locked, a client and nothing more to its realm, that has no terms
/// of its own but its scope, and at most one secret, which was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainClient {
    /// Its identifier, unique in the realm.
    pub id: ClientId,
    /// What people call it.
    pub name: Option<Box<str>>,
    /// The scope it may have; also what it gets when it asks for none.
    pub scope: Scope,
    /// Its secret, if it has one.
    pub secret: Option<PlainSecret>,
    /// When it was made.
    pub created_at: Time,
    /// How often it was changed.
    pub revision: u64,
}

/// The secret of a plain client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainSecret {
    /// Its identifier, safe to show.
    pub id: SecretId,
    /// How a presented secret is compared with it: always [`SecretDigest::Generated`].
    pub digest: SecretDigest,
    /// From when on it is refused.
    pub expires_at: Option<Time>,
}

/// Hands over what is made of all whole clients of a realm after `after`, while the store reads on.
///
/// # Errors
/// Those of [`Store::clients`].
pub async fn of_whole(
    store: &dyn Store,
    realm: &RealmName,
    after: Option<ClientId>,
    take: &mut TakeExtract<'_>,
) -> Result<(), StoreError> {
    const PAGE: u32 = 500;
    let mut page = store.clients(realm, after.as_ref(), PAGE).await?;
    while page.len() == PAGE as usize {
        let after = page.last().map(|client| client.id.clone());
        let take_over = async { page.drain(..).map(ClientExtract::from).for_each(&mut *take) };
        let next = store.clients(realm, after.as_ref(), PAGE);
        page = tokio::join!(biased; next, take_over).0?;
    }
    page.into_iter().map(ClientExtract::from).for_each(take);
    Ok(())
}

impl ClientExtract {
    /// Its identifier, unique in the realm.
    pub fn id(&self) -> &ClientId {
        match self {
            Self::Plain(client) => &client.id,
            Self::Whole(client) => &client.id,
        }
    }

    /// When it was made.
    pub fn created_at(&self) -> Time {
        match self {
            Self::Plain(client) => client.created_at,
            Self::Whole(client) => client.created_at,
        }
    }

    /// How often it was changed.
    pub fn revision(&self) -> u64 {
        match self {
            Self::Plain(client) => client.revision,
            Self::Whole(client) => client.revision,
        }
    }
}

impl From<Client> for ClientExtract {
    fn from(client: Client) -> Self {
        if !is_plain(&client) {
            return Self::Whole(Box::new(client));
        }
        let Client { id, name, scope, secrets, created_at, revision, .. } = client;
        let secret = secrets.into_iter().next().map(|secret| {
            let Secret { id, digest, expires_at, .. } = secret;
            PlainSecret { id, digest, expires_at }
        });
        Self::Plain(PlainClient { id, name, scope, secret, created_at, revision })
    }
}

fn is_plain(client: &Client) -> bool {
    let generated = |secret: &Secret| matches!(secret.digest, SecretDigest::Generated(_));
    client.subject.is_none()
        && (client.status == ClientStatus::Enabled && client.role == ClientRole::Client)
        && client.lock == Lock::Open
        && (client.audiences.is_empty() && client.networks.is_empty())
        && client.lifetime.is_none()
        && client.authentication.is_empty()
        && client.proof.is_none()
        && client.registration.is_none()
        && client.claims.is_empty()
        && client.secrets.len() <= 1
        && client.secrets.iter().all(generated)
}
