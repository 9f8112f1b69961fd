//! Clients and their secrets in SQLite.

use std::num::NonZeroU32;

use jeton_engine::client::{
    Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest, SecretUse,
};
use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{ClientId, RealmName, SecretId, Subject};
use jeton_engine::store::{Change, StoreError};
use jeton_engine::terms::Lifetime;
use rusqlite::{Connection, Row, Rows, named_params, params};

use super::row::Columns;
use super::trouble::{Trouble, integer, is_duplicate};
use super::{changes, events, tokens};
use crate::kept::{CLIENT_STATUSES, ROLES, list_text};

/// A client, as [`read`] wants it.
pub(super) const COLUMNS: &str = "realm, id, name, subject, status, role, lock, locked_until, scope, \
    audiences, lifetime_seconds, networks, authentication, claims, proof, registration, \
    created_at, changed_at, revision";

/// A secret, as [`read_secret`] wants it.
pub(super) const SECRET_COLUMNS: &str =
    "client_id, id, name, generated, supplied, sealed, created_at, expires_at, last_used_at";

/// Adds a client.
pub(super) fn add(connection: &Connection, client: &Client, event: &Event) -> Result<u64, Trouble> {
    let sql = "INSERT INTO client (realm, id, name, subject, status, role, lock, \
        locked_until, scope, audiences, lifetime_seconds, networks, authentication, claims, proof, \
        registration, created_at, changed_at, revision) \
        VALUES (:realm, :id, :name, :subject, :status, :role, :lock, :locked_until, :scope, \
        :audiences, :lifetime, :networks, :authentication, :claims, :proof, :registration, :created_at, \
        :changed_at, :revision)";
    match write(connection, sql, client) {
        Err(Trouble::Sqlite(error)) if is_duplicate(&error) => {
            return Err(StoreError::Exists.into());
        }
        other => other?,
    };
    write_secrets(connection, client)?;
    told(connection, &client.realm, &client.id, event)
}

/// Replaces a client that nobody else has changed meanwhile.
pub(super) fn replace(
    connection: &Connection,
    client: &Client,
    event: &Event,
) -> Result<u64, Trouble> {
    let sql = "UPDATE client SET name = :name, subject = :subject, status = :status, role = :role, \
        lock = :lock, locked_until = :locked_until, scope = :scope, audiences = :audiences, \
        lifetime_seconds = :lifetime, networks = :networks, authentication = :authentication, \
        claims = :claims, proof = :proof, registration = :registration, created_at = :created_at, \
        changed_at = :changed_at, revision = :revision \
        WHERE realm = :realm AND id = :id AND revision = :revision - 1";
    if write(connection, sql, client)? == 0 {
        let exists = connection
            .prepare_cached("SELECT 1 FROM client WHERE realm = ?1 AND id = ?2")?
            .exists([client.realm.as_str(), client.id.as_str()])?;
        let error = if exists { StoreError::Conflict } else { StoreError::Missing };
        return Err(error.into());
    }
    let uses = last_uses(connection, &client.realm, &client.id)?;
    connection
        .prepare_cached("DELETE FROM secret WHERE realm = ?1 AND client_id = ?2")?
        .execute([client.realm.as_str(), client.id.as_str()])?;
    write_secrets(connection, client)?;
    note_uses(connection, &uses)?;
    told(connection, &client.realm, &client.id, event)
}

/// Deletes a client with all it has.
pub(super) fn delete(
    connection: &Connection,
    realm: &RealmName,
    id: &ClientId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = connection
        .prepare_cached("DELETE FROM client WHERE realm = ?1 AND id = ?2")?
        .execute([realm.as_str(), id.as_str()])?;
    if deleted == 0 {
        return Ok(0);
    }
    tokens::delete_of_client(connection, realm, id)?;
    told(connection, realm, id, event)?;
    let change = Change::TokensDeleted(realm.clone(), id.clone());
    changes::note(connection, event.at, &change)?;
    Ok(1)
}

/// Keeps when secrets were last right, where that is news.
pub(super) fn note_uses(connection: &Connection, uses: &[SecretUse]) -> Result<u64, Trouble> {
    let mut update = connection.prepare_cached(
        "UPDATE secret SET last_used_at = ?4 WHERE realm = ?1 AND client_id = ?2 AND id = ?3 \
         AND coalesce(last_used_at < ?4, TRUE)",
    )?;
    let mut noted = 0;
    for one in uses {
        noted += update.execute(params![
            one.realm.as_str(),
            one.client_id.as_str(),
            one.secret_id.as_str(),
            one.at.milliseconds(),
        ])?;
    }
    Ok(noted as u64)
}

