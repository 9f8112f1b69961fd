//! The engine: store, clock, randomness, limits, and the realms it decides for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Random};
use crate::error::{Fault, Refusal};
use crate::master_key::MasterKey;
use crate::name::RealmName;
use crate::realm::Realm;
use crate::request::TokenRequest;
use crate::store::Store;
use crate::terms::Terms;
use crate::token::Decision;

/// What an engine is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where random bytes come from.
    pub random: Random,
    /// What signing keys are encrypted under.
    pub master_key: MasterKey,
    /// How slowly supplied secrets are hashed, and what wrong guesses cost.
    pub settings: Settings,
}

/// How slowly supplied secrets are hashed, and what wrong guesses cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Argon2id memory of one run, in KiB.
    pub argon2_memory_kib: u32,
    /// Argon2id passes of one run.
    pub argon2_passes: u32,
    /// Argon2id runs at one time.
    pub argon2_runs_max: usize,
    /// Requests that may wait for a run; further ones hear `unavailable`.
    pub argon2_waiting_max: usize,
    /// How many right supplied secrets are remembered (in memory, as keyed digests).
    pub remembered_max: usize,
    /// For how long.
    pub remembered_for: Duration,
    /// Wrong guesses that one source address has free.
    pub guesses_free: u32,
    /// Wrong guesses a second that it has after that.
    pub guesses_per_second: u32,
    /// How long a request of such a source waits for its turn at most before it is refused.
    pub guess_wait_max: Duration,
    /// For how long events are kept.
    pub events_kept_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            argon2_memory_kib: 19 * 1024,
            argon2_passes: 2,
            argon2_runs_max: 2,
            argon2_waiting_max: 64,
            remembered_max: 10_000,
            remembered_for: Duration::from_secs(300),
            guesses_free: 30,
            guesses_per_second: 10,
            guess_wait_max: Duration::from_secs(2),
            events_kept_for: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Decides. One a process.
pub struct Engine {
    parts: Parts,
}

/// One realm in memory: its configuration, its clients, its keys.
pub struct RealmState {
    realm: Realm,
}

impl RealmState {
    /// What configuration says of it.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }
}

impl Engine {
    /// Reads everything hot into memory: clients and keys of every realm.
    ///
    /// # Errors
    /// A fault when the store cannot be read or a key does not open under the master key.
    pub async fn open(parts: Parts, realms: Vec<Realm>) -> Result<Arc<Self>, Fault> {
        let _ = realms;
        Ok(Arc::new(Self { parts }))
    }

    /// The realm of this name.
    pub fn realm(&self, name: &RealmName) -> Option<Arc<RealmState>> {
        let _ = name;
        None
    }

    /// Takes over changed realm configuration; realms that are gone are forgotten.
    ///
    /// # Errors
    /// As [`Engine::open`]; then nothing has changed.
    pub async fn reconfigure(&self, realms: Vec<Realm>) -> Result<(), Fault> {
        let _ = realms;
        Ok(())
    }

    /// Makes sure that `realm` has an active key for every algorithm that `terms` sign with.
    ///
    /// # Errors
    /// A fault when the store cannot be written.
    pub async fn ensure_keys(&self, realm: &RealmState, terms: &[Arc<Terms>]) -> Result<(), Fault> {
        let _ = (realm, terms);
        Ok(())
    }

    /// Decides one token request, or records that the dialect could not read it.
    pub async fn decide(
        &self,
        realm: &RealmState,
        terms: &Terms,
        source: IpAddr,
        asked: Result<TokenRequest<'_>, Refusal>,
    ) -> Decision {
        let _ = (realm, terms, source, asked, &self.parts);
        unreachable!("not yet")
    }

    /// Follows the store, writes what may be written late, removes what has expired. Ends, having
    /// written everything, when `stop` does.
    pub async fn upkeep(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        stop.await;
    }

    /// Whether tokens can be issued right now.
    ///
    /// # Errors
    /// The fault that a request would meet.
    pub async fn ready(&self) -> Result<(), Fault> {
        Ok(())
    }
}
