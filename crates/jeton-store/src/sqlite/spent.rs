//! What was used up, in SQLite: written once for every assertion and proof, never looked up alone.

use jeton_engine::clock::Time;
use jeton_engine::name::RealmName;
use jeton_engine::spent::Spent;
use rusqlite::{Connection, params};

use super::trouble::{Trouble, integer};

/// Spends all of these, or none. The place of the first that was used before, counted from one;
/// zero when they were all spent.
pub(super) fn spend(
    connection: &Connection,
    realm: &RealmName,
    spent: &[Spent],
    now: Time,
) -> Result<u64, Trouble> {
    let mut known = connection
        .prepare_cached("SELECT 1 FROM spent WHERE realm = ?1 AND id = ?2 AND until > ?3")?;
    for (at, one) in spent.iter().enumerate() {
        let among_these = spent.iter().take(at).any(|earlier| earlier.id == one.id);
        if among_these || known.exists(params![realm.as_str(), one.id, now.milliseconds()])? {
            return Ok(at as u64 + 1);
        }
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO spent (realm, id, until) VALUES (?1, ?2, ?3) \
         ON CONFLICT (realm, id) DO UPDATE SET until = excluded.until",
    )?;
    for one in spent {
        insert.execute(params![realm.as_str(), one.id, one.until.milliseconds()])?;
    }
    Ok(0)
}

/// Removes up to `count` that need not be remembered since before `before`.
pub(super) fn remove(connection: &Connection, before: Time, count: u64) -> Result<u64, Trouble> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM spent WHERE (realm, id) IN (SELECT realm, id FROM spent \
             INDEXED BY spent_until WHERE until < ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute(params![before.milliseconds(), integer(count)?])?;
    Ok(removed as u64)
}
