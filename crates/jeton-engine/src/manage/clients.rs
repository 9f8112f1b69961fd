//! Managing clients: make, change, disable, lock, unlock, delete, bring along.

use crate::client::proof::Proof;
use crate::client::{Client, ClientStatus, Lock, SecretDigest};
use crate::event::EventKind;
use crate::manage::{
    ClientChange, MadeSecret, Manage, ManageError, NewClient, NewSecret, ProofChange, check_label,
    fault, invalid, proof,
};
use crate::name::{ClientId, NameError, RealmName};
use crate::random_text::{LOWER_ALPHANUMERIC, with_prefix};
use crate::realm::Realm;
use crate::scope::Scope;
use crate::slow_hash;
use crate::store::StoreError;
use crate::terms::Lifetime;

/// Characters of a generated client identifier.
const ID_LENGTH: usize = 24;
/// The longest life that a client's tokens can be given: ten years.
const LIFETIME_SECONDS_MAX: u32 = 10 * 366 * 86_400;

impl Manage {
    /// Makes a client, and its first secret unless it is to have none.
    ///
    /// # Errors
    /// The identifier is taken, or something about the client is not allowed.
    pub async fn create_client(
        &self,
        realm: &Realm,
        new: NewClient,
    ) -> Result<(Client, Option<MadeSecret>), ManageError> {
        let (client, made) = self.make_client(realm, new).await?;
        self.add(&client).await?;
        Ok((client, made))
    }

    /// Makes a client that is not kept yet, and its first secret unless it is to have none.
    pub(super) async fn make_client(
        &self,
        realm: &Realm,
        new: NewClient,
    ) -> Result<(Client, Option<MadeSecret>), ManageError> {
        let now = self.parts.clock.now();
        let id = match new.id {
            Some(id) => id,
            None => with_prefix("", LOWER_ALPHANUMERIC, ID_LENGTH, &self.parts.random)
                .parse()
                .map_err(|error: NameError| invalid("id", error.to_string()))?,
        };
        let mut client = Client {
            realm: realm.name.clone(),
            id,
            name: new.name.as_deref().map(|name| check_label("name", name)).transpose()?,
            subject: new.subject,
            status: ClientStatus::Enabled,
            role: new.role,
            lock: Lock::Open,
            scope: new.scope,
            audiences: new.audiences,
            lifetime: new.lifetime,
            networks: new.networks,
            authentication: proof::ways(new.authentication, &new.proof),
            claims: new.claims,
            proof: boxed(new.proof),
            registration: None,
            secrets: Vec::new(),
            created_at: now,
            changed_at: now,
            revision: 1,
        };
        check(realm, &client)?;
        proof::check(realm, &client)?;
        let made = match new.secret {
            NewSecret::None => None,
            NewSecret::AsNeeded if !proof::may_use_secret(&client) => None,
            secret => {
                let name = new.secret_name.as_deref();
                Some(self.add_secret(&mut client, secret, name, new.secret_expires_at).await?)
            }
        };
        Ok((client, made))
    }

    /// Takes over a client as it was exported elsewhere, digests and all; identifiers and times stay.
    ///
    /// # Errors
    /// The identifier is taken, or something about the client is not allowed.
    pub async fn import_client(
        &self,
        realm: &Realm,
        mut client: Client,
    ) -> Result<(), ManageError> {
        self.check_import(realm, &client).await?;
        // The clock there may be ahead of ours: no token is older than its client.
        client.created_at = client.created_at.min(self.parts.clock.now());
        self.add(&client).await
    }

