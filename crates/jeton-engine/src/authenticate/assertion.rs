//! Authentication with an assertion (RFC 7521 section 4.2, RFC 7523 section 3): which kind it is, whom
//! it names, and what a wrong one costs. One file a kind.
//!
//! A wrong assertion costs its source a guess, as a wrong secret does, so that a flood of them
//! cannot keep the processor busy with signatures. It locks no account: nobody guesses signatures,
//! and anybody could send wrong ones. A client that is not there costs a signature all the same.

mod client_secret_jwt;
mod federated;
mod own;
mod private_key_jwt;
mod signature;
mod times;

use std::sync::Arc;

use jeton_jose::error::JwsError;
use jeton_jose::jws::Unverified;
use jeton_jose::jwt::Claims;
use smallvec::SmallVec;

use crate::authenticate::secret::note_use;
use crate::authenticate::{Authenticated, known, may_use, welcome};
use crate::deciding::Deciding;
use crate::error::{Error, Reason, Refusal};
use crate::grant::may_have_token;
use crate::live::LiveClient;
use crate::request::{AssertionCredentials, AuthenticationMethod};
use crate::spent::ToSpend;

/// The longest assertion that is looked at, in bytes.
const BYTES_MAX: usize = 16 * 1024;
/// The longest `jti`, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 256;

/// An assertion taken apart. Until its signature is checked, nothing in it is true.
struct Presented<'a> {
    jws: Unverified<'a>,
    claims: Claims,
    /// The client identifier beside it.
    client_id: Option<&'a str>,
}

/// Whom an assertion names, as far as one can tell before its signature is checked.
enum Named<'a> {
    /// The client that made it, if there is such a one.
    Itself(AuthenticationMethod, Option<Arc<LiveClient>>),
    /// Another issuer's subject, and the clients that it may stand for.
    Subject(federated::Issuer<'a>, SmallVec<[Arc<LiveClient>; 1]>),
}

/// What an assertion has proved.
struct Proved {
    live: Arc<LiveClient>,
    method: AuthenticationMethod,
    /// The place of the secret that made it, where one did.
    secret: Option<usize>,
    /// What may not come again.
    spend: Vec<ToSpend>,
}

pub(super) async fn authenticate(
    deciding: &Deciding<'_>,
    credentials: &AssertionCredentials<'_>,
) -> Result<Authenticated, Error> {
    let Deciding { engine, caller, now, .. } = *deciding;
    let read = Presented::read(credentials);
    let read = read.and_then(|presented| Ok((name(deciding, &presented)?, presented)));
    let one = read.as_ref().ok().and_then(|(named, _)| named.one());
    let turn = engine.guesses.turn(caller.source, one, now).await?;

    let proved = match &read {
        Ok((named, presented)) => prove(deciding, named, presented).await,
        Err(reason) => Err(Refusal::from(*reason)),
    };
    let refusal = match proved {
        Ok(proved) => match may_enter(deciding, &proved) {
            Ok(()) => {
                turn.costs_nothing();
                return Ok(enter(deciding, proved));
            }
            Err(reason) => known(reason, &proved.live),
        },
        // Nobody could tell whether it was right.
        Err(refusal) if refusal.reason == Reason::KeysUnavailable => {
            turn.costs_nothing();
            return Err(refusal.into());
        }
        Err(refusal) => refusal,
    };
    turn.wrong();
    Err(refusal.into())
}

/// Finds out which kind of assertion it is, whether the realm takes that kind, and whom it names.
fn name<'a>(deciding: &Deciding<'a>, presented: &Presented<'_>) -> Result<Named<'a>, Reason> {
    let realm = deciding.realm.realm();
    let profile = realm.proving.profile;
    let issuer = presented.text("iss");
    // Our own tokens prove nothing here, whatever else configuration says.
    if issuer == Some(&realm.issuer) {
        return Err(Reason::AssertionIssuer);
    }
    let trusted = issuer.and_then(|issuer| federated::Issuer::find(deciding, issuer));
    let algorithm = presented.jws.header().algorithm;
    let method = match algorithm.is_symmetric() && trusted.is_none() {
        true => AuthenticationMethod::ClientSecretJwt,
        false => AuthenticationMethod::PrivateKeyJwt,
    };
    if !deciding.terms.authentication.contains(&method) {
        return Err(Reason::AuthenticationMethod);
    }
    if !profile.allows_method(method) {
        return Err(Reason::AuthenticationProfile);
    }
    if method == AuthenticationMethod::PrivateKeyJwt && !profile.allows(algorithm) {
        return Err(Reason::AssertionAlgorithm);
    }
    if let Some(issuer) = trusted {
        let clients = federated::clients(deciding, &issuer, presented)?;
        return Ok(Named::Subject(issuer, clients));
    }
    if presented.is_type("JOSE") {
        return Err(Reason::AssertionTyped);
    }
    let named = issuer.or_else(|| presented.text("sub")).or(presented.client_id);
    let clients = &deciding.realm.memory.clients;
    Ok(Named::Itself(method, named.and_then(|id| clients.client(id))))
}

