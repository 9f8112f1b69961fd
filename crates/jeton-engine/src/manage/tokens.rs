//! Managing tokens: make by hand, list, revoke.

use crate::client::proof::Binding;
use crate::client::{Client, ClientStatus};
use crate::confirmation::Confirmation;
use crate::event::EventKind;
use crate::grant::{audiences, expiry, lifetime, narrow};
use crate::issue::{digest_of_token, record};
use crate::live::LiveClient;
use crate::manage::{Manage, ManageError, NewToken, check_label, fault, invalid};
use crate::mint::{Grant, header, random_string, seal, sign, token_id};
use crate::name::{RealmName, TokenId};
use crate::realm::Realm;
use crate::realm::proving::Profile;
use crate::sealed::SealingKey;
use crate::store::TokenFilter;
use crate::terms::{Lifetime, Permission, Terms, TokenShape};
use crate::token::{AccessToken, TokenFormat, TokenOrigin, TokenRecord};

impl Manage {
    /// Makes a token by hand, on the terms of one of the realm's mounts. It is kept, whatever its
    /// format, so that it can be listed and revoked.
    ///
    /// # Errors
    /// There is no such client, or it may not have such a token.
    pub async fn make_token(
        &self,
        realm: &Realm,
        terms: &Terms,
        new: NewToken,
    ) -> Result<(AccessToken, TokenRecord), ManageError> {
        let name = check_label("name", &new.name)?;
        let client = self.client(&realm.name, &new.client_id).await?;
        if client.status == ClientStatus::Disabled {
            return Err(invalid("client", format!("{} is disabled; enable it first", client.id)));
        }
        if let Some(bound) = bound(realm, &client) {
            return Err(invalid("client", bound));
        }
        let live = LiveClient::from(client);
        let asked = new.scope.as_ref().map(ToString::to_string);
        let (scope, _) = narrow(realm, &live, asked.as_deref())
            .map_err(|reason| invalid("scope", reason.to_string()))?;
        let audiences = audiences(realm, terms, &live, &[])
            .map_err(|reason| invalid("audience", reason.to_string()))?;
        if new.lifetime == Some(Lifetime::Never) && terms.never_expires == Permission::Refused {
            let dialect = &terms.dialect;
            let problem = format!("the dialect {dialect} does not allow tokens that never expire");
            return Err(invalid("expires", problem));
        }
        let now = self.parts.clock.now();
        let issued_at = now.whole_second();
        let named = new.lifetime.map(|named| realm.cut(named));
        let lives = named.unwrap_or_else(|| lifetime(realm, terms, &live));
        let id = token_id(now, &self.parts.random);
        let shape = terms.token.as_ref().unwrap_or(&realm.token);
        let grant = Grant {
            realm,
            client: &live,
            scope: &scope,
            audiences: &audiences,
            confirmation: Confirmation::default(),
            id: &id,
            issued_at,
            expires_at: expiry(issued_at, lives),
        };
        let token = self.mint_by_hand(shape, &grant).await?;
        let record = record(&grant, &token, shape.format(), TokenOrigin::ByHand(name))
            .map_err(ManageError::Fault)?;
        let client_id = Some(&live.id);
        let event = self.act(EventKind::TokenMade, &realm.name, client_id, Some(id.to_string()));
        self.parts.store.keep_token(record.clone(), Some(event)).await.map_err(fault)?;
        Ok((AccessToken::new(token), record))
    }

    async fn mint_by_hand(
        &self,
        shape: &TokenShape,
        grant: &Grant<'_>,
    ) -> Result<String, ManageError> {
        match shape {
            TokenShape::Stored(shape) => Ok(random_string(shape, &self.parts.random)),
            TokenShape::Sealed => {
                let sealing = SealingKey::new(&self.parts.master_key, &grant.realm.name);
                seal(grant, &sealing, &self.parts.random).map_err(ManageError::Fault)
            }
            TokenShape::Jwt(shape) => {
                let (id, key) = self.signing_key(&grant.realm.name, shape.algorithm).await?;
                let header = header(shape, id.as_str(), &key);
                sign(shape, grant, &header, &key).map_err(ManageError::Fault)
            }
        }
    }

    /// Up to `count` tokens, the newest first, older than `before`.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn tokens(
        &self,
        realm: &RealmName,
        filter: &TokenFilter,
        before: Option<&TokenId>,
        count: u32,
    ) -> Result<Vec<TokenRecord>, ManageError> {
        self.parts.store.tokens(realm, filter, before, count).await.map_err(fault)
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// Nothing is kept of such a token.
    pub async fn revoke_token(&self, realm: &RealmName, id: &TokenId) -> Result<(), ManageError> {
        let event = self.act(EventKind::TokenRevoked, realm, None, Some(id.to_string()));
        match self.parts.store.revoke_token(realm, id, &event).await.map_err(fault)? {
            true => Ok(()),
            false => Err(ManageError::Missing(format!("token {id} of realm {realm}"))),
        }
    }

    /// What is kept of a token whose string is at hand; `None` when nothing is.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn token_record(
        &self,
        realm: &RealmName,
        token: &str,
    ) -> Result<Option<TokenRecord>, ManageError> {
        let store = &self.parts.store;
        for format in [TokenFormat::Stored, TokenFormat::Jwt] {
            let digest = digest_of_token(token, format);
            let found = store.token(realm, &digest).await.map_err(fault)?;
            // The signature is not looked at here, so it must not be asked about by half.
            let found = found.filter(|found| digest_of_token(token, found.format) == digest);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Why there can be no bearer token of this client. A token made by hand is one: nobody is there who
/// could show a key or a certificate.
fn bound(realm: &Realm, client: &Client) -> Option<String> {
    let sender = client.sender_constraint();
    let to = match (sender.dpop, sender.mtls) {
        (Binding::Required, _) => "a DPoP key",
        (_, Binding::Required) => "its certificate",
        _ if realm.proving.profile == Profile::Fapi2 => {
            let text = "the realm's profile is fapi2, which only knows tokens that are bound, and a token \
                        made by hand cannot be: let the client ask for one";
            return Some(text.to_owned());
        }
        _ => return None,
    };
    let id = &client.id;
    Some(format!(
        "tokens of {id} must be bound to {to}, and a token made by hand cannot be: let the client ask for one"
    ))
}
