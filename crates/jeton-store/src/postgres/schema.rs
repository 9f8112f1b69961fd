//! Brings a PostgreSQL database to the newest schema, one server at a time, in one transaction; and
//! looks whether the server keeps its word about commits.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connect::Connections;
use super::trouble::{Trouble, explain};
use crate::error::OpenError;
use crate::migrate::{Applied, Migration, Standing, standing};

/// Every schema there ever was, in order.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "start",
    sql: include_str!("../../migrations/postgres/0001_start.sql"),
    works_from: 1,
}];

/// Any number that nobody else uses on the same database; this one spells "jeton".
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(456383754094)";

const REMEMBER: &str = "CREATE TABLE IF NOT EXISTS migration (\
    number bigint PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, \
    works_from bigint NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Looks at the server, and brings the database to the newest of the `known` schemas.
///
/// # Errors
/// Why the database cannot be used; nothing was changed.
pub(super) async fn prepare(
    place: &str,
    connections: &Connections,
    known: &[Migration],
) -> Result<(), OpenError> {
    let unusable = |reason: String| OpenError::Unusable { place: place.to_owned(), reason };
    let lent = connections.lend().await.map_err(|error| unusable(error.to_string()))?;
    inspect(place, &lent).await?;
    // Without limits: a migration may take its time, and who waits for it waits as long. Dropped
    // before its end, the connection is closed, and nothing has happened.
    begin(&lent).await.map_err(|error| unusable(explain(&error)))?;
    let missing = missing(place, &lent, known).await?;
    if !missing.is_empty() {
        migrate(place, &lent, missing).await?;
    }
    let ended = lent.batch_execute("COMMIT").await.map_err(Trouble::from);
    lent.settle(ended).map_err(|error| unusable(error.to_string()))?;
    for Migration { number, name, .. } in missing {
        tracing::info!(database = place, number, name, "applied a migration to the database");
    }
    Ok(())
}

/// The newest schema that this program knows.
pub(super) fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.number)
}

/// The schema that a program must know at least to work on the database.
pub(super) async fn needed(client: &Client) -> Result<u32, Trouble> {
    let sql = "SELECT max(works_from) FROM migration";
    let needed: Option<i64> = client.query_typed_one(sql, &[]).await?.try_get(0)?;
    Ok(u32::try_from(needed.unwrap_or(0)).unwrap_or(u32::MAX))
}

/// From here on nobody else migrates, until the transaction ends.
async fn begin(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(BEGIN).await?;
    client.batch_execute(MIGRATING).await
}

/// Begins a transaction that may take its time.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// The steps that the database still needs; none either when a newer program has taken further ones
/// beside which this one can work.
pub(super) async fn missing<'k>(
    place: &str,
    client: &Client,
    known: &'k [Migration],
) -> Result<&'k [Migration], OpenError> {
    let standing = look(place, client, known).await?;
    if standing.is_ahead {
        tracing::warn!(
            database = place,
            "a newer jeton has migrated the database; this one works on beside it: end the upgrade"
        );
    }
    Ok(standing.missing)
}

/// How the database stands to the `known` schemas.
pub(super) async fn look<'k>(
    place: &str,
    client: &Client,
    known: &'k [Migration],
) -> Result<Standing<'k>, OpenError> {
    let unusable = |error: tokio_postgres::Error| OpenError::Unusable {
        place: place.to_owned(),
        reason: explain(&error),
    };
    let foreign = || OpenError::Foreign { place: place.to_owned() };
    let tables = "SELECT coalesce(bool_or(relname = 'migration'), FALSE), count(*) FROM pg_class \
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')";
    let row = client.query_typed_one(tables, &[]).await.map_err(unusable)?;
    let is_ours: bool = row.try_get(0).map_err(unusable)?;
    if !is_ours {
        let count: i64 = row.try_get(1).map_err(unusable)?;
        return if count == 0 { standing(place, &[], known) } else { Err(foreign()) };
    }
    let remembered = "SELECT number, checksum, works_from FROM migration ORDER BY number";
    let rows = client.query_typed(remembered, &[]).await.map_err(|_| foreign())?;
    let applied: Vec<Applied> =
        rows.iter().map(read).collect::<Result<_, _>>().map_err(unusable)?;
    standing(place, &applied, known)
}

fn read(row: &Row) -> Result<Applied, tokio_postgres::Error> {
    let number =
        |index| row.try_get(index).map(|number: i64| u32::try_from(number).unwrap_or(u32::MAX));
    Ok(Applied { number: number(0)?, checksum: row.try_get(1)?, works_from: number(2)? })
}

async fn migrate(place: &str, client: &Client, missing: &[Migration]) -> Result<(), OpenError> {
    for migration in missing {
        apply(client, migration).await.map_err(|error| OpenError::Migration {
            place: place.to_owned(),
            number: migration.number,
            reason: explain(&error),
        })?;
    }
    Ok(())
}

async fn apply(client: &Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(REMEMBER).await?;
    client.batch_execute(migration.sql).await?;
    client
        .execute_typed(
            "INSERT INTO migration (number, name, checksum, works_from) VALUES ($1, $2, $3, $4)",
            &[
                (&i64::from(migration.number), Type::INT8),
                (&migration.name, Type::TEXT),
                (&migration.checksum(), Type::TEXT),
                (&i64::from(migration.works_from), Type::INT8),
            ],
        )
        .await
        .map(drop)
}

/// The oldest version of PostgreSQL that all is tried with.
pub(super) const OLDEST: i32 = 150_000;

/// Looks at what the server is and does.
async fn inspect(place: &str, client: &Client) -> Result<(), OpenError> {
    let unusable = |reason: String| OpenError::Unusable { place: place.to_owned(), reason };
    let sql = "SELECT current_setting('server_version_num')::integer, \
        current_setting('server_encoding'), \
        (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'), \
        current_setting('fsync'), current_setting('full_page_writes')";
    let row = client.query_typed_one(sql, &[]).await.map_err(|error| unusable(explain(&error)))?;
    let text = |index| row.try_get::<usize, String>(index).unwrap_or_default();
    if row.try_get::<usize, i32>(0).is_ok_and(|version| version < OLDEST) {
        return Err(unusable("it is older than PostgreSQL 15".to_owned()));
    }
    if text(1) != "UTF8" {
        let reason = format!("its encoding is {}: make it with ENCODING 'UTF8'", text(1));
        return Err(unusable(reason));
    }
    if text(2) == "off" {
        tracing::warn!(
            database = place,
            "synchronous_commit is off on the database: jeton turns it on for what it writes, \
             because what it acknowledges must not be lost; turn it on there too"
        );
    }
    for (name, value) in [("fsync", text(3)), ("full_page_writes", text(4))] {
        if value == "off" {
            tracing::error!(
                database = place,
                setting = name,
                "this setting is off on the database: a loss of power loses or damages what was \
                 acknowledged; turn it on"
            );
        }
    }
    Ok(())
}
