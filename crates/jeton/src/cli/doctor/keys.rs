//! Looks at the master key and at each realm's signing keys: whether they open, whether one signs with
//! each algorithm that is needed, how old they are and when the next one comes.

use std::collections::BTreeMap;

use jeton_engine::clock::{Random, Time};
use jeton_engine::jose::Algorithm;
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::master_key::MasterKey;
use jeton_engine::realm::Realm;
use jeton_engine::rotate::Rotation;
use jeton_engine::terms::{Lifetime, TokenShape};
use jeton_store::Look;

use super::finding::Finding;
use super::realm_place;
use crate::cli::moment::{distance, to_the_second};
use crate::config::master_key::MasterKeyError;
use crate::config::{Database, MasterKeySource, RealmConfig, Storage, master_key};

/// How much later than planned a key may be rotated before nobody seems to do it, in seconds.
const LATE: u64 = 24 * 3600;
/// How far ahead of us a clock may have been when a key was made, in seconds.
const AHEAD: u64 = 60;

/// Whether there is a master key; and the key. None is made.
pub(super) fn master_key(storage: &Storage) -> (Finding, Option<MasterKey>) {
    const CHECK: &str = "master_key";
    let source = match &storage.master_key {
        MasterKeySource::BesideDatabase(path) => {
            let database_is_there =
                matches!(&storage.database, Database::File(database) if database.exists());
            if !path.exists() && !database_is_there {
                let what = "is not there yet: the first start of the server makes it";
                return (Finding::note(CHECK, path.display(), what), None);
            }
            MasterKeySource::File(path.clone())
        }
        MasterKeySource::Fresh => {
            let what = "is made anew at each start, for a database in memory";
            return (Finding::note(CHECK, "[storage] master_key", what), None);
        }
        other => other.clone(),
    };
    let place = match &source {
        MasterKeySource::Environment(name) => format!("environment variable {name}"),
        MasterKeySource::File(path) | MasterKeySource::BesideDatabase(path) => {
            path.display().to_string()
        }
        MasterKeySource::Fresh => String::new(),
    };
    match master_key::read(&source, &Random::System) {
        Ok(key) => (Finding::ok(CHECK, place, "is there and well formed"), Some(key)),
        Err(error @ MasterKeyError::Unset(_)) => {
            let finding = Finding::warning(CHECK, place, error.to_string())
                .remedy("run the doctor with the environment of the server; whether it opens the keys was not looked at");
            (finding, None)
        }
        Err(error) => {
            let remedy = "restore it from where you keep it: without it no signing key opens";
            (Finding::problem(CHECK, place, error.to_string()).remedy(remedy), None)
        }
    }
}

/// A realm's keys.
pub(super) async fn examine(
    look: &Look,
    realm: &RealmConfig,
    master_key: Option<&MasterKey>,
    now: Time,
) -> Vec<Finding> {
    let place = realm_place(realm);
    let records = match look.keys(&realm.realm.name).await {
        Ok(records) => records,
        Err(error) => {
            return vec![Finding::problem("keys", place, format!("cannot be read: {error}"))];
        }
    };
    let mut findings = Vec::new();
    findings.extend(master_key.and_then(|key| opened(key, &records, &place)));
    findings.extend(of_the_future(&records, now, &place));
    let mut by_algorithm: BTreeMap<&str, (Algorithm, Vec<&KeyRecord>)> = BTreeMap::new();
    for algorithm in needed(realm) {
        by_algorithm.insert(algorithm.name(), (algorithm, Vec::new()));
    }
    let needed: Vec<Algorithm> = by_algorithm.values().map(|(algorithm, _)| *algorithm).collect();
    for record in &records {
        let known = by_algorithm.entry(record.algorithm.name());
        known.or_insert_with(|| (record.algorithm, Vec::new())).1.push(record);
    }
    for (algorithm, keys) in by_algorithm.values() {
        let place = format!("{place}, {algorithm}");
        findings.push(signing(
            &realm.realm.rotation,
            keys,
            now,
            &place,
            needed.contains(algorithm),
        ));
        findings.extend(leaving(&realm.realm, keys, now, &place));
    }
    findings
}

