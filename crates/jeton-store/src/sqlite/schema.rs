//! Brings a SQLite database to the newest schema: all that is missing in one transaction, after a
//! copy of a database that already holds something.

use std::path::PathBuf;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::trouble::Trouble;
use super::{Location, backup, connect};
use crate::error::OpenError;
use crate::migrate::{Applied, Migration, Standing, standing};

/// Every schema there ever was, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "start",
        sql: include_str!("../../migrations/sqlite/0001_start.sql"),
        works_from: 1,
    },
    Migration {
        number: 2,
        name: "proof",
        sql: include_str!("../../migrations/sqlite/0002_proof.sql"),
        // A program that knows nothing of bound tokens would take one from whoever stole it.
        works_from: 2,
    },
    Migration {
        number: 3,
        name: "extracts",
        sql: include_str!("../../migrations/sqlite/0003_extracts.sql"),
        // What is new is kept by the database itself.
        works_from: 2,
    },
];

/// Made before there was more than one schema; [`REMEMBER_WHO`] adds what came later.
const REMEMBER: &str = "CREATE TABLE IF NOT EXISTS migration (\
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, \
    applied_at INTEGER NOT NULL) STRICT";

const REMEMBER_WHO: &str = "ALTER TABLE migration ADD COLUMN works_from INTEGER NOT NULL DEFAULT 1";

/// Brings a database to the newest of the `known` schemas and turns foreign keys on.
pub(super) fn prepare(
    connection: &mut Connection,
    location: &Location,
    known: &[Migration],
) -> Result<(), OpenError> {
    let standing = look(connection, location, known)?;
    if standing.is_ahead {
        tracing::warn!(
            database = %location,
            "a newer jeton has migrated the database; this one works on beside it: end the upgrade"
        );
    }
    if !standing.missing.is_empty()
        || !remembers_who(connection).map_err(|error| connect::explain(location, &error))?
    {
        migrate(connection, location, known)?;
    }
    enforce(connection, location)
}

/// How a database stands to the `known` schemas.
pub(super) fn look<'m>(
    connection: &Connection,
    location: &Location,
    known: &'m [Migration],
) -> Result<Standing<'m>, OpenError> {
    standing(&location.to_string(), &applied(connection, location)?, known)
}

/// Refuses to go on when a newer program has migrated the database to something that this one cannot
/// work on. Asked in the transaction that writes, so that no write comes after such a migration.
pub(super) fn refuse_outdated(connection: &Connection) -> Result<(), Trouble> {
    let mut select = connection.prepare_cached("SELECT max(works_from) FROM migration")?;
    let needed: Option<u32> = select.query_row([], |row| row.get(0))?;
    Ok(crate::migrate::refuse_outdated(needed.unwrap_or(0), MIGRATIONS)?)
}

/// Turns foreign keys on, which a migration must do without.
pub(super) fn enforce(connection: &Connection, location: &Location) -> Result<(), OpenError> {
    connection
        .execute_batch("PRAGMA foreign_keys = ON")
        .map_err(|error| connect::explain(location, &error))
}

fn migrate(
    connection: &mut Connection,
    location: &Location,
    known: &[Migration],
) -> Result<(), OpenError> {
    let explain = |error: rusqlite::Error| connect::explain(location, &error);
    let place = location.to_string();
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
    // Only now nobody else can migrate; somebody may just have done so.
    let applied = applied(&transaction, location)?;
    let missing = standing(&place, &applied, known)?.missing;
    if let (Location::File(_), false, Some(first)) = (location, applied.is_empty(), missing.first())
    {
        copy(location, first.number)?;
    }
    transaction.execute_batch(REMEMBER).map_err(explain)?;
    if !remembers_who(&transaction).map_err(explain)? {
        transaction.execute_batch(REMEMBER_WHO).map_err(explain)?;
    }
    for migration in missing {
        apply(&transaction, migration).map_err(|reason| OpenError::Migration {
            place: place.clone(),
            number: migration.number,
            reason,
        })?;
    }
    transaction.commit().map_err(explain)?;
    for migration in missing {
        tracing::info!(
            database = place,
            number = migration.number,
            name = migration.name,
            "applied a migration to the database"
        );
    }
    Ok(())
}

fn apply(transaction: &Transaction<'_>, migration: &Migration) -> Result<(), String> {
    transaction.execute_batch(migration.sql).map_err(|error| error.to_string())?;
    let mut check =
        transaction.prepare("PRAGMA foreign_key_check").map_err(|error| error.to_string())?;
    if check.exists([]).map_err(|error| error.to_string())? {
        return Err("rows would refer to rows that are not there".to_owned());
    }
    transaction
        .execute(
            "INSERT INTO migration (number, name, checksum, works_from, applied_at) \
             VALUES (?1, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000 AS INTEGER))",
            params![migration.number, migration.name, migration.checksum(), migration.works_from],
        )
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The migrations that a database remembers; none when it is new.
fn applied(connection: &Connection, location: &Location) -> Result<Vec<Applied>, OpenError> {
    let explain = |error: rusqlite::Error| connect::explain(location, &error);
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(explain);
    if count("SELECT count(*) FROM sqlite_schema WHERE name = 'migration'")? == 0 {
        return match count("SELECT count(*) FROM sqlite_schema")? {
            0 => Ok(Vec::new()),
            _ => Err(OpenError::Foreign { place: location.to_string() }),
        };
    }
    // Whoever does not say who can work beside it was made when nobody could.
    let works_from =
        if remembers_who(connection).map_err(explain)? { "works_from" } else { "number" };
    let mut select = connection
        .prepare(&format!("SELECT number, checksum, {works_from} FROM migration ORDER BY number"))
        .map_err(|_| OpenError::Foreign { place: location.to_string() })?;
    let rows = select.query_map([], |row| {
        Ok(Applied { number: row.get(0)?, checksum: row.get(1)?, works_from: row.get(2)? })
    });
    rows.and_then(Iterator::collect).map_err(explain)
}

/// Whether a database says of its migrations who can work beside them.
fn remembers_who(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM pragma_table_info('migration') WHERE name = 'works_from'")?
        .exists([])
}

/// Copies the database as it is before the migration, beside it. A copy that an earlier attempt
/// left is replaced: that attempt changed nothing.
fn copy(location: &Location, number: u32) -> Result<(), OpenError> {
    let Location::File(path) = location else { return Ok(()) };
    let failed = |reason: String| OpenError::Backup { place: location.to_string(), number, reason };
    let beside = |suffix: &str| {
        let mut name = path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let copy = beside(&format!(".before-{number:04}.bak"));
    let fresh = beside(&format!(".before-{number:04}.bak.fresh"));
    // A left-over of an attempt that was cut off; mostly there is none.
    let _ = std::fs::remove_file(&fresh);
    let source = Connection::open(path).map_err(|error| failed(error.to_string()))?;
    backup::copy(&source, &fresh)
        .map_err(|trouble| failed(jeton_engine::store::StoreError::from(trouble).to_string()))?;
    std::fs::rename(&fresh, &copy).map_err(|error| failed(error.to_string()))?;
    tracing::info!(copy = %copy.display(), "copied the database before migrating it");
    Ok(())
}

#[cfg(test)]
mod tests;
