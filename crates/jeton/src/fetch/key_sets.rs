//! The key sets of others, in memory: who waits for a fetch, who gets what is there, and when a URL is
//! asked again.
//!
//! Whoever sends us tokens chooses the key identifiers in them, and so could make us fetch as often as
//! he likes. Therefore a URL is asked once in `again_after`, come what may; until then the keys that are
//! there are all there are. The price: a key that its owner uses before it was published long enough
//! is unknown for that time.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jeton_engine::clock::{Clock, Time};
use jeton_engine::jose::JwkSet;
use jeton_engine::key_source::{KeyLocation, KeySource, KeysUnavailable};
use jeton_engine::measure::Count;
use jeton_engine::readings::CacheReadings;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use super::discovery::{self, Issuer};
use super::request::{Answer, Requests};
use super::resolver::Resolver;
use super::target::Target;
use super::{Bounds, FetchError};

/// How many keys a set may have on average: a set can have a hundred, and many such sets are a way to
/// use up our memory.
const KEYS_A_SET: usize = 8;

/// The key sets of others. Cheap to clone.
#[derive(Clone)]
pub struct KeySets {
    shared: Arc<Shared>,
}

struct Shared {
    requests: Requests,
    bounds: Bounds,
    clock: Clock,
    entries: Mutex<HashMap<KeyLocation, Entry>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: Count,
    misses: Count,
    fetched: Count,
    failed: Count,
}

/// What there is to see of them.
#[derive(Clone, Copy, Debug)]
pub struct KeySetReadings {
    /// Hits are those who did not have to wait.
    pub cache: CacheReadings,
    /// Sets that were fetched.
    pub fetched: u64,
    /// Sets that could not be.
    pub failed: u64,
}

/// What is known of one location.
struct Entry {
    kept: Option<Kept>,
    /// When it was asked last.
    asked: Option<Time>,
    /// When it was last asked in vain, and why; gone with the next success.
    failure: Option<(Time, FetchError)>,
    /// Ends when the fetch under way does.
    flight: Option<watch::Receiver<()>>,
    /// When somebody last needed it.
    needed: Time,
}

struct Kept {
    keys: Arc<JwkSet>,
    fetched: Time,
    /// Until when they are used without a question.
    fresh_until: Time,
    /// Until when they are used while they cannot be fetched again.
    usable_until: Time,
}

/// What a caller does next.
enum Step {
    Use(Arc<JwkSet>),
    Refuse(FetchError),
    Wait(watch::Receiver<()>),
}

/// Whether a caller has waited for a fetch already: it does so once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Left,
    Gone,
}

impl KeySets {
    /// Nothing is fetched before somebody asks.
    ///
    /// # Errors
    /// When `ca_file` cannot be used.
    pub fn new(bounds: Bounds, resolver: Resolver, clock: Clock) -> Result<Self, FetchError> {
        let requests = Requests::new(bounds.clone(), resolver, clock.clone());
        let requests = requests.map_err(|error| FetchError::Tls(error.to_string().into()))?;
        let (entries, counts) = (Mutex::default(), Counts::default());
        let shared = Shared { requests, bounds, clock, entries, counts };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The keys at a location, fetched if need be. A key identifier that is not among them is a reason
    /// to fetch them again, but not more often than the bounds say; it may then still be missing.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn keys(
        &self,
        location: &KeyLocation,
        wanted: Option<&str>,
    ) -> Result<Arc<JwkSet>, FetchError> {
        let mut patience = Patience::Left;
        loop {
            match self.shared.step(location, wanted, patience) {
                Step::Use(keys) => {
                    self.shared.counts.found(patience);
                    return Ok(keys);
                }
                Step::Refuse(error) => {
                    self.shared.counts.misses.one();
                    return Err(error);
                }
                Step::Wait(mut flight) => {
                    // Its other end is dropped when the fetch is over. Discovery makes it longer than
                    // one request may take; nobody waits for that.
                    let landed = async { while flight.changed().await.is_ok() {} };
                    let _ = timeout(self.shared.bounds.timeout, landed).await;
                    patience = Patience::Gone;
                }
            }
        }
    }

