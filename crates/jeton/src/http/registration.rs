//! Dynamic client registration over HTTP: a client registers (RFC 7591 section 3), and reads, replaces
//! and deletes its registration (RFC 7592 section 2). JSON in, JSON out; the rules are the engine's.

use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jeton_engine::client::Client;
use jeton_engine::client::proof::{Binding, ClientKeys, Proof};
use jeton_engine::clock::Time;
use jeton_engine::error::{Error, Fault, Kind, Reason, Refusal};
use jeton_engine::event::Reference;
use jeton_engine::jose::json;
use jeton_engine::registration::metadata::demand;
use jeton_engine::registration::{
    Managed, ManagementAct, ManagementRequest, Registered, RegistrationRequest,
};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Map, Value};

use super::asker::Asker;
use super::endpoint::REGISTER;
use super::peer::Peer;
use super::refusal::{self, NO_STORE};
use super::route::Site;
use super::token::After;
use super::{Front, body};

/// Who is asked for, and where.
struct Asked<'a> {
    front: &'a Front,
    site: &'a Site,
    asker: &'a Asker,
    headers: &'a HeaderMap,
}

/// Answers a request at the registration endpoint, or at a client's own URL below it.
pub(crate) async fn answer(
    front: &Front,
    site: &Site,
    request: &mut Request<Incoming>,
    peer: &Peer,
) -> (Response<Full<Bytes>>, After) {
    let asker = Asker::of(front, peer, request.headers());
    let body = body::take(request.body_mut(), front.body).await;
    let after = if body.is_ok() { After::Keep } else { After::Close };
    let asked = Asked { front, site, asker: &asker, headers: request.headers() };
    let Some(_place) = front.in_flight.take() else {
        return (asked.fail(Fault::Overloaded), after);
    };
    let own = format!("{}{REGISTER}/", site.prefix());
    let response = match (request.uri().path().strip_prefix(&own), request.method()) {
        (None, &Method::POST) => asked.register(body).await,
        (None, _) => not_allowed("POST"),
        (Some(id), &Method::GET) => asked.manage(id, ManagementAct::Read).await,
        (Some(id), &Method::PUT) => {
            let said = metadata(request.headers(), body);
            asked.manage(id, ManagementAct::Replace(said)).await
        }
        (Some(id), &Method::DELETE) => asked.manage(id, ManagementAct::Delete).await,
        (Some(_), _) => not_allowed("GET, PUT, DELETE"),
    };
    (response, after)
}

impl Asked<'_> {
    async fn register(&self, body: Result<Bytes, Reason>) -> Response<Full<Bytes>> {
        let Self { front, site, asker, headers } = self;
        let request =
            RegistrationRequest { token: bearer(headers), metadata: metadata(headers, body) };
        let answered =
            front.engine.register(&site.realm, &site.terms, asker.caller(), request).await;
        match &answered.outcome {
            Ok(registered) => self.told(StatusCode::CREATED, registered),
            Err(error) => self.refuse(error, answered.reference),
        }
    }

    async fn manage(&self, client_id: &str, act: ManagementAct) -> Response<Full<Bytes>> {
        let request = ManagementRequest { client_id, token: bearer(self.headers), act };
        let Self { front, site, asker, .. } = self;
        let answered =
            front.engine.manage_registration(&site.realm, &site.terms, asker.caller(), request);
        let answered = answered.await;
        match &answered.outcome {
            Ok(Managed::Is(registered)) => self.told(StatusCode::OK, registered),
            Ok(Managed::Deleted) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
                response
            }
            Err(error) => self.refuse(error, answered.reference),
        }
    }

    fn fail(&self, fault: Fault) -> Response<Full<Bytes>> {
        let Self { front, site, asker, .. } = self;
        let failed = front.engine.fail(&site.realm, &site.terms, asker.caller(), fault.clone());
        self.refuse(&Error::Fault(fault), failed.reference)
    }

    /// The client information response (RFC 7591 section 3.2.1, RFC 7592 section 3).
    fn told(&self, status: StatusCode, registered: &Registered) -> Response<Full<Bytes>> {
        let client = &registered.client;
        let mut members = members(client);
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        if let Some(secret) = &registered.secret {
            put("client_secret", secret.as_str().into());
        }
        put("registration_access_token", registered.access_token.as_str().into());
        let issuer = &self.site.realm.realm().issuer;
        put("registration_client_uri", format!("{issuer}{REGISTER}/{}", client.id).into());
        let mut response = Response::new(Full::new(Value::Object(members).to_string().into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, NO_STORE);
        response
    }

    /// The error response (RFC 7591 section 3.2.2; RFC 6750 section 3.1 for tokens).
    fn refuse(&self, error: &Error, reference: Reference) -> Response<Full<Bytes>> {
        const WRONG_TOKEN: &str = "The token does not hold here, or not any more.";
        let realm = &self.site.realm.realm().name;
        let reason = match error {
            Error::Refusal(refusal) => refusal.reason,
            Error::Fault(_) => return refusal::answer(error, reference, realm),
        };
        let bad = StatusCode::BAD_REQUEST;
        let mut response = match reason {
            // Who brought no token is told of no error (RFC 6750 section 3.1).
            Reason::RegistrationTokenMissing => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
                challenge(response, &format!("Bearer realm=\"{realm}\""))
            }
            // A client that may not manage itself looks like one that is not there.
            Reason::InitialTokenWrong
            | Reason::RegistrationTokenWrong
            | Reason::ClientDisabled
            | Reason::SourceNotAllowed => challenge(
                refusal::json(StatusCode::UNAUTHORIZED, "invalid_token", WRONG_TOKEN),
                &format!(
                    "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"{WRONG_TOKEN}\""
                ),
            ),
            Reason::MetadataInvalid | Reason::BodyEmpty | Reason::BodyMalformed => {
                refusal::json(bad, "invalid_client_metadata", &sentence(error))
            }
            Reason::RedirectUriInvalid => {
                refusal::json(bad, "invalid_redirect_uri", &sentence(error))
            }
            Reason::StatementInvalid => {
                refusal::json(bad, "invalid_software_statement", &sentence(error))
            }
            Reason::StatementUnapproved => {
                refusal::json(bad, "unapproved_software_statement", &sentence(error))
            }
            Reason::RegistrationsFull => refusal::json(
                StatusCode::FORBIDDEN,
                "access_denied",
                "No further client can be registered here.",
            ),
            _ => return refusal::answer(error, reference, realm),
        };
        refusal::put(response.headers_mut(), refusal::REFERENCE, reference.as_str());
        response
    }
}

