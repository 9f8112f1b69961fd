//! Composing: a token request as a client of this dialect sends it, and the token in the answer. The
//! reader and the writer the other way round.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use jeton_engine::request::{AssertionCredentials, AuthenticationMethod};
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use crate::dialect::{Asking, Check, Decoding, Dialect, Query};
use crate::exchange::Request;
use crate::shape::Shape;
use crate::template::Piece;
use crate::value::{Slot, Value};

/// What a client wants, and as whom.
pub struct Wanted<'a> {
    /// The client's identifier.
    pub client_id: &'a str,
    /// Its secret; without one it is known by its certificate, and only says who it is (RFC 8705
    /// section 2).
    pub secret: Option<&'a str>,
    /// An assertion that proves who it is, made for this one request.
    pub assertion: Option<&'a str>,
    /// How it presents them; the dialect's first way when absent.
    pub method: Option<AuthenticationMethod>,
    /// The scope it asks for.
    pub scope: Option<&'a str>,
}

/// Why no request can be composed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotAsk {
    /// The dialect has no such way of authenticating.
    #[error("the dialect cannot express {0}")]
    Method(AuthenticationMethod),
    /// The method needs a secret, and there is none.
    #[error("{0} needs the client's secret")]
    NoSecret(AuthenticationMethod),
    /// The method needs a signed assertion, and there is none.
    #[error("{0} needs an assertion, which cannot be composed of an identifier and a secret")]
    Assertion(AuthenticationMethod),
    /// The dialect has no parameter for it.
    #[error("the dialect has no parameter for `{0}`")]
    NoParameter(&'static str),
    /// The dialect wants something that nobody can guess.
    #[error("the dialect requires `{0}`, whose value is not known")]
    Unknown(String),
}

/// How a client shows who it is.
enum Presenting<'a> {
    /// With this secret in the `Authorization` header.
    Basic(&'a str),
    /// With this secret among the parameters.
    Post(&'a str),
    /// With this assertion among the parameters (RFC 7521 section 4.2).
    Assertion(&'a str),
    /// By its name alone: a certificate proves it (RFC 8705 section 2).
    Name,
}

impl<'a> Presenting<'a> {
    fn assertion(&self) -> Option<&'a str> {
        match self {
            Self::Assertion(assertion) => Some(assertion),
            Self::Basic(_) | Self::Post(_) | Self::Name => None,
        }
    }
}

impl Dialect {
    /// A token request to the dialect's own path, as a client sends it.
    ///
    /// # Errors
    /// What the dialect has no word for.
    pub fn compose(&self, wanted: &Wanted<'_>) -> Result<Request, CannotAsk> {
        let asking = &self.asking;
        let presenting = self.presenting(wanted)?;
        let parameters = parameters(asking, wanted, &presenting)?;
        let mut headers = HeaderMap::new();
        if let Presenting::Basic(secret) = presenting {
            put(&mut headers, AUTHORIZATION, &basic(wanted.client_id, secret));
        }
        let mut target = asking.path.clone();
        let body = match asking.media_types.first() {
            Some((media_type, decoding)) => {
                put(&mut headers, CONTENT_TYPE, media_type);
                match decoding {
                    Decoding::Form => form(&parameters).into_bytes(),
                    Decoding::Json => json(&parameters).into_bytes(),
                }
            }
            None => {
                if asking.query == Query::Read {
                    target = format!("{target}?{}", form(&parameters));
                }
                Vec::new()
            }
        };
        Ok(Request { method: asking.method.clone(), target, headers, body })
    }

    /// In which way the client shows who it is. A secret goes where its method puts it, and nowhere
    /// when the method has no use for it.
    fn presenting<'a>(&self, wanted: &Wanted<'a>) -> Result<Presenting<'a>, CannotAsk> {
        use AuthenticationMethod as M;
        let known = &self.terms().authentication;
        if let Some(method) = wanted.method.filter(|method| !known.contains(method)) {
            return Err(CannotAsk::Method(method));
        }
        let usual = || {
            let by_secret = known.iter().copied().find(|method| method.shows_secret());
            by_secret.filter(|_| wanted.secret.is_some())
        };
        match (wanted.method.or_else(usual), wanted.secret) {
            (Some(M::ClientSecretBasic), Some(secret)) => Ok(Presenting::Basic(secret)),
            (Some(M::ClientSecretPost), Some(secret)) => Ok(Presenting::Post(secret)),
            (Some(M::TlsClientAuth | M::SelfSignedTlsClientAuth), _) | (None, None) => {
                Ok(Presenting::Name)
            }
            (Some(method @ (M::ClientSecretBasic | M::ClientSecretPost)), None) => {
                Err(CannotAsk::NoSecret(method))
            }
            (Some(method @ (M::ClientSecretJwt | M::PrivateKeyJwt)), _) => {
                let assertion = wanted.assertion.ok_or(CannotAsk::Assertion(method))?;
                Ok(Presenting::Assertion(assertion))
            }
            // The dialect knows no secrets at all.
            (None, Some(_)) => Err(CannotAsk::Method(M::ClientSecretPost)),
        }
    }

    /// The token in the body of an answer that was a success.
    pub fn token_in(&self, body: &[u8]) -> Option<String> {
        let shape = self.success.shape.as_ref()?;
        match (shape, serde_json::from_slice::<Json>(body)) {
            (_, Ok(body)) => token(shape, &body),
            // An answer that is plain text.
            (Shape::Text(pieces), Err(_)) => within(pieces, std::str::from_utf8(body).ok()?),
            (_, Err(_)) => None,
        }
    }
}

