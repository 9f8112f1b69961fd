//! Whether the store is within reach: when memory last followed it, and whether it takes writes. And
//! what goes on while it is not (docs/decisions/0015-when-the-store-is-away.md).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::{Clock, Steady, Time};
use crate::engine::{Engine, Settings};
use crate::error::{Error, Fault};
use crate::journey::{self, Stop};
use crate::store::StoreError;
use crate::terms::TokenShape;

/// For how long after a look at the store memory still speaks for it. What anybody changes is obeyed
/// within one second, also where nobody can hear of it: a tenth of that second is left for the answer
/// to get out. The store is looked at five times in the same span, so that a busy machine does not
/// fall behind.
pub(crate) const FOLLOWED_WITHIN: Duration = Duration::from_millis(900);

/// How long a request waits for the store at most.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// What the store is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Memory follows what it says.
    Following,
    /// It keeps what must be kept.
    Keeping,
}

/// The store is away: since when and why, and for how long tokens are issued all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Since when, as far as is known.
    pub since: Time,
    /// Why, for operators.
    pub reason: String,
    /// Whether tokens that need no row are still issued.
    pub issuing: Issuing,
}

/// Whether tokens that need no row are issued while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuing {
    /// Without end: memory follows the store, which only takes no writes.
    GoesOn,
    /// Until then, unless the store comes back.
    Until(Time),
    /// No more.
    Ended,
}

/// What is known of the store, for everybody who needs it.
pub(crate) struct Reach {
    clock: Clock,
    grace: Duration,
    check_grace: Duration,
    /// When the last look at the store began that memory has followed, as [`Steady`].
    followed_at: AtomicU64,
    /// When something was last written for a request.
    written_at: AtomicU64,
    /// Whether nothing is to be written until a probe went well.
    takes_no_writes: AtomicBool,
    probe: Notify,
    /// Tells those who wait for it how a look at the store has gone.
    looked: Notify,
    lost: Mutex<Option<Lost>>,
    refused: AtomicU64,
}

/// What was lost.
struct Lost {
    ways: Vec<Way>,
    since: (Steady, Time),
    reason: String,
}

impl Lost {
    fn is(&self, way: Way) -> bool {
        self.ways.contains(&way)
    }
}

impl Reach {
    pub(crate) fn new(clock: &Clock, settings: &Settings) -> Self {
        let now = clock.steady().milliseconds();
        Self {
            clock: clock.clone(),
            grace: settings.grace,
            check_grace: settings.check_grace,
            followed_at: AtomicU64::new(now),
            written_at: AtomicU64::new(now),
            takes_no_writes: AtomicBool::new(false),
            probe: Notify::new(),
            looked: Notify::new(),
            lost: Mutex::new(None),
            refused: AtomicU64::new(0),
        }
    }

    /// Memory has followed what a look at the store showed that began at `began`.
    pub(crate) fn followed(&self, began: Steady) {
        self.followed_at.fetch_max(began.milliseconds(), Ordering::Release);
        self.looked.notify_waiters();
    }

    /// For how long nobody knows what the store says.
    pub(crate) fn behind(&self) -> Duration {
        let followed_at = Steady::from_milliseconds(self.followed_at.load(Ordering::Acquire));
        self.clock.steady().since(followed_at)
    }

    fn within(&self, grace: Duration) -> Result<(), Fault> {
        is_within(self.behind(), grace)
    }

    /// Whether memory may say of a token whether it holds. Asked before anything is looked up and
    /// again when the answer is there: what lies in between may take its time.
    ///
    /// # Errors
    /// That nobody knows: a fault, and no answer.
    pub(crate) fn vouch(&self) -> Result<(), Fault> {
        self.within(self.check_grace)
    }

