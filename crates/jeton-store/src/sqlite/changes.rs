//! The feed of changes in SQLite: a row a change, written in the transaction that changes.

use jeton_engine::clock::Time;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::{Change, Changed, Changes, Revision};
use jeton_engine::token::TokenDigest;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::events;
use super::trouble::{Trouble, integer};
use crate::migrate::hexadecimal;

/// A change, as [`read`] wants it.
pub(super) const COLUMNS: &str = "kind, realm, subject";

/// With more changes than this, reading everything anew costs less than following them.
const FOLLOWED_MAX: u64 = 10_000;

/// Notes a change.
pub(super) fn note(connection: &Connection, at: Time, change: &Change) -> Result<(), Trouble> {
    let hexadecimal_digest;
    let (kind, realm, subject) = match change {
        Change::Client(realm, id) => ("client", realm, Some(id.as_str())),
        Change::Keys(realm) => ("keys", realm, None),
        Change::TokenRevoked(realm, digest) => {
            hexadecimal_digest = hexadecimal(digest);
            ("token_revoked", realm, Some(hexadecimal_digest.as_str()))
        }
        Change::TokensDeleted(realm, id) => ("tokens_deleted", realm, Some(id.as_str())),
    };
    connection
        .prepare_cached("INSERT INTO change (at, kind, realm, subject) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at.milliseconds(), kind, realm.as_str(), subject])?;
    Ok(())
}

/// The newest revision ever given, whether its row is still there or not.
pub(super) fn newest(connection: &Connection) -> Result<Revision, Trouble> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'change'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Revision(newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or(0)))
}

/// What changed after `revision`. Revisions have no gaps, so that one row too few tells that some
/// were removed; a revision from the future tells that a backup was restored.
pub(super) fn after(connection: &Connection, revision: Revision) -> Result<Changes, Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    let newest = newest(&snapshot)?;
    let missed = newest.0.checked_sub(revision.0).filter(|missed| *missed <= FOLLOWED_MAX);
    let Some(missed) = missed else {
        return Ok(Changes { revision: newest, changed: Changed::Everything });
    };
    let mut select = snapshot
        .prepare_cached(&format!("SELECT {COLUMNS} FROM change WHERE seq > ?1 ORDER BY seq"))?;
    let mut rows = select.query([integer(revision.0)?])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.extend(read(row)?);
    }
    // A change that this binary cannot read was written by a newer one: it is followed all the
    // same, by reading everything.
    let changed =
        if changes.len() as u64 == missed { Changed::These(changes) } else { Changed::Everything };
    Ok(Changes { revision: newest, changed })
}

/// Removes up to `count` changes from before `before`, which are among the oldest as events are.
pub(super) fn remove(connection: &Connection, before: Time, count: u64) -> Result<u64, Trouble> {
    let window = u64::from(events::WINDOW).max(count);
    let removed = connection
        .prepare_cached(
            "DELETE FROM change WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM change \
             ORDER BY seq LIMIT ?3) WHERE at < ?1 ORDER BY seq LIMIT ?2)",
        )?
        .execute(params![before.milliseconds(), integer(count)?, integer(window)?])?;
    Ok(removed as u64)
}

/// The change in a row, when this binary knows such a change.
pub(super) fn read(row: &Row<'_>) -> Result<Option<Change>, Trouble> {
    let realm: Option<RealmName> = row.get_ref(1)?.as_str().ok().and_then(|text| text.parse().ok());
    let subject = row.get_ref(2)?.as_str().ok();
    let client_id = || subject.and_then(|text| text.parse::<ClientId>().ok());
    let Some(realm) = realm else { return Ok(None) };
    Ok(match row.get_ref(0)?.as_str().unwrap_or_default() {
        "client" => client_id().map(|id| Change::Client(realm, id)),
        "keys" => Some(Change::Keys(realm)),
        "token_revoked" => {
            subject.and_then(digest).map(|digest| Change::TokenRevoked(realm, digest))
        }
        "tokens_deleted" => client_id().map(|id| Change::TokensDeleted(realm, id)),
        _ => None,
    })
}

fn digest(text: &str) -> Option<TokenDigest> {
    let mut digest = TokenDigest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (to, from) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(from).ok()?, 16).ok()?;
    }
    Some(digest)
}
