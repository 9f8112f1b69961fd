//! Clients as memory takes them up at a start. Each column of a row costs, so that of plain clients just
//! those are read that decisions ask for; whoever is not plain is read whole.

use jeton_engine::client::SecretDigest;
use jeton_engine::client::extract::{ClientExtract, PlainClient, PlainSecret};
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::scope::Scope;
use jeton_engine::store::StoreError;
use rusqlite::{Connection, Row, Rows, params};

use super::clients;
use super::row::Columns;
use super::trouble::Trouble;

/// Of a client, and last whether it has nothing special beside its secrets.
const COLUMNS: &str = "id, name, scope, created_at, revision, \
    iif(status = 'enabled' AND role = 'client' AND lock = 'open' AND coalesce(subject, audiences, \
    lifetime_seconds, networks, authentication, claims, proof, registration) IS NULL, 1, 0)";

/// A client that seems to be plain, or the identifier of one that has to be read whole.
type Drawn = Result<PlainClient, ClientId>;

/// Up to `count` clients after `after`, in the byte order of their identifiers.
pub(super) fn page(
    connection: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Vec<ClientExtract>, Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    let drawn = draw(&snapshot, realm, after, count)?;
    let is_last = drawn.as_ref().is_some_and(|drawn| drawn.len() < count as usize);
    let page = match drawn.filter(|drawn| is_mostly_plain(drawn)) {
        Some(drawn) => {
            let whole = |one| fill(&snapshot, realm, one).transpose();
            drawn.into_iter().filter_map(whole).collect::<Result<_, _>>()?
        }
        None => {
            let whole = clients::page_of(&snapshot, realm, after, count)?;
            whole.into_iter().map(ClientExtract::from).collect()
        }
    };
    drop(snapshot);
    if is_last {
        // Nobody comes back for these pages soon.
        connection.release_memory()?;
    }
    Ok(page)
}

/// Reading many one by one costs more than reading all.
fn is_mostly_plain(drawn: &[Drawn]) -> bool {
    drawn.iter().filter(|one| one.is_err()).count() <= drawn.len() / 4
}

fn fill(
    snapshot: &Connection,
    realm: &RealmName,
    drawn: Drawn,
) -> Result<Option<ClientExtract>, Trouble> {
    match drawn {
        Ok(plain) => Ok(Some(ClientExtract::Plain(plain))),
        Err(id) => Ok(clients::one_of(snapshot, realm, &id)?.map(ClientExtract::from)),
    }
}

/// Nothing when something cannot be read: reading the whole rows says what.
fn draw(
    snapshot: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Option<Vec<Drawn>>, Trouble> {
    // No identifier is empty, so that all come after the empty text.
    let after = after.map_or("", ClientId::as_str);
    let mut select = snapshot.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM client WHERE realm = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    ))?;
    let mut rows = select.query(params![realm.as_str(), after, count])?;
    let (mut drawn, mut scope) = (Vec::new(), Scope::default());
    while let Some(row) = rows.next()? {
        match read(row, &mut scope) {
            Ok(one) => drawn.push(one),
            Err(Trouble::Store(StoreError::Failed(_))) => return Ok(None),
            Err(trouble) => return Err(trouble),
        }
    }
    let Some(last) = drawn.last().map(id) else { return Ok(Some(drawn)) };
    let mut select = snapshot.prepare_cached(
        "SELECT client_id, id, expires_at, generated FROM secret \
         WHERE realm = ?1 AND client_id > ?2 AND client_id <= ?3 ORDER BY client_id, position",
    )?;
    let last = last.clone();
    hand_out(select.query([realm.as_str(), after, last.as_str()])?, &mut drawn)?;
    Ok(Some(drawn))
}

fn id(drawn: &Drawn) -> &ClientId {
    match drawn {
        Ok(plain) => &plain.id,
        Err(id) => id,
    }
}

/// Most have the scope of the one before.
fn read(row: &Row<'_>, before: &mut Scope) -> Result<Drawn, Trouble> {
    let mut columns = Columns::new("client", row);
    let id = columns.parsed()?;
    let name = columns.value()?;
    let text = columns.text()?;
    if before.as_str() != text {
        *before = text.parse().map_err(|error| columns.unreadable(&error))?;
    }
    let scope = before.clone();
    let (created_at, revision) = (columns.time()?, columns.natural()?);
    let plain = PlainClient { id, name, scope, secret: None, created_at, revision };
    Ok(if columns.value()? { Ok(plain) } else { Err(plain.id) })
}

/// Hands secrets to their clients, both in the order of the clients' identifiers.
fn hand_out(mut secrets: Rows<'_>, drawn: &mut [Drawn]) -> Result<(), Trouble> {
    let mut owners = drawn.iter_mut().peekable();
    while let Some(row) = secrets.next()? {
        let client_id = row.get_ref(0)?.as_str().unwrap_or_default();
        while owners.next_if(|owner| id(owner).as_str() != client_id).is_some() {}
        let Some(owner) = owners.peek_mut() else { continue };
        if let Ok(plain) = owner {
            match read_secret(row).filter(|_| plain.secret.is_none()) {
                Some(secret) => plain.secret = Some(secret),
                None => **owner = Err(plain.id.clone()),
            }
        }
    }
    Ok(())
}

/// The secret in a row; not one of another kind, and not one that cannot be read.
fn read_secret(row: &Row<'_>) -> Option<PlainSecret> {
    let mut columns = Columns::new("secret", row);
    columns.skip();
    let (id, expires_at) = (columns.parsed().ok()?, columns.time_if_any().ok()?);
    Some(PlainSecret { id, expires_at, digest: SecretDigest::Generated(columns.value().ok()?) })
}
