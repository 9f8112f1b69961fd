//! The engine: store, clock, randomness, limits, and the realms it decides for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::allow::count_refused;
use crate::client::Lock;
use crate::clock::{Clock, Random};
use crate::deciding::Deciding;
use crate::error::{Error, Fault, Refusal};
use crate::event::{Event, EventKind, Reference};
use crate::guesses::Guesses;
use crate::issue::issue;
use crate::journey;
use crate::key_source::KeySource;
use crate::live::Memory;
pub use crate::live::{LiveClient, PublishedKeys, RealmState};
use crate::manage::Manage;
use crate::master_key::MasterKey;
use crate::name::{ClientId, RealmName};
use crate::reach::Reach;
use crate::realm::Realm;
use crate::recorder::Recorder;
use crate::remembered::Remembered;
use crate::request::{Caller, TokenRequest};
use crate::slow_hash::SlowHash;
use crate::store::{Revision, Store};
use crate::terms::{Terms, TokenShape};
use crate::token::{Answered, Decision};

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
    /// Where other parties' keys come from.
    pub key_source: Arc<dyn KeySource>,
    /// How slowly supplied secrets are hashed, what wrong guesses cost, what goes on without the store.
    pub settings: Settings,
}

/// How slowly supplied secrets are hashed, what wrong guesses cost, what goes on without the store.
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
    /// How many bits of an IPv6 address tell one source from another: 48 to 64.
    pub source_ipv6_prefix: u8,
    /// For how long events are kept.
    pub events_kept_for: Duration,
    /// For how long after the store went away tokens that need no row are issued.
    pub grace: Duration,
    /// For how long after that tokens are still said to hold, as far as memory knows.
    pub check_grace: Duration,
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
            source_ipv6_prefix: 64,
            events_kept_for: Duration::from_secs(7 * 86_400),
            grace: Duration::from_secs(300),
            check_grace: Duration::ZERO,
        }
    }
}

/// Decides. One a process.
pub struct Engine {
    pub(crate) parts: Parts,
    pub(crate) guesses: Guesses,
    pub(crate) remembered: Remembered,
    pub(crate) slow_hash: SlowHash,
    pub(crate) recorder: Recorder,
    pub(crate) realms: ArcSwap<HashMap<RealmName, Arc<RealmState>>>,
    /// Up to where memory has followed the store.
    pub(crate) revision: Mutex<Revision>,
    /// Whether the store is within reach.
    pub(crate) reach: Reach,
}

impl Engine {
    /// Reads everything hot into memory: clients and keys of every realm.
    ///
    /// # Errors
    /// A fault when the store cannot be read or a key does not open under the master key.
    pub async fn open(parts: Parts, realms: Vec<Realm>) -> Result<Arc<Self>, Fault> {
        let Parts { settings, random, .. } = &parts;
        let engine = Self {
            guesses: Guesses::new(settings),
            remembered: Remembered::new(settings, random),
            slow_hash: SlowHash::new(settings, random),
            recorder: Recorder::new(),
            realms: ArcSwap::default(),
            revision: Mutex::new(Revision::default()),
            reach: Reach::new(&parts.clock, settings),
            parts,
        };
        // Taken first: what changes while memory is being read is then read twice, never missed.
        *engine.revision.lock().await = engine.newest_revision().await?;
        engine.reconfigure(realms).await?;
        Ok(Arc::new(engine))
    }

    /// The realm of this name.
    pub fn realm(&self, name: &RealmName) -> Option<Arc<RealmState>> {
        self.realms.load().get(name).map(Arc::clone)
    }

    /// Takes over changed realm configuration; realms that are gone are forgotten.
    ///
    /// # Errors
    /// As [`Engine::open`]; then nothing has changed.
    pub async fn reconfigure(&self, realms: Vec<Realm>) -> Result<(), Fault> {
        // Changes that are being followed wait until the new realms are in place.
        let _revision = self.revision.lock().await;
        let now = self.parts.clock.now();
        let mut states = HashMap::new();
        for realm in realms {
            let memory = match self.realm(&realm.name) {
                Some(state) => Arc::clone(&state.memory),
                None => {
                    let Parts { store, master_key, .. } = &self.parts;
                    Arc::new(Memory::load(&**store, master_key, &realm.name, now).await?)
                }
            };
            states.insert(realm.name.clone(), Arc::new(RealmState::new(realm, memory)));
        }
        self.realms.store(Arc::new(states));
        Ok(())
    }

