//! Tokens in SQLite: the one table that is written for every stored token, and looked up by digest.

use std::sync::LazyLock;

use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{ClientId, RealmName, TokenId};
use jeton_engine::store::{Change, StoreError, TokenFilter};
use jeton_engine::token::{TokenDigest, TokenOrigin, TokenRecord};
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, ToSql, named_params, params};

use super::places::Places;
use super::row::Columns;
use super::trouble::{Trouble, integer, is_duplicate};
use super::{changes, events};
use crate::kept::{FORMATS, list_text};

/// How many tokens one statement keeps where there are as many: what a statement costs by itself is
/// as much as a row.
pub(super) const TOGETHER: usize = 16;

/// Keeps one token, by [`keep_with`].
pub(super) static INSERT: LazyLock<String> = LazyLock::new(|| insert(1));

/// Keeps [`TOGETHER`]: fails at the first that is there already, and leaves those before it.
pub(super) static INSERT_TOGETHER: LazyLock<String> = LazyLock::new(|| insert(TOGETHER));

fn insert(rows: usize) -> String {
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    format!("INSERT OR FAIL INTO token ({COLUMNS}) VALUES {}", vec![row; rows].join(", "))
}

/// A token, as [`read`] wants it.
pub(super) const COLUMNS: &str = "realm, id, digest, format, name, client_id, subject, scope, audiences, \
    confirmation, issued_at, expires_at, revoked_at";

/// Leaves out the tokens that went with their client.
const IS_THERE: &str = "NOT EXISTS (SELECT 1 FROM deleted_client WHERE \
    deleted_client.realm = token.realm AND deleted_client.client_id = token.client_id AND \
    token.seq <= deleted_client.through)";

/// Keeps tokens by a statement prepared for so many. Says how many are kept: fewer than there are when
/// the next one is there already.
pub(super) fn keep_with<'t>(
    connection: &Connection,
    insert: &mut Statement<'_>,
    tokens: impl IntoIterator<Item = &'t TokenRecord>,
) -> Result<usize, Trouble> {
    let mut values = Values { of: insert, next: 1 };
    for token in tokens {
        values.put(token.realm.as_str())?;
        values.put(token.id.as_str())?;
        values.put(token.digest)?;
        values.put(token.format.name())?;
        values.put(match &token.origin {
            TokenOrigin::Endpoint => None,
            TokenOrigin::ByHand(name) => Some(&**name),
        })?;
        values.put(token.client_id.as_str())?;
        values.put(token.subject.as_str())?;
        values.put(token.scope.to_string())?;
        values.put(list_text(&token.audiences)?)?;
        values.put(token.confirmation.claim().map(|claim| claim.to_string()))?;
        values.put(token.issued_at.milliseconds())?;
        values.put(token.expires_at.map(Time::milliseconds))?;
        values.put(token.revoked_at.map(Time::milliseconds))?;
    }
    match insert.raw_execute() {
        Err(error) if is_duplicate(&error) => {
            Ok(usize::try_from(connection.changes()).unwrap_or(usize::MAX))
        }
        other => Ok(other?),
    }
}

/// The values of a statement, in their order.
struct Values<'v, 's> {
    of: &'v mut Statement<'s>,
    next: usize,
}

impl Values<'_, '_> {
    fn put(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.of.raw_bind_parameter(self.next, value)?;
        self.next += 1;
        Ok(())
    }
}

/// The token with this digest.
pub(super) fn one(
    connection: &Connection,
    places: &Places,
    realm: &RealmName,
    digest: &TokenDigest,
) -> Result<Option<TokenRecord>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM token WHERE seq = ?3 AND digest = ?2 AND realm = ?1 AND {IS_THERE}"
    ))?;
    for seq in places.of(connection, digest)? {
        let mut rows = select.query(params![realm.as_str(), digest, seq])?;
        if let Some(row) = rows.next()? {
            return read(row).map(Some);
        }
    }
    Ok(None)
}

/// Up to `count` tokens of a realm that are older than `before`, the newest first.
pub(super) fn page(
    connection: &Connection,
    realm: &RealmName,
    filter: &TokenFilter,
    before: Option<&TokenId>,
    count: u32,
) -> Result<Vec<TokenRecord>, Trouble> {
    let of_client =
        if filter.client_id.is_some() { "client_id = :client" } else { ":client IS NULL" };
    let by_hand = if filter.by_hand_only { "name IS NOT NULL" } else { "TRUE" };
    let index = if filter.by_hand_only { "INDEXED BY token_by_hand" } else { "" };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM token {index} WHERE realm = :realm AND id < :before \
         AND {of_client} AND {by_hand} AND {IS_THERE} ORDER BY id DESC LIMIT :count"
    ))?;
    let mut rows = select.query(named_params! {
        ":realm": realm.as_str(),
        // No identifier has a character as late as this one.
        ":before": before.map_or("~", TokenId::as_str),
        ":client": filter.client_id.as_ref().map(ClientId::as_str),
        ":count": count,
    })?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(read(row)?);
    }
    Ok(tokens)
}

