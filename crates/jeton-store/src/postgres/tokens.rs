//! Tokens in PostgreSQL: the one table that is written for every stored token, many rows a
//! statement, and looked up by digest.

use std::collections::HashSet;

use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{ClientId, RealmName, TokenId};
use jeton_engine::store::{Change, StoreError, TokenFilter};
use jeton_engine::token::{TokenDigest, TokenOrigin, TokenRecord};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::row::Columns;
use super::trouble::Trouble;
use super::{changes, events};
use crate::kept::{FORMATS, list_text};

/// What [`read`] reads.
pub(super) const COLUMNS: &str = "realm, id, digest, format, name, client_id, subject, scope, audiences, \
    confirmation, issued_at, expires_at, revoked_at";

/// Leaves out the tokens that went with their client.
const IS_THERE: &str = "NOT EXISTS (SELECT FROM deleted_client WHERE \
    deleted_client.realm = token.realm AND deleted_client.client_id = token.client_id AND \
    token.seq <= deleted_client.through)";

/// Keeps tokens. Says of each whether it was; one like it is there otherwise.
pub(super) async fn keep(
    client: &Client,
    tokens: &[&TokenRecord],
) -> Result<Vec<Result<u64, StoreError>>, Trouble> {
    if tokens.is_empty() {
        return Ok(Vec::new());
    }
    let batch = Batch::new(tokens)?;
    let rows = batch.insert(client).await?;
    let mut kept = HashSet::with_capacity(rows.len());
    for row in &rows {
        kept.insert((row.try_get::<usize, &str>(0)?, row.try_get::<usize, &str>(1)?));
    }
    // Of two alike in one batch, the first was kept.
    let mut outcomes = Vec::with_capacity(tokens.len());
    for token in tokens {
        let is_kept = kept.remove(&(token.realm.as_str(), token.id.as_str()));
        outcomes.push(if is_kept { Ok(1) } else { Err(StoreError::Exists) });
    }
    Ok(outcomes)
}

/// Tokens on their way into the table, column by column.
struct Batch<'t> {
    realm: Vec<&'t str>,
    id: Vec<&'t str>,
    digest: Vec<&'t [u8]>,
    format: Vec<&'static str>,
    name: Vec<Option<&'t str>>,
    client_id: Vec<&'t str>,
    subject: Vec<&'t str>,
    scope: Vec<String>,
    audiences: Vec<Option<String>>,
    confirmation: Vec<Option<String>>,
    issued_at: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    revoked_at: Vec<Option<i64>>,
}

impl<'t> Batch<'t> {
    fn new(tokens: &[&'t TokenRecord]) -> Result<Self, StoreError> {
        let name = |token: &&'t TokenRecord| match &token.origin {
            TokenOrigin::Endpoint => None,
            TokenOrigin::ByHand(name) => Some(&**name),
        };
        let audiences = tokens.iter().map(|token| list_text(&token.audiences));
        let confirmation =
            |token: &&TokenRecord| token.confirmation.claim().map(|claim| claim.to_string());
        Ok(Self {
            realm: tokens.iter().map(|token| token.realm.as_str()).collect(),
            id: tokens.iter().map(|token| token.id.as_str()).collect(),
            digest: tokens.iter().map(|token| &token.digest[..]).collect(),
            format: tokens.iter().map(|token| token.format.name()).collect(),
            name: tokens.iter().map(name).collect(),
            client_id: tokens.iter().map(|token| token.client_id.as_str()).collect(),
            subject: tokens.iter().map(|token| token.subject.as_str()).collect(),
            scope: tokens.iter().map(|token| token.scope.to_string()).collect(),
            audiences: audiences.collect::<Result<_, _>>()?,
            confirmation: tokens.iter().map(confirmation).collect(),
            issued_at: tokens.iter().map(|token| token.issued_at.milliseconds()).collect(),
            expires_at: tokens
                .iter()
                .map(|token| token.expires_at.map(Time::milliseconds))
                .collect(),
            revoked_at: tokens
                .iter()
                .map(|token| token.revoked_at.map(Time::milliseconds))
                .collect(),
        })
    }

