//! What happens to a client while the process runs: counts, guesses, uses. Survives a change of the
//! client. Most clients only ever need two numbers; the rest is made when it is first needed.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::client::{Client, Lock};
use crate::clock::Time;
use crate::gcra::Bucket;
use crate::limiter::{Buckets, Windows};
use crate::source::SourceKey;
use crate::terms::Lockout;

/// What happens to a client while the process runs.
#[derive(Default)]
pub(crate) struct ClientRun {
    /// The address that the client was last right from, as [`SourceKey::number`]; zero: none.
    right_from: AtomicU64,
    counters: ArcSwapOption<Counters>,
}

/// When uses of a client's secrets were last noted, and whose: the minute, and below it a bit for each secret.
/// Beside [`ClientRun`], so that it shares eight bytes with another number. The minute comes round after 31
/// years.
#[derive(Default)]
pub(crate) struct NotedUses(AtomicU32);

const _: () = assert!(Client::SECRETS_MAX <= 8, "each secret has its bit");

/// What is counted of few clients, or only where limits are set.
#[derive(Default)]
pub(crate) struct Counters {
    windows: OnceLock<Box<Windows>>,
    buckets: OnceLock<Box<Buckets>>,
    /// Assertions that were made for something else than the issuer alone, and were accepted.
    pub(crate) also_for: AtomicU64,
    /// Wrong guesses from the address that the client was last right from.
    pub(crate) own_guesses: Bucket,
    /// When wrong secrets came, for dialects that lock accounts: those since the right one, as far
    /// back as they count.
    failures: Mutex<Vec<Time>>,
    /// A lock that the store has not heard of yet: milliseconds; 0: none; `i64::MAX`: until unlocked.
    fresh_lock: AtomicI64,
}

impl Counters {
    /// Requests counted against the limits that dialects document.
    pub(crate) fn windows(&self) -> &Windows {
        self.windows.get_or_init(Box::default)
    }

    /// Requests counted against the limits that the realm's operator sets.
    pub(crate) fn buckets(&self) -> &Buckets {
        self.buckets.get_or_init(Box::default)
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

    fn forget_failures(&self) {
        let mut failures = self.failures.lock();
        if !failures.is_empty() {
            *failures = Vec::new();
        }
    }
}

impl ClientRun {
    /// The same, for the client as it is after a change. What a request counts meanwhile that began
    /// before may be lost.
    pub(super) fn handed_on(&self) -> Self {
        Self {
            right_from: AtomicU64::new(self.right_from.load(Ordering::Relaxed)),
            counters: ArcSwapOption::new(self.counters.load_full()),
        }
    }

    /// What is counted of it, made now if need be.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        if let Some(counters) = self.known_counters() {
            return counters;
        }
        let fresh = Arc::<Counters>::default();
        let before =
            self.counters.compare_and_swap(&None::<Arc<Counters>>, Some(Arc::clone(&fresh)));
        before.as_ref().map_or(fresh, Arc::clone)
    }

    /// What is counted of it, if anything was.
    pub(crate) fn known_counters(&self) -> Option<Arc<Counters>> {
        self.counters.load_full()
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
        if let Some(counters) = &*self.counters.load() {
            counters.fresh_lock.store(0, Ordering::Relaxed);
        }
        self.forget_failures();
    }

    /// Forgets wrong secrets: the right one came.
    pub(crate) fn forget_failures(&self) {
        if let Some(counters) = &*self.counters.load() {
            counters.forget_failures();
        }
    }

    /// Whether it is locked at `now` by a lock that the store has not heard of yet.
    pub(super) fn is_locked(&self, now: Time) -> bool {
        let until = |counters: &Arc<Counters>| counters.fresh_lock.load(Ordering::Relaxed);
        self.counters.load().as_ref().is_some_and(|counters| now.milliseconds() < until(counters))
    }
}

impl NotedUses {
    const SECRETS: u32 = 0xff;

    /// The same, for the client as it is after a change of something else.
    pub(super) fn handed_on(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    /// Whether the use of this secret should be noted: about once a minute.
    pub(crate) fn note(&self, secret: usize, now: Time) -> bool {
        let Some(bit) = u32::try_from(secret).ok().and_then(|secret| 1_u8.checked_shl(secret))
        else {
            return false;
        };
        let (bit, minute) = (u32::from(bit), ((now.seconds() / 60) as u32) << 8);
        let noted = |before: u32| {
            let noted = if before & !Self::SECRETS == minute { before } else { minute };
            (noted & bit == 0).then_some(noted | bit)
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, noted).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_minute_for_each_secret() {
        let noted = NotedUses::default();
        let minute = |minute: i64| Time::from_seconds(1_700_000_040 + minute * 60);
        assert!(noted.note(0, minute(0)));
        assert!(!noted.note(0, minute(0)));
        assert!(noted.note(7, minute(0)));
        assert!(!noted.note(8, minute(0)), "no client has so many");
        assert!(!noted.handed_on().note(7, minute(0)), "also after a change of something else");
        assert!(noted.note(0, minute(1)));
        assert!(noted.note(7, minute(1)));
        assert!(noted.note(0, minute(-1)), "a clock that was set back");
    }

    #[test]
    fn what_is_counted_outlives_a_change_and_is_not_made_before_it_is_needed() {
        let run = ClientRun::default();
        assert!(run.known_counters().is_none());
        run.counters().also_for.fetch_add(1, Ordering::Relaxed);
        let after = run.handed_on();
        after.counters().also_for.fetch_add(1, Ordering::Relaxed);
        assert_eq!(run.counters().also_for.load(Ordering::Relaxed), 2);
    }
}