/// The algorithms that the realm's mounts sign with.
fn needed(realm: &RealmConfig) -> Vec<Algorithm> {
    let shapes = realm.mounts.iter().map(|mount| mount.terms.token.as_ref());
    let shapes = shapes.map(|shape| shape.unwrap_or(&realm.realm.token));
    let algorithms = shapes.filter_map(|shape| match shape {
        TokenShape::Jwt(shape) => Some(shape.algorithm),
        _ => None,
    });
    algorithms.collect()
}

/// Whether the master key opens them.
fn opened(master_key: &MasterKey, records: &[KeyRecord], place: &str) -> Option<Finding> {
    const CHECK: &str = "keys.open";
    let open = |record: &KeyRecord| master_key.open(&record.realm, &record.id, &record.sealed);
    let shut: Vec<&str> = records
        .iter()
        .filter(|record| open(record).is_err())
        .map(|record| record.id.as_str())
        .collect();
    match (records.len(), shut.as_slice()) {
        (0, _) => None,
        (count, []) => {
            Some(Finding::ok(CHECK, place, format!("the master key opens all keys ({count})")))
        }
        (_, shut) => Some(
            Finding::problem(CHECK, place, format!("the master key does not open {}", shut.join(", ")))
                .remedy("the master key that they were made under; keys that nobody can open: `jeton key retire ID`"),
        ),
    }
}

/// Keys that were made later than now: the clock was set back, or is wrong now.
fn of_the_future(records: &[KeyRecord], now: Time, place: &str) -> Option<Finding> {
    let newest = records.iter().max_by_key(|record| record.created_at)?;
    (newest.created_at.since(now).as_secs() > AHEAD).then(|| {
        let at = to_the_second(newest.created_at);
        let what = format!("key {} was made at {at}, which is still to come", newest.id);
        Finding::problem("clock.behind", place, what)
            .remedy("set this machine's clock right: tokens would be of no use before they are old")
    })
}

/// The key that signs with an algorithm, or that none does.
fn signing(
    rotation: &Rotation,
    keys: &[&KeyRecord],
    now: Time,
    place: &str,
    is_needed: bool,
) -> Finding {
    const CHECK: &str = "keys.signing";
    let active = keys.iter().find(|record| record.status == KeyStatus::Active);
    let Some(active) = active else {
        return match (is_needed, keys) {
            (false, _) => Finding::note(CHECK, place, "no key signs, and no mount needs one"),
            (true, []) => Finding::note(
                CHECK,
                place,
                "there is no key yet: the server makes it when it starts or reloads",
            ),
            (true, _) => {
                Finding::problem(CHECK, place, "a mount signs with it, and no key is active")
                    .remedy("jeton key create, or `jeton key import` for a shared secret")
            }
        };
    };
    let since = active.activated_at.unwrap_or(active.created_at);
    let signs = format!("key {} signs since {}", active.id, to_the_second(since));
    if active.algorithm.is_symmetric() {
        let what = format!("{signs}; shared secrets are not rotated by themselves");
        return Finding::ok(CHECK, place, what);
    }
    let Some(every) = rotation.every else {
        return Finding::ok(CHECK, place, format!("{signs}; keys.rotate_every is off"));
    };
    let end = since.plus(every);
    let upcoming = keys.iter().find(|record| record.status == KeyStatus::Upcoming);
    if now.since(end).as_secs() > LATE {
        let what = format!("{signs} and was to be followed by another {}", distance(end, now));
        return Finding::warning("keys.rotation", place, what)
            .remedy("a server that runs rotates keys: look into its log for why it cannot");
    }
    let next = match upcoming {
        Some(next) => {
            let at = next.created_at.plus(rotation.publish_ahead);
            format!("key {} is published and follows {}", next.id, distance(at, now))
        }
        None => format!("another follows {}", distance(end, now)),
    };
    Finding::ok(CHECK, place, format!("{signs}; {next}"))
}

