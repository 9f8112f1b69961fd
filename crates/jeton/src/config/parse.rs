//! From one said value to one meant value: durations, sizes, addresses, limits. The errors read after
//! the name of the setting.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use jeton_engine::claims::CustomClaims;
use jeton_engine::rate::{Rate, Rates};
use jeton_engine::terms::Lifetime;
use jiff::{Span, SpanRelativeTo};

use super::raw::{Said, Value};

/// Why a value is not what the setting takes, and what to write instead.
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) instead: Option<String>,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), instead: None }
    }

    pub(super) fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Text(_) => "a text",
        Value::Number(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::List(_) => "a list",
        Value::Table(_) => "a table",
        Value::Other(name) => name,
    }
}

fn mistyped(wanted: &str, value: &Value) -> Wrong {
    Wrong::new(format!("must be {wanted}, not {}", found(value)))
}

pub(super) fn text(said: &Said) -> Result<&str, Wrong> {
    match &said.value {
        Value::Text(text) if text.is_empty() => Err(Wrong::new("must not be empty")),
        Value::Text(text) => Ok(text),
        other => Err(mistyped("a text in quotes", other)),
    }
}

/// A text that is a name of some kind.
pub(super) fn name<T>(said: &Said) -> Result<T, Wrong>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text(said)?.parse().map_err(|error: T::Err| Wrong::new(error.to_string()))
}

pub(super) fn number<const LEAST: u32, const MOST: u32>(said: &Said) -> Result<u32, Wrong> {
    let Value::Number(number) = said.value else {
        return Err(mistyped("a whole number", &said.value));
    };
    match u32::try_from(number) {
        Ok(number) if (LEAST..=MOST).contains(&number) => Ok(number),
        _ => Err(Wrong::new(format!("must be from {LEAST} to {MOST}"))),
    }
}

pub(super) fn boolean(said: &Said) -> Result<bool, Wrong> {
    match &said.value {
        Value::Boolean(is) => Ok(*is),
        Value::Text(text) if text == "true" || text == "false" => {
            Err(Wrong::new("must be true or false").instead(format!("write {text} without quotes")))
        }
        other => Err(mistyped("true or false", other)),
    }
}

/// A number of bytes, bounds included.
pub(super) fn bytes<const LEAST: u64, const MOST: u64>(said: &Said) -> Result<u64, Wrong> {
    let wanted = "a number of bytes, such as 65536 or \"64KiB\"";
    let number = match &said.value {
        Value::Number(number) => u64::try_from(*number).ok(),
        Value::Text(text) => bytes_of(text),
        other => return Err(mistyped(wanted, other)),
    };
    match number {
        None => Err(Wrong::new(format!("must be {wanted}"))),
        Some(number) if (LEAST..=MOST).contains(&number) => Ok(number),
        Some(_) => {
            Err(Wrong::new(format!("must be from {} to {}", in_bytes(LEAST), in_bytes(MOST))))
        }
    }
}

fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let factor: u64 = match text.strip_prefix(digits)?.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A number of bytes as people write it.
pub(super) fn in_bytes(number: u64) -> String {
    match number {
        number if number >= 1 << 20 && number % (1 << 20) == 0 => format!("{}MiB", number >> 20),
        number if number >= 1 << 10 && number % (1 << 10) == 0 => format!("{}KiB", number >> 10),
        number => number.to_string(),
    }
}

/// A duration, bounds in seconds included.
pub(super) fn duration<const LEAST: u64, const MOST: u64>(said: &Said) -> Result<Duration, Wrong> {
    let duration = any_duration(said)?;
    let (least, most) = (Duration::from_secs(LEAST), Duration::from_secs(MOST));
    if duration < least || duration > most {
        return Err(Wrong::new(format!("must be from {least:?} to {most:?}")));
    }
    Ok(duration)
}

fn any_duration(said: &Said) -> Result<Duration, Wrong> {
    let Value::Text(text) = &said.value else {
        let wrong = mistyped("a duration in quotes", &said.value);
        return Err(match said.value {
            Value::Number(number) => wrong.instead(format!("write \"{number}s\" for seconds")),
            _ => wrong,
        });
    };
    duration_of(text).ok_or_else(|| {
        Wrong::new("must be a duration").instead("write it like \"10s\", \"1h30m\" or \"90d\"")
    })
}

/// A duration as people write it; a day is 24 hours, and months are too vague.
pub fn duration_of(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(signed).ok()
}

/// `"90d"`, bounds in seconds included, or `"off"`.
pub(super) fn duration_or_off<const LEAST: u64, const MOST: u64>(
    said: &Said,
) -> Result<Option<Duration>, Wrong> {
    match &said.value {
        Value::Text(text) if text == "off" => Ok(None),
        _ => duration::<LEAST, MOST>(said).map(Some),
    }
}

/// What a realm adds to its tokens.
pub(super) fn claims(said: &Said) -> Result<CustomClaims, Wrong> {
    let Value::Table(members) = &said.value else {
        let wrong = mistyped("a table of claims", &said.value);
        return Err(wrong.instead("write it like { tenant = \"acme\" }"));
    };
    members.clone().try_into().map_err(|error| Wrong::new(format!("{error}")))
}

