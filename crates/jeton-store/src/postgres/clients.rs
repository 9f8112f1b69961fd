//! Clients and their secrets in PostgreSQL.

use std::num::NonZeroU32;

use jeton_engine::client::{
    Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest, SecretUse,
};
use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::name::{ClientId, RealmName, SecretId, Subject};
use jeton_engine::store::{Change, StoreError};
use jeton_engine::terms::Lifetime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::row::Columns;
use super::trouble::{Trouble, integer, is_duplicate};
use super::{changes, events, tokens};
use crate::kept::{CLIENT_STATUSES, ROLES, list_text};

/// A client with its secrets, a row a secret, or one without any.
const SELECT: &str = "SELECT client.realm, client.id, client.name, client.subject, client.status, \
    client.role, client.lock, client.locked_until, client.scope, client.audiences, \
    client.lifetime_seconds, client.networks, client.authentication, client.claims, client.proof, \
    client.registration, client.created_at, client.changed_at, client.revision, secret.id, \
    secret.name, secret.generated, secret.supplied, secret.sealed, secret.created_at, \
    secret.expires_at, secret.last_used_at";

const SECRETS: &str =
    "LEFT JOIN secret ON secret.realm = client.realm AND secret.client_id = client.id";

/// Adds a client.
pub(super) async fn add(
    connection: &tokio_postgres::Client,
    client: &Client,
    event: &Event,
) -> Result<u64, Trouble> {
    let sql = "INSERT INTO client (realm, id, name, subject, status, role, lock, \
        locked_until, scope, audiences, lifetime_seconds, networks, authentication, claims, \
        proof, registration, created_at, changed_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, \
        $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    match write(connection, sql, client).await {
        Err(Trouble::Postgres(error)) if is_duplicate(&error) => {
            return Err(StoreError::Exists.into());
        }
        other => other?,
    };
    write_secrets(connection, client).await?;
    told(connection, &client.realm, &client.id, event).await
}

/// Replaces a client that nobody else has changed meanwhile.
pub(super) async fn replace(
    connection: &tokio_postgres::Client,
    client: &Client,
    event: &Event,
) -> Result<u64, Trouble> {
    let sql = "UPDATE client SET name = $3, subject = $4, status = $5, role = $6, lock = $7, \
        locked_until = $8, scope = $9, audiences = $10, lifetime_seconds = $11, networks = $12, \
        authentication = $13, claims = $14, proof = $15, registration = $16, \
        created_at = $17, changed_at = $18, revision = $19 \
        WHERE realm = $1 AND id = $2 AND revision = $19 - 1";
    let place = [(&client.realm.as_str() as _, Type::TEXT), (&client.id.as_str() as _, Type::TEXT)];
    if write(connection, sql, client).await? == 0 {
        let there = connection
            .query_typed_opt("SELECT 1 FROM client WHERE realm = $1 AND id = $2", &place)
            .await?;
        let error = if there.is_some() { StoreError::Conflict } else { StoreError::Missing };
        return Err(error.into());
    }
    let uses = last_uses(connection, &client.realm, &client.id).await?;
    connection
        .execute_typed("DELETE FROM secret WHERE realm = $1 AND client_id = $2", &place)
        .await?;
    write_secrets(connection, client).await?;
    note_uses(connection, &uses).await?;
    told(connection, &client.realm, &client.id, event).await
}