/// Marks a token revoked; only the first time it is an event and a change.
pub(super) fn revoke(
    connection: &Connection,
    realm: &RealmName,
    id: &TokenId,
    event: &Event,
) -> Result<u64, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT seq, digest, revoked_at IS NOT NULL FROM token \
         WHERE realm = ?1 AND id = ?2 AND {IS_THERE}"
    ))?;
    let found = select.query_row([realm.as_str(), id.as_str()], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    match found.optional()? {
        None => Ok(0),
        Some((_, _, true)) => Ok(1),
        Some((seq, digest, false)) => mark_revoked(connection, seq, (realm, digest), event),
    }
}

/// Revokes a token by its digest; keeps it, revoked, when nothing is kept of it yet. Whether its
/// client is there does not matter: what is revoked stays so when the client is made again.
pub(super) fn revoke_or_keep(
    connection: &Connection,
    places: &Places,
    token: &TokenRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT revoked_at IS NOT NULL FROM token WHERE seq = ?3 AND digest = ?2 AND realm = ?1",
    )?;
    for seq in places.of(connection, &token.digest)? {
        let values = params![token.realm.as_str(), token.digest, seq];
        match select.query_row(values, |row| row.get(0)).optional()? {
            None => {}
            Some(true) => return Ok(0),
            Some(false) => {
                return mark_revoked(connection, seq, (&token.realm, token.digest), event);
            }
        }
    }
    if keep_with(connection, &mut *connection.prepare_cached(&INSERT)?, [token])? == 0 {
        return Err(StoreError::Exists.into());
    }
    told(connection, &token.realm, token.digest, event)
}

fn mark_revoked(
    connection: &Connection,
    seq: i64,
    (realm, digest): (&RealmName, TokenDigest),
    event: &Event,
) -> Result<u64, Trouble> {
    connection
        .prepare_cached("UPDATE token SET revoked_at = ?2 WHERE seq = ?1")?
        .execute(params![seq, event.at.milliseconds()])?;
    told(connection, realm, digest, event)
}

fn told(
    connection: &Connection,
    realm: &RealmName,
    digest: TokenDigest,
    event: &Event,
) -> Result<u64, Trouble> {
    events::keep(connection, event)?;
    changes::note(connection, event.at, &Change::TokenRevoked(realm.clone(), digest))?;
    Ok(1)
}

/// The revoked tokens of a realm that have not expired at `now`.
pub(super) fn revoked(
    connection: &Connection,
    realm: &RealmName,
    now: Time,
) -> Result<Vec<(TokenDigest, Option<Time>)>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT digest, expires_at FROM token INDEXED BY token_revoked \
         WHERE realm = ?1 AND revoked_at IS NOT NULL \
         AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    let mut rows = select.query(params![realm.as_str(), now.milliseconds()])?;
    let mut revoked = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::new("token", row);
        revoked.push((columns.value()?, columns.time_if_any()?));
    }
    Ok(revoked)
}

/// Makes all of a client's tokens disappear, however many they are, in a moment.
pub(super) fn delete_of_client(
    connection: &Connection,
    realm: &RealmName,
    id: &ClientId,
) -> Result<(), Trouble> {
    connection
        .prepare_cached(
            "DELETE FROM token INDEXED BY token_lasting WHERE realm = ?1 AND client_id = ?2 \
             AND (name IS NOT NULL OR expires_at IS NULL)",
        )?
        .execute([realm.as_str(), id.as_str()])?;
    connection
        .prepare_cached(
            "INSERT INTO deleted_client (realm, client_id, through) \
             SELECT ?1, ?2, seq FROM sqlite_sequence WHERE name = 'token' \
             ON CONFLICT (realm, client_id) DO UPDATE SET through = excluded.through",
        )?
        .execute([realm.as_str(), id.as_str()])?;
    Ok(())
}

/// Removes up to `count` tokens that expired before `before`.
pub(super) fn remove(connection: &Connection, before: Time, count: u64) -> Result<u64, Trouble> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM token WHERE seq IN (SELECT seq FROM token INDEXED BY token_expiry \
             WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
        )?
        .execute(params![before.milliseconds(), integer(count)?])?;
    connection
        .prepare_cached(
            "DELETE FROM deleted_client \
             WHERE through < coalesce((SELECT min(seq) FROM token), through + 1)",
        )?
        .execute([])?;
    Ok(removed as u64)
}

/// The token in a row.
pub(super) fn read(row: &Row<'_>) -> Result<TokenRecord, Trouble> {
    let mut columns = Columns::new("token", row);
    Ok(TokenRecord {
        realm: columns.parsed()?,
        id: columns.parsed()?,
        digest: columns.value()?,
        format: columns.one_of(FORMATS)?,
        origin: columns
            .value::<Option<Box<str>>>()?
            .map_or(TokenOrigin::Endpoint, TokenOrigin::ByHand),
        client_id: columns.parsed()?,
        subject: columns.parsed()?,
        scope: columns.parsed()?,
        audiences: columns.list()?,
        confirmation: columns.parsed_if_any()?.unwrap_or_default(),
        issued_at: columns.time()?,
        expires_at: columns.time_if_any()?,
        revoked_at: columns.time_if_any()?,
    })
}
