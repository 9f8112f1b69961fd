//! Puts the clients and keys of a dialect's exchanges into its realm. What is there already stays as
//! it is: whoever disabled a client in a kept folder finds it disabled.

use aws_lc_rs::digest::{SHA256, digest};
use jeton_dialect::exchange::{CastClient, CastKey, CastState};
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::proof::{ClientKeys, Proof};
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use jeton_engine::clock::Time;
use jeton_engine::key::KeyStatus;
use jeton_engine::manage::{KeyMaterial, ManageError};
use jeton_engine::name::{NameError, RealmName};
use jeton_engine::realm::Realm;
use zeroize::Zeroizing;

use super::Stage;
use crate::cli::failure::Failure;
use crate::cli::open::Opened;

/// Provisions every realm; tells each one's clients as they are now, in the order of the cast.
pub(super) async fn realms(
    stages: &[Stage<'_>],
    opened: &Opened,
) -> Result<Vec<Vec<Client>>, Failure> {
    let mut realms = Vec::new();
    for stage in stages {
        let realm = opened.realm_named(stage.name())?;
        let mut clients = Vec::new();
        for wanted in &stage.script.cast.clients {
            clients.push(provision(wanted, realm, opened).await?);
        }
        for key in &stage.script.cast.keys {
            import(key, &realm.name, opened).await?;
        }
        realms.push(clients);
    }
    Ok(realms)
}

async fn provision(wanted: &CastClient, realm: &Realm, opened: &Opened) -> Result<Client, Failure> {
    match opened.manage().client(&realm.name, &wanted.id).await {
        Ok(client) => return Ok(client),
        Err(ManageError::Missing(_)) => {}
        Err(other) => return Err(other.into()),
    }
    let client = client(wanted, &realm.name, opened.now())
        .map_err(|error| Failure::failed(format!("a demo client cannot be made: {error}")))?;
    opened.manage().import_client(realm, client.clone()).await?;
    Ok(client)
}

fn client(wanted: &CastClient, realm: &RealmName, now: Time) -> Result<Client, NameError> {
    let mut secrets = Vec::new();
    if let Some(secret) = wanted.secret.as_ref().filter(|_| wanted.state != CastState::Revoked) {
        secrets.push(Secret {
            id: "demo".parse()?,
            name: None,
            digest: fast_digest(secret.reveal()),
            created_at: now,
            expires_at: wanted.secret_expires_at,
            last_used_at: None,
        });
    }
    Ok(Client {
        realm: realm.clone(),
        id: wanted.id.clone(),
        name: wanted.name.as_deref().map(Into::into),
        subject: wanted.subject.clone(),
        status: match wanted.state {
            CastState::Disabled => ClientStatus::Disabled,
            CastState::Enabled | CastState::Locked | CastState::Revoked => ClientStatus::Enabled,
        },
        lock: match wanted.state {
            CastState::Locked => Lock::UntilUnlocked,
            CastState::Enabled | CastState::Disabled | CastState::Revoked => Lock::Open,
        },
        role: ClientRole::Client,
        scope: wanted.scope.clone(),
        audiences: wanted.audiences.clone(),
        lifetime: wanted.lifetime,
        claims: CustomClaims::default(),
        proof: proof(wanted),
        registration: None,
        networks: wanted.networks.clone(),
        authentication: wanted.authentication.clone(),
        secrets,
        created_at: now,
        changed_at: now,
        revision: 1,
    })
}

/// What a client of the cast proves itself with where it has no secret.
fn proof(wanted: &CastClient) -> Option<Box<Proof>> {
    let keys = Some(ClientKeys::Jwks(wanted.jwks.clone()?));
    Some(Box::new(Proof { keys, ..Proof::default() }))
}

/// Everybody knows these secrets, so a slow hash would protect nothing and only delay the start.
fn fast_digest(secret: &str) -> SecretDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    SecretDigest::Generated(bytes)
}

async fn import(key: &CastKey, realm: &RealmName, opened: &Opened) -> Result<(), Failure> {
    let keys = opened.manage().keys(realm).await?;
    let signs = keys
        .iter()
        .any(|known| known.algorithm == key.algorithm && known.status == KeyStatus::Active);
    if signs {
        return Ok(());
    }
    let secret = Zeroizing::new(key.secret.reveal().as_bytes().to_vec());
    opened.manage().import_key(realm, key.algorithm, None, KeyMaterial::Secret(secret)).await?;
    Ok(())
}
