//! Examines a whole PostgreSQL database, as it is at one moment: its tables, every row as what it
//! means, what rows refer to, what is encrypted; and then its pages. Nothing in it is changed, and
//! servers may go on using it.

use std::sync::Arc;

use jeton_engine::client::SecretDigest;
use jeton_engine::clock::{Random, Time};
use jeton_engine::master_key::MasterKey;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;
use tokio_postgres::Row;

use super::address::PostgresAddress;
use super::connect::{Dialer, Link};
use super::row::Columns;
use super::trouble::{Trouble, explain};
use super::{changes, clients, events, keys, pages, registrations, schema, shape, tokens};
use crate::error::OpenError;
use crate::examined::{Examined, Problem, Progress, Sealed, Tell, Told};
use crate::tables::{TABLES, Table};

/// One moment, in which nothing can be changed; and it may take its time.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
    SAVEPOINT looked";

/// How many rows are fetched at once.
const PAGE: u64 = 1_000;

const RESTORE: &str = "restore a backup: pg_restore, or the base backup with its archived logs";
const DISK: &str = "look after the database's disk, then restore a backup";
const GRANT: &str = "look with the role that the tables belong to";

/// Examines a database. Without a master key nothing encrypted is opened.
///
/// # Errors
/// It cannot be reached, is no database of ours, or one of a newer jeton beside which this one cannot
/// work, or its migrations had another text.
pub async fn examine(
    address: &PostgresAddress,
    master_key: Option<&MasterKey>,
    tell: Tell<'_>,
) -> Result<Examined, OpenError> {
    let place = address.to_string();
    let unusable = |reason: String| OpenError::Unusable { place: place.clone(), reason };
    let dialer = Arc::new(Dialer::new(address.clone(), Random::System).map_err(unusable)?);
    let link = dialer.dial(|| {}).await.map_err(|error| unusable(error.to_string()))?;
    let lost = |trouble: Trouble| unusable(StoreError::from(trouble).to_string());
    link.batch_execute(BEGIN).await.map_err(|error| unusable(explain(&error)))?;
    let standing = schema::look(&place, &link, schema::MIGRATIONS).await?;
    let mut examined = Examined::new(place.clone(), schema::newest());
    examined.schema = standing.applied;
    let mut examination = Examination {
        link: &link,
        master_key,
        tell,
        examined: &mut examined,
        is_ahead: standing.is_ahead,
    };
    if standing.applied == 0 {
        examination.found("the database", "it is empty".to_owned());
        return Ok(examined);
    }
    // An older one is migrated at the next start; only then its rows are what we know.
    if standing.missing.is_empty() {
        examination.moment().await.map_err(lost)?;
    }
    link.batch_execute("ROLLBACK").await.map_err(|error| unusable(explain(&error)))?;
    pages::examine(&link, &mut examined, tell).await.map_err(lost)?;
    Ok(examined)
}

struct Examination<'e> {
    link: &'e Link,
    master_key: Option<&'e MasterKey>,
    tell: Tell<'e>,
    examined: &'e mut Examined,
    is_ahead: bool,
}

