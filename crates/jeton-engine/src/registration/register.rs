//! The two acts of registration, top to bottom: a new client (RFC 7591 section 3), and a registered
//! client that reads, replaces or deletes its registration (RFC 7592 section 2).

use std::sync::Arc;

use super::metadata::{ClientMetadata, Grounds};
use super::{
    InitialAccessToken, Managed, ManagementAct, ManagementRequest, Registered, RegistrationRequest,
    scope_within, statement,
};
use crate::allow::source;
use crate::authenticate::{digest_of, known};
use crate::deciding::Deciding;
use crate::engine::Engine;
use crate::error::{Error, Fault, Reason, Refusal};
use crate::event::EventKind;
use crate::grant::may_have_token;
use crate::limit::LimitOf;
use crate::limiter::{Account, Refusing};
use crate::live::{LiveClient, RealmState};
use crate::manage::Manage;
use crate::name::ClientId;
use crate::realm::registration::{Admission, Registering};
use crate::request::Caller;
use crate::scope::Scope;
use crate::terms::Terms;
use crate::token::Answered;

impl Engine {
    /// Registers a client, or says why not.
    pub async fn register(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        request: RegistrationRequest<'_>,
    ) -> Answered<Registered> {
        let deciding = &self.deciding(realm, terms, caller);
        let outcome = self.keep_by_steps(register(deciding, request)).await;
        self.answered(deciding, EventKind::RegistrationRefused, outcome)
    }

    /// Does what a registered client wants with its registration, or says why not.
    pub async fn manage_registration(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        request: ManagementRequest<'_>,
    ) -> Answered<Managed> {
        let deciding = &self.deciding(realm, terms, caller);
        let outcome = self.keep_by_steps(manage(deciding, request)).await;
        self.answered(deciding, EventKind::RegistrationRefused, outcome)
    }

    /// Takes over at once what a client has just done to itself: it may ask for a token next.
    async fn take_over(&self, deciding: &Deciding<'_>, id: &ClientId) -> Result<(), Fault> {
        // Whoever follows changes at the same moment must not put an older state over this one.
        let _revision = self.revision.lock().await;
        let (store, memory) = (&*self.parts.store, &deciding.realm.memory);
        Ok(memory.reload_client(store, &deciding.realm.realm.name, id).await?)
    }
}

async fn register(
    deciding: &Deciding<'_>,
    request: RegistrationRequest<'_>,
) -> Result<Registered, Error> {
    let rules = rules(deciding)?;
    count_source(deciding, rules)?;
    let token = admit(deciding, rules, request.token).await?;
    count_realm(deciding, rules)?;
    let said = statement::heard(deciding, rules, request.metadata?).await?;
    let scope_max = token.as_ref().map(|token| &token.scope).filter(|scope| !scope.is_empty());
    let metadata = read(deciding, rules, scope_max, said)?;
    let manage = Manage::new(deciding.engine.parts.clone());
    let registered = manage.register_client(deciding, metadata, token.as_ref()).await?;
    deciding.engine.take_over(deciding, &registered.client.id).await?;
    Ok(registered)
}

async fn manage(deciding: &Deciding<'_>, request: ManagementRequest<'_>) -> Result<Managed, Error> {
    let ManagementRequest { client_id, token, act } = request;
    let rules = rules(deciding)?;
    count_source(deciding, rules)?;
    let token = token.ok_or(Reason::RegistrationTokenMissing)?;
    let live = authenticate(deciding, client_id, token).await?;
    let manage = Manage::new(deciding.engine.parts.clone());
    let (client, secret) = match act {
        ManagementAct::Read => (manage.registered_client(deciding, &live).await?, None),
        ManagementAct::Replace(said) => {
            // As it is kept now: an operator may have taken something from it a moment ago.
            let client = manage.registered_client(deciding, &live).await?;
            may_have_token(&client.clone().into(), deciding.caller.source)?;
            let said = statement::heard(deciding, rules, said?).await?;
            manage.check_own(&client, &said)?;
            let registration = client.registration.as_ref();
            let scope_max = registration.and_then(|registration| registration.scope_max.as_ref());
            let metadata = read(deciding, rules, scope_max, said)?;
            let replaced = manage.replace_registered(deciding, client, metadata).await?;
            deciding.engine.take_over(deciding, &replaced.0.id).await?;
            replaced
        }
        ManagementAct::Delete => {
            manage.delete_registered(deciding, &live.id).await?;
            deciding.engine.take_over(deciding, &live.id).await?;
            deciding.realm.memory.forget_tokens(&live.id);
            return Ok(Managed::Deleted);
        }
    };
    // Not rotated, as RFC 7592 section 2 allows: a client that lost the answer would have lost itself.
    let access_token = token.to_owned().into();
    Ok(Managed::Is(Box::new(Registered { client, secret, access_token })))
}

