//! Introspection (RFC 7662): resource servers may ask about every token of the realm, any other
//! client about its own. About others' tokens nobody learns anything.

use std::pin::pin;
use std::sync::Arc;

use crate::allow::count_refused;
use crate::authenticate::known_caller;
use crate::check::ActiveToken;
use crate::client::ClientRole;
use crate::deciding::Deciding;
use crate::engine::Engine;
use crate::error::{Error, Refusal};
use crate::event::EventKind;
use crate::live::{LiveClient, RealmState};
use crate::request::{Caller, TokenQuestion};
use crate::terms::Terms;
use crate::token::Answered;

/// What a caller of the introspection endpoint may know.
#[derive(Clone, Debug)]
pub struct Introspected {
    /// Who asked.
    pub caller: Arc<LiveClient>,
    /// The token; `None` when it does not hold, or is none of the caller's business.
    pub token: Option<ActiveToken>,
}

impl Introspected {
    /// What a signed answer may tell: only of a token that the caller is meant to consume (RFC 9701
    /// section 5).
    pub fn for_caller(&self, realm: &RealmState) -> Option<&ActiveToken> {
        self.token.as_ref().filter(|token| !is_for_another(realm, &self.caller, token))
    }
}

impl Engine {
    /// Answers an introspection request, or records that it could not be read.
    pub async fn introspect(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        asked: Result<&TokenQuestion<'_>, &Refusal>,
    ) -> Answered<Introspected> {
        let deciding = &self.deciding(realm, terms, caller);
        let outcome = match asked {
            Ok(question) => pin!(introspect(deciding, question)).await,
            Err(refusal) => Err(count_refused(deciding, refusal.clone().into())),
        };
        self.answered(deciding, EventKind::IntrospectionRefused, outcome)
    }
}

async fn introspect(
    deciding: &Deciding<'_>,
    question: &TokenQuestion<'_>,
) -> Result<Introspected, Error> {
    let reach = &deciding.engine.reach;
    reach.vouch()?;
    let caller = known_caller(deciding, question).await?;
    let token = deciding.engine.check(deciding.realm, question.token.as_bytes()).await?;
    let theirs = |token: &ActiveToken| {
        caller.role() == ClientRole::ResourceServer || token.client.id == caller.id
    };
    let token = token.filter(|token| theirs(token) && token.may_be_used(deciding.realm));
    reach.vouch()?;
    Ok(Introspected { token, caller })
}

/// Whether the audiences name a resource server of the realm by its identifier, and not the caller.
/// Audiences that name nobody we know are for whoever serves them.
fn is_for_another(realm: &RealmState, caller: &LiveClient, token: &ActiveToken) -> bool {
    let names = |audience: &str| {
        let client = realm.memory.clients.client(audience);
        client.is_some_and(|live| live.role() == ClientRole::ResourceServer)
    };
    let audiences = &token.says.audiences;
    token.client.id != caller.id
        && !audiences.iter().any(|audience| **audience == *caller.id.as_str())
        && audiences.iter().any(|audience| names(audience))
}