    /// Whether [`Manage::import_client`] would take the client over.
    ///
    /// # Errors
    /// As there.
    pub async fn check_import(&self, realm: &Realm, client: &Client) -> Result<(), ManageError> {
        if client.realm != realm.name {
            return Err(invalid("realm", format!("is {}, not {}", client.realm, realm.name)));
        }
        check(realm, client)?;
        proof::check(realm, client)?;
        client.name.as_deref().map(|name| check_label("name", name)).transpose()?;
        if client.secrets.len() > Client::SECRETS_MAX {
            return Err(invalid("secrets", format!("at most {} each", Client::SECRETS_MAX)));
        }
        if i64::try_from(client.revision).is_err() {
            return Err(invalid("revision", "must be below 2^63"));
        }
        for (index, secret) in client.secrets.iter().enumerate() {
            secret.name.as_deref().map(|name| check_label("secret-name", name)).transpose()?;
            if client.secrets.iter().skip(index + 1).any(|later| later.id == secret.id) {
                return Err(invalid("secrets", format!("{} is there twice", secret.id)));
            }
            if let SecretDigest::Sealed(sealed) = &secret.digest {
                let Client { realm, id, .. } = client;
                let opened = self.parts.master_key.open_secret(realm, id, &secret.id, sealed);
                opened.map_err(|fault| invalid("secrets", fault.to_string()))?;
            }
            if let SecretDigest::Supplied(phc) = &secret.digest
                && !slow_hash::is_acceptable(phc)
            {
                return Err(invalid(
                    "secrets",
                    "a digest must be a PHC string of argon2id with at most 64 MiB, 10 passes and 4 lanes",
                ));
            }
        }
        match self.parts.store.client(&realm.name, &client.id).await.map_err(fault)? {
            Some(_) => Err(ManageError::Exists(describe(&realm.name, &client.id))),
            None => Ok(()),
        }
    }

    async fn add(&self, client: &Client) -> Result<(), ManageError> {
        let event = self.act(EventKind::ClientCreated, &client.realm, Some(&client.id), None);
        match self.parts.store.add_client(client, &event).await {
            Err(StoreError::Exists) => {
                Err(ManageError::Exists(describe(&client.realm, &client.id)))
            }
            other => other.map_err(fault),
        }
    }

    /// A client.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn client(&self, realm: &RealmName, id: &ClientId) -> Result<Client, ManageError> {
        let found = self.parts.store.client(realm, id).await.map_err(fault)?;
        found.ok_or_else(|| ManageError::Missing(describe(realm, id)))
    }

    /// Up to `count` clients, in the byte order of their identifiers, after `after`.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, ManageError> {
        self.parts.store.clients(realm, after, count).await.map_err(fault)
    }

    /// Changes what is known of a client.
    ///
    /// # Errors
    /// There is none of this identifier, or something about the change is not allowed.
    pub async fn change_client(
        &self,
        realm: &Realm,
        id: &ClientId,
        change: ClientChange,
    ) -> Result<Client, ManageError> {
        let name = match change.name {
            Some(Some(name)) => Some(Some(check_label("name", &name)?)),
            Some(None) => Some(None),
            None => None,
        };
        self.edit(&realm.name, id, EventKind::ClientChanged, |client| {
            let before = client.clone();
            replace(&mut client.name, name.as_ref());
            replace(&mut client.subject, change.subject.as_ref());
            replace(&mut client.scope, change.scope.as_ref());
            if let (Some(scope), Some(registration)) = (&change.scope, &mut client.registration) {
                // What an operator gives or takes, the client does not give itself again.
                registration.scope_max = Some(scope.clone());
            }
            replace(&mut client.audiences, change.audiences.as_ref());
            replace(&mut client.lifetime, change.lifetime.as_ref());
            replace(&mut client.networks, change.networks.as_ref());
            replace(&mut client.authentication, change.authentication.as_ref());
            replace(&mut client.role, change.role.as_ref());
            replace(&mut client.claims, change.claims.as_ref());
            change_proof(&mut client.proof, &change.proof);
            check(realm, client)?;
            if client.authentication != before.authentication || client.proof != before.proof {
                proof::check(realm, client)?;
            }
            Ok(*client != before)
        })
        .await
    }

    /// Enables or disables a client.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn set_status(
        &self,
        realm: &RealmName,
        id: &ClientId,
        status: ClientStatus,
    ) -> Result<Client, ManageError> {
        let kind = match status {
            ClientStatus::Enabled => EventKind::ClientEnabled,
            ClientStatus::Disabled => EventKind::ClientDisabled,
        };
        self.edit(realm, id, kind, |client| {
            Ok(std::mem::replace(&mut client.status, status) != status)
        })
        .await
    }

    /// Locks an account.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn lock_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
        lock: Lock,
    ) -> Result<Client, ManageError> {
        self.edit(realm, id, EventKind::ClientLocked, |client| {
            Ok(std::mem::replace(&mut client.lock, lock) != lock)
        })
        .await
    }

    /// Unlocks an account. Written even when the store knows of no lock: a server may have locked
    /// it a moment ago, and hears of this.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn unlock_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
    ) -> Result<Client, ManageError> {
        self.edit(realm, id, EventKind::ClientUnlocked, |client| {
            client.lock = Lock::Open;
            Ok(true)
        })
        .await
    }

    /// Deletes a client, its secrets and its tokens.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn delete_client(&self, realm: &RealmName, id: &ClientId) -> Result<(), ManageError> {
        let event = self.act(EventKind::ClientDeleted, realm, Some(id), None);
        match self.parts.store.delete_client(realm, id, &event).await.map_err(fault)? {
            true => Ok(()),
            false => Err(ManageError::Missing(describe(realm, id))),
        }
    }

    /// Reads, changes and writes a client; once more when somebody else was quicker. `apply` says
    /// whether it changed anything.
    pub(super) async fn edit(
        &self,
        realm: &RealmName,
        id: &ClientId,
        kind: EventKind,
        apply: impl Fn(&mut Client) -> Result<bool, ManageError>,
    ) -> Result<Client, ManageError> {
        const TRIES: u32 = 8;
        for _ in 0..TRIES {
            let mut client = self.client(realm, id).await?;
            if !apply(&mut client)? {
                return Ok(client);
            }
            client.changed_at = self.parts.clock.now();
            client.revision += 1;
            let event = self.act(kind, realm, Some(id), None);
            match self.parts.store.replace_client(&client, &event).await {
                Ok(()) => return Ok(client),
                Err(StoreError::Conflict) => {}
                Err(StoreError::Missing) => break,
                Err(error) => return Err(fault(error)),
            }
        }
        self.client(realm, id).await?;
        Err(ManageError::Conflict(describe(realm, id)))
    }
}