    /// Whether a token of this shape may be issued.
    ///
    /// # Errors
    /// That memory is too old, or that the token cannot be kept.
    pub(crate) async fn issue(&self, shape: &TokenShape) -> Result<(), Fault> {
        let mut behind = self.behind();
        if behind > FOLLOWED_WITHIN {
            Box::pin(self.look_is_over()).await;
            behind = self.behind();
        }
        match shape {
            TokenShape::Stored(_) => self.keep(),
            TokenShape::Jwt(_) | TokenShape::Sealed => is_within(behind, self.grace),
        }
    }

    /// Returns when it is known whether the store is away, or nobody can tell in time. A process that was
    /// stopped and goes on knows less than it thinks, and soon more: it has only to look.
    async fn look_is_over(&self) {
        let mut looked = pin!(self.looked.notified());
        // From now on, so that no look is over between the question and the wait.
        looked.as_mut().enable();
        let lost = self.lost.lock().as_ref().is_some_and(|lost| lost.is(Way::Following));
        if !lost && self.behind() > FOLLOWED_WITHIN {
            // Whatever comes of it: how old memory is then decides.
            let _ = timeout(FOLLOWED_WITHIN, looked).await;
        }
    }

    /// Whether anything can be kept.
    ///
    /// # Errors
    /// That the store is away, as far as anybody knows.
    pub(crate) fn keep(&self) -> Result<(), Fault> {
        if self.takes_no_writes.load(Ordering::Relaxed) {
            let reason = self.lost.lock().as_ref().map(|lost| lost.reason.clone());
            return Err(Fault::Unreachable(reason.unwrap_or_default()));
        }
        self.within(Duration::ZERO)
    }

    /// Takes down that the store is away. Said once, whatever fails next.
    pub(crate) fn lose(&self, way: Way, reason: &str) {
        let mut lost = self.lost.lock();
        let lost = lost.get_or_insert_with(|| {
            tracing::error!(
                reason,
                tokens_for = ?self.grace,
                "the database is away: what must be kept is refused until it is back; tokens that \
                 need no row are issued for a while"
            );
            let away_for = match way {
                Way::Following => self.behind(),
                Way::Keeping => Duration::ZERO,
            };
            self.refused.store(0, Ordering::Relaxed);
            let since = (self.clock.steady(), self.clock.now().minus(away_for));
            Lost { ways: Vec::new(), since, reason: reason.to_owned() }
        });
        if !lost.is(way) {
            lost.ways.push(way);
        }
        self.looked.notify_waiters();
        if way == Way::Keeping {
            self.takes_no_writes.store(true, Ordering::Relaxed);
            self.probe.notify_one();
        }
    }

    /// Takes down that it can be reached again.
    pub(crate) fn regain(&self, way: Way) {
        let mut lost = self.lost.lock();
        if way == Way::Keeping {
            self.takes_no_writes.store(false, Ordering::Relaxed);
        }
        let Some(known) = lost.as_mut() else { return };
        known.ways.retain(|lost| *lost != way);
        if known.ways.is_empty() {
            let away_for = self.clock.steady().since(known.since.0);
            let refused = self.refused.swap(0, Ordering::Relaxed);
            tracing::info!(?away_for, requests_refused = refused, "the database is back");
            *lost = None;
        }
    }

    /// Counts a request that was refused because the store is away.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when writing has failed since the last time.
    pub(crate) async fn lost_keeping(&self) {
        self.probe.notified().await;
    }

    /// Since when the store is away; `None`: it is not, as far as anybody knows.
    pub(crate) fn absence(&self) -> Option<Absence> {
        let (now, behind) = (self.clock.now(), self.behind());
        let known = self.lost.lock().as_ref().map(|lost| (lost.since.1, lost.reason.clone()));
        let (since, reason) = match known {
            Some(known) => known,
            None if behind > FOLLOWED_WITHIN => {
                (now.minus(behind), "changes are not followed".to_owned())
            }
            None => return None,
        };
        Some(Absence { since, reason, issuing: self.issuing(now, behind) })
    }

