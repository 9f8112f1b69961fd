//! How long requests took: counted in buckets whose width is under one per cent of their value, so that
//! a million latencies need a few kilobytes and percentiles stay honest far into the tail.

use std::time::Duration;

/// The buckets between a power of two and the next: 2^7.
const STEPS_LOG2: u32 = 7;
const STEPS: u64 = 1 << STEPS_LOG2;
/// Enough for 2^40 nanoseconds, some 18 minutes; what is longer counts as that.
const BUCKETS: usize = (STEPS * (40 - STEPS_LOG2 as u64 + 1)) as usize;

/// Durations, counted.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub(crate) fn add(&mut self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanoseconds).min(BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
    }

    /// The duration that this share of all stays within; zero when there were none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return Duration::from_nanos(middle(bucket as u64));
            }
        }
        Duration::ZERO
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEPS_LOG2;
    (u64::from(shift) * STEPS + (value >> shift)) as usize
}

/// The middle of a bucket.
fn middle(bucket: u64) -> u64 {
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket - shift * STEPS) << shift) + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_told_within_one_per_cent() {
        for value in (0..2_000_000_000).step_by(99_991) {
            let told = middle(bucket(value) as u64);
            assert!(told.abs_diff(value) * 100 <= value, "{value} is told as {told}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        for microseconds in 1..=1000 {
            histogram.add(Duration::from_micros(microseconds));
        }
        for (share, expected) in [(0.5, 500), (0.99, 990), (0.999, 999)] {
            let told = histogram.quantile(share).as_micros() as u64;
            assert!(told.abs_diff(expected) * 100 <= expected, "{share}: {told}");
        }
        histogram.add(Duration::from_secs(100_000));
        assert!(histogram.quantile(1.0) > Duration::from_secs(1000));
    }

    #[test]
    fn two_halves_make_the_whole() {
        let (mut one, mut other) = (Histogram::new(), Histogram::new());
        one.add(Duration::from_millis(1));
        other.add(Duration::from_millis(3));
        one.merge(&other);
        assert_eq!(one.total, 2);
        assert!(one.quantile(1.0) > Duration::from_millis(2));
    }
}