/// Checks the signature first, then what is said, and last whether it was said before: that is left
/// to who spends it, when all else has passed.
async fn prove(
    deciding: &Deciding<'_>,
    named: &Named<'_>,
    presented: &Presented<'_>,
) -> Result<Proved, Refusal> {
    let (method, live) = match named {
        Named::Subject(issuer, clients) => {
            return federated::prove(deciding, issuer, clients, presented).await;
        }
        Named::Itself(_, None) => {
            signature::check_in_vain(presented);
            return Err(Reason::ClientUnknown.into());
        }
        Named::Itself(method, Some(live)) => (*method, live),
    };
    let wrong = |reason| known(reason, live);
    let secret = if method == AuthenticationMethod::ClientSecretJwt {
        Some(client_secret_jwt::verify(deciding, live, presented).map_err(wrong)?)
    } else {
        private_key_jwt::verify(deciding, live, presented).await.map_err(wrong)?;
        None
    };
    let spend = own::check(deciding, live, presented).map_err(wrong)?;
    Ok(Proved { live: Arc::clone(live), method, secret, spend: vec![spend] })
}

/// The assertion is right: may it be used, in this way, from there, now?
fn may_enter(deciding: &Deciding<'_>, proved: &Proved) -> Result<(), Reason> {
    let client = &proved.live;
    may_use(deciding, client, proved.method)?;
    let made_it = proved.secret.and_then(|secret| client.secrets.get(secret));
    if made_it.is_some_and(|secret| !secret.is_current(deciding.now)) {
        return Err(Reason::SecretExpired);
    }
    may_have_token(client, deciding.caller.source)
}

/// Notes that the client was right. Of what can be used once, that shows when it is spent.
fn enter(deciding: &Deciding<'_>, proved: Proved) -> Authenticated {
    let Proved { live, method, secret, spend } = proved;
    if spend.is_empty() {
        welcome(deciding, &live);
    }
    if let Some(secret) = secret {
        note_use(deciding, &live, secret);
    }
    Authenticated { live, method, spend }
}

impl<'a> Presented<'a> {
    /// Takes the assertion apart. What its header says of keys is a name at most: `jwk`, `jku`,
    /// `x5u` and `x5c` are never followed (RFC 8725 section 3.10).
    fn read(credentials: &AssertionCredentials<'a>) -> Result<Self, Reason> {
        if credentials.assertion_type != AssertionCredentials::JWT_BEARER {
            return Err(Reason::AssertionType);
        }
        if credentials.assertion.len() > BYTES_MAX {
            return Err(Reason::AssertionMalformed);
        }
        let jws = Unverified::parse(credentials.assertion).map_err(|error| match error {
            JwsError::Unsigned | JwsError::AlgorithmUnknown => Reason::AssertionAlgorithm,
            _ => Reason::AssertionMalformed,
        })?;
        let claims = Claims::parse(jws.danger_unverified_payload());
        let claims = claims.map_err(|_| Reason::AssertionMalformed)?;
        let presented = Self { jws, claims, client_id: credentials.client_id };
        // RFC 8725 section 3.11: a JWT that says what it is for is for nothing else. `JOSE` is
        // what a JWT-SVID may say.
        let types = ["JWT", "client-authentication+jwt", "JOSE"];
        let untyped = presented.jws.header().token_type.is_none();
        match untyped || types.iter().any(|known| presented.is_type(known)) {
            true => Ok(presented),
            false => Err(Reason::AssertionTyped),
        }
    }

    fn is_type(&self, token_type: &str) -> bool {
        self.jws.header().is_type(token_type)
    }

    /// A claim that is a text; `None` when it is missing or something else.
    fn text(&self, name: &'static str) -> Option<&str> {
        self.claims.text(name).ok().flatten()
    }

    /// What tells this assertion from any other (`jti`), where it says so.
    fn identifier(&self) -> Result<Option<&str>, Reason> {
        let identifier = self.claims.text("jti").map_err(|_| Reason::AssertionIdentifier)?;
        match identifier {
            Some(text) if text.is_empty() || text.len() > IDENTIFIER_BYTES_MAX => {
                Err(Reason::AssertionIdentifier)
            }
            other => Ok(other),
        }
    }
}

impl Named<'_> {
    /// The client that is named, where it is only one.
    fn one(&self) -> Option<&LiveClient> {
        match self {
            Self::Itself(_, live) => live.as_deref(),
            Self::Subject(_, clients) => match clients.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        }
    }
}
