//! The arithmetic of leaky buckets (GCRA), for limits and for the price of guesses: one moment says up
//! to when a bucket has spent what flows into it. Nothing here reads a clock.
//!
//! Moments are nanoseconds since the epoch, so that also a million a second is a whole number.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Time;
use crate::rate::Rate;

/// A moment, in nanoseconds since the epoch.
pub(crate) type Moment = i64;

const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

/// How fast a bucket may be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How far one request moves the moment.
    cost: i64,
    /// How far the moment may be ahead of now.
    tolerance: i64,
    /// How far it can be ahead at all. More means that the clock was set back; requests that waited for
    /// their turn carry an earlier moment, too.
    ahead_max: i64,
}

impl Pace {
    /// For how long a clock that was set back refuses anybody beyond the limit itself.
    const SKEW_MAX: Duration = Duration::from_secs(60);

    /// The pace of a rate: its burst at once, and one more each time its share of the unit has passed,
    /// rounded up.
    pub(crate) fn of(rate: Rate) -> Self {
        let unit = i64::from(rate.unit().seconds()).saturating_mul(SECOND);
        let requests = i64::from(rate.requests());
        let cost = unit.saturating_add(requests - 1) / requests;
        Self::new(cost, i64::from(rate.burst()), Self::SKEW_MAX)
    }

    /// `burst` at once and `a_second` after that, of those that may run ahead of it by `beyond`.
    pub(crate) fn a_second(a_second: u32, burst: u32, beyond: Duration) -> Self {
        let cost = SECOND / i64::from(a_second.max(1));
        Self::new(cost, i64::from(burst), beyond.saturating_add(Self::SKEW_MAX))
    }

    fn new(cost: i64, burst: i64, beyond: Duration) -> Self {
        let tolerance = cost.saturating_mul(burst);
        let beyond = i64::try_from(beyond.as_nanos()).unwrap_or(i64::MAX);
        Self { cost, tolerance, ahead_max: tolerance.saturating_add(beyond) }
    }

    /// The pace of `many` who share a bucket: so many times as fast, so many times the burst.
    pub(crate) fn shared_by(self, many: i64) -> Self {
        Self { cost: (self.cost / many).max(1), ..self }
    }

    /// How far a bucket is ahead of now.
    fn ahead(self, spent: Moment, now: Moment) -> i64 {
        spent.saturating_sub(now).clamp(0, self.ahead_max)
    }

    /// The bucket after one request, if it had room for it; else how long it will not.
    pub(crate) fn take(self, spent: Moment, now: Moment) -> Result<Moment, i64> {
        match self.wait(spent, now) {
            0 => Ok(self.charged(spent, now)),
            wait => Err(wait),
        }
    }

    /// How long there will be no room for a request; zero when there is.
    pub(crate) fn wait(self, spent: Moment, now: Moment) -> i64 {
        (self.ahead(spent, now).saturating_add(self.cost) - self.tolerance).max(0)
    }

    /// The bucket after one request, whether it had room for it or not.
    pub(crate) fn charged(self, spent: Moment, now: Moment) -> Moment {
        now.saturating_add(self.ahead(spent, now)).saturating_add(self.cost)
    }

    /// The bucket as it is held to be: no further ahead than it can be. Without this, a clock that was
    /// set back would refuse for as long as it was set back by.
    pub(crate) fn settled(self, spent: Moment, now: Moment) -> Moment {
        spent.min(now.saturating_add(self.ahead_max))
    }

    /// How far a bucket can be ahead of now at all.
    pub(crate) const fn ahead_max(self) -> i64 {
        self.ahead_max
    }

    /// What one request costs.
    pub(crate) const fn cost(self) -> i64 {
        self.cost
    }

    /// Requests for which there is room.
    pub(crate) fn remaining(self, spent: Moment, now: Moment) -> u32 {
        let room = (self.tolerance - self.ahead(spent, now)).max(0);
        u32::try_from(room / self.cost).unwrap_or(u32::MAX)
    }

