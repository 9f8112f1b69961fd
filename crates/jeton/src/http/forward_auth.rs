//! Forward-auth: a gateway asks whether a request may pass. Yes is 204 with the caller's identity in
//! headers, or 200 to a gateway that puts the caller's path behind ours; no is 401 or 403 with the
//! challenges of RFC 6750 section 3 and RFC 9449 section 7.1, or 403 alone where the gateway asks for
//! something malformed. A fault is 503, which is no answer: every gateway then lets nothing pass.
//!
//! Every identity header is in every yes, empty where there is nothing to say: a gateway that copies
//! them overwrites whatever the caller had sent under these names. What comes in under them is not
//! even looked at.
//!
//! What a token must have stands in the query: `scope` (all of it) and `audience` (one of them); there
//! also stands the `origin` that the gateway has outside, which DPoP proofs are made for.
//! Gateways that can only put a path of their own before the caller's have two ways: behind
//! `/oauth2/verify` the whole rest, query included, is the caller's; or the last parameter `for=`
//! takes the caller's path and query as they are. Either way nothing that a caller sends is ever
//! read as a requirement.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::LazyLock;

use http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use jeton_engine::check::ActiveToken;
use jeton_engine::error::{Error, Fault, Kind, Reason, Refusal};
use jeton_engine::request::{Caller, PresentedProof};
use jeton_engine::scope::Scope;
use jeton_engine::verify::{Access, Requirement, Scheme};

use super::asker::Asker;
use super::endpoint::VERIFY;
use super::original::{OriginalRequest, TOKEN_PARAMETER, query_has_token};
use super::refusal::{NO_STORE, REFERENCE, json, put, retry_later};
use super::route::Site;
use super::{Front, peer, proof};

const CLIENT_ID: HeaderName = HeaderName::from_static("x-jeton-client-id");
const SUBJECT: HeaderName = HeaderName::from_static("x-jeton-subject");
const SCOPE: HeaderName = HeaderName::from_static("x-jeton-scope");
const TOKEN_ID: HeaderName = HeaderName::from_static("x-jeton-token-id");

/// Answers a gateway.
pub(crate) async fn answer(
    front: &Front,
    site: &Site,
    request: &Request<Incoming>,
    peer: SocketAddr,
) -> Response<Full<Bytes>> {
    let presented = presented(request.headers());
    let asker = Asker::behind(front, peer, request.headers());
    let scheme = presented.scheme();
    let asked = Asked { front, site, request, peer, asker: &asker, scheme };
    let demand = match Demand::read(site, request) {
        Ok(demand) => demand,
        // Not the caller's mistake, so no challenge: no other token would help. Its operator is told.
        Err(mistake) => {
            let gateway = peer.ip().to_canonical();
            front.mistakes.tell(&site.realm.realm().name, gateway, mistake);
            return json(StatusCode::FORBIDDEN, "invalid_request", mistake);
        }
    };
    let original = asked.original(demand.behind);
    let token = match presented {
        Presented::Twice => return asked.refuse(&Reason::TokenTwice.into(), &demand, original),
        _ if asked.has_token_in_url(original) => {
            return asked.refuse(&Reason::TokenTwice.into(), &demand, original);
        }
        Presented::Nothing => return asked.challenge(StatusCode::UNAUTHORIZED, ""),
        Presented::Token(_, token) => token,
    };
    let proof = match asked.proof(&demand, original) {
        Ok(proof) => proof,
        Err(reason) => return asked.refuse(&reason.into(), &demand, original),
    };
    let Some(_place) = front.in_flight.take() else {
        return asked.refuse(&Fault::Overloaded.into(), &demand, original);
    };
    let caller = asked.caller(proof.as_ref());
    let access = Access { scheme: asked.scheme, token, requirement: demand.requirement() };
    match front.engine.verify(&site.realm, &site.terms, caller, &access).await {
        Ok(token) => {
            let mut response = passes(&token, demand.yes());
            let confirmation = Ok(&token.says.confirmation);
            proof::put_nonce(front, site, confirmation, response.headers_mut());
            response
        }
        Err(why) => asked.refuse(&why, &demand, original),
    }
}

/// A gateway's question.
#[derive(Clone, Copy)]
struct Asked<'a> {
    front: &'a Front,
    site: &'a Site,
    request: &'a Request<Incoming>,
    peer: SocketAddr,
    asker: &'a Asker,
    /// Under which the caller hears what is wrong.
    scheme: Scheme,
}

