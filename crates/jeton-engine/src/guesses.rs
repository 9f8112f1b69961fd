//! Wrong guesses slow their source down: after some free ones, each further attempt from that
//! address waits for its turn, and one that would have to wait too long is refused unread.
//!
//! Waiting instead of refusing keeps documented answers as documented. It happens *before* the
//! secret is looked at, so the delay tells nothing about the guess. A client that was right from
//! the same address lately has a bucket of its own, so a neighbour's guesses do not slow it.
//! The buckets are GCRA: one moment each, up to which the source has spent its guesses.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Time;
use crate::debts::{Account, Debts};
use crate::engine::Settings;
use crate::error::{Reason, Refusal};
use crate::gcra::{Moment, Pace, duration, moment};
use crate::live::LiveClient;
use crate::measure::Count;
use crate::rate::Unit;
use crate::source::{Network, SourceKey};

/// What all sources that guessed wrong lately have spent.
pub(crate) struct Guesses {
    debts: Debts,
    /// The greatest moment in any bucket: when it has passed, no bucket needs looking at.
    latest: AtomicI64,
    /// How fast a source may guess.
    pace: Pace,
    wait_max: Duration,
    ipv6_prefix: u8,
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
    now: Moment,
    cost: Cost,
}

/// What a turn has cost so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Nothing; a wrong guess costs.
    Due,
    /// Paid in advance; a right guess is given it back.
    Paid,
    /// How it went was said.
    Settled,
}

impl Guesses {
    pub(crate) fn new(settings: &Settings) -> Self {
        let Settings { guesses_per_second, guesses_free, guess_wait_max, .. } = *settings;
        let pace = Pace::a_second(guesses_per_second, guesses_free, guess_wait_max);
        Self {
            debts: Debts::new(pace.ahead_max().saturating_mul(2)),
            latest: AtomicI64::new(i64::MIN),
            pace,
            wait_max: guess_wait_max,
            ipv6_prefix: settings.source_ipv6_prefix,
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
        let (source, now) = (SourceKey::new(source, self.ipv6_prefix), moment(now));
        let own = client.filter(|client| client.run.was_right_from(source));
        let mut turn = Turn { guesses: self, source, own, now, cost: Cost::Due };
        if self.latest.load(Ordering::Relaxed) <= now {
            return Ok(turn);
        }
        let wait = match own {
            Some(client) => {
                let known = client.run.known_counters();
                known.map_or(0, |counters| counters.own_guesses.wait(self.pace, now))
            }
            None => self.wait(source, now),
        };
        if wait == 0 {
            return Ok(turn);
        }
        let wait = duration(wait);
        if wait > self.wait_max {
            turn.cost = Cost::Settled;
            let mut refusal = Refusal::from(Reason::SourceSlowed);
            refusal.retry_after = Some(wait);
            return Err(refusal);
        }
        // Paid in advance, so that those who wait at the same time wait behind each other.
        turn.charge();
        turn.cost = Cost::Paid;
        self.pause(wait).await;
        Ok(turn)
    }

    async fn pause(&self, wait: Duration) {
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
        self.charge(SourceKey::new(source, self.ipv6_prefix), moment(now));
    }

    /// Debts that were forgotten for want of room before they were over.
    pub(crate) fn forgotten(&self) -> u64 {
        self.debts.forgotten()
    }

    /// How long a source has to wait for its turn, alone and among its neighbours.
    fn wait(&self, source: SourceKey, now: Moment) -> i64 {
        let wait = |(account, pace): (Account, Pace)| {
            let spent = self.debts.spent(account)?;
            if pace.settled(spent, now) < spent {
                self.debts.change(account, now, |spent| (pace.settled(spent, now), ()));
            }
            Some(pace.wait(spent, now))
        };
        self.accounts(source).filter_map(wait).max().unwrap_or(0)
    }

    fn charge(&self, source: SourceKey, now: Moment) {
        for (account, pace) in self.accounts(source) {
            let spent = self.debts.change(account, now, |spent| {
                let spent = pace.charged(spent, now);
                (spent, spent)
            });
            self.latest.fetch_max(spent, Ordering::Relaxed);
        }
    }

    /// Where a source's guesses are counted, and how fast they may come there.
    fn accounts(&self, source: SourceKey) -> impl Iterator<Item = (Account, Pace)> {
        let account = |network: Network| {
            (Account { network, unit: Unit::Second }, self.pace.shared_by(network.share()))
        };
        source.networks().map(account)
    }
}

impl Turn<'_> {
    /// The guess was wrong.
    pub(crate) fn wrong(mut self) {
        self.settle();
    }

    /// The guess was right, or nobody could tell: it costs nothing.
    pub(crate) fn costs_nothing(mut self) {
        if std::mem::replace(&mut self.cost, Cost::Settled) != Cost::Paid {
            return;
        }
        match self.own {
            Some(client) => client.run.counters().own_guesses.give_back(self.guesses.pace),
            None => {
                for (account, pace) in self.guesses.accounts(self.source) {
                    self.guesses.debts.give_back(account, pace.cost());
                }
            }
        }
    }

    fn settle(&mut self) {
        if std::mem::replace(&mut self.cost, Cost::Settled) == Cost::Due {
            self.charge();
        }
    }

    fn charge(&self) {
        let Self { guesses, now, .. } = *self;
        match self.own {
            Some(client) => {
                let spent = client.run.counters().own_guesses.charge(guesses.pace, now);
                guesses.latest.fetch_max(spent, Ordering::Relaxed);
            }
            None => guesses.charge(self.source, now),
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
        let waited = turn.cost == Cost::Paid;
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
        assert!(other.cost == Cost::Due, "another source is free");
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
            assert!(turn.cost == Cost::Paid, "it waits like all others");
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

    #[tokio::test(start_paused = true)]
    async fn who_guesses_from_everywhere_in_a_site_is_slowed_and_other_sites_are_not() {
        let guesses = guesses(3);
        let now = Time::from_seconds(100);
        let from = |network: u16, site: u16| -> IpAddr {
            std::net::Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, 1).into()
        };
        let mut free = 0;
        for network in 0..1_000 {
            let Ok(turn) = guesses.turn(from(network, 1), None, now).await else { break };
            if turn.cost == Cost::Due {
                free += 1;
            }
            turn.wrong();
        }
        assert_eq!(free, 3 * 16, "each from a /64 of its own");
        assert!(guesses.turn(from(2_000, 1), None, now).await.is_err());
        let elsewhere = guesses.turn(from(0, 2), None, now).await.unwrap();
        assert_eq!(elsewhere.cost, Cost::Due);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_invented_sources_does_not_free_the_one_that_guesses() {
        let guesses = guesses(3);
        let now = Time::from_seconds(100);
        while guess_wrong(&guesses, now).await.is_ok() {}
        for invented in 0..300_000_u32 {
            let source = IpAddr::from((0x0b00_0000 + invented).to_be_bytes());
            let turn = guesses.turn(source, None, now).await.unwrap();
            assert_eq!(turn.cost, Cost::Due, "a source that never guessed before");
            turn.wrong();
        }
        let refusal = guess_wrong(&guesses, now).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::SourceSlowed);
    }
}
