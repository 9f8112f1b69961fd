//! Signing keys in SQLite. An index sees to it that a realm has one active key an algorithm.

use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::name::{KeyId, RealmName};
use jeton_engine::store::{Change, StoreError};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::Columns;
use super::trouble::{Trouble, is_duplicate};
use super::{changes, events};
use crate::kept::KEY_STATUSES;

/// A key, as [`read`] wants it.
pub(super) const COLUMNS: &str = "realm, id, algorithm, status, sealed, public_jwk, created_at, \
    activated_at, retired_at";

/// Adds a key; an active one takes the place of the one before it.
pub(super) fn add(connection: &Connection, key: &KeyRecord, event: &Event) -> Result<u64, Trouble> {
    if key.status == KeyStatus::Active {
        retire_active(connection, &key.realm, key.algorithm.name(), key.created_at)?;
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO signing_key (realm, id, algorithm, status, sealed, public_jwk, \
             created_at, activated_at, retired_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            key.realm.as_str(),
            key.id.as_str(),
            key.algorithm.name(),
            key.status.name(),
            key.sealed,
            key.public_jwk,
            key.created_at.milliseconds(),
            key.activated_at.map(Time::milliseconds),
            key.retired_at.map(Time::milliseconds),
        ]);
    match inserted {
        Err(error) if is_duplicate(&error) => return Err(StoreError::Exists.into()),
        other => other?,
    };
    told(connection, &key.realm, event)
}

/// Adds a key where the realm has none of its algorithm at the same stage of its life.
pub(super) fn add_first(
    connection: &Connection,
    key: &KeyRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let has_one = connection
        .prepare_cached(
            "SELECT 1 FROM signing_key WHERE realm = ?1 AND algorithm = ?2 AND status = ?3",
        )?
        .exists(params![key.realm.as_str(), key.algorithm.name(), key.status.name()])?;
    if has_one { Ok(0) } else { add(connection, key, event) }
}

/// Makes an upcoming key the active one.
pub(super) fn activate(
    connection: &Connection,
    realm: &RealmName,
    id: &KeyId,
    event: &Event,
) -> Result<u64, Trouble> {
    let upcoming: Option<String> = connection
        .prepare_cached(
            "SELECT algorithm FROM signing_key \
             WHERE realm = ?1 AND id = ?2 AND status = 'upcoming'",
        )?
        .query_row([realm.as_str(), id.as_str()], |row| row.get(0))
        .optional()?;
    let Some(algorithm) = upcoming else { return Ok(0) };
    retire_active(connection, realm, &algorithm, event.at)?;
    connection
        .prepare_cached(
            "UPDATE signing_key SET status = 'active', activated_at = ?3 \
             WHERE realm = ?1 AND id = ?2",
        )?
        .execute(params![realm.as_str(), id.as_str(), event.at.milliseconds()])?;
    told(connection, realm, event)
}

/// Replaces a key's status and moments.
pub(super) fn change(
    connection: &Connection,
    key: &KeyRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let stored: Option<(String, String)> = connection
        .prepare_cached("SELECT algorithm, status FROM signing_key WHERE realm = ?1 AND id = ?2")?
        .query_row([key.realm.as_str(), key.id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((algorithm, status)) = stored else { return Err(StoreError::Missing.into()) };
    if key.status == KeyStatus::Active && status != KeyStatus::Active.name() {
        let at = key.activated_at.unwrap_or(event.at);
        retire_active(connection, &key.realm, &algorithm, at)?;
    }
    connection
        .prepare_cached(
            "UPDATE signing_key SET status = ?3, created_at = ?4, activated_at = ?5, \
             retired_at = ?6 WHERE realm = ?1 AND id = ?2",
        )?
        .execute(params![
            key.realm.as_str(),
            key.id.as_str(),
            key.status.name(),
            key.created_at.milliseconds(),
            key.activated_at.map(Time::milliseconds),
            key.retired_at.map(Time::milliseconds),
        ])?;
    told(connection, &key.realm, event)
}

/// Deletes a key.
pub(super) fn delete(
    connection: &Connection,
    realm: &RealmName,
    id: &KeyId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = connection
        .prepare_cached("DELETE FROM signing_key WHERE realm = ?1 AND id = ?2")?
        .execute([realm.as_str(), id.as_str()])?;
    if deleted == 0 { Ok(0) } else { told(connection, realm, event) }
}

/// A realm's keys, in the order they were made.
pub(super) fn all(connection: &Connection, realm: &RealmName) -> Result<Vec<KeyRecord>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM signing_key WHERE realm = ?1 ORDER BY created_at, seq"
    ))?;
    let mut rows = select.query([realm.as_str()])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read(row)?);
    }
    Ok(keys)
}

fn retire_active(
    connection: &Connection,
    realm: &RealmName,
    algorithm: &str,
    at: Time,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "UPDATE signing_key SET status = 'retired', retired_at = ?3 \
             WHERE realm = ?1 AND algorithm = ?2 AND status = 'active'",
        )?
        .execute(params![realm.as_str(), algorithm, at.milliseconds()])?;
    Ok(())
}

fn told(connection: &Connection, realm: &RealmName, event: &Event) -> Result<u64, Trouble> {
    events::keep(connection, event)?;
    changes::note(connection, event.at, &Change::Keys(realm.clone()))?;
    Ok(1)
}

/// The key in a row.
pub(super) fn read(row: &Row<'_>) -> Result<KeyRecord, Trouble> {
    let mut columns = Columns::new("signing_key", row);
    Ok(KeyRecord {
        realm: columns.parsed()?,
        id: columns.parsed()?,
        algorithm: columns.parsed()?,
        status: columns.one_of(KEY_STATUSES)?,
        sealed: columns.value()?,
        public_jwk: columns.value()?,
        created_at: columns.time()?,
        activated_at: columns.time_if_any()?,
        retired_at: columns.time_if_any()?,
    })
}
