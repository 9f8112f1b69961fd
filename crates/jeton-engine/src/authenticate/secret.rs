//! Authentication with a secret: `client_secret_basic` and `client_secret_post`.
//!
//! Unknown client and wrong secret look alike and cost the same: whatever is wrong, the same
//! number of slow hashes is run, and none at all in a realm whose secrets are all generated.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::client::SecretDigest;
use crate::deciding::Deciding;
use crate::error::{Error, Fault, Reason, Refusal};
use crate::grant::may_have_token;
use crate::journey::{self, Stop};
use crate::live::{LiveClient, LiveSecret};
use crate::recorder::Use;
use crate::remembered::Whose;
use crate::request::{Reading, SecretCredentials};
use crate::slow_hash::Comparison;

use super::{known, may_use, welcome};

pub(super) async fn authenticate(
    deciding: &Deciding<'_>,
    presented: &SecretCredentials<'_>,
) -> Result<Arc<LiveClient>, Error> {
    let Deciding { engine, caller, now, .. } = *deciding;
    let found = find(deciding, presented);
    let live = found.as_deref();
    let turn = engine.guesses.turn(caller.source, live, now).await?;

    let verdict = match verify(deciding, presented, live).await {
        Ok(verdict) => verdict,
        Err(fault) => {
            turn.costs_nothing();
            return Err(fault.into());
        }
    };
    let refusal = match (&found, verdict) {
        (Some(live), Verdict::Right(secret)) => {
            match may_enter(deciding, presented, live, secret) {
                Ok(()) => {
                    turn.costs_nothing();
                    welcome(deciding, live);
                    note_use(deciding, live, secret);
                    return Ok(Arc::clone(live));
                }
                Err(reason) => known(reason, live),
            }
        }
        (found, _) => wrong(deciding, found.as_deref()),
    };
    // Also when the secret was right: what is refused alike must cost the same.
    turn.wrong();
    Err(refusal.into())
}

/// What came of looking at the secret.
enum Verdict {
    /// It is the client's secret at this place.
    Right(usize),
    /// It is not, or there is no such client.
    Wrong,
}

/// The client that is meant. Of two readings the first that names a client decides, so that one
/// header can never stand for two clients.
fn find(deciding: &Deciding<'_>, presented: &SecretCredentials<'_>) -> Option<Arc<LiveClient>> {
    let clients = &deciding.realm.memory.clients;
    presented.readings.iter().find_map(|reading| clients.client(reading.client_id))
}

async fn verify(
    deciding: &Deciding<'_>,
    presented: &SecretCredentials<'_>,
    live: Option<&LiveClient>,
) -> Result<Verdict, Fault> {
    let digests = presented.readings.iter().map(|reading| digest_of(reading.secret));
    let digests: smallvec::SmallVec<[[u8; 32]; 2]> = digests.collect();
    let generated = live.and_then(|live| generated(live, presented, &digests));
    // Only those who may enter take the short way: a locked or disabled account is looked at as
    // slowly as a wrong secret, right or not.
    if let Some(live) = live
        && let Some(secret) = generated.or_else(|| remembered(deciding, presented, live))
        && may_enter(deciding, presented, live, secret).is_ok()
    {
        return Ok(Verdict::Right(secret));
    }
    let supplied = match deciding.realm.memory.clients.supplied_most() {
        0 => None,
        // A slow hash is to come: beside it an allocation is nothing, and the short way stays small.
        at_least => Box::pin(supplied(deciding, presented, live, at_least)).await?,
    };
    Ok(supplied.or(generated).map_or(Verdict::Wrong, Verdict::Right))
}

/// Readings that name this client.
fn readings_for<'a>(
    client: &'a LiveClient,
    presented: &'a SecretCredentials<'_>,
) -> impl Iterator<Item = (usize, &'a Reading<'a>)> {
    let of_client = |reading: &&Reading<'_>| reading.client_id == client.id.as_str();
    presented.readings.iter().enumerate().filter(move |(_, reading)| of_client(reading))
}

/// The generated secret that was presented: every one is compared, in constant time.
fn generated(
    client: &LiveClient,
    presented: &SecretCredentials<'_>,
    digests: &[[u8; 32]],
) -> Option<usize> {
    let mut right = None;
    for (reading, _) in readings_for(client, presented) {
        let Some(digest) = digests.get(reading) else { continue };
        for (index, secret) in client.secrets.iter().enumerate() {
            if let SecretDigest::Generated(kept) = &secret.digest
                && verify_slices_are_equal(kept, digest).is_ok()
            {
                right = Some(index);
            }
        }
    }
    right
}

