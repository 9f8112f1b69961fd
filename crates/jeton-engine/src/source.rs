//! Source addresses: which of them count as one caller, and which as neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A caller's address as limits count it: a whole IPv4 address, or the network of an IPv6 address,
/// because anybody who has one address of a /64 has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey(u64);

/// Where a caller is counted: its own network, and for IPv6 the /48 around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Network {
    Own(SourceKey),
    Site(u64),
}

impl Network {
    /// How many callers' share a network has. Sites get a /48 (RFC 6177 section 2) and have 65 536
    /// times a /64 to invent callers from; behind others are a few customers.
    pub(crate) const SITE_SHARE: i64 = 16;

    pub(crate) const fn share(self) -> i64 {
        match self {
            Self::Own(_) => 1,
            Self::Site(_) => Self::SITE_SHARE,
        }
    }
}

impl SourceKey {
    /// The prefixes of IPv6 that may count as one caller, in bits.
    pub(crate) const SITE_BITS: u8 = 48;
    const OWN_BITS_MAX: u8 = 64;

    /// The caller at this address, where `ipv6_prefix` bits (48 to 64) tell IPv6 callers apart.
    pub(crate) fn new(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            // Of 0000::/32 only ::1 is a caller's address, so the two kinds never meet.
            IpAddr::V4(address) => Self(u64::from(address.to_bits())),
            IpAddr::V6(address) => match translated(address) {
                Some(address) => Self(u64::from(address.to_bits())),
                None => {
                    let bits = ipv6_prefix.clamp(Self::SITE_BITS, Self::OWN_BITS_MAX);
                    let network = (address.to_bits() >> 64) as u64;
                    Self(network & (u64::MAX << (Self::OWN_BITS_MAX - bits)))
                }
            },
        }
    }

    /// Where this caller is counted.
    pub(crate) fn networks(self) -> impl Iterator<Item = Network> {
        let is_ipv6 = self.0 > u64::from(u32::MAX);
        let site = Network::Site(self.0 >> (Self::OWN_BITS_MAX - Self::SITE_BITS));
        std::iter::once(Network::Own(self)).chain(is_ipv6.then_some(site))
    }

    /// The key as a number that is never zero for a caller's address: it would be for an address
    /// of ff…/64, and those are of groups.
    pub(crate) const fn number(self) -> u64 {
        self.0.wrapping_add(1)
    }
}

/// The IPv4 caller behind an address that a translator made (RFC 6052 section 2.1): otherwise all IPv4
/// callers of a server that only has IPv6 would be one.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const WELL_KNOWN: u128 = 0x0064_ff9b << 96;
    let rest = address.to_bits() ^ WELL_KNOWN;
    u32::try_from(rest).ok().map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SourceKey {
        SourceKey::new(text.parse::<IpAddr>().unwrap(), 64)
    }

    #[test]
    fn one_slash_64_is_one_caller_and_its_neighbour_another() {
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn a_shorter_prefix_makes_one_caller_of_more() {
        let of = |text: &str, bits| SourceKey::new(text.parse::<IpAddr>().unwrap(), bits);
        assert_eq!(of("2001:db8:0:1::1", 56), of("2001:db8:0:ff::1", 56));
        assert_ne!(of("2001:db8:0:1::1", 56), of("2001:db8:0:100::1", 56));
        assert_ne!(of("192.0.2.1", 48), of("192.0.2.2", 48), "IPv4 has no such prefix");
    }

    #[test]
    fn ipv6_callers_are_counted_in_their_site_as_well() {
        let site = |text: &str| key(text).networks().nth(1);
        assert_eq!(site("2001:db8:0:1::1"), site("2001:db8:0:2::1"));
        assert_ne!(site("2001:db8:0:1::1"), site("2001:db8:1:1::1"));
        assert!(site("2001:db8::1").is_some());
        for alone in ["192.0.2.1", "255.255.255.255", "::ffff:192.0.2.1", "::1", "64:ff9b::1.2.3.4"]
        {
            assert_eq!(site(alone), None, "{alone}");
        }
    }

    #[test]
    fn behind_a_translator_are_many_callers() {
        assert_eq!(key("64:ff9b::192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("64:ff9b::192.0.2.1"), key("64:ff9b::192.0.2.2"));
        assert_ne!(key("64:ff9b:0:1::192.0.2.1"), key("192.0.2.1"), "not the well-known prefix");
    }

    #[test]
    fn no_callers_number_is_zero() {
        for address in ["127.0.0.1", "::1", "0.0.0.0", "2001:db8::1", "fe80::1"] {
            assert_ne!(key(address).number(), 0, "{address}");
        }
    }
}
