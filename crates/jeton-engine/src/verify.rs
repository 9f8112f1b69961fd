//! Forward-auth: may a request with this token pass a gateway?

use std::convert::Infallible;

use crate::check::ActiveToken;
use crate::engine::Engine;
use crate::error::{Error, Fault};
use crate::event::EventKind;
use crate::live::RealmState;
use crate::request::Caller;
use crate::scope::Scope;
use crate::terms::Terms;
use crate::token::Answered;

/// What a token must have to pass.
#[derive(Clone, Debug, Default)]
pub struct Requirement<'a> {
    /// All of this scope.
    pub scope: Scope,
    /// One of these audiences; any when empty.
    pub audiences: Vec<&'a str>,
}

/// Whether a token passes.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It does.
    Passes(ActiveToken),
    /// It does not hold, or is for somebody else: `invalid_token` (RFC 6750 section 3.1).
    Invalid,
    /// It holds, but not for so much: `insufficient_scope` (RFC 6750 section 3.1).
    InsufficientScope,
}

impl Engine {
    /// Whether a token passes a gateway that asks for `requirement`.
    ///
    /// # Errors
    /// A fault when that could not be found out.
    pub async fn verify(
        &self,
        realm: &RealmState,
        token: &str,
        requirement: &Requirement<'_>,
    ) -> Result<Verdict, Fault> {
        let Some(active) = self.check(realm, token).await? else {
            return Ok(Verdict::Invalid);
        };
        let wanted = &requirement.audiences;
        let for_one_of = |audience: &str| wanted.contains(&audience);
        if !wanted.is_empty() && !active.says.audiences.iter().any(|own| for_one_of(own)) {
            return Ok(Verdict::Invalid);
        }
        if !active.says.scope.covers(&requirement.scope) {
            return Ok(Verdict::InsufficientScope);
        }
        Ok(Verdict::Passes(active))
    }

    /// Records that a gateway was told no, and gives the reference for the answer. A yes leaves
    /// no event: there are as many of them as requests at all gateways together.
    pub fn turn_away(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        why: Error,
    ) -> Answered<Infallible> {
        let deciding = self.deciding(realm, terms, caller);
        self.answered(deciding, EventKind::AccessRefused, Err(why))
    }
}
