//! Reading a DPoP proof (RFC 9449 section 4.2): a JWT that the key in its own header has signed.
//! Nothing here depends on the request that it came with, or on the time.

use std::fmt;

use jeton_jose::jws::Unverified;
use jeton_jose::jwt::Claims;
use jeton_jose::{Algorithm, JwsError, VerifyingKey};

use crate::clock::Time;
use crate::confirmation::Thumbprint;
use crate::error::Reason;

/// The longest proof that is looked at, in bytes: one with an RSA key of 4096 bits has room.
pub const PROOF_BYTES_MAX: usize = 8 * 1024;
/// The longest identifier (`jti`) of a proof, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 256;

/// A proof whose signature is right. What it says is true of its sender, but need not be about this
/// request.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// The key that signed it.
    pub key: Thumbprint,
    /// Its identifier (`jti`).
    pub id: Box<str>,
    /// The method that it was made for (`htm`).
    pub method: Box<str>,
    /// The URL that it was made for (`htu`), as written.
    pub uri: Box<str>,
    /// When it was made, by the sender's clock (`iat`).
    pub issued_at: Time,
    /// From when on it holds (`nbf`), where it says so.
    pub not_before: Option<Time>,
    /// From when on it does not hold any more (`exp`), where it says so.
    pub expires_at: Option<Time>,
    /// The digest of the access token that it was made for (`ath`), where it names one.
    pub token_digest: Option<Box<str>>,
    /// The server's nonce (`nonce`), where it has one.
    pub nonce: Option<Box<str>>,
}

impl Proof {
    /// Reads a proof and checks its signature, which must be by one of these algorithms.
    ///
    /// # Errors
    /// What is wrong with it, in the order of RFC 9449 section 4.3.
    pub fn read(text: &str, allowed: &[Algorithm]) -> Result<Self, Reason> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(Reason::ProofMalformed);
        }
        let unverified = Unverified::parse(text).map_err(unreadable)?;
        let header = unverified.header();
        // Any other type is a JWT that somebody signed for another purpose (RFC 8725 section 3.11).
        if !header.is_type("dpop+jwt") {
            return Err(Reason::ProofType);
        }
        if !allowed.contains(&header.algorithm) {
            return Err(Reason::ProofAlgorithm);
        }
        let jwk = header.embedded_jwk.as_deref().ok_or(Reason::ProofKey)?;
        // Refuses private keys and secrets, small ones, points off their curve, and a key that is
        // not for this algorithm.
        let key =
            VerifyingKey::from_jwk_for(header.algorithm, jwk).map_err(|_| Reason::ProofKey)?;
        let verified = unverified.verify(&key).map_err(|_| Reason::ProofSignature)?;
        let thumbprint = key.thumbprint().and_then(|text| text.parse().ok());
        Self::of(&verified.payload, thumbprint.ok_or(Reason::ProofKey)?)
            .ok_or(Reason::ProofMalformed)
    }

    fn of(payload: &[u8], key: Thumbprint) -> Option<Self> {
        let claims = Claims::parse(payload).ok()?;
        let text = |name| Some(claims.text(name).ok()?.map(Box::from));
        let id: Box<str> = text("jti")??;
        if id.is_empty() || id.len() > IDENTIFIER_BYTES_MAX {
            return None;
        }
        let moment = |seconds| i64::try_from(seconds).ok().map(Time::from_seconds);
        let time = |name| Some(claims.time(name).ok()?.and_then(moment));
        Some(Self {
            key,
            id,
            method: text("htm")??,
            uri: text("htu")??,
            issued_at: time("iat")??,
            not_before: time("nbf")?,
            expires_at: time("exp")?,
            token_digest: text("ath")?,
            nonce: text("nonce")?,
        })
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Proof").field("key", &self.key).finish_non_exhaustive()
    }
}

fn unreadable(error: JwsError) -> Reason {
    match error {
        JwsError::Unsigned | JwsError::AlgorithmUnknown => Reason::ProofAlgorithm,
        _ => Reason::ProofMalformed,
    }
}
