//! DPoP as a client: a proof for each request (RFC 9449 section 4.2), once more with the server's nonce.

use std::path::PathBuf;

use clap::Args;
use jeton_engine::clock::{Clock, Random};
use jeton_engine::jose::{Algorithm, KeyError, SigningKey, base64url, json};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::dialect::wire::Answer;
use super::failure::Failure;
use super::signing_key;

/// Whether and with which key a token is bound.
#[derive(Args, Debug)]
pub(super) struct Dpop {
    /// Have the token bound to a fresh key (DPoP), which is thrown away: good for trying
    #[arg(long, conflicts_with = "dpop_key_file")]
    dpop: bool,
    /// Have the token bound to this private key (DPoP): PEM or a JWK
    #[arg(long, value_name = "FILE")]
    dpop_key_file: Option<PathBuf>,
}

/// The key that tokens are bound to.
pub(super) struct ProofKey {
    key: SigningKey,
}

impl Dpop {
    /// The key, where there is to be one.
    pub(super) fn key(&self) -> Result<Option<ProofKey>, Failure> {
        let key = match &self.dpop_key_file {
            Some(path) => signing_key::read(path, None)?.key,
            None if self.dpop => SigningKey::generate(Algorithm::Es256).map_err(failed)?,
            None => return Ok(None),
        };
        Ok(Some(ProofKey { key }))
    }
}

impl ProofKey {
    /// What a token of this key says in `cnf` (`jkt`).
    pub(super) fn thumbprint(&self) -> String {
        self.key.verifying_key().thumbprint().unwrap_or_default()
    }

    /// The header line with a fresh proof for this request.
    pub(super) fn header(
        &self,
        method: &str,
        url: &Url,
        nonce: Option<&str>,
    ) -> Result<Zeroizing<String>, Failure> {
        let jwk = self.key.verifying_key().to_jwk().unwrap_or_default();
        let jwk = json::object(jwk.as_bytes())
            .map_err(|error| Failure::failed(format!("the key {error}")))?;
        let header = json!({
            "typ": "dpop+jwt", "alg": self.key.algorithm().name(), "jwk": jwk
        });
        // RFC 9449 section 4.2: without query and fragment.
        let mut uri = url.clone();
        uri.set_query(None);
        uri.set_fragment(None);
        let mut claims = json!({
            "jti": base64url::encode(Random::System.bytes::<16>()),
            "htm": method,
            "htu": uri.as_str(),
            "iat": Clock::System.now().seconds(),
        });
        if let (Value::Object(claims), Some(nonce)) = (&mut claims, nonce) {
            claims.insert("nonce".to_owned(), nonce.into());
        }
        let encoded = base64url::encode(header.to_string());
        let proof = self.key.sign_compact(&encoded, claims.to_string().as_bytes());
        Ok(Zeroizing::new(format!("DPoP: {}\r\n", proof.map_err(failed)?)))
    }
}

/// The nonce that a server wants in the proof (RFC 9449 section 8), where that is all it misses.
pub(super) fn wanted_nonce(answer: &Answer) -> Option<&str> {
    let said: Value = serde_json::from_slice(&answer.body).ok()?;
    if answer.status < 400 || said.get("error")? != "use_dpop_nonce" {
        return None;
    }
    let nonce = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("DPoP-Nonce");
    let mut nonces = answer.headers.iter().filter(nonce);
    // It goes into a header of ours: nothing but what section 8.1 allows.
    let allowed = |value: &str| {
        value.bytes().all(|byte| {
            byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte)
        })
    };
    let (_, value) = nonces.next()?;
    (nonces.next().is_none() && !value.is_empty() && allowed(value)).then_some(value)
}

fn failed(error: KeyError) -> Failure {
    Failure::failed(format!("the key {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, nonces: &[&str]) -> Answer {
        let headers = nonces.iter().map(|nonce| ("dpop-nonce".to_owned(), (*nonce).to_owned()));
        Answer { status, headers: headers.collect(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_nonce_is_taken_when_it_is_asked_for_and_only_then() {
        let asks = r#"{"error":"use_dpop_nonce"}"#;
        assert_eq!(wanted_nonce(&answer(400, asks, &["n-1"])), Some("n-1"));
        assert_eq!(wanted_nonce(&answer(401, asks, &["n-1"])), Some("n-1"));
        for (status, body, nonces) in [
            (200, asks, &["n-1"][..]),
            (400, r#"{"error":"invalid_dpop_proof"}"#, &["n-1"]),
            (400, "use_dpop_nonce", &["n-1"]),
            (400, asks, &[]),
            (400, asks, &["a", "b"]),
            (400, asks, &["a\"b"]),
            (400, asks, &[""]),
        ] {
            assert_eq!(wanted_nonce(&answer(status, body, nonces)), None, "{body} {nonces:?}");
        }
    }
}
