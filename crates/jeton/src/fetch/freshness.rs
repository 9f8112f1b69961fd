//! For how long an answer says that it may be used (RFC 9111 section 5.2.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// What `Cache-Control` says: the shortest `max-age`; no time at all where nothing may be kept; `None`
/// when it says nothing.
pub(super) fn stated(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).into_iter();
    let directives = directives.filter_map(|value| value.to_str().ok());
    directives.flat_map(|value| value.split(',')).filter_map(|one| age(one.trim())).min()
}

fn age(directive: &str) -> Option<Duration> {
    let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
    if ["no-store", "no-cache"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Some(Duration::ZERO);
    }
    if !name.eq_ignore_ascii_case("max-age") {
        return None;
    }
    // What is no number counts as expired (RFC 9111 section 4.2.1).
    Some(Duration::from_secs(value.trim_matches('"').parse::<u32>().unwrap_or(0).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, http::HeaderValue::from_static(value));
        }
        stated(&headers).map(|age| age.as_secs())
    }

    #[test]
    fn the_shortest_time_that_is_stated_counts() {
        assert_eq!(of(&["public, max-age=3600"]), Some(3600));
        assert_eq!(of(&["Max-Age=\"60\", must-revalidate"]), Some(60));
        assert_eq!(of(&["max-age=3600", "max-age=60"]), Some(60));
        assert_eq!(of(&["max-age=3600, no-store"]), Some(0));
        assert_eq!(of(&["no-cache"]), Some(0));
        assert_eq!(of(&["max-age=soon"]), Some(0));
        assert_eq!(of(&["max-age=-1"]), Some(0));
        assert_eq!(of(&["s-maxage=60, private"]), None);
        assert_eq!(of(&[]), None);
    }
}
