//! Writing: a decision becomes status, headers and body.

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jeton_engine::error::{Error, Kind};
use jeton_engine::token::Decision;

use crate::dialect::{Body, Dialect, HeaderText, Headers};
use crate::limit_fields::{self, LimitFields};
use crate::shape::all_there;
use crate::value::{Source, kind_of, whole_seconds};

/// An answer, ready for the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers, in order. Length and date are the server's business.
    pub headers: HeaderMap,
    /// The body, perhaps empty.
    pub body: Bytes,
}

impl Dialect {
    /// Writes the answer. `asked_with` are the request's headers: a challenge is only sent to who
    /// presented an `Authorization` header (RFC 6749 section 5.2).
    pub fn write(&self, decision: &Decision, asked_with: &HeaderMap) -> Answer {
        let kind = kind_of(decision);
        let row = kind.map_or(&self.success, |kind| self.row(kind));
        let source = Source { decision, status: row.status.as_u16() };
        let mut headers = match &row.headers {
            Headers::Constant(headers) => headers.clone(),
            Headers::Varying(headers) => write_headers(headers, &source),
        };
        if kind == Some(Kind::MethodNotAllowed)
            && let Ok(allow) = HeaderValue::from_str(self.method().as_str())
        {
            headers.entry(ALLOW).or_insert(allow);
        }
        if let Some(challenge) = &row.challenge
            && asked_with.contains_key(AUTHORIZATION)
        {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if self.limit_fields == LimitFields::Standard {
            limit_fields::put(decision, &mut headers);
        }
        if let Some(wait) = decision.outcome.as_ref().err().and_then(Error::retry_after) {
            headers.entry(RETRY_AFTER).or_insert(HeaderValue::from(whole_seconds(wait)));
        }
        let body = match &row.body {
            Body::Constant(bytes) => bytes.clone(),
            Body::Steps(steps) => Bytes::from(steps.write(&source)),
        };
        Answer { status: row.status, headers, body }
    }
}

/// A header whose value is absent, or cannot stand in a header, is left out.
fn write_headers(headers: &[(HeaderName, HeaderText)], source: &Source<'_>) -> HeaderMap {
    // Room for those that come on top: Allow, WWW-Authenticate, Retry-After, RateLimit.
    let mut written = HeaderMap::with_capacity(headers.len() + 5);
    for (name, text) in headers {
        let value = match text {
            HeaderText::Constant(value) => Ok(value.clone()),
            HeaderText::Varying(pieces, _) if !all_there(pieces, source) => continue,
            HeaderText::Varying(_, steps) => {
                HeaderValue::from_maybe_shared(Bytes::from(steps.write(source)))
            }
        };
        if let Ok(value) = value {
            written.insert(name.clone(), value);
        }
    }
    written
}
