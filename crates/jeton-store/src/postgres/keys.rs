//! Signing keys in PostgreSQL. An index sees to it that a realm has one active key an algorithm;
//! the feed's lock, that of many servers one takes each step.

use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::name::{KeyId, RealmName};
use jeton_engine::store::{Change, StoreError};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::row::Columns;
use super::trouble::{Trouble, is_duplicate};
use super::{changes, events};
use crate::kept::KEY_STATUSES;

/// What [`read`] reads.
pub(super) const COLUMNS: &str = "realm, id, algorithm, status, sealed, public_jwk, created_at, \
    activated_at, retired_at";

/// Adds a key; an active one takes the place of the one before it.
pub(super) async fn add(client: &Client, key: &KeyRecord, event: &Event) -> Result<u64, Trouble> {
    if key.status == KeyStatus::Active {
        retire_active(client, &key.realm, key.algorithm.name(), key.created_at).await?;
    }
    let inserted = client
        .execute_typed(
            "INSERT INTO signing_key (realm, id, algorithm, status, sealed, public_jwk, \
             created_at, activated_at, retired_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                (&key.realm.as_str(), Type::TEXT),
                (&key.id.as_str(), Type::TEXT),
                (&key.algorithm.name(), Type::TEXT),
                (&key.status.name(), Type::TEXT),
                (&key.sealed, Type::BYTEA),
                (&key.public_jwk, Type::TEXT),
                (&key.created_at.milliseconds(), Type::INT8),
                (&key.activated_at.map(Time::milliseconds), Type::INT8),
                (&key.retired_at.map(Time::milliseconds), Type::INT8),
            ],
        )
        .await;
    match inserted {
        Err(error) if is_duplicate(&error) => return Err(StoreError::Exists.into()),
        other => other?,
    };
    told(client, &key.realm, event).await
}

/// Adds a key where the realm has none of its algorithm at the same stage of its life.
pub(super) async fn add_first(
    client: &Client,
    key: &KeyRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let one = client
        .query_typed_opt(
            "SELECT 1 FROM signing_key WHERE realm = $1 AND algorithm = $2 AND status = $3 LIMIT 1",
            &[
                (&key.realm.as_str(), Type::TEXT),
                (&key.algorithm.name(), Type::TEXT),
                (&key.status.name(), Type::TEXT),
            ],
        )
        .await?;
    if one.is_some() { Ok(0) } else { add(client, key, event).await }
}

/// Makes an upcoming key the active one.
pub(super) async fn activate(
    client: &Client,
    realm: &RealmName,
    id: &KeyId,
    event: &Event,
) -> Result<u64, Trouble> {
    let key = [(&realm.as_str() as _, Type::TEXT), (&id.as_str() as _, Type::TEXT)];
    let upcoming = client
        .query_typed_opt(
            "SELECT algorithm FROM signing_key \
             WHERE realm = $1 AND id = $2 AND status = 'upcoming'",
            &key,
        )
        .await?;
    let Some(row) = upcoming else { return Ok(0) };
    retire_active(client, realm, row.try_get(0)?, event.at).await?;
    client
        .execute_typed(
            "UPDATE signing_key SET status = 'active', activated_at = $3 \
             WHERE realm = $1 AND id = $2",
            &[
                (&realm.as_str(), Type::TEXT),
                (&id.as_str(), Type::TEXT),
                (&event.at.milliseconds(), Type::INT8),
            ],
        )
        .await?;
    told(client, realm, event).await
}

/// Replaces a key's status and moments.
pub(super) async fn change(
    client: &Client,
    key: &KeyRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let stored = client
        .query_typed_opt(
            "SELECT algorithm, status FROM signing_key WHERE realm = $1 AND id = $2",
            &[(&key.realm.as_str(), Type::TEXT), (&key.id.as_str(), Type::TEXT)],
        )
        .await?;
    let Some(row) = stored else { return Err(StoreError::Missing.into()) };
    let status: &str = row.try_get(1)?;
    if key.status == KeyStatus::Active && status != KeyStatus::Active.name() {
        let at = key.activated_at.unwrap_or(event.at);
        retire_active(client, &key.realm, row.try_get(0)?, at).await?;
    }
    client
        .execute_typed(
            "UPDATE signing_key SET status = $3, created_at = $4, activated_at = $5, \
             retired_at = $6 WHERE realm = $1 AND id = $2",
            &[
                (&key.realm.as_str(), Type::TEXT),
                (&key.id.as_str(), Type::TEXT),
                (&key.status.name(), Type::TEXT),
                (&key.created_at.milliseconds(), Type::INT8),
                (&key.activated_at.map(Time::milliseconds), Type::INT8),
                (&key.retired_at.map(Time::milliseconds), Type::INT8),
            ],
        )
        .await?;
    told(client, &key.realm, event).await
}

/// Deletes a key.
pub(super) async fn delete(
    client: &Client,
    realm: &RealmName,
    id: &KeyId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = client
        .execute_typed(
            "DELETE FROM signing_key WHERE realm = $1 AND id = $2",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    if deleted == 0 { Ok(0) } else { told(client, realm, event).await }
}

/// A realm's keys, in the order they were made.
pub(super) async fn all(client: &Client, realm: &RealmName) -> Result<Vec<KeyRecord>, Trouble> {
    let rows = client
        .query_typed(
            &format!("SELECT {COLUMNS} FROM signing_key WHERE realm = $1 ORDER BY created_at, seq"),
            &[(&realm.as_str(), Type::TEXT)],
        )
        .await?;
    rows.iter().map(read).collect()
}

async fn retire_active(
    client: &Client,
    realm: &RealmName,
    algorithm: &str,
    at: Time,
) -> Result<(), Trouble> {
    client
        .execute_typed(
            "UPDATE signing_key SET status = 'retired', retired_at = $3 \
             WHERE realm = $1 AND algorithm = $2 AND status = 'active'",
            &[
                (&realm.as_str(), Type::TEXT),
                (&algorithm, Type::TEXT),
                (&at.milliseconds(), Type::INT8),
            ],
        )
        .await?;
    Ok(())
}

async fn told(client: &Client, realm: &RealmName, event: &Event) -> Result<u64, Trouble> {
    events::keep(client, &[event]).await?;
    changes::note(client, event.at, &Change::Keys(realm.clone())).await?;
    Ok(1)
}

/// A key, of its [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<KeyRecord, Trouble> {
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
