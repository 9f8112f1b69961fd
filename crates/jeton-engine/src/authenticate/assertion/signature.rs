//! Whether one of somebody's keys signed an assertion. The key decides with which algorithm, and it
//! is used with that one only (RFC 8725 section 3.1).

use std::sync::{Arc, LazyLock};

use jeton_jose::jws::KEYS_TRIED_MAX;
use jeton_jose::{Algorithm, JwkSet, SigningKey, VerifyingKey};

use super::Presented;
use crate::deciding::Deciding;
use crate::error::Reason;
use crate::journey::{self, Stop};
use crate::key_source::KeyLocation;

/// Checks the signature with the key that the assertion names, or with those of its algorithm, if
/// they are few. `registered` is the one algorithm that the client has named for itself, if it has.
pub(super) fn check(
    deciding: &Deciding<'_>,
    presented: &Presented<'_>,
    keys: &JwkSet,
    registered: Option<Algorithm>,
) -> Result<(), Reason> {
    let header = presented.jws.header();
    let key_id = header.key_id.as_deref();
    // RFC 7517 section 4.5: an identifier is for one key.
    let most = if key_id.is_some() { 1 } else { KEYS_TRIED_MAX };
    let knows_rs256 = deciding.realm.realm().proving.profile.allows(Algorithm::Rs256)
        && registered != Some(Algorithm::Ps256);
    let found: Vec<&VerifyingKey> = keys
        .find(key_id, header.algorithm)
        .filter(|key| !(knows_rs256 && is_for_rs256(keys, key)))
        .take(most + 1)
        .collect();
    if found.is_empty() || found.len() > most {
        check_in_vain(presented);
        return Err(Reason::AssertionKeyUnknown);
    }
    match found.iter().any(|key| presented.jws.check(key).is_ok()) {
        true => Ok(()),
        false => Err(Reason::AssertionSignature),
    }
}

/// Whether a key for PS256 is one for RS256 too: an RSA key that does not say its algorithm stands
/// in a set once for each. Where both are accepted it is for RS256, as it is with most who do not
/// say; where RS256 is not, or its owner has named PS256, it can only be for PS256.
fn is_for_rs256(keys: &JwkSet, key: &VerifyingKey) -> bool {
    key.algorithm() == Algorithm::Ps256
        && keys
            .find(key.key_id(), Algorithm::Rs256)
            .any(|other| other.thumbprint() == key.thumbprint())
}

/// The keys at this place, with the one that the assertion names if it is there.
pub(super) async fn fetch(
    deciding: &Deciding<'_>,
    location: &KeyLocation,
    presented: &Presented<'_>,
) -> Result<Arc<JwkSet>, Reason> {
    let wanted = presented.jws.header().key_id.as_deref();
    let source = &deciding.engine.parts.key_source;
    let keys = journey::stop(Stop::KeySet, source.key_set(location, wanted)).await;
    keys.map_err(|unavailable| {
        let realm = &deciding.realm.realm().name;
        let reference = deciding.reference;
        tracing::info!(%reference, %realm, ?location, %unavailable, "no keys to check an assertion with");
        Reason::KeysUnavailable
    })
}

/// Checks the signature with a key that is nobody's and forgets what came of it: whether there is
/// such a client, and whether it has such a key, must not show in how long the refusal takes.
pub(super) fn check_in_vain(presented: &Presented<'_>) {
    for key in DECOYS.find(None, presented.jws.header().algorithm) {
        let _ = std::hint::black_box(presented.jws.check(key));
    }
}

/// One key for each algorithm that is accepted. Of RSA the one of RFC 7515 appendix A.2, for making
/// one takes long; its other half is known to everybody, which harms nothing here.
static DECOYS: LazyLock<JwkSet> = LazyLock::new(|| {
    const RSA: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    let made = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Hs256];
    let made = made.into_iter().filter_map(|algorithm| SigningKey::generate(algorithm).ok());
    let rsa = [Algorithm::Rs256, Algorithm::Ps256];
    let rsa = rsa.into_iter().filter_map(|rsa| VerifyingKey::from_jwk_for(rsa, RSA).ok());
    JwkSet::new(made.map(|key| key.verifying_key()).chain(rsa).collect())
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::proving::Profile;

    #[test]
    fn there_is_one_decoy_for_each_algorithm_that_is_accepted() {
        let accepted = Profile::Standard.algorithms().iter().chain([&Algorithm::Hs256]);
        for algorithm in accepted {
            assert_eq!(DECOYS.find(None, *algorithm).count(), 1, "{algorithm}");
        }
    }
}
