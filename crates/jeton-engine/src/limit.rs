//! Limits: how many requests a client may make in a stretch of time, and what is left of it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::Time;
use crate::name::NameError;

/// So many requests in a stretch of time: `100/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Requests allowed in one window.
    pub requests: u32,
    /// How long a window lasts, from the first request in it.
    pub window: Duration,
}

impl FromStr for Limit {
    type Err = NameError;

    /// Parses `N/second`, `N/min` and `N/hour` (also `s`, `sec`, `minute`, `h`, `d`, `day`).
    fn from_str(text: &str) -> Result<Self, NameError> {
        const SHAPE: NameError = NameError("must look like 100/min, 1000/hour or 10/second");
        let (requests, unit) = text.split_once('/').ok_or(SHAPE)?;
        let requests: u32 = requests.trim().parse().map_err(|_| SHAPE)?;
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(SHAPE),
        };
        if requests == 0 {
            return Err(NameError("must allow at least one request; say \"off\" for no limit"));
        }
        Ok(Self { requests, window: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.window.as_secs() {
            1 => write!(formatter, "{}/second", self.requests),
            60 => write!(formatter, "{}/min", self.requests),
            3_600 => write!(formatter, "{}/hour", self.requests),
            86_400 => write!(formatter, "{}/day", self.requests),
            seconds => write!(formatter, "{}/{seconds}s", self.requests),
        }
    }
}

/// What is left of the tightest limit after a request, for dialects that tell it in headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests allowed in the window.
    pub limit: u32,
    /// Requests left in the window.
    pub remaining: u32,
    /// When the window ends and the count starts again.
    pub reset: Time,
}
