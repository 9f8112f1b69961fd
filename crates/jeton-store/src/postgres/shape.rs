//! Decides whether the tables are as the migrations make them: columns, constraints and indexes,
//! as PostgreSQL itself tells of them.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::trouble::Trouble;

/// What the migrations make, one thing a line; a test holds it equal to what they do make.
const MADE: &str = include_str!("../../migrations/postgres/shape.txt");

/// Everything of ours in the database, by kind and name, and how it is made. Newer versions of
/// PostgreSQL count NOT NULL among the constraints; here it belongs to its column.
const THERE: &str = "\
    WITH ours AS (SELECT oid, relname, relpersistence FROM pg_class \
     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') \
     AND relname <> 'migration') \
    SELECT 'table ' || relname, CASE relpersistence WHEN 'p' THEN 'logged' ELSE 'unlogged' END \
     FROM ours \
    UNION ALL \
    SELECT 'column ' || relname || '.' || attname, format_type(atttypid, atttypmod) \
     || CASE WHEN collname = 'C' THEN ' COLLATE C' ELSE '' END \
     || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END \
     || CASE WHEN attidentity = 'a' THEN ' IDENTITY' ELSE '' END \
     FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped \
     LEFT JOIN pg_collation ON pg_collation.oid = attcollation \
    UNION ALL \
    SELECT 'constraint ' || relname || '.' || conname, pg_get_constraintdef(pg_constraint.oid) \
     FROM ours JOIN pg_constraint ON conrelid = ours.oid AND contype IN ('c', 'f', 'p', 'u') \
    UNION ALL \
    SELECT 'index ' || indexrelid::regclass, \
     replace(pg_get_indexdef(indexrelid), ' ' || quote_ident(current_schema()) || '.', ' ') \
     || CASE WHEN indisvalid AND indisready THEN '' ELSE ' INVALID' END \
     FROM ours JOIN pg_index ON indrelid = ours.oid";

/// What is not as the migrations make it, each with what is wrong.
pub(super) async fn differences(client: &Client) -> Result<Vec<(String, String)>, Trouble> {
    let mut there = BTreeMap::new();
    for row in client.query_typed(THERE, &[]).await? {
        there.insert(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
    }
    let made = MADE.lines().filter_map(|line| line.split_once(": "));
    let differing = made.filter_map(|(name, how)| {
        let what = match there.get(name) {
            None => "it is not there",
            Some(other) if other != how => "it is not as the migrations make it",
            Some(_) => return None,
        };
        Some((name.to_owned(), what.to_owned()))
    });
    Ok(differing.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
    async fn the_shape_is_what_the_migrations_make() {
        let url = std::env::var("JETON_TEST_POSTGRES").unwrap();
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        // In a schema that is never there for others.
        client
            .batch_execute("BEGIN; CREATE SCHEMA jeton_shape; SET LOCAL search_path = jeton_shape")
            .await
            .unwrap();
        for migration in super::super::schema::MIGRATIONS {
            client.batch_execute(migration.sql).await.unwrap();
        }
        let rows = client.query_typed(THERE, &[]).await.unwrap();
        let mut lines: Vec<String> = rows
            .iter()
            .map(|row| format!("{}: {}\n", row.get::<_, &str>(0), row.get::<_, &str>(1)))
            .collect();
        lines.sort_unstable();
        assert_eq!(lines.concat(), MADE);
        assert_eq!(differences(&client).await.unwrap(), []);
    }
}