    /// What there is to see.
    pub fn readings(&self) -> KeySetReadings {
        let Shared { entries, counts, .. } = &*self.shared;
        let cache = CacheReadings {
            hits: counts.hits.read(),
            misses: counts.misses.read(),
            entries: entries.lock().values().filter(|entry| entry.kept.is_some()).count(),
        };
        KeySetReadings { cache, fetched: counts.fetched.read(), failed: counts.failed.read() }
    }

    /// Trusts these roots and no others.
    #[cfg(test)]
    pub(super) fn trust(&self, roots: rustls::RootCertStore) {
        self.shared.requests.trust(roots);
    }
}

#[async_trait]
impl KeySource for KeySets {
    async fn key_set(
        &self,
        location: &KeyLocation,
        wanted: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        let keys = self.keys(location, wanted).await;
        keys.map_err(|error| KeysUnavailable(error.to_string().into()))
    }
}

impl fmt::Debug for KeySets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeySets").finish_non_exhaustive()
    }
}

impl Counts {
    fn found(&self, patience: Patience) {
        match patience {
            Patience::Left => self.hits.one(),
            Patience::Gone => self.misses.one(),
        }
    }
}

impl Shared {
    fn step(
        self: &Arc<Self>,
        location: &KeyLocation,
        wanted: Option<&str>,
        patience: Patience,
    ) -> Step {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        if !entries.contains_key(location) && make_room(&mut entries, self.bounds.key_sets_max) {
            entries.insert(location.clone(), Entry::new(now));
        }
        let Some(entry) = entries.get_mut(location) else { return Step::Refuse(FetchError::Busy) };
        entry.needed = now;
        let Some(kept) = &entry.kept else {
            return self.wait(location, entry, patience).unwrap_or_else(|| entry.refuse());
        };
        let keys = Arc::clone(&kept.keys);
        if kept.is_fresh(now) {
            let is_known = wanted.is_none_or(|wanted| has(&keys, wanted));
            if !is_known {
                return self.wait(location, entry, patience).unwrap_or(Step::Use(keys));
            }
            if kept.is_ageing(now) {
                self.flight(location, entry);
            }
            return Step::Use(keys);
        }
        if now >= kept.usable_until {
            return self.wait(location, entry, patience).unwrap_or_else(|| entry.refuse());
        }
        // Their server did not answer lately: nobody waits for it again and again.
        if entry.failure.as_ref().is_some_and(|(at, _)| *at >= kept.fresh_until) {
            self.flight(location, entry);
            return Step::Use(keys);
        }
        self.wait(location, entry, patience).unwrap_or(Step::Use(keys))
    }

    fn wait(
        self: &Arc<Self>,
        location: &KeyLocation,
        entry: &mut Entry,
        patience: Patience,
    ) -> Option<Step> {
        if patience == Patience::Gone {
            return None;
        }
        self.flight(location, entry).map(Step::Wait)
    }

    /// The fetch under way; if there is none, a new one, unless the location was asked a moment ago.
    fn flight(
        self: &Arc<Self>,
        location: &KeyLocation,
        entry: &mut Entry,
    ) -> Option<watch::Receiver<()>> {
        if let Some(flight) = entry.flight.as_ref().filter(|flight| is_under_way(flight)) {
            return Some(flight.clone());
        }
        let now = self.clock.now();
        // A clock that was set back must not forbid asking until it is where it was.
        let lately = |asked: Time| asked <= now && now.since(asked) < self.bounds.again_after;
        if entry.asked.is_some_and(lately) {
            return None;
        }
        let (ends, flight) = watch::channel(());
        entry.asked = Some(now);
        entry.flight = Some(flight.clone());
        let (shared, location) = (Arc::clone(self), location.clone());
        // On its own, so that it goes on when the request that began it is given up.
        tokio::spawn(async move {
            let outcome = shared.fetch(&location).await;
            shared.land(&location, now, outcome);
            drop(ends);
        });
        Some(flight)
    }

