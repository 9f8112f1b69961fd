//! Minting: a shape and a grant become the token's string.

use std::sync::LazyLock;

use jeton_jose::json::Object;
use jeton_jose::{SigningKey, base64url};

use crate::clock::{Random, Time};
use crate::confirmation::{CNF, Confirmation};
use crate::error::Fault;
use crate::live::{LiveClient, RealmState};
use crate::name::TokenId;
use crate::random_text;
use crate::realm::Realm;
use crate::scope::Scope;
use crate::sealed::SealingKey;
use crate::terms::{ClaimValue, HeaderValue, JwtShape, StoredShape, TokenShape};

/// What a token says.
pub(crate) struct Grant<'a> {
    pub(crate) realm: &'a Realm,
    pub(crate) client: &'a LiveClient,
    pub(crate) scope: &'a Scope,
    pub(crate) audiences: &'a [&'a str],
    pub(crate) confirmation: Confirmation,
    pub(crate) id: &'a TokenId,
    pub(crate) issued_at: Time,
    pub(crate) expires_at: Option<Time>,
}

/// A new token identifier: a UUID of version 7, so that identifiers sort by time.
pub(crate) fn token_id(now: Time, random: &Random) -> TokenId {
    let milliseconds = u64::try_from(now.milliseconds()).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random.bytes()).into_uuid();
    TokenId::from(id)
}

/// Makes the token's string.
///
/// # Errors
/// A fault when the realm has no key for the shape's algorithm.
pub(crate) fn mint(
    shape: &TokenShape,
    grant: &Grant<'_>,
    state: &RealmState,
    random: &Random,
) -> Result<String, Fault> {
    match shape {
        TokenShape::Stored(shape) => Ok(random_string(shape, random)),
        TokenShape::Jwt(shape) => {
            let keys = state.memory.keys.load();
            let key = keys.signing(shape.algorithm).ok_or_else(|| Fault::NoKey {
                realm: grant.realm.name.to_string(),
                algorithm: shape.algorithm,
            })?;
            let encode = || header(shape, key.id.as_str(), &key.key);
            sign(shape, grant, &key.headers.get(&shape.header, encode), &key.key)
        }
        TokenShape::Sealed => seal(grant, &state.memory.sealing, random),
    }
}

pub(crate) fn random_string(shape: &StoredShape, random: &Random) -> String {
    random_text::with_prefix(&shape.prefix, &shape.alphabet, shape.length, random)
}

/// Signs a JWT in the compact serialization, with the key that is handed in and the [`header`] of its
/// tokens.
pub(crate) fn sign(
    shape: &JwtShape,
    grant: &Grant<'_>,
    header: &str,
    key: &SigningKey,
) -> Result<String, Fault> {
    let claims = claims(&shape.claims, grant);
    key.sign_compact(header, &claims)
        .map_err(|_| Fault::Impossible("a key that was checked when it was read refused to sign"))
}

/// Seals the claims of RFC 9068 section 2.2.
pub(crate) fn seal(
    grant: &Grant<'_>,
    sealing: &SealingKey,
    random: &Random,
) -> Result<String, Fault> {
    static CLAIMS: LazyLock<Vec<(String, ClaimValue)>> = LazyLock::new(JwtShape::rfc9068_claims);
    sealing.seal(claims(&CLAIMS, grant), random)
}

/// The JOSE header of the tokens of this shape that this key signs, encoded.
pub(crate) fn header(shape: &JwtShape, key_id: &str, key: &SigningKey) -> String {
    let mut object = Object::new(96);
    for (name, value) in &shape.header {
        match value {
            HeaderValue::Algorithm => object.string(name, key.algorithm().name()),
            HeaderValue::KeyId => object.string(name, key_id),
            HeaderValue::Constant(value) => object.value(name, value),
        }
    }
    base64url::encode(object.end())
}

fn claims(claims: &[(String, ClaimValue)], grant: &Grant<'_>) -> Vec<u8> {
    let mut object = Object::new(384);
    for (name, value) in claims {
        match value {
            ClaimValue::Issuer => object.string(name, &grant.realm.issuer),
            ClaimValue::Subject => object.string(name, grant.client.subject()),
            ClaimValue::ClientId => object.string(name, grant.client.id.as_str()),
            ClaimValue::ClientName => {
                if let Some(client_name) = grant.client.name() {
                    object.string(name, client_name);
                }
            }
            ClaimValue::Audience => object.one_or_several(name, grant.audiences),
            ClaimValue::Scope => {
                if !grant.scope.is_empty() {
                    object.string(name, &grant.scope.to_string());
                }
            }
            ClaimValue::IssuedAt | ClaimValue::NotBefore => {
                object.number(name, grant.issued_at.seconds());
            }
            ClaimValue::ExpiresAt => {
                if let Some(end) = grant.expires_at {
                    object.number(name, end.seconds());
                }
            }
            ClaimValue::TokenId => object.string(name, grant.id.as_str()),
            ClaimValue::Constant(value) => object.value(name, value),
            ClaimValue::Custom => {
                for (name, value) in grant.realm.claims.with(grant.client.claims()) {
                    object.value(name, value);
                }
            }
        }
    }
    // Whatever the dialect's claims are: a token must not lose what it is bound to on its way.
    if let Some(confirmation) = grant.confirmation.claim() {
        object.value(CNF, &confirmation);
    }
    object.end()
}
