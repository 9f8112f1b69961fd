//! `private_key_jwt`: an assertion signed by one of the client's keys, known here or published by
//! the client (RFC 7523 section 3, point 9).

use super::{Presented, signature};
use crate::client::proof::ClientKeys;
use crate::deciding::Deciding;
use crate::error::Reason;
use crate::key_source::KeyLocation;
use crate::live::LiveClient;

pub(super) async fn verify(
    deciding: Deciding<'_>,
    live: &LiveClient,
    presented: &Presented<'_>,
) -> Result<(), Reason> {
    let registration = live.client.registration.as_ref();
    let registered = registration.and_then(|registration| registration.signing_algorithm());
    let keys = live.client.proof.as_ref().and_then(|proof| proof.keys.as_ref());
    match keys {
        Some(ClientKeys::Jwks(keys)) => {
            signature::check(deciding, presented, live.keys(keys), registered)?;
        }
        Some(ClientKeys::JwksUri(uri)) => {
            let location = KeyLocation::Uri(uri.as_str().into());
            let keys = signature::fetch(deciding, &location, presented).await?;
            signature::check(deciding, presented, &keys, registered)?;
        }
        None => {
            signature::check_in_vain(presented);
            return Err(Reason::AssertionKeysNone);
        }
    }
    // Who registered one algorithm uses no other (`token_endpoint_auth_signing_alg`).
    match registered {
        Some(only) if only != presented.jws.header().algorithm => Err(Reason::AssertionAlgorithm),
        _ => Ok(()),
    }
}
