//! Forward-auth: may a request with this token pass a gateway?

use std::convert::Infallible;

use crate::check::ActiveToken;
use crate::confirmation::{Confirmation, Thumbprint};
use crate::deciding::Deciding;
use crate::dpop::prove;
use crate::engine::Engine;
use crate::error::{Error, Reason};
use crate::event::EventKind;
use crate::issue::refuse;
use crate::live::RealmState;
use crate::request::Caller;
use crate::scope::Scope;
use crate::spent::{ToSpend, spend_all};
use crate::terms::Terms;
use crate::token::Answered;

/// A token as it was presented, and what it must have to pass.
#[derive(Clone, Debug)]
pub struct Access<'a> {
    /// The scheme that it was presented under.
    pub scheme: Scheme,
    /// The token.
    pub token: &'a [u8],
    /// What it must have.
    pub requirement: Requirement<'a>,
}

/// The scheme that a token is presented under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has the token may use it (RFC 6750 section 2.1).
    Bearer,
    /// A proof by the token's key comes with it (RFC 9449 section 7.1).
    Dpop,
}

impl Scheme {
    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// What a token must have to pass.
#[derive(Clone, Debug, Default)]
pub struct Requirement<'a> {
    /// All of this scope.
    pub scope: Scope,
    /// One of these audiences; any when empty.
    pub audiences: Vec<&'a str>,
}

impl Engine {
    /// The token, if it passes a gateway that asks for this. A DPoP proof is spent with it, so that
    /// each proof passes once, at whichever server.
    ///
    /// # Errors
    /// Why it does not pass, or the fault that kept us from finding out. Not recorded yet: see
    /// [`Engine::turn_away`].
    pub async fn verify(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        access: &Access<'_>,
    ) -> Result<ActiveToken, Error> {
        // Of a yes and of a no: memory that is too old knows neither. Asked first, because it may be told what
        // it missed just after it was looked into, and last, because what lies between may take its time.
        self.reach.vouch()?;
        let outcome = self.passes(realm, terms, caller, access).await;
        self.reach.vouch()?;
        outcome
    }

    async fn passes(
        &self,
        realm: &RealmState,
        terms: &Terms,
        caller: Caller<'_>,
        access: &Access<'_>,
    ) -> Result<ActiveToken, Error> {
        let Some(active) = self.check(realm, access.token).await? else {
            return Err(Reason::TokenInvalid.into());
        };
        if !active.may_be_used(realm) {
            return Err(refuse(Reason::TokenInvalid, &active.client));
        }
        let refused = |reason| refuse(reason, &active.client);
        let wanted = &access.requirement.audiences;
        let for_one_of = |audience: &str| wanted.contains(&audience);
        if !wanted.is_empty() && !active.says.audiences.iter().any(|own| for_one_of(own)) {
            return Err(refused(Reason::TokenInvalid));
        }
        let is_in_scope = active.says.scope.covers(&access.requirement.scope);
        if access.scheme == Scheme::Bearer && active.says.confirmation.is_bearer() {
            // Whoever has the token may use it: there is nothing to prove.
            return if is_in_scope { Ok(active) } else { Err(refused(Reason::ScopeInsufficient)) };
        }
        let deciding = &self.deciding(realm, terms, caller);
        // Every time, whatever is remembered of the token: it is about the request.
        let proof = possession(deciding, &active.says.confirmation, access).map_err(refused)?;
        if !is_in_scope {
            return Err(refused(Reason::ScopeInsufficient));
        }
        // Nobody authenticates here, so a proof that comes again is nobody's wrong guess.
        if let Some(proof) = proof
            && let Some(replayed) = spend_all(deciding, &[proof]).await?
        {
            return Err(refused(replayed));
        }
        Ok(active)
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
        let deciding = &self.deciding(realm, terms, caller);
        self.answered(deciding, EventKind::AccessRefused, Err(why))
    }
}

/// Whether the caller holds what the token is bound to. The proof of it, not spent yet.
fn possession(
    deciding: &Deciding<'_>,
    confirmation: &Confirmation,
    access: &Access<'_>,
) -> Result<Option<ToSpend>, Reason> {
    certificate(deciding, confirmation.certificate)?;
    let Some(key) = confirmation.key else {
        return match access.scheme {
            Scheme::Bearer => Ok(None),
            // It would pass for bound, which whoever asked for it should rather hear is not so.
            Scheme::Dpop => Err(Reason::TokenUnbound),
        };
    };
    // RFC 9449 section 7.2: taken for a bearer token it would be one.
    if access.scheme == Scheme::Bearer {
        return Err(Reason::TokenBound);
    }
    let presented = deciding.caller.dpop.ok_or(Reason::ProofMissing)?;
    let proven = prove(deciding, presented, Some(access.token))?;
    if proven.key != key {
        return Err(Reason::TokenKeyOther);
    }
    Ok(Some(proven.spend))
}

/// Whether the caller showed the gateway the certificate that the token is bound to (RFC 8705
/// section 3). Not which chain it has, nor until when it is valid: that was asked when the token
/// was issued, and is the gateway's to ask again.
fn certificate(deciding: &Deciding<'_>, bound_to: Option<Thumbprint>) -> Result<(), Reason> {
    let Some(bound_to) = bound_to else { return Ok(()) };
    let shown = deciding.caller.certificate.ok_or(Reason::TokenCertificateMissing)?;
    if shown.thumbprint() != bound_to {
        return Err(Reason::TokenCertificateOther);
    }
    Ok(())
}
