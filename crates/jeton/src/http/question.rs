//! A question about a token from its first byte to its last: take it whole; read, ask, write.

use std::pin::pin;

use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming as IncomingBody};
use jeton_dialect::{Incoming, Question};
use jeton_engine::error::{Error, Fault};
use jeton_engine::event::Reference;

use super::asker::Asker;
use super::route::Site;
use super::token::After;
use super::{Front, body, introspect, refusal, revoke};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Introspect,
    Revoke,
}

/// Who asks, and what the answer is made with.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) front: &'a Front,
    pub(crate) site: &'a Site,
    pub(crate) asker: &'a Asker,
    pub(crate) headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// The answer that says no.
    pub(crate) fn refuse(&self, error: &Error, reference: Reference) -> Response<Full<Bytes>> {
        refusal::answer(error, reference, &self.site.realm.realm().name)
    }
}

/// Answers one question.
pub(crate) async fn answer(
    front: &Front,
    site: &Site,
    act: Act,
    request: &mut Request<IncomingBody>,
    asker: &Asker,
) -> (Response<Full<Bytes>>, After) {
    let body = body::take(request.body_mut(), front.body).await;
    let after = if body.is_ok() { After::Keep } else { After::Close };
    let incoming = Incoming {
        method: request.method(),
        query: request.uri().query(),
        headers: request.headers(),
        body: body.as_deref().map_err(|reason| *reason),
    };
    let read = Question::read(&incoming);
    let question = read.as_ref().map(Question::question).map_err(Clone::clone);
    let question = asker.known().and(question);
    let asked = Asked { front, site, asker, headers: request.headers() };
    let Some(_place) = front.in_flight.take() else {
        return (fail(&asked, Fault::Overloaded), after);
    };
    let response = match act {
        Act::Introspect => pin!(introspect::answer(asked, question.as_ref())).await,
        // Seldom asked, and large.
        Act::Revoke => Box::pin(revoke::answer(asked, question.as_ref())).await,
    };
    (response, after)
}

fn fail(asked: &Asked<'_>, fault: Fault) -> Response<Full<Bytes>> {
    let Asked { front, site, asker, .. } = asked;
    let failed = front.engine.fail(&site.realm, &site.terms, asker.caller(), fault.clone());
    asked.refuse(&Error::Fault(fault), failed.reference)
}