fn change_proof(place: &mut Option<Box<Proof>>, change: &ProofChange) {
    let mut proof = place.as_deref().cloned().unwrap_or_default();
    replace(&mut proof.keys, change.keys.as_ref());
    replace(&mut proof.certificate, change.certificate.as_ref());
    replace(&mut proof.federated, change.federated.as_ref());
    replace(&mut proof.sender.dpop, change.dpop.as_ref());
    replace(&mut proof.sender.mtls, change.mtls.as_ref());
    *place = boxed(proof);
}

/// Nothing is kept of a proof that says nothing.
pub(super) fn boxed(proof: Proof) -> Option<Box<Proof>> {
    (!proof.is_empty()).then(|| Box::new(proof))
}

fn replace<T: Clone>(place: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        place.clone_from(new);
    }
}

pub(super) fn check(realm: &Realm, client: &Client) -> Result<(), ManageError> {
    const AUDIENCES_MAX: usize = 64;
    const NETWORKS_MAX: usize = 256;
    check_scope(realm, &client.scope)?;
    if client.audiences.len() > AUDIENCES_MAX {
        return Err(invalid("audience", format!("at most {AUDIENCES_MAX} each")));
    }
    if client.networks.len() > NETWORKS_MAX {
        return Err(invalid("network", format!("at most {NETWORKS_MAX} each")));
    }
    match client.lifetime {
        Some(Lifetime::Seconds(seconds)) if seconds.get() > LIFETIME_SECONDS_MAX => {
            Err(invalid("lifetime", "must be at most ten years"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_scope(realm: &Realm, scope: &Scope) -> Result<(), ManageError> {
    if realm.scopes.is_empty() || realm.scopes.covers(scope) {
        return Ok(());
    }
    Err(invalid(
        "scope",
        format!(
            "realm {} only knows \"{}\"; its configuration can name more",
            realm.name, realm.scopes
        ),
    ))
}

fn describe(realm: &RealmName, id: &ClientId) -> String {
    format!("client {id} of realm {realm}")
}
