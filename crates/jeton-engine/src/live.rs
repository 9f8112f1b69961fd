//! What is held in memory of a realm: its clients and keys, and what was found out about its
//! tokens. Read without waiting, followed as the store changes.

mod by_id;
mod client;
mod clients;
mod headers;
mod keys;
mod run;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use jeton_jose::JwkSet;
use quick_cache::sync::Cache;

pub use crate::live::client::LiveClient;
pub(crate) use crate::live::client::LiveSecret;
use crate::live::client::Scopes;
use crate::live::clients::Clients;
pub(crate) use crate::live::keys::KeyMark;
use crate::live::keys::LiveKeys;
pub use crate::live::keys::PublishedKeys;

use crate::check::Says;
use crate::client::extract::ClientExtract;
use crate::clock::Time;
use crate::counts::RealmCounts;
use crate::dpop::nonce::NonceKey;
use crate::error::Fault;
use crate::limiter::{Buckets, SourceLimits};
use crate::master_key::MasterKey;
use crate::name::{ClientId, RealmName};
use crate::realm::Realm;
use crate::realm::proving::{TrustedIssuer, TrustedKeys};
use crate::registration::RegistrationCounts;
use crate::sealed::SealingKey;
use crate::store::{Store, StoreError};
use crate::token::TokenDigest;

/// How many tokens a realm remembers having read.
const SAID_MAX: usize = 100_000;

/// How much longer than it lasts a token is kept: a clock that ran ahead and was set back must not
/// bring a revoked token back.
pub(crate) const KEPT_LONGER: Duration = Duration::from_secs(600);

/// One realm in memory: its configuration, its clients, its keys.
pub struct RealmState {
    pub(crate) realm: Realm,
    pub(crate) memory: Arc<Memory>,
    /// The keys of its trusted issuers, in their order, where configuration has them.
    trusted_keys: Vec<Option<JwkSet>>,
}

impl RealmState {
    pub(crate) fn new(realm: Realm, memory: Arc<Memory>) -> Self {
        let keys = |issuer: &TrustedIssuer| match &issuer.keys {
            TrustedKeys::These(keys) => Some(keys.parse()),
            TrustedKeys::At(_) => None,
        };
        let trusted_keys = realm.proving.trusted_issuers.iter().map(keys).collect();
        Self { realm, memory, trusted_keys }
    }

    /// The trusted issuer of this `iss`, and its keys where configuration has them.
    pub(crate) fn trusted(&self, issuer: &str) -> Option<(&TrustedIssuer, Option<&JwkSet>)> {
        let mut trusted = self.realm.proving.trusted_issuers.iter().zip(&self.trusted_keys);
        let (trusted, keys) = trusted.find(|(trusted, _)| trusted.issuer == issuer)?;
        Some((trusted, keys.as_ref()))
    }

    /// What configuration says of it.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.memory.clients.len()
    }

    /// Who still makes assertions for something else than the issuer alone (`Assertions::also_for`),
    /// and how many of each were accepted since this process started or took the client up. Looks
    /// at every client.
    pub fn assertions_for_others(&self) -> Vec<(ClientId, u64)> {
        self.memory.clients.assertions_for_others()
    }

    /// The JWK set that it publishes.
    pub fn published_keys(&self) -> Arc<PublishedKeys> {
        Arc::clone(&self.memory.keys.load().published)
    }
}

/// The part of a realm that the store owns.
pub(crate) struct Memory {
    /// Whose memory it is.
    pub(crate) realm: RealmName,
    pub(crate) clients: Clients,
    pub(crate) keys: ArcSwap<LiveKeys>,
    pub(crate) sealing: SealingKey,
    pub(crate) nonces: NonceKey,
    /// Requests counted against the limits of the realm.
    pub(crate) buckets: Buckets,
    /// Requests counted against the limits of each source address.
    pub(crate) source_limits: SourceLimits,
    /// Registrations counted against their limits.
    pub(crate) registering: RegistrationCounts,
    /// What tokens say that were seen before.
    pub(crate) said: Cache<TokenDigest, Arc<Says>>,
    /// What is counted of it.
    pub(crate) counts: RealmCounts,
    /// Tokens that were revoked and have not expired, and when they will; made with the first of them. Nobody
    /// can choose what digests are, so the hash need not resist anybody.
    revoked: OnceLock<papaya::HashMap<TokenDigest, Option<Time>, foldhash::fast::RandomState>>,
}

