//! What is told of realms: what was decided in them, who may have tokens, and what signs.

use std::collections::BTreeMap;
use std::fmt;

use jeton_engine::key::KeyStatus;
use jeton_engine::measure::Closed as _;
use jeton_engine::readings::{Endings, KeyReadings, Readings, RealmReadings};

use super::catalogue;
use super::page::Page;

/// Writes down what was decided.
pub(super) fn write_decided(readings: &Readings, page: &mut Page<'_>) -> fmt::Result {
    write_decisions(&readings.realms, page)?;
    page.number(&catalogue::GUESS_WAITS, readings.guess_waits)?;
    page.number(&catalogue::GUESSES_WAITING, readings.guesses_waiting)?;
    page.number(&catalogue::HASHES, readings.slow_hashes.done)?;
    page.number(&catalogue::HASHES_RUNNING, readings.slow_hashes.running)?;
    page.number(&catalogue::HASHES_WAITING, readings.slow_hashes.waiting)
}

/// Writes down who may have tokens, and what signs them.
pub(super) fn write_held(readings: &Readings, page: &mut Page<'_>) -> fmt::Result {
    write_clients(&readings.realms, page)?;
    write_keys(&readings.realms, page)
}

fn write_decisions(realms: &[RealmReadings], page: &mut Page<'_>) -> fmt::Result {
    page.numbers(
        &catalogue::ISSUED,
        each(realms, |realm| &realm.issued).map(|(realm, minted, count)| {
            let algorithm = minted.algorithm().map_or("", |algorithm| algorithm.name());
            ([realm, minted.name(), algorithm], count)
        }),
    )?;
    let refused = each(realms, |realm| &realm.refused);
    let refused = refused.map(|(realm, reason, count)| ([realm, reason.code()], count));
    page.numbers(&catalogue::REFUSALS, refused)?;
    let failed = each(realms, |realm| &realm.failed);
    let failed = failed.map(|(realm, kind, count)| ([realm, kind.code()], count));
    page.numbers(&catalogue::FAULTS, failed)?;
    let authenticated = each(realms, |realm| &realm.authenticated);
    let authenticated = authenticated.map(|(realm, method, count)| ([realm, method.name()], count));
    page.numbers(&catalogue::AUTHENTICATIONS, authenticated)?;
    let of_realm = |count: fn(&RealmReadings) -> u64| {
        realms.iter().map(move |realm| ([realm.name.as_str()], count(realm)))
    };
    page.numbers(&catalogue::SECRET_USES, of_realm(|realm| realm.secret_uses))?;
    page.numbers(&catalogue::ALSO_FOR, of_realm(|realm| realm.also_for))?;
    let limited = each(realms, |realm| &realm.limited);
    page.numbers(&catalogue::LIMITED, limited.map(|(realm, of, count)| ([realm, of.name()], count)))
}

/// Each of a closed set in each realm.
fn each<'r, T: Copy + 'r>(
    realms: &'r [RealmReadings],
    counted: impl Fn(&'r RealmReadings) -> &'r Vec<(T, u64)>,
) -> impl Iterator<Item = (&'r str, T, u64)> {
    realms.iter().flat_map(move |realm| {
        counted(realm).iter().map(|(what, count)| (realm.name.as_str(), *what, *count))
    })
}

fn write_clients(realms: &[RealmReadings], page: &mut Page<'_>) -> fmt::Result {
    let clients = realms.iter().flat_map(|realm| {
        let (name, clients) = (realm.name.as_str(), realm.clients);
        [
            ([name, "enabled"], clients.enabled),
            ([name, "disabled"], clients.disabled),
            ([name, "locked"], clients.locked),
        ]
    });
    page.numbers(&catalogue::CLIENTS, clients)?;
    let secrets = realms.iter().flat_map(|realm| ending(realm, realm.clients.secrets));
    page.numbers(&catalogue::SECRETS_ENDING, secrets)?;
    let clients = realms.iter().flat_map(|realm| ending(realm, realm.clients.last_secrets));
    page.numbers(&catalogue::CLIENTS_ENDING, clients)?;
    let revoked = realms.iter().map(|realm| ([realm.name.as_str()], realm.revoked));
    page.numbers(&catalogue::REVOKED, revoked)
}

fn ending(realm: &RealmReadings, endings: Endings) -> [([&str; 2], usize); 4] {
    let name = realm.name.as_str();
    [
        ([name, "expired"], endings.ended),
        ([name, "1d"], endings.within_a_day),
        ([name, "7d"], endings.within_a_week),
        ([name, "30d"], endings.within_a_month),
    ]
}

fn write_keys(realms: &[RealmReadings], page: &mut Page<'_>) -> fmt::Result {
    let mut counts = BTreeMap::new();
    for realm in realms {
        for key in &realm.keys {
            let place = [realm.name.as_str(), key.algorithm.name(), key.status.name()];
            *counts.entry(place).or_insert(0_usize) += 1;
        }
    }
    page.numbers(&catalogue::KEYS, counts)?;
    let active = || {
        realms.iter().flat_map(|realm| {
            let active = realm.keys.iter().filter(|key| key.status == KeyStatus::Active);
            active.map(|key| ([realm.name.as_str(), key.algorithm.name()], key))
        })
    };
    let moments = |moment: fn(&KeyReadings) -> Option<jeton_engine::clock::Time>| {
        active().filter_map(move |(labels, key)| Some((labels, moment(key)?)))
    };
    page.numbers(&catalogue::KEY_SINCE, moments(|key| key.signing_since))?;
    page.numbers(&catalogue::KEY_DUE, moments(|key| key.rotation_due))
}
