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
use crate::measure::Count;
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
    /// Milliseconds by which a bucket may run ahead at all.
    ahead_max: i64,
    wait_max: Duration,
    /// How often somebody had to wait.
    pub(crate) waits: Count,
    /// How often somebody has stopped waiting, in whichever way.
    waited: Count,
}

/// The right to try one guess. Say how it went; what nobody waits for any more was wrong, so that
/// hanging up before the answer saves nothing.
pub(crate) struct Turn<'a> {
    guesses: &'a Guesses,
    source: SourceKey,
    /// Whom the source claims to be, when it was that client lately.
    own: Option<&'a LiveClient>,
    now: i64,
    cost: Cost,
}

/// What a turn has cost so far.
enum Cost {
    /// Nothing; a wrong guess costs.
    Due,
    /// Paid in advance; a right guess is given it back.
    Paid(Arc<Bucket>),
    /// How it went was said.
    Settled,
}

impl Guesses {
    const SOURCES_MAX: usize = 65_536;
    /// How long a source is refused at most. It also bounds what a clock that was set back does to
    /// those who guessed wrong just before.
    const REFUSED_MAX: Duration = Duration::from_secs(60);

    pub(crate) fn new(settings: &Settings) -> Self {
        let cost = i64::from(1000 / settings.guesses_per_second.clamp(1, 1000));
        let free = cost * (i64::from(settings.guesses_free) - 1);
        let refused_max = settings.guess_wait_max.saturating_add(Self::REFUSED_MAX);
        let refused_max = i64::try_from(refused_max.as_millis()).unwrap_or(i64::MAX);
        Self {
            buckets: Cache::new(Self::SOURCES_MAX),
            latest: AtomicI64::new(i64::MIN),
            cost,
            free,
            ahead_max: free.saturating_add(refused_max),
            wait_max: settings.guess_wait_max,
            waits: Count::default(),
            waited: Count::default(),
        }
    }

    /// Waits until `source` may try, `client` being whom it claims to be.
    ///
    /// # Errors
    /// A refusal when it would have to wait too long.
    pub(crate) async fn turn<'a>(
        &'a self,
        source: IpAddr,
        client: Option<&'a LiveClient>,
        now: Time,
    ) -> Result<Turn<'a>, Refusal> {
        let (source, now) = (SourceKey::from(source), now.milliseconds());
        let own = client.filter(|client| client.run.was_right_from(source));
        let mut turn = Turn { guesses: self, source, own, now, cost: Cost::Due };
        if self.latest.load(Ordering::Relaxed) <= now {
            return Ok(turn);
        }
        let bucket = match own {
            Some(client) => Some(Arc::clone(&client.run.own_guesses)),
            None => self.buckets.get(&source),
        };
        let ahead = bucket.as_deref().map_or(0, |bucket| self.ahead(bucket, now));
        let Some(bucket) = bucket.filter(|_| ahead > 0) else { return Ok(turn) };
        let wait = Duration::from_millis(ahead.unsigned_abs());
        if wait > self.wait_max {
            turn.cost = Cost::Settled;
            let mut refusal = Refusal::from(Reason::SourceSlowed);
            refusal.retry_after = Some(wait);
            return Err(refusal);
        }
        // Paid in advance, so that those who wait at the same time wait behind each other.
        self.charge(&bucket, now);
        turn.cost = Cost::Paid(bucket);
        self.wait(wait).await;
        Ok(turn)
    }

    async fn wait(&self, wait: Duration) {
        /// Stops waiting, also when whoever waits hangs up.
        struct Waiting<'a>(&'a Count);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.one();
            }
        }
        self.waits.one();
        let _waiting = Waiting(&self.waited);
        tokio::time::sleep(wait).await;
    }

    /// How many wait right now.
    pub(crate) fn waiting(&self) -> usize {
        // In this order, so that the difference is never less than nothing.
        let waited = self.waited.read();
        usize::try_from(self.waits.read().saturating_sub(waited)).unwrap_or(usize::MAX)
    }

    /// A guess that had its turn turned out to be wrong later. It is never counted against the
    /// bucket that a client has to itself.
    pub(crate) fn wrong(&self, source: IpAddr, now: Time) {
        self.charge(&self.bucket(SourceKey::from(source)), now.milliseconds());
    }

    /// Milliseconds until the bucket has a guess again.
    fn ahead(&self, bucket: &Bucket, now: i64) -> i64 {
        let latest = now.saturating_add(self.ahead_max);
        if bucket.0.load(Ordering::Relaxed) > latest {
            bucket.0.fetch_min(latest, Ordering::Relaxed);
        }
        bucket.0.load(Ordering::Relaxed) - now - self.free
    }

    fn bucket(&self, key: SourceKey) -> Arc<Bucket> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Bucket::default()));
        let Ok(bucket) = self.buckets.get_or_insert_with(&key, fresh);
        bucket
    }

    fn charge(&self, bucket: &Bucket, now: i64) {
        let latest = now.saturating_add(self.ahead_max);
        let charge = |spent: i64| spent.clamp(now, latest).saturating_add(self.cost);
        let before = bucket
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| Some(charge(spent)));
        let spent = charge(before.unwrap_or_else(|spent| spent));
        self.latest.fetch_max(spent, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// The guess was wrong.
    pub(crate) fn wrong(mut self) {
        self.settle();
    }

    /// The guess was right, or nobody could tell: it costs nothing.
    pub(crate) fn costs_nothing(mut self) {
        if let Cost::Paid(bucket) = std::mem::replace(&mut self.cost, Cost::Settled) {
            bucket.0.fetch_sub(self.guesses.cost, Ordering::Relaxed);
        }
    }

    fn settle(&mut self) {
        if let Cost::Due = std::mem::replace(&mut self.cost, Cost::Settled) {
            let bucket = match self.own {
                Some(client) => Arc::clone(&client.run.own_guesses),
                None => self.guesses.bucket(self.source),
            };
            self.guesses.charge(&bucket, self.now);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.settle();
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

    /// Guesses wrong; says whether it had to wait.
    async fn guess_wrong(guesses: &Guesses, now: Time) -> Result<bool, Refusal> {
        let turn = guesses.turn(SOURCE, None, now).await?;
        let waited = matches!(turn.cost, Cost::Paid(_));
        turn.wrong();
        Ok(waited)
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

        let other = guesses.turn("192.0.2.2".parse().unwrap(), None, now).await.unwrap();
        assert!(matches!(other.cost, Cost::Due), "another source is free");
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
            assert!(matches!(turn.cost, Cost::Paid(_)), "it waits like all others");
            turn.costs_nothing();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_up_before_the_answer_has_guessed_wrong() {
        let guesses = guesses(3);
        let now = Time::from_seconds(100);
        for _ in 0..3 {
            drop(guesses.turn(SOURCE, None, now).await.unwrap());
        }
        assert_eq!(guess_wrong(&guesses, now).await, Ok(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_back_refuses_nobody_for_longer_than_a_minute() {
        let guesses = guesses(1);
        let now = Time::from_seconds(1_000_000);
        assert_eq!(guess_wrong(&guesses, now).await, Ok(false));
        let day_before = now.minus(Duration::from_secs(86_400));
        let refusal = guess_wrong(&guesses, day_before).await.unwrap_err();
        assert!(refusal.retry_after.unwrap() <= Duration::from_secs(61), "{refusal:?}");
        let soon = day_before.plus(Duration::from_secs(62));
        assert_eq!(guess_wrong(&guesses, soon).await, Ok(false));
    }
}
