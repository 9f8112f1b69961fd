//! The master key: encrypts signing keys and the secrets of `client_secret_jwt` at rest
//! (AES-256-GCM, bound to realm and identifiers).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize as _, Zeroizing};

use crate::clock::Random;
use crate::error::Fault;
use crate::name::{ClientId, KeyId, NameError, RealmName, SecretId};

/// 256 bits that open the signing keys and sealed secrets in the store.
#[derive(Clone)]
pub struct MasterKey(Arc<Opened>);

struct Opened {
    sealing: LessSafeKey,
    deriving: hmac::Key,
}

impl MasterKey {
    /// A new master key as the text to keep in a file or an environment variable: 43 characters of base64url.
    pub fn generate(random: &Random) -> Zeroizing<String> {
        let mut bytes = random.bytes::<32>();
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
        bytes.zeroize();
        text
    }

    /// Encrypts `plain` for this realm and key.
    ///
    /// # Errors
    /// A fault when the cryptographic library refuses, which it has no reason to.
    pub fn seal(
        &self,
        realm: &RealmName,
        key: &KeyId,
        plain: &[u8],
        random: &Random,
    ) -> Result<Vec<u8>, Fault> {
        self.encrypt(key_of(realm, key), plain, random)
    }

    /// Decrypts what [`MasterKey::seal`] made for this realm and key.
    ///
    /// # Errors
    /// A fault when it was sealed under another master key, for another key, or was altered.
    pub fn open(
        &self,
        realm: &RealmName,
        key: &KeyId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.decrypt(key_of(realm, key), sealed).ok_or_else(|| {
            Fault::Store(format!(
                "key {key} of realm {realm} does not open under this master key: it was made under another one, or altered"
            ))
        })
    }

    /// Encrypts a client's secret for this realm, client and secret.
    pub(crate) fn seal_secret(
        &self,
        (realm, client, secret): (&RealmName, &ClientId, &SecretId),
        plain: &[u8],
        random: &Random,
    ) -> Result<Vec<u8>, Fault> {
        self.encrypt(secret_of(realm, client, secret), plain, random)
    }

    /// Decrypts a client's secret that was encrypted for this realm, client and secret.
    ///
    /// # Errors
    /// A fault when it was encrypted under another master key, for another secret, or was altered.
    pub fn open_secret(
        &self,
        realm: &RealmName,
        client: &ClientId,
        secret: &SecretId,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.decrypt(secret_of(realm, client, secret), sealed).ok_or_else(|| {
            Fault::Store(format!(
                "secret {secret} of client {client} of realm {realm} does not open under this master key: it was made under another one, or altered"
            ))
        })
    }

    fn encrypt(&self, bound_to: Vec<u8>, plain: &[u8], random: &Random) -> Result<Vec<u8>, Fault> {
        let nonce: [u8; NONCE_LEN] = random.bytes();
        let mut sealed = nonce.to_vec();
        let mut text = plain.to_vec();
        let tag = self
            .0
            .sealing
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound_to),
                &mut text,
            )
            .map_err(|_| {
                Fault::Impossible("AES-256-GCM refused to encrypt under the master key")
            })?;
        sealed.extend_from_slice(&text);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn decrypt(&self, bound_to: Vec<u8>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.sealing.open_in_place(nonce, Aad::from(bound_to), &mut text);
        let length = opened.ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// A key of its own for another purpose, the same on every node that has this master key.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let signed = hmac::sign(&self.0.deriving, format!("jeton derive {purpose}").as_bytes());
        key.copy_from_slice(signed.as_ref());
        key
    }
}

/// What a sealed key is bound to. Names have no `/`, so two pairs never read alike.
fn key_of(realm: &RealmName, key: &KeyId) -> Vec<u8> {
    format!("jeton key {realm}/{key}").into_bytes()
}

/// What a sealed secret is bound to. The client's identifier, which may be any text, comes last.
fn secret_of(realm: &RealmName, client: &ClientId, secret: &SecretId) -> Vec<u8> {
    format!("jeton secret {realm}/{secret}/{client}").into_bytes()
}

impl FromStr for MasterKey {
    type Err = NameError;

    /// Reads 43 characters of base64url, or 64 of hex.
    fn from_str(text: &str) -> Result<Self, NameError> {
        const SHAPE: NameError =
            NameError("must be 32 bytes as 43 characters of base64url or 64 of hex");
        let mut bytes = Zeroizing::new([0u8; 32]);
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                let pair = std::str::from_utf8(pair).map_err(|_| SHAPE)?;
                *to = u8::from_str_radix(pair, 16).map_err(|_| SHAPE)?;
            }
        } else {
            let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| SHAPE)?);
            *bytes = decoded.as_slice().try_into().map_err(|_| SHAPE)?;
        }
        let sealing = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(|_| SHAPE)?;
        let deriving = hmac::Key::new(hmac::HMAC_SHA256, &*bytes);
        Ok(Self(Arc::new(Opened { sealing: LessSafeKey::new(sealing), deriving })))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_for_its_realm_and_key_only() {
        let random = Random::seeded(1);
        let master: MasterKey = MasterKey::generate(&random).parse().unwrap();
        let other: MasterKey = MasterKey::generate(&random).parse().unwrap();
        let (realm, key) = ("main".parse().unwrap(), "k1".parse().unwrap());
        let sealed = master.seal(&realm, &key, b"private", &random).unwrap();

        assert_eq!(master.open(&realm, &key, &sealed).unwrap().as_slice(), b"private");
        assert!(other.open(&realm, &key, &sealed).is_err());
        assert!(master.open(&"else".parse().unwrap(), &key, &sealed).is_err());
        assert!(master.open(&realm, &"k2".parse().unwrap(), &sealed).is_err());
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(master.open(&realm, &key, &altered).is_err(), "byte {index} altered");
        }
        assert!(master.open(&realm, &key, &[]).is_err());
    }

    #[test]
    fn texts_of_another_length_are_no_master_keys() {
        for text in ["", "abc", &"g".repeat(64), &"+a".repeat(32), &"A".repeat(42), &"A".repeat(44)]
        {
            assert!(text.parse::<MasterKey>().is_err(), "{text}");
        }
        assert!("ab".repeat(32).parse::<MasterKey>().is_ok());
    }
}
