//! Which addresses may be reached: those of the public Internet, and the networks that an operator names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A network by its first address and the bits of its prefix.
type V4 = (Ipv4Addr, u32);
type V6 = (Ipv6Addr, u32);

/// Not public, by the IANA registry of special-purpose addresses (RFC 6890) and those it points to.
const PRIVATE_V4: &[V4] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by carriers (RFC 6598); some clouds' metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the platform's own in one large cloud
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; most clouds' metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// All that is public in IPv6 is in here …
const GLOBAL_V6: V6 = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// … but not in these.
const PRIVATE_V6: &[V6] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, ORCHID, benchmarking
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: hides an IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation (RFC 9637)
];
/// NAT64's own prefix (RFC 6052): the last four bytes are an IPv4 address. Networks that speak IPv6
/// alone reach the rest of the world by it, so it is as public as the address inside.
const NAT64: V6 = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whom we may reach.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    allow: Vec<IpNet>,
}

impl Reachable {
    /// The public Internet and these networks.
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether this address may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allow.iter().any(|network| network.contains(&address))
    }
}

/// Whether an address is one of the public Internet: nothing of this machine, its networks, or of a
/// kind that nobody there has.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            let inner = Ipv4Addr::from(u128::from(address) as u32);
            let is_global = in_v6(address, GLOBAL_V6)
                && !PRIVATE_V6.iter().any(|network| in_v6(address, *network));
            is_global || in_v6(address, NAT64) && is_public_v4(inner)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |(network, bits): &V4| {
        let differing = u32::from(address) ^ u32::from(*network);
        differing.leading_zeros() >= *bits
    };
    !PRIVATE_V4.iter().any(within)
}

fn in_v6(address: Ipv6Addr, (network, bits): V6) -> bool {
    (u128::from(address) ^ u128::from(network)).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "2001:200::1",
            "2a00::1",
            "3ffe::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(public(text), "{text}");
        }
    }

    #[test]
    fn addresses_of_no_public_place_are_not() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!public(text), "{text}");
            assert!(!public(&format!("::ffff:{text}")), "mapped {text}");
            assert!(!public(&format!("64:ff9b::{text}")), "NAT64 {text}");
        }
        for text in [
            "::",
            "::1",
            "::7f00:1",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:0:4136:e378::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "64:ff9b:1::1",
            "100::1",
            "5f00::1",
            "4000::1",
            "1::1",
        ] {
            assert!(!public(text), "{text}");
        }
    }

    #[test]
    fn a_network_that_is_allowed_may_be_reached_and_its_neighbours_may_not() {
        let reachable =
            Reachable::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for (text, permitted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd00:1::7", true),
            ("fd00:2::7", false),
            ("64:ff9b::10.1.2.3", false),
            ("127.0.0.1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(reachable.permits(text.parse().unwrap()), permitted, "{text}");
        }
    }
}
