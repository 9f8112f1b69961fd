//! Managing registration: the tokens that let somebody register clients, and the clients that
//! register, change and delete themselves with them.

use std::borrow::Cow;

use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::clients::{boxed, check};
use crate::authenticate::digest_of;
use crate::client::proof::Proof;
use crate::client::{Client, Secret, SecretDigest};
use crate::deciding::Deciding;
use crate::error::{Error, Fault, Reason, Refusal};
use crate::event::{Event, EventKind};
use crate::live::LiveClient;
use crate::manage::{
    Manage, ManageError, NewClient, NewRegistrationToken, NewSecret, fault, invalid,
};
use crate::name::{ClientId, NameError, RealmName, TokenId};
use crate::random_text::{ALPHANUMERIC, LOWER_ALPHANUMERIC, with_prefix};
use crate::realm::Realm;
use crate::registration::metadata::{ClientMetadata, wrong};
use crate::registration::{InitialAccessToken, Registered, Registration, RegistrationTokenDigest};
use crate::request::AuthenticationMethod;
use crate::store::{Admitted, StoreError};

/// What an initial access token starts with, so that scanners for leaked secrets know it.
const INITIAL_PREFIX: &str = "jti_";
/// What a registration access token starts with.
const OWN_PREFIX: &str = "jtr_";
/// Random letters and digits of either: 43 of 62 are 256 bits.
const LENGTH: usize = 43;
/// Characters of an initial access token's identifier.
const ID_LENGTH: usize = 12;
/// The most clients that can be registered with one token.
const USES_MAX: u32 = 1_000_000;

