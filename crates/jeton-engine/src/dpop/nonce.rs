//! Nonces for DPoP proofs (RFC 9449 section 8): stateless, so that every server takes those of every
//! other with the same master key.
//!
//! A nonce stands for a slot of time. It is taken within its slot and the next, so it holds for one
//! to two minutes, and within the one before for servers whose clocks are behind. It says nothing
//! of who got it: a nonce bounds when a proof was made, its `jti` how often it is used.

use std::time::Duration;

use aws_lc_rs::hmac;
use jeton_jose::base64url;
use subtle::ConstantTimeEq as _;

use crate::clock::Time;
use crate::master_key::MasterKey;
use crate::name::RealmName;

/// How long one nonce is handed out.
const SLOT: Duration = Duration::from_secs(60);
/// How much of the code is shown: 128 bits, which nobody guesses within two minutes.
const NONCE_BYTES: usize = 16;

/// What a realm's nonces are made with.
pub(crate) struct NonceKey(hmac::Key);

impl NonceKey {
    pub(crate) fn new(master_key: &MasterKey, realm: &RealmName) -> Self {
        let key = master_key.derive(&format!("DPoP nonces of {realm}"));
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }

    /// The nonce to hand out now.
    pub(crate) fn current(&self, now: Time) -> String {
        self.of(slot(now))
    }

    /// Until when a nonce is taken; `None` when it is not, or not any more.
    pub(crate) fn until(&self, nonce: &str, now: Time) -> Option<Time> {
        let current = slot(now);
        let taken = current.saturating_sub(1)..=current.saturating_add(1);
        let found = |slot: &i64| bool::from(self.of(*slot).as_bytes().ct_eq(nonce.as_bytes()));
        let slot = taken.into_iter().find(found)?;
        let begin = Time::from_seconds(slot.saturating_mul(seconds(SLOT)));
        Some(begin.plus(SLOT * 2))
    }

    fn of(&self, slot: i64) -> String {
        let code = hmac::sign(&self.0, &slot.to_be_bytes());
        let shown: Vec<u8> = code.as_ref().iter().copied().take(NONCE_BYTES).collect();
        base64url::encode(shown)
    }
}

fn slot(now: Time) -> i64 {
    now.seconds().div_euclid(seconds(SLOT))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(master: &str, realm: &str) -> NonceKey {
        NonceKey::new(&master.repeat(32).parse().unwrap(), &realm.parse().unwrap())
    }

    fn at(seconds: i64) -> Time {
        Time::from_seconds(1_700_000_040 + seconds)
    }

    #[test]
    fn a_nonce_holds_for_its_slot_and_the_next() {
        let key = key("ab", "main");
        let first = key.current(at(0));
        assert_eq!(first.len(), 22);
        assert_eq!(key.current(at(59)), first);
        assert_ne!(key.current(at(60)), first);
        for seconds in [-60, -1, 0, 59, 60, 119] {
            assert_eq!(key.until(&first, at(seconds)), Some(at(120)), "{seconds}");
        }
        for seconds in [-61, 120, 3600] {
            assert_eq!(key.until(&first, at(seconds)), None, "{seconds}");
        }
    }

    #[test]
    fn only_the_realms_own_nonces_are_taken_but_from_every_server() {
        let nonce = key("ab", "main").current(at(0));
        assert!(key("ab", "main").until(&nonce, at(0)).is_some());
        assert!(key("ab", "else").until(&nonce, at(0)).is_none());
        assert!(key("ac", "main").until(&nonce, at(0)).is_none());
        for other in ["", "x", nonce.get(1..).unwrap(), &format!("{nonce}A"), &format!(" {nonce}")]
        {
            assert!(key("ab", "main").until(other, at(0)).is_none(), "{other}");
        }
    }
}