/// Names and values in the dialect's order.
fn parameters<'a>(
    asking: &'a Asking,
    wanted: &Wanted<'a>,
    presenting: &Presenting<'a>,
) -> Result<Vec<(&'a str, &'a str)>, CannotAsk> {
    let ours = &asking.ours;
    if wanted.scope.is_some() && ours.scope.is_none() {
        return Err(CannotAsk::NoParameter("scope"));
    }
    let mut parameters = Vec::new();
    for (at, parameter) in asking.parameters.iter().enumerate() {
        let Some(name) = parameter.names.first() else { continue };
        let at = Some(at);
        let value = if at == ours.client_id {
            (!matches!(presenting, Presenting::Basic(_))).then_some(wanted.client_id)
        } else if at == ours.client_secret {
            match presenting {
                Presenting::Post(secret) => Some(*secret),
                Presenting::Basic(_) | Presenting::Assertion(_) | Presenting::Name => None,
            }
        } else if at == ours.client_assertion {
            presenting.assertion()
        } else if at == ours.client_assertion_type {
            presenting.assertion().map(|_| AssertionCredentials::JWT_BEARER)
        } else if at == ours.scope {
            wanted.scope
        } else if at == ours.grant_type {
            Some(allowed(asking, at).unwrap_or("client_credentials"))
        } else if is_required(asking, at) {
            Some(allowed(asking, at).ok_or_else(|| CannotAsk::Unknown(name.clone()))?)
        } else {
            None
        };
        parameters.extend(value.map(|value| (name.as_str(), value)));
    }
    Ok(parameters)
}

/// The first value that the parameter may have, where the dialect lists them.
fn allowed(asking: &Asking, parameter: Option<usize>) -> Option<&str> {
    asking.checks.iter().find_map(|check| match check {
        Check::Allowed(at, values, _) if Some(*at) == parameter => {
            values.first().map(String::as_str)
        }
        _ => None,
    })
}

fn is_required(asking: &Asking, parameter: Option<usize>) -> bool {
    let requires = |check: &Check| matches!(check, Check::Present(at, _) if Some(*at) == parameter);
    asking.checks.iter().any(requires)
}

