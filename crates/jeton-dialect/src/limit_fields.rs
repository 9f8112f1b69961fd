//! The standard header fields that tell what is left of limits: `RateLimit-Policy` and `RateLimit`, as
//! draft-ietf-httpapi-ratelimit-headers-10 sections 3 and 4 have them. For dialects that have no limit
//! headers of their own.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jeton_engine::error::Error;
use jeton_engine::limit::{Allowance, LimitOf};
use jeton_engine::rate::Unit;
use jeton_engine::token::Decision;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Whether answers have the standard fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitFields {
    /// They do.
    Standard,
    /// They do not: the dialect has headers of its own, or wants none.
    None,
}

/// Puts the fields, where a limit was counted that whoever asks may know of. Headers of the same names
/// that the dialect writes itself stay.
pub(crate) fn put(decision: &Decision, headers: &mut HeaderMap) {
    match &decision.outcome {
        Ok(issued) => put_these(issued.allowances.as_slice(), headers),
        Err(Error::Refusal(refusal)) => put_these(refusal.allowance.as_slice(), headers),
        Err(Error::Fault(_)) => {}
    }
}

fn put_these(allowances: &[Allowance], headers: &mut HeaderMap) {
    if allowances.is_empty() {
        return;
    }
    let (mut policy, mut left) = (String::with_capacity(32), String::with_capacity(32));
    for allowance in allowances {
        let Allowance { limit, remaining, window_seconds, more_in_seconds, .. } = allowance;
        let (name, dash, unit) = name(allowance);
        let comma = if policy.is_empty() { "" } else { ", " };
        // Writing into a text does not fail.
        let _ = write!(policy, "{comma}\"{name}{dash}{unit}\";q={limit};w={window_seconds}");
        let _ = write!(left, "{comma}\"{name}{dash}{unit}\";r={remaining};t={more_in_seconds}");
    }
    for (field, text) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
            headers.entry(field).or_insert(value);
        }
    }
}

/// The name of a policy, in three parts: whose it is, and its unit where several hold together.
fn name(allowance: &Allowance) -> (&'static str, &'static str, &'static str) {
    let whose = match allowance.of {
        LimitOf::Client => "client",
        LimitOf::Source => "source",
        LimitOf::Realm => "realm",
    };
    allowance.among.map_or((whose, "", ""), |unit| (whose, "-", Unit::name(unit)))
}
