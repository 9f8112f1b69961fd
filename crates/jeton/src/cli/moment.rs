//! Durations and times as people write and read them: `10m`, `90d`, `never`, RFC 3339.

use std::num::NonZeroU32;
use std::time::Duration;

use jeton_engine::clock::Time;
use jeton_engine::terms::Lifetime;

use crate::config;

const UNITS: [(&str, u64); 3] = [("d", 86_400), ("h", 3_600), ("m", 60)];

/// When something ends, as said on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// So long from now.
    After(Duration),
    /// Not at all.
    Never,
}

impl Until {
    /// The moment, seen from `now`.
    pub(super) fn moment(self, now: Time) -> Option<Time> {
        match self {
            Self::After(duration) => Some(now.plus(duration)),
            Self::Never => None,
        }
    }
}

/// Reads `90s`, `10m`, `12h`, `90d`, or several together: `1h30m`; whole seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    config::duration_of(text).filter(|length| length.subsec_nanos() == 0).ok_or_else(|| {
        "is no duration: write a number and a unit (s, m, h, d, w), as in 10m, 12h or 90d"
            .to_owned()
    })
}

/// Reads a duration longer than nothing, or `never`.
pub(super) fn until(text: &str) -> Result<Until, String> {
    if text == "never" {
        return Ok(Until::Never);
    }
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        length => Ok(Until::After(length)),
    }
}

/// Reads a token's lifetime: a duration or `never`.
pub(super) fn lifetime(text: &str) -> Result<Lifetime, String> {
    match until(text)? {
        Until::Never => Ok(Lifetime::Never),
        Until::After(length) => seconds(length.as_secs()),
    }
}

/// A lifetime of so many seconds.
pub(super) fn seconds(seconds: u64) -> Result<Lifetime, String> {
    let seconds = u32::try_from(seconds).map_err(|_| "must be less than 136 years".to_owned())?;
    NonZeroU32::new(seconds)
        .map(Lifetime::Seconds)
        .ok_or_else(|| "must be longer than nothing".to_owned())
}

/// A duration in the largest unit that expresses it exactly.
pub(super) fn spelled(length: Duration) -> String {
    let seconds = length.as_secs();
    let fitting = UNITS.iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fitting
        .map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

/// A lifetime in the largest unit that expresses it exactly, or `never`.
pub(super) fn lifetime_spelled(lifetime: Lifetime) -> String {
    match lifetime {
        Lifetime::Seconds(seconds) => spelled(Duration::from_secs(seconds.get().into())),
        Lifetime::Never => "never".to_owned(),
    }
}

/// A time in RFC 3339, UTC, to the millisecond.
pub(super) fn rfc3339(time: Time) -> String {
    with_digits(time, 3)
}

/// A time in RFC 3339 without fractions, for tables.
pub(super) fn to_the_second(time: Time) -> String {
    with_digits(time.whole_second(), 0)
}

fn with_digits(time: Time, digits: usize) -> String {
    jiff::Timestamp::from_millisecond(time.milliseconds())
        .map_or_else(|_| "beyond the calendar".to_owned(), |moment| format!("{moment:.digits$}"))
}

/// Reads a time in RFC 3339.
pub(super) fn parse_rfc3339(text: &str) -> Result<Time, String> {
    let moment: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("\"{text}\" is no time in RFC 3339, such as 2026-01-31T12:00:00Z"))?;
    Ok(Time::from_milliseconds(moment.as_millisecond()))
}

/// How far away a time is, as people say it: `in 3 days`, `2 hours ago`, `now`.
pub(super) fn distance(time: Time, now: Time) -> String {
    let (length, ahead) = match time.since(now) {
        Duration::ZERO => (now.since(time), false),
        ahead => (ahead, true),
    };
    let seconds = length.as_secs();
    let (count, unit) = match seconds {
        0 => return "now".to_owned(),
        1..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if ahead { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_together() {
        for (text, seconds) in [
            ("90s", 90),
            ("10m", 600),
            ("12h", 43_200),
            ("90d", 7_776_000),
            ("2w", 1_209_600),
            ("1h30m", 5_400),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "10", "m", "-5m", "10x", "1500ms", "99999999999999999999s", "5m3", "é"] {
            assert!(duration(text).unwrap_err().contains("10m"), "{text}");
        }
    }

    #[test]
    fn a_lifetime_is_longer_than_nothing_and_may_be_never() {
        assert_eq!(lifetime("never"), Ok(Lifetime::Never));
        assert_eq!(lifetime("10m").map(lifetime_spelled), Ok("10m".to_owned()));
        assert!(lifetime("0s").is_err());
        assert!(lifetime("9000w").is_err());
        assert!(lifetime("Never").is_err());
    }

    #[test]
    fn a_duration_is_spelled_in_the_largest_unit_that_is_exact() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (90, "90s"), (3_600, "1h"), (604_800, "7d")]
        {
            assert_eq!(spelled(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn times_are_written_and_read_in_rfc_3339() {
        let time = Time::from_milliseconds(1_570_016_900_123);
        assert_eq!(rfc3339(time), "2019-10-02T11:48:20.123Z");
        assert_eq!(to_the_second(time), "2019-10-02T11:48:20Z");
        assert_eq!(parse_rfc3339(&rfc3339(time)), Ok(time));
        assert!(parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn distances_read_as_people_say_them() {
        let now = Time::from_seconds(1_000_000);
        let at = |seconds: i64| Time::from_seconds(1_000_000 + seconds);
        assert_eq!(distance(now, now), "now");
        assert_eq!(distance(at(1), now), "in 1 second");
        assert_eq!(distance(at(-600), now), "10 minutes ago");
        assert_eq!(distance(at(7_200), now), "in 2 hours");
        assert_eq!(distance(at(-864_000), now), "10 days ago");
    }
}