fn challenge(mut response: Response<Full<Bytes>>, challenge: &str) -> Response<Full<Bytes>> {
    refusal::put(response.headers_mut(), WWW_AUTHENTICATE, challenge);
    response
}

/// What is wrong, for callers: the member and what it must be.
fn sentence(error: &Error) -> String {
    let member = match error {
        Error::Refusal(refusal) => refusal.parameter.as_deref(),
        Error::Fault(_) => None,
    };
    match member {
        Some(member) => format!("{member} {}.", demand(member)),
        None => "The body must be one JSON object of client metadata, not too large.".to_owned(),
    }
}

fn not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let message = Kind::MethodNotAllowed.message();
    let mut response = refusal::json(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", message);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The token in the `Authorization` header (RFC 6750 section 2.1). Nowhere else is it looked for, and
/// of two headers neither counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (fields.next()?, fields.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The client metadata in the body: one JSON object, no member twice.
fn metadata(
    headers: &HeaderMap,
    body: Result<Bytes, Reason>,
) -> Result<Map<String, Value>, Refusal> {
    let body = body?;
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(media_type), None) = (types.next(), types.next()) else {
        return Err(Reason::MediaTypeMissing.into());
    };
    let essence = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return Err(Reason::MediaTypeUnsupported.into());
    }
    if body.is_empty() {
        return Err(Reason::BodyEmpty.into());
    }
    json::object(&body).map_err(|_| Reason::BodyMalformed.into())
}

/// What is registered of a client, as RFC 7591 section 2 names it.
fn members(client: &Client) -> Map<String, Value> {
    let kept = client.registration.as_ref().map(|registration| registration.members.clone());
    let mut members = kept.unwrap_or_default();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("client_id", client.id.as_str().into());
    put("client_id_issued_at", client.created_at.seconds().into());
    if let Some(secret) = client.secrets.last() {
        // Zero: it does not expire.
        let expiry = secret.expires_at.map_or(0, Time::seconds);
        put("client_secret_expires_at", expiry.into());
    }
    if let Some(name) = &client.name {
        put("client_name", (**name).into());
    }
    let method = client.authentication.first();
    let method = method.unwrap_or(&AuthenticationMethod::ClientSecretBasic);
    put("token_endpoint_auth_method", method.name().into());
    put("grant_types", vec!["client_credentials"].into());
    put("response_types", Value::Array(Vec::new()));
    if !client.scope.is_empty() {
        put("scope", client.scope.to_string().into());
    }
    let nothing = Proof::default();
    let proof = client.proof.as_deref().unwrap_or(&nothing);
    match &proof.keys {
        Some(ClientKeys::Jwks(keys)) => {
            put("jwks", Value::Object(keys.members().clone()));
        }
        Some(ClientKeys::JwksUri(uri)) => {
            put("jwks_uri", uri.as_str().into());
        }
        None => {}
    }
    if let Some(name) = &proof.certificate {
        put(name.member(), name.to_string().into());
    }
    let is_bound = |binding: Binding| Value::from(binding == Binding::Required);
    put("dpop_bound_access_tokens", is_bound(proof.sender.dpop));
    put("tls_client_certificate_bound_access_tokens", is_bound(proof.sender.mtls));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_in_one_authorization_header_as_bearer() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
        for wrong in [&["Basic abc"][..], &["Bearer"], &["Bearer "], &["Bearer a", "Bearer a"], &[]]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
