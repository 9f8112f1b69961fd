//! Initial access tokens in PostgreSQL, and the clients that are registered with them. Acts, so that
//! what is counted stays as it was counted until the client is there.

use jeton_engine::client::Client;
use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::store::{Admitted, StoreError};
use jeton_engine::token::TokenDigest;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::row::Columns;
use super::trouble::{Trouble, is_duplicate};
use super::{clients, events};
use crate::admitted;

/// What [`read`] reads.
pub(super) const COLUMNS: &str = "realm, id, digest, scope, uses_left, created_at, expires_at";

/// Adds a client that registered itself and uses its token once, or does nothing.
pub(super) async fn register(
    connection: &tokio_postgres::Client,
    client: &Client,
    (through, clients_max): (Option<&TokenId>, u32),
    event: &Event,
) -> Result<u64, Trouble> {
    let realm = client.realm.as_str();
    let there: i64 = connection
        .query_typed_one(
            "SELECT count(*) FROM client WHERE realm = $1 AND registration IS NOT NULL",
            &[(&realm, Type::TEXT)],
        )
        .await?
        .try_get(0)?;
    if there >= i64::from(clients_max) {
        return Ok(admitted::count(Admitted::Full));
    }
    if let Some(id) = through {
        let used = connection
            .execute_typed(
                "UPDATE initial_access_token SET uses_left = uses_left - 1 \
                 WHERE realm = $1 AND id = $2 AND uses_left > 0 \
                 AND coalesce(expires_at > $3, TRUE)",
                &[
                    (&realm, Type::TEXT),
                    (&id.as_str(), Type::TEXT),
                    (&event.at.milliseconds(), Type::INT8),
                ],
            )
            .await?;
        if used == 0 {
            return Ok(admitted::count(Admitted::TokenUsedUp));
        }
    }
    clients::add(connection, client, event).await?;
    Ok(admitted::count(Admitted::Registered))
}

/// Adds a token.
pub(super) async fn add(
    connection: &tokio_postgres::Client,
    token: &InitialAccessToken,
    event: &Event,
) -> Result<u64, Trouble> {
    let inserted = connection
        .execute_typed(
            &format!(
                "INSERT INTO initial_access_token ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            ),
            &[
                (&token.realm.as_str(), Type::TEXT),
                (&token.id.as_str(), Type::TEXT),
                (&&token.digest[..], Type::BYTEA),
                (&token.scope.to_string(), Type::TEXT),
                (&i64::from(token.uses_left), Type::INT8),
                (&token.created_at.milliseconds(), Type::INT8),
                (&token.expires_at.map(Time::milliseconds), Type::INT8),
            ],
        )
        .await;
    match inserted {
        Err(error) if is_duplicate(&error) => return Err(StoreError::Exists.into()),
        other => other?,
    };
    events::keep(connection, &[event]).await?;
    Ok(1)
}

/// The token with this digest.
pub(super) async fn one(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    digest: &TokenDigest,
) -> Result<Option<InitialAccessToken>, Trouble> {
    let row = connection
        .query_typed_opt(
            &format!("SELECT {COLUMNS} FROM initial_access_token WHERE realm = $1 AND digest = $2"),
            &[(&realm.as_str(), Type::TEXT), (&&digest[..], Type::BYTEA)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// A realm's tokens, the oldest first.
pub(super) async fn all(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
) -> Result<Vec<InitialAccessToken>, Trouble> {
    let rows = connection
        .query_typed(
            &format!("SELECT {COLUMNS} FROM initial_access_token WHERE realm = $1 ORDER BY seq"),
            &[(&realm.as_str(), Type::TEXT)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Deletes a token.
pub(super) async fn delete(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    id: &TokenId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = connection
        .execute_typed(
            "DELETE FROM initial_access_token WHERE realm = $1 AND id = $2",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    if deleted > 0 {
        events::keep(connection, &[event]).await?;
    }
    Ok(deleted)
}

/// An initial access token, of its [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<InitialAccessToken, Trouble> {
    let mut columns = Columns::new("initial_access_token", row);
    Ok(InitialAccessToken {
        realm: columns.parsed()?,
        id: columns.parsed()?,
        digest: columns.bytes()?,
        scope: columns.parsed()?,
        uses_left: columns.natural()?,
        created_at: columns.time()?,
        expires_at: columns.time_if_any()?,
    })
}
