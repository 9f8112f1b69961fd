//! Wrong guesses slow their source down: after some free ones, each further attempt from that
//! address waits for its turn, and one that would have to wait too long is refused unread.
//!
//! Waiting instead of refusing keeps documented answers as documented. It happens *before* the
//! secret is looked at, so the delay tells nothing about the guess. A client that was right from
//! the same address lately has a bucket of its own, so a neighbour's guesses do not slow it.
//! The buckets are GCRA: one moment each, up to which the source has spent its guesses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::clock::Time;
use crate::engine::Settings;
use crate::error::{Reason, Refusal};
use crate::live::LiveClient;
use crate::source::SourceKey;

/// Until when a source has spent its guesses, in milliseconds since the epoch.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicI64);

/// The buckets of all sources that guessed wrong lately.
pub(crate) struct Guesses {
    buckets: Cache<SourceKey, Arc<Bucket>>,
    /// The greatest moment in any bucket: when it has passed, no bucket needs looking at.
    latest: AtomicI64,
    /// Milliseconds that one guess costs.
    cost: i64,
    /// Milliseconds by which a bucket may run ahead without waiting.
    free: i64,
    wait_max: Duration,
}

/// The right to try one guess. Say how it went.
pub(crate) struct Turn {
    bucket: Option<Arc<Bucket>>,
    paid: bool,
}

impl Guesses {
    const SOURCES_MAX: usize = 65_536;

    pub(crate) fn new(settings: &Settings) -> Self {
        let cost = i64::from(1000 / settings.guesses_per_second.clamp(1, 1000));
        Self {
            buckets: Cache::new(Self::SOURCES_MAX),
            latest: AtomicI64::new(i64::MIN),
            cost,
            free: cost * (i64::from(settings.guesses_free) - 1),
            wait_max: settings.guess_wait_max,
        }
    }

    /// Waits until `source` may try, `client` being whom it claims to be.
    ///
    /// # Errors
    /// A refusal when it would have to wait too long.
    pub(crate) async fn turn(
        &self,
        source: IpAddr,
        client: Option<&LiveClient>,
        now: Time,
    ) -> Result<Turn, Refusal> {
        let now = now.milliseconds();
        if self.latest.load(Ordering::Relaxed) <= now {
            return Ok(Turn { bucket: None, paid: false });
        }
        let key = SourceKey::from(source);
        let own = client.filter(|client| client.run.was_right_from(key));
        let bucket = match own {
            Some(client) => Some(Arc::clone(&client.run.own_guesses)),
            None => self.buckets.get(&key),
        };
        let Some(bucket) = bucket else {
            return Ok(Turn { bucket: None, paid: false });
        };
        let ahead = bucket.0.load(Ordering::Relaxed) - now - self.free;
        if ahead <= 0 {
            return Ok(Turn { bucket: Some(bucket), paid: false });
        }
        let wait = Duration::from_millis(ahead.unsigned_abs());
        if wait > self.wait_max {
            let mut refusal = Refusal::from(Reason::SourceSlowed);
            refusal.retry_after = Some(wait);
            return Err(refusal);
        }
        // Paid in advance, so that those who wait at the same time wait behind each other.
        self.charge(&bucket, now);
        tokio::time::sleep(wait).await;
        Ok(Turn { bucket: Some(bucket), paid: true })
    }

    /// The guess was wrong.
    pub(crate) fn wrong(
        &self,
        turn: &Turn,
        source: IpAddr,
        client: Option<&LiveClient>,
        now: Time,
    ) {
        if turn.paid {
            return;
        }
        let key = SourceKey::from(source);
        let bucket = match client.filter(|client| client.run.was_right_from(key)) {
            Some(client) => Arc::clone(&client.run.own_guesses),
            None => turn.bucket.clone().unwrap_or_else(|| self.bucket(key)),
        };
        self.charge(&bucket, now.milliseconds());
    }

    /// The guess was right: it costs nothing.
    pub(crate) fn right(&self, turn: &Turn) {
        if let Some(bucket) = turn.bucket.as_ref().filter(|_| turn.paid) {
            bucket.0.fetch_sub(self.cost, Ordering::Relaxed);
        }
    }

    fn bucket(&self, key: SourceKey) -> Arc<Bucket> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Bucket::default()));
        let Ok(bucket) = self.buckets.get_or_insert_with(&key, fresh);
        bucket
    }

    fn charge(&self, bucket: &Bucket, now: i64) {
        let charged = |spent: i64| Some(spent.max(now).saturating_add(self.cost));
        let before = bucket.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
        let spent = before.unwrap_or_else(|spent| spent).max(now).saturating_add(self.cost);
        self.latest.fetch_max(spent, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn guesses(free: u32) -> Guesses {
        Guesses::new(&Settings {
            guesses_free: free,
            guesses_per_second: 10,
            guess_wait_max: Duration::from_millis(200),
            ..Settings::default()
        })
    }

    async fn guess_wrong(guesses: &Guesses, now: Time) -> Result<bool, Refusal> {
        let turn = guesses.turn(SOURCE, None, now).await?;
        guesses.wrong(&turn, SOURCE, None, now);
        Ok(turn.paid)
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_free_guesses_attempts_wait_and_then_are_refused() {
        let guesses = guesses(3);
        let now = Time::from_seconds(100);
        for _ in 0..3 {
            assert_eq!(guess_wrong(&guesses, now).await, Ok(false), "free");
        }
        // The clock stands still, so each attempt waits behind the ones before it.
        assert_eq!(guess_wrong(&guesses, now).await, Ok(true), "waits 100 ms");
        assert_eq!(guess_wrong(&guesses, now).await, Ok(true), "waits 200 ms");
        let refusal = guess_wrong(&guesses, now).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::SourceSlowed);
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(300)));

        let other = "192.0.2.2".parse().unwrap();
        assert!(!guesses.turn(other, None, now).await.unwrap().paid, "another source is free");
        let later = now.plus(Duration::from_secs(1));
        assert_eq!(guess_wrong(&guesses, later).await, Ok(false), "time heals");
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_guess_costs_nothing() {
        let guesses = guesses(1);
        let now = Time::from_seconds(100);
        assert_eq!(guess_wrong(&guesses, now).await, Ok(false));
        for _ in 0..20 {
            let turn = guesses.turn(SOURCE, None, now).await.unwrap();
            assert!(turn.paid, "it waits like all others");
            guesses.right(&turn);
        }
    }
}