impl Examination<'_> {
    /// Everything that can be seen at one moment.
    async fn moment(&mut self) -> Result<(), Trouble> {
        let outcome = self.size().await;
        self.settle("its size", outcome).await?;
        if !self.is_ahead {
            let outcome = self.shape().await;
            self.settle("its list of tables", outcome).await?;
        }
        let outcome = self.references().await;
        self.settle("what rows refer to", outcome).await?;
        self.rows().await?;
        let outcome = self.numbers().await;
        self.settle("its numbers", outcome).await
    }

    fn found(&mut self, place: &str, what: String) {
        self.examined.note(Problem { place: place.to_owned(), what, remedy: RESTORE });
    }

    /// Notes what kept a part from being examined, and has the others go on.
    async fn settle(&mut self, place: &str, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        let Err(trouble) = outcome else { return Ok(()) };
        let Some(said) = trouble.said() else { return Err(trouble) };
        let remedy = match said.code().code() {
            "42501" => GRANT,
            code if code.starts_with("58") => DISK,
            _ => RESTORE,
        };
        let what = StoreError::from(trouble).to_string();
        self.examined.note(Problem { place: place.to_owned(), what, remedy });
        Ok(self.link.batch_execute("ROLLBACK TO SAVEPOINT looked").await?)
    }

    async fn size(&mut self) -> Result<(), Trouble> {
        let sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        let bytes: i64 = self.link.query_typed_one(sql, &[]).await?.try_get(0)?;
        self.examined.bytes = u64::try_from(bytes).unwrap_or(0);
        Ok(())
    }

    /// Every table and index as the migrations make it.
    async fn shape(&mut self) -> Result<(), Trouble> {
        for (place, what) in shape::differences(self.link).await? {
            self.found(&place, what);
        }
        Ok(())
    }

    /// Rows that refer to rows that are not there.
    async fn references(&mut self) -> Result<(), Trouble> {
        let sql = "SELECT count(*) FROM secret WHERE NOT EXISTS (SELECT FROM client \
            WHERE client.realm = secret.realm AND client.id = secret.client_id)";
        let orphans: i64 = self.link.query_typed_one(sql, &[]).await?.try_get(0)?;
        if orphans > 0 {
            let what = format!("{orphans} rows refer to rows of client that are not there");
            self.found("table secret", what);
        }
        Ok(())
    }

    async fn rows(&mut self) -> Result<(), Trouble> {
        self.table("client", &columns_of("client"), |row| {
            let client = clients::read(&mut Columns::new("client", row), &realm("client", row)?)?;
            Ok((Some(client.changed_at), None))
        })
        .await?;
        self.table("initial_access_token", registrations::COLUMNS, |row| {
            registrations::read(row).map(|token| (Some(token.created_at), None))
        })
        .await?;
        let columns = "realm, client_id, id, name, generated, supplied, sealed, created_at, \
            expires_at, last_used_at";
        self.table("secret", columns, secret).await?;
        self.table("signing_key", keys::COLUMNS, |row| {
            let key = keys::read(row)?;
            Ok((Some(key.created_at), Some(Sealed::Key(key.realm, key.id, key.sealed))))
        })
        .await?;
        self.table("token", tokens::COLUMNS, |row| {
            tokens::read(row).map(|token| (Some(token.issued_at), None))
        })
        .await?;
        self.table("deleted_client", "realm, client_id, through", |row| {
            let mut columns = Columns::new("deleted_client", row);
            let _: (RealmName, ClientId) = (columns.parsed()?, columns.parsed()?);
            columns.natural::<u64>().map(|_| (None, None))
        })
        .await?;
        self.table("spent", "realm, until, id", |row| {
            let mut columns = Columns::new("spent", row);
            let _: (RealmName, Time) = (columns.parsed()?, columns.time()?);
            columns.bytes::<16>().map(|_| (None, None))
        })
        .await?;
        // A newer program notes events and changes that this one knows nothing of.
        let is_ahead = self.is_ahead;
        self.table("event", events::COLUMNS, move |row| match events::read(row) {
            Err(_) if is_ahead => Ok((None, None)),
            event => event.map(|event| (Some(event.at), None)),
        })
        .await?;
        self.table("change", "seq, kind, realm, subject, at", move |row| {
            let at = Time::from_milliseconds(row.try_get(4)?);
            match changes::read(row)? {
                None if !is_ahead => {
                    Err(StoreError::Failed("a row of change cannot be read".to_owned()).into())
                }
                _ => Ok((Some(at), None)),
            }
        })
        .await
    }

    /// Reads every row of a table as what it means.
    async fn table(
        &mut self,
        name: &'static str,
        columns: &str,
        read: impl Fn(&Row) -> Told<Trouble>,
    ) -> Result<(), Trouble> {
        let mut done = 0;
        let outcome = self.pages(name, columns, (&read, &mut done)).await;
        (self.tell)(Progress { step: name, done, total: done });
        self.examined.tables.push((name, done));
        self.settle(&format!("table {name}"), outcome).await
    }

    async fn pages(
        &mut self,
        name: &'static str,
        columns: &str,
        (read, done): (&impl Fn(&Row) -> Told<Trouble>, &mut u64),
    ) -> Result<(), Trouble> {
        let declare = format!("DECLARE examined NO SCROLL CURSOR FOR SELECT {columns} FROM {name}");
        self.link.batch_execute(&declare).await?;
        let fetch = format!("FETCH FORWARD {PAGE} FROM examined");
        loop {
            let rows = self.link.query_typed(&fetch, &[]).await?;
            if rows.is_empty() {
                return Ok(self.link.batch_execute("CLOSE examined").await?);
            }
            for row in &rows {
                self.examined.take(name, read(row), self.master_key);
            }
            *done += rows.len() as u64;
            (self.tell)(Progress { step: name, done: *done, total: 0 });
        }
    }

    /// Whether numbers were given that the database does not remember: they would be given again.
    async fn numbers(&mut self) -> Result<(), Trouble> {
        let numbered = TABLES.iter().filter(|table| table.is_numbered);
        let given = numbered.map(|table| {
            let name = table.name;
            let last = format!(
                "pg_sequence_last_value(pg_get_serial_sequence('{name}', 'seq')::regclass)"
            );
            (name, last)
        });
        let feed = ("change", "(SELECT newest FROM feed WHERE number = 1)".to_owned());
        for (name, last) in given.chain([feed]) {
            let sql = format!("SELECT coalesce(max(seq), 0) > coalesce({last}, 0) FROM {name}");
            if self.link.query_typed_one(&sql, &[]).await?.try_get(0)? {
                let what = "its newest number is greater than the last that was given";
                self.found(&format!("table {name}"), what.to_owned());
            }
        }
        Ok(())
    }
}

fn columns_of(name: &str) -> String {
    TABLES.iter().find(|table| table.name == name).map_or_else(String::new, Table::names)
}

fn realm(table: &'static str, row: &Row) -> Result<RealmName, Trouble> {
    Columns::new(table, row).parsed()
}

fn secret(row: &Row) -> Told<Trouble> {
    let mut columns = Columns::new("secret", row);
    let (realm, client_id): (RealmName, ClientId) = (columns.parsed()?, columns.parsed()?);
    let secret = clients::read_secret(&mut columns)?;
    let sealed = secret.and_then(|secret| match secret.digest {
        SecretDigest::Sealed(sealed) => Some(Sealed::Secret(realm, client_id, secret.id, sealed)),
        SecretDigest::Generated(_) | SecretDigest::Supplied(_) => None,
    });
    Ok((None, sealed))
}
