//! What a client may have: tokens at all, how much scope, for whom, for how long.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::client::ClientStatus;
use crate::clock::Time;
use crate::error::Reason;
use crate::live::LiveClient;
use crate::name::Audience;
use crate::realm::Realm;
use crate::scope::Scope;
use crate::terms::{Lifetime, Permission, Terms};

/// The life of a token for which neither dialect nor realm nor client names one that it may have.
const LIFETIME_SECONDS: u32 = 3600;

/// Whether the client, having proved who it is, may have tokens, from where it is.
///
/// # Errors
/// The reason why not.
pub(crate) fn may_have_token(client: &LiveClient, source: IpAddr) -> Result<(), Reason> {
    if client.status() == ClientStatus::Disabled {
        return Err(Reason::ClientDisabled);
    }
    let source = source.to_canonical();
    let allowed = client.networks();
    if !allowed.is_empty() && !allowed.iter().any(|network| network.contains(&source)) {
        return Err(Reason::SourceNotAllowed);
    }
    Ok(())
}

/// How much of the scope the client gets: all it may have when it asks for none, and just what it
/// asks for otherwise (RFC 6749 section 3.3). Says whether that is just what was asked for.
///
/// # Errors
/// The scope is malformed, or more than the client may have.
pub(crate) fn narrow(
    realm: &Realm,
    client: &LiveClient,
    asked: Option<&str>,
) -> Result<(Scope, bool), Reason> {
    let in_realm = |token: &str| realm.scopes.is_empty() || realm.scopes.contains(token);
    let Some(asked) = asked else {
        let granted = client.scope.only(in_realm);
        let as_asked = granted.is_empty();
        return Ok((granted, as_asked));
    };
    let asked: Scope = asked.parse().map_err(|_| Reason::ScopeMalformed)?;
    if !client.scope.covers(&asked) || !asked.tokens().all(in_realm) {
        return Err(Reason::ScopeNotGranted);
    }
    Ok((asked, true))
}

/// Who the token is for: whom was asked for, if the client may have tokens for them; otherwise the
/// client's audiences, or the realm's, or the dialect's (RFC 8707 section 2). Where the dialect leaves
/// the token's look to the realm there is always somebody, the issuer if nobody else (RFC 9068
/// sections 2.2 and 3).
///
/// # Errors
/// The client may not have tokens for one of them.
pub(crate) fn audiences<'a>(
    realm: &'a Realm,
    terms: &'a Terms,
    client: &'a LiveClient,
    asked: &[&str],
) -> Result<SmallVec<[&'a str; 2]>, Reason> {
    let allowed: SmallVec<[&str; 2]> = match client.audiences() {
        [] => {
            let named = realm.audience.as_ref().or(terms.audience.as_ref()).map(Audience::as_str);
            let issuer = || terms.token.is_none().then_some(&*realm.issuer);
            named.or_else(issuer).into_iter().collect()
        }
        own => own.iter().map(Audience::as_str).collect(),
    };
    if asked.is_empty() {
        return Ok(allowed);
    }
    let mut granted = SmallVec::new();
    for audience in asked {
        let found = allowed.iter().find(|allowed| *allowed == audience);
        let found = *found.ok_or(Reason::TargetNotAllowed)?;
        if !granted.contains(&found) {
            granted.push(found);
        }
    }
    Ok(granted)
}

/// How long the token lives: the client's word before the realm's before the dialect's. A life
/// without end needs the dialect's permission. Whoever named it, it is cut to the realm's longest.
pub(crate) fn lifetime(realm: &Realm, terms: &Terms, client: &LiveClient) -> Lifetime {
    let words = [client.lifetime(), realm.lifetime, Some(terms.lifetime)];
    let permitted = |lifetime: &Lifetime| {
        *lifetime != Lifetime::Never || terms.never_expires == Permission::Permitted
    };
    let fallback = Lifetime::seconds(LIFETIME_SECONDS);
    realm.cut(words.into_iter().flatten().find(permitted).unwrap_or(fallback))
}

/// When a token of this lifetime that is issued at `issued_at` expires.
pub(crate) fn expiry(issued_at: Time, lifetime: Lifetime) -> Option<Time> {
    match lifetime {
        Lifetime::Never => None,
        Lifetime::Seconds(seconds) => {
            Some(issued_at.plus(std::time::Duration::from_secs(u64::from(seconds.get()))))
        }
    }
}
