//! What sources have spent, in as much memory as was set aside for it, however many sources there are.
//!
//! When there is no room, the smallest debt makes place: that of who would be free again first. So to
//! make us forget a debt, somebody has to run up greater ones from eight other addresses at least that
//! fall into the same set, and nobody knows which do. An LRU would forget whoever has been quiet
//! for a moment, so that a flood of invented sources would free the one that guesses.
//! A newcomer is never refused for want of room.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::gcra::Moment;
use crate::rate::Unit;
use crate::source::Network;

/// What somebody owes.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    /// Whose, as a keyed hash that is never zero; zero: nobody's.
    mark: u64,
    /// Until when it is spent.
    spent: Moment,
}

/// Debts that can push out each other.
type Set = [Debt; 8];

/// Whom and what a debt is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Account {
    /// Who.
    pub(crate) network: Network,
    /// In which of several limits.
    pub(crate) unit: Unit,
}

/// The debts of all sources.
pub(crate) struct Debts {
    /// Made when the first debt is.
    sets: OnceLock<Box<[Mutex<Set>]>>,
    hasher: RandomState,
    /// Further than any debt can reach, in nanoseconds. What seems to reach further was made before the
    /// clock was set back, and must not keep the place of others.
    ahead_max: i64,
    forgotten: AtomicU64,
}

impl Debts {
    /// 65 536 debts in 1.1 MiB.
    const SETS: usize = 8_192;

    pub(crate) fn new(ahead_max: i64) -> Self {
        Self {
            sets: OnceLock::new(),
            hasher: RandomState::new(),
            ahead_max,
            forgotten: AtomicU64::new(0),
        }
    }

    /// Until when an account is spent; `None`: it owes nothing.
    pub(crate) fn spent(&self, account: Account) -> Option<Moment> {
        let sets = self.sets.get()?;
        let mark = self.mark(account);
        let set = sets.get(place(mark, sets.len()))?.lock();
        set.iter().find(|debt| debt.mark == mark).map(|debt| debt.spent)
    }

    /// Changes what an account has spent. `change` is told until when that is; what is past by `now` is
    /// not kept.
    pub(crate) fn change<T>(
        &self,
        account: Account,
        now: Moment,
        change: impl FnOnce(Moment) -> (Moment, T),
    ) -> T {
        let sets = self.sets.get_or_init(|| (0..Self::SETS).map(|_| Mutex::default()).collect());
        let mark = self.mark(account);
        let Some(set) = sets.get(place(mark, sets.len())) else { return change(now).1 };
        let mut set = set.lock();
        if let Some(debt) = set.iter_mut().find(|debt| debt.mark == mark) {
            let (spent, outcome) = change(debt.spent);
            debt.spent = spent;
            return outcome;
        }
        let (spent, outcome) = change(now);
        let latest = now.saturating_add(self.ahead_max);
        if spent > now
            && let Some(least) = set.iter_mut().min_by_key(|debt| match debt.mark {
                0 => Moment::MIN,
                _ if debt.spent > latest => Moment::MIN,
                _ => debt.spent,
            })
        {
            if least.mark != 0 && least.spent > now {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            *least = Debt { mark, spent };
        }
        outcome
    }

    /// Takes back a part of what an account has spent, if that is still known.
    pub(crate) fn give_back(&self, account: Account, cost: i64) {
        let Some(sets) = self.sets.get() else { return };
        let mark = self.mark(account);
        let Some(set) = sets.get(place(mark, sets.len())) else { return };
        if let Some(debt) = set.lock().iter_mut().find(|debt| debt.mark == mark) {
            debt.spent = debt.spent.saturating_sub(cost);
        }
    }

    /// How many debts were forgotten for want of room before they were over.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn mark(&self, account: Account) -> u64 {
        self.hasher.hash_one(account).max(1)
    }
}

/// In which set a mark belongs.
const fn place(mark: u64, sets: usize) -> usize {
    match sets {
        0 => 0,
        sets => (mark >> 32) as usize % sets,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::source::SourceKey;

    const SECOND: i64 = 1_000_000_000;

    fn account(address: u32) -> Account {
        let source = SourceKey::new(IpAddr::from(address.to_be_bytes()), 64);
        Account { network: Network::Own(source), unit: Unit::Second }
    }

    fn owe(debts: &Debts, address: u32, now: Moment, seconds: i64) {
        debts.change(account(address), now, |spent| (spent.max(now) + seconds * SECOND, ()));
    }

    #[test]
    fn ten_million_invented_sources_need_no_more_memory_and_free_nobody() {
        let debts = Debts::new(100 * SECOND);
        let now = 1_000 * SECOND;
        let guessers = 0..50_u32;
        for guesser in guessers.clone() {
            owe(&debts, guesser, now, 30);
        }
        for invented in 1_000..10_001_000_u32 {
            debts.change(account(invented), now, |spent| {
                assert_eq!(spent, now, "a source that was never there owes nothing");
                (now + SECOND / 10, ())
            });
        }
        for guesser in guessers {
            assert_eq!(debts.spent(account(guesser)), Some(now + 30 * SECOND), "{guesser}");
        }
        let sets = debts.sets.get().unwrap();
        assert_eq!(sets.len() * size_of::<Mutex<Set>>(), 1_114_112);
        assert!(debts.forgotten() > 9_000_000);
    }

    #[test]
    fn who_owes_most_is_forgotten_last_and_what_is_past_first() {
        let debts = Debts::new(1_000 * SECOND);
        let one_set: Vec<u32> = (0..)
            .filter(|address| place(debts.mark(account(*address)), Debts::SETS) == 7)
            .take(11)
            .collect();
        for (debt, address) in one_set.iter().enumerate().take(8) {
            owe(&debts, *address, 0, 10 + i64::try_from(debt).unwrap());
        }
        owe(&debts, one_set[8], 0, 1);
        assert_eq!(debts.spent(account(one_set[0])), None, "the smallest debt made place");
        assert!(debts.spent(account(one_set[7])).is_some());
        owe(&debts, one_set[9], 5 * SECOND, 1);
        assert_eq!(debts.spent(account(one_set[8])), None, "it was over");
        assert_eq!(debts.forgotten(), 1);
        // Set back by a day: old debts look greater than they can be.
        let before = -86_400 * SECOND;
        owe(&debts, one_set[10], before, 2);
        owe(&debts, one_set[0], before, 1);
        assert!(debts.spent(account(one_set[10])).is_some(), "only old debts made place");
    }

    #[test]
    fn what_is_given_back_is_no_longer_owed_and_nothing_is_made_of_nothing() {
        let debts = Debts::new(100 * SECOND);
        debts.give_back(account(1), SECOND);
        assert_eq!(debts.spent(account(1)), None);
        owe(&debts, 1, 0, 2);
        debts.give_back(account(1), SECOND);
        assert_eq!(debts.spent(account(1)), Some(SECOND));
        debts.change(account(2), 0, |spent| (spent, ()));
        assert_eq!(debts.spent(account(2)), None);
    }
}
