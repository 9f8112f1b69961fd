//! Introspection (RFC 7662): resource servers may ask about every token of the realm, any other
//! client about its own. About others' tokens nobody learns anything.

use std::sync::Arc;

use crate::authenticate::{Authenticated, authenticate};
use crate::check::ActiveToken;
use crate::client::{Client, ClientRole};
use crate::deciding::Deciding;
use crate::engine::Engine;
use crate::error::{Error, Refusal};
use crate::event::EventKind;
use crate::live::RealmState;
use crate::request::{Caller, TokenQuestion};
use crate::spent::spend;
use crate::terms::Terms;
use crate::token::Answered;

/// What a caller of the introspection endpoint may know.
#[derive(Clone, Debug)]
pub struct Introspected {
    /// Who asked.
    pub caller: Arc<Client>,
    /// The token; `None` when it does not hold, or is none of the caller's business.
    pub token: Option<ActiveToken>,
}

impl Engine {
    /// Answers an introspection request, or records that it could not be read.
    pub async fn introspect(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        asked: Result<TokenQuestion<'_>, Refusal>,
    ) -> Answered<Introspected> {
        let deciding = self.deciding(realm, terms, caller);
        let outcome = match asked {
            Ok(question) => introspect(deciding, &question).await,
            Err(refusal) => Err(Error::from(refusal)),
        };
        self.answered(deciding, EventKind::IntrospectionRefused, outcome)
    }
}

async fn introspect(
    deciding: Deciding<'_>,
    question: &TokenQuestion<'_>,
) -> Result<Introspected, Error> {
    let Authenticated { live, spend: to_spend } =
        authenticate(deciding, &question.credentials).await?;
    spend(deciding, &to_spend).await?;
    let caller = Arc::clone(&live.client);
    let token = deciding.engine.check(deciding.realm, question.token).await?;
    let theirs = |token: &ActiveToken| {
        caller.role == ClientRole::ResourceServer || token.client.id == caller.id
    };
    Ok(Introspected { token: token.filter(theirs), caller })
}
