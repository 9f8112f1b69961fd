//! A token request from its first byte to its last: take it whole; read, decide, write.

use std::pin::pin;

use http::{HeaderMap, Request};
use hyper::body::Incoming as IncomingBody;
use jeton_dialect::{Answer, Incoming};
use jeton_engine::error::{Fault, Reason, Refusal};
use jeton_engine::request::{Caller, PresentedProof};
use jeton_engine::token::Decision;

use super::asker::Asker;
use super::route::{Found, Path};
use super::traffic::Outcome;
use super::{Front, body, proof};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The caller may ask again on it.
    Keep,
    /// Part of the request was left unread, so nobody knows where the next one would begin.
    Close,
}

/// What the caller of a token endpoint hears, and what it means.
pub(crate) struct Told {
    pub(crate) answer: Answer,
    pub(crate) after: After,
    pub(crate) outcome: Outcome,
}

/// Answers one token request.
pub(crate) async fn answer(
    front: &Front,
    found: &Found,
    request: &mut Request<IncomingBody>,
    asker: &Asker,
) -> Result<Told, Fault> {
    let (mount, realm) = (found.mount()?, &found.site.realm);
    if found.path == Path::Unknown {
        let refusal = Refusal::from(Reason::PathUnknown);
        let decision =
            front.engine.decide(realm, &mount.terms, asker.caller(), Err(&refusal)).await;
        let answer = mount.dialect.write(&decision, request.headers());
        return Ok(Told { answer, after: After::Keep, outcome: Outcome::Refused });
    }
    let body = body::take(request.body_mut(), front.body).await;
    let after = if body.is_ok() { After::Keep } else { After::Close };

    // Taken only now: a caller that is slow to send must not keep others from being answered.
    let Some(_place) = front.in_flight.take() else {
        let decision = front.engine.fail(realm, &mount.terms, asker.caller(), Fault::Overloaded);
        let answer = mount.dialect.write(&decision, request.headers());
        return Ok(Told { answer, after, outcome: Outcome::Failed });
    };
    let incoming = Incoming {
        method: request.method(),
        query: request.uri().query(),
        headers: request.headers(),
        body: body.as_deref().map_err(|reason| *reason),
    };
    let read = mount.dialect.read(&incoming);
    let proof = proof::presented(request.headers());
    let uri = matches!(proof, Ok(Some(_)))
        .then(|| proof::published_uri(&found.site, mount.dialect.path()));
    let dpop = proof.ok().flatten().zip(uri.as_deref()).map(|(proof, uri)| PresentedProof {
        proof,
        method: request.method().as_str(),
        uri,
    });
    let asked = asker
        .known()
        .and_then(|()| read.as_ref().map_err(Clone::clone))
        .and_then(|read| proof.map(|_| read.request()).map_err(Refusal::from));
    let caller = Caller { dpop, ..asker.caller() };
    let deciding = pin!(front.engine.decide(realm, &mount.terms, caller, asked.as_ref()));
    let decision = deciding.await;
    let outcome = Outcome::of(&decision.outcome);
    Ok(Told { answer: write(front, found, &decision, request.headers())?, after, outcome })
}

/// The dialect's answer, and the nonce, which is no matter of dialects: clients look for it under one
/// name.
fn write(
    front: &Front,
    found: &Found,
    decision: &Decision,
    asked_with: &HeaderMap,
) -> Result<Answer, Fault> {
    let mut answer = found.mount()?.dialect.write(decision, asked_with);
    let outcome = decision.outcome.as_ref().map(|issued| &issued.confirmation);
    proof::put_nonce(front, &found.site, outcome, &mut answer.headers);
    Ok(answer)
}
