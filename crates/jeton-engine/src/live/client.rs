//! A client in memory, and what happens to it while the process runs.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jeton_jose::{JwkSet, VerifyingKey};
use parking_lot::Mutex;

use crate::client::proof::PublicKeys;
use crate::client::{Client, Lock, SecretDigest};
use crate::clock::Time;
use crate::gcra::Bucket;
use crate::limiter::{Buckets, Windows};
use crate::master_key::MasterKey;
use crate::source::SourceKey;
use crate::terms::Lockout;

/// A client, and what happens to it while the process runs.
pub(crate) struct LiveClient {
    pub(crate) client: Arc<Client>,
    pub(crate) run: Arc<ClientRun>,
    /// The keys that it has registered, once they were needed.
    keys: OnceLock<Box<JwkSet>>,
    /// Its sealed secrets, opened, once they were needed.
    opened: OnceLock<Box<[VerifyingKey]>>,
}

/// What happens to a client while the process runs. Survives a change of the client.
#[derive(Default)]
pub(crate) struct ClientRun {
    /// Requests counted against the limits that dialects document.
    pub(crate) windows: Windows,
    /// Requests counted against the limits that the realm's operator sets, once there were any.
    buckets: OnceLock<Box<Buckets>>,
    /// Assertions that were made for something else than the issuer alone, and were accepted.
    pub(crate) also_for: AtomicU64,
    /// Wrong guesses from the address that the client was last right from.
    pub(crate) own_guesses: Bucket,
    /// That address, as [`SourceKey::number`]; zero: none.
    right_from: AtomicU64,
    /// When wrong secrets came, for dialects that lock accounts: those since the right one, as far
    /// back as they count.
    failures: Mutex<Vec<Time>>,
    /// A lock that the store has not heard of yet: milliseconds; 0: none; `i64::MAX`: until unlocked.
    fresh_lock: AtomicI64,
    /// Per secret, the minute in which its last use was noted.
    noted: [AtomicU32; Client::SECRETS_MAX],
}

impl ClientRun {
    /// Requests counted against the limits that the realm's operator sets.
    pub(crate) fn buckets(&self) -> &Buckets {
        self.buckets.get_or_init(Box::default)
    }

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

    /// The client was changed: what was kept of its state before that no longer counts.
    pub(super) fn changed(&self) {
        self.fresh_lock.store(0, Ordering::Relaxed);
        self.forget_failures();
        self.noted.iter().for_each(|noted| noted.store(0, Ordering::Relaxed));
    }

    /// Forgets wrong secrets: the right one came.
    pub(crate) fn forget_failures(&self) {
        let mut failures = self.failures.lock();
        if !failures.is_empty() {
            *failures = Vec::new();
        }
    }

    /// Counts a wrong secret. Says how the account is locked when this was one too many.
    pub(crate) fn count_failure(&self, lockout: &Lockout, now: Time) -> Option<Lock> {
        let mut failures = self.failures.lock();
        failures.retain(|failure| now.since(*failure) <= lockout.within);
        failures.push(now);
        if failures.len() < usize::try_from(lockout.failures.get()).unwrap_or(usize::MAX) {
            return None;
        }
        *failures = Vec::new();
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
    pub(super) fn new(client: Client, run: Arc<ClientRun>) -> Self {
        Self { client: Arc::new(client), run, keys: OnceLock::new(), opened: OnceLock::new() }
    }

    /// The client's own registered keys (`jwks`), parsed once.
    pub(crate) fn keys(&self, registered: &PublicKeys) -> &JwkSet {
        self.keys.get_or_init(|| Box::new(registered.parse()))
    }

    /// The keys of HS256 that its sealed secrets are, under their identifiers. They go when the
    /// client changes, and the library wipes them then.
    pub(crate) fn opened(&self, master_key: &MasterKey) -> &[VerifyingKey] {
        self.opened.get_or_init(|| open(&self.client, master_key).into_boxed_slice())
    }

    /// Whether the account is locked at `now`.
    pub(crate) fn is_locked(&self, now: Time) -> bool {
        self.client.lock.holds(now)
            || now.milliseconds() < self.run.fresh_lock.load(Ordering::Relaxed)
    }
}

fn open(client: &Client, master_key: &MasterKey) -> Vec<VerifyingKey> {
    let Client { realm, id, secrets, .. } = client;
    let mut keys = Vec::new();
    for secret in secrets {
        let SecretDigest::Sealed(sealed) = &secret.digest else { continue };
        let opened = master_key.open_secret(realm, id, &secret.id, sealed);
        match opened.map(|opened| VerifyingKey::from_secret(&opened)) {
            Ok(Ok(key)) => keys.push(key.with_key_id(secret.id.as_str())),
            // The others may be right all the same.
            Ok(Err(error)) => {
                tracing::error!(%error, %realm, client_id = %id, "a secret is no key of HS256");
            }
            Err(fault) => {
                tracing::error!(%fault, %realm, client_id = %id, "a secret does not open");
            }
        }
    }
    keys
}
