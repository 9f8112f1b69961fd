//! Client authentication (RFC 6749 section 2.3): credentials become a client, or a refusal.
//! One file a method.

mod secret;

pub(crate) use secret::digest_of;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::deciding::Deciding;
use crate::error::{Error, Reason};
use crate::live::LiveClient;
use crate::request::Credentials;
use crate::spent::ToSpend;

/// A client that has proved who it is.
pub(crate) struct Authenticated {
    pub(crate) live: Arc<LiveClient>,
    /// What it has used for that and may not use again. Not spent yet.
    pub(crate) spend: SmallVec<[ToSpend; 2]>,
}

/// Finds out which client is asking, and whether it may: enabled, unlocked, from where it is.
///
/// # Errors
/// A refusal when it did not prove to be any, a fault when that could not be found out.
pub(crate) async fn authenticate(
    deciding: Deciding<'_>,
    credentials: &Credentials<'_>,
) -> Result<Authenticated, Error> {
    let profile = deciding.realm.realm().proving.profile;
    match credentials {
        Credentials::None => Err(Reason::AuthenticationMissing.into()),
        Credentials::Secret(presented) if !profile.allows_method(presented.method) => {
            // Known of the whole realm, so that it tells nothing of any client.
            Err(Reason::AuthenticationMethod.into())
        }
        Credentials::Secret(presented) => {
            let live = secret::authenticate(deciding, presented).await?;
            Ok(Authenticated { live, spend: SmallVec::new() })
        }
        Credentials::Assertion(_) => Err(Reason::AuthenticationMethod.into()),
        Credentials::Named(_) => Err(Reason::AuthenticationMissing.into()),
    }
}
