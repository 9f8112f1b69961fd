//! A client in memory: what decisions ask of it, and nothing else that is kept of it. There are many,
//! so that what most of them do not have takes no room, and what many have alike is shared.

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, OnceLock};

use ipnet::IpNet;
use jeton_jose::{JwkSet, VerifyingKey};

use crate::claims::CustomClaims;
use crate::client::extract::{ClientExtract, PlainClient, PlainSecret};
use crate::client::proof::{Proof, PublicKeys, SenderConstraint};
use crate::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use crate::clock::Time;
use crate::live::run::{ClientRun, NotedUses};
use crate::master_key::MasterKey;
use crate::name::{Audience, ClientId, RealmName, SecretId, Subject};
use crate::registration::Registration;
use crate::request::AuthenticationMethod;
use crate::scope::Scope;
use crate::terms::Lifetime;

/// A client as decisions see it, and what happens to it while the process runs.
pub struct LiveClient {
    /// Its identifier, unique in the realm.
    pub id: ClientId,
    /// Shared by all who have the same.
    pub(crate) scope: Arc<Scope>,
    pub(crate) secrets: Secrets,
    pub(crate) created_at: Time,
    /// How often it was changed; the lower half of that tells one state from another.
    pub(crate) revision: u32,
    /// What most clients have nothing of.
    particulars: Option<Box<Particulars>>,
    pub(crate) run: ClientRun,
    pub(crate) noted: NotedUses,
}

/// Scopes of clients that are being read, each once.
#[derive(Default)]
pub(super) struct Scopes {
    /// That of the last one: many have the same, one after the other.
    last: Arc<Scope>,
    all: HashSet<Arc<Scope>>,
}

impl Scopes {
    /// A scope as all hold it who have it.
    fn shared(&mut self, scope: Scope) -> Arc<Scope> {
        if *self.last != scope {
            let known = self.all.get(&scope).map(Arc::clone);
            self.last = known.unwrap_or_else(|| Arc::new(scope));
            self.all.insert(Arc::clone(&self.last));
        }
        Arc::clone(&self.last)
    }
}

/// What few clients have.
#[derive(Debug, Default)]
struct Particulars {
    name: Option<Box<str>>,
    subject: Option<Subject>,
    status: ClientStatus,
    role: ClientRole,
    lock: Lock,
    audiences: Vec<Audience>,
    lifetime: Option<Lifetime>,
    networks: Vec<IpNet>,
    authentication: Vec<AuthenticationMethod>,
    proof: Option<Box<Proof>>,
    registration: Option<Box<Registration>>,
    claims: CustomClaims,
    /// The keys that it has registered, once they were needed.
    keys: OnceLock<JwkSet>,
    /// Its sealed secrets, opened, once they were needed.
    opened: OnceLock<Box<[VerifyingKey]>>,
}

/// What a client without particulars has of them.
static NONE: LazyLock<Particulars> = LazyLock::new(Particulars::default);

impl From<Client> for LiveClient {
    fn from(client: Client) -> Self {
        Self::new(client.into(), &mut Scopes::default())
    }
}

impl LiveClient {
    /// To whom nothing has happened yet.
    pub(super) fn new(extract: ClientExtract, scopes: &mut Scopes) -> Self {
        match extract {
            ClientExtract::Plain(client) => Self::plain(client, scopes),
            ClientExtract::Whole(client) => Self::whole(*client, scopes),
        }
    }

    fn plain(client: PlainClient, scopes: &mut Scopes) -> Self {
        let PlainClient { id, name, scope, secret, created_at, revision } = client;
        let named = |name| Box::new(Particulars { name: Some(name), ..Particulars::default() });
        Self {
            id,
            scope: scopes.shared(scope),
            secrets: secret.map_or_else(Secrets::none, |one| Secrets::One(one.into())),
            created_at,
            revision: revision as u32,
            particulars: name.map(named),
            run: ClientRun::default(),
            noted: NotedUses::default(),
        }
    }

    fn whole(client: Client, scopes: &mut Scopes) -> Self {
        let Client { name, subject, status, role, lock, audiences, lifetime, networks, .. } =
            client;
        let Client { authentication, proof, registration, claims, secrets, .. } = client;
        let is_plain = name.is_none()
            && subject.is_none()
            && (status == ClientStatus::Enabled && role == ClientRole::Client)
            && lock == Lock::Open
            && (audiences.is_empty() && networks.is_empty() && authentication.is_empty())
            && lifetime.is_none()
            && proof.is_none()
            && registration.is_none()
            && claims.is_empty()
            && !secrets.iter().any(|secret| matches!(secret.digest, SecretDigest::Sealed(_)));
        let particulars = (!is_plain).then(|| {
            Box::new(Particulars {
                name,
                subject,
                status,
                role,
                lock,
                audiences,
                lifetime,
                networks,
                authentication,
                proof,
                registration,
                claims,
                ..Particulars::default()
            })
        });
        Self {
            id: client.id,
            scope: scopes.shared(client.scope),
            secrets: Secrets::new(secrets),
            created_at: client.created_at,
            revision: client.revision as u32,
            particulars,
            run: ClientRun::default(),
            noted: NotedUses::default(),
        }
    }

    /// Whether it may have tokens at all.
    pub(crate) fn status(&self) -> ClientStatus {
        self.particulars().status
    }

    /// What it is to the realm.
    pub(crate) fn role(&self) -> ClientRole {
        self.particulars().role
    }

    /// What people call it.
    pub fn name(&self) -> Option<&str> {
        self.particulars().name.as_deref()
    }

    /// What its tokens are about (`sub`).
    pub fn subject(&self) -> &str {
        self.own_subject().map_or_else(|| self.id.as_str(), Subject::as_str)
    }