impl Manage {
    /// Makes an initial access token (RFC 7591 section 1.2). It is shown once.
    ///
    /// # Errors
    /// Nobody may register clients in this realm, or something about the token is not allowed.
    pub async fn create_registration_token(
        &self,
        realm: &Realm,
        new: NewRegistrationToken,
    ) -> Result<(InitialAccessToken, Zeroizing<String>), ManageError> {
        if realm.registration.is_none() {
            let name = &realm.name;
            let problem = format!(
                "no client can register itself in {name}; its configuration can allow it: \
                 [realm.{name}.registration] enabled = true"
            );
            return Err(invalid("realm", problem));
        }
        if !(1..=USES_MAX).contains(&new.uses) {
            return Err(invalid("uses", format!("must be 1 to {USES_MAX}")));
        }
        super::clients::check_scope(realm, &new.scope)?;
        let now = self.parts.clock.now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(invalid("expires", "must be in the future"));
        }
        let random = &self.parts.random;
        let id = with_prefix("", LOWER_ALPHANUMERIC, ID_LENGTH, random);
        let text = Zeroizing::new(with_prefix(INITIAL_PREFIX, ALPHANUMERIC, LENGTH, random));
        let token = InitialAccessToken {
            realm: realm.name.clone(),
            id: id.parse().map_err(|error: NameError| invalid("id", error.to_string()))?,
            digest: digest_of(&text),
            scope: new.scope,
            uses_left: new.uses,
            created_at: now,
            expires_at: new.expires_at,
        };
        let detail = Some(token.id.to_string());
        let event = self.act(EventKind::RegistrationTokenMade, &realm.name, None, detail);
        self.parts.store.add_initial_access_token(&token, &event).await.map_err(fault)?;
        Ok((token, text))
    }

    /// The initial access tokens of a realm, the oldest first; those that are used up or have
    /// expired lately among them.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn registration_tokens(
        &self,
        realm: &RealmName,
    ) -> Result<Vec<InitialAccessToken>, ManageError> {
        self.parts.store.initial_access_tokens(realm).await.map_err(fault)
    }

    /// Revokes an initial access token. Clients that were registered with it stay.
    ///
    /// # Errors
    /// There is none of this identifier.
    pub async fn revoke_registration_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
    ) -> Result<(), ManageError> {
        let detail = Some(id.to_string());
        let event = self.act(EventKind::RegistrationTokenRevoked, realm, None, detail);
        match self
            .parts
            .store
            .delete_initial_access_token(realm, id, &event)
            .await
            .map_err(fault)?
        {
            true => Ok(()),
            false => Err(ManageError::Missing(format!("token {id} of realm {realm}"))),
        }
    }

    /// Makes the client that these metadata describe, and uses the token once, together or not at all.
    pub(crate) async fn register_client(
        &self,
        deciding: &Deciding<'_>,
        metadata: ClientMetadata,
        token: Option<&InitialAccessToken>,
    ) -> Result<Registered, Error> {
        let realm = deciding.realm.realm();
        let clients_max = realm.registration.as_ref().map_or(0, |rules| rules.clients_max);
        let new = NewClient {
            name: metadata.name,
            scope: metadata.scope,
            authentication: vec![metadata.method],
            proof: metadata.proof,
            secret: if uses_secret(metadata.method) {
                NewSecret::Generated
            } else {
                NewSecret::None
            },
            ..NewClient::default()
        };
        let (mut client, made) = self.make_client(realm, new).await.map_err(refused)?;
        let random = &self.parts.random;
        let access_token = Zeroizing::new(with_prefix(OWN_PREFIX, ALPHANUMERIC, LENGTH, random));
        client.registration = Some(Box::new(Registration {
            token: RegistrationTokenDigest::of(&access_token),
            through: token.map(|token| token.id.clone()),
            scope_max: token.map(|token| token.scope.clone()).filter(|scope| !scope.is_empty()),
            members: metadata.members,
        }));
        let through = token.map(|token| token.id.to_string());
        let event = self.own_act(deciding, EventKind::ClientRegistered, &client.id, through);
        let token = token.map(|token| &token.id);
        let admitted = self.parts.store.register_client(&client, token, clients_max, &event).await;
        match admitted.map_err(Fault::from)? {
            Admitted::Registered => {}
            Admitted::TokenUsedUp => return Err(Reason::InitialTokenWrong.into()),
            Admitted::Full => return Err(Reason::RegistrationsFull.into()),
        }
        Ok(Registered { client, secret: made.and_then(|made| made.generated), access_token })
    }

    /// Whether metadata that are to replace a client's are its own: they must name it, may only have
    /// the secret that it has, and nothing that the server alone says (RFC 7592 section 2.2).
    pub(crate) fn check_own(
        &self,
        client: &Client,
        said: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let ours_alone = [
            "registration_access_token",
            "registration_client_uri",
            "client_secret_expires_at",
            "client_id_issued_at",
        ];
        if let Some(name) = ours_alone.iter().find(|name| said.contains_key(**name)) {
            return Err(wrong(name));
        }
        if said.get("client_id").and_then(Value::as_str) != Some(client.id.as_str()) {
            return Err(wrong("client_id"));
        }
        let secret = match said.get("client_secret") {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(secret)) => secret,
            Some(_) => return Err(wrong("client_secret")),
        };
        let now = self.parts.clock.now();
        let current = client.secrets.iter().filter(|secret| secret.is_current(now));
        // One after the other, in constant time each: an issued secret was generated here.
        let found = current.fold(false, |found, own| found | self.is_issued(client, own, secret));
        if found { Ok(()) } else { Err(wrong("client_secret")) }
    }

    /// Whether this is what was issued. A secret that somebody brought along never was.
    fn is_issued(&self, client: &Client, kept: &Secret, presented: &str) -> bool {
        match &kept.digest {
            SecretDigest::Generated(digest) => digest.ct_eq(&digest_of(presented)).into(),
            SecretDigest::Sealed(sealed) => {
                let (realm, id) = (&client.realm, &client.id);
                let opened = self.parts.master_key.open_secret(realm, id, &kept.id, sealed);
                opened.is_ok_and(|secret| secret.ct_eq(presented.as_bytes()).into())
            }
            SecretDigest::Supplied(_) => false,
        }
    }

    /// A client that registered itself, as it is kept now.
    pub(crate) async fn registered_client(
        &self,
        deciding: &Deciding<'_>,
        live: &LiveClient,
    ) -> Result<Client, Error> {
        let realm = &deciding.realm.realm().name;
        let kept = self.parts.store.client(realm, &live.id).await.map_err(Fault::from)?;
        let same = |kept: &Client| kept.created_at == live.created_at;
        Ok(kept.filter(same).ok_or(Reason::RegistrationTokenWrong)?)
    }

    /// Replaces all of a client's metadata (RFC 7592 section 2.2). What only operators say of it
    /// stays: subject, audiences, networks, lifetime, claims, role, whose assertions stand for it. A
    /// secret is made when it has none that the new way of authenticating can use; those that it
    /// cannot use any more go.
    pub(crate) async fn replace_registered(
        &self,
        deciding: &Deciding<'_>,
        mut client: Client,
        metadata: ClientMetadata,
    ) -> Result<(Client, Option<Zeroizing<String>>), Error> {
        if let Some(registration) = &mut client.registration {
            registration.members = metadata.members;
        }
        client.name = metadata.name.map(Into::into);
        client.scope = metadata.scope;
        let federated = client.proof.take().and_then(|proof| proof.federated);
        client.proof = boxed(Proof { federated, ..metadata.proof });
        if !shares_secrets(&client, metadata.method) {
            client.secrets.clear();
        }
        client.authentication = vec![metadata.method];
        let is_current = |secret: &Secret| secret.is_current(deciding.now);
        let mut made = None;
        if uses_secret(metadata.method) && !client.secrets.iter().any(is_current) {
            client.secrets.clear();
            let secret = self.add_secret(&mut client, NewSecret::Generated, None, None).await;
            made = secret.map_err(refused)?.generated;
        }
        check(deciding.realm.realm(), &client).map_err(refused)?;
        client.changed_at = deciding.now;
        client.revision += 1;
        let event = self.own_act(deciding, EventKind::ClientChanged, &client.id, None);
        match self.parts.store.replace_client(&client, &event).await {
            Ok(()) => Ok((client, made)),
            // Somebody else was quicker: nothing was done, and what was said is to be read anew.
            Err(StoreError::Conflict) => Err(Fault::Overloaded.into()),
            Err(StoreError::Missing) => Err(Reason::RegistrationTokenWrong.into()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }

    /// Deletes a client that wants to be gone (RFC 7592 section 2.3).
    pub(crate) async fn delete_registered(
        &self,
        deciding: &Deciding<'_>,
        id: &ClientId,
    ) -> Result<(), Error> {
        let event = self.own_act(deciding, EventKind::ClientDeleted, id, None);
        let deleted = self.parts.store.delete_client(&event.realm, id, &event).await;
        match deleted.map_err(Fault::from)? {
            true => Ok(()),
            false => Err(Reason::RegistrationTokenWrong.into()),
        }
    }

    /// The event of something that a client does to itself.
    fn own_act(
        &self,
        deciding: &Deciding<'_>,
        kind: EventKind,
        id: &ClientId,
        detail: Option<String>,
    ) -> Event {
        Event {
            at: deciding.now,
            source: Some(deciding.caller.source),
            detail: detail.map(Cow::Owned),
            ..self.act(kind, &deciding.realm.realm().name, Some(id), None)
        }
    }
}

fn uses_secret(method: AuthenticationMethod) -> bool {
    method.shows_secret() || method == AuthenticationMethod::ClientSecretJwt
}

/// Whether the secrets that a client has are good for this way too: what is kept for an HMAC is
/// never shown, and of what is shown only a digest is kept.
fn shares_secrets(client: &Client, method: AuthenticationMethod) -> bool {
    let is_digest = |secret: &Secret| !matches!(secret.digest, SecretDigest::Sealed(_));
    uses_secret(method) && client.secrets.iter().all(|one| is_digest(one) == method.shows_secret())
}

/// What a caller over HTTP hears of a rule that holds for every client.
fn refused(error: ManageError) -> Error {
    match error {
        ManageError::Invalid { field, .. } => wrong(match field {
            "name" => "client_name",
            "authentication" | "secret" => "token_endpoint_auth_method",
            "jwks-file" => "jwks",
            "sender-constrained" => "dpop_bound_access_tokens",
            field if field.starts_with("tls-") => "tls_client_auth_subject_dn",
            field => field,
        })
        .into(),
        ManageError::Fault(fault) => fault.into(),
        ManageError::Exists(_) | ManageError::Missing(_) | ManageError::Conflict(_) => {
            Fault::Impossible("a client that is not kept yet is in nobody's way").into()
        }
    }
}