    /// Makes sure that `state` has an active key for every algorithm that `terms` sign with.
    ///
    /// # Errors
    /// A fault when the store cannot be written.
    pub async fn ensure_keys(&self, state: &RealmState, terms: &[Arc<Terms>]) -> Result<(), Fault> {
        for terms in terms {
            let shape = terms.token.as_ref().unwrap_or(&state.realm.token);
            let TokenShape::Jwt(shape) = shape else { continue };
            if state.memory.keys.load().signing(shape.algorithm).is_some() {
                continue;
            }
            let Parts { store, master_key, .. } = &self.parts;
            let name = &state.realm.name;
            if Manage::new(self.parts.clone()).create_first_key(name, shape.algorithm).await? {
                let algorithm = shape.algorithm;
                tracing::info!(realm = %name, %algorithm, "made the realm's first signing key");
            }
            // Whoever follows changes at the same moment must not put older keys over newer ones.
            let _revision = self.revision.lock().await;
            state.memory.reload_keys(&**store, master_key, name).await?;
        }
        Ok(())
    }

    /// Decides one token request, or records that the dialect could not read it.
    pub async fn decide(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        asked: Result<&TokenRequest<'_>, &Refusal>,
    ) -> Decision {
        let deciding = &self.deciding(realm, terms, caller);
        let outcome = match asked {
            Ok(request) => pin!(issue(deciding, request)).await,
            Err(refusal) => Err(count_refused(deciding, refusal.clone().into())),
        };
        if let Ok(issued) = &outcome
            && Recorder::tells_of_issued()
        {
            self.record(deciding, EventKind::TokenIssued, Some(issued.client.id.clone()), None);
        }
        self.answered(deciding, EventKind::TokenRefused, outcome)
    }

    /// Records and answers a fault that happened before the request could be decided.
    pub fn fail(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        fault: Fault,
    ) -> Decision {
        let deciding = &self.deciding(realm, terms, caller);
        self.answered(deciding, EventKind::TokenRefused, Err(Error::Fault(fault)))
    }

    pub(crate) fn deciding<'a>(
        &'a self,
        realm: &'a RealmState,
        terms: &'a Terms,
        caller: Caller<'a>,
    ) -> Deciding<'a> {
        let now = self.parts.clock.now();
        let reference = Reference::new(&self.parts.random);
        Deciding { engine: self, realm, terms, caller, now, reference }
    }

    /// How many slow hashes were run since the engine was opened.
    pub fn slow_hashes(&self) -> u64 {
        self.slow_hash.done()
    }

    /// Counts and records why a request was refused or failed, and makes the answer of its outcome.
    pub(crate) fn answered<T>(
        &self,
        deciding: &Deciding<'_>,
        refused: EventKind,
        outcome: Result<T, Error>,
    ) -> Answered<T> {
        journey::decided(deciding, refused, &outcome);
        match &outcome {
            Ok(_) => {}
            Err(Error::Refusal(refusal)) => {
                deciding.realm.memory.counts.refused.count(refusal.reason);
                let code = refusal.reason.code();
                let detail = match &refusal.parameter {
                    Some(parameter) => Cow::Owned(format!("{code}: {parameter}")),
                    None => Cow::Borrowed(code),
                };
                self.record(deciding, refused, refusal.client_id.clone(), Some(detail));
            }
            Err(Error::Fault(fault)) => {
                deciding.realm.memory.counts.failed.count(fault.fault_kind());
                if matches!(fault, Fault::Unreachable(_)) {
                    self.reach.count_refused();
                }
                self.record(
                    deciding,
                    EventKind::RequestFailed,
                    None,
                    Some(fault.to_string().into()),
                );
            }
        }
        Answered { reference: deciding.reference, at: deciding.now, outcome }
    }

    fn record(
        &self,
        deciding: &Deciding<'_>,
        kind: EventKind,
        client_id: Option<ClientId>,
        detail: Option<Cow<'static, str>>,
    ) {
        self.recorder.record(Event {
            at: deciding.now,
            reference: deciding.reference,
            realm: deciding.realm.realm.name.clone(),
            kind,
            client_id,
            source: Some(deciding.caller.source),
            detail,
        });
    }

    /// Locks an account after wrong guesses: in memory it is locked already, the store hears of it
    /// as soon as it can, without anybody waiting for it.
    pub(crate) fn lock_later(&self, realm: &RealmName, id: &ClientId, lock: Lock) {
        let manage = Manage::new(self.parts.clone());
        let (realm, id) = (realm.clone(), id.clone());
        tokio::spawn(async move {
            if let Err(error) = manage.lock_client(&realm, &id, lock).await {
                tracing::warn!(%error, %realm, client_id = %id, "the lock of a client was not kept");
            }
        });
    }
}
