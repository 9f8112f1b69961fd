//! What a request counts against: its source before anything is looked at; its client and its realm
//! once it has proved whose it is and what it may have. So nobody uses up somebody else's share, and
//! who has proved nothing learns of no limit but that of its own address.

use crate::deciding::Deciding;
use crate::error::{Error, Reason, Refusal};
use crate::limit::{Allowances, LimitOf};
use crate::limiter::{Account, Refusing};
use crate::live::LiveClient;
use crate::source::SourceKey;

/// Counts a request against the realm's limits of each source address.
///
/// # Errors
/// A refusal when they are used up.
pub(crate) fn count_source(deciding: &Deciding<'_>) -> Result<(), Error> {
    let Deciding { realm, now, .. } = *deciding;
    let rates = &realm.realm().source_limits;
    if rates.is_empty() {
        return Ok(());
    }
    let taken = realm.memory.source_limits.take(source(deciding), rates, now);
    taken.map_err(|refusing| refused(deciding, refusing, None).into())
}

/// The refusal of somebody who has not proved who it is, where only those count against the limits of
/// the source: resource servers ask on behalf of everybody, and are not kept waiting by others behind
/// the same address. When the source has used up its requests, that is what it hears instead.
pub(crate) fn count_refused(deciding: &Deciding<'_>, error: Error) -> Error {
    match error {
        // We broke; that is nobody's request.
        Error::Fault(_) => error,
        Error::Refusal(_) => count_source(deciding).err().unwrap_or(error),
    }
}

/// Counts a request against the limits of its client and of the realm, and tells what the client has
/// left. What is refused here is given back to the source.
///
/// # Errors
/// A refusal when they are used up.
pub(crate) fn count_client(
    deciding: &Deciding<'_>,
    live: &LiveClient,
) -> Result<Allowances, Error> {
    let Deciding { realm: state, terms, now, .. } = *deciding;
    let realm = state.realm();
    let of_realm =
        Account { of: LimitOf::Realm, rates: &realm.realm_limits, buckets: &state.memory.buckets };
    let counted = match &realm.client_limits {
        None => Account::take_all(std::slice::from_ref(&of_realm), now).and_then(|()| {
            if terms.limits.is_empty() {
                return Ok(Allowances::default());
            }
            live.run.counters().windows().count(&terms.limits, now).map_err(|allowance| {
                of_realm.give_back();
                Refusing { wait: allowance.reset.since(now), allowance }
            })
        }),
        Some(rates) if rates.is_empty() => {
            Account::take_all(std::slice::from_ref(&of_realm), now).map(|()| Allowances::default())
        }
        Some(rates) => {
            let counters = live.run.counters();
            let buckets = counters.buckets();
            let accounts = [Account { of: LimitOf::Client, rates, buckets }, of_realm];
            let [of_client, _] = &accounts;
            Account::take_all(&accounts, now).map(|()| of_client.left(now))
        }
    };
    counted.map_err(|refusing| {
        if !realm.source_limits.is_empty() {
            state.memory.source_limits.give_back(source(deciding), &realm.source_limits);
        }
        refused(deciding, refusing, Some(live)).into()
    })
}

/// The caller's address as limits count it.
pub(crate) fn source(deciding: &Deciding<'_>) -> SourceKey {
    let Deciding { engine, caller, .. } = *deciding;
    SourceKey::new(caller.source, engine.parts.settings.source_ipv6_prefix)
}

fn refused(deciding: &Deciding<'_>, refusing: Refusing, live: Option<&LiveClient>) -> Refusal {
    let Refusing { wait, allowance } = refusing;
    deciding.realm.memory.counts.limited.count(allowance.of);
    let mut refusal = Refusal::from(match allowance.of {
        LimitOf::Client => Reason::RateLimited,
        LimitOf::Source => Reason::SourceLimited,
        LimitOf::Realm => Reason::RealmLimited,
    });
    refusal.client_id = live.map(|live| live.id.clone());
    refusal.retry_after = Some(wait);
    refusal.allowance = Some(allowance);
    refusal
}