/// A client.
pub(super) fn one(
    connection: &Connection,
    realm: &RealmName,
    id: &ClientId,
) -> Result<Option<Client>, Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    one_of(&snapshot, realm, id)
}

/// The same in a snapshot.
pub(super) fn one_of(
    snapshot: &Connection,
    realm: &RealmName,
    id: &ClientId,
) -> Result<Option<Client>, Trouble> {
    let mut select = snapshot
        .prepare_cached(&format!("SELECT {COLUMNS} FROM client WHERE realm = ?1 AND id = ?2"))?;
    let mut rows = select.query([realm.as_str(), id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut clients = [read(row, realm)?];
    let mut select = snapshot.prepare_cached(&format!(
        "SELECT {SECRET_COLUMNS} FROM secret WHERE realm = ?1 AND client_id = ?2 \
         ORDER BY position"
    ))?;
    hand_out(select.query([realm.as_str(), id.as_str()])?, &mut clients)?;
    let [client] = clients;
    Ok(Some(client))
}

/// Up to `count` clients after `after`, in the byte order of their identifiers. Two queries walk
/// the two tables side by side, however many clients there are.
pub(super) fn page(
    connection: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Vec<Client>, Trouble> {
    let snapshot = connection.unchecked_transaction()?;
    page_of(&snapshot, realm, after, count)
}

/// The same in a snapshot.
pub(super) fn page_of(
    snapshot: &Connection,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Vec<Client>, Trouble> {
    // No identifier is empty, so that all come after the empty text.
    let after = after.map_or("", ClientId::as_str);
    let mut select = snapshot.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM client WHERE realm = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    ))?;
    let mut rows = select.query(params![realm.as_str(), after, count])?;
    let mut clients = Vec::new();
    while let Some(row) = rows.next()? {
        clients.push(read(row, realm)?);
    }
    let Some(last) = clients.last().map(|client| client.id.clone()) else { return Ok(clients) };
    let mut select = snapshot.prepare_cached(&format!(
        "SELECT {SECRET_COLUMNS} FROM secret WHERE realm = ?1 AND client_id > ?2 \
         AND client_id <= ?3 ORDER BY client_id, position"
    ))?;
    hand_out(select.query([realm.as_str(), after, last.as_str()])?, &mut clients)?;
    Ok(clients)
}

/// Hands secrets to their clients, both in the order of the clients' identifiers.
fn hand_out(mut secrets: Rows<'_>, clients: &mut [Client]) -> Result<(), Trouble> {
    let mut owners = clients.iter_mut().peekable();
    while let Some(row) = secrets.next()? {
        let client_id = row.get_ref(0)?.as_str().unwrap_or_default();
        while owners.next_if(|owner| owner.id.as_str() != client_id).is_some() {}
        if let Some(owner) = owners.peek_mut() {
            // Most clients have one secret, and all of them are held in memory.
            owner.secrets.reserve_exact(1);
            owner.secrets.push(read_secret(row)?);
        }
    }
    Ok(())
}

fn write(connection: &Connection, sql: &str, client: &Client) -> Result<usize, Trouble> {
    let (lock, locked_until) = match client.lock {
        Lock::Open => ("open", None),
        Lock::Until(end) => ("until", Some(end.milliseconds())),
        Lock::UntilUnlocked => ("until_unlocked", None),
    };
    let written = connection.prepare_cached(sql)?.execute(named_params! {
        ":realm": client.realm.as_str(),
        ":id": client.id.as_str(),
        ":name": client.name.as_deref(),
        ":subject": client.subject.as_ref().map(Subject::as_str),
        ":status": match client.status {
            ClientStatus::Enabled => "enabled",
            ClientStatus::Disabled => "disabled",
        },
        ":role": match client.role {
            ClientRole::Client => "client",
            ClientRole::ResourceServer => "resource_server",
        },
        ":lock": lock,
        ":locked_until": locked_until,
        ":scope": client.scope.to_string(),
        ":audiences": list_text(&client.audiences)?,
        ":lifetime": client.lifetime.map(|lifetime| match lifetime {
            Lifetime::Seconds(seconds) => seconds.get(),
            Lifetime::Never => 0,
        }),
        ":networks": list_text(&client.networks)?,
        ":authentication": list_text(&client.authentication)?,
        ":claims": (!client.claims.is_empty()).then(|| client.claims.to_string()),
        ":proof": client.proof.as_ref().map(ToString::to_string),
        ":registration": client.registration.as_ref().map(ToString::to_string),
        ":created_at": client.created_at.milliseconds(),
        ":changed_at": client.changed_at.milliseconds(),
        ":revision": integer(client.revision)?,
    })?;
    Ok(written)
}

fn write_secrets(connection: &Connection, client: &Client) -> Result<(), Trouble> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO secret (realm, client_id, position, id, name, generated, supplied, \
         sealed, created_at, expires_at, last_used_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (position, secret) in client.secrets.iter().enumerate() {
        let (generated, supplied, sealed) = match &secret.digest {
            SecretDigest::Generated(digest) => (Some(digest), None, None),
            SecretDigest::Supplied(text) => (None, Some(&**text), None),
            SecretDigest::Sealed(bytes) => (None, None, Some(&**bytes)),
        };
        insert.execute(params![
            client.realm.as_str(),
            client.id.as_str(),
            integer(position as u64)?,
            secret.id.as_str(),
            secret.name.as_deref(),
            generated,
            supplied,
            sealed,
            secret.created_at.milliseconds(),
            secret.expires_at.map(Time::milliseconds),
            secret.last_used_at.map(Time::milliseconds),
        ])?;
    }
    Ok(())
}

fn last_uses(
    connection: &Connection,
    realm: &RealmName,
    id: &ClientId,
) -> Result<Vec<SecretUse>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT client_id, id, last_used_at FROM secret \
         WHERE realm = ?1 AND client_id = ?2 AND last_used_at IS NOT NULL",
    )?;
    let mut rows = select.query([realm.as_str(), id.as_str()])?;
    let mut uses = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::new("secret", row);
        columns.skip();
        let secret_id: SecretId = columns.parsed()?;
        let (realm, client_id) = (realm.clone(), id.clone());
        uses.push(SecretUse { realm, client_id, secret_id, at: columns.time()? });
    }
    Ok(uses)
}

