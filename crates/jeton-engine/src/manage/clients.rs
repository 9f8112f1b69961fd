//! Managing clients: make, change, disable, lock, unlock, delete, bring along.

use crate::client::proof::Proof;
use crate::client::{Client, ClientStatus, Lock, Secret, SecretDigest};
use crate::event::EventKind;
use crate::manage::{
    ClientChange, MadeSecret, Manage, ManageError, NewClient, NewSecret, check_label, fault,
    invalid,
};
use crate::name::{ClientId, NameError, RealmName};
use crate::random_text::{LOWER_ALPHANUMERIC, with_prefix};
use crate::realm::Realm;
use crate::request::AuthenticationMethod;
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
            authentication: ways(new.authentication, &new.proof),
            claims: new.claims,
            proof: boxed(new.proof),
            secrets: Vec::new(),
            created_at: now,
            changed_at: now,
            revision: 1,
        };
        check(realm, &client)?;
        check_proof(realm, &client)?;
        let made = match new.secret {
            NewSecret::None => None,
            secret => {
                let name = new.secret_name.as_deref();
                Some(self.add_secret(&mut client, secret, name, new.secret_expires_at).await?)
            }
        };
        self.add(&client).await?;
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
        check_proof(realm, client)?;
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
            replace(&mut client.audiences, change.audiences.as_ref());
            replace(&mut client.lifetime, change.lifetime.as_ref());
            replace(&mut client.networks, change.networks.as_ref());
            replace(&mut client.authentication, change.authentication.as_ref());
            replace(&mut client.role, change.role.as_ref());
            replace(&mut client.claims, change.claims.as_ref());
            if let Some(proof) = &change.proof {
                client.proof = boxed(proof.clone());
            }
            check(realm, client)?;
            if client.authentication != before.authentication || client.proof != before.proof {
                check_proof(realm, client)?;
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

/// Nothing is kept of a proof that says nothing.
fn boxed(proof: Proof) -> Option<Box<Proof>> {
    (!proof.is_empty()).then(|| Box::new(proof))
}

fn replace<T: Clone>(place: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        place.clone_from(new);
    }
}

/// The ways in which a client may authenticate of which nobody says any: what it is given to prove
/// itself with is meant to be used. Without such, any way of presenting its secret.
fn ways(said: Vec<AuthenticationMethod>, proof: &Proof) -> Vec<AuthenticationMethod> {
    if !said.is_empty() {
        return said;
    }
    let signs = proof.keys.is_some() || proof.federated.is_some();
    let signs = signs.then_some(AuthenticationMethod::PrivateKeyJwt);
    let shows = proof.certificate.is_some().then_some(AuthenticationMethod::TlsClientAuth);
    signs.into_iter().chain(shows).collect()
}

/// What a client proves itself with must fit the ways in which it may authenticate.
fn check_proof(realm: &Realm, client: &Client) -> Result<(), ManageError> {
    const CLAIMS_MAX: usize = 32;
    let by = |method: AuthenticationMethod| client.authentication.contains(&method);
    let sealed = by(AuthenticationMethod::ClientSecretJwt);
    if sealed && client.authentication.iter().any(|method| method.shows_secret()) {
        return Err(invalid(
            "authentication",
            "client_secret_jwt cannot stand beside client_secret_basic or client_secret_post: a secret that has been shown is no key any more",
        ));
    }
    let is_sealed = |secret: &Secret| matches!(secret.digest, SecretDigest::Sealed(_));
    if client.secrets.iter().any(|secret| is_sealed(secret) != sealed) {
        return Err(invalid(
            "authentication",
            format!(
                "the secrets of client {} are kept for another way of authenticating: revoke them first (`jeton client revoke-secrets`), and give it another afterwards",
                client.id
            ),
        ));
    }
    let Some(federated) = client.proof.as_ref().and_then(|proof| proof.federated.as_ref()) else {
        return Ok(());
    };
    if !by(AuthenticationMethod::PrivateKeyJwt) {
        return Err(invalid(
            "federated",
            "tokens of another issuer come as private_key_jwt: add that to authentication",
        ));
    }
    let trusted = &realm.proving.trusted_issuers;
    if !trusted.iter().any(|trusted| trusted.name == federated.issuer) {
        let known: Vec<&str> = trusted.iter().map(|trusted| trusted.name.as_str()).collect();
        return Err(invalid(
            "federated",
            format!(
                "realm {} does not trust {}; it trusts: {}. Its configuration can name more ([realm.{}.trusted_issuers])",
                realm.name,
                federated.issuer,
                if known.is_empty() { "nobody".to_owned() } else { known.join(", ") },
                realm.name
            ),
        ));
    }
    if federated.claims.len() > CLAIMS_MAX {
        return Err(invalid("federated-claim", format!("at most {CLAIMS_MAX} each")));
    }
    Ok(())
}

fn check(realm: &Realm, client: &Client) -> Result<(), ManageError> {
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

fn check_scope(realm: &Realm, scope: &Scope) -> Result<(), ManageError> {
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
