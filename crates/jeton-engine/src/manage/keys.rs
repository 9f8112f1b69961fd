//! Managing signing keys: make, import, list, export.

use jeton_jose::{Algorithm, SigningKey};
use zeroize::Zeroizing;

use crate::error::Fault;
use crate::event::EventKind;
use crate::key::{KeyRecord, KeyStatus};
use crate::manage::{KeyMaterial, Manage, ManageError, fault, invalid};
use crate::name::{KeyId, NameError, RealmName};
use crate::random_text::{LOWER_ALPHANUMERIC, with_prefix};
use crate::store::StoreError;

/// Characters of a generated key identifier.
const ID_LENGTH: usize = 16;

impl Manage {
    /// Makes a key that signs from now on; the one that signed until now is retired.
    ///
    /// # Errors
    /// The identifier is taken.
    pub async fn create_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
        id: Option<KeyId>,
    ) -> Result<KeyRecord, ManageError> {
        let key = generate(algorithm).await?;
        let record = self.seal(realm, &key, id, KeyStatus::Active)?;
        self.add_key(&record, EventKind::KeyCreated).await?;
        Ok(record)
    }

    /// Publishes the successor of the active key, which takes over once every cached JWK set has
    /// it. Says which key it is: a new one, or the one that is upcoming already.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn rotate_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
    ) -> Result<KeyRecord, ManageError> {
        self.create_upcoming(realm, algorithm).await.map_err(ManageError::Fault)?;
        let upcoming = |record: &KeyRecord| {
            record.status == KeyStatus::Upcoming && record.algorithm == algorithm
        };
        let found = self.keys(realm).await?.into_iter().find(upcoming);
        found.ok_or_else(|| ManageError::Conflict(format!("the {algorithm} keys of realm {realm}")))
    }

    /// The algorithm that is meant when an operator rotates without naming one: that of the
    /// realm's only active key of its own. A shared secret is not meant: others have it too.
    ///
    /// # Errors
    /// The realm has several such keys, or none.
    pub async fn algorithm_to_rotate(&self, realm: &RealmName) -> Result<Algorithm, ManageError> {
        let active = |record: &KeyRecord| {
            record.status == KeyStatus::Active && !record.algorithm.is_symmetric()
        };
        let records = self.keys(realm).await?;
        let algorithms: Vec<Algorithm> =
            records.iter().filter(|record| active(record)).map(|record| record.algorithm).collect();
        match algorithms.as_slice() {
            [only] => Ok(*only),
            [] => Err(invalid("algorithm", "the realm has no active key of its own; name one")),
            several => {
                let names: Vec<&str> = several.iter().map(|one| one.name()).collect();
                Err(invalid("algorithm", format!("name one of {}", names.join(", "))))
            }
        }
    }

    /// Stops using a key at once: it signs no more, and a key that retired before is removed, so
    /// that its tokens no longer hold. The upcoming key takes over from an active one, early if need
    /// be, or else a new one: a realm that could not sign would refuse everybody. A shared secret
    /// has no successor until somebody brings one along.
    ///
    /// # Errors
    /// There is no such key.
    pub async fn retire_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
    ) -> Result<RetiredKey, ManageError> {
        let missing = || ManageError::Missing(format!("key {id} of realm {realm}"));
        let records = self.keys(realm).await?;
        let record = records.iter().find(|record| record.id == *id).ok_or_else(missing)?;
        if record.status == KeyStatus::Active && self.succeed(record, &records).await {
            return Ok(RetiredKey::StillVerifies);
        }
        let event = self.act(EventKind::KeyRetired, realm, None, Some(id.to_string()));
        if record.status == KeyStatus::Retired {
            self.parts.store.delete_key(realm, id, &event).await.map_err(fault)?;
            return Ok(RetiredKey::Removed);
        }
        let (status, retired_at) = (KeyStatus::Retired, Some(event.at));
        let retired = KeyRecord { status, retired_at, ..record.clone() };
        self.parts.store.change_key(&retired, &event).await.map_err(fault)?;
        Ok(RetiredKey::StillVerifies)
    }

    /// Lets another key sign in the place of an active one, which thereby retires. Says whether one
    /// does: a key that the master key does not open must go even if nothing can follow it.
    async fn succeed(&self, active: &KeyRecord, keys: &[KeyRecord]) -> bool {
        let algorithm = active.algorithm;
        if algorithm.is_symmetric() {
            return false;
        }
        let upcoming = |record: &&KeyRecord| {
            record.status == KeyStatus::Upcoming && record.algorithm == algorithm
        };
        if let Some(next) = keys.iter().find(upcoming)
            && self.activate_upcoming(next).await.unwrap_or(false)
        {
            return true;
        }
        self.create_key(&active.realm, algorithm, None).await.is_ok()
    }

    /// Publishes an upcoming key unless there is one. Says whether it did.
    pub(crate) async fn create_upcoming(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
    ) -> Result<bool, Fault> {
        let records = self.parts.store.keys(realm).await?;
        self.add_upcoming(realm, algorithm, &records).await
    }

    /// Publishes the successor of an active key, unless there is one, or another node has let it
    /// sign since the key was read.
    pub(crate) async fn create_successor(&self, active: &KeyRecord) -> Result<bool, Fault> {
        let records = self.parts.store.keys(&active.realm).await?;
        let still =
            |record: &KeyRecord| record.status == KeyStatus::Active && record.id == active.id;
        if !records.iter().any(still) {
            return Ok(false);
        }
        self.add_upcoming(&active.realm, active.algorithm, &records).await
    }

    async fn add_upcoming(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
        records: &[KeyRecord],
    ) -> Result<bool, Fault> {
        let upcoming = |record: &KeyRecord| {
            record.status == KeyStatus::Upcoming && record.algorithm == algorithm
        };
        if records.iter().any(upcoming) {
            return Ok(false);
        }
        let key = generate(algorithm).await.map_err(broken)?;
        let record = self.seal(realm, &key, None, KeyStatus::Upcoming).map_err(broken)?;
        let event = self.act(EventKind::KeyCreated, realm, None, Some(record.id.to_string()));
        Ok(self.parts.store.add_first_key(&record, &event).await?)
    }

    /// Lets an upcoming key sign, unless another node did so meanwhile.
    pub(crate) async fn activate_upcoming(&self, record: &KeyRecord) -> Result<bool, Fault> {
        let id = Some(record.id.to_string());
        let event = self.act(EventKind::KeyActivated, &record.realm, None, id);
        Ok(self.parts.store.activate_key(&record.realm, &record.id, &event).await?)
    }

    /// Removes a retired key whose last token has expired.
    pub(crate) async fn remove_retired(&self, record: &KeyRecord) -> Result<bool, Fault> {
        let id = Some(record.id.to_string());
        let event = self.act(EventKind::KeyRetired, &record.realm, None, id);
        Ok(self.parts.store.delete_key(&record.realm, &record.id, &event).await?)
    }

    /// Makes a key unless the realm has an active one of this algorithm. Says whether it did.
    ///
    /// # Errors
    /// A fault of the store.
    pub(crate) async fn create_first_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
    ) -> Result<bool, Fault> {
        let key = generate(algorithm).await.map_err(broken)?;
        let record = self.seal(realm, &key, None, KeyStatus::Active).map_err(broken)?;
        let event = self.act(EventKind::KeyCreated, realm, None, Some(record.id.to_string()));
        Ok(self.parts.store.add_first_key(&record, &event).await?)
    }

    /// Takes over a key that signs from now on; the one that signed until now is retired.
    ///
    /// # Errors
    /// The identifier is taken, or the key does not fit the algorithm or is too weak for it.
    pub async fn import_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
        id: Option<KeyId>,
        material: KeyMaterial,
    ) -> Result<KeyRecord, ManageError> {
        let key = match &material {
            KeyMaterial::Secret(secret) if algorithm == Algorithm::Hs256 => {
                SigningKey::from_secret(secret)
            }
            KeyMaterial::Secret(_) => {
                return Err(invalid("algorithm", "a bare secret is a key for HS256 only"));
            }
            KeyMaterial::Pem(pem) => SigningKey::from_pem(algorithm, pem),
            KeyMaterial::Jwk(jwk) => SigningKey::from_jwk(algorithm, jwk),
        };
        let key = key.map_err(|error| invalid("key", error.to_string()))?;
        let record = self.seal(realm, &key, id, KeyStatus::Active)?;
        self.add_key(&record, EventKind::KeyImported).await?;
        Ok(record)
    }

    async fn add_key(&self, record: &KeyRecord, kind: EventKind) -> Result<(), ManageError> {
        // A key under another master key than the realm's others would open on no server.
        if let Some(other) = self.keys(&record.realm).await?.first() {
            self.open(other)?;
        }
        let event = self.act(kind, &record.realm, None, Some(record.id.to_string()));
        match self.parts.store.add_key(record, &event).await {
            Err(StoreError::Exists) => {
                Err(ManageError::Exists(format!("key {} of realm {}", record.id, record.realm)))
            }
            other => other.map_err(fault),
        }
    }

    /// A realm's keys, in the order they were made.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, ManageError> {
        self.parts.store.keys(realm).await.map_err(fault)
    }

    /// The private key, and an event that tells of its export: the secret's bytes of a symmetric
    /// key, PKCS #8 in PEM otherwise.
    ///
    /// # Errors
    /// There is no such key, or the master key does not open it.
    pub async fn export_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
    ) -> Result<Zeroizing<Vec<u8>>, ManageError> {
        let records = self.keys(realm).await?;
        let record = records.iter().find(|record| record.id == *id);
        let record =
            record.ok_or_else(|| ManageError::Missing(format!("key {id} of realm {realm}")))?;
        let event = self.act(EventKind::KeyExported, realm, None, Some(id.to_string()));
        self.parts.store.keep_events(&[event]).await.map_err(fault)?;
        let key = self.open(record)?;
        let exported = match record.algorithm {
            Algorithm::Hs256 => key.private_bytes(),
            _ => key.to_pem().map(|pem| Zeroizing::new(pem.as_bytes().to_vec())),
        };
        exported.map_err(|error| invalid("key", error.to_string()))
    }

    /// The realm's active key of this algorithm, opened; made when there is none.
    pub(super) async fn signing_key(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
    ) -> Result<(KeyId, SigningKey), ManageError> {
        self.create_first_key_if_missing(realm, algorithm).await?;
        let signs = |record: &&KeyRecord| {
            record.status == KeyStatus::Active && record.algorithm == algorithm
        };
        let records = self.keys(realm).await?;
        let record = records.iter().find(signs);
        let missing = || Fault::NoKey { realm: realm.to_string(), algorithm };
        let record = record.ok_or_else(missing).map_err(ManageError::Fault)?;
        Ok((record.id.clone(), self.open(record)?))
    }

    async fn create_first_key_if_missing(
        &self,
        realm: &RealmName,
        algorithm: Algorithm,
    ) -> Result<(), ManageError> {
        let active = |record: &KeyRecord| {
            record.status == KeyStatus::Active && record.algorithm == algorithm
        };
        if !self.keys(realm).await?.iter().any(active) {
            self.create_first_key(realm, algorithm).await.map_err(ManageError::Fault)?;
        }
        Ok(())
    }

    fn open(&self, record: &KeyRecord) -> Result<SigningKey, ManageError> {
        let opened = self.parts.master_key.open(&record.realm, &record.id, &record.sealed);
        let private = opened.map_err(ManageError::Fault)?;
        SigningKey::from_private_bytes(record.algorithm, &private)
            .map_err(|error| invalid("key", error.to_string()))
    }

    fn seal(
        &self,
        realm: &RealmName,
        key: &SigningKey,
        id: Option<KeyId>,
        status: KeyStatus,
    ) -> Result<KeyRecord, ManageError> {
        let random = &self.parts.random;
        let id = match id {
            Some(id) => id,
            None => with_prefix("", LOWER_ALPHANUMERIC, ID_LENGTH, random)
                .parse()
                .map_err(|error: NameError| invalid("id", error.to_string()))?,
        };
        let private = key.private_bytes().map_err(|error| invalid("key", error.to_string()))?;
        let sealed =
            self.parts.master_key.seal(realm, &id, &private, random).map_err(ManageError::Fault)?;
        let now = self.parts.clock.now();
        Ok(KeyRecord {
            realm: realm.clone(),
            public_jwk: key.public_jwk(id.as_str()),
            id,
            algorithm: key.algorithm(),
            status,
            sealed,
            created_at: now,
            activated_at: (status == KeyStatus::Active).then_some(now),
            retired_at: None,
        })
    }
}

/// What became of a key that was retired by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetiredKey {
    /// It signs no more; its tokens still hold.
    StillVerifies,
    /// It had retired before; now it is gone, and its tokens no longer hold.
    Removed,
}

/// A generated key has nothing wrong with it that an operator could mend.
fn broken(error: ManageError) -> Fault {
    match error {
        ManageError::Fault(fault) => fault,
        _ => Fault::Impossible("a generated key is well formed"),
    }
}

/// Makes a key, off the caller's thread: an RSA key takes a while.
async fn generate(algorithm: Algorithm) -> Result<SigningKey, ManageError> {
    let generated = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
    let ended = Fault::Impossible("the making of a key ended without an answer");
    generated
        .map_err(|_| ManageError::Fault(ended))?
        .map_err(|error| invalid("algorithm", error.to_string()))
}
