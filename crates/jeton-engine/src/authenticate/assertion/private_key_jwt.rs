//! `private_key_jwt`: an assertion signed by one of the client's keys, known here or published by
//! the client (RFC 7523 section 3, point 9).

use super::{Presented, signature};
use crate::client::proof::ClientKeys;
use crate::deciding::Deciding;
use crate::error::Reason;
use crate::key_source::KeyLocation;
use crate::live::LiveClient;
use crate::registration::Registration;

pub(super) async fn verify(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    presented: &Presented<'_>,
) -> Result<(), Reason> {
    let registered = live.registration().and_then(Registration::signing_algorithm);
    let keys = live.proof().and_then(|proof| proof.keys.as_ref());
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
