//! What can be used once: the identifiers of assertions (RFC 7523 section 3) and of DPoP proofs
//! (RFC 9449 section 11.1). Spent last, after all else has passed, so that a request that is
//! refused uses nothing up and nobody but their owner can fill the store with them.

use aws_lc_rs::digest::{Context, SHA256};

use crate::allow::source;
use crate::clock::Time;
use crate::deciding::Deciding;
use crate::error::{Error, Fault, Reason};
use crate::issue::refuse;
use crate::live::LiveClient;

/// The identifier of something that is used once: a digest, so that its length does not matter.
pub type SpentId = [u8; 16];

/// Something used up, and until when that must be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// What it is known by.
    pub id: SpentId,
    /// From when on it would be refused anyway, being too old.
    pub until: Time,
}

/// What can be used once, and what to say when it was used before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToSpend {
    pub(crate) spent: Spent,
    pub(crate) replayed: Reason,
}

impl ToSpend {
    /// Something of this kind and owner, known by `jti`. Parts are told apart by their lengths.
    pub(crate) fn new(kind: &str, owner: &str, jti: &str, until: Time, replayed: Reason) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [kind, owner, jti] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let digest = context.finish();
        let mut id = SpentId::default();
        for (byte, of_digest) in id.iter_mut().zip(digest.as_ref()) {
            *byte = *of_digest;
        }
        Self { spent: Spent { id, until }, replayed }
    }
}

/// Spends all of these, or none when one was spent before, by whichever server. What comes a second
/// time costs its source a guess; only who brings something fresh is noted as right from there.
///
/// # Errors
/// The refusal of the first that was spent before; a fault when that could not be kept.
pub(crate) async fn spend(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    these: &[ToSpend],
) -> Result<(), Error> {
    if these.is_empty() {
        return Ok(());
    }
    let Deciding { engine, caller, now, .. } = *deciding;
    // On the heap: most requests have nothing to spend, and none should carry the room for it.
    match Box::pin(spend_all(deciding, these)).await? {
        Some(replayed) => {
            engine.guesses.wrong(caller.source, now);
            Err(refuse(replayed, live))
        }
        None => {
            live.run.right(source(deciding));
            Ok(())
        }
    }
}

/// Spends all of these, or none. What to say of the first that was spent before.
pub(crate) async fn spend_all(
    deciding: &Deciding<'_>,
    these: &[ToSpend],
) -> Result<Option<Reason>, Fault> {
    let Deciding { engine, realm, now, .. } = *deciding;
    let spent: Vec<Spent> = these.iter().map(|one| one.spent).collect();
    let spending = engine.parts.store.spend(&realm.realm().name, &spent, now);
    let before = engine.keep(spending).await?;
    Ok(before.and_then(|at| these.get(at)).map(|one| one.replayed))
}