impl Memory {
    /// Reads a realm's clients, keys and revoked tokens.
    pub(crate) async fn load(
        store: &dyn Store,
        master_key: &MasterKey,
        realm: &RealmName,
        now: Time,
    ) -> Result<Self, Fault> {
        let memory = Self {
            realm: realm.clone(),
            clients: Clients::default(),
            keys: ArcSwap::default(),
            sealing: SealingKey::new(master_key, realm),
            nonces: NonceKey::new(master_key, realm),
            buckets: Buckets::default(),
            source_limits: SourceLimits::new(),
            registering: RegistrationCounts::new(),
            said: Cache::new(SAID_MAX),
            counts: RealmCounts::default(),
            revoked: OnceLock::new(),
        };
        memory.reload(store, master_key, realm, now).await?;
        Ok(memory)
    }

    /// Reads everything anew.
    pub(crate) async fn reload(
        &self,
        store: &dyn Store,
        master_key: &MasterKey,
        realm: &RealmName,
        now: Time,
    ) -> Result<(), Fault> {
        // Before the keys: one that does not open keeps nobody from hearing of all the rest.
        for (digest, expires_at) in store.revoked_tokens(realm, now.minus(KEPT_LONGER)).await? {
            self.revoke(digest, expires_at);
        }
        self.reload_clients(store, realm).await?;
        self.said.clear();
        self.reload_keys(store, master_key, realm).await
    }

    /// Whether a token was revoked.
    pub(crate) fn is_revoked(&self, digest: &TokenDigest) -> bool {
        self.revoked.get().is_some_and(|revoked| revoked.pin().contains_key(digest))
    }

    /// How many tokens were revoked and are not forgotten yet.
    pub(crate) fn revoked(&self) -> usize {
        self.revoked.get().map_or(0, papaya::HashMap::len)
    }

    /// Takes over that a token was revoked.
    pub(crate) fn revoke(&self, digest: TokenDigest, expires_at: Option<Time>) {
        self.revoked.get_or_init(Default::default).pin().insert(digest, expires_at);
    }

    /// Forgets revoked tokens that have expired by now: they hold no more either way.
    pub(crate) fn forget_expired(&self, now: Time) {
        let Some(revoked) = self.revoked.get() else { return };
        let expired = now.minus(KEPT_LONGER);
        revoked.pin().retain(|_, end| end.is_none_or(|end| expired < end));
    }

    /// Forgets what was read of a client's tokens: their rows are gone.
    pub(crate) fn forget_tokens(&self, id: &ClientId) {
        self.said.retain(|_, says| says.client_id != *id);
    }

    /// Reads all clients anew; those that are gone are forgotten.
    async fn reload_clients(&self, store: &dyn Store, realm: &RealmName) -> Result<(), StoreError> {
        const TOGETHER: usize = 500;
        let known_before = self.clients.len() > 0;
        let (mut seen, mut scopes, mut fresh) = (HashSet::new(), Scopes::default(), Vec::new());
        let mut take = |client: ClientExtract| {
            if known_before {
                seen.insert(client.id().clone());
            }
            fresh.push(self.clients.live(client, &mut scopes));
            // All at once where nobody waits for the first of them: that is by far the cheapest.
            if known_before && fresh.len() == TOGETHER {
                self.clients.put(std::mem::take(&mut fresh));
            }
        };
        store.client_extracts(realm, &mut take).await?;
        self.clients.put(fresh);
        if known_before {
            self.clients.keep(|id| seen.contains(id));
        }
        Ok(())
    }

    /// Reads one client anew.
    pub(crate) async fn reload_client(
        &self,
        store: &dyn Store,
        realm: &RealmName,
        id: &ClientId,
    ) -> Result<(), StoreError> {
        match store.client(realm, id).await? {
            Some(client) => {
                let live = self.clients.live(client.into(), &mut Scopes::default());
                self.clients.put(vec![live]);
            }
            None => self.clients.forget(id),
        }
        Ok(())
    }

    /// Reads the realm's keys anew.
    pub(crate) async fn reload_keys(
        &self,
        store: &dyn Store,
        master_key: &MasterKey,
        realm: &RealmName,
    ) -> Result<(), Fault> {
        let records = store.keys(realm).await?;
        self.keys.store(Arc::new(LiveKeys::open(master_key, &records)?));
        Ok(())
    }
}