fn rules<'a>(deciding: &Deciding<'a>) -> Result<&'a Registering, Reason> {
    deciding.realm.realm.registration.as_ref().ok_or(Reason::PathUnknown)
}

fn count_source(deciding: &Deciding<'_>, rules: &Registering) -> Result<(), Refusal> {
    let counts = &deciding.realm.memory.registering.sources;
    let taken = counts.take(source(deciding), &rules.source_limits, deciding.now);
    taken.map_err(limited)
}

fn count_realm(deciding: &Deciding<'_>, rules: &Registering) -> Result<(), Refusal> {
    let buckets = &deciding.realm.memory.registering.realm;
    let account = Account { of: LimitOf::Realm, rates: &rules.realm_limits, buckets };
    Account::take_all(&[account], deciding.now).map_err(limited)
}

fn limited(refusing: Refusing) -> Refusal {
    let Refusing { wait, allowance } = refusing;
    let (retry_after, allowance) = (Some(wait), Some(allowance));
    Refusal { retry_after, allowance, ..Reason::RegistrationLimited.into() }
}

/// Whether the caller may register a client, and with which token. A wrong one costs its source a
/// guess, as a wrong secret does.
async fn admit(
    deciding: &Deciding<'_>,
    rules: &Registering,
    presented: Option<&str>,
) -> Result<Option<InitialAccessToken>, Error> {
    let Deciding { engine, realm, caller, now, .. } = *deciding;
    let Some(presented) = presented else {
        return match rules.initial_access_token {
            Admission::DangerAnybody => Ok(None),
            Admission::Token => Err(Reason::RegistrationTokenMissing.into()),
        };
    };
    let turn = engine.guesses.turn(caller.source, None, now).await?;
    let store = &engine.parts.store;
    let found = store.initial_access_token(&realm.realm.name, &digest_of(presented)).await;
    match found.map(|found| found.filter(|token| token.is_usable(now))) {
        Ok(Some(token)) => {
            turn.costs_nothing();
            Ok(Some(token))
        }
        Ok(None) => {
            turn.wrong();
            Err(Reason::InitialTokenWrong.into())
        }
        Err(error) => {
            turn.costs_nothing();
            Err(Fault::from(error).into())
        }
    }
}

/// The client whose registration access token was presented. One that is not there, never registered
/// itself, is disabled or calls from elsewhere looks the same from outside (RFC 7592 section 2.1).
async fn authenticate(
    deciding: &Deciding<'_>,
    client_id: &str,
    token: &str,
) -> Result<Arc<LiveClient>, Error> {
    let Deciding { engine, realm, caller, now, .. } = *deciding;
    let found = realm.memory.clients.client(client_id);
    let turn = engine.guesses.turn(caller.source, found.as_deref(), now).await?;
    let is_own = |live: &&Arc<LiveClient>| {
        let registration = live.registration();
        registration.is_some_and(|registration| registration.token.is_of(token))
    };
    let refusal = match found.as_ref().filter(is_own) {
        None => Refusal::from(Reason::RegistrationTokenWrong),
        Some(live) => match may_have_token(live, caller.source) {
            Ok(()) => {
                turn.costs_nothing();
                return Ok(Arc::clone(live));
            }
            Err(reason) => known(reason, live),
        },
    };
    turn.wrong();
    Err(refusal.into())
}

/// Reads metadata as this realm allows them. `scope_max` is the client's own bound on its scope.
fn read(
    deciding: &Deciding<'_>,
    rules: &Registering,
    scope_max: Option<&Scope>,
    said: serde_json::Map<String, serde_json::Value>,
) -> Result<ClientMetadata, Refusal> {
    let realm = deciding.realm.realm();
    let within = scope_within(realm, scope_max);
    // Who names no scope gets what an operator chose for it, and nothing where nobody chose.
    let default = if scope_max.is_some() { within.clone() } else { Scope::default() };
    let grounds = Grounds {
        profile: realm.proving.profile,
        rules,
        scope_max: &within,
        scope_default: &default,
    };
    ClientMetadata::read(said, &grounds)
}
