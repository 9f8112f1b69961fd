//! What a request met on its way, for whoever follows it: what was decided, and where it had to
//! wait. Nobody follows most requests; then nothing is noted and no time is measured. Only names from
//! closed sets and configuration are noted, never anything that a caller sent.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::deciding::Deciding;
use crate::error::Error;
use crate::event::{EventKind, Reference};
use crate::name::{DialectName, RealmName};
use crate::terms::TokenShape;
use crate::token::TokenFormat;

tokio::task_local! {
    static FOLLOWED: Arc<Journey>;
}

/// The notes about one request.
#[derive(Debug, Default)]
pub struct Journey(Mutex<Notes>);

/// What is noted about one request.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// What was decided; the last word counts.
    pub decided: Option<Decided>,
    /// Where the request waited, in the order in which it went on.
    pub stops: Vec<Stopped>,
}

/// What was decided.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The reference that the caller may have been told.
    pub reference: Reference,
    /// In which realm.
    pub realm: RealmName,
    /// In which dialect a token was asked for; the other endpoints have none.
    pub dialect: Option<DialectName>,
    /// What came of it.
    pub outcome: Outcome,
    /// The format of the token, where one was issued.
    pub token_format: Option<TokenFormat>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// We said yes.
    Accepted,
    /// We said no, for the reason with this code.
    Refused(&'static str),
    /// We broke, with a fault of this kind.
    Failed(&'static str),
}

/// A place where requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Until what was written is durable.
    Commit,
    /// For the database to find something.
    Query,
    /// For a slow hash, and for its turn.
    SlowHash,
    /// For the keys of somebody else.
    KeySet,
}

impl Stop {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commit => "store commit",
            Self::Query => "store query",
            Self::SlowHash => "slow hash",
            Self::KeySet => "fetch key set",
        }
    }
}

/// A wait.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Where.
    pub at: Stop,
    /// Since when.
    pub since: Instant,
    /// How long.
    pub took: Duration,
}

impl Journey {
    /// The most waits that are noted; an ordinary request has three at most.
    const STOPS_MAX: usize = 16;

    /// What has been noted.
    pub fn notes(&self) -> Notes {
        self.0.lock().clone()
    }
}

/// Goes a way and notes what it meets.
pub fn follow<F: Future>(journey: Arc<Journey>, way: F) -> impl Future<Output = F::Output> {
    FOLLOWED.scope(journey, way)
}

/// Waits; how long is noted when the request is followed.
pub(crate) async fn stop<T>(at: Stop, waiting: impl Future<Output = T>) -> T {
    let Ok(journey) = FOLLOWED.try_with(Arc::clone) else { return waiting.await };
    let since = Instant::now();
    let outcome = waiting.await;
    let mut notes = journey.0.lock();
    if notes.stops.len() < Journey::STOPS_MAX {
        notes.stops.push(Stopped { at, since, took: since.elapsed() });
    }
    outcome
}

/// Notes what was decided.
pub(crate) fn decided<T>(deciding: &Deciding<'_>, asked: EventKind, outcome: &Result<T, Error>) {
    // Without anybody who follows the request there is nobody to tell.
    let _ = FOLLOWED.try_with(|journey| {
        let realm = deciding.realm.realm();
        let is_token_request = asked == EventKind::TokenRefused;
        let shape = deciding.terms.token.as_ref().unwrap_or(&realm.token);
        journey.0.lock().decided = Some(Decided {
            reference: deciding.reference,
            realm: realm.name.clone(),
            dialect: is_token_request.then(|| deciding.terms.dialect.clone()),
            outcome: match outcome {
                Ok(_) => Outcome::Accepted,
                Err(Error::Refusal(refusal)) => Outcome::Refused(refusal.reason.code()),
                Err(Error::Fault(fault)) => Outcome::Failed(fault.fault_kind().code()),
            },
            token_format: (is_token_request && outcome.is_ok()).then(|| format_of(shape)),
        });
    });
}

fn format_of(shape: &TokenShape) -> TokenFormat {
    match shape {
        TokenShape::Jwt(_) => TokenFormat::Jwt,
        TokenShape::Stored(_) => TokenFormat::Stored,
        TokenShape::Sealed => TokenFormat::Sealed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_are_noted_in_their_order_and_only_so_many() {
        let journey = Arc::new(Journey::default());
        follow(Arc::clone(&journey), async {
            assert_eq!(stop(Stop::SlowHash, async { 7 }).await, 7);
            for _ in 0..100 {
                stop(Stop::Commit, async {}).await;
            }
        })
        .await;
        let stops = journey.notes().stops;
        assert_eq!((stops[0].at, stops[1].at), (Stop::SlowHash, Stop::Commit));
        assert_eq!(stops.len(), Journey::STOPS_MAX);
        assert!(stops[0].since <= stops[1].since);
    }

    #[tokio::test]
    async fn a_request_that_nobody_follows_waits_all_the_same() {
        assert_eq!(stop(Stop::Query, async { 7 }).await, 7);
    }
}