    /// How long it takes until there is room for one more than now; zero when nothing is spent.
    pub(crate) fn until_more(self, spent: Moment, now: Moment) -> i64 {
        let ahead = self.ahead(spent, now);
        if ahead == 0 {
            return 0;
        }
        let more = i64::from(self.remaining(spent, now)).saturating_add(1);
        ahead.saturating_add(self.cost.saturating_mul(more)).saturating_sub(self.tolerance).max(0)
    }

    /// How long an empty bucket takes to be full again.
    pub(crate) fn whole(self) -> Duration {
        duration(self.tolerance)
    }
}

/// A bucket that many threads use at once.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicI64);

impl Bucket {
    /// Counts a request, if there is room for it.
    ///
    /// # Errors
    /// How long there will be none.
    pub(crate) fn take(&self, pace: Pace, now: Moment) -> Result<Moment, i64> {
        self.settle(pace, now);
        let mut outcome = Err(0);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            outcome = pace.take(spent, now);
            outcome.ok()
        });
        outcome
    }

    /// Counts a request, room or not. The moment up to which the bucket is spent then.
    pub(crate) fn charge(&self, pace: Pace, now: Moment) -> Moment {
        let charge = |spent| Some(pace.charged(spent, now));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charge);
        pace.charged(before.unwrap_or_else(|spent| spent), now)
    }

    /// How long there will be no room for a request; zero when there is.
    pub(crate) fn wait(&self, pace: Pace, now: Moment) -> i64 {
        self.settle(pace, now);
        pace.wait(self.spent(), now)
    }

    /// Takes back what a request was counted.
    pub(crate) fn give_back(&self, pace: Pace) {
        self.0.fetch_sub(pace.cost, Ordering::Relaxed);
    }

    /// Up to when it is spent.
    pub(crate) fn spent(&self) -> Moment {
        self.0.load(Ordering::Relaxed)
    }

    fn settle(&self, pace: Pace, now: Moment) {
        let spent = self.spent();
        let settled = pace.settled(spent, now);
        if settled < spent {
            self.0.fetch_min(settled, Ordering::Relaxed);
        }
    }
}

/// A time as a moment; stops at the ends of time (the year 2262) instead of wrapping.
pub(crate) fn moment(time: Time) -> Moment {
    time.milliseconds().saturating_mul(MILLISECOND)
}

/// A moment as a time, not before it.
pub(crate) fn time(moment: Moment) -> Time {
    let over = i64::from(moment.rem_euclid(MILLISECOND) != 0);
    Time::from_milliseconds(moment.div_euclid(MILLISECOND) + over)
}

