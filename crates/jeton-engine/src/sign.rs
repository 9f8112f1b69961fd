//! Signed statements: JWTs that a realm says something with and that are no access tokens.

use jeton_jose::Algorithm;
use jeton_jose::jws::encode_header;

use crate::engine::Engine;
use crate::error::Fault;
use crate::live::RealmState;
use crate::realm::proving::Profile;
use crate::terms::TokenShape;

impl RealmState {
    /// The algorithm that the realm signs statements with: that of its tokens, if others can check
    /// it, or else that of any key which they can. `None`: it has no such key. In profile `fapi2` only
    /// what that allows (FAPI 2.0 Security Profile section 5.4.1), whichever keys are there.
    pub fn statement_algorithm(&self) -> Option<Algorithm> {
        let preferred = match &self.realm.token {
            TokenShape::Jwt(shape) => Some(shape.algorithm),
            TokenShape::Stored(_) | TokenShape::Sealed => None,
        };
        let profile = self.realm.proving.profile;
        let allowed = |algorithm| profile == Profile::Standard || profile.allows(algorithm);
        self.memory.keys.load().public_algorithm(preferred, allowed)
    }
}

impl Engine {
    /// Signs claims as a JWT of this type, with a key that others can check; `None` when the realm
    /// has none. The type must not be one that access tokens have: then nobody can use the
    /// statement as one (RFC 8725 section 3.11).
    ///
    /// # Errors
    /// A fault when the key refuses to sign.
    pub fn sign_jwt(
        &self,
        realm: &RealmState,
        token_type: &str,
        claims: &[u8],
    ) -> Result<Option<String>, Fault> {
        let Some(algorithm) = realm.statement_algorithm() else { return Ok(None) };
        let keys = realm.memory.keys.load();
        let Some(key) = keys.signing(algorithm) else { return Ok(None) };
        let header = encode_header(&key.key, Some(key.id.as_str()), Some(token_type));
        let signed = key.key.sign_compact(&header, claims);
        signed.map(Some).map_err(|_| {
            Fault::Impossible("a key that was checked when it was read refused to sign")
        })
    }
}
