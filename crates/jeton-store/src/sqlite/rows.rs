//! Reads whole tables, a page at a time, for somebody who moves them elsewhere. Nobody else may have
//! the database open meanwhile: what they wrote would be left behind.

use std::path::Path;

use jeton_engine::store::StoreError;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params_from_iter};

use super::trouble::Trouble;
use crate::tables::Table;

/// A database that is ours alone.
pub(crate) struct Rows(Connection);

/// How many rows a page has.
const PAGE: usize = 1_000;

impl Rows {
    /// Takes a database for oneself.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when another process has it open.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::take(path).map_err(StoreError::from)
    }

    fn take(path: &Path) -> Result<Self, Trouble> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
        Ok(Self(connection))
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count: i64 = self.0.query_row(&sql, [], |row| row.get(0)).map_err(Trouble::from)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The last number that was given to a row of a table, whether the row is still there or not.
    pub(crate) fn last_number(&self, table: &str) -> Result<i64, StoreError> {
        let given = self
            .0
            .query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0))
            .optional()
            .map_err(Trouble::from)?;
        Ok(given.unwrap_or(0))
    }

    /// A page of a table, in the order of its key, after the row `last`. Empty after the last one.
    pub(crate) fn page(
        &self,
        table: &Table,
        last: Option<&[Value]>,
    ) -> Result<Vec<Vec<Value>>, StoreError> {
        self.read(table, last).map_err(StoreError::from)
    }

    fn read(&self, table: &Table, last: Option<&[Value]>) -> Result<Vec<Vec<Value>>, Trouble> {
        let (names, key) = (table.names(), table.key_names());
        let after = match last {
            Some(_) => format!("WHERE ({key}) > ({})", vec!["?"; table.key].join(", ")),
            None => String::new(),
        };
        let mut select = self.0.prepare_cached(&format!(
            "SELECT {names} FROM {} {after} ORDER BY {key} LIMIT {PAGE}",
            table.name
        ))?;
        let last = last.unwrap_or_default().iter().take(table.key);
        let mut rows = select.query(params_from_iter(last))?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let value = |index| row.get::<usize, Value>(index);
            page.push((0..table.columns.len()).map(value).collect::<Result<_, _>>()?);
        }
        Ok(page)
    }
}
