//! Revocation (RFC 7009): a client takes back its own token. Durable before the answer leaves.

use crate::allow::count_refused;
use crate::authenticate::known_caller;
use crate::check::{ActiveToken, Says};
use crate::deciding::Deciding;
use crate::engine::Engine;
use crate::error::{Error, Fault, Reason, Refusal};
use crate::event::{Event, EventKind, Reference};
use crate::issue::refuse;
use crate::live::RealmState;
use crate::mint::token_id;
use crate::request::{Caller, TokenQuestion};
use crate::terms::Terms;
use crate::token::{Answered, TokenOrigin, TokenRecord};

impl Engine {
    /// Answers a revocation request, or records that it could not be read. A token that does not
    /// hold is revoked enough (RFC 7009 section 2.2).
    pub async fn revoke(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        asked: Result<&TokenQuestion<'_>, &Refusal>,
    ) -> Answered<()> {
        let deciding = &self.deciding(realm, terms, caller);
        let outcome = match asked {
            Ok(question) => revoke(deciding, question).await,
            Err(refusal) => Err(count_refused(deciding, refusal.clone().into())),
        };
        self.answered(deciding, EventKind::RevocationRefused, outcome)
    }
}

async fn revoke(deciding: &Deciding<'_>, question: &TokenQuestion<'_>) -> Result<(), Error> {
    let Deciding { engine, realm, now, .. } = *deciding;
    // Also of a token that does not hold: perhaps it does, and memory has not heard of it.
    engine.reach.keep()?;
    let caller = known_caller(deciding, question).await?;
    let Some(token) = engine.check(realm, question.token.as_bytes()).await? else {
        return Ok(());
    };
    if token.client.id != caller.id {
        return Err(refuse(Reason::TokenNotTheirs, &caller));
    }
    let record = record(deciding, &token)?;
    let event = Event {
        at: now,
        reference: Reference::new(&engine.parts.random),
        realm: realm.realm().name.clone(),
        kind: EventKind::TokenRevoked,
        client_id: Some(caller.id.clone()),
        source: Some(deciding.caller.source),
        detail: Some(record.id.to_string().into()),
    };
    engine.keep(engine.parts.store.revoke(&record, &event)).await?;
    realm.memory.revoke(record.digest, record.expires_at);
    Ok(())
}

/// What is kept of a revoked token until it would have expired.
fn record(deciding: &Deciding<'_>, token: &ActiveToken) -> Result<TokenRecord, Fault> {
    let Says { client_id, scope, issued_at, expires_at, format, .. } = &*token.says;
    let id = token.says.id.as_deref().and_then(|id| id.parse().ok());
    let id = match id {
        Some(id) => id,
        None => token_id(deciding.now, &deciding.engine.parts.random),
    };
    let subject = token.says.subject.parse();
    Ok(TokenRecord {
        realm: deciding.realm.realm().name.clone(),
        id,
        digest: token.says.digest,
        format: *format,
        origin: TokenOrigin::Endpoint,
        client_id: client_id.clone(),
        subject: subject.map_err(|_| Fault::Impossible("a token's subject is a subject"))?,
        scope: scope.clone(),
        audiences: token
            .says
            .audiences
            .iter()
            .filter_map(|audience| audience.parse().ok())
            .collect(),
        confirmation: token.says.confirmation,
        issued_at: *issued_at,
        expires_at: *expires_at,
        revoked_at: Some(deciding.now),
    })
}
