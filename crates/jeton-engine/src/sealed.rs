//! Sealed tokens: a claims set that only this realm can read. No row is kept of one.
//!
//! `jse_`, then base64url of a random salt, the encrypted claims and the tag, then six characters
//! of checksum. Each token has a key of its own, derived from the realm's key and 192 random bits,
//! so that no number of tokens wears the realm's key out. The checksum lets scanners for leaked
//! tokens tell one from noise without any key; it protects nothing.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use jeton_jose::base64url;

use crate::clock::Random;
use crate::error::Fault;
use crate::master_key::MasterKey;
use crate::name::RealmName;
use crate::random_text::ALPHANUMERIC;

/// What every sealed token starts with.
pub(crate) const PREFIX: &str = "jse_";
const SALT_BYTES: usize = 24;
const CHECKSUM_LENGTH: usize = 6;

/// The key of a realm's sealed tokens.
pub(crate) struct SealingKey(hmac::Key);

impl SealingKey {
    pub(crate) fn new(master_key: &MasterKey, realm: &RealmName) -> Self {
        let key = master_key.derive(&format!("sealed tokens of {realm}"));
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }

    /// Seals a claims set.
    pub(crate) fn seal(&self, mut claims: Vec<u8>, random: &Random) -> Result<String, Fault> {
        let salt: [u8; SALT_BYTES] = random.bytes();
        let refused = |_| Fault::Impossible("AES-256-GCM refused to seal a token");
        let tag = self
            .token_key(&salt)?
            .seal_in_place_separate_tag(nonce(), Aad::from(PREFIX), &mut claims)
            .map_err(refused)?;
        let sealed = [&salt[..], &claims, tag.as_ref()].concat();
        let length = PREFIX.len() + base64url::encoded_len(sealed.len()) + CHECKSUM_LENGTH;
        let mut token = Vec::with_capacity(length);
        token.extend_from_slice(PREFIX.as_bytes());
        base64url::encode_into(&mut token, &sealed);
        let checksum = checksum(&token);
        token.extend_from_slice(&checksum);
        String::from_utf8(token).map_err(|_| Fault::Impossible("base64url is text"))
    }

    /// The claims set of a token that this realm sealed; `None` for anything else.
    pub(crate) fn open(&self, token: &str) -> Option<Vec<u8>> {
        let (body, given) = token.split_at_checked(token.len().checked_sub(CHECKSUM_LENGTH)?)?;
        if checksum(body.as_bytes()) != given.as_bytes() {
            return None;
        }
        let sealed = base64url::decode(body.strip_prefix(PREFIX)?).ok()?;
        let (salt, text) = sealed.split_first_chunk::<SALT_BYTES>()?;
        let mut text = text.to_vec();
        let key = self.token_key(salt).ok()?;
        let length = key.open_in_place(nonce(), Aad::from(PREFIX), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }

    fn token_key(&self, salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, Fault> {
        let derived = hmac::sign(&self.0, salt);
        let key = UnboundKey::new(&AES_256_GCM, derived.as_ref())
            .map_err(|_| Fault::Impossible("an HMAC-SHA-256 is a key of AES-256"))?;
        Ok(LessSafeKey::new(key))
    }
}

/// Constant, because each key seals one token only.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// CRC-32 as six characters of base 62.
fn checksum(text: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text) as usize;
    let digits = ALPHANUMERIC.as_bytes();
    [(); CHECKSUM_LENGTH].map(|()| {
        let digit = digits.get(rest % digits.len()).copied().unwrap_or(b'0');
        rest /= digits.len();
        digit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(realm: &str) -> SealingKey {
        let master = "ab".repeat(32).parse().unwrap();
        SealingKey::new(&master, &realm.parse().unwrap())
    }

    #[test]
    fn a_token_opens_in_its_realm_only() {
        let token = key("main").seal(b"claims".to_vec(), &Random::seeded(1)).unwrap();
        assert!(token.starts_with(PREFIX));
        assert_eq!(key("main").open(&token).as_deref(), Some(&b"claims"[..]));
        assert_eq!(key("else").open(&token), None);
    }

    #[test]
    fn not_one_altered_bit_is_accepted_even_under_a_right_checksum() {
        let key = key("main");
        let token = key.seal(b"{\"sub\":\"x\"}".to_vec(), &Random::seeded(1)).unwrap();
        let body = token.split_at(token.len() - CHECKSUM_LENGTH).0;
        for index in 0..token.len() {
            for bit in 0..7 {
                let mut altered = token.clone().into_bytes();
                altered[index] ^= 1 << bit;
                let altered = String::from_utf8(altered).unwrap();
                assert_eq!(key.open(&altered), None, "byte {index} bit {bit}");
                if index < body.len() {
                    let altered_body = altered.split_at(body.len()).0;
                    let sum = checksum(altered_body.as_bytes());
                    let summed = altered_body.to_owned() + std::str::from_utf8(&sum).unwrap();
                    assert_eq!(key.open(&summed), None, "byte {index} bit {bit}, summed anew");
                }
            }
        }
        for length in 0..token.len() {
            assert_eq!(key.open(token.split_at(length).0), None, "cut to {length}");
        }
    }

    #[test]
    fn two_tokens_never_look_alike() {
        let random = Random::seeded(1);
        let one = key("main").seal(b"claims".to_vec(), &random).unwrap();
        let two = key("main").seal(b"claims".to_vec(), &random).unwrap();
        assert_ne!(one, two);
    }
}
