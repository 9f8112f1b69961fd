//! `client_secret_jwt`: an assertion with an HMAC by one of the client's secrets, each of which is
//! tried. A `kid` is not looked at: secrets have none that clients know.

use super::{Presented, signature};
use crate::deciding::Deciding;
use crate::error::Reason;
use crate::live::LiveClient;

/// The place of the secret that made the HMAC; one that may still be used before one that may not.
pub(super) fn verify(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    presented: &Presented<'_>,
) -> Result<usize, Reason> {
    let realm = &deciding.realm.realm().name;
    let keys = live.opened(realm, &deciding.engine.parts.master_key);
    if keys.is_empty() {
        signature::check_in_vain(presented);
        return Err(Reason::AssertionKeysNone);
    }
    let secrets = &live.secrets;
    let place = |id: &str| secrets.iter().position(|secret| secret.id.as_str() == id);
    let is_current =
        |at: &usize| secrets.get(*at).is_some_and(|secret| secret.is_current(deciding.now));
    let right = keys.iter().filter(|key| presented.jws.check(key).is_ok());
    let right = right.filter_map(|key| place(key.key_id()?));
    right.max_by_key(is_current).ok_or(Reason::AssertionSignature)
}
