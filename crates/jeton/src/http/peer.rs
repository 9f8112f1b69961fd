//! Where a caller is: the peer's address, or what trusted proxies say of it.
//!
//! From the right, each address was added by the proxy that comes after it; the first one that is not
//! a trusted proxy itself is the caller. Everything left of it could have been sent by anybody.
//!
//! A trusted proxy may pass on what a caller sent in the one header while it writes the other. When both are
//! there and disagree, or an entry is no address, nobody knows where the caller is: it gets the unspecified
//! address, which no network of a client contains and which all such callers share when guesses are
//! counted. To believe the proxy's own address instead would let anybody call from the proxy's network.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;
use jeton_engine::certificate::ClientCertificate;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of callers whose address nobody knows.
pub(crate) const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The certificate that it presented to us.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

/// The caller's address; IPv4 addresses in IPv6 clothing are undressed.
pub(crate) fn source(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.ip().to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let by_list = last_untrusted(&x_forwarded_for(headers), trusted);
    let by_standard = last_untrusted(&forwarded(headers), trusted);
    match (by_list, by_standard) {
        (None, None) => peer,
        (Some(told), None) | (None, Some(told)) => told,
        (Some(told), Some(also)) if told == also => told,
        (Some(_), Some(_)) => UNKNOWN,
    }
}

/// Whether this is a proxy whose headers count.
pub(crate) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The caller among addresses in the order of the header; the leftmost when all are proxies.
fn last_untrusted(told: &[Option<IpAddr>], trusted: &[IpNet]) -> Option<IpAddr> {
    let mut caller = None;
    for address in told.iter().rev() {
        let Some(address) = *address else { return Some(UNKNOWN) };
        caller = Some(address);
        if !is_trusted(address, trusted) {
            break;
        }
    }
    caller
}

/// The entries of `X-Forwarded-For`, several fields in order; `None` for what is no address.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let fields = headers.get_all(X_FORWARDED_FOR).iter();
    fields
        .flat_map(|field| match field.to_str() {
            Ok(text) => text.split(',').map(|entry| address(entry.trim())).collect(),
            Err(_) => vec![None],
        })
        .collect()
}

/// The `for` parameters of `Forwarded` (RFC 7239 section 4); `None` where an element has none.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let fields = headers.get_all(FORWARDED).iter();
    fields
        .flat_map(|field| match field.to_str() {
            // An open quote would swallow what the proxy added after it and leave the caller's own
            // invention as the last word.
            Ok(text) if text.matches('"').count() % 2 == 0 => {
                split_outside_quotes(text, ',').into_iter().map(element).collect()
            }
            Ok(_) | Err(_) => vec![None],
        })
        .collect()
}

fn element(text: &str) -> Option<IpAddr> {
    let mut pairs =
        split_outside_quotes(text, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    address(unquoted)
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|letter: char| {
        quoted ^= letter == '"';
        letter == separator && !quoted
    })
    .collect()
}

/// An address as proxies write it: bare, with a port, or (IPv6) in brackets with or without one.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(in_brackets).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn source_of(peer: &str, headers: &[(&'static str, &str)], trusted: &[&str]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        source(peer, &map, &trusted).to_string()
    }

    const PROXIES: &[&str] = &["10.0.0.0/8", "fd00::/8"];

    #[test]
    fn nothing_is_believed_of_a_peer_that_is_no_trusted_proxy() {
        let headers = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(source_of("198.51.100.1", &headers, PROXIES), "198.51.100.1");
        assert_eq!(source_of("10.0.0.1", &headers, &[]), "10.0.0.1");
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_caller() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.9,192.0.2.1 , 10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(
                source_of("10.0.0.1", &[("x-forwarded-for", value)], PROXIES),
                expected,
                "{value}"
            );
        }
        let two = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(source_of("10.0.0.1", &two, PROXIES), "192.0.2.1");
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes_and_parameters() {
        for (value, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:80\";proto=https;by=10.0.0.1", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=203.0.113.9, proto=http;for=192.0.2.1", "192.0.2.1"),
            ("for=\"a,b;c\", for=192.0.2.1, for=10.1.1.1", "192.0.2.1"),
        ] {
            assert_eq!(
                source_of("10.0.0.1", &[("forwarded", value)], PROXIES),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn what_nobody_can_know_is_the_unspecified_address() {
        for headers in [
            &[("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2")][..],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "192.0.2.1, garbage")],
            &[("x-forwarded-for", "192.0.2.1,")],
            &[("x-forwarded-for", "192.0.2.1\u{fc}")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "for=192.0.2.1;x=\", for=192.0.2.2")],
            &[("forwarded", "for=192.0.2.1;x=\", for=\"[2001:db8::1]\"")],
            &[("forwarded", "for=192.0.2.1, proto=https")],
        ] {
            assert_eq!(source_of("10.0.0.1", headers, PROXIES), "::", "{headers:?}");
        }
        let agreeing = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(source_of("10.0.0.1", &agreeing, PROXIES), "192.0.2.1");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_caller_invents_makes_it_somebody_else(invented in "[ -~]{0,60}") {
            for (name, added) in [
                ("x-forwarded-for", "203.0.113.7"),
                ("forwarded", "for=203.0.113.7"),
                ("forwarded", "for=\"203.0.113.7:80\";proto=https"),
            ] {
                let value = format!("{invented}, {added}");
                let source = source_of("10.0.0.1", &[(name, &value)], PROXIES);
                proptest::prop_assert!(source == "203.0.113.7" || source == "::", "{value}: {source}");
            }
        }
    }

    #[test]
    fn a_proxy_that_says_nothing_is_the_caller_and_ipv6_clothing_comes_off() {
        assert_eq!(source_of("10.0.0.1", &[], PROXIES), "10.0.0.1");
        assert_eq!(
            source_of("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")], PROXIES),
            "192.0.2.1"
        );
        assert_eq!(source_of("::ffff:192.0.2.7", &[], PROXIES), "192.0.2.7");
    }
}
