//! Client authentication (RFC 6749 section 2.3): credentials become a client, or a refusal.
//! One file a method.

mod secret;

pub(crate) use secret::digest_of;

use std::sync::Arc;

use crate::deciding::Deciding;
use crate::error::{Error, Reason};
use crate::live::LiveClient;
use crate::request::Credentials;

/// Finds out which client is asking, and whether it may: enabled, unlocked, from where it is.
///
/// # Errors
/// A refusal when it did not prove to be any, a fault when that could not be found out.
pub(crate) async fn authenticate(
    deciding: Deciding<'_>,
    credentials: &Credentials<'_>,
) -> Result<Arc<LiveClient>, Error> {
    match credentials {
        Credentials::None => Err(Reason::AuthenticationMissing.into()),
        Credentials::Secret(presented) => secret::authenticate(deciding, presented).await,
    }
}
