//! Reads a row's columns in order and turns them into the engine's types. A row that does not
//! parse is named in the error; its content is not, for it may be anything.

use std::fmt::Display;
use std::str::FromStr;

use jeton_engine::clock::Time;
use jeton_engine::store::StoreError;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::trouble::Trouble;

/// A row being read from its first column to its last. The first two columns identify it.
pub(super) struct Columns<'r> {
    table: &'static str,
    row: &'r Row,
    next: usize,
}

impl<'r> Columns<'r> {
    /// Starts at the first column.
    pub(super) fn new(table: &'static str, row: &'r Row) -> Self {
        Self { table, row, next: 0 }
    }

    /// The second column, which identifies the row together with the first.
    pub(super) fn row_identifier(&self) -> Result<&'r str, Trouble> {
        Ok(self.row.try_get(1)?)
    }

    /// Passes over so many columns.
    pub(super) fn pass(&mut self, count: usize) {
        self.next += count;
    }

    /// The next column as it is.
    pub(super) fn value<T: FromSql<'r>>(&mut self) -> Result<T, Trouble> {
        self.next += 1;
        Ok(self.row.try_get(self.next - 1)?)
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

    /// The next column as a number that is never negative and may be absent.
    pub(super) fn natural_if_any<T: TryFrom<i64, Error: Display>>(
        &mut self,
    ) -> Result<Option<T>, Trouble> {
        let number: Option<i64> = self.value()?;
        number.map(T::try_from).transpose().map_err(|error| self.unreadable(&error))
    }

    /// The next column as so many bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let bytes: &[u8] = self.value()?;
        bytes.try_into().map_err(|error| self.unreadable(&error))
    }

    /// The next column as so many bytes, which may be absent.
    pub(super) fn bytes_if_any<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Trouble> {
        let bytes: Option<&[u8]> = self.value()?;
        bytes.map(TryInto::try_into).transpose().map_err(|error| self.unreadable(&error))
    }

    /// The next column as something with a text form.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self) -> Result<T, Trouble> {
        let text: &str = self.value()?;
        text.parse().map_err(|error: T::Err| self.unreadable(&error))
    }

    /// The next column as something with a text form that may be absent.
    pub(super) fn parsed_if_any<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, Trouble> {
        let text: Option<&str> = self.value()?;
        text.map(str::parse).transpose().map_err(|error: T::Err| self.unreadable(&error))
    }

    /// The next column as one of a closed set of names.
    pub(super) fn one_of<T: Copy>(&mut self, names: &[(&str, T)]) -> Result<T, Trouble> {
        let text: &str = self.value()?;
        let found = names.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| self.unreadable(&"is not a known name"))
    }

    /// The next column as a JSON array; absent when empty.
    pub(super) fn list<T: DeserializeOwned>(&mut self) -> Result<Vec<T>, Trouble> {
        let Some(text) = self.value::<Option<&str>>()? else { return Ok(Vec::new()) };
        let mut list: Vec<T> = serde_json::from_str(text)
            .map_err(|_| self.unreadable(&"is not a JSON array of what belongs there"))?;
        list.shrink_to_fit();
        Ok(list)
    }

    /// An error that names the row and the column read last.
    pub(super) fn unreadable(&self, why: &dyn Display) -> Trouble {
        let part = |index| self.row.try_get::<usize, &str>(index).unwrap_or("?");
        let columns = self.row.columns();
        let column = columns.get(self.next.saturating_sub(1)).map_or("?", |column| column.name());
        Trouble::Store(StoreError::Failed(format!(
            "the row {} {}/{} cannot be read: its {column} {why}",
            self.table,
            part(0),
            part(1),
        )))
    }
}