    async fn insert(&self, client: &Client) -> Result<Vec<Row>, tokio_postgres::Error> {
        client
            .query_typed(
                "INSERT INTO token (realm, id, digest, format, name, client_id, subject, scope, \
                 audiences, confirmation, issued_at, expires_at, revoked_at) SELECT * FROM \
                 unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                 ON CONFLICT (realm, id) DO NOTHING RETURNING realm, id",
                &[
                    (&self.realm, Type::TEXT_ARRAY),
                    (&self.id, Type::TEXT_ARRAY),
                    (&self.digest, Type::BYTEA_ARRAY),
                    (&self.format, Type::TEXT_ARRAY),
                    (&self.name, Type::TEXT_ARRAY),
                    (&self.client_id, Type::TEXT_ARRAY),
                    (&self.subject, Type::TEXT_ARRAY),
                    (&self.scope, Type::TEXT_ARRAY),
                    (&self.audiences, Type::TEXT_ARRAY),
                    (&self.confirmation, Type::TEXT_ARRAY),
                    (&self.issued_at, Type::INT8_ARRAY),
                    (&self.expires_at, Type::INT8_ARRAY),
                    (&self.revoked_at, Type::INT8_ARRAY),
                ],
            )
            .await
    }
}

/// Keeps a token and, with it, an event.
pub(super) async fn keep_with_event(
    client: &Client,
    token: &TokenRecord,
    event: Option<&Event>,
) -> Result<u64, Trouble> {
    keep(client, &[token]).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
    if let Some(event) = event {
        events::keep(client, &[event]).await?;
    }
    Ok(1)
}

