//! Reading: bytes become a token request, or a refusal, in the order of checks that the dialect states.

mod basic;
mod form;
mod given;
mod json;

use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use jeton_engine::error::{Kind, Reason, Refusal};
use jeton_engine::request::{
    AssertionCredentials, AuthenticationMethod, Credentials, Reading, SecretCredentials,
    TokenRequest,
};
use smallvec::{SmallVec, smallvec};

use crate::dialect::{Asking, Check, Decoding, Dialect, Query};
use basic::Basic;
use given::Given;

/// A request as the server took it in, whole.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// The query of its URL, without the question mark.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body; or why there is none: [`Reason::BodyTooLarge`] or [`Reason::BodyIncomplete`].
    pub body: Result<&'a [u8], Reason>,
}

/// What was asked. Owns what had to be decoded and borrows the rest.
pub struct Asked<'a> {
    asking: &'a Asking,
    given: Given<'a>,
    basic: Option<Basic>,
}

impl Dialect {
    /// Reads a request.
    ///
    /// # Errors
    /// The first refusal in the dialect's order of checks.
    pub fn read<'a>(&'a self, incoming: &Incoming<'a>) -> Result<Asked<'a>, Refusal> {
        Asked::read(&self.asking, incoming)
    }
}

/// How the body is decoded, by its one Content-Type; parameters such as `charset` do not matter:
/// JSON and forms are UTF-8 whatever they say. A compressed body is not what its Content-Type
/// says (RFC 9110 section 8.4).
fn decoding(asking: &Asking, headers: &HeaderMap) -> Result<Decoding, Refusal> {
    let encodings = headers.get_all(CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Reason::MediaTypeUnsupported.into());
    }
    let mut content_types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(only), None) = (content_types.next(), content_types.next()) else {
        return Err(Reason::MediaTypeMissing.into());
    };
    let media_type = only.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii();
    let known = asking
        .media_types
        .iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(media_type));
    match known {
        Some((_, decoding)) => Ok(*decoding),
        None if media_type.is_empty() => Err(Reason::MediaTypeMissing.into()),
        None => Err(Reason::MediaTypeUnsupported.into()),
    }
}

/// RFC 6749 section 2.3.1: parameters must not stand in the URL.
fn refuse_known(asking: &Asking, query: &str) -> Result<(), Refusal> {
    for name in form::names(query.as_bytes()) {
        let known = |parameter: &&crate::dialect::Parameter| {
            parameter.names.iter().any(|known| *known == name)
        };
        if asking.parameters.iter().any(|parameter| known(&parameter)) {
            return Err(Refusal {
                parameter: Some(name.into_owned().into_boxed_str()),
                ..Reason::ParameterInQuery.into()
            });
        }
    }
    Ok(())
}

/// A refusal that is about a parameter.
fn about(reason: Reason, kind: Kind, name: Option<&str>) -> Refusal {
    Refusal { kind, parameter: name.map(Into::into), ..Refusal::from(reason) }
}

impl<'a> Asked<'a> {
    /// Reads a request as `asking` describes it.
    pub(crate) fn read(asking: &'a Asking, incoming: &Incoming<'a>) -> Result<Self, Refusal> {
        if *incoming.method != asking.method {
            return Err(Reason::MethodNotAllowed.into());
        }
        let mut given = Given::new(&asking.parameters);
        if asking.media_types.is_empty() {
            incoming.body?;
        } else {
            let decoding = decoding(asking, incoming.headers)?;
            let body = incoming.body?;
            match decoding {
                Decoding::Json if body.is_empty() => return Err(Reason::BodyEmpty.into()),
                Decoding::Json => json::read(body, &mut given)?,
                // An empty form is a form all the same: one without parameters.
                Decoding::Form => form::read(body, &mut given)?,
            }
        }
        match (asking.query, incoming.query) {
            (Query::Read, Some(query)) => form::read(query.as_bytes(), &mut given)?,
            (Query::KnownRefused, Some(query)) => refuse_known(asking, query)?,
            (Query::Ignored | Query::Read | Query::KnownRefused, _) => {}
        }
        given.refuse_twice()?;
        let mut asked = Self { asking, given, basic: None };
        for check in &asking.checks {
            asked.check(check, incoming.headers)?;
        }
        Ok(asked)
    }
}

