//! Counts requests against limits: those that dialects document in windows that begin with their first
//! request, those that operators set in leaky buckets.
//!
//! Windows, because documented limits are windows: `X-RateLimit-Reset` names the moment at which the
//! count starts again. Several limits hold together: a request that one refuses is counted against
//! none. Buckets are taken from one after the other without a lock, and given back when a later one
//! refuses; for that moment, others may be refused who would have been let through a moment later.

use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::clock::Time;
use crate::debts::{self, Debts};
use crate::gcra::{self, Bucket, Moment, Pace, duration, moment};
use crate::limit::{Allowance, Allowances, Limit, LimitOf};
use crate::rate::{Rate, Unit};
use crate::source::SourceKey;

/// The windows of one client.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<SmallVec<[Window; 2]>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    limit: Limit,
    began: Time,
    count: u32,
}

impl Window {
    /// How much later than now a window may have begun: requests that waited for their turn carry
    /// an earlier moment. More means that the clock was set back, and the window is void.
    const SKEW_MAX: Duration = Duration::from_secs(60);

    fn is_open(&self, now: Time) -> bool {
        self.began.since(now) <= Self::SKEW_MAX && now < self.began.plus(self.limit.window)
    }

    fn allowance(&self, now: Time, among: usize) -> Allowance {
        let reset = self.began.plus(self.limit.window);
        Allowance {
            of: LimitOf::Client,
            among: self.limit.unit().filter(|_| among > 1),
            limit: self.limit.requests,
            remaining: self.limit.requests.saturating_sub(self.count),
            reset,
            window_seconds: seconds(self.limit.window),
            more_in_seconds: seconds(reset.since(now)),
        }
    }
}

impl Windows {
    /// Counts one request against all of `limits`, or against none when one of them is used up.
    /// Says what is left of each.
    ///
    /// # Errors
    /// The allowance of the used-up limit that ends last.
    pub(crate) fn count(&self, limits: &[Limit], now: Time) -> Result<Allowances, Allowance> {
        if limits.is_empty() {
            return Ok(Allowances::default());
        }
        let mut windows = self.0.lock();
        // Windows of other limits stay: another mount's, which would start again otherwise.
        windows.retain(|window| window.is_open(now));
        for limit in limits {
            if !windows.iter().any(|window| window.limit == *limit) {
                windows.push(Window { limit: *limit, began: now, count: 0 });
            }
        }
        let meant = |window: &Window| limits.contains(&window.limit);
        let allowance = |window: &Window| window.allowance(now, limits.len());
        let left = windows.iter().filter(|window| meant(window)).map(allowance);
        let used_up = left.filter(|left| left.remaining == 0);
        if let Some(longest) = used_up.max_by_key(|left| left.reset) {
            return Err(longest);
        }
        for window in windows.iter_mut().filter(|window| meant(window)) {
            window.count += 1;
        }
        Ok(windows.iter().filter(|window| meant(window)).map(allowance).collect())
    }
}

/// What a client or a realm has spent of its rates: a bucket for each unit, so that a rate that is
/// changed, or another one beside it, leaves the others as they are.
#[derive(Debug, Default)]
pub(crate) struct Buckets([Bucket; 4]);

impl Buckets {
    fn of(&self, unit: Unit) -> &Bucket {
        let [second, minute, hour, day] = &self.0;
        match unit {
            Unit::Second => second,
            Unit::Minute => minute,
            Unit::Hour => hour,
            Unit::Day => day,
        }
    }
}

/// Rates, and the buckets that are counted in.
pub(crate) struct Account<'a> {
    pub(crate) of: LimitOf,
    pub(crate) rates: &'a [Rate],
    pub(crate) buckets: &'a Buckets,
}

