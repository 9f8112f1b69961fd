//! Managing secrets: make, rotate, revoke.

use jeton_jose::key::SECRET_BYTES_MIN;
use zeroize::Zeroizing;

use crate::authenticate::digest_of;
use crate::client::{Client, Secret, SecretDigest};
use crate::clock::Time;
use crate::engine::Parts;
use crate::error::Fault;
use crate::event::EventKind;
use crate::manage::{
    MadeSecret, Manage, ManageError, NewSecret, Rotation, check_label, invalid, proof,
};
use crate::name::{ClientId, NameError, RealmName, SecretId};
use crate::random_text::{ALPHANUMERIC, LOWER_ALPHANUMERIC, with_prefix};
use crate::request::AuthenticationMethod;
use crate::slow_hash;

/// What a generated secret starts with, so that scanners for leaked secrets know it.
const PREFIX: &str = "jts_";
/// Random letters and digits of a generated secret: 43 of 62 are 256 bits.
const LENGTH: usize = 43;
/// Characters of a secret's identifier.
const ID_LENGTH: usize = 8;
/// The longest secret that can be brought along, in bytes.
const SUPPLIED_BYTES_MAX: usize = 1024;

impl Manage {
    /// Adds a secret; the others are right for `grace` more, where one is given.
    ///
    /// # Errors
    /// There is no such client, the secret is not allowed, or the client has too many.
    pub async fn rotate_secret(
        &self,
        realm: &RealmName,
        id: &ClientId,
        rotation: Rotation,
    ) -> Result<(Client, MadeSecret), ManageError> {
        let now = self.parts.clock.now();
        let before = self.client(realm, id).await?;
        let (secret, made) = self
            .make_secret(&before, rotation.secret, rotation.name.as_deref(), rotation.expires_at)
            .await?;
        let client = self
            .edit(realm, id, EventKind::SecretAdded, |client| {
                if keeping(client) != keeping(&before) {
                    return Err(ManageError::Conflict(format!("client {id} of realm {realm}")));
                }
                client.secrets.retain(|old| old.is_current(now));
                if let Some(grace) = rotation.grace {
                    let end = now.plus(grace);
                    for old in &mut client.secrets {
                        old.expires_at = Some(old.expires_at.map_or(end, |own| own.min(end)));
                    }
                    client.secrets.retain(|old| old.is_current(now));
                }
                push(client, secret.clone())?;
                Ok(true)
            })
            .await?;
        Ok((client, made))
    }

    /// Revokes one secret, or all of them. Says how many went.
    ///
    /// # Errors
    /// There is no such client, or it has no such secret.
    pub async fn revoke_secrets(
        &self,
        realm: &RealmName,
        id: &ClientId,
        secret: Option<&SecretId>,
    ) -> Result<usize, ManageError> {
        let before = self.client(realm, id).await?.secrets;
        let client = self
            .edit(realm, id, EventKind::SecretsRevoked, |client| {
                let count = client.secrets.len();
                match secret {
                    None => client.secrets.clear(),
                    Some(secret) => client.secrets.retain(|kept| kept.id != *secret),
                }
                Ok(client.secrets.len() != count)
            })
            .await?;
        let gone = |secret: &&Secret| client.secrets.iter().all(|kept| kept.id != secret.id);
        let count = before.iter().filter(gone).count();
        match secret {
            Some(secret) if count == 0 => {
                Err(ManageError::Missing(format!("secret {secret} of client {id}")))
            }
            _ => Ok(count),
        }
    }

