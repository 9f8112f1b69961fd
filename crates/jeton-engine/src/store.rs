//! The [`Store`]: what the engine needs kept, in the engine's own words.
//!
//! One method, one transaction. Identifiers and times are handed in. Absence is `Option`. When a
//! writing method returns `Ok`, what it wrote survives the loss of the process and of power.
//! The suite in `jeton-store/tests/conformance.rs` says what each method means.

use async_trait::async_trait;

use crate::client::extract::ClientExtract;
use crate::client::{Client, SecretUse};
use crate::clock::Time;
use crate::error::Fault;
use crate::event::{Event, Reference};
use crate::key::KeyRecord;
use crate::name::{ClientId, KeyId, RealmName, TokenId};
use crate::registration::InitialAccessToken;
use crate::spent::Spent;
use crate::token::{TokenDigest, TokenRecord};

/// What takes clients over that are being read.
pub type TakeExtract<'t> = dyn FnMut(ClientExtract) + Send + 't;

/// What the engine needs kept.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Adds a client and the event that tells of it.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the realm already has a client with this identifier.
    async fn add_client(&self, client: &Client, event: &Event) -> Result<(), StoreError>;

    /// Replaces a client, its secrets included, and keeps the event. `client.revision` must be the
    /// stored revision plus one. A secret's stored last use is kept when it is later.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such client, [`StoreError::Conflict`] when the
    /// stored revision is another: somebody else changed it meanwhile.
    async fn replace_client(&self, client: &Client, event: &Event) -> Result<(), StoreError>;

    /// Deletes a client with its secrets and its tokens, and keeps the event. Says whether there was one;
    /// without one, the event is not kept.
    async fn delete_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// A client, secrets in the order they were made.
    async fn client(&self, realm: &RealmName, id: &ClientId) -> Result<Option<Client>, StoreError>;

    /// Up to `count` clients of a realm in the byte order of their identifiers, after `after`.
    async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError>;

    /// Every client of a realm for whoever only decides, in the same order, each just as [`ClientExtract`]
    /// makes it of the whole one. `take` has them one by one, while the others are being read.
    async fn client_extracts(
        &self,
        realm: &RealmName,
        take: &mut TakeExtract<'_>,
    ) -> Result<(), StoreError>;

    /// Adds a client that registered itself, uses the initial access token `through` once, and keeps
    /// the event: all of it or, with any other answer than [`Admitted::Registered`], nothing. Of many
    /// that use a token at once, on however many servers, no more are registered than it has uses.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the realm already has a client with this identifier.
    async fn register_client(
        &self,
        client: &Client,
        through: Option<&TokenId>,
        clients_max: u32,
        event: &Event,
    ) -> Result<Admitted, StoreError>;

    /// Adds an initial access token and the event that tells of it. Not a change: nobody has it in memory.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the realm already has one with this identifier or digest.
    async fn add_initial_access_token(
        &self,
        token: &InitialAccessToken,
        event: &Event,
    ) -> Result<(), StoreError>;

    /// The initial access token with this digest, used up and expired ones included as long as they are kept.
    async fn initial_access_token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<InitialAccessToken>, StoreError>;

    /// A realm's initial access tokens, the oldest first.
    async fn initial_access_tokens(
        &self,
        realm: &RealmName,
    ) -> Result<Vec<InitialAccessToken>, StoreError>;

    /// Deletes an initial access token and keeps the event. Says whether there was one.
    async fn delete_initial_access_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// Keeps when secrets were last right; an earlier moment than the stored one, and a client or
    /// secret that is gone, are passed over. Not a change: nobody is told.
    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError>;

    /// Adds a key and keeps the event. When the key is active, the realm's key of the same
    /// algorithm that was active until now is retired at `key.created_at`, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the realm already has a key with this identifier.
    async fn add_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError>;

    /// Adds a key as [`Store::add_key`] does, but only when the realm has no key of this algorithm
    /// at the same stage of its life: none that is active, or none that is upcoming. Says whether
    /// it did: of many servers that try at once, one does.
    async fn add_first_key(&self, key: &KeyRecord, event: &Event) -> Result<bool, StoreError>;

    /// Makes a key active at `event.at`, but only when it is upcoming; the realm's key of the same algorithm that was
    /// active until now is retired at the same moment. Says whether it did; otherwise the event is not kept.
    async fn activate_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// Replaces a key's status and moments and keeps the event. When it becomes active, the realm's key
    /// of the same algorithm that was active until now is retired at the same moment.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the realm has no such key.
    async fn change_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError>;

    /// Deletes a key and keeps the event. Says whether there was one.
    async fn delete_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// A realm's keys, in the order they were made.
    async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError>;

    /// Keeps a token. Many calls at a time share one commit.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when more is waiting to be written than the queue holds.
    async fn keep_token(&self, token: TokenRecord, event: Option<Event>) -> Result<(), StoreError>;

    /// The token with this digest, revoked and expired ones included as long as they are kept.
    async fn token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<TokenRecord>, StoreError>;

    /// Up to `count` tokens of a realm, the newest first, older than `before`.
    async fn tokens(
        &self,
        realm: &RealmName,
        filter: &TokenFilter,
        before: Option<&TokenId>,
        count: u32,
    ) -> Result<Vec<TokenRecord>, StoreError>;

    /// Marks a token revoked at `event.at` and keeps the event. Says whether there was such a token; one that
    /// is revoked already keeps its first moment and leaves no further event.
    async fn revoke_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError>;

    /// Revokes a token of which nothing may be kept yet: marks it as [`Store::revoke_token`] does
    /// when it is, and keeps `token`, whose `revoked_at` is set, when it is not. Says whether it was not revoked
    /// before.
    async fn revoke(&self, token: &TokenRecord, event: &Event) -> Result<bool, StoreError>;

    /// The revoked tokens of a realm that have not expired at `now`, and when they will.
    async fn revoked_tokens(
        &self,
        realm: &RealmName,
        now: Time,
    ) -> Result<Vec<(TokenDigest, Option<Time>)>, StoreError>;

    /// Keeps events.
    async fn keep_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// The event with this reference.
    async fn event(&self, reference: Reference) -> Result<Option<Event>, StoreError>;

    /// Remembers that these were used up: all of them or, when one was and that is still
    /// remembered at `now`, none. The place of the first that was used before. Many calls at a time
    /// share one commit; of many servers that spend the same at once, one does.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when more is waiting to be written than the queue holds.
    async fn spend(
        &self,
        realm: &RealmName,
        spent: &[Spent],
        now: Time,
    ) -> Result<Option<usize>, StoreError>;

    /// Removes at most `count` rows that nobody needs any more. Says how many went.
    async fn remove_expired(&self, before: &Horizon, count: u32) -> Result<u64, StoreError>;

    /// What changed after `revision`, by anybody, in the order it happened.
    async fn changes(&self, revision: Revision) -> Result<Changes, StoreError>;

    /// Returns when something may have changed since the last call, whoever changed it; well within a second.
    async fn wait_for_change(&self) -> Result<(), StoreError>;

    /// Whether the store can be read and written right now.
    async fn check(&self) -> Result<(), StoreError>;
}