    async fn fetch(&self, location: &KeyLocation) -> Result<Kept, FetchError> {
        let fetched = self.clock.now();
        let target = match location {
            KeyLocation::Uri(uri) => Target::parse(uri)?,
            KeyLocation::Issuer(issuer) => {
                discovery::jwks_uri(&self.requests, &Issuer::parse(issuer)?).await?
            }
        };
        let answer = self.requests.get(&target).await?;
        let Bounds { fresh_min, fresh_max, stale_max, .. } = self.bounds;
        let fresh_for = answer.fresh_for.unwrap_or(fresh_min).max(fresh_min).min(fresh_max);
        let fresh_until = fetched.plus(fresh_for);
        let usable_until = fresh_until.plus(stale_max);
        Ok(Kept { keys: Arc::new(read(&answer)?), fetched, fresh_until, usable_until })
    }

    fn land(&self, location: &KeyLocation, asked: Time, outcome: Result<Kept, FetchError>) {
        let (KeyLocation::Uri(url) | KeyLocation::Issuer(url)) = location;
        // Some write into the query what nobody else should know.
        let url = url.split('?').next().unwrap_or_default();
        match &outcome {
            Ok(kept) => {
                self.counts.fetched.one();
                let (keys, skipped) = (kept.keys.keys().len(), kept.keys.skipped().len());
                tracing::debug!(%url, keys, skipped, "fetched a key set");
            }
            Err(error) => {
                self.counts.failed.one();
                tracing::warn!(%url, %error, "a key set could not be fetched");
            }
        }
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(location) else { return };
        match outcome {
            Ok(kept) => {
                entry.kept = Some(kept);
                entry.failure = None;
                while weight(&entries) > self.bounds.key_sets_max.saturating_mul(KEYS_A_SET)
                    && forget_one(&mut entries)
                {}
            }
            Err(error) => {
                // It was not asked at all: the next request may.
                if error == FetchError::Busy {
                    entry.asked = None;
                }
                entry.failure = Some((asked, error));
            }
        }
    }
}

fn read(answer: &Answer) -> Result<JwkSet, FetchError> {
    let wrong = |problem: &str| FetchError::Content { what: "JWK set", problem: problem.into() };
    let text = std::str::from_utf8(&answer.body).map_err(|_| wrong("it is not UTF-8 text"))?;
    JwkSet::parse(text).map_err(|error| wrong(&error.to_string()))
}

fn has(keys: &JwkSet, wanted: &str) -> bool {
    keys.keys().iter().any(|key| key.key_id() == Some(wanted))
}

fn is_under_way(flight: &watch::Receiver<()>) -> bool {
    flight.has_changed().is_ok()
}

/// Every key that is kept.
fn weight(entries: &HashMap<KeyLocation, Entry>) -> usize {
    let kept = entries.values().filter_map(|entry| entry.kept.as_ref());
    kept.map(|kept| kept.keys.keys().len()).sum()
}

/// Whether there is room for one more location, if need be in the stead of another.
fn make_room(entries: &mut HashMap<KeyLocation, Entry>, most: usize) -> bool {
    entries.len() < most || forget_one(entries)
}

/// Forgets the location that was needed longest ago, but none that is being asked right now.
fn forget_one(entries: &mut HashMap<KeyLocation, Entry>) -> bool {
    let is_resting = |entry: &Entry| !entry.flight.as_ref().is_some_and(is_under_way);
    let resting = entries.iter().filter(|(_, entry)| is_resting(entry));
    let oldest =
        resting.min_by_key(|(_, entry)| entry.needed).map(|(location, _)| location.clone());
    oldest.is_some_and(|location| entries.remove(&location).is_some())
}

impl Entry {
    fn new(now: Time) -> Self {
        Self { kept: None, asked: None, failure: None, flight: None, needed: now }
    }

    fn refuse(&self) -> Step {
        let failure = self.failure.as_ref().map(|(_, error)| error.clone());
        Step::Refuse(failure.unwrap_or(FetchError::UnderWay))
    }
}

impl Kept {
    /// Keys from the future are those of a clock that was set back: of unknown age.
    fn is_fresh(&self, now: Time) -> bool {
        self.fetched <= now && now < self.fresh_until
    }

    /// In the last quarter of their time they are fetched again while they are still used, so that
    /// nobody has to wait.
    fn is_ageing(&self, now: Time) -> bool {
        self.fresh_until.since(now) < self.fresh_until.since(self.fetched) / 4
    }
}
