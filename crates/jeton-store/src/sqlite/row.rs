//! Reads a row's columns in order and turns them into the engine's types. A row that does not
//! parse is named in the error; its content is not, for it may be anything.

use std::fmt::Display;
use std::str::FromStr;

use jeton_engine::clock::Time;
use jeton_engine::store::StoreError;
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use serde::de::DeserializeOwned;

use super::trouble::Trouble;

/// A row being read from its first column to its last. The first two columns identify it.
pub(super) struct Columns<'r, 's> {
    table: &'static str,
    row: &'r Row<'s>,
    next: usize,
}

impl<'r, 's> Columns<'r, 's> {
    /// Starts at the first column.
    pub(super) fn new(table: &'static str, row: &'r Row<'s>) -> Self {
        Self { table, row, next: 0 }
    }

    /// Passes over a column.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// The next column as it is.
    pub(super) fn value<T: FromSql>(&mut self) -> Result<T, Trouble> {
        self.next += 1;
        Ok(self.row.get(self.next - 1)?)
    }

    /// The next column as a moment.
    pub(super) fn time(&mut self) -> Result<Time, Trouble> {
        Ok(Time::from_milliseconds(self.value()?))
    }

    /// The next column as a moment that may be absent.
    pub(super) fn time_if_any(&mut self) -> Result<Option<Time>, Trouble> {
        Ok(self.value::<Option<i64>>()?.map(Time::from_milliseconds))
    }

    /// The next column as a number that is never negative.
    pub(super) fn natural<T: TryFrom<i64, Error: Display>>(&mut self) -> Result<T, Trouble> {
        T::try_from(self.value()?).map_err(|error| self.unreadable(&error))
    }

    /// The next column as something with a text form.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, Trouble> {
        let text = self.text()?;
        text.parse().map_err(|error: T::Err| self.unreadable(&error))
    }

    /// The next column as something with a text form that may be absent.
    pub(super) fn parsed_if_any<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, Trouble> {
        if self.is_absent()? { Ok(None) } else { self.parsed().map(Some) }
    }

    /// The next column as one of a closed set of names.
    pub(super) fn one_of<T: Copy>(&mut self, names: &[(&str, T)]) -> Result<T, Trouble> {
        let text = self.text()?;
        let found = names.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| self.unreadable(&"is not a known name"))
    }

    /// The next column as a JSON array; absent when empty.
    pub(super) fn list<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, Trouble> {
        if self.is_absent()? {
            return Ok(Vec::new());
        }
        let mut list: Vec<T> = serde_json::from_str(self.text()?)
            .map_err(|_| self.unreadable(&"is not a JSON array of what belongs there"))?;
        list.shrink_to_fit();
        Ok(list)
    }

    /// An error that names the row and the column read last.
    pub(super) fn unreadable(&self, why: &dyn Display) -> Trouble {
        let part = |index| {
            let value = self.row.get_ref(index).ok();
            value.and_then(|value| value.as_str().ok()).unwrap_or("?")
        };
        let column = self.row.as_ref().column_name(self.next.saturating_sub(1)).unwrap_or("?");
        Trouble::Store(StoreError::Failed(format!(
            "the row {} {}/{} cannot be read: its {column} {why}",
            self.table,
            part(0),
            part(1),
        )))
    }

    /// Whether the next column is absent; passes over it when it is.
    fn is_absent(&mut self) -> Result<bool, Trouble> {
        let absent = matches!(self.row.get_ref(self.next)?, ValueRef::Null);
        self.next += usize::from(absent);
        Ok(absent)
    }

    /// The next column as text.
    fn text(&mut self) -> Result<&'r str, Trouble> {
        self.next += 1;
        let value = self.row.get_ref(self.next - 1)?;
        value.as_str().map_err(|_| self.unreadable(&"is not text"))
    }
}
