//! DPoP (RFC 9449): whether a proof shows that the sender of this very request holds a key. Every
//! check of section 4.3; what can be used once is handed back, to be spent last.
//!
//! A proof holds for `age_max` after its `iat`, to the second; `iat` may be up to `leeway` ahead of
//! our clock. A proof with a nonce of ours holds as long as the nonce does, whatever its `iat`
//! says: we know better than the sender's clock when it was made (section 11.1). Where a proof has
//! `nbf` or `exp`, it holds within them only (RFC 7519 sections 4.1.4 and 4.1.5).

pub(crate) mod nonce;
mod proof;
mod target;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_jose::base64url;

use crate::clock::Time;
use crate::confirmation::{Confirmation, Thumbprint};
use crate::deciding::Deciding;
use crate::engine::Engine;
use crate::error::{Error, Kind, Reason};
use crate::live::RealmState;
use crate::realm::proving::{Nonces, Profile};
use crate::request::PresentedProof;
use crate::spent::ToSpend;

pub use crate::dpop::proof::{IDENTIFIER_BYTES_MAX, PROOF_BYTES_MAX, Proof};

/// How long a proof is remembered beyond the moment from which on it is refused anyway: an age that
/// is made greater must not bring back what was used just before.
const REMEMBERED_LONGER: Duration = Duration::from_secs(60);

/// How far ahead `iat` of a JWT may be at most, whatever else is known of its age (FAPI 2.0 Security
/// Profile section 5.3.2.1).
const FAPI2_AHEAD_MAX: Duration = Duration::from_secs(60);

/// What a proof has shown.
pub(crate) struct Proven {
    /// The key that the sender holds.
    pub(crate) key: Thumbprint,
    /// The proof itself, which must not be used again. Not spent yet.
    pub(crate) spend: ToSpend,
}

/// Checks a proof, and that it is for `access_token` where one comes with it.
///
/// # Errors
/// The first check that it does not pass.
pub(crate) fn prove(
    deciding: &Deciding<'_>,
    presented: PresentedProof<'_>,
    access_token: Option<&[u8]>,
) -> Result<Proven, Reason> {
    let profile = deciding.realm.realm().proving.profile;
    let proof = Proof::read(presented.proof, profile.algorithms())?;
    if *proof.method != *presented.method {
        return Err(Reason::ProofMethod);
    }
    if !target::is_same(&proof.uri, presented.uri) {
        return Err(Reason::ProofTarget);
    }
    let until = holds_until(deciding, &proof)?;
    if let Some(token) = access_token
        && proof.token_digest.as_deref() != Some(digest_of(token).as_str())
    {
        return Err(Reason::ProofToken);
    }
    let owner = proof.key.to_string();
    let spend = ToSpend::new("proof", &owner, &proof.id, until, Reason::ProofReplayed);
    Ok(Proven { key: proof.key, spend })
}

/// From when on the proof would be refused anyway, if it holds now.
fn holds_until(deciding: &Deciding<'_>, proof: &Proof) -> Result<Time, Reason> {
    let Deciding { realm, now, .. } = *deciding;
    let proving = &realm.realm().proving;
    let rules = &proving.dpop;
    let is_over = proof.expires_at.is_some_and(|end| now >= end.plus(rules.leeway));
    if is_over || proof.not_before.is_some_and(|beginning| beginning > now.plus(rules.leeway)) {
        return Err(Reason::ProofTime);
    }
    match (&proof.nonce, rules.nonces) {
        (Some(_), _)
            if proving.profile == Profile::Fapi2 && proof.issued_at > now.plus(FAPI2_AHEAD_MAX) =>
        {
            Err(Reason::ProofTime)
        }
        (Some(nonce), _) => realm.memory.nonces.until(nonce, now).ok_or(Reason::NonceStale),
        (None, Nonces::Required) => Err(Reason::NonceMissing),
        (None, Nonces::NotAsked) => {
            let window = now.minus(rules.age_max)..=now.plus(rules.leeway);
            if !window.contains(&proof.issued_at) {
                return Err(Reason::ProofTime);
            }
            Ok(proof.issued_at.plus(rules.age_max).plus(REMEMBERED_LONGER))
        }
    }
}

/// What `ath` must be (section 4.2).
fn digest_of(token: &[u8]) -> String {
    base64url::encode(digest(&SHA256, token))
}

impl Engine {
    /// The nonce that an answer carries (sections 8 and 9): every refusal for want of one, and
    /// where the realm asks for them whatever went well with a proof, so that its sender always has
    /// a fresh one.
    pub fn nonce_with(
        &self,
        realm: &RealmState,
        outcome: Result<&Confirmation, &Error>,
    ) -> Option<String> {
        let carries = match outcome {
            Ok(confirmation) => {
                let asked = realm.realm().proving.dpop.nonces == Nonces::Required;
                asked && confirmation.key.is_some()
            }
            Err(error) => error.kind() == Kind::UseDpopNonce,
        };
        carries.then(|| realm.memory.nonces.current(self.parts.clock.now()))
    }
}