/// From before when rows are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Tokens that expired before this.
    pub tokens: Time,
    /// Events and changes from before this, and initial access tokens that expired before this.
    pub events: Time,
    /// What was spent and need not be remembered since before this.
    pub spent: Time,
}

/// What came of registering a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It is there now.
    Registered,
    /// The initial access token has no use left, has expired at `event.at` or is not there.
    TokenUsedUp,
    /// As many clients that registered themselves are there as there may be.
    Full,
}

/// Which tokens to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFilter {
    /// Only this client's.
    pub client_id: Option<ClientId>,
    /// Only those made by hand.
    pub by_hand_only: bool,
}

/// A place in the sequence of changes; later changes have greater revisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The newest change known; hand it in next time.
    pub revision: Revision,
    /// What changed since.
    pub changed: Changed,
}

/// What changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// So much or so long ago that only reading everything anew helps.
    Everything,
    /// These, in order; possibly none.
    These(Vec<Change>),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A client was added, changed or deleted.
    Client(RealmName, ClientId),
    /// A key of the realm was added, changed or deleted.
    Keys(RealmName),
    /// A token was revoked.
    TokenRevoked(RealmName, TokenDigest),
    /// A client was deleted, and its tokens with it.
    TokensDeleted(RealmName, ClientId),
}

/// Why the store did not do what was asked. Whatever the error, nothing was written, but for one
/// case: when the store is lost in the middle of a commit ([`StoreError::Unreachable`]), it may have been
/// written all the same. Nothing is acknowledged then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is there already.
    #[error("it exists already")]
    Exists,
    /// It is not there.
    #[error("there is no such thing")]
    Missing,
    /// Somebody else changed it meanwhile.
    #[error("somebody else changed it meanwhile")]
    Conflict,
    /// More is waiting to be written than the queue holds.
    #[error("more is waiting to be written than the queue holds")]
    Overloaded,
    /// The store cannot be reached right now.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// Anything else; the text is for operators.
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded,
            StoreError::Unreachable(text) => Self::Unreachable(text),
            other => Self::Store(other.to_string()),
        }
    }
}
