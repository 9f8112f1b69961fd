//! Clients as memory takes them up at a start. Each row and each column of it costs, so that the database
//! keeps of plain clients just what decisions ask for, in one row each; whoever is not plain is read whole.

use jeton_engine::client::SecretDigest;
use jeton_engine::client::extract::{ClientExtract, PlainClient, PlainSecret};
use jeton_engine::clock::Time;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::scope::Scope;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::clients;
use super::trouble::Trouble;

/// Up to `count` clients after `after`, in the byte order of their identifiers.
pub(super) fn page(
    connection: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Vec<ClientExtract>, Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    let page = match draw(&snapshot, realm, after, count)? {
        Some(page) => page,
        None => {
            let whole = clients::page_of(&snapshot, realm, after, count)?;
            whole.into_iter().map(ClientExtract::from).collect()
        }
    };
    drop(snapshot);
    if page.len() < count as usize {
        // The last one: nobody comes back for these pages soon.
        connection.release_memory()?;
    }
    Ok(page)
}

/// Nothing when many are not plain, for to read many one by one costs more than to read all; nor when
/// an extract is there and its client is not, or cannot be read: reading the whole rows says so.
fn draw(
    snapshot: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Option<Vec<ClientExtract>>, Trouble> {
    // No identifier is empty, so that all come after the empty text.
    let after = after.map_or("", ClientId::as_str);
    let mut select = snapshot.prepare_cached(
        "SELECT id, terms, digest FROM client_extract WHERE realm = ?1 AND id > ?2 \
         ORDER BY id LIMIT ?3",
    )?;
    let mut rows = select.query(params![realm.as_str(), after, count])?;
    let (mut page, mut scope, mut whole_left) = (Vec::new(), Scope::default(), 1 + count / 16);
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str().ok().and_then(|text| text.parse().ok());
        let Some(id): Option<ClientId> = id else { return Ok(None) };
        let (terms, digest) = (row.get_ref(1)?, row.get_ref(2)?);
        let plain = terms.as_str().ok().and_then(|terms| read(&id, terms, digest, &mut scope));
        page.push(match plain {
            Some(plain) => ClientExtract::Plain(plain),
            None if whole_left == 0 => return Ok(None),
            None => {
                whole_left -= 1;
                let Some(whole) = clients::one_of(snapshot, realm, &id)? else { return Ok(None) };
                whole.into()
            }
        });
    }
    Ok(Some(page))
}

/// Takes terms apart as the migration puts them together. Most have the scope of the one `before`.
fn read(
    id: &ClientId,
    mut terms: &str,
    digest: ValueRef<'_>,
    before: &mut Scope,
) -> Option<PlainClient> {
    let created_at = Time::from_milliseconds(part(&mut terms, b' ')?.parse().ok()?);
    let revision = part(&mut terms, b' ')?.parse().ok()?;
    let expires_at = match part(&mut terms, b' ')? {
        "" => None,
        end => Some(Time::from_milliseconds(end.parse().ok()?)),
    };
    let secret = match (part(&mut terms, b' ')?, digest) {
        ("", ValueRef::Null) => None,
        (id, ValueRef::Blob(digest)) => {
            let digest = SecretDigest::Generated(digest.try_into().ok()?);
            Some(PlainSecret { id: id.parse().ok()?, digest, expires_at })
        }
        _ => return None,
    };
    let (scope, name) = match part(&mut terms, b'\n') {
        Some(scope) => (scope, Some(terms.into())),
        None => (terms, None),
    };
    if before.as_str() != scope {
        *before = scope.parse().ok()?;
    }
    Some(PlainClient { id: id.clone(), name, scope: before.clone(), secret, created_at, revision })
}

/// What comes before the next `end`, and the rest after it. Parts are so short that a search that looks at
/// many bytes at once costs more.
fn part<'t>(text: &mut &'t str, end: u8) -> Option<&'t str> {
    let at = text.bytes().position(|byte| byte == end)?;
    let (part, rest) = (text.get(..at)?, text.get(at + 1..)?);
    *text = rest;
    Some(part)
}
