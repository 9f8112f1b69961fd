//! Revocation (RFC 7009): 200 without a body, for the caller's own token and for anything that holds
//! no more or never did.

use http::Response;
use http::header::CACHE_CONTROL;
use http_body_util::Full;
use hyper::body::Bytes;
use jeton_engine::error::Refusal;
use jeton_engine::request::TokenQuestion;

use super::question::Asked;
use super::refusal::NO_STORE;

/// Answers a revocation request.
pub(crate) async fn answer(
    asked: Asked<'_>,
    question: Result<&TokenQuestion<'_>, &Refusal>,
) -> Response<Full<Bytes>> {
    let Asked { front, site, asker, .. } = asked;
    let answered = front.engine.revoke(&site.realm, &site.terms, asker.caller(), question).await;
    if let Err(error) = &answered.outcome {
        return asked.refuse(error, answered.reference);
    }
    let mut response = Response::new(Full::default());
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}
