//! Client authentication (RFC 6749 section 2.3): credentials become a client, or a refusal.
//! One file a method.

mod assertion;
mod certificate;
mod secret;

pub(crate) use secret::digest_of;

use std::sync::Arc;

use crate::allow::{count_refused, source};
use crate::deciding::Deciding;
use crate::error::{Error, Reason, Refusal};
use crate::live::LiveClient;
use crate::request::{AuthenticationMethod, Credentials, TokenQuestion};
use crate::spent::{ToSpend, spend};

/// A client that has proved who it is.
pub(crate) struct Authenticated {
    pub(crate) live: Arc<LiveClient>,
    /// How it did.
    method: AuthenticationMethod,
    /// What it has used for that and may not use again. Not spent yet.
    pub(crate) spend: Vec<ToSpend>,
}

/// Finds out which client is asking, and whether it may: enabled, unlocked, from where it is.
///
/// # Errors
/// A refusal when it did not prove to be any, a fault when that could not be found out.
pub(crate) async fn authenticate(
    deciding: &Deciding<'_>,
    credentials: &Credentials<'_>,
) -> Result<Authenticated, Error> {
    let authenticated = prove(deciding, credentials).await?;
    deciding.realm.memory.counts.authenticated.count(authenticated.method);
    Ok(authenticated)
}

async fn prove(
    deciding: &Deciding<'_>,
    credentials: &Credentials<'_>,
) -> Result<Authenticated, Error> {
    let profile = deciding.realm.realm().proving.profile;
    match credentials {
        Credentials::None => Err(Reason::AuthenticationMissing.into()),
        Credentials::Secret(presented) if !profile.allows_method(presented.method) => {
            // Known of the whole realm, so that it tells nothing of any client.
            Err(Reason::AuthenticationProfile.into())
        }
        Credentials::Secret(presented) => {
            let live = secret::authenticate(deciding, presented).await?;
            Ok(Authenticated { live, method: presented.method, spend: Vec::new() })
        }
        // Large, beside what checking a signature costs: on the heap, so that no request with a secret
        // carries the room for it.
        Credentials::Assertion(presented) => {
            Box::pin(assertion::authenticate(deciding, presented)).await
        }
        Credentials::Named(client_id) => {
            let (live, method) = Box::pin(certificate::authenticate(deciding, client_id)).await?;
            Ok(Authenticated { live, method, spend: Vec::new() })
        }
    }
}

/// The client that asks about a token, what it can use only once spent. Who is no client counts
/// against the limits of its source; resource servers ask on behalf of everybody and do not.
///
/// # Errors
/// As [`authenticate`].
pub(crate) async fn known_caller(
    deciding: &Deciding<'_>,
    question: &TokenQuestion<'_>,
) -> Result<Arc<LiveClient>, Error> {
    let proved = async {
        let authenticated = authenticate(deciding, &question.credentials).await?;
        spend(deciding, &authenticated.live, &authenticated.spend).await?;
        Ok(authenticated.live)
    };
    proved.await.map_err(|error| count_refused(deciding, error))
}

/// The client has shown what proves it: may it do so in this way, now? Whether it may have tokens
/// is asked after all else that could be wrong with its proof.
fn may_use(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    method: AuthenticationMethod,
) -> Result<(), Reason> {
    if live.is_locked(deciding.now) {
        return Err(Reason::ClientLocked);
    }
    if !live.may_authenticate_by(method) {
        return Err(Reason::AuthenticationMethod);
    }
    Ok(())
}

/// Notes that the client was right: what went wrong before that is forgotten.
fn welcome(deciding: &Deciding<'_>, live: &LiveClient) {
    live.run.right(source(deciding));
    if deciding.terms.lockout.is_some() {
        live.run.forget_failures();
    }
}

/// The refusal of a client that exists.
pub(crate) fn known(reason: Reason, client: &LiveClient) -> Refusal {
    let mut refusal = Refusal::from(reason);
    refusal.client_id = Some(client.id.clone());
    refusal
}