/// Nanoseconds as a duration in whole milliseconds, as clocks are read; rounded up, so that who waits
/// that long has waited long enough.
pub(crate) fn duration(nanoseconds: i64) -> Duration {
    Duration::from_millis(nanoseconds.max(0).unsigned_abs().div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace(text: &str) -> Pace {
        Pace::of(text.parse().unwrap())
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_each_time_its_share_has_passed() {
        let (pace, bucket, now) =
            (pace("600/min"), Bucket::default(), moment(Time::from_seconds(9)));
        for remaining in (0..600).rev() {
            let spent = bucket.take(pace, now).unwrap();
            assert_eq!(pace.remaining(spent, now), remaining);
        }
        assert_eq!(bucket.take(pace, now), Err(100 * MILLISECOND));
        assert_eq!(bucket.take(pace, now + 100 * MILLISECOND - 1), Err(1));
        assert!(bucket.take(pace, now + 100 * MILLISECOND).is_ok());
        assert!(bucket.take(pace, now + 100 * MILLISECOND).is_err());
    }

    #[test]
    fn a_smaller_burst_is_refilled_as_fast() {
        let (pace, bucket) = (pace("600/min burst 2"), Bucket::default());
        assert!(bucket.take(pace, 0).is_ok() && bucket.take(pace, 0).is_ok());
        assert_eq!(bucket.take(pace, 0), Err(100 * MILLISECOND));
        assert_eq!(pace.whole(), Duration::from_millis(200));
        let after_a_pause = 60 * SECOND;
        assert!(bucket.take(pace, after_a_pause).is_ok());
        assert!(bucket.take(pace, after_a_pause).is_ok());
        assert!(bucket.take(pace, after_a_pause).is_err(), "a pause saves up no more than a burst");
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (pace, bucket) = (pace("1/day"), Bucket::default());
        bucket.take(pace, 0).unwrap();
        assert_eq!(bucket.take(pace, 0), Err(86_400 * SECOND));
        bucket.give_back(pace);
        assert!(bucket.take(pace, 0).is_ok());
    }

    #[test]
    fn the_largest_rates_and_the_ends_of_time_do_not_wrap() {
        for text in ["4294967295/day", "1000000/second", "1/day", "60000000/min"] {
            let pace = pace(text);
            for now in [i64::MIN, -1, 0, i64::MAX] {
                for spent in [i64::MIN, 0, i64::MAX] {
                    let _ = (pace.take(spent, now), pace.charged(spent, now));
                    let _ = (pace.remaining(spent, now), pace.until_more(spent, now));
                    assert!(pace.settled(spent, now) <= now.saturating_add(pace.ahead_max));
                }
            }
        }
        assert_eq!(moment(Time::from_seconds(i64::MAX / 1000)), i64::MAX);
        assert_eq!(time(1), Time::from_milliseconds(1));
        assert_eq!(time(-1), Time::from_milliseconds(0));
    }

    fn rates() -> impl Strategy<Value = Rate> {
        (1_u32..200, 0_usize..4, 1_u32..200).prop_map(|(requests, unit, burst)| {
            Rate::new(requests, crate::rate::Unit::ALL[unit], burst.min(requests)).unwrap()
        })
    }

    proptest! {
        /// In any interval: the burst, and what flows in meanwhile.
        #[test]
        fn never_more_than_the_burst_and_what_flows_in(
            rate in rates(),
            steps in prop::collection::vec(0_u32..3_000, 1..400),
        ) {
            let (pace, bucket) = (Pace::of(rate), Bucket::default());
            let mut now = 0;
            let mut passed = Vec::new();
            for step in steps {
                now += i64::from(step) * MILLISECOND;
                if bucket.take(pace, now).is_ok() {
                    passed.push(now);
                }
            }
            for (index, from) in passed.iter().enumerate() {
                for (count, to) in passed[index..].iter().enumerate() {
                    let most = i64::from(rate.burst()) + (to - from) / pace.cost();
                    prop_assert!(i64::try_from(count).unwrap() < most);
                }
            }
        }

        /// Whoever waits as long as it was told, in whole seconds or exactly, is not refused.
        #[test]
        fn who_waits_as_told_is_never_refused(
            rate in rates(),
            steps in prop::collection::vec((0_u32..50, any::<bool>()), 1..400),
        ) {
            let (pace, bucket) = (Pace::of(rate), Bucket::default());
            let mut now = 0;
            for (step, whole_seconds) in steps {
                now += i64::from(step) * MILLISECOND;
                let Err(wait) = bucket.take(pace, now) else { continue };
                let told = duration(wait);
                let milliseconds = u64::try_from(told.as_millis()).unwrap();
                let told = if whole_seconds {
                    milliseconds.div_ceil(1000) * 1000
                } else {
                    milliseconds
                };
                now += i64::try_from(told).unwrap() * MILLISECOND;
                prop_assert!(bucket.take(pace, now).is_ok());
            }
        }

        /// A clock that is set back gives nobody a request more, and refuses for a minute at most
        /// beyond what one request takes.
        #[test]
        fn a_clock_set_back_gives_nothing_away(
            rate in rates(),
            taken in 1_usize..300,
            back in 0_i64..1_000_000,
        ) {
            let (pace, bucket) = (Pace::of(rate), Bucket::default());
            let now = 2_000_000 * SECOND;
            for _ in 0..taken {
                let _ = bucket.take(pace, now);
            }
            let remaining = pace.remaining(bucket.spent(), now);
            let before = now - back * SECOND;
            prop_assert!(pace.remaining(bucket.spent(), before) <= remaining);
            if let Err(wait) = bucket.take(pace, before) {
                prop_assert!(wait <= pace.cost() + 60 * SECOND);
                prop_assert!(bucket.take(pace, before + wait).is_ok());
            }
        }
    }
}
