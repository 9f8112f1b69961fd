//! Limits that dialects document: how many requests a client may make in a window of time. And what is
//! left of any limit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Time;
use crate::name::NameError;
use crate::rate::Unit;

/// So many requests in a stretch of time: `100/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Requests allowed in one window.
    pub requests: u32,
    /// How long a window lasts, from the first request in it.
    pub window: Duration,
}

impl Limit {
    /// The unit that the window is one of.
    pub(crate) fn unit(&self) -> Option<Unit> {
        let seconds = self.window.as_secs();
        Unit::ALL.into_iter().find(|unit| u64::from(unit.seconds()) == seconds)
    }
}

impl FromStr for Limit {
    type Err = NameError;

    /// Parses `N/second`, `N/min` and `N/hour` (also `s`, `sec`, `minute`, `h`, `d`, `day`).
    fn from_str(text: &str) -> Result<Self, NameError> {
        const SHAPE: NameError = NameError("must look like 100/min, 1000/hour or 10/second");
        let (requests, unit) = text.split_once('/').ok_or(SHAPE)?;
        let requests: u32 = requests.trim().parse().map_err(|_| SHAPE)?;
        let unit: Unit = unit.trim().parse().map_err(|_| SHAPE)?;
        if requests == 0 {
            return Err(NameError("must allow at least one request; say \"off\" for no limit"));
        }
        Ok(Self { requests, window: Duration::from_secs(unit.seconds().into()) })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit() {
            Some(unit) => write!(formatter, "{}/{}", self.requests, unit.name()),
            None => write!(formatter, "{}/{}s", self.requests, self.window.as_secs()),
        }
    }
}

/// Whose requests a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitOf {
    /// Those of a client.
    Client,
    /// Those from a source address.
    Source,
    /// Those of a whole realm.
    Realm,
}

/// What is left of a limit after a request, for those who tell it in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whose requests it counts.
    pub of: LimitOf,
    /// The one unit of time that it is said in, where several hold together.
    pub among: Option<Unit>,
    /// Requests that may come at once: of a window all, of a rate its burst.
    pub limit: u32,
    /// Requests left.
    pub remaining: u32,
    /// When all of it is there again: when the window ends, or the bucket is whole.
    pub reset: Time,
    /// The seconds in which so many requests may come, rounded up: the window, or what the bucket takes
    /// from nothing to whole.
    pub window_seconds: u32,
    /// The seconds until there is more than now, rounded up.
    pub more_in_seconds: u32,
}

/// What is left of all limits that a request was counted against and its client may know of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowances(SmallVec<[Allowance; 1]>);

impl Allowances {
    /// What is left of the tightest.
    pub fn tightest(&self) -> Option<Allowance> {
        self.0.iter().copied().min_by_key(|left| left.remaining)
    }

    /// What is left of each.
    pub fn as_slice(&self) -> &[Allowance] {
        &self.0
    }
}

impl FromIterator<Allowance> for Allowances {
    fn from_iter<I: IntoIterator<Item = Allowance>>(iterator: I) -> Self {
        Self(iterator.into_iter().collect())
    }
}
