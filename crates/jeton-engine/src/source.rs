//! Source addresses: which of them count as one caller.

use std::net::IpAddr;

/// A caller's address as limits count it: a whole IPv4 address, or the /64 of an IPv6 address,
/// because anybody who has one address of a /64 has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceKey(u64);

impl From<IpAddr> for SourceKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Of 0000::/32 only ::1 is a caller's address, so the two kinds never meet.
            IpAddr::V4(address) => Self(u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

impl SourceKey {
    /// The key as a number that is never zero for a caller's address: it would be for an address
    /// of ff…/64, and those are of groups.
    pub(crate) const fn number(self) -> u64 {
        self.0.wrapping_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SourceKey {
        SourceKey::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn one_slash_64_is_one_caller_and_its_neighbour_another() {
        assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn no_callers_number_is_zero() {
        for address in ["127.0.0.1", "::1", "0.0.0.0", "2001:db8::1", "fe80::1"] {
            assert_ne!(key(address).number(), 0, "{address}");
        }
    }
}