/// The token with this digest.
pub(super) async fn one(
    client: &Client,
    realm: &RealmName,
    digest: &TokenDigest,
) -> Result<Option<TokenRecord>, Trouble> {
    let row = client
        .query_typed_opt(
            &format!(
                "SELECT {COLUMNS} FROM token WHERE substr(digest, 1, 8) = substr($2, 1, 8) \
                 AND digest = $2 AND realm = $1 AND {IS_THERE} LIMIT 1"
            ),
            &[(&realm.as_str(), Type::TEXT), (&&digest[..], Type::BYTEA)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Up to `count` tokens of a realm that are older than `before`, the newest first.
pub(super) async fn page(
    client: &Client,
    realm: &RealmName,
    filter: &TokenFilter,
    before: Option<&TokenId>,
    count: u32,
) -> Result<Vec<TokenRecord>, Trouble> {
    let by_hand = if filter.by_hand_only { "name IS NOT NULL" } else { "TRUE" };
    let rows = client
        .query_typed(
            &format!(
                "SELECT {COLUMNS} FROM token WHERE realm = $1 AND id < $2 \
                 AND ($3 IS NULL OR client_id = $3) AND {by_hand} AND {IS_THERE} \
                 ORDER BY id DESC LIMIT $4"
            ),
            &[
                (&realm.as_str(), Type::TEXT),
                // No identifier has a character as late as this one.
                (&before.map_or("~", TokenId::as_str), Type::TEXT),
                (&filter.client_id.as_ref().map(ClientId::as_str), Type::TEXT),
                (&i64::from(count), Type::INT8),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Marks a token revoked; only the first time it is an event and a change.
pub(super) async fn revoke(
    client: &Client,
    realm: &RealmName,
    id: &TokenId,
    event: &Event,
) -> Result<u64, Trouble> {
    let found = client
        .query_typed_opt(
            &format!(
                "SELECT realm, id, seq, digest, revoked_at FROM token \
                 WHERE realm = $1 AND id = $2 AND {IS_THERE}"
            ),
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    match found.as_ref().map(Found::read).transpose()? {
        None => Ok(0),
        Some(found) if found.is_revoked => Ok(1),
        Some(found) => mark_revoked(client, realm, &found, event).await,
    }
}

/// Revokes a token by its digest; keeps it, revoked, when nothing is kept of it yet. Whether its
/// client is there does not matter: what is revoked stays so when the client is made again.
pub(super) async fn revoke_or_keep(
    client: &Client,
    token: &TokenRecord,
    event: &Event,
) -> Result<u64, Trouble> {
    let found = client
        .query_typed_opt(
            "SELECT realm, id, seq, digest, revoked_at FROM token \
             WHERE substr(digest, 1, 8) = substr($2, 1, 8) AND digest = $2 AND realm = $1 LIMIT 1",
            &[(&token.realm.as_str(), Type::TEXT), (&&token.digest[..], Type::BYTEA)],
        )
        .await?;
    match found.as_ref().map(Found::read).transpose()? {
        Some(found) if found.is_revoked => Ok(0),
        Some(found) => mark_revoked(client, &token.realm, &found, event).await,
        None => {
            keep_with_event(client, token, Some(event)).await?;
            told(client, &token.realm, token.digest, event).await
        }
    }
}

/// A token that is to be revoked.
struct Found {
    seq: i64,
    digest: TokenDigest,
    is_revoked: bool,
}

impl Found {
    fn read(row: &Row) -> Result<Self, Trouble> {
        let mut columns = Columns::new("token", row);
        columns.pass(2);
        let (seq, digest) = (columns.value()?, columns.bytes()?);
        Ok(Self { seq, digest, is_revoked: columns.time_if_any()?.is_some() })
    }
}

async fn mark_revoked(
    client: &Client,
    realm: &RealmName,
    found: &Found,
    event: &Event,
) -> Result<u64, Trouble> {
    client
        .execute_typed(
            "UPDATE token SET revoked_at = $2 WHERE seq = $1",
            &[(&found.seq, Type::INT8), (&event.at.milliseconds(), Type::INT8)],
        )
        .await?;
    events::keep(client, &[event]).await?;
    told(client, realm, found.digest, event).await
}

async fn told(
    client: &Client,
    realm: &RealmName,
    digest: TokenDigest,
    event: &Event,
) -> Result<u64, Trouble> {
    changes::note(client, event.at, &Change::TokenRevoked(realm.clone(), digest)).await?;
    Ok(1)
}

/// The revoked tokens of a realm that have not expired at `now`.
pub(super) async fn revoked(
    client: &Client,
    realm: &RealmName,
    now: Time,
) -> Result<Vec<(TokenDigest, Option<Time>)>, Trouble> {
    let rows = client
        .query_typed(
            "SELECT realm, id, digest, expires_at FROM token WHERE realm = $1 \
             AND revoked_at IS NOT NULL AND (expires_at IS NULL OR expires_at > $2)",
            &[(&realm.as_str(), Type::TEXT), (&now.milliseconds(), Type::INT8)],
        )
        .await?;
    let read = |row: &Row| {
        let mut columns = Columns::new("token", row);
        columns.pass(2);
        Ok((columns.bytes()?, columns.time_if_any()?))
    };
    rows.iter().map(read).collect()
}

/// Makes all of a client's tokens disappear, however many they are, in a moment. What the sequence
/// has given includes tokens that are just being written.
pub(super) async fn delete_of_client(
    client: &Client,
    realm: &RealmName,
    id: &ClientId,
) -> Result<(), Trouble> {
    client
        .execute_typed(
            "DELETE FROM token WHERE realm = $1 AND client_id = $2 \
             AND (name IS NOT NULL OR expires_at IS NULL)",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    client
        .execute_typed(
            "INSERT INTO deleted_client (realm, client_id, through) \
             SELECT $1, $2, last_value FROM token_seq_seq WHERE is_called \
             ON CONFLICT (realm, client_id) DO UPDATE SET through = excluded.through",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    Ok(())
}

/// A token, of its [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<TokenRecord, Trouble> {
    let mut columns = Columns::new("token", row);
    Ok(TokenRecord {
        realm: columns.parsed()?,
        id: columns.parsed()?,
        digest: columns.bytes()?,
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
