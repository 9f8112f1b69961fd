//! The trace that a caller's request belongs to, as W3C Trace Context says it (`traceparent`,
//! `tracestate`). What is malformed is passed over, as the recommendation wants: then a trace of our
//! own begins.

use http::HeaderMap;

/// Where a request stands in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    /// Whether the caller follows its own request.
    pub(super) is_sampled: bool,
    /// What the systems before us keep in the trace, unread.
    pub(super) state: Option<Box<str>>,
}

/// The longest `tracestate` that is passed on, in bytes (section 3.3.1.5 asks for at least as many).
const STATE_BYTES_MAX: usize = 512;
/// The most entries of it (section 3.3.1.1).
const STATE_ENTRIES_MAX: usize = 32;

/// What the headers say; `None` when they say nothing, or nothing that makes sense.
pub(super) fn parent(headers: &HeaderMap) -> Option<Parent> {
    let mut fields = headers.get_all("traceparent").iter();
    let field = fields.next()?;
    if fields.next().is_some() {
        return None;
    }
    let parent = read(field.as_bytes())?;
    Some(Parent { state: state(headers), ..parent })
}

/// `version "-" trace-id "-" parent-id "-" trace-flags`, in lower-case hexadecimal (section 3.2).
fn read(field: &[u8]) -> Option<Parent> {
    let mut parts = field.split(|byte| *byte == b'-');
    let version: [u8; 1] = hexadecimal(parts.next()?)?;
    let trace_id: [u8; 16] = hexadecimal(parts.next()?)?;
    let span_id: [u8; 8] = hexadecimal(parts.next()?)?;
    let flags: [u8; 1] = hexadecimal(parts.next()?)?;
    // A later version may have more behind it; this one has not.
    let has_more = parts.next().is_some();
    if version == [0xff] || (version == [0] && has_more) {
        return None;
    }
    let is_nobody = trace_id == [0; 16] || span_id == [0; 8];
    let is_sampled = flags.iter().all(|flags| flags & 1 == 1);
    (!is_nobody).then_some(Parent { trace_id, span_id, is_sampled, state: None })
}

fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = <[u8; 2]>::try_from(pair).ok()?;
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// The whole list, or nothing where any of it is not as it should be.
fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut entries = Vec::new();
    for field in headers.get_all("tracestate") {
        let text = field.to_str().ok()?;
        entries.extend(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()));
    }
    let is_long = entries.len() > STATE_ENTRIES_MAX
        || entries.iter().map(|entry| entry.len() + 1).sum::<usize>() > STATE_BYTES_MAX + 1;
    if entries.is_empty() || is_long || !entries.iter().all(|entry| is_entry(entry)) {
        return None;
    }
    Some(entries.join(",").into())
}

/// `key "=" value` (section 3.3.1.3).
fn is_entry(entry: &str) -> bool {
    let Some((key, value)) = entry.split_once('=') else { return false };
    let in_key =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let starts_well =
        key.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let in_value = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b'=';
    starts_well
        && key.len() <= 256
        && key.bytes().all(in_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(in_value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // The example of the recommendation's section 3.2.4.
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_parent_is_read_as_it_stands() {
        let parent = parent(&headers(&[("traceparent", GOOD)])).unwrap();
        assert_eq!(parent.trace_id[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(parent.span_id[7], 0xb7);
        assert!(parent.is_sampled && parent.state.is_none());
        let unsampled = GOOD.replace("-01", "-00");
        assert!(!super::parent(&headers(&[("traceparent", &unsampled)])).unwrap().is_sampled);
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parent(&headers(&[("traceparent", wrong)])), None, "{wrong}");
        }
        assert_eq!(parent(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])), None);
        let later = format!("{}-and-more", GOOD.replace("00-4", "01-4"));
        assert!(parent(&headers(&[("traceparent", &later)])).is_some());
    }

    #[test]
    fn state_is_passed_on_whole_or_not_at_all() {
        let of = |state: &str| {
            parent(&headers(&[("traceparent", GOOD), ("tracestate", state)])).unwrap().state
        };
        assert_eq!(of("rojo=00f0, congo=t61").as_deref(), Some("rojo=00f0,congo=t61"));
        for wrong in ["", "novalue", "UPPER=1", "a=b=c", "a=", "=b"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        assert_eq!(of(&many.join(",")), None);
        assert!(of(&many[..32].join(",")).is_some());
        assert_eq!(of(&format!("k={},l={}", "v".repeat(255), "v".repeat(256))), None);
    }
}