    /// Whether a secret that somebody brings along would be taken.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn check_secret(&self, secret: &str) -> Result<(), ManageError> {
        check_supplied(secret)
    }

    /// Adds a secret to a client that is being made.
    pub(super) async fn add_secret(
        &self,
        client: &mut Client,
        new: NewSecret,
        name: Option<&str>,
        expires_at: Option<Time>,
    ) -> Result<MadeSecret, ManageError> {
        let (secret, made) = self.make_secret(client, new, name, expires_at).await?;
        push(client, secret)?;
        Ok(made)
    }

    /// Makes a secret: what is kept of it, and what is shown of it once.
    async fn make_secret(
        &self,
        client: &Client,
        new: NewSecret,
        name: Option<&str>,
        expires_at: Option<Time>,
    ) -> Result<(Secret, MadeSecret), ManageError> {
        let now = self.parts.clock.now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(invalid("secret-expires", "must be in the future"));
        }
        let random = &self.parts.random;
        let id: SecretId = with_prefix("", LOWER_ALPHANUMERIC, ID_LENGTH, random)
            .parse()
            .map_err(|error: NameError| invalid("secret", error.to_string()))?;
        let generate = || Zeroizing::new(with_prefix(PREFIX, ALPHANUMERIC, LENGTH, random));
        let (digest, generated) = match (new, keeping(client)) {
            (NewSecret::None, _) => return Err(invalid("secret", "is needed here")),
            (NewSecret::AsNeeded | NewSecret::Generated, Keeping::Digest) => {
                let secret = generate();
                (SecretDigest::Generated(digest_of(&secret)), Some(secret))
            }
            (NewSecret::AsNeeded | NewSecret::Generated, Keeping::Sealed) => {
                let secret = generate();
                (self.seal_secret(client, &id, &secret)?, Some(secret))
            }
            (NewSecret::Supplied(secret), Keeping::Digest) => {
                check_supplied(&secret)?;
                (SecretDigest::Supplied(self.hash_slowly(secret).await?), None)
            }
            (NewSecret::Supplied(secret), Keeping::Sealed) => {
                check_supplied(&secret)?;
                check_long(&secret)?;
                (self.seal_secret(client, &id, &secret)?, None)
            }
        };
        let name = name.map(|name| check_label("secret-name", name)).transpose()?;
        let made = MadeSecret { id: id.clone(), generated };
        Ok((Secret { id, name, digest, created_at: now, expires_at, last_used_at: None }, made))
    }

    fn seal_secret(
        &self,
        client: &Client,
        id: &SecretId,
        secret: &str,
    ) -> Result<SecretDigest, ManageError> {
        let Parts { master_key, random, .. } = &self.parts;
        let bound_to = (&client.realm, &client.id, id);
        let sealed = master_key.seal_secret(bound_to, secret.as_bytes(), random);
        sealed.map(|sealed| SecretDigest::Sealed(sealed.into())).map_err(ManageError::Fault)
    }

    async fn hash_slowly(&self, secret: Zeroizing<String>) -> Result<Box<str>, ManageError> {
        let (settings, random) = (self.parts.settings, self.parts.random.clone());
        let hashed =
            tokio::task::spawn_blocking(move || slow_hash::hash(&secret, &settings, &random)).await;
        hashed
            .unwrap_or(Err(Fault::Impossible("a slow hash ended without an answer")))
            .map_err(ManageError::Fault)
    }
}

/// What is kept of a client's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    /// What a secret that is shown can be compared with.
    Digest,
    /// The secret itself, encrypted: the key of an HMAC.
    Sealed,
}

fn keeping(client: &Client) -> Keeping {
    match client.authentication.contains(&AuthenticationMethod::ClientSecretJwt) {
        true => Keeping::Sealed,
        false => Keeping::Digest,
    }
}

fn push(client: &mut Client, secret: Secret) -> Result<(), ManageError> {
    if !proof::may_use_secret(client) {
        let ways: Vec<_> = client.authentication.iter().map(|method| method.name()).collect();
        let problem =
            format!("client {} cannot use one: it proves itself by {}", client.id, ways.join(", "));
        return Err(invalid("secret", problem));
    }
    if client.secrets.len() >= Client::SECRETS_MAX {
        return Err(invalid(
            "secret",
            format!(
                "client {} has {} secrets already, which is the most; revoke one first",
                client.id,
                client.secrets.len()
            ),
        ));
    }
    client.secrets.push(secret);
    Ok(())
}

fn check_supplied(secret: &str) -> Result<(), ManageError> {
    if secret.is_empty() || secret.len() > SUPPLIED_BYTES_MAX {
        return Err(invalid("secret", format!("must have 1 to {SUPPLIED_BYTES_MAX} bytes")));
    }
    if secret.chars().any(char::is_control) {
        return Err(invalid("secret", "must not have control characters, line ends among them"));
    }
    Ok(())
}

/// RFC 7518 section 3.2: a key of HS256 has at least as many bits as the hash.
fn check_long(secret: &str) -> Result<(), ManageError> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(invalid(
            "secret",
            format!(
                "must have at least {SECRET_BYTES_MIN} bytes for client_secret_jwt (RFC 7518 section 3.2)"
            ),
        ));
    }
    Ok(())
}