impl Asked<'_> {
    /// What was asked, in the engine's words.
    pub fn request(&self) -> TokenRequest<'_> {
        let ours = &self.asking.ours;
        let text = |at: Option<usize>| at.and_then(|at| self.given.text(at));
        let mut audiences = SmallVec::new();
        for at in [ours.resource, ours.audience].into_iter().flatten() {
            audiences.extend(self.given.texts(at));
        }
        TokenRequest { credentials: self.credentials(), scope: text(ours.scope), audiences }
    }

    /// The value of a parameter, by its place in the list of parameters.
    pub(crate) fn parameter(&self, at: usize) -> Option<&str> {
        self.given.text(at)
    }

    pub(crate) fn credentials(&self) -> Credentials<'_> {
        if let Some(basic) = &self.basic {
            return Credentials::Secret(SecretCredentials {
                method: AuthenticationMethod::ClientSecretBasic,
                readings: basic.readings(self.repeated_client_id()),
            });
        }
        let ours = &self.asking.ours;
        let text = |at: Option<usize>| at.and_then(|at| self.given.text(at));
        let client_id = text(ours.client_id);
        // Only the ways that the file lists are credentials, whatever parameters are called.
        if self.asking.assertion
            && let Some(assertion) = text(ours.client_assertion)
        {
            let assertion_type = text(ours.client_assertion_type).unwrap_or_default();
            return Credentials::Assertion(AssertionCredentials {
                client_id,
                assertion_type,
                assertion,
            });
        }
        match (client_id, text(ours.client_secret)) {
            (Some(client_id), Some(secret)) if self.asking.post => {
                Credentials::Secret(SecretCredentials {
                    method: AuthenticationMethod::ClientSecretPost,
                    readings: smallvec![Reading { client_id, secret }],
                })
            }
            (Some(client_id), None) if self.asking.named => Credentials::Named(client_id),
            _ => Credentials::None,
        }
    }

    /// The client identifier among the parameters, beside one in the Authorization header.
    fn repeated_client_id(&self) -> Option<&str> {
        self.asking.ours.client_id.and_then(|at| self.given.text(at))
    }

    fn check(&mut self, check: &Check, headers: &HeaderMap) -> Result<(), Refusal> {
        match check {
            Check::Present(at, kind) => match self.given.text(*at) {
                Some(_) => Ok(()),
                None => Err(about(Reason::ParameterMissing, *kind, self.given.name(*at))),
            },
            Check::Length(at) => match self.given.is_too_long(*at) {
                false => Ok(()),
                true => {
                    let reason = Reason::ParameterTooLong;
                    Err(about(reason, reason.kind(), self.given.name(*at)))
                }
            },
            Check::Allowed(at, allowed, kind) => {
                let given = self.given.text(*at);
                if given.is_none_or(|value| allowed.iter().any(|allowed| allowed == value)) {
                    return Ok(());
                }
                let reason = match self.asking.ours.grant_type {
                    Some(grant_type) if grant_type == *at => Reason::GrantTypeUnsupported,
                    _ => Reason::ParameterInvalid,
                };
                Err(about(reason, *kind, self.given.name(*at)))
            }
            Check::Credentials(kind) => self.check_credentials(headers).map_err(|reason| {
                let usual = reason.kind();
                // Only the absence of credentials is the file's to name; the rest is what it is.
                let kind = kind.filter(|_| reason == Reason::AuthenticationMissing);
                Refusal { kind: kind.unwrap_or(usual), ..reason.into() }
            }),
        }
    }

    /// One way of authenticating, and not two (RFC 6749 section 2.3).
    fn check_credentials(&mut self, headers: &HeaderMap) -> Result<(), Reason> {
        let ours = &self.asking.ours;
        let is_given = |at: Option<usize>| at.is_some_and(|at| self.given.text(at).is_some());
        let has_secret = is_given(ours.client_secret);
        let has_assertion = is_given(ours.client_assertion) || is_given(ours.client_assertion_type);
        if self.asking.basic && headers.contains_key(AUTHORIZATION) {
            self.basic = Basic::read(headers)?;
        }
        if let Some(basic) = &self.basic {
            let is_same = |client_id: &str| !basic.readings(Some(client_id)).is_empty();
            if has_secret || has_assertion || !self.repeated_client_id().is_none_or(is_same) {
                return Err(Reason::AuthenticationTwice);
            }
            return Ok(());
        }
        if has_secret && has_assertion {
            return Err(Reason::AuthenticationTwice);
        }
        match self.credentials() {
            Credentials::None => Err(Reason::AuthenticationMissing),
            Credentials::Secret(_) | Credentials::Assertion(_) | Credentials::Named(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;
    use crate::dialect::{Ours, Parameter};

    fn read(basic: bool, post: bool, authorization: Option<&'static str>) -> Result<(), Reason> {
        let parameter = |name: &str| Parameter {
            names: vec![name.to_owned()],
            bytes_max: 9,
            repeatable: false,
        };
        let asking = Asking {
            method: Method::POST,
            path: "/t".to_owned(),
            media_types: vec![("application/json".to_owned(), Decoding::Json)],
            query: Query::Ignored,
            basic,
            post,
            assertion: false,
            named: false,
            parameters: vec![parameter("id"), parameter("secret")],
            ours: Ours { client_id: Some(0), client_secret: Some(1), ..Ours::default() },
            checks: vec![Check::Credentials(None)],
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let incoming = Incoming {
            method: &Method::POST,
            query: None,
            headers: &headers,
            body: Ok(br#"{"id":"a","secret":"b"}"#),
        };
        Asked::read(&asking, &incoming).map(drop).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn credentials_are_read_in_the_listed_ways_even_when_others_have_names() {
        // "a:b" in base64.
        const BASIC: Option<&str> = Some("Basic YTpi");
        assert_eq!(read(false, true, None), Ok(()));
        assert_eq!(read(true, true, None), Ok(()));
        assert_eq!(read(true, false, None), Err(Reason::AuthenticationMissing));
        assert_eq!(read(true, true, BASIC), Err(Reason::AuthenticationTwice));
        // Where only the parameters are listed, the header means nothing.
        assert_eq!(read(false, true, BASIC), Ok(()));
        assert_eq!(read(false, false, BASIC), Err(Reason::AuthenticationMissing));
    }
}
