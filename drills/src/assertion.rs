//! Client assertions (RFC 7523), signed with Ed25519 by a key that a seed decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::chance::Chance;

/// Signs the assertions of one client.
#[derive(Debug)]
pub(crate) struct Signer {
    key: Ed25519KeyPair,
}

/// What an assertion says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims<'a> {
    /// The client, issuer and subject alike.
    pub(crate) client: &'a str,
    /// The realm's issuer.
    pub(crate) audience: &'a str,
    /// What makes it good once only.
    pub(crate) id: u64,
    /// For how long.
    pub(crate) lifetime: Duration,
}

impl Signer {
    /// A new key.
    pub(crate) fn new(chance: &mut Chance) -> Result<Self> {
        let mut seed = [0; 32];
        for eight in seed.chunks_mut(8) {
            eight.copy_from_slice(&chance.number().to_le_bytes());
        }
        let key = Ed25519KeyPair::from_seed_unchecked(&seed);
        Ok(Self { key: key.map_err(|error| anyhow!("the key is none: {error}"))? })
    }

    /// The public half, as a JWK set.
    pub(crate) fn key_set(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": x }] })
    }

    /// An assertion of now.
    pub(crate) fn assertion(&self, claims: Claims<'_>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let said = json!({
            "iss": claims.client,
            "sub": claims.client,
            "aud": claims.audience,
            "jti": format!("drill-{:016x}", claims.id),
            "iat": now.as_secs(),
            "exp": (now + claims.lifetime).as_secs(),
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(said.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}
