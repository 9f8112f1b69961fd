//! Clients as memory takes them up at a start. Each row and each column of it costs, so that the database
//! keeps of plain clients just what decisions ask for, in one row each; whoever is not plain is read whole.
//! One thread reads the rows while another takes them apart: each has about half of the work.

use jeton_engine::client::extract::{ClientExtract, PlainClient, PlainSecret};
use jeton_engine::client::{Client, SecretDigest};
use jeton_engine::clock::Time;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::scope::Scope;
use jeton_engine::store::TakeExtract;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::clients;
use super::trouble::Trouble;

/// How many clients are handed over at once. With half as many, threads wake each other twice as often; with more,
/// the allocator keeps more room.
const PAGE: u32 = 500;

/// How many pages may lie ready.
pub(super) const READY_MAX: usize = 2;

/// Clients as they were read, in the byte order of their identifiers.
#[derive(Default)]
pub(super) struct Page {
    rows: Vec<Row>,
    /// Identifier and terms of each that is plain.
    text: Vec<u8>,
    /// Who comes last, where more may follow.
    last: Option<ClientId>,
}

enum Row {
    /// How many bytes of the text are its identifier and its terms, and the digest of its secret.
    Plain(usize, usize, Option<[u8; 32]>),
    Whole(Box<Client>),
}

impl Page {
    fn whole(clients: Vec<Client>) -> Self {
        let last = clients.get(PAGE as usize - 1).map(|client| client.id.clone());
        let rows = clients.into_iter().map(|client| Row::Whole(Box::new(client))).collect();
        Self { rows, text: Vec::new(), last }
    }

    fn add(&mut self, id: &[u8], terms: &[u8], digest: Option<[u8; 32]>) {
        self.rows.push(Row::Plain(id.len(), terms.len(), digest));
        self.text.extend_from_slice(id);
        self.text.extend_from_slice(terms);
    }
}

/// Reads all clients of a realm as they are at one moment, as long as somebody takes them.
pub(super) fn read(
    connection: &Connection,
    realm: &RealmName,
    ready: &mpsc::Sender<Page>,
) -> Result<(), Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    let (mut after, mut is_last) = (None, false);
    while !is_last {
        let page = match draw(&snapshot, realm, after.as_ref())? {
            Some(page) => page,
            None => Page::whole(clients::page_of(&snapshot, realm, after.as_ref(), PAGE)?),
        };
        after.clone_from(&page.last);
        is_last = ready.blocking_send(page).is_err() || after.is_none();
    }
    drop(snapshot);
    // Nobody comes back for these pages soon.
    Ok(connection.release_memory()?)
}

/// Nothing when many are not plain, for to read many one by one costs more than to read all; nor when
/// an extract is there and its client is not, or cannot be read: reading the whole rows says so.
fn draw(
    snapshot: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
) -> Result<Option<Page>, Trouble> {
    // No identifier is empty, so that all come after the empty text.
    let after = after.map_or("", ClientId::as_str);
    let mut select = snapshot.prepare_cached(
        "SELECT id, terms, digest FROM client_extract WHERE realm = ?1 AND id > ?2 \
         ORDER BY id LIMIT ?3",
    )?;
    let mut rows = select.query(params![realm.as_str(), after, PAGE])?;
    let mut page = Page { rows: Vec::with_capacity(PAGE as usize), ..Page::default() };
    let mut whole_left = 1 + PAGE / 16;
    while let Some(row) = rows.next()? {
        let ValueRef::Text(id) = row.get_ref(0)? else { return Ok(None) };
        let parsed = || -> Option<ClientId> { str::from_utf8(id).ok()?.parse().ok() };
        match (row.get_ref(1)?, digest(row.get_ref(2)?)) {
            (ValueRef::Text(terms), Some(digest)) => page.add(id, terms, digest),
            (ValueRef::Null, _) if whole_left > 0 => {
                whole_left -= 1;
                let Some(id) = parsed() else { return Ok(None) };
                let Some(whole) = clients::one_of(snapshot, realm, &id)? else { return Ok(None) };
                page.rows.push(Row::Whole(Box::new(whole)));
            }
            _ => return Ok(None),
        }
        if page.rows.len() == PAGE as usize {
            let Some(last) = parsed() else { return Ok(None) };
            page.last = Some(last);
        }
    }
    Ok(Some(page))
}

/// The digest of a secret, if there is a secret; nothing when it is no digest.
fn digest(value: ValueRef<'_>) -> Option<Option<[u8; 32]>> {
    value.as_blob_or_null().ok()?.map(TryInto::try_into).transpose().ok()
}

/// An extract that cannot be taken apart.
pub(super) struct Unreadable {
    /// Who was taken before it.
    pub(super) after: Option<ClientId>,
}

/// Takes apart what becomes ready.
pub(super) async fn take_apart(
    mut ready: mpsc::Receiver<Page>,
    take: &mut TakeExtract<'_>,
) -> Result<(), Unreadable> {
    let (mut after, mut scope) = (None, Scope::default());
    while let Some(Page { rows, text, .. }) = ready.recv().await {
        let Ok(mut text) = str::from_utf8(&text) else { return Err(Unreadable { after }) };
        for row in rows {
            let extract = match row {
                Row::Whole(client) => Some((*client).into()),
                Row::Plain(id, terms, digest) => plain(&mut text, id, terms, digest, &mut scope),
            };
            let Some(extract) = extract else { return Err(Unreadable { after }) };
            after = Some(extract.id().clone());
            take(extract);
        }
    }
    Ok(())
}

/// Takes terms apart as the migration puts them together. Most have the scope of the one `before`.
fn plain(
    text: &mut &str,
    id: usize,
    terms: usize,
    digest: Option<[u8; 32]>,
    before: &mut Scope,
) -> Option<ClientExtract> {
    let (id, rest) = text.split_at_checked(id)?;
    let (mut terms, rest) = rest.split_at_checked(terms)?;
    *text = rest;
    let created_at = Time::from_milliseconds(part(&mut terms, b' ')?.parse().ok()?);
    let revision = part(&mut terms, b' ')?.parse().ok()?;
    let expires_at = match part(&mut terms, b' ')? {
        "" => None,
        end => Some(Time::from_milliseconds(end.parse().ok()?)),
    };
    let secret = match (part(&mut terms, b' ')?, digest) {
        ("", None) => None,
        (id, Some(digest)) => {
            let digest = SecretDigest::Generated(digest);
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
    let (id, scope) = (id.parse().ok()?, before.clone());
    Some(ClientExtract::Plain(PlainClient { id, name, scope, secret, created_at, revision }))
}

/// What comes before the next `end`, and the rest after it. Pages are so short that a search that looks at
/// many bytes at once costs more.
fn part<'t>(text: &mut &'t str, end: u8) -> Option<&'t str> {
    let at = text.bytes().position(|byte| byte == end)?;
    let (part, rest) = (text.get(..at)?, text.get(at + 1..)?);
    *text = rest;
    Some(part)
}
