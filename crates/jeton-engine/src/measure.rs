//! What counts: plain numbers that many threads add to at once, without a lock and without a search.
//! They are read now and then; what is read was true a moment ago.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds for durations, in nanoseconds: from 50 µs, which a token by HMAC stays below, to 5 s.
pub const DURATIONS: &[u64] = &[
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A closed set of things that are counted apart. Nobody outside can add to it.
pub trait Closed: Copy + 'static {
    /// All of them, each at its place.
    const ALL: &'static [Self];

    /// The place of this one in [`Closed::ALL`].
    fn place(self) -> usize;

    /// The stable name in metrics.
    fn name(self) -> &'static str;
}

/// A number for each of a closed set.
#[derive(Debug)]
pub struct Tally<T> {
    counts: Box<[Count]>,
    of: PhantomData<T>,
}

impl<T: Closed> Default for Tally<T> {
    fn default() -> Self {
        Self { counts: T::ALL.iter().map(|_| Count::default()).collect(), of: PhantomData }
    }
}

impl<T: Closed> Tally<T> {
    /// One more of these.
    pub fn count(&self, what: T) {
        if let Some(count) = self.counts.get(what.place()) {
            count.one();
        }
    }

    /// How many there were of each, those without any included.
    pub fn read(&self) -> Vec<(T, u64)> {
        T::ALL.iter().copied().zip(self.counts.iter().map(Count::read)).collect()
    }
}

/// How values are spread: how many lie at or below each of a few bounds.
#[derive(Debug)]
pub struct Distribution {
    /// Rising.
    bounds: &'static [u64],
    /// One for each bound, and one for what lies above all.
    counts: Box<[Count]>,
    sum: Count,
}

impl Distribution {
    /// With these bounds, which must rise.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Count::default()).collect();
        Self { bounds, counts, sum: Count::default() }
    }

    /// Takes a value in: two additions, and a look at as many bounds as lie below it.
    pub fn take(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        if let Some(count) = self.counts.get(place.unwrap_or(self.bounds.len())) {
            count.one();
            self.sum.add(value);
        }
    }

    /// How the values are spread so far.
    pub fn read(&self) -> Spread {
        let counts = self.counts.iter().map(Count::read).collect();
        Spread { bounds: self.bounds, counts, sum: self.sum.read() }
    }
}

/// How values are spread, as read from a [`Distribution`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The bounds, rising.
    pub bounds: &'static [u64],
    /// How many values lie between each bound and the one before, and last how many above all.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Spread {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &[u64] = &[1, 10, 100];

    #[test]
    fn a_value_lies_at_or_below_its_bound_and_one_more_lies_above() {
        let distribution = Distribution::new(BOUNDS);
        for value in [0, 1, 2, 10, 11, 100, 101, 1_000_000] {
            distribution.take(value);
        }
        let spread = distribution.read();
        assert_eq!(spread.counts, [2, 2, 2, 2]);
        assert_eq!((spread.count(), spread.sum), (8, 1_000_225));
    }

    #[test]
    fn threads_that_count_at_once_lose_nothing() {
        let distribution = Distribution::new(BOUNDS);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let distribution = &distribution;
                scope.spawn(move || (0..10_000).for_each(|_| distribution.take(thread)));
            }
        });
        assert_eq!((distribution.read().count(), distribution.read().sum), (40_000, 60_000));
    }
}