/// A proof, and the request that it must have been made for.
struct Proof<'a> {
    proof: &'a str,
    method: &'a str,
    uri: String,
}

impl<'a> Asked<'a> {
    /// What the gateway says of the request that it asks about.
    fn original(&self, behind: Option<&'a str>) -> OriginalRequest<'a> {
        match peer::is_trusted(self.peer.ip().to_canonical(), &self.front.trusted_proxies) {
            true => OriginalRequest::told(self.request.headers(), self.request.method(), behind),
            false => OriginalRequest::default(),
        }
    }

    /// Whether a token stands in the URL, ours or the caller's (RFC 9700 section 4.3.2).
    fn has_token_in_url(&self, original: OriginalRequest<'_>) -> bool {
        let own = self.request.uri().query();
        own.is_some_and(query_has_token) || original.has_token
    }

    /// The DPoP proof that came with the token. One beside a bearer token says nothing.
    fn proof(
        &self,
        demand: &Demand<'_>,
        original: OriginalRequest<'a>,
    ) -> Result<Option<Proof<'a>>, Reason> {
        if self.scheme == Scheme::Bearer {
            return Ok(None);
        }
        let Some(proof) = proof::presented(self.request.headers())? else { return Ok(None) };
        let uri = proof::original_uri(self.site, demand.origin.as_deref(), original);
        match (original.method, uri) {
            (Some(method), Some(uri)) => Ok(Some(Proof { proof, method, uri })),
            _ => Err(Reason::RequestUnknown),
        }
    }

    /// Who is asking the gateway.
    fn caller<'p>(&'p self, proof: Option<&'p Proof<'_>>) -> Caller<'p> {
        let dpop = proof.map(|proof| PresentedProof {
            proof: proof.proof,
            method: proof.method,
            uri: &proof.uri,
        });
        Caller { dpop, ..self.asker.caller() }
    }

    /// Says no, and records why.
    fn refuse(
        &self,
        why: &Error,
        demand: &Demand<'_>,
        original: OriginalRequest<'_>,
    ) -> Response<Full<Bytes>> {
        let Self { front, site, .. } = self;
        let caller = self.caller(None);
        let turned_away = front.engine.turn_away(&site.realm, &site.terms, caller, why.clone());
        let reference = turned_away.reference;
        tracing::debug!(
            %reference,
            realm = %site.realm.realm().name,
            method = original.method,
            path = original.path(),
            %why,
            "a gateway was told no"
        );
        let mut response = match why {
            Error::Fault(_) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                retry_later(why, response.headers_mut());
                response
            }
            Error::Refusal(refusal) => match refusal.reason {
                Reason::RequestUnknown => self.tell_of_unknown_request(),
                Reason::ScopeInsufficient => {
                    // The characters of scope can stand in a quoted string as they are.
                    let error =
                        format!(", error=\"insufficient_scope\", scope=\"{}\"", demand.scope);
                    self.challenge(StatusCode::FORBIDDEN, &error)
                }
                // Not 400: gateways pass 401 and 403 on to the caller and take anything else for
                // a failure of ours.
                _ => {
                    let error = format!(", error=\"{}\"", error_code(refusal));
                    self.challenge(StatusCode::UNAUTHORIZED, &error)
                }
            },
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        put(headers, REFERENCE, reference.as_str());
        proof::put_nonce(front, site, Err(why), headers);
        response
    }

    /// Not the caller's mistake, so no challenge, as in [`answer`].
    fn tell_of_unknown_request(&self) -> Response<Full<Bytes>> {
        const MISTAKE: &str = "The gateway does not say which method and URL the request has.";
        let gateway = self.peer.ip().to_canonical();
        self.front.mistakes.tell(&self.site.realm.realm().name, gateway, MISTAKE);
        json(StatusCode::FORBIDDEN, "invalid_request", MISTAKE)
    }

    /// An answer with challenges, the one of the caller's own scheme first. Without an error for who
    /// sent no token at all (RFC 6750 section 3.1). All in one field: gateways that copy it for their
    /// callers often take only one.
    fn challenge(&self, status: StatusCode, error: &str) -> Response<Full<Bytes>> {
        let realm = self.site.realm.realm();
        let challenge = |scheme: Scheme, error: &str| match scheme {
            Scheme::Bearer => format!("Bearer realm=\"{}\"{error}", realm.name),
            Scheme::Dpop => {
                let known = realm.proving.profile.algorithms().iter();
                let names: Vec<&str> = known.map(|algorithm| algorithm.name()).collect();
                let names = names.join(" ");
                format!("DPoP realm=\"{}\"{error}, algs=\"{names}\"", realm.name)
            }
        };
        let own = challenge(self.scheme, error);
        let challenges = match (status, self.scheme) {
            (StatusCode::UNAUTHORIZED, Scheme::Bearer) => {
                format!("{own}, {}", challenge(Scheme::Dpop, ""))
            }
            (StatusCode::UNAUTHORIZED, Scheme::Dpop) => {
                format!("{own}, {}", challenge(Scheme::Bearer, ""))
            }
            // Under the other scheme the scope would be as small.
            _ => own,
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, NO_STORE);
        put(headers, WWW_AUTHENTICATE, &challenges);
        response
    }
}

