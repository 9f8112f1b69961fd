//! What a store has done and has to do: counted where it is done, read when somebody wants to see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jeton_engine::measure::{Count, DURATIONS, Distribution, Spread};

/// What a store has done and has to do, for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Writes that wait, in all queues together.
    pub waiting: usize,
    /// The queues.
    pub queues: Vec<QueueActivity>,
    /// Writes that were turned away because a queue was full.
    pub turned_away: u64,
    /// Commits since the store was opened.
    pub commits: u64,
    /// Writes that those commits made durable.
    pub writes: u64,
    /// How many writes shared a commit.
    pub writes_a_commit: Spread,
    /// How long each transaction took, in nanoseconds, from its beginning until it was durable.
    pub took: Spread,
    /// Transactions that failed as a whole; nothing in them was acknowledged.
    pub failed: u64,
    /// Whether the last transaction did not fail.
    pub is_writable: bool,
    /// Connections to the database, where there are pools of them.
    pub pools: Vec<PoolActivity>,
}

/// Writes that wait for their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueActivity {
    /// What they are.
    pub name: &'static str,
    /// How many wait.
    pub waiting: usize,
    /// How many may.
    pub most: usize,
}

/// Some connections that are used again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolActivity {
    /// What they are for.
    pub name: &'static str,
    /// How many are open.
    pub open: usize,
    /// How many of those nobody uses right now.
    pub idle: usize,
    /// How many may be open.
    pub most: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// What the writers of a store count.
pub(crate) struct Counts {
    writes_a_commit: Distribution,
    took: Distribution,
    failed: Count,
    turned_away: Count,
    has_failed: AtomicBool,
}

/// Writes in one commit.
const WRITES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];

/// A disk answers within 0.1 ms to 10 ms, a database that is ill within seconds.
const LASTED: &[u64] = match DURATIONS {
    [_, slower @ ..] => slower,
    [] => DURATIONS,
};

impl Default for Counts {
    fn default() -> Self {
        Self {
            writes_a_commit: Distribution::new(WRITES),
            took: Distribution::new(LASTED),
            failed: Count::default(),
            turned_away: Count::default(),
            has_failed: AtomicBool::new(false),
        }
    }
}

impl Counts {
    /// A transaction that began at `began` made so many writes durable.
    pub(crate) fn committed(&self, writes: usize, began: Instant) {
        self.writes_a_commit.take(writes as u64);
        self.took.take(nanoseconds(began.elapsed()));
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// A transaction failed as a whole.
    pub(crate) fn failed(&self) {
        self.failed.one();
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// A write was turned away because the queue is full.
    pub(crate) fn turned_away(&self) {
        self.turned_away.one();
    }

    /// What was counted so far, beside these queues and pools.
    pub(crate) fn read(&self, queues: Vec<QueueActivity>, pools: Vec<PoolActivity>) -> Activity {
        let writes_a_commit = self.writes_a_commit.read();
        Activity {
            waiting: queues.iter().map(|queue| queue.waiting).sum(),
            queues,
            turned_away: self.turned_away.read(),
            commits: writes_a_commit.count(),
            writes: writes_a_commit.sum,
            writes_a_commit,
            took: self.took.read(),
            failed: self.failed.read(),
            is_writable: !self.has_failed.load(Ordering::Relaxed),
            pools,
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