impl Account<'_> {
    /// Counts a request against all rates of all `accounts`, or against none.
    ///
    /// # Errors
    /// The limit that keeps the request waiting longest.
    pub(crate) fn take_all(accounts: &[Self], now: Time) -> Result<(), Refusing> {
        let rates = || accounts.iter().flat_map(Self::each);
        for (taken, (_, pace, bucket)) in rates().enumerate() {
            if bucket.take(pace, moment(now)).is_ok() {
                continue;
            }
            rates().take(taken).for_each(|(_, pace, bucket)| bucket.give_back(pace));
            let refusing = accounts.iter().filter_map(|account| account.refusing(now));
            // All room may have come back meanwhile: somebody else gave back.
            let longest = refusing.max_by_key(|refusing| refusing.wait);
            return longest.map_or(Ok(()), Err);
        }
        Ok(())
    }

    /// Takes back what a request was counted.
    pub(crate) fn give_back(&self) {
        self.each().for_each(|(_, pace, bucket)| bucket.give_back(pace));
    }

    /// What is left of each rate.
    pub(crate) fn left(&self, now: Time) -> Allowances {
        self.each().map(|(rate, _, bucket)| self.allowance(rate, bucket.spent(), now)).collect()
    }

    fn refusing(&self, now: Time) -> Option<Refusing> {
        let waits = self.each().map(|(rate, pace, bucket)| {
            let wait = bucket.wait(pace, moment(now));
            (wait, rate, bucket.spent())
        });
        let (wait, rate, spent) =
            waits.filter(|(wait, ..)| *wait > 0).max_by_key(|(wait, ..)| *wait)?;
        Some(Refusing { wait: duration(wait), allowance: self.allowance(rate, spent, now) })
    }

    fn each(&self) -> impl Iterator<Item = (Rate, Pace, &Bucket)> {
        let Self { rates, buckets, .. } = self;
        rates.iter().map(|rate| (*rate, Pace::of(*rate), buckets.of(rate.unit())))
    }

    fn allowance(&self, rate: Rate, spent: Moment, now: Time) -> Allowance {
        let among = Some(rate.unit()).filter(|_| self.rates.len() > 1);
        allowance(self.of, (rate, among), spent, now)
    }
}

/// What keeps a request from passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusing {
    /// How long it will.
    pub(crate) wait: Duration,
    /// The limit.
    pub(crate) allowance: Allowance,
}

/// What sources have spent of their rates.
pub(crate) struct SourceLimits(Debts);

impl SourceLimits {
    pub(crate) fn new() -> Self {
        // A rate can run ahead by a day, give or take a minute for the clock.
        const AHEAD_MAX: i64 = 2 * 86_400 * 1_000_000_000;
        Self(Debts::new(AHEAD_MAX))
    }

    /// Counts a request from `source` against all of `rates`, or against none: in its own network and
    /// among its neighbours.
    ///
    /// # Errors
    /// The limit that keeps the request waiting longest.
    pub(crate) fn take(
        &self,
        source: SourceKey,
        rates: &[Rate],
        now: Time,
    ) -> Result<(), Refusing> {
        let at = moment(now);
        let each = || source_rates(source, rates);
        for (taken, (_, pace, account)) in each().enumerate() {
            let outcome = self.0.change(account, at, |spent| {
                let spent = pace.settled(spent, at);
                pace.take(spent, at).map_or_else(|wait| (spent, Err(wait)), |after| (after, Ok(())))
            });
            if outcome.is_ok() {
                continue;
            }
            each()
                .take(taken)
                .for_each(|(_, pace, account)| self.0.give_back(account, pace.cost()));
            let among = |rate: Rate| Some(rate.unit()).filter(|_| rates.len() > 1);
            let waits = each().filter_map(|(rate, pace, account)| {
                let spent = self.0.spent(account)?;
                let wait = pace.wait(spent, at);
                (wait > 0).then_some((wait, rate, spent))
            });
            let longest = waits.max_by_key(|(wait, ..)| *wait);
            return longest.map_or(Ok(()), |(wait, rate, spent)| {
                let mut allowance = allowance(LimitOf::Source, (rate, among(rate)), spent, now);
                // Also where it is the neighbours who have spent it all.
                (allowance.remaining, allowance.more_in_seconds) = (0, seconds(duration(wait)));
                Err(Refusing { wait: duration(wait), allowance })
            });
        }
        Ok(())
    }

