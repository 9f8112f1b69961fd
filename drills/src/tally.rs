//! Counts: what became of the requests, and how long they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;

/// How long something took, many times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    /// Adds one, in microseconds.
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of another row.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// What this share of them stayed within; nothing took nothing.
    pub(crate) fn share(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank of some millions at most"
        )]
        let rank = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        Duration::from_micros(sorted.get(rank).copied().unwrap_or_default().into())
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = [0.5, 0.99, 1.0]
            .map(|share| format!("{:.1} ms", self.share(share).as_secs_f64() * 1000.0));
        write!(formatter, "{}", shown.join(", "))
    }
}

/// What became of the requests of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    answered: BTreeMap<(&'static str, u16), usize>,
    unanswered: BTreeMap<&'static str, usize>,
    examples: Vec<String>,
    refused_connections: usize,
    latencies: Latencies,
}

impl Tally {
    const EXAMPLES_MAX: usize = 20;

    /// A request of this kind was answered with this status.
    pub(crate) fn answered(&self, kind: &'static str, status: u16, took: Duration) {
        let mut counted = self.counted.lock();
        *counted.answered.entry((kind, status)).or_default() += 1;
        counted.latencies.add(took);
    }

    /// A request of this kind was sent, in part at least, and no answer came.
    pub(crate) fn unanswered(&self, kind: &'static str, why: &str) {
        let mut counted = self.counted.lock();
        *counted.unanswered.entry(kind).or_default() += 1;
        if counted.examples.len() < Self::EXAMPLES_MAX {
            counted.examples.push(format!("{kind}: {why}"));
        }
    }

    /// Nobody took the connection; nothing was sent.
    pub(crate) fn connection_refused(&self) {
        self.counted.lock().refused_connections += 1;
    }

    /// Keeps an example of something odd.
    pub(crate) fn example(&self, text: String) {
        let mut counted = self.counted.lock();
        if counted.examples.len() < Self::EXAMPLES_MAX {
            counted.examples.push(text);
        }
    }

    /// How many requests were answered with a status that holds.
    pub(crate) fn count(&self, holds: impl Fn(u16) -> bool) -> usize {
        let counted = self.counted.lock();
        counted.answered.iter().filter(|((_, status), _)| holds(*status)).map(|(_, n)| n).sum()
    }

    /// How many requests had no answer.
    pub(crate) fn unanswered_count(&self) -> usize {
        self.counted.lock().unanswered.values().sum()
    }

    /// How many connections were refused.
    pub(crate) fn refused_connections(&self) -> usize {
        self.counted.lock().refused_connections
    }

    /// How long the answered ones took.
    pub(crate) fn latencies(&self) -> Latencies {
        self.counted.lock().latencies.clone()
    }

    /// What went wrong, some of it.
    pub(crate) fn examples(&self) -> Vec<String> {
        self.counted.lock().examples.clone()
    }

    /// Answers by kind and status, in a line.
    pub(crate) fn by_kind(&self) -> String {
        let counted = self.counted.lock();
        let parts =
            counted.answered.iter().map(|((kind, status), n)| format!("{kind} {status}: {n}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_ranks_and_nothing_takes_nothing() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.share(0.5), Duration::ZERO);
        for milliseconds in (0..=100).rev() {
            latencies.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.to_string(), "50.0 ms, 99.0 ms, 100.0 ms");
    }
}
