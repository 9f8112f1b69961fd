//! Introspection (RFC 7662): what a token says, as JSON, or signed when the caller asks for that
//! (RFC 9701). Of a token that does not hold, or is none of the caller's business, one thing only.

use std::pin::pin;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use jeton_engine::check::ActiveToken;
use jeton_engine::confirmation::CNF;
use jeton_engine::error::{Error, Fault, Refusal};
use jeton_engine::introspect::Introspected;
use jeton_engine::jose::json::Object;
use jeton_engine::realm::Realm;
use jeton_engine::request::TokenQuestion;

use super::question::Asked;
use super::refusal::NO_STORE;

/// The type of a signed answer. Access tokens never have it.
const SIGNED_TYPE: &str = "token-introspection+jwt";
const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Answers an introspection request.
pub(crate) async fn answer(
    asked: Asked<'_>,
    question: Result<&TokenQuestion<'_>, &Refusal>,
) -> Response<Full<Bytes>> {
    let Asked { front, site, asker, .. } = asked;
    let asking = pin!(front.engine.introspect(&site.realm, &site.terms, asker.caller(), question));
    let answered = asking.await;
    let introspected = match &answered.outcome {
        Ok(introspected) => introspected,
        Err(error) => return asked.refuse(error, answered.reference),
    };
    let realm = site.realm.realm();
    if prefers_signed(asked.headers) {
        let members = members(realm, introspected.for_caller(&site.realm));
        let issued_at = answered.at.seconds();
        match signed(&asked, introspected, members, issued_at) {
            Ok(Some(token)) => return found(SIGNED_MEDIA_TYPE, token.into_bytes()),
            // A realm without a public key has nothing to sign with; the plain answer is as true.
            Ok(None) => {}
            Err(fault) => {
                let failed =
                    front.engine.fail(&site.realm, &site.terms, asker.caller(), fault.clone());
                return asked.refuse(&Error::Fault(fault), failed.reference);
            }
        }
    }
    found("application/json", members(realm, introspected.token.as_ref()).end())
}

/// The members of RFC 7662 section 2.2 that we know, then what realm and client add. Never a
/// `username`: there are no people here.
fn members(realm: &Realm, token: Option<&ActiveToken>) -> Object {
    let mut members = Object::new(512);
    let Some(ActiveToken { client, says, .. }) = token else {
        members.value("active", &false.into());
        return members;
    };
    members.value("active", &true.into());
    if !says.scope.is_empty() {
        members.string("scope", says.scope.as_str());
    }
    members.string("client_id", says.client_id.as_str());
    members.string("token_type", says.confirmation.token_type());
    if let Some(expires_at) = says.expires_at {
        members.number("exp", expires_at.seconds());
    }
    members.number("iat", says.issued_at.seconds());
    if let Some(not_before) = says.not_before {
        members.number("nbf", not_before.seconds());
    }
    members.string("sub", &says.subject);
    members.one_or_several("aud", &says.audiences);
    members.string("iss", &realm.issuer);
    if let Some(id) = &says.id {
        members.string("jti", id);
    }
    // RFC 8705 section 3.2, RFC 9449 section 6.2.
    if let Some(confirmation) = says.confirmation.claim() {
        members.value(CNF, &confirmation);
    }
    // None of them has the name of a member above: those are reserved.
    for (name, value) in realm.claims.with(client.claims()) {
        members.value(name, value);
    }
    members
}

/// The signed answer (RFC 9701 section 5). What the token says stands inside `token_introspection`,
/// so that nobody can take the answer for the token.
fn signed(
    asked: &Asked<'_>,
    introspected: &Introspected,
    members: Object,
    issued_at: i64,
) -> Result<Option<String>, Fault> {
    let realm = &asked.site.realm;
    let mut claims = Object::new(768);
    claims.string("iss", &realm.realm().issuer);
    claims.string("aud", introspected.caller.id.as_str());
    claims.number("iat", issued_at);
    claims.object("token_introspection", members);
    asked.front.engine.sign_jwt(realm, SIGNED_TYPE, &claims.end())
}

fn found(media_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Whether the caller names the signed answer in `Accept`, and does not like plain JSON better
/// (RFC 9110 section 12.5.1). Ranges such as `*/*` ask for nothing in particular.
fn prefers_signed(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
    let (mut signed, mut plain) = (0, 0);
    for range in fields.flat_map(|field| field.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        if media_type.eq_ignore_ascii_case(SIGNED_MEDIA_TYPE) {
            signed = weight;
        } else if media_type.eq_ignore_ascii_case("application/json") {
            plain = weight;
        }
    }
    signed > 0 && signed >= plain
}

/// The `q` parameter, in thousandths; what is no weight counts as none.
fn weight(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let weight: f32 = value.trim().parse().unwrap_or(0.0);
    Some((weight.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_answer_is_for_those_who_name_it() {
        for (accept, expected) in [
            ("application/token-introspection+jwt", true),
            ("Application/Token-Introspection+JWT", true),
            ("application/json, application/token-introspection+jwt", true),
            ("application/token-introspection+jwt;q=0.5, application/json;q=0.4", true),
            ("application/token-introspection+jwt;q=0.4, application/json", false),
            ("application/token-introspection+jwt;q=0", false),
            ("application/token-introspection+jwt;q=nonsense", false),
            ("application/token-introspection", false),
            ("application/*", false),
            ("*/*", false),
            ("application/jwt", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_signed(&headers), expected, "{accept}");
        }
        assert!(!prefers_signed(&HeaderMap::new()));
    }
}