    fn issuing(&self, now: Time, behind: Duration) -> Issuing {
        if behind <= FOLLOWED_WITHIN {
            return Issuing::GoesOn;
        }
        match FOLLOWED_WITHIN.saturating_add(self.grace).checked_sub(behind) {
            Some(left) => Issuing::Until(now.plus(left)),
            None => Issuing::Ended,
        }
    }

    /// What becomes of a write that took too long: of many that only wait in a long queue, others
    /// went through meanwhile.
    fn late(&self) {
        let written_at = Steady::from_milliseconds(self.written_at.load(Ordering::Relaxed));
        if self.clock.steady().since(written_at) >= ANSWERED_WITHIN / 2 {
            self.lose(Way::Keeping, LATE);
        }
    }

    /// Takes down how a write went.
    fn learn<T>(&self, outcome: &Result<T, StoreError>) {
        match outcome {
            Err(error @ StoreError::Unreachable(_)) => self.lose(Way::Keeping, &error.to_string()),
            Err(_) => {}
            Ok(_) => self.written_at.store(self.clock.steady().milliseconds(), Ordering::Relaxed),
        }
    }
}

fn is_within(behind: Duration, grace: Duration) -> Result<(), Fault> {
    if behind <= FOLLOWED_WITHIN.saturating_add(grace) {
        return Ok(());
    }
    let seconds = behind.as_secs_f32();
    Err(Fault::Unreachable(format!("memory last followed it {seconds:.1} s ago")))
}

const LATE: &str = "it did not answer in time";

impl Engine {
    /// Asks the store for something that a request waits for: at once or not at all.
    pub(crate) async fn ask<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Fault> {
        self.reach.within(Duration::ZERO)?;
        let answered = journey::stop(Stop::Query, timeout(ANSWERED_WITHIN, asking)).await;
        Ok(answered.unwrap_or_else(|_| Err(StoreError::Unreachable(LATE.to_owned())))?)
    }

    /// Has the store keep something that a request waits for. After the first that fails, the others
    /// are refused without asking, until a probe went well.
    pub(crate) async fn keep<T>(
        &self,
        keeping: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Fault> {
        self.reach.keep()?;
        let Ok(kept) = journey::stop(Stop::Commit, timeout(ANSWERED_WITHIN, keeping)).await else {
            self.reach.late();
            return Err(Fault::Unreachable(LATE.to_owned()));
        };
        self.reach.learn(&kept);
        Ok(kept?)
    }

    /// Does something that takes several steps, in the store and elsewhere. How long each of them
    /// takes in the store is the store's to bound.
    pub(crate) async fn keep_by_steps<T>(
        &self,
        keeping: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.reach.keep()?;
        keeping.await
    }

    /// Whether everything that can be asked for is answered: memory follows the store, which takes
    /// writes.
    ///
    /// # Errors
    /// Since when the store is away, and what goes on.
    pub async fn ready(&self) -> Result<(), Absence> {
        if let Some(absence) = self.reach.absence() {
            return Err(absence);
        }
        // Perhaps nobody has written for long.
        let checked = self.keep(self.parts.store.check()).await;
        match (self.reach.absence(), checked) {
            (None, Ok(())) => Ok(()),
            (Some(absence), _) => Err(absence),
            (None, Err(fault)) => {
                let (since, reason) = (self.parts.clock.now(), fault.to_string());
                Err(Absence { since, reason, issuing: Issuing::GoesOn })
            }
        }
    }

    /// Tries whether the store takes writes again, one server one try at a time.
    pub(crate) async fn probe(&self) {
        const EVERY: Duration = Duration::from_millis(500);
        loop {
            self.reach.lost_keeping().await;
            while !matches!(timeout(ANSWERED_WITHIN, self.parts.store.check()).await, Ok(Ok(()))) {
                tokio::time::sleep(self.parts.random.spread(EVERY)).await;
            }
            self.reach.regain(Way::Keeping);
        }
    }
}
