//! What was used up, in PostgreSQL. Claimed many at a time in one order, so that servers which want
//! the same wait for each other and never for themselves; who comes second finds it claimed.

use std::collections::{BTreeMap, HashSet};

use jeton_engine::clock::Time;
use jeton_engine::name::RealmName;
use jeton_engine::spent::{Spent, SpentId};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::trouble::Trouble;

/// Some things of one realm that are to be spent together.
pub(super) struct Spending {
    /// The realm.
    pub(super) realm: RealmName,
    /// The things.
    pub(super) spent: Vec<Spent>,
    /// The time of day.
    pub(super) now: Time,
}

type Key<'s> = (&'s str, &'s SpentId);

/// Claims everything that any of these wants and nobody had. Says what was.
pub(super) async fn claim(
    client: &Client,
    spendings: &[&Spending],
) -> Result<HashSet<(Box<str>, SpentId)>, Trouble> {
    // Whatever is wanted by several is claimed once, and remembered for the longest.
    let mut wanted: BTreeMap<Key<'_>, i64> = BTreeMap::new();
    for spending in spendings {
        for one in &spending.spent {
            let until = wanted.entry((spending.realm.as_str(), &one.id)).or_insert(i64::MIN);
            *until = one.until.milliseconds().max(*until);
        }
    }
    let now = spendings.iter().map(|spending| spending.now.milliseconds()).min();
    let realm: Vec<&str> = wanted.keys().map(|(realm, _)| *realm).collect();
    let id: Vec<&[u8]> = wanted.keys().map(|(_, id)| &id[..]).collect();
    let until: Vec<i64> = wanted.values().copied().collect();
    let rows = client
        .query_typed(
            "INSERT INTO spent (realm, id, until) SELECT * FROM unnest($1, $2, $3) \
             ON CONFLICT (realm, id) DO UPDATE SET until = excluded.until \
             WHERE spent.until <= $4 RETURNING realm, id",
            &[
                (&realm, Type::TEXT_ARRAY),
                (&id, Type::BYTEA_ARRAY),
                (&until, Type::INT8_ARRAY),
                (&now, Type::INT8),
            ],
        )
        .await?;
    let mut claimed = HashSet::with_capacity(rows.len());
    for row in &rows {
        // All were made here, with as many bytes as they have.
        if let Ok(id) = row.try_get::<usize, &[u8]>(1)?.try_into() {
            claimed.insert((row.try_get(0)?, id));
        }
    }
    Ok(claimed)
}

/// Hands what was claimed to those who came first: all that one of them wants, or nothing. The place
/// of the first that was used before, counted from one; zero when all were spent. What nobody takes
/// is left in `claimed`.
pub(super) fn hand_out(
    spendings: &[&Spending],
    claimed: &mut HashSet<(Box<str>, SpentId)>,
) -> Vec<u64> {
    let mut outcomes = Vec::with_capacity(spendings.len());
    for spending in spendings {
        let mut taken = Vec::with_capacity(spending.spent.len());
        let mut known = 0;
        for (place, one) in (1..).zip(&spending.spent) {
            let key = (Box::from(spending.realm.as_str()), one.id);
            if !claimed.remove(&key) {
                known = place;
                break;
            }
            taken.push(key);
        }
        if known > 0 {
            claimed.extend(taken);
        }
        outcomes.push(known);
    }
    outcomes
}

/// Gives back what was claimed in vain.
pub(super) async fn give_back(
    client: &Client,
    left: &HashSet<(Box<str>, SpentId)>,
) -> Result<(), Trouble> {
    let realm: Vec<&str> = left.iter().map(|(realm, _)| &**realm).collect();
    let id: Vec<&[u8]> = left.iter().map(|(_, id)| &id[..]).collect();
    client
        .execute_typed(
            "DELETE FROM spent USING unnest($1, $2) AS vain (realm, id) \
             WHERE spent.realm = vain.realm AND spent.id = vain.id",
            &[(&realm, Type::TEXT_ARRAY), (&id, Type::BYTEA_ARRAY)],
        )
        .await?;
    Ok(())
}
