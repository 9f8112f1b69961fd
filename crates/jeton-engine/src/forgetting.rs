//! The time by which things are forgotten: the time of day, except while that has jumped ahead. A clock
//! that is set wrong and right again must not have made us throw away what is still needed: tokens that
//! live, revocations, what was used up.

use std::time::Duration;

use crate::clock::{Clock, Steady, Time};

/// A time of day that does not jump ahead.
#[derive(Debug, Default)]
pub(crate) struct Forgetting {
    /// The time of day that was believed last, and when that was.
    believed: Option<(Time, Steady)>,
    /// Since when the clock is ahead of it.
    ahead_since: Option<Steady>,
}

impl Forgetting {
    /// What the time of day may gain on the clock that nobody sets, between two looks.
    const GAIN_MAX: Duration = Duration::from_secs(60);
    /// A clock that stays ahead for so long is right: it was behind before.
    const BELIEVED_AFTER: Duration = Duration::from_secs(3600);

    /// What time it is. A clock that was set back is believed at once: then things are kept for longer.
    pub(crate) fn time(&mut self, clock: &Clock) -> Time {
        let (time, steady) = (clock.now(), clock.steady());
        let (believed, at) = *self.believed.get_or_insert((time, steady));
        let expected = believed.plus(steady.since(at));
        let ahead = time.since(expected);
        if ahead > Self::GAIN_MAX {
            let since = *self.ahead_since.get_or_insert_with(|| {
                let seconds = ahead.as_secs();
                tracing::warn!(
                    seconds,
                    "the clock has jumped ahead; what expires thereby is kept for an hour, in case it jumps back"
                );
                steady
            });
            if steady.since(since) < Self::BELIEVED_AFTER {
                return expected;
            }
        }
        (self.believed, self.ahead_since) = (Some((time, steady)), None);
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_seconds(1_000_000 + seconds)
    }

    /// Some seconds pass; then the clock shows this.
    fn later(clock: &Clock, seconds: u64, shows: i64) {
        clock.go_on(Duration::from_secs(seconds));
        clock.set(at(shows));
    }

    #[test]
    fn a_clock_that_goes_right_is_believed_also_where_it_drifts_or_is_set_back() {
        let (clock, mut forgetting) = (Clock::fixed(at(0)), Forgetting::default());
        assert_eq!(forgetting.time(&clock), at(0));
        for shows in [11, 80, -4000, -3990] {
            later(&clock, 10, shows);
            assert_eq!(forgetting.time(&clock), at(shows), "{shows}: at most 59 s too many");
        }
    }

    #[test]
    fn a_jump_ahead_is_not_believed_until_it_has_lasted_for_an_hour() {
        let (clock, mut forgetting) = (Clock::fixed(at(0)), Forgetting::default());
        forgetting.time(&clock);
        later(&clock, 10, 7210);
        assert_eq!(forgetting.time(&clock), at(10));
        later(&clock, 1000, 8210);
        assert_eq!(forgetting.time(&clock), at(1010));
        // It is right again: nothing has happened.
        later(&clock, 10, 1020);
        assert_eq!(forgetting.time(&clock), at(1020));
        later(&clock, 10, 8230);
        assert_eq!(forgetting.time(&clock), at(1030));
        later(&clock, 3599, 11_829);
        assert_eq!(forgetting.time(&clock), at(4629));
        later(&clock, 1, 11_830);
        assert_eq!(forgetting.time(&clock), at(11_830), "it was wrong before, and is right now");
    }
}