fn remembered(
    deciding: &Deciding<'_>,
    presented: &SecretCredentials<'_>,
    client: &LiveClient,
) -> Option<usize> {
    let supplied = |digest: &SecretDigest| matches!(digest, SecretDigest::Supplied(_));
    if !client.secrets.iter().any(|secret| supplied(&secret.digest)) {
        return None;
    }
    let memory = &deciding.engine.remembered;
    readings_for(client, presented).find_map(|(_, reading)| {
        memory.recall(whose(deciding, client), reading.secret, deciding.now)
    })
}

fn whose<'a>(deciding: &Deciding<'a>, client: &'a LiveClient) -> Whose<'a> {
    Whose { realm: &deciding.realm.realm().name, client }
}

/// The supplied secret that was presented, found slowly; as slowly when there is no such client.
async fn supplied(
    deciding: &Deciding<'_>,
    presented: &SecretCredentials<'_>,
    live: Option<&LiveClient>,
    at_least: usize,
) -> Result<Option<usize>, Fault> {
    let secrets = live.map(|live| &*live.secrets).unwrap_or_default();
    let kept: Vec<(usize, &str)> = secrets
        .iter()
        .enumerate()
        .filter_map(|(index, secret)| match &secret.digest {
            SecretDigest::Supplied(phc) => Some((index, &**phc)),
            SecretDigest::Generated(_) | SecretDigest::Sealed(_) => None,
        })
        .collect();
    // As many readings are hashed for a client that does not exist as for one that does.
    let first = presented.readings.first().map_or("", |reading| reading.client_id);
    let claimed = live.map_or(first, |live| live.id.as_str());
    let readings: Vec<&Reading<'_>> =
        presented.readings.iter().filter(|reading| reading.client_id == claimed).collect();
    let owned = |reading: &&Reading<'_>| Zeroizing::new(reading.secret.to_owned());
    let comparison = Comparison {
        presented: readings.iter().map(owned).collect(),
        kept: kept.iter().map(|(_, phc)| (*phc).into()).collect(),
        at_least,
    };
    let Some(found) =
        journey::stop(Stop::SlowHash, deciding.engine.slow_hash.compare(comparison)).await?
    else {
        return Ok(None);
    };
    let right = kept.get(found.kept).map(|(index, _)| *index);
    if let (Some(live), Some(reading)) = (live, readings.get(found.reading))
        && let Some(secret) = right.and_then(|index| live.secrets.get(index))
    {
        let remembered = &deciding.engine.remembered;
        remembered.remember(whose(deciding, live), reading.secret, &secret.digest, deciding.now);
    }
    Ok(right)
}

/// The secret is right: may it be used, in this way, from there, now?
fn may_enter(
    deciding: &Deciding<'_>,
    presented: &SecretCredentials<'_>,
    live: &LiveClient,
    secret: usize,
) -> Result<(), Reason> {
    may_use(deciding, live, presented.method)?;
    let current = |secret: &LiveSecret| secret.is_current(deciding.now);
    if !live.secrets.get(secret).is_some_and(current) {
        return Err(Reason::SecretExpired);
    }
    may_have_token(live, deciding.caller.source)
}

/// Notes that the secret was used.
pub(super) fn note_use(deciding: &Deciding<'_>, live: &Arc<LiveClient>, secret: usize) {
    let Deciding { engine, realm, now, .. } = *deciding;
    realm.memory.counts.secret_uses.one();
    if live.noted.note(secret, now)
        && let Ok(secret) = u8::try_from(secret)
    {
        let (memory, live) = (Arc::clone(&realm.memory), Arc::clone(live));
        engine.recorder.note_use(Use::new(memory, live, secret, now));
    }
}

/// The secret is wrong, or there is no such client: counts it against the account where the
/// dialect locks accounts.
fn wrong(deciding: &Deciding<'_>, live: Option<&LiveClient>) -> Refusal {
    let Some(live) = live else { return Refusal::from(Reason::ClientUnknown) };
    if let Some(lockout) = &deciding.terms.lockout
        && !live.is_locked(deciding.now)
        && let Some(lock) = live.run.counters().count_failure(lockout, deciding.now)
    {
        deciding.engine.lock_later(&deciding.realm.realm().name, &live.id, lock);
    }
    let reason = match &*live.secrets {
        [] => Reason::SecretsNone,
        _ => Reason::SecretWrong,
    };
    known(reason, live)
}

/// What is kept of a generated secret.
pub(crate) fn digest_of(secret: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    bytes
}