    /// How many sources were forgotten for want of room before they had all their requests back.
    pub(crate) fn forgotten(&self) -> u64 {
        self.0.forgotten()
    }

    /// Takes back what a request was counted.
    pub(crate) fn give_back(&self, source: SourceKey, rates: &[Rate]) {
        for (_, pace, account) in source_rates(source, rates) {
            self.0.give_back(account, pace.cost());
        }
    }
}

fn source_rates(
    source: SourceKey,
    rates: &[Rate],
) -> impl Iterator<Item = (Rate, Pace, debts::Account)> {
    rates.iter().flat_map(move |rate| {
        source.networks().map(move |network| {
            let account = debts::Account { network, unit: rate.unit() };
            (*rate, Pace::of(*rate).shared_by(network.share()), account)
        })
    })
}

fn allowance(
    of: LimitOf,
    (rate, among): (Rate, Option<Unit>),
    spent: Moment,
    now: Time,
) -> Allowance {
    let (pace, at) = (Pace::of(rate), moment(now));
    Allowance {
        of,
        among,
        limit: rate.burst(),
        remaining: pace.remaining(spent, at),
        reset: gcra::time(spent.max(at)),
        window_seconds: seconds(pace.whole()),
        more_in_seconds: seconds(duration(pace.until_more(spent, at))),
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_window_holds_exactly_its_limit_and_starts_again_when_it_ends() {
        let windows = Windows::default();
        let limits = limits(&["3/min"]);
        let start = Time::from_seconds(1_000);
        for remaining in [2, 1, 0] {
            let left = windows.count(&limits, start).unwrap().tightest().unwrap();
            assert_eq!((left.limit, left.remaining), (3, remaining));
            assert_eq!(left.reset, Time::from_seconds(1_060));
        }
        let last_moment = start.plus(Duration::from_millis(59_999));
        assert_eq!(windows.count(&limits, last_moment).unwrap_err().remaining, 0);
        let next = windows.count(&limits, Time::from_seconds(1_060)).unwrap().tightest().unwrap();
        assert_eq!((next.remaining, next.reset), (2, Time::from_seconds(1_120)));
    }

    #[test]
    fn of_several_limits_all_hold_and_the_tightest_is_told() {
        let windows = Windows::default();
        let limits = limits(&["2/second", "3/min"]);
        let start = Time::from_seconds(0);
        assert_eq!(windows.count(&limits, start).unwrap().tightest().unwrap().limit, 2);
        assert!(windows.count(&limits, start).is_ok());
        assert_eq!(windows.count(&limits, start).unwrap_err().limit, 2);
        let left = windows.count(&limits, Time::from_seconds(1)).unwrap().tightest().unwrap();
        assert_eq!((left.limit, left.remaining), (3, 0), "a refused request was not counted");
        assert_eq!(windows.count(&limits, Time::from_seconds(2)).unwrap_err().limit, 3);
    }

    #[test]
    fn one_mounts_limits_do_not_start_anothers_again() {
        let windows = Windows::default();
        let (one, other) = (limits(&["1/min"]), limits(&["5/min"]));
        let now = Time::from_seconds(0);
        assert!(windows.count(&one, now).is_ok());
        assert!(windows.count(&other, now).is_ok());
        assert!(windows.count(&one, now).is_err());
        assert_eq!(windows.count(&other, now).unwrap().tightest().unwrap().remaining, 3);
    }

    #[test]
    fn a_clock_set_back_opens_new_windows() {
        let windows = Windows::default();
        let limits = limits(&["1/day"]);
        let now = Time::from_seconds(1_000_000);
        assert!(windows.count(&limits, now).is_ok());
        let waited = now.minus(Duration::from_secs(5));
        assert!(windows.count(&limits, waited).is_err(), "a request that waited is not a new day");
        let hour_before = now.minus(Duration::from_secs(3_600));
        assert!(windows.count(&limits, hour_before).is_ok());
        assert!(windows.count(&limits, hour_before).is_err());
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let counted = Windows::default().count(&[], Time::from_seconds(0));
        assert_eq!(counted, Ok(Allowances::default()));
    }

    fn rates(texts: &[&str]) -> Vec<Rate> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_one_of_several_rates_refuses_is_counted_against_none() {
        let (client, realm) = (Buckets::default(), Buckets::default());
        let (of_client, of_realm) = (rates(&["1/second", "3/min"]), rates(&["2/hour"]));
        let accounts = [
            Account { of: LimitOf::Client, rates: &of_client, buckets: &client },
            Account { of: LimitOf::Realm, rates: &of_realm, buckets: &realm },
        ];
        let take = |seconds| Account::take_all(&accounts, Time::from_seconds(seconds));
        take(0).unwrap();
        let refusing = take(0).unwrap_err();
        assert_eq!((refusing.wait, refusing.allowance.limit), (Duration::from_secs(1), 1));
        take(1).unwrap();
        let refusing = take(2).unwrap_err();
        assert_eq!(refusing.wait, Duration::from_secs(1_798));
        assert_eq!(refusing.allowance.of, LimitOf::Realm);
        let left = accounts[0].left(Time::from_seconds(2));
        let left: Vec<u32> = left.as_slice().iter().map(|left| left.remaining).collect();
        assert_eq!(left, [1, 1], "the client lost nothing");
        take(1_800).unwrap();
    }

    #[test]
    fn the_wait_that_is_told_is_the_longest() {
        let buckets = Buckets::default();
        let rates = rates(&["1/second", "1/hour"]);
        let accounts = [Account { of: LimitOf::Client, rates: &rates, buckets: &buckets }];
        let now = Time::from_seconds(0);
        Account::take_all(&accounts, now).unwrap();
        let refusing = Account::take_all(&accounts, now).unwrap_err();
        assert_eq!(refusing.wait, Duration::from_secs(3_600));
        Account::take_all(&accounts, now.plus(refusing.wait)).unwrap();
    }

    #[test]
    fn each_source_has_its_own_share_and_a_site_sixteen() {
        let sources = SourceLimits::new();
        let rates = rates(&["2/min"]);
        let now = Time::from_seconds(0);
        let take =
            |address: &str| sources.take(SourceKey::new(address.parse().unwrap(), 64), &rates, now);
        take("192.0.2.1").unwrap();
        take("192.0.2.1").unwrap();
        let refusing = take("192.0.2.1").unwrap_err();
        assert_eq!(refusing.wait, Duration::from_secs(30));
        assert_eq!((refusing.allowance.of, refusing.allowance.remaining), (LimitOf::Source, 0));
        take("192.0.2.2").unwrap();

        for network in 0..16 {
            take(&format!("2001:db8:0:{network:x}::1")).unwrap();
            take(&format!("2001:db8:0:{network:x}::2")).unwrap();
            take(&format!("2001:db8:0:{network:x}::3")).unwrap_err();
        }
        let refusing = take("2001:db8:0:10::1").unwrap_err();
        assert_eq!(refusing.wait, Duration::from_millis(1_875), "sixteen times as fast");
        take("2001:db8:1:10::1").unwrap();
    }

    #[test]
    fn what_a_neighbour_was_refused_costs_nobody_anything() {
        let sources = SourceLimits::new();
        let rates = rates(&["1/min", "5/hour"]);
        let source = SourceKey::new("2001:db8::1".parse().unwrap(), 64);
        for minute in 0..5 {
            let now = Time::from_seconds(minute * 60);
            sources.take(source, &rates, now).unwrap();
            sources.take(source, &rates, now).unwrap_err();
        }
        let now = Time::from_seconds(300);
        assert!(sources.take(source, &rates, now).unwrap_err().wait > Duration::from_secs(60));
        sources.give_back(source, &rates);
        sources.take(source, &rates, now).unwrap();
    }
}
