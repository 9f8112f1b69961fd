//! Initial access tokens in SQLite, and the clients that are registered with them.

use jeton_engine::client::Client;
use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::store::{Admitted, StoreError};
use jeton_engine::token::TokenDigest;
use rusqlite::{Connection, Row, params};

use super::row::Columns;
use super::trouble::{Trouble, integer, is_duplicate};
use super::{clients, events};
use crate::admitted;

/// An initial access token, as [`read`] wants it.
pub(super) const COLUMNS: &str = "realm, id, digest, scope, uses_left, created_at, expires_at";

/// Adds a client that registered itself and uses its token once, or does nothing.
pub(super) fn register(
    connection: &Connection,
    client: &Client,
    (through, clients_max): (Option<&TokenId>, u32),
    event: &Event,
) -> Result<u64, Trouble> {
    let realm = client.realm.as_str();
    let there: u32 = connection
        .prepare_cached(
            "SELECT count(*) FROM client INDEXED BY client_registered \
             WHERE realm = ?1 AND registration IS NOT NULL",
        )?
        .query_row([realm], |row| row.get(0))?;
    if there >= clients_max {
        return Ok(admitted::count(Admitted::Full));
    }
    if let Some(id) = through {
        let used = connection
            .prepare_cached(
                "UPDATE initial_access_token SET uses_left = uses_left - 1 \
                 WHERE realm = ?1 AND id = ?2 AND uses_left > 0 \
                 AND coalesce(expires_at > ?3, TRUE)",
            )?
            .execute(params![realm, id.as_str(), event.at.milliseconds()])?;
        if used == 0 {
            return Ok(admitted::count(Admitted::TokenUsedUp));
        }
    }
    clients::add(connection, client, event)?;
    Ok(admitted::count(Admitted::Registered))
}

/// Adds a token.
pub(super) fn add(
    connection: &Connection,
    token: &InitialAccessToken,
    event: &Event,
) -> Result<u64, Trouble> {
    let sql =
        format!("INSERT INTO initial_access_token ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let inserted = connection.prepare_cached(&sql)?.execute(params![
        token.realm.as_str(),
        token.id.as_str(),
        token.digest,
        token.scope.to_string(),
        token.uses_left,
        token.created_at.milliseconds(),
        token.expires_at.map(Time::milliseconds),
    ]);
    match inserted {
        Err(error) if is_duplicate(&error) => return Err(StoreError::Exists.into()),
        other => other?,
    };
    events::keep(connection, event)?;
    Ok(1)
}

/// The token with this digest.
pub(super) fn one(
    connection: &Connection,
    realm: &RealmName,
    digest: &TokenDigest,
) -> Result<Option<InitialAccessToken>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM initial_access_token WHERE realm = ?1 AND digest = ?2"
    ))?;
    let mut rows = select.query(params![realm.as_str(), digest])?;
    rows.next()?.map(read).transpose()
}

/// A realm's tokens, the oldest first.
pub(super) fn all(
    connection: &Connection,
    realm: &RealmName,
) -> Result<Vec<InitialAccessToken>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM initial_access_token WHERE realm = ?1 ORDER BY seq"
    ))?;
    let mut rows = select.query([realm.as_str()])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(read(row)?);
    }
    Ok(tokens)
}

/// Deletes a token.
pub(super) fn delete(
    connection: &Connection,
    realm: &RealmName,
    id: &TokenId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = connection
        .prepare_cached("DELETE FROM initial_access_token WHERE realm = ?1 AND id = ?2")?
        .execute([realm.as_str(), id.as_str()])?;
    if deleted > 0 {
        events::keep(connection, event)?;
    }
    Ok(deleted as u64)
}

/// Removes up to `count` tokens that expired before `before`.
pub(super) fn remove(connection: &Connection, before: Time, count: u64) -> Result<u64, Trouble> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM initial_access_token WHERE seq IN \
             (SELECT seq FROM initial_access_token WHERE expires_at < ?1 LIMIT ?2)",
        )?
        .execute(params![before.milliseconds(), integer(count)?])?;
    Ok(removed as u64)
}

/// The token in a row.
pub(super) fn read(row: &Row<'_>) -> Result<InitialAccessToken, Trouble> {
    let mut columns = Columns::new("initial_access_token", row);
    Ok(InitialAccessToken {
        realm: columns.parsed()?,
        id: columns.parsed()?,
        digest: columns.value()?,
        scope: columns.parsed()?,
        uses_left: columns.natural()?,
        created_at: columns.time()?,
        expires_at: columns.time_if_any()?,
    })
}
