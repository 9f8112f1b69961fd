//! What is held in memory of a realm: its clients and keys, read without waiting, followed as the
//! store changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use jeton_jose::{Algorithm, SigningKey};
use parking_lot::Mutex;

use crate::client::{Client, Lock, SecretDigest};
use crate::clock::Time;
use crate::error::Fault;
use crate::guesses::Bucket;
use crate::key::{KeyRecord, KeyStatus};
use crate::limiter::Windows;
use crate::master_key::MasterKey;
use crate::name::{ClientId, KeyId, RealmName};
use crate::realm::Realm;
use crate::source::SourceKey;
use crate::store::{Store, StoreError};
use crate::terms::Lockout;

/// One realm in memory: its configuration, its clients, its keys.
pub struct RealmState {
    pub(crate) realm: Realm,
    pub(crate) memory: Arc<Memory>,
}

impl RealmState {
    /// What configuration says of it.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// How many clients it has.
    pub fn clients(&self) -> usize {
        self.memory.clients.len()
    }
}

/// The part of a realm that the store owns.
pub(crate) struct Memory {
    clients: papaya::HashMap<ClientId, Arc<LiveClient>>,
    keys: ArcSwap<Vec<LiveKey>>,
    supplied: SuppliedCounts,
}

/// A client, and what happens to it while the process runs.
pub(crate) struct LiveClient {
    pub(crate) client: Arc<Client>,
    pub(crate) run: Arc<ClientRun>,
}

/// What happens to a client while the process runs. Survives a change of the client.
#[derive(Default)]
pub(crate) struct ClientRun {
    /// Requests counted against the client's limits.
    pub(crate) windows: Windows,
    /// Wrong guesses from the address that the client was last right from.
    pub(crate) own_guesses: Arc<Bucket>,
    /// That address, as [`SourceKey::number`]; zero: none.
    right_from: AtomicU64,
    /// Wrong secrets in a row, for dialects that lock accounts.
    failures: Mutex<Failures>,
    /// A lock that the store has not heard of yet: milliseconds; 0: none; `i64::MAX`: until unlocked.
    fresh_lock: AtomicI64,
    /// Per secret, the minute in which its last use was noted.
    noted: [AtomicU32; Client::SECRETS_MAX],
}

#[derive(Default)]
struct Failures {
    count: u32,
    first_at: Option<Time>,
}

impl ClientRun {
    /// Whether the client was last right from this address.
    pub(crate) fn was_right_from(&self, source: SourceKey) -> bool {
        self.right_from.load(Ordering::Relaxed) == source.number()
    }

    /// The client was right: wrong guesses before that are forgotten.
    pub(crate) fn right(&self, source: SourceKey) {
        if !self.was_right_from(source) {
            self.right_from.store(source.number(), Ordering::Relaxed);
        }
    }

    /// Forgets wrong secrets: the right one came.
    pub(crate) fn forget_failures(&self) {
        let mut failures = self.failures.lock();
        if failures.count > 0 {
            *failures = Failures::default();
        }
    }

    /// Counts a wrong secret. Says how the account is locked when this was one too many.
    pub(crate) fn count_failure(&self, lockout: &Lockout, now: Time) -> Option<Lock> {
        let mut failures = self.failures.lock();
        if failures.first_at.is_none_or(|first| now.since(first) > lockout.within) {
            *failures = Failures { count: 0, first_at: Some(now) };
        }
        failures.count += 1;
        if failures.count < lockout.failures.get() {
            return None;
        }
        *failures = Failures::default();
        let lock = lockout
            .duration
            .map_or(Lock::UntilUnlocked, |duration| Lock::Until(now.plus(duration)));
        let until = match lock {
            Lock::Until(end) => end.milliseconds(),
            Lock::UntilUnlocked | Lock::Open => i64::MAX,
        };
        self.fresh_lock.store(until, Ordering::Relaxed);
        Some(lock)
    }

    /// Whether the use of this secret should be noted: once a minute at most.
    pub(crate) fn note_use(&self, secret: usize, now: Time) -> bool {
        let minute = u32::try_from(now.seconds() / 60).unwrap_or(u32::MAX);
        let noted = self.noted.get(secret).map(|noted| noted.swap(minute, Ordering::Relaxed));
        noted.is_some_and(|noted| noted != minute)
    }
}

impl LiveClient {
    /// Whether the account is locked at `now`.
    pub(crate) fn is_locked(&self, now: Time) -> bool {
        self.client.lock.holds(now)
            || now.milliseconds() < self.run.fresh_lock.load(Ordering::Relaxed)
    }
}

/// A signing key, parsed and ready.
pub(crate) struct LiveKey {
    pub(crate) id: KeyId,
    pub(crate) status: KeyStatus,
    pub(crate) key: SigningKey,
}