/// Deletes a client with all it has.
pub(super) async fn delete(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    id: &ClientId,
    event: &Event,
) -> Result<u64, Trouble> {
    let deleted = connection
        .execute_typed(
            "DELETE FROM client WHERE realm = $1 AND id = $2",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    if deleted == 0 {
        return Ok(0);
    }
    tokens::delete_of_client(connection, realm, id).await?;
    told(connection, realm, id, event).await?;
    let change = Change::TokensDeleted(realm.clone(), id.clone());
    changes::note(connection, event.at, &change).await?;
    Ok(1)
}

/// Keeps when secrets were last right, where that is news.
pub(super) async fn note_uses(
    connection: &tokio_postgres::Client,
    uses: &[SecretUse],
) -> Result<u64, Trouble> {
    if uses.is_empty() {
        return Ok(0);
    }
    let realm: Vec<_> = uses.iter().map(|one| one.realm.as_str()).collect();
    let client_id: Vec<_> = uses.iter().map(|one| one.client_id.as_str()).collect();
    let secret_id: Vec<_> = uses.iter().map(|one| one.secret_id.as_str()).collect();
    let at: Vec<_> = uses.iter().map(|one| one.at.milliseconds()).collect();
    let noted = connection
        .execute_typed(
            "UPDATE secret SET last_used_at = latest.at FROM \
             (SELECT realm, client_id, id, max(at) AS at \
              FROM unnest($1, $2, $3, $4) AS used (realm, client_id, id, at) \
              GROUP BY realm, client_id, id) AS latest \
             WHERE secret.realm = latest.realm AND secret.client_id = latest.client_id \
             AND secret.id = latest.id AND coalesce(last_used_at < latest.at, TRUE)",
            &[
                (&realm, Type::TEXT_ARRAY),
                (&client_id, Type::TEXT_ARRAY),
                (&secret_id, Type::TEXT_ARRAY),
                (&at, Type::INT8_ARRAY),
            ],
        )
        .await?;
    Ok(noted)
}

/// A client.
pub(super) async fn one(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    id: &ClientId,
) -> Result<Option<Client>, Trouble> {
    let rows = connection
        .query_typed(
            &format!(
                "{SELECT} FROM client {SECRETS} WHERE client.realm = $1 AND client.id = $2 \
                 ORDER BY secret.position"
            ),
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    Ok(gather(&rows, realm)?.pop())
}

/// Up to `count` clients after `after`, in the byte order of their identifiers. One statement, and
/// so one moment at which both tables are looked at.
pub(super) async fn page(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    after: Option<&ClientId>,
    count: u32,
) -> Result<Vec<Client>, Trouble> {
    let rows = connection
        .query_typed(
            &format!(
                "{SELECT} FROM client {SECRETS} WHERE client.realm = $1 AND client.id IN \
                 (SELECT id FROM client WHERE realm = $1 AND id > $2 ORDER BY id LIMIT $3) \
                 ORDER BY client.id, secret.position"
            ),
            &[
                (&realm.as_str(), Type::TEXT),
                // No identifier is empty, so that all come after the empty text.
                (&after.map_or("", ClientId::as_str), Type::TEXT),
                (&i64::from(count), Type::INT8),
            ],
        )
        .await?;
    gather(&rows, realm)
}

/// Makes clients of rows of which each tells of one secret at most.
fn gather(rows: &[Row], realm: &RealmName) -> Result<Vec<Client>, Trouble> {
    let mut clients: Vec<Client> = Vec::new();
    for row in rows {
        let mut columns = Columns::new("client", row);
        let id = columns.row_identifier()?;
        if clients.last().is_none_or(|last| last.id.as_str() != id) {
            clients.push(read(&mut columns, realm)?);
        } else {
            columns.pass(CLIENT_COLUMNS);
        }
        if let Some(owner) = clients.last_mut()
            && let Some(secret) = read_secret(&mut columns)?
        {
            // Most clients have one secret, and all of them are held in memory.
            owner.secrets.reserve_exact(1);
            owner.secrets.push(secret);
        }
    }
    Ok(clients)
}

/// How many columns tell of the client itself.
const CLIENT_COLUMNS: usize = 19;

async fn write(
    connection: &tokio_postgres::Client,
    sql: &str,
    client: &Client,
) -> Result<u64, Trouble> {
    let (lock, locked_until) = match client.lock {
        Lock::Open => ("open", None),
        Lock::Until(end) => ("until", Some(end.milliseconds())),
        Lock::UntilUnlocked => ("until_unlocked", None),
    };
    let status = match client.status {
        ClientStatus::Enabled => "enabled",
        ClientStatus::Disabled => "disabled",
    };
    let role = match client.role {
        ClientRole::Client => "client",
        ClientRole::ResourceServer => "resource_server",
    };
    let lifetime = client.lifetime.map(|lifetime| match lifetime {
        Lifetime::Seconds(seconds) => i64::from(seconds.get()),
        Lifetime::Never => 0,
    });
    let values = [
        (&client.realm.as_str() as _, Type::TEXT),
        (&client.id.as_str() as _, Type::TEXT),
        (&client.name.as_deref() as _, Type::TEXT),
        (&client.subject.as_ref().map(Subject::as_str) as _, Type::TEXT),
        (&status as _, Type::TEXT),
        (&role as _, Type::TEXT),
        (&lock as _, Type::TEXT),
        (&locked_until as _, Type::INT8),
        (&client.scope.to_string() as _, Type::TEXT),
        (&list_text(&client.audiences)? as _, Type::TEXT),
        (&lifetime as _, Type::INT8),
        (&list_text(&client.networks)? as _, Type::TEXT),
        (&list_text(&client.authentication)? as _, Type::TEXT),
        (&(!client.claims.is_empty()).then(|| client.claims.to_string()) as _, Type::TEXT),
        (&client.proof.as_ref().map(ToString::to_string) as _, Type::TEXT),
        (&client.registration.as_ref().map(ToString::to_string) as _, Type::TEXT),
        (&client.created_at.milliseconds() as _, Type::INT8),
        (&client.changed_at.milliseconds() as _, Type::INT8),
        (&integer(client.revision)? as _, Type::INT8),
    ];
    Ok(connection.execute_typed(sql, &values).await?)
}

async fn write_secrets(
    connection: &tokio_postgres::Client,
    client: &Client,
) -> Result<(), Trouble> {
    for (position, secret) in (0_i32..).zip(&client.secrets) {
        let (generated, supplied, sealed) = match &secret.digest {
            SecretDigest::Generated(digest) => (Some(&digest[..]), None, None),
            SecretDigest::Supplied(text) => (None, Some(&**text), None),
            SecretDigest::Sealed(bytes) => (None, None, Some(&**bytes)),
        };
        connection
            .execute_typed(
                "INSERT INTO secret (realm, client_id, position, id, name, generated, supplied, \
                 sealed, created_at, expires_at, last_used_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                &[
                    (&client.realm.as_str(), Type::TEXT),
                    (&client.id.as_str(), Type::TEXT),
                    (&position, Type::INT4),
                    (&secret.id.as_str(), Type::TEXT),
                    (&secret.name.as_deref(), Type::TEXT),
                    (&generated, Type::BYTEA),
                    (&supplied, Type::TEXT),
                    (&sealed, Type::BYTEA),
                    (&secret.created_at.milliseconds(), Type::INT8),
                    (&secret.expires_at.map(Time::milliseconds), Type::INT8),
                    (&secret.last_used_at.map(Time::milliseconds), Type::INT8),
                ],
            )
            .await?;
    }
    Ok(())
}

async fn last_uses(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    id: &ClientId,
) -> Result<Vec<SecretUse>, Trouble> {
    let rows = connection
        .query_typed(
            "SELECT client_id, id, last_used_at FROM secret \
             WHERE realm = $1 AND client_id = $2 AND last_used_at IS NOT NULL",
            &[(&realm.as_str(), Type::TEXT), (&id.as_str(), Type::TEXT)],
        )
        .await?;
    let read = |row: &Row| {
        let mut columns = Columns::new("secret", row);
        columns.pass(1);
        let secret_id: SecretId = columns.parsed()?;
        let (realm, client_id) = (realm.clone(), id.clone());
        Ok(SecretUse { realm, client_id, secret_id, at: columns.time()? })
    };
    rows.iter().map(read).collect()
}

async fn told(
    connection: &tokio_postgres::Client,
    realm: &RealmName,
    id: &ClientId,
    event: &Event,
) -> Result<u64, Trouble> {
    events::keep(connection, &[event]).await?;
    changes::note(connection, event.at, &Change::Client(realm.clone(), id.clone())).await?;
    Ok(1)
}

/// A client without its secrets, of [`CLIENT_COLUMNS`] columns.
pub(super) fn read(columns: &mut Columns<'_>, realm: &RealmName) -> Result<Client, Trouble> {
    columns.pass(1);
    Ok(Client {
        realm: realm.clone(),
        id: columns.parsed()?,
        name: columns.value()?,
        subject: columns.parsed_if_any()?,
        status: columns.one_of(CLIENT_STATUSES)?,
        role: columns.one_of(ROLES)?,
        lock: read_lock(columns)?,
        scope: columns.parsed()?,
        audiences: columns.list()?,
        lifetime: columns
            .natural_if_any::<u32>()?
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

fn read_lock(columns: &mut Columns<'_>) -> Result<Lock, Trouble> {
    let lock = columns.one_of(&[
        ("open", Lock::Open),
        ("until", Lock::UntilUnlocked),
        ("until_unlocked", Lock::UntilUnlocked),
    ])?;
    // The end is there just when the lock has one.
    Ok(columns.time_if_any()?.map_or(lock, Lock::Until))
}

/// A client's secret, if the row tells of one.
pub(super) fn read_secret(columns: &mut Columns<'_>) -> Result<Option<Secret>, Trouble> {
    let Some(id) = columns.parsed_if_any()? else { return Ok(None) };
    Ok(Some(Secret {
        id,
        name: columns.value()?,
        digest: match (columns.bytes_if_any()?, columns.value()?, columns.value::<Option<&[u8]>>()?)
        {
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
    }))
}