fn told(
    connection: &Connection,
    realm: &RealmName,
    id: &ClientId,
    event: &Event,
) -> Result<u64, Trouble> {
    events::keep(connection, event)?;
    changes::note(connection, event.at, &Change::Client(realm.clone(), id.clone()))?;
    Ok(1)
}

/// The client in a row, without its secrets.
pub(super) fn read(row: &Row<'_>, realm: &RealmName) -> Result<Client, Trouble> {
    let mut columns = Columns::new("client", row);
    columns.skip();
    Ok(Client {
        realm: realm.clone(),
        id: columns.parsed()?,
        name: columns.value()?,
        subject: columns.parsed_if_any()?,
        status: columns.one_of(CLIENT_STATUSES)?,
        role: columns.one_of(ROLES)?,
        lock: read_lock(&mut columns)?,
        scope: columns.parsed()?,
        audiences: columns.list()?,
        lifetime: columns
            .value::<Option<u32>>()?
            .map(|seconds| NonZeroU32::new(seconds).map_or(Lifetime::Never, Lifetime::Seconds)),
        networks: columns.list()?,
        authentication: columns.list()?,
        claims: columns.parsed_if_any()?.unwrap_or_default(),
        proof: columns.parsed_if_any()?.map(Box::new),
        registration: columns.parsed_if_any()?.map(Box::new),
        secrets: Vec::new(),
        created_at: columns.time()?,
        changed_at: columns.time()?,
        revision: columns.natural()?,
    })
}

fn read_lock(columns: &mut Columns<'_, '_>) -> Result<Lock, Trouble> {
    let lock = columns.one_of(&[
        ("open", Lock::Open),
        ("until", Lock::UntilUnlocked),
        ("until_unlocked", Lock::UntilUnlocked),
    ])?;
    // The end is there just when the lock has one.
    Ok(columns.time_if_any()?.map_or(lock, Lock::Until))
}

/// The secret in a row.
pub(super) fn read_secret(row: &Row<'_>) -> Result<Secret, Trouble> {
    let mut columns = Columns::new("secret", row);
    columns.skip();
    Ok(Secret {
        id: columns.parsed()?,
        name: columns.value()?,
        digest: match (columns.value()?, columns.value()?, columns.value::<Option<Vec<u8>>>()?) {
            (Some(digest), None, None) => SecretDigest::Generated(digest),
            (None, Some(text), None) => SecretDigest::Supplied(text),
            (None, None, Some(bytes)) => SecretDigest::Sealed(bytes.into()),
            _ => {
                return Err(
                    columns.unreadable(&"is not the only one of generated, supplied and sealed")
                );
            }
        },
        created_at: columns.time()?,
        expires_at: columns.time_if_any()?,
        last_used_at: columns.time_if_any()?,
    })
}