/// What a refusal is called in a challenge (RFC 6750 section 3.1, RFC 9449 sections 7.1 and 9).
fn error_code(refusal: &Refusal) -> &'static str {
    match (refusal.kind, refusal.reason) {
        (Kind::InvalidDpopProof, _) => "invalid_dpop_proof",
        (Kind::UseDpopNonce, _) => "use_dpop_nonce",
        (_, Reason::TokenTwice) => "invalid_request",
        _ => "invalid_token",
    }
}

/// What the gateway asks for.
struct Demand<'a> {
    scope: Scope,
    audiences: Vec<Cow<'a, str>>,
    /// Where callers reach the gateway: scheme, host and port.
    origin: Option<String>,
    /// The caller's path and query, where the gateway put them behind our own.
    behind: Option<&'a str>,
}

impl<'a> Demand<'a> {
    fn read(site: &Site, request: &'a Request<Incoming>) -> Result<Self, &'static str> {
        let behind = behind_path(site, request);
        let nothing = Self { scope: Scope::default(), audiences: Vec::new(), origin: None, behind };
        match request.uri().query() {
            Some(query) if behind.is_none() => Self::of_query(query),
            Some(_) | None => Ok(nothing),
        }
    }

    fn of_query(query: &'a str) -> Result<Self, &'static str> {
        let (own, behind) = match query.strip_prefix("for=") {
            Some(behind) => ("", Some(behind)),
            None => match query.split_once("&for=") {
                Some((own, behind)) => (own, Some(behind)),
                None => (query, None),
            },
        };
        let mut scope = String::new();
        let mut audiences = Vec::new();
        let mut origin = None;
        for (name, value) in url::form_urlencoded::parse(own.as_bytes()) {
            match &*name {
                "scope" | "audience" if value.is_empty() => {
                    return Err("A requirement in the query is empty.");
                }
                "scope" => {
                    if !scope.is_empty() {
                        scope.push(' ');
                    }
                    scope.push_str(&value);
                }
                "audience" => audiences.push(value),
                "origin" => {
                    let named = proof::named_origin(&value).filter(|_| origin.is_none());
                    origin = Some(named.ok_or("The origin in the query is malformed.")?);
                }
                // Refused as what it is, once the headers have been looked at.
                TOKEN_PARAMETER => {}
                _ => return Err("The query may only have scope, audience, origin and, last, for."),
            }
        }
        let scope = scope.parse().map_err(|_| "The scope in the query is malformed.")?;
        Ok(Self { scope, audiences, origin, behind })
    }

    /// How this gateway wants to hear yes. Envoy, which is the one that puts the caller's path behind
    /// ours, takes nothing but 200 for it, and hands any other status to the caller.
    fn yes(&self) -> StatusCode {
        match self.behind {
            Some(_) => StatusCode::OK,
            None => StatusCode::NO_CONTENT,
        }
    }

    fn requirement(&self) -> Requirement<'_> {
        Requirement {
            scope: self.scope.clone(),
            audiences: self.audiences.iter().map(|audience| &**audience).collect(),
        }
    }
}

/// What stands behind `/oauth2/verify` in the path: a caller's path, with its query.
fn behind_path<'a>(site: &Site, request: &'a Request<Incoming>) -> Option<&'a str> {
    let target = request.uri().path_and_query()?.as_str();
    let behind = target.strip_prefix(site.prefix())?.strip_prefix(VERIFY)?;
    behind.starts_with('/').then_some(behind)
}

enum Presented<'a> {
    Nothing,
    Token(Scheme, &'a [u8]),
    Twice,
}