/// `"10m"` or `"never"`.
pub(super) fn lifetime(said: &Said) -> Result<Lifetime, Wrong> {
    if said.value == Value::Text("never".to_owned()) {
        return Ok(Lifetime::Never);
    }
    let duration = any_duration(said)
        .map_err(|wrong| wrong.instead("write it like \"10m\" or \"90d\", or \"never\""))?;
    let seconds = u32::try_from(duration.as_secs()).ok().and_then(NonZeroU32::new);
    match seconds {
        Some(seconds) if duration.subsec_nanos() == 0 => Ok(Lifetime::Seconds(seconds)),
        _ => Err(Wrong::new("must be at least one second, in whole seconds, and below 136 years")),
    }
}

/// A socket address to listen on.
pub(super) fn address(said: &Said) -> Result<SocketAddr, Wrong> {
    let text = text(said)?;
    text.parse().map_err(|_| {
        let wrong = Wrong::new("must be an IP address and a port");
        match text.rsplit_once(':') {
            Some(("", port)) => {
                wrong.instead(format!("write \"0.0.0.0:{port}\" for every address"))
            }
            Some(("localhost", port)) => wrong.instead(format!("write \"127.0.0.1:{port}\"")),
            _ => wrong.instead("write it like \"127.0.0.1:8080\" or \"[::1]:8080\""),
        }
    })
}

/// The items of a list of texts, each read by `read`.
pub(super) fn list<T>(
    said: &Said,
    read: impl Fn(&Said) -> Result<T, Wrong>,
) -> Result<Vec<T>, (super::problem::Place, Wrong)> {
    let Value::List(items) = &said.value else {
        let wrong = mistyped("a list of texts", &said.value);
        return Err((said.place.clone(), wrong.instead("write it like [\"a\", \"b\"]")));
    };
    items.iter().map(|item| read(item).map_err(|wrong| (item.place.clone(), wrong))).collect()
}

/// A network such as `10.0.0.0/8`, or one address.
pub(super) fn network(said: &Said) -> Result<IpNet, Wrong> {
    let text = text(said)?;
    let of_address = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(of_address).ok_or_else(|| {
        Wrong::new("must be a network or an address")
            .instead("write it like \"10.0.0.0/8\" or \"192.0.2.7\"")
    })
}

/// `["600/min"]`, `["600/min burst 50", "9000/hour"]` or `"off"` (no limit at all).
pub(super) fn limits(said: &Said) -> Result<Rates, (super::problem::Place, Wrong)> {
    match &said.value {
        Value::Text(text) if text == "off" => Ok(Rates::default()),
        Value::List(items) if items.is_empty() => {
            let wrong = Wrong::new("names no limit").instead("write \"off\" for no limit");
            Err((said.place.clone(), wrong))
        }
        Value::List(_) => Rates::new(list(said, name::<Rate>)?).map_err(|error| {
            let wrong = Wrong::new(error.to_string());
            (said.place.clone(), wrong.instead("keep the one that you mean"))
        }),
        other => {
            let wrong = mistyped("a list of limits or \"off\"", other);
            Err((said.place.clone(), wrong.instead("write it like [\"600/min\"] or \"off\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Place;
    use super::*;

    fn said(value: Value) -> Said {
        Said { value, place: Place::Default }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("10s", 10), ("10m", 600), ("1h30m", 5400), ("90d", 7_776_000), ("0s", 0)]
        {
            assert_eq!(duration_of(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration_of("250ms"), Some(Duration::from_millis(250)));
        for text in ["", "10", "ten minutes", "-5s", "1month", "1y"] {
            assert_eq!(duration_of(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024_and_other_units_are_refused() {
        for (text, bytes) in [("65536", 65_536), ("64KiB", 65_536), ("1 MiB", 1_048_576), ("7B", 7)]
        {
            assert_eq!(bytes_of(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "64kb", "64KB", "1.5MiB", "-1", "99999999999GiB"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_lifetime_is_whole_seconds_or_never() {
        let lifetime = |text: &str| lifetime(&said(Value::Text(text.to_owned()))).ok();
        assert_eq!(lifetime("10m"), NonZeroU32::new(600).map(Lifetime::Seconds));
        assert_eq!(lifetime("never"), Some(Lifetime::Never));
        for text in ["0s", "500ms", "1500ms", "Never", "200000d"] {
            assert_eq!(lifetime(text), None, "{text}");
        }
    }

    #[test]
    fn networks_may_be_single_addresses() {
        let network = |text: &str| network(&said(Value::Text(text.to_owned()))).ok();
        assert_eq!(network("10.0.0.0/8"), "10.0.0.0/8".parse().ok());
        assert_eq!(network("::1"), "::1/128".parse().ok());
        assert_eq!(network("10.0.0.0/33"), None);
        assert_eq!(network("proxy.example"), None);
    }
}
