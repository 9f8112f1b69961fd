//! Events in PostgreSQL: written many at a time, found by their reference, removed by age.

use std::borrow::Cow;

use jeton_engine::event::{Event, Reference};
use jeton_engine::name::ClientId;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::row::Columns;
use super::trouble::Trouble;

/// What [`read`] reads.
pub(super) const COLUMNS: &str = "realm, reference, at, kind, client_id, source, detail";

/// Keeps events, in their order.
pub(super) async fn keep(client: &Client, events: &[&Event]) -> Result<u64, Trouble> {
    if events.is_empty() {
        return Ok(0);
    }
    let at: Vec<_> = events.iter().map(|event| event.at.milliseconds()).collect();
    let reference: Vec<_> = events.iter().map(|event| event.reference.as_str()).collect();
    let realm: Vec<_> = events.iter().map(|event| event.realm.as_str()).collect();
    let kind: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    let client_id: Vec<_> =
        events.iter().map(|event| event.client_id.as_ref().map(ClientId::as_str)).collect();
    let source: Vec<_> =
        events.iter().map(|event| event.source.map(|source| source.to_string())).collect();
    let detail: Vec<_> = events.iter().map(|event| event.detail.as_deref()).collect();
    let kept = client
        .execute_typed(
            "INSERT INTO event (at, reference, realm, kind, client_id, source, detail) \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)",
            &[
                (&at, Type::INT8_ARRAY),
                (&reference, Type::TEXT_ARRAY),
                (&realm, Type::TEXT_ARRAY),
                (&kind, Type::TEXT_ARRAY),
                (&client_id, Type::TEXT_ARRAY),
                (&source, Type::TEXT_ARRAY),
                (&detail, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(kept)
}

/// The newest event with this reference: fifty random bits may meet again after millions.
pub(super) async fn one(client: &Client, reference: Reference) -> Result<Option<Event>, Trouble> {
    let row = client
        .query_typed_opt(
            &format!("SELECT {COLUMNS} FROM event WHERE reference = $1 ORDER BY seq DESC LIMIT 1"),
            &[(&reference.as_str(), Type::TEXT)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// An event, of its [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<Event, Trouble> {
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
