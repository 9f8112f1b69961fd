//! Moves a SQLite installation into an empty PostgreSQL database: every table, in one transaction,
//! and before it commits every row is read back and compared.

use std::path::Path;
use std::sync::Arc;

use jeton_engine::clock::Random;
use jeton_engine::store::StoreError;
use rusqlite::types::Value;
use tokio::task::spawn_blocking;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::address::PostgresAddress;
use super::connect::{Connections, Dialer};
use super::schema;
use super::trouble::Trouble;
use crate::error::OpenError;
use crate::sqlite::{Location, Rows, SqliteSettings, SqliteStore};
use crate::tables::{Kind, TABLES, Table};

/// Why an installation was not moved. Nothing was changed but that PostgreSQL may have empty tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// One of the databases cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody else has the SQLite database open.
    #[error(
        "the database {0} is in use: stop jeton first, or what it writes meanwhile stays behind"
    )]
    InUse(String),
    /// There is something in the PostgreSQL database.
    #[error("the database {place} is not empty: there are rows in its table {table}")]
    NotEmpty {
        /// The database.
        place: String,
        /// The first table with rows.
        table: &'static str,
    },
    /// A row came back otherwise than it was written.
    #[error("row {row} of table {table} came back otherwise than it was written")]
    Differs {
        /// The table.
        table: &'static str,
        /// The row, counted from one in the order of the key.
        row: u64,
    },
    /// One of the databases failed.
    #[error("table {table}: {error}")]
    Failed {
        /// The table.
        table: &'static str,
        /// What went wrong.
        error: StoreError,
    },
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferProgress {
    /// The table.
    pub table: &'static str,
    /// What is being done with it.
    pub stage: TransferStage,
    /// How many rows are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What is being done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferStage {
    /// Its rows are written.
    Copying,
    /// They are read back and compared.
    Comparing,
}

/// Moves the SQLite database in the file `from` into the empty database `to`, and tells how far it
/// is. Says how many rows each table has.
///
/// # Errors
/// Why nothing was moved; it can be tried again.
pub async fn transfer(
    from: &Path,
    to: &PostgresAddress,
    progress: &(dyn Fn(TransferProgress) + Sync),
) -> Result<Vec<(&'static str, u64)>, TransferError> {
    // Brings it to the newest schema.
    let location = Location::File(from.to_owned());
    SqliteStore::open(&location, SqliteSettings::default())?.close().await;
    let rows = Rows::open(from).map_err(|_| TransferError::InUse(location.to_string()))?;
    let place = to.to_string();
    let unusable = |reason: String| OpenError::Unusable { place: place.clone(), reason };
    let dialer = Arc::new(Dialer::new(to.clone(), Random::System).map_err(unusable)?);
    let connections = Connections::new(&dialer, 1).map_err(|error| unusable(error.to_string()))?;
    schema::prepare(&place, &connections, schema::MIGRATIONS).await?;
    let lent = connections.lend().await.map_err(|error| unusable(error.to_string()))?;
    // Dropped before its end, the connection is closed, and nothing has happened.
    let mut moving = Move { rows: Some(rows), client: &lent, progress };
    let moved = moving.all(&place).await?;
    lent.settle(Ok(())).map_err(failed("feed"))?;
    Ok(moved)
}

fn failed<E: Into<StoreError>>(table: &'static str) -> impl Fn(E) -> TransferError {
    move |error| TransferError::Failed { table, error: error.into() }
}

/// A move under way.
struct Move<'m> {
    /// There but for the moments when a page is being read.
    rows: Option<Rows>,
    client: &'m Client,
    progress: &'m (dyn Fn(TransferProgress) + Sync),
}