impl Presented<'_> {
    fn scheme(&self) -> Scheme {
        match self {
            Self::Token(scheme, _) => *scheme,
            Self::Nothing | Self::Twice => Scheme::Bearer,
        }
    }
}

/// The token of the one `Authorization` header (RFC 6750 section 2.1, RFC 9449 section 7.1).
fn presented(headers: &HeaderMap) -> Presented<'_> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(only) = all.next() else { return Presented::Nothing };
    if all.next().is_some() {
        return Presented::Twice;
    }
    let value = only.as_bytes();
    let (scheme, token) = match value.iter().position(|byte| *byte == b' ') {
        Some(at) => value.split_at(at),
        None => (value, &[][..]),
    };
    let known = [Scheme::Bearer, Scheme::Dpop];
    let is_this = |known: &Scheme| scheme.eq_ignore_ascii_case(known.name().as_bytes());
    let Some(scheme) = known.into_iter().find(is_this) else { return Presented::Nothing };
    // An empty token, like one that is no text, does not hold: no more needs to be said of it.
    Presented::Token(scheme, token.trim_ascii())
}

/// A yes whose caller nobody has named yet. Copied for each answer, so that the names need not be hashed.
static NOBODY: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CACHE_CONTROL, NO_STORE);
    for name in [CLIENT_ID, SUBJECT, SCOPE, TOKEN_ID] {
        headers.insert(name, HeaderValue::from_static(""));
    }
    headers
});

fn passes(token: &ActiveToken, yes: StatusCode) -> Response<Full<Bytes>> {
    let says = &token.says;
    let mut headers = NOBODY.clone();
    for (name, value) in &mut headers {
        if *name == CLIENT_ID {
            *value = encoded(says.client_id.as_str());
        } else if *name == SUBJECT {
            *value = encoded(&says.subject);
        } else if *name == TOKEN_ID {
            *value = encoded(says.id.as_deref().unwrap_or_default());
        } else if *name == SCOPE {
            *value = as_it_is(says.scope.as_str());
        }
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = yes;
    *response.headers_mut() = headers;
    response
}

/// A text whose characters can stand in a header as they are, such as those of scope.
fn as_it_is(text: &str) -> HeaderValue {
    match text {
        "" => HeaderValue::from_static(""),
        text => HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("")),
    }
}

/// A text as it can stand in a header: what is not printable ASCII, spaces and `%` are
/// percent-encoded, so that every text has one spelling and every spelling one text.
fn encoded(text: &str) -> HeaderValue {
    let is_plain = |byte: u8| byte.is_ascii_graphic() & (byte != b'%');
    // Every byte is looked at, whatever the ones before it were: so many can be looked at at once.
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte)) {
        return as_it_is(text);
    }
    let mut value = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match is_plain(byte) {
            true => value.push(char::from(byte)),
            false => {
                value.push('%');
                value.extend([byte >> 4, byte & 15].map(|digit| {
                    let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                    digit.to_ascii_uppercase()
                }));
            }
        }
    }
    as_it_is(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_in_headers_so_that_they_can_be_told_apart() {
        for (text, expected) in [
            ("partner-7", "partner-7"),
            ("a b", "a%20b"),
            ("a%20b", "a%2520b"),
            ("Zoë", "Zo%C3%AB"),
            ("\"a\\;,b", "\"a\\;,b"),
            ("", ""),
        ] {
            assert_eq!(encoded(text), expected, "{text}");
        }
    }

    #[test]
    fn requirements_are_read_up_to_the_callers_part() {
        let demand = |query| {
            let demand = Demand::of_query(query)?;
            Ok::<_, &str>((demand.scope.to_string(), demand.audiences.join("|"), demand.behind))
        };
        let read = |scope: &str, audiences: &str, behind| {
            Ok((scope.to_owned(), audiences.to_owned(), behind))
        };
        assert_eq!(demand("scope=a"), read("a", "", None));
        assert_eq!(demand("scope=a+b&scope=c%20a"), read("a b c", "", None));
        assert_eq!(demand("audience=x&audience=y"), read("", "x|y", None));
        assert_eq!(demand("for=/p?scope=z"), read("", "", Some("/p?scope=z")));
        assert_eq!(
            demand("scope=a&audience=x&for=/p?q&audience=mine&for=/r"),
            read("a", "x", Some("/p?q&audience=mine&for=/r"))
        );
        for query in ["scope=", "audience=", "scope=a%22", "scopes=a", "scope=a++b", "Scope=a", "x"]
        {
            assert!(demand(query).is_err(), "{query}");
        }
    }
}
