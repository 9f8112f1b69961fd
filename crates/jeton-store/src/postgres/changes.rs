//! The feed of changes in PostgreSQL: a row a change, numbered by a counter that is locked until
//! the transaction has committed, so that a reader never sees a revision before a smaller one.

use jeton_engine::clock::Time;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::{Change, Changed, Changes, Revision};
use jeton_engine::token::TokenDigest;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::trouble::{Trouble, integer};
use crate::migrate::hexadecimal;

/// Waits until nobody else is changing anything, and keeps others waiting until the transaction
/// ends. The first statement of every transaction that changes something: so there is one order of
/// locks, and whoever holds it sees all that was changed before.
pub(super) const LOCK: &str = "SELECT newest FROM feed WHERE number = 1 FOR UPDATE";

/// Tells the listeners, once the transaction has committed.
pub(super) const TELL: &str = "NOTIFY jeton_change";

/// Has a connection hear what [`TELL`] tells.
pub(super) const LISTEN: &str = "LISTEN jeton_change";

/// With more changes than this, reading everything anew costs less than following them.
const FOLLOWED_MAX: u64 = 10_000;

/// Notes a change.
pub(super) async fn note(client: &Client, at: Time, change: &Change) -> Result<(), Trouble> {
    let hexadecimal_digest;
    let (kind, realm, subject) = match change {
        Change::Client(realm, id) => ("client", realm, Some(id.as_str())),
        Change::Keys(realm) => ("keys", realm, None),
        Change::TokenRevoked(realm, digest) => {
            hexadecimal_digest = hexadecimal(digest);
            ("token_revoked", realm, Some(hexadecimal_digest.as_str()))
        }
        Change::TokensDeleted(realm, id) => ("tokens_deleted", realm, Some(id.as_str())),
    };
    client
        .execute_typed(
            "WITH step AS (UPDATE feed SET newest = newest + 1 WHERE number = 1 RETURNING newest) \
             INSERT INTO change (seq, at, kind, realm, subject) \
             SELECT newest, $1, $2, $3, $4 FROM step",
            &[
                (&at.milliseconds(), Type::INT8),
                (&kind, Type::TEXT),
                (&realm.as_str(), Type::TEXT),
                (&subject, Type::TEXT),
            ],
        )
        .await?;
    Ok(())
}

/// The newest revision ever given, whether its row is still there or not.
pub(super) async fn newest(client: &Client) -> Result<Revision, Trouble> {
    let row = client.query_typed_one("SELECT newest FROM feed WHERE number = 1", &[]).await?;
    revision(&row)
}

/// What changed after `revision`. Revisions have no gaps, so that one row too few tells that some
/// were removed; a revision from the future tells that a backup was restored. One statement, and
/// so one moment at which the database is looked at.
pub(super) async fn after(client: &Client, since: Revision) -> Result<Changes, Trouble> {
    let rows = client
        .query_typed(
            "SELECT feed.newest, change.kind, change.realm, change.subject FROM feed \
             LEFT JOIN change ON change.seq > $1 AND change.seq <= feed.newest \
             AND feed.newest - $1 <= $2 WHERE feed.number = 1 ORDER BY change.seq",
            &[(&integer(since.0)?, Type::INT8), (&integer(FOLLOWED_MAX)?, Type::INT8)],
        )
        .await?;
    let newest = rows.first().map(revision).transpose()?.unwrap_or_default();
    let missed = newest.0.checked_sub(since.0).filter(|missed| *missed <= FOLLOWED_MAX);
    let mut changes = Vec::new();
    for row in &rows {
        changes.extend(read(row)?);
    }
    // A change that this binary cannot read was written by a newer one: it is followed all the
    // same, by reading everything.
    let changed = match missed {
        Some(missed) if changes.len() as u64 == missed => Changed::These(changes),
        _ => Changed::Everything,
    };
    Ok(Changes { revision: newest, changed })
}

fn revision(row: &Row) -> Result<Revision, Trouble> {
    let newest: i64 = row.try_get(0)?;
    Ok(Revision(u64::try_from(newest).unwrap_or(0)))
}

/// A change, of a row whose second to fourth columns are its kind, realm and subject; nothing when this
/// binary does not know it.
pub(super) fn read(row: &Row) -> Result<Option<Change>, Trouble> {
    let realm: Option<&str> = row.try_get(2)?;
    let subject: Option<&str> = row.try_get(3)?;
    let client_id = || subject.and_then(|text| text.parse::<ClientId>().ok());
    let realm = realm.and_then(|text| text.parse::<RealmName>().ok());
    let Some(realm) = realm else { return Ok(None) };
    Ok(match row.try_get::<usize, Option<&str>>(1)?.unwrap_or_default() {
        "client" => client_id().map(|id| Change::Client(realm, id)),
        "keys" => Some(Change::Keys(realm)),
        "token_revoked" => {
            subject.and_then(digest).map(|digest| Change::TokenRevoked(realm, digest))
        }
        "tokens_deleted" => client_id().map(|id| Change::TokensDeleted(realm, id)),
        _ => None,
    })
}

fn digest(text: &str) -> Option<TokenDigest> {
    let mut digest = TokenDigest::default();
    if text.len() != digest.len() * 2 {
        return None;
    }
    for (to, from) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(from).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// Writes something, to know that writing works.
pub(super) async fn probe(client: &Client) -> Result<(), Trouble> {
    client.execute_typed("UPDATE probe SET checks = checks + 1 WHERE number = 1", &[]).await?;
    Ok(())
}
