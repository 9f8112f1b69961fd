//! Software statements (RFC 7591 section 2.3): what an issuer that the realm trusts says of a piece
//! of software takes precedence over what the client says of itself.
//!
//! A trusted issuer may sign other things too, such as the identities of workloads. A statement must
//! therefore name a `software_id`, be of no other type, and be for us when it is for anybody.

use std::sync::Arc;

use jeton_jose::JwkSet;
use jeton_jose::jws::Unverified;
use jeton_jose::jwt::Claims;
use serde_json::{Map, Value};

use super::metadata::{about, may_be_stated};
use crate::clock::Time;
use crate::deciding::Deciding;
use crate::error::{Error, Fault, Reason};
use crate::journey::{self, Stop};
use crate::realm::proving::{TrustedIssuer, TrustedKeys};
use crate::realm::registration::{Registering, Statements};

const MEMBER: &str = "software_statement";
/// The longest statement, in bytes.
const BYTES_MAX: usize = 16 * 1024;
/// Types that a statement may have, when it has any (RFC 8725 section 3.11).
const TYPES: [&str; 2] = ["JWT", "software-statement+jwt"];

/// The metadata as they are once a software statement among them has been heard.
///
/// # Errors
/// The statement is missing, invalid, or of nobody whom the realm trusts; a fault when the keys of
/// its issuer cannot be had.
pub(super) async fn heard(
    deciding: &Deciding<'_>,
    rules: &Registering,
    mut said: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let statement = said.remove(MEMBER).filter(|value| !value.is_null());
    let statement = match (rules.statements, statement) {
        (Statements::Off, _) | (Statements::Accepted, None) => return Ok(said),
        (Statements::Required, None) => {
            return Err(about(Reason::StatementInvalid, MEMBER).into());
        }
        (Statements::Accepted | Statements::Required, Some(statement)) => statement,
    };
    let text = statement.as_str().filter(|text| text.len() <= BYTES_MAX);
    let text = text.ok_or(about(Reason::StatementInvalid, MEMBER))?;
    let claims = verify(deciding, text).await?;
    for (name, value) in claims.members() {
        if may_be_stated(name) {
            said.insert(name.clone(), value.clone());
        }
    }
    // Told again as it came (section 3.2.1).
    said.insert(MEMBER.to_owned(), statement);
    Ok(said)
}

async fn verify(deciding: &Deciding<'_>, text: &str) -> Result<Claims, Error> {
    let invalid = || about(Reason::StatementInvalid, MEMBER);
    let realm = deciding.realm.realm();
    let statement = Unverified::parse(text).map_err(|_| invalid())?;
    let header = statement.header();
    let of_type =
        |token_type: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(token_type));
    if !realm.proving.profile.allows(header.algorithm)
        || !header.token_type.as_deref().is_none_or(of_type)
    {
        return Err(invalid().into());
    }
    let unverified = Claims::parse(statement.danger_unverified_payload()).map_err(|_| invalid())?;
    let issuer = unverified.text("iss").ok().flatten().ok_or_else(invalid)?;
    let trusted = realm.proving.trusted_issuers.iter().find(|trusted| trusted.issuer == issuer);
    let trusted = trusted.ok_or_else(|| about(Reason::StatementUnapproved, MEMBER))?;
    let key_id = header.key_id.clone();
    let keys = keys_of(deciding, trusted, key_id.as_deref()).await?;
    let verified = statement.verify_with(&keys).map_err(|_| invalid())?;
    let claims = Claims::parse(&verified.payload).map_err(|_| invalid())?;
    check(deciding, &claims).ok_or_else(invalid)?;
    Ok(claims)
}

/// Whether the claims are those of a statement for us that holds now.
fn check(deciding: &Deciding<'_>, claims: &Claims) -> Option<()> {
    let realm = deciding.realm.realm();
    let leeway = realm.proving.assertions.leeway;
    let moment = |seconds| Time::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    if claims.time("exp").ok()?.is_some_and(|end| deciding.now >= moment(end).plus(leeway)) {
        return None;
    }
    for name in ["nbf", "iat"] {
        let time = claims.time(name).ok()?;
        if time.is_some_and(|time| moment(time) > deciding.now.plus(leeway)) {
            return None;
        }
    }
    let audiences = claims.audiences().ok()?;
    let is_for_us = audiences.is_empty() || audiences.contains(&realm.issuer.as_str());
    claims.text("software_id").ok()?.filter(|_| is_for_us).map(|_| ())
}

async fn keys_of(
    deciding: &Deciding<'_>,
    trusted: &TrustedIssuer,
    key_id: Option<&str>,
) -> Result<Arc<JwkSet>, Error> {
    let location = match &trusted.keys {
        TrustedKeys::These(keys) => return Ok(Arc::new(keys.parse())),
        TrustedKeys::At(location) => location,
    };
    let fetching = deciding.engine.parts.key_source.key_set(location, key_id);
    let fetched = journey::stop(Stop::KeySet, fetching).await;
    fetched.map_err(|unavailable| {
        let reference = deciding.reference;
        tracing::warn!(%reference, issuer = %trusted.name, %unavailable, "a trusted issuer's keys cannot be had");
        Fault::Unreachable(format!("the keys of the trusted issuer {}", trusted.name)).into()
    })
}
