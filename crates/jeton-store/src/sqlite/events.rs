//! Events in SQLite: written in order, found by their reference, removed by age.

use std::borrow::Cow;

use jeton_engine::clock::Time;
use jeton_engine::event::{Event, Reference};
use jeton_engine::name::ClientId;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement, params};

use super::row::Columns;
use super::trouble::{Trouble, integer};

/// An event, as [`read`] wants it.
pub(super) const COLUMNS: &str = "realm, reference, at, kind, client_id, source, detail";

/// Writes an event.
pub(super) const INSERT: &str = "INSERT INTO event \
    (at, reference, realm, kind, client_id, source, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// How many of the oldest events are looked at for old ones. Events are written in the order of
/// time, all but exactly; only a clock that was set back makes old ones hide behind newer ones.
pub(super) const WINDOW: u32 = 1_000;

/// Keeps an event.
pub(super) fn keep(connection: &Connection, event: &Event) -> Result<(), Trouble> {
    let mut insert = connection.prepare_cached(INSERT)?;
    keep_with(&mut insert, event)
}

/// Keeps an event by a prepared [`INSERT`].
pub(super) fn keep_with(insert: &mut Statement<'_>, event: &Event) -> Result<(), Trouble> {
    insert.execute(params![
        event.at.milliseconds(),
        event.reference.as_str(),
        event.realm.as_str(),
        event.kind.name(),
        event.client_id.as_ref().map(ClientId::as_str),
        event.source.map(|source| source.to_string()),
        event.detail.as_deref(),
    ])?;
    Ok(())
}

/// Keeps events.
pub(super) fn keep_all(connection: &Connection, events: &[Event]) -> Result<u64, Trouble> {
    let mut insert = connection.prepare_cached(INSERT)?;
    for event in events {
        keep_with(&mut insert, event)?;
    }
    Ok(events.len() as u64)
}

/// The newest event with this reference: fifty random bits may meet again after millions.
pub(super) fn one(connection: &Connection, reference: Reference) -> Result<Option<Event>, Trouble> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM event WHERE reference = ?1 ORDER BY seq DESC LIMIT 1"
    ))?;
    let mut rows = select.query([reference.as_str()])?;
    rows.next()?.map(read).transpose()
}

/// Removes up to `count` events from before `before`.
pub(super) fn remove(connection: &Connection, before: Time, count: u64) -> Result<u64, Trouble> {
    let oldest = connection
        .prepare_cached("SELECT seq FROM event ORDER BY seq LIMIT 1")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    if oldest.is_none() || count == 0 {
        return Ok(0);
    }
    let window = u64::from(WINDOW).max(count);
    let removed = connection
        .prepare_cached(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM (SELECT seq, at FROM event \
             ORDER BY seq LIMIT ?3) WHERE at < ?1 ORDER BY seq LIMIT ?2)",
        )?
        .execute(params![before.milliseconds(), integer(count)?, integer(window)?])?;
    Ok(removed as u64)
}

/// The event in a row.
pub(super) fn read(row: &Row<'_>) -> Result<Event, Trouble> {
    let mut columns = Columns::new("event", row);
    Ok(Event {
        realm: columns.parsed()?,
        reference: columns.parsed()?,
        at: columns.time()?,
        kind: columns.parsed()?,
        client_id: columns.parsed_if_any()?,
        source: columns.parsed_if_any()?,
        detail: columns.value::<Option<String>>()?.map(Cow::Owned),
    })
}