    /// What its tokens are about, where that is not its identifier.
    pub(crate) fn own_subject(&self) -> Option<&Subject> {
        self.particulars().subject.as_ref()
    }

    /// Who its tokens may be for; the realm's audience when empty.
    pub(crate) fn audiences(&self) -> &[Audience] {
        &self.particulars().audiences
    }

    /// How long its tokens live; the realm's or the dialect's word when absent.
    pub(crate) fn lifetime(&self) -> Option<Lifetime> {
        self.particulars().lifetime
    }

    /// The networks it may call from; any when empty.
    pub(crate) fn networks(&self) -> &[IpNet] {
        &self.particulars().networks
    }

    /// What it proves itself with where it does not show a secret.
    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.particulars().proof.as_deref()
    }

    /// What is kept of it because it registered itself.
    pub(crate) fn registration(&self) -> Option<&Registration> {
        self.particulars().registration.as_deref()
    }

    /// What it adds to its tokens.
    pub fn claims(&self) -> &CustomClaims {
        &self.particulars().claims
    }

    /// Whether it may authenticate in this way.
    pub(crate) fn may_authenticate_by(&self, method: AuthenticationMethod) -> bool {
        method.is_allowed_by(&self.particulars().authentication)
    }

    /// What its tokens are bound to.
    pub(crate) fn sender_constraint(&self) -> SenderConstraint {
        self.proof().map(|proof| proof.sender).unwrap_or_default()
    }

    /// The client's own registered keys (`jwks`), parsed once.
    pub(crate) fn keys(&self, registered: &PublicKeys) -> &JwkSet {
        self.particulars().keys.get_or_init(|| registered.parse())
    }

    /// The keys of HS256 that its sealed secrets are, under their identifiers. They go when the
    /// client changes, and the library wipes them then.
    pub(crate) fn opened(&self, realm: &RealmName, master_key: &MasterKey) -> &[VerifyingKey] {
        let opened = &self.particulars().opened;
        opened.get_or_init(|| open(self, realm, master_key).into_boxed_slice())
    }

    /// How the store has it locked.
    pub(crate) fn lock(&self) -> Lock {
        self.particulars().lock
    }

    /// Whether the account is locked at `now`.
    pub(crate) fn is_locked(&self, now: Time) -> bool {
        self.lock().holds(now) || self.run.is_locked(now)
    }

    /// Whether it has nothing that few clients have.
    pub(super) fn is_without_particulars(&self) -> bool {
        self.particulars.is_none()
    }

    fn particulars(&self) -> &Particulars {
        match &self.particulars {
            Some(particulars) => particulars,
            None => &NONE,
        }
    }
}

impl fmt::Debug for LiveClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LiveClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A client's secrets, the oldest first. Mostly there is one, which is then in its place.
pub(crate) enum Secrets {
    One(LiveSecret),
    Other(Box<[LiveSecret]>),
}

/// One of a client's secrets.
pub(crate) struct LiveSecret {
    pub(crate) id: SecretId,
    pub(crate) digest: SecretDigest,
    /// From when on it is refused; [`Self::NEVER`].
    end: Time,
}

impl Secrets {
    fn none() -> Self {
        Self::Other(Box::default())
    }

    fn new(secrets: Vec<Secret>) -> Self {
        match <[Secret; 1]>::try_from(secrets) {
            Ok([one]) => Self::One(one.into()),
            Err(other) => Self::Other(other.into_iter().map(LiveSecret::from).collect()),
        }
    }
}

impl Deref for Secrets {
    type Target = [LiveSecret];

    fn deref(&self) -> &[LiveSecret] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Other(other) => other,
        }
    }
}

impl LiveSecret {
    const NEVER: Time = Time::from_milliseconds(i64::MAX);

    /// Whether the secret may be used at `now`.
    pub(crate) fn is_current(&self, now: Time) -> bool {
        now < self.end
    }

    /// From when on it is refused.
    pub(crate) fn expires_at(&self) -> Option<Time> {
        (self.end != Self::NEVER).then_some(self.end)
    }
}

impl From<PlainSecret> for LiveSecret {
    fn from(secret: PlainSecret) -> Self {
        let PlainSecret { id, digest, expires_at } = secret;
        Self { id, digest, end: expires_at.unwrap_or(Self::NEVER) }
    }
}

impl From<Secret> for LiveSecret {
    fn from(secret: Secret) -> Self {
        let Secret { id, digest, expires_at, .. } = secret;
        Self { id, digest, end: expires_at.unwrap_or(Self::NEVER) }
    }
}

fn open(client: &LiveClient, realm: &RealmName, master_key: &MasterKey) -> Vec<VerifyingKey> {
    let LiveClient { id, secrets, .. } = client;
    let mut keys = Vec::new();
    for secret in secrets.iter() {
        let SecretDigest::Sealed(sealed) = &secret.digest else { continue };
        let opened = master_key.open_secret(realm, id, &secret.id, sealed);
        match opened.map(|opened| VerifyingKey::from_secret(&opened)) {
            Ok(Ok(key)) => keys.push(key.with_key_id(secret.id.as_str())),
            // The others may be right all the same.
            Ok(Err(error)) => {
                tracing::error!(%error, %realm, client_id = %id, "a secret is no key of HS256");
            }
            Err(fault) => {
                tracing::error!(%fault, %realm, client_id = %id, "a secret does not open");
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_without_particulars_has_room_in_160_bytes_of_the_heap() {
        // Beside it there are two counters of references, and eight bytes of the allocator's.
        assert!(size_of::<LiveClient>() <= 160 - 16 - 8, "{}", size_of::<LiveClient>());
    }
}