/// Form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &str) -> String {
    let pair = format!("{}:{}", encoded(client_id), encoded(secret));
    format!("Basic {}", STANDARD.encode(Zeroizing::new(pair).as_bytes()))
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

/// One part of a form (application/x-www-form-urlencoded).
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}

fn json(parameters: &[(&str, &str)]) -> String {
    let members = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    Json::Object(members.collect::<Map<String, Json>>()).to_string()
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What stands where the shape has the token.
fn token(shape: &Shape, body: &Json) -> Option<String> {
    match shape {
        Shape::Constant(_) => None,
        Shape::Slot(slot) if slot.value == Value::AccessToken => body.as_str().map(str::to_owned),
        Shape::Slot(_) => None,
        Shape::Text(pieces) => within(pieces, body.as_str()?),
        Shape::Array(items) => {
            items.iter().zip(body.as_array()?).find_map(|(item, body)| token(item, body))
        }
        Shape::Object(members) => {
            members.iter().find_map(|(name, member)| token(member, body.get(name)?))
        }
    }
}

/// The token in a text such as `Bearer {access_token}`: a value ends where the next literal begins.
fn within(pieces: &[Piece<Slot>], text: &str) -> Option<String> {
    let mut rest = text;
    let mut pieces = pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Piece::Value(slot) => {
                let end = match pieces.peek() {
                    Some(Piece::Literal(next)) => rest.find(next.as_str())?,
                    _ => rest.len(),
                };
                let (value, after) = rest.split_at_checked(end)?;
                if slot.value == Value::AccessToken {
                    return Some(value.to_owned());
                }
                rest = after;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Dialects, Incoming};
    use jeton_engine::request::Credentials;

    use super::*;

    const ID: &str = "a b&ü";
    const SECRET: &str = "s+e%c\"r:et";

    #[test]
    fn every_built_in_dialect_reads_what_is_composed_for_it() {
        for folder in Dialects::builtin().unwrap().iter() {
            let dialect = &folder.dialect;
            let by_secret =
                [AuthenticationMethod::ClientSecretBasic, AuthenticationMethod::ClientSecretPost];
            let known = &dialect.terms().authentication;
            for method in by_secret.iter().filter(|method| known.contains(method)) {
                let (method, secret) = (Some(*method), Some(SECRET));
                let wanted = Wanted { client_id: ID, secret, assertion: None, method, scope: None };
                let request = dialect.compose(&wanted).unwrap();
                let incoming = Incoming {
                    method: &request.method,
                    query: request.query(),
                    headers: &request.headers,
                    body: Ok(&request.body),
                };
                let asked = dialect.read(&incoming);
                let asked = asked.unwrap_or_else(|error| panic!("{}: {error}", dialect.name()));
                let Credentials::Secret(presented) = asked.request().credentials else {
                    panic!("{}: nobody", dialect.name())
                };
                assert_eq!(Some(presented.method), method);
                let first = &presented.readings[0];
                assert_eq!((first.client_id, first.secret), (ID, SECRET), "{}", dialect.name());
            }
        }
    }

    #[test]
    fn a_client_without_a_secret_only_says_who_it_is() {
        let dialects = Dialects::builtin().unwrap();
        let wanted =
            Wanted { client_id: ID, secret: None, assertion: None, method: None, scope: None };
        let request = dialects.get("rfc6749").unwrap().compose(&wanted).unwrap();
        assert!(!request.headers.contains_key(AUTHORIZATION));
        let body = String::from_utf8(request.body).unwrap();
        assert_eq!(body, "grant_type=client_credentials&client_id=a+b%26%C3%BC");
    }

    #[test]
    fn a_secret_goes_only_where_its_method_puts_it() {
        use AuthenticationMethod as M;
        let dialects = Dialects::builtin().unwrap();
        let compose = |method, secret| {
            let wanted = Wanted {
                client_id: ID,
                secret,
                assertion: None,
                method: Some(method),
                scope: None,
            };
            dialects.get("rfc6749").unwrap().compose(&wanted)
        };
        for method in [M::TlsClientAuth, M::SelfSignedTlsClientAuth] {
            let request = compose(method, Some(SECRET)).unwrap();
            let body = String::from_utf8(request.body).unwrap();
            assert_eq!(body, "grant_type=client_credentials&client_id=a+b%26%C3%BC");
            assert!(!request.headers.contains_key(AUTHORIZATION));
        }
        for method in [M::ClientSecretJwt, M::PrivateKeyJwt] {
            let refused = compose(method, Some(SECRET)).map(|_| ());
            assert_eq!(refused, Err(CannotAsk::Assertion(method)));
        }
        let refused = compose(M::ClientSecretBasic, None).map(|_| ());
        assert_eq!(refused, Err(CannotAsk::NoSecret(M::ClientSecretBasic)));
    }

    #[test]
    fn an_assertion_goes_among_the_parameters_with_its_type_and_is_read_again() {
        let dialects = Dialects::builtin().unwrap();
        let compose = |name: &str, method| {
            let assertion = Some("a.b.c");
            let wanted = Wanted { client_id: ID, secret: None, assertion, method, scope: None };
            dialects.get(name).unwrap().compose(&wanted)
        };
        for method in [AuthenticationMethod::PrivateKeyJwt, AuthenticationMethod::ClientSecretJwt] {
            let request = compose("rfc6749", Some(method)).unwrap();
            assert!(!request.headers.contains_key(AUTHORIZATION));
            let (method, headers) = (&request.method, &request.headers);
            let incoming = Incoming { method, query: None, headers, body: Ok(&request.body) };
            let asked = dialects.get("rfc6749").unwrap().read(&incoming).unwrap();
            let Credentials::Assertion(presented) = asked.request().credentials else {
                panic!("nobody")
            };
            assert_eq!((presented.client_id, presented.assertion), (Some(ID), "a.b.c"));
            assert_eq!(presented.assertion_type, AssertionCredentials::JWT_BEARER);
        }
        let method = AuthenticationMethod::PrivateKeyJwt;
        let refused = compose("dt-growth", Some(method)).map(|_| ());
        assert_eq!(refused, Err(CannotAsk::Method(method)));
    }

    #[test]
    fn the_token_is_found_in_every_recorded_success() {
        for folder in Dialects::builtin().unwrap().iter() {
            let dialect = &folder.dialect;
            let mut found = 0;
            for (name, text) in &folder.exchanges {
                let exchange = crate::exchange::parse(name, text).unwrap();
                if exchange.response.status != dialect.success.status.as_u16() {
                    continue;
                }
                let Some(token) = dialect.token_in(&exchange.response.body) else { continue };
                let body = String::from_utf8(exchange.response.body.clone()).unwrap();
                assert!(!token.is_empty() && !token.contains(' ') && body.contains(&token));
                found += 1;
            }
            assert!(found > 0, "{}", dialect.name());
        }
    }

    #[test]
    fn what_the_dialect_has_no_word_for_is_told() {
        let dialects = Dialects::builtin().unwrap();
        let compose = |name: &str, method, scope| {
            let wanted =
                Wanted { client_id: ID, secret: Some(SECRET), assertion: None, method, scope };
            dialects.get(name).unwrap().compose(&wanted).map(|_| ())
        };
        let basic = Some(AuthenticationMethod::ClientSecretBasic);
        let no_basic = CannotAsk::Method(AuthenticationMethod::ClientSecretBasic);
        assert_eq!(compose("dt-growth", basic, None), Err(no_basic));
        assert_eq!(compose("dt-growth", None, Some("read")), Err(CannotAsk::NoParameter("scope")));
        assert_eq!(compose("rfc6749", basic, Some("read")), Ok(()));
    }
}
