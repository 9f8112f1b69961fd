//! Counts requests against limits, in windows that begin with their first request.
//!
//! Windows and not a leaky bucket, because documented limits are windows: `X-RateLimit-Reset`
//! names the moment at which the count starts again, and a caller may spend all of it at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use smallvec::SmallVec;

use crate::clock::Time;
use crate::limit::{Allowance, Limit};
use crate::source::SourceKey;

/// The windows of one client or source.
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

    fn allowance(&self) -> Allowance {
        Allowance {
            limit: self.limit.requests,
            remaining: self.limit.requests.saturating_sub(self.count),
            reset: self.began.plus(self.limit.window),
        }
    }
}

impl Windows {
    /// Counts one request against all of `limits`, or against none when one of them is used up.
    /// Says what is left of the tightest one.
    ///
    /// # Errors
    /// The allowance of the used-up limit that ends last.
    pub(crate) fn count(
        &self,
        limits: &[Limit],
        now: Time,
    ) -> Result<Option<Allowance>, Allowance> {
        if limits.is_empty() {
            return Ok(None);
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
        let left = windows.iter().filter(|window| meant(window)).map(Window::allowance);
        let used_up = left.filter(|left| left.remaining == 0);
        if let Some(longest) = used_up.max_by_key(|left| left.reset) {
            return Err(longest);
        }
        for window in windows.iter_mut().filter(|window| meant(window)) {
            window.count += 1;
        }
        let left = windows.iter().filter(|window| meant(window)).map(Window::allowance);
        Ok(left.min_by_key(|left| left.remaining))
    }
}

/// The windows of source addresses, as many as memory was set aside for.
pub(crate) struct SourceWindows(Cache<SourceKey, Arc<Windows>>);

impl SourceWindows {
    const SOURCES_MAX: usize = 65_536;

    pub(crate) fn new() -> Self {
        Self(Cache::new(Self::SOURCES_MAX))
    }

    /// As [`Windows::count`], for a source address.
    pub(crate) fn count(
        &self,
        source: IpAddr,
        limits: &[Limit],
        now: Time,
    ) -> Result<Option<Allowance>, Allowance> {
        if limits.is_empty() {
            return Ok(None);
        }
        let key = SourceKey::from(source);
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(Windows::default()));
        let Ok(windows) = self.0.get_or_insert_with(&key, fresh);
        windows.count(limits, now)
    }
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
            let left = windows.count(&limits, start).unwrap().unwrap();
            assert_eq!((left.limit, left.remaining), (3, remaining));
            assert_eq!(left.reset, Time::from_seconds(1_060));
        }
        let last_moment = start.plus(Duration::from_millis(59_999));
        assert_eq!(windows.count(&limits, last_moment).unwrap_err().remaining, 0);
        let next = windows.count(&limits, Time::from_seconds(1_060)).unwrap().unwrap();
        assert_eq!((next.remaining, next.reset), (2, Time::from_seconds(1_120)));
    }

    #[test]
    fn of_several_limits_all_hold_and_the_tightest_is_told() {
        let windows = Windows::default();
        let limits = limits(&["2/second", "3/min"]);
        let start = Time::from_seconds(0);
        assert_eq!(windows.count(&limits, start).unwrap().unwrap().limit, 2);
        assert!(windows.count(&limits, start).is_ok());
        assert_eq!(windows.count(&limits, start).unwrap_err().limit, 2);
        let left = windows.count(&limits, Time::from_seconds(1)).unwrap().unwrap();
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
        assert_eq!(windows.count(&other, now).unwrap().unwrap().remaining, 3);
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
        assert_eq!(Windows::default().count(&[], Time::from_seconds(0)), Ok(None));
    }

    #[test]
    fn each_source_has_its_own_windows() {
        let sources = SourceWindows::new();
        let limits = limits(&["1/min"]);
        let now = Time::from_seconds(0);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert!(sources.count(one, &limits, now).is_ok());
        assert!(sources.count(one, &limits, now).is_err());
        assert!(sources.count(other, &limits, now).is_ok());
    }
}