/// How many clients have how many supplied secrets. The most that any has is how often a failed
/// attempt is hashed slowly, so that all failures cost the same.
#[derive(Default)]
struct SuppliedCounts([AtomicUsize; Client::SECRETS_MAX + 1]);

impl SuppliedCounts {
    fn of(client: &Client) -> usize {
        let supplied = |digest: &SecretDigest| matches!(digest, SecretDigest::Supplied(_));
        client.secrets.iter().filter(|secret| supplied(&secret.digest)).count()
    }

    fn add(&self, client: &Client) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, client: &Client) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn most(&self) -> usize {
        self.0.iter().rposition(|count| count.load(Ordering::Relaxed) > 0).unwrap_or(0)
    }
}

impl Memory {
    /// Reads a realm's clients and keys.
    pub(crate) async fn load(
        store: &dyn Store,
        master_key: &MasterKey,
        realm: &RealmName,
    ) -> Result<Self, Fault> {
        let memory = Self {
            clients: papaya::HashMap::new(),
            keys: ArcSwap::default(),
            supplied: SuppliedCounts::default(),
        };
        memory.reload_keys(store, master_key, realm).await?;
        memory.reload_clients(store, realm).await?;
        Ok(memory)
    }

    /// The client of this identifier.
    pub(crate) fn client(&self, id: &str) -> Option<Arc<LiveClient>> {
        self.clients.pin().get(id).map(Arc::clone)
    }

    /// The key that signs with `algorithm` now.
    pub(crate) fn signing_key<T>(
        &self,
        algorithm: Algorithm,
        sign: impl FnOnce(&LiveKey) -> T,
    ) -> Option<T> {
        let keys = self.keys.load();
        let signs =
            |key: &&LiveKey| key.status == KeyStatus::Active && key.key.algorithm() == algorithm;
        keys.iter().find(signs).map(sign)
    }

    /// The most supplied secrets that any client of the realm has.
    pub(crate) fn supplied_most(&self) -> usize {
        self.supplied.most()
    }

    /// Reads all clients anew; those that are gone are forgotten.
    pub(crate) async fn reload_clients(
        &self,
        store: &dyn Store,
        realm: &RealmName,
    ) -> Result<(), StoreError> {
        const PAGE: u32 = 10_000;
        let mut seen = std::collections::HashSet::new();
        let known_before = !self.clients.is_empty();
        let mut after: Option<ClientId> = None;
        loop {
            let page = store.clients(realm, after.as_ref(), PAGE).await?;
            after = page.last().map(|client| client.id.clone());
            let whole_page = page.len() == PAGE as usize;
            for client in page {
                if known_before {
                    seen.insert(client.id.clone());
                }
                self.put_client(client);
            }
            if !whole_page {
                break;
            }
        }
        if known_before {
            let known: Vec<ClientId> = self.clients.pin().keys().cloned().collect();
            for id in known.iter().filter(|id| !seen.contains(*id)) {
                self.forget_client(id);
            }
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
            Some(client) => self.put_client(client),
            None => self.forget_client(id),
        }
        Ok(())
    }

    fn put_client(&self, client: Client) {
        let clients = self.clients.pin();
        let before = clients.get(&client.id);
        let run = before.map(|before| Arc::clone(&before.run)).unwrap_or_default();
        if let Some(before) = before {
            self.supplied.remove(&before.client);
            if before.client.revision != client.revision {
                run.fresh_lock.store(0, Ordering::Relaxed);
                run.forget_failures();
                run.noted.iter().for_each(|noted| noted.store(0, Ordering::Relaxed));
            }
        }
        self.supplied.add(&client);
        let id = client.id.clone();
        clients.insert(id, Arc::new(LiveClient { client: Arc::new(client), run }));
    }

    fn forget_client(&self, id: &ClientId) {
        if let Some(before) = self.clients.pin().remove(id) {
            self.supplied.remove(&before.client);
        }
    }

    /// Reads the realm's keys anew.
    pub(crate) async fn reload_keys(
        &self,
        store: &dyn Store,
        master_key: &MasterKey,
        realm: &RealmName,
    ) -> Result<(), Fault> {
        let records = store.keys(realm).await?;
        let keys: Result<Vec<LiveKey>, Fault> =
            records.iter().map(|record| open_key(master_key, record)).collect();
        self.keys.store(Arc::new(keys?));
        Ok(())
    }
}

fn open_key(master_key: &MasterKey, record: &KeyRecord) -> Result<LiveKey, Fault> {
    let private = master_key.open(&record.realm, &record.id, &record.sealed)?;
    let key = SigningKey::from_private_bytes(record.algorithm, &private).map_err(|error| {
        Fault::Store(format!("key {} of realm {}: {error}", record.id, record.realm))
    })?;
    Ok(LiveKey { id: record.id.clone(), status: record.status, key })
}
