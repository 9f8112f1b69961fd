//! Rates: what an operator allows a client, a source or a realm. So many requests in a stretch of
//! time, that many at once or fewer, and one more each time its share of the stretch has passed.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::name::NameError;

/// A stretch of time that rates are said in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// One second.
    Second,
    /// 60 seconds.
    Minute,
    /// 3 600 seconds.
    Hour,
    /// 86 400 seconds.
    Day,
}

impl Unit {
    /// Every unit, the shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// Its length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How it is written after the slash.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "min",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

impl FromStr for Unit {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "s" | "sec" | "second" => Ok(Self::Second),
            "m" | "min" | "minute" => Ok(Self::Minute),
            "h" | "hour" => Ok(Self::Hour),
            "d" | "day" => Ok(Self::Day),
            _ => Err(NameError("must be of a second, min, hour or day")),
        }
    }
}

/// So many requests in a stretch of time: `600/min`, or `600/min burst 50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    requests: u32,
    unit: Unit,
    burst: u32,
}

impl Rate {
    /// What a second may hold at most: more is no limit to any server.
    const A_SECOND_MAX: u64 = 1_000_000;

    /// `requests` in each `unit`, `burst` of them at once.
    ///
    /// # Errors
    /// The sentence that says what is wrong with them.
    pub fn new(requests: u32, unit: Unit, burst: u32) -> Result<Self, NameError> {
        if requests == 0 {
            return Err(NameError("must allow at least one request; say \"off\" for no limit"));
        }
        if u64::from(requests) > Self::A_SECOND_MAX * u64::from(unit.seconds()) {
            return Err(NameError("allows more than 1000000 a second; say \"off\" for no limit"));
        }
        if burst == 0 || burst > requests {
            return Err(NameError("must have a burst from 1 to the number of its requests"));
        }
        Ok(Self { requests, unit, burst })
    }

    /// Requests in each unit.
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// The stretch of time.
    pub const fn unit(self) -> Unit {
        self.unit
    }

    /// Requests that may come at once after a pause.
    pub const fn burst(self) -> u32 {
        self.burst
    }
}

impl FromStr for Rate {
    type Err = NameError;

    /// Parses `N/second`, `N/min`, `N/hour` and `N/day` (also `s`, `sec`, `minute`, `h`, `d`), with
    /// ` burst N` behind it or without: then all of it may come at once.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const SHAPE: NameError = NameError("must look like 600/min, 10/second or 600/min burst 50");
        let (requests, rest) = text.split_once('/').ok_or(SHAPE)?;
        let requests: u32 = requests.trim().parse().map_err(|_| SHAPE)?;
        let mut words = rest.split_whitespace();
        let unit = words.next().and_then(|unit| unit.parse().ok()).ok_or(SHAPE)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => requests,
            (Some("burst"), Some(burst), None) => burst.parse().map_err(|_| SHAPE)?,
            _ => return Err(SHAPE),
        };
        Self::new(requests, unit, burst)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.requests, self.unit.name())?;
        if self.burst == self.requests {
            return Ok(());
        }
        write!(formatter, " burst {}", self.burst)
    }
}

/// Rates that hold together, the shortest unit first; none: no limit. At most one of each unit: of two,
/// what was spent of the one would be taken for the other's when the configuration changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<Rate>);

impl Rates {
    /// These rates.
    ///
    /// # Errors
    /// When two of them are of the same unit.
    pub fn new(mut rates: Vec<Rate>) -> Result<Self, NameError> {
        rates.sort_by_key(|rate| rate.unit);
        let twice = |pair: &[Rate]| matches!(pair, [one, other] if one.unit == other.unit);
        if rates.windows(2).any(twice) {
            return Err(NameError("must have at most one limit a second, one a minute, and so on"));
        }
        Ok(Self(rates))
    }
}

impl Deref for Rates {
    type Target = [Rate];

    fn deref(&self) -> &[Rate] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for text in ["600/min", "10/second", "1/hour", "5000/day", "600/min burst 50"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        let spelled: Rate = " 600 / minute  burst 600".parse().unwrap();
        assert_eq!(spelled, "600/m".parse().unwrap());
        assert_eq!("1000000/s".parse::<Rate>().unwrap().requests(), 1_000_000);
        assert_eq!("4294967295/day".parse::<Rate>().unwrap().burst(), u32::MAX);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in [
            "",
            "600",
            "600/",
            "/min",
            "-1/min",
            "1.5/min",
            "4294967296/day",
            "4294967295/ms",
            "600/min 50",
            "600/min burst",
            "600/min burst x",
            "600/min burst 5 6",
            "0/min",
            "600/min burst 0",
            "600/min burst 601",
            "1000001/second",
            "4294967295/second",
            "60000000/min burst 60000001",
            "600/week",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn of_each_unit_there_is_one_rate() {
        let rates =
            |texts: &[&str]| Rates::new(texts.iter().map(|text| text.parse().unwrap()).collect());
        assert_eq!(rates(&["9/hour", "5/min"]).unwrap(), rates(&["5/min", "9/hour"]).unwrap());
        assert!(rates(&["5/min", "9/hour", "6/min"]).is_err());
        assert!(rates(&[]).unwrap().is_empty());
    }
}
