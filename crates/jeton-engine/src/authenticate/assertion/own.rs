//! What an assertion that a client made itself must say (RFC 7523 section 3): that it is this
//! client, for us alone, now, and never said before.

use std::sync::atomic::Ordering;

use super::Presented;
use super::times::{self, Bounds};
use crate::deciding::Deciding;
use crate::error::Reason;
use crate::live::LiveClient;
use crate::realm::Realm;
use crate::realm::proving::Profile;
use crate::spent::ToSpend;

/// Checks the claims of an assertion whose signature is the client's. What must be spent of it.
pub(super) fn check(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    presented: &Presented<'_>,
) -> Result<ToSpend, Reason> {
    let realm = deciding.realm.realm();
    let id = live.id.as_str();
    if presented.text("iss") != Some(id) {
        return Err(Reason::AssertionIssuer);
    }
    if presented.text("sub") != Some(id) {
        return Err(Reason::AssertionSubject);
    }
    // RFC 7521 section 4.2: a client_id beside the assertion must be the same.
    if presented.client_id.is_some_and(|beside| beside != id) {
        return Err(Reason::AssertionOfAnother);
    }
    let audience = audience(realm, presented)?;
    let bounds = Bounds {
        lifetime_max: realm.proving.assertions.lifetime_max,
        leeway: realm.proving.assertion_leeway(),
    };
    let until = times::check(&presented.claims, deciding.now, bounds)?;
    let identifier = presented.identifier()?.ok_or(Reason::AssertionIdentifier)?;
    if let Audience::Also(audience) = audience {
        live.run.counters().also_for.fetch_add(1, Ordering::Relaxed);
        deciding.realm.memory.counts.also_for.one();
        let name = &realm.name;
        tracing::debug!(realm = %name, client_id = id, audience, "an assertion for another audience than the issuer was accepted");
    }
    Ok(ToSpend::new("client assertion", id, identifier, until, Reason::AssertionReplayed))
}

/// For whom an assertion is that may be accepted.
enum Audience<'a> {
    /// For the issuer.
    Issuer,
    /// For something else that the realm accepts while old clients move.
    Also(&'a str),
}

/// For whom the assertion is: us alone. As one text; an array of exactly one is the same, except in
/// profile `fapi2` (FAPI 2.0 Security Profile section 5.3.2.1), which accepts the issuer only.
fn audience<'a>(realm: &'a Realm, presented: &Presented<'_>) -> Result<Audience<'a>, Reason> {
    let fapi2 = realm.proving.profile == Profile::Fapi2;
    let audiences = presented.claims.audiences().map_err(|_| Reason::AssertionAudience)?;
    let &[audience] = audiences.as_slice() else { return Err(Reason::AssertionAudience) };
    if fapi2 && presented.text("aud").is_none() {
        return Err(Reason::AssertionAudience);
    }
    if audience == realm.issuer {
        return Ok(Audience::Issuer);
    }
    let also = realm.proving.assertions.also_for.iter().find(|also| *also == audience);
    match also {
        Some(also) if !fapi2 => Ok(Audience::Also(also)),
        _ => Err(Reason::AssertionAudience),
    }
}
