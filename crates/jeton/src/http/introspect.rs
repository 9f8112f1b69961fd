//! Introspection (RFC 7662): what a token says, as JSON, or signed when the caller asks for that
//! (RFC 9701). Of a token that does not hold, or is none of the caller's business, one thing only.

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use jeton_engine::check::ActiveToken;
use jeton_engine::confirmation::CNF;
use jeton_engine::error::{Error, Fault};
use jeton_engine::introspect::Introspected;
use jeton_engine::realm::Realm;
use serde_json::{Map, Value, json};

use super::question::Asked;
use super::refusal::NO_STORE;

/// The type of a signed answer. Access tokens never have it.
const SIGNED_TYPE: &str = "token-introspection+jwt";
const SIGNED_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Answers an introspection request.
pub(crate) async fn answer(asked: Asked<'_>) -> Response<Full<Bytes>> {
    let Asked { front, site, asker, .. } = asked;
    let question = asked.question.clone();
    let answered =
        front.engine.introspect(&site.realm, &site.terms, asker.caller(), question).await;
    let introspected = match &answered.outcome {
        Ok(introspected) => introspected,
        Err(error) => return asked.refuse(error, answered.reference),
    };
    let realm = site.realm.realm();
    if prefers_signed(asked.headers) {
        let members = members(realm, introspected.for_caller());
        let issued_at = answered.at.seconds();
        match signed(&asked, introspected, &members, issued_at) {
            Ok(Some(token)) => return found(SIGNED_MEDIA_TYPE, token),
            // A realm without a public key has nothing to sign with; the plain answer is as true.
            Ok(None) => {}
            Err(fault) => {
                let failed =
                    front.engine.fail(&site.realm, &site.terms, asker.caller(), fault.clone());
                return asked.refuse(&Error::Fault(fault), failed.reference);
            }
        }
    }
    let members = members(realm, introspected.token.as_ref());
    found("application/json", Value::Object(members).to_string())
}

/// The members of RFC 7662 section 2.2 that we know, then what realm and client add. Never a
/// `username`: there are no people here.
fn members(realm: &Realm, token: Option<&ActiveToken>) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    let Some(ActiveToken { client, says, .. }) = token else {
        put("active", false.into());
        return members;
    };
    put("active", true.into());
    if !says.scope.is_empty() {
        put("scope", says.scope.to_string().into());
    }
    put("client_id", says.client_id.as_str().into());
    put("token_type", says.confirmation.token_type().into());
    if let Some(expires_at) = says.expires_at {
        put("exp", expires_at.seconds().into());
    }
    put("iat", says.issued_at.seconds().into());
    if let Some(not_before) = says.not_before {
        put("nbf", not_before.seconds().into());
    }
    put("sub", (*says.subject).into());
    match says.audiences.as_slice() {
        [] => {}
        [one] => {
            put("aud", (**one).into());
        }
        several => {
            put("aud", several.iter().map(|audience| &**audience).collect());
        }
    }
    put("iss", realm.issuer.as_str().into());
    if let Some(id) = &says.id {
        put("jti", (**id).into());
    }
    // RFC 8705 section 3.2, RFC 9449 section 6.2.
    if let Some(confirmation) = says.confirmation.claim() {
        put(CNF, confirmation);
    }
    for (name, value) in realm.claims.with(client.claims()) {
        put(name, value.clone());
    }
    members
}

/// The signed answer (RFC 9701 section 5). What the token says stands inside `token_introspection`,
/// so that nobody can take the answer for the token.
fn signed(
    asked: &Asked<'_>,
    introspected: &Introspected,
    members: &Map<String, Value>,
    issued_at: i64,
) -> Result<Option<String>, Fault> {
    let realm = &asked.site.realm;
    let claims = json!({
        "iss": realm.realm().issuer,
        "aud": introspected.caller.id.as_str(),
        "iat": issued_at,
        "token_introspection": members,
    });
    asked.front.engine.sign_jwt(realm, SIGNED_TYPE, claims.to_string().as_bytes())
}

fn found(media_type: &'static str, body: String) -> Response<Full<Bytes>> {
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