/// Retired keys, which stay until their last token has expired.
fn leaving(realm: &Realm, keys: &[&KeyRecord], now: Time, place: &str) -> Option<Finding> {
    const CHECK: &str = "keys.retired";
    let retired: Vec<&&KeyRecord> =
        keys.iter().filter(|record| record.status == KeyStatus::Retired).collect();
    let last = retired.iter().filter_map(|record| record.retired_at).max()?;
    let count = retired.len();
    let what = match realm.lifetime_longest {
        Lifetime::Never => {
            format!("{count} retired; they stay, because tokens of this realm may live for ever")
        }
        Lifetime::Seconds(seconds) => {
            let end = last.plus(std::time::Duration::from_secs(seconds.get().into()));
            format!(
                "{count} retired; the last goes once its tokens are over, {} or later",
                distance(end, now)
            )
        }
    };
    Some(Finding::note(CHECK, place, what))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Level;
    use super::*;

    const DAY: u64 = 86_400;

    fn day(day: u64) -> Time {
        Time::from_seconds(0).plus(Duration::from_secs(day * DAY))
    }

    fn key(id: &str, algorithm: Algorithm, status: KeyStatus, made: Time) -> KeyRecord {
        KeyRecord {
            realm: "main".parse().unwrap(),
            id: id.parse().unwrap(),
            algorithm,
            status,
            sealed: Vec::new(),
            public_jwk: None,
            created_at: made,
            activated_at: (status != KeyStatus::Upcoming).then_some(made),
            retired_at: None,
        }
    }

    fn judged(keys: &[KeyRecord], now: Time) -> Finding {
        let keys: Vec<&KeyRecord> = keys.iter().collect();
        signing(&Rotation::default(), &keys, now, "realm main, EdDSA", true)
    }

    #[test]
    fn a_key_is_late_a_day_after_it_was_to_be_followed() {
        let active = [key("k1", Algorithm::EdDsa, KeyStatus::Active, day(0))];
        assert_eq!(judged(&active, day(1)).level, Level::Ok);
        assert!(judged(&active, day(30)).what.contains("another follows in 60 days"));
        assert_eq!(judged(&active, day(91)).level, Level::Ok);
        let late = judged(&active, day(91).plus(Duration::from_secs(1)));
        assert_eq!((late.check, late.level), ("keys.rotation", Level::Warning));
        let shared = [key("k1", Algorithm::Hs256, KeyStatus::Active, day(0))];
        assert_eq!(judged(&shared, day(900)).level, Level::Ok);
    }

    #[test]
    fn a_key_that_is_published_is_named_with_its_moment() {
        let keys = [
            key("k1", Algorithm::EdDsa, KeyStatus::Active, day(0)),
            key("k2", Algorithm::EdDsa, KeyStatus::Upcoming, day(89)),
        ];
        assert!(
            judged(&keys, day(89)).what.contains("key k2 is published and follows in 24 hours")
        );
    }

    #[test]
    fn that_no_key_signs_is_a_problem_only_where_one_did_and_one_must() {
        let retired = [key("k1", Algorithm::Hs256, KeyStatus::Retired, day(0))];
        assert_eq!(judged(&retired, day(1)).level, Level::Problem);
        assert_eq!(judged(&[], day(1)).level, Level::Note);
        let unneeded: Vec<&KeyRecord> = retired.iter().collect();
        let finding = signing(&Rotation::default(), &unneeded, day(1), "realm main", false);
        assert_eq!(finding.level, Level::Note);
    }

    #[test]
    fn a_key_from_the_future_tells_of_a_clock_that_is_behind() {
        let keys = [key("k1", Algorithm::EdDsa, KeyStatus::Active, day(1))];
        assert_eq!(of_the_future(&keys, day(1), "realm main"), None);
        let a_minute_ago = day(1).minus(Duration::from_secs(60));
        assert_eq!(of_the_future(&keys, a_minute_ago, "realm main"), None);
        let finding = of_the_future(&keys, day(0), "realm main").unwrap();
        assert_eq!((finding.check, finding.level), ("clock.behind", Level::Problem));
    }
}