impl Move<'_> {
    async fn all(&mut self, place: &str) -> Result<Vec<(&'static str, u64)>, TransferError> {
        // Servers that start meanwhile wait, and then find everything.
        let begin = format!("{}; LOCK TABLE feed IN ACCESS EXCLUSIVE MODE", schema::BEGIN);
        self.sql("feed", &begin).await?;
        for table in TABLES {
            self.refuse_rows(place, table).await?;
        }
        for table in TABLES {
            self.copy(table).await?;
            self.number(table).await?;
        }
        let newest = self.reader("feed", |rows| rows.last_number("change")).await?;
        self.sql("feed", &format!("UPDATE feed SET newest = {newest}")).await?;
        let mut moved = Vec::with_capacity(TABLES.len());
        for table in TABLES {
            moved.push((table.name, self.compare(table).await?));
        }
        self.sql("feed", "COMMIT").await?;
        Ok(moved)
    }

    async fn refuse_rows(&self, place: &str, table: &'static Table) -> Result<(), TransferError> {
        let sql = format!("SELECT FROM {} LIMIT 1", table.name);
        let found = self.client.query_typed_opt(&sql, &[]).await;
        match found.map_err(Trouble::from).map_err(failed(table.name))? {
            None => Ok(()),
            Some(_) => Err(TransferError::NotEmpty { place: place.to_owned(), table: table.name }),
        }
    }

    /// Writes all rows of a table.
    async fn copy(&mut self, table: &'static Table) -> Result<(), TransferError> {
        let total = self.reader(table.name, |rows| rows.count(table)).await?;
        let (mut done, mut last) = (0, None);
        loop {
            let page =
                self.reader(table.name, move |rows| rows.page(table, last.as_deref())).await?;
            if page.is_empty() {
                return Ok(());
            }
            insert(self.client, table, &page).await.map_err(failed(table.name))?;
            done += page.len() as u64;
            last = page.into_iter().next_back();
            self.tell(table, TransferStage::Copying, (done, total));
        }
    }

    /// Has new rows numbered after the last that was ever there.
    async fn number(&mut self, table: &'static Table) -> Result<(), TransferError> {
        if !table.is_numbered {
            return Ok(());
        }
        let name = table.name;
        let last = self.reader(name, |rows| rows.last_number(name)).await?;
        let sql = format!(
            "SELECT setval(pg_get_serial_sequence('{name}', 'seq'), greatest({last}, max(seq))) \
             FROM {name} HAVING greatest({last}, max(seq)) > 0"
        );
        self.sql(name, &sql).await
    }

    /// Reads all rows back, in the order of the key, and compares each. Says how many there are.
    async fn compare(&mut self, table: &'static Table) -> Result<u64, TransferError> {
        let total = self.reader(table.name, |rows| rows.count(table)).await?;
        let columns: Vec<String> = table.columns.iter().map(selected).collect();
        let declare = format!(
            "DECLARE moved NO SCROLL CURSOR FOR SELECT {} FROM {} ORDER BY {}",
            columns.join(", "),
            table.name,
            table.key_names()
        );
        self.sql(table.name, &declare).await?;
        let (mut done, mut last) = (0, None);
        loop {
            let page =
                self.reader(table.name, move |rows| rows.page(table, last.as_deref())).await?;
            // One more, to see that there are no more.
            let fetch = format!("FETCH FORWARD {} FROM moved", page.len().max(1));
            let came = self.client.query_typed(&fetch, &[]).await;
            let came = came.map_err(Trouble::from).map_err(failed(table.name))?;
            for (row, (sent, came)) in (done + 1..).zip(page.iter().zip(&came)) {
                if read(table, came).map_err(failed(table.name))? != *sent {
                    return Err(TransferError::Differs { table: table.name, row });
                }
            }
            if page.len() != came.len() {
                let row = done + 1 + page.len().min(came.len()) as u64;
                return Err(TransferError::Differs { table: table.name, row });
            }
            if page.is_empty() {
                self.sql(table.name, "CLOSE moved").await?;
                return Ok(done);
            }
            done += page.len() as u64;
            last = page.into_iter().next_back();
            self.tell(table, TransferStage::Comparing, (done, total));
        }
    }

    fn tell(&self, table: &Table, stage: TransferStage, (done, total): (u64, u64)) {
        (self.progress)(TransferProgress { table: table.name, stage, done, total });
    }

    async fn sql(&self, table: &'static str, sql: &str) -> Result<(), TransferError> {
        self.client.batch_execute(sql).await.map_err(Trouble::from).map_err(failed(table))
    }

    /// Reads from SQLite on a thread that may block.
    async fn reader<T: Send + 'static>(
        &mut self,
        table: &'static str,
        read: impl FnOnce(&Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, TransferError> {
        let broke = || StoreError::Failed("a read broke".to_owned());
        let rows = self.rows.take().ok_or_else(broke).map_err(failed(table))?;
        let done = spawn_blocking(move || (read(&rows), rows)).await;
        let (outcome, rows) = done.map_err(|_| broke()).map_err(failed(table))?;
        self.rows = Some(rows);
        outcome.map_err(failed(table))
    }
}

/// A column as it is read back: numbers all have one width.
fn selected((name, kind): &(&'static str, Kind)) -> String {
    match kind {
        Kind::Integer => format!("{name}::bigint"),
        Kind::Text | Kind::Bytes => (*name).to_owned(),
    }
}

/// One column of many rows.
enum Column<'r> {
    Text(Vec<Option<&'r str>>),
    Integer(Vec<Option<i64>>),
    Bytes(Vec<Option<&'r [u8]>>),
}

impl<'r> Column<'r> {
    fn new(page: &'r [Vec<Value>], index: usize, kind: Kind) -> Self {
        let values = page.iter().map(|row| row.get(index));
        match kind {
            Kind::Text => Self::Text(
                values
                    .map(|value| match value {
                        Some(Value::Text(text)) => Some(&**text),
                        _ => None,
                    })
                    .collect(),
            ),
            Kind::Integer => Self::Integer(
                values
                    .map(|value| match value {
                        Some(Value::Integer(number)) => Some(*number),
                        _ => None,
                    })
                    .collect(),
            ),
            Kind::Bytes => Self::Bytes(
                values
                    .map(|value| match value {
                        Some(Value::Blob(bytes)) => Some(&**bytes),
                        _ => None,
                    })
                    .collect(),
            ),
        }
    }

    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(values) => (values, Type::TEXT_ARRAY),
            Self::Integer(values) => (values, Type::INT8_ARRAY),
            Self::Bytes(values) => (values, Type::BYTEA_ARRAY),
        }
    }
}

async fn insert(client: &Client, table: &Table, page: &[Vec<Value>]) -> Result<(), Trouble> {
    let columns: Vec<Column<'_>> = (0..)
        .zip(table.columns)
        .map(|(index, (_, kind))| Column::new(page, index, *kind))
        .collect();
    let places: Vec<String> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({})",
        table.name,
        table.names(),
        places.join(", ")
    );
    let parameters: Vec<_> = columns.iter().map(Column::parameter).collect();
    client.execute_typed(&sql, &parameters).await?;
    Ok(())
}

fn read(table: &Table, row: &Row) -> Result<Vec<Value>, Trouble> {
    let value = |(index, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Text => row.try_get::<usize, Option<String>>(index)?.map(Value::Text),
            Kind::Integer => row.try_get::<usize, Option<i64>>(index)?.map(Value::Integer),
            Kind::Bytes => row.try_get::<usize, Option<Vec<u8>>>(index)?.map(Value::Blob),
        }
        .unwrap_or(Value::Null))
    };
    (0..).zip(table.columns).map(value).collect()
}
