//! What writes. Tokens and events go to the database many at a time, from a few tasks; what changes
//! something goes through one task, in order. Nobody is answered before the commit has been.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use jeton_engine::client::{Client, SecretUse};
use jeton_engine::event::Event;
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, KeyId, RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::store::StoreError;
use jeton_engine::token::TokenRecord;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Mutex, oneshot, watch};

use super::connect::{Connections, Lent};
use super::spent::Spending;
use super::trouble::Trouble;
use super::{changes, clients, events, keys, registrations, schema, spent, tokens};
use crate::activity::Counts;
use crate::migrate::refuse_outdated;

/// What is added and never meets anything else: many share one statement.
pub(super) enum Addition {
    Token(Box<TokenRecord>),
    Events(Vec<Event>),
}

/// What changes something: done one after the other, by one server at a time.
pub(super) enum Act {
    AddClient(Box<(Client, Event)>),
    ReplaceClient(Box<(Client, Event)>),
    DeleteClient(Box<(RealmName, ClientId, Event)>),
    RegisterClient(Box<(Client, Option<TokenId>, u32, Event)>),
    AddInitialAccessToken(Box<(InitialAccessToken, Event)>),
    DeleteInitialAccessToken(Box<(RealmName, TokenId, Event)>),
    NoteSecretUses(Vec<SecretUse>),
    AddKey(Box<(KeyRecord, Event)>),
    AddFirstKey(Box<(KeyRecord, Event)>),
    ActivateKey(Box<(RealmName, KeyId, Event)>),
    ChangeKey(Box<(KeyRecord, Event)>),
    DeleteKey(Box<(RealmName, KeyId, Event)>),
    KeepToken(Box<(TokenRecord, Event)>),
    RevokeToken(Box<(RealmName, TokenId, Event)>),
    Revoke(Box<(TokenRecord, Event)>),
}

/// A write and who waits for it.
pub(super) struct Job<W> {
    /// What to write.
    pub(super) write: W,
    /// Who waits: for how much was written, or why nothing was.
    pub(super) answer: oneshot::Sender<Outcome>,
}

pub(super) type Outcome = Result<u64, StoreError>;

/// What all writers share.
pub(super) struct Desk {
    /// Where they get connections.
    pub(super) connections: Connections,
    /// How a transaction begins.
    pub(super) begin: String,
    /// How many additions may share one commit.
    pub(super) batch_max: usize,
    /// What they have done.
    pub(super) counts: Arc<Counts>,
    /// Whom they tell of changes.
    pub(super) tell: watch::Sender<()>,
    /// The schema that a program must know to work on the database, as last heard.
    pub(super) needed: AtomicU32,
}

/// How many acts may share one commit. Each takes a few steps back and forth, and all of them
/// together must be done before a transaction has to end.
const ACTS_MAX: usize = 32;

/// Adds what waits, until nobody can want anything more. Several of these share one queue: while one
/// waits for its commit, the next collects.
pub(super) async fn add(desk: Arc<Desk>, waiting: Arc<Mutex<Receiver<Job<Addition>>>>) {
    let mut jobs = Vec::new();
    loop {
        let taken = waiting.lock().await.recv_many(&mut jobs, desk.batch_max.max(1)).await;
        if taken == 0 {
            return;
        }
        let began = Instant::now();
        let mut outcome = desk.add_all(&jobs).await;
        if jobs.len() > 1 && outcome.as_ref().is_err_and(|refused| refused.one_is_to_blame) {
            outcome = Ok(desk.add_each(&jobs).await);
        }
        desk.answer(&mut jobs, began, outcome.map_err(|refused| refused.error));
    }
}

/// Acts as it is asked to, until nobody can ask anything more.
pub(super) async fn act(desk: Arc<Desk>, mut waiting: Receiver<Job<Act>>) {
    let mut jobs = Vec::new();
    while waiting.recv_many(&mut jobs, ACTS_MAX).await > 0 {
        let began = Instant::now();
        let outcome = desk.act_all(&jobs).await;
        if outcome.is_ok() {
            desk.tell.send_replace(());
        }
        desk.answer(&mut jobs, began, outcome);
    }
}

/// Spends what is to be spent, until nobody can want anything more.
pub(super) async fn spend(desk: Arc<Desk>, mut waiting: Receiver<Job<Spending>>) {
    let mut jobs = Vec::new();
    while waiting.recv_many(&mut jobs, desk.batch_max.max(1)).await > 0 {
        let began = Instant::now();
        let outcome = desk.spend_all(&jobs).await;
        desk.answer(&mut jobs, began, outcome);
    }
}

/// Why a batch was not written.
struct Refused {
    error: StoreError,
    /// Whether the others could be written without the one that cannot.
    one_is_to_blame: bool,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self { error, one_is_to_blame: false }
    }
}

impl Desk {
    fn answer<W>(
        &self,
        jobs: &mut Vec<Job<W>>,
        began: Instant,
        outcome: Result<Vec<Outcome>, StoreError>,
    ) {
        match outcome {
            Ok(outcomes) => {
                self.counts.committed(jobs.len(), began);
                for (job, outcome) in jobs.drain(..).zip(outcomes) {
                    // Who no longer waits needs no answer.
                    let _ = job.answer.send(outcome);
                }
            }
            Err(error) => {
                self.counts.failed();
                // That it is away is said once, where connections are made.
                if !matches!(error, StoreError::Unreachable(_)) {
                    let writes = jobs.len();
                    tracing::error!(%error, writes, "the database could not be written");
                }
                for job in jobs.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Takes note of the schema that a program must know to work on the database.
    pub(super) fn learn(&self, needed: u32) {
        self.needed.store(needed, Ordering::Relaxed);
    }

    /// Refuses to go on when a newer program has migrated the database to something that this one
    /// cannot work on.
    pub(super) fn refuse_outdated(&self) -> Result<(), StoreError> {
        refuse_outdated(self.needed.load(Ordering::Relaxed), schema::MIGRATIONS)
    }

    async fn add_all(&self, jobs: &[Job<Addition>]) -> Result<Vec<Outcome>, Refused> {
        self.refuse_outdated()?;
        let lent = self.connections.lend().await?;
        let outcome = lent.in_time(self.add_on(&lent, jobs)).await;
        let one_is_to_blame = outcome.as_ref().is_err_and(Trouble::is_about_content);
        lent.settle(outcome).map_err(|error| Refused { error, one_is_to_blame })
    }

    /// Adds everything by itself, because something in between cannot be written.
    async fn add_each(&self, jobs: &[Job<Addition>]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            let outcome = self.add_all(std::slice::from_ref(job)).await;
            outcomes.push(match outcome {
                Ok(one) => one.into_iter().next().unwrap_or(Ok(0)),
                Err(refused) => Err(refused.error),
            });
        }
        outcomes
    }

    /// Sends the whole transaction at once and then waits for all its answers. When one step fails,
    /// the database does none of the later ones, and the commit undoes what was done.
    async fn add_on(&self, lent: &Lent, jobs: &[Job<Addition>]) -> Result<Vec<Outcome>, Trouble> {
        let (mut new_tokens, mut new_events) = (Vec::new(), Vec::new());
        for job in jobs {
            match &job.write {
                Addition::Token(token) => new_tokens.push(&**token),
                Addition::Events(events) => new_events.extend(events),
            }
        }
        let (began, kept, events, committed) = tokio::join!(
            biased;
            lent.batch_execute(&self.begin),
            tokens::keep(lent, &new_tokens),
            events::keep(lent, &new_events),
            lent.batch_execute("COMMIT"),
        );
        began?;
        let mut kept = kept?.into_iter();
        events?;
        committed?;
        certain(lent)?;
        let outcome = |job: &Job<Addition>| match job.write {
            Addition::Token(_) => kept.next().unwrap_or(Ok(0)),
            Addition::Events(_) => Ok(1),
        };
        Ok(jobs.iter().map(outcome).collect())
    }

    async fn spend_all(&self, jobs: &[Job<Spending>]) -> Result<Vec<Outcome>, StoreError> {
        self.refuse_outdated()?;
        let lent = self.connections.lend().await?;
        let outcome = lent.in_time(self.spend_on(&lent, jobs)).await;
        if outcome.is_err() {
            // Dropped, it is closed: whatever it had begun is undone.
            return outcome.map_err(StoreError::from);
        }
        lent.settle(outcome)
    }

    async fn spend_on(&self, lent: &Lent, jobs: &[Job<Spending>]) -> Result<Vec<Outcome>, Trouble> {
        let spendings: Vec<&Spending> = jobs.iter().map(|job| &job.write).collect();
        let (began, claimed) = tokio::join!(
            biased;
            lent.batch_execute(&self.begin),
            spent::claim(lent, &spendings),
        );
        began?;
        let mut claimed = claimed?;
        let outcomes = spent::hand_out(&spendings, &mut claimed);
        if !claimed.is_empty() {
            spent::give_back(lent, &claimed).await?;
        }
        lent.batch_execute("COMMIT").await?;
        certain(lent)?;
        Ok(outcomes.into_iter().map(Ok).collect())
    }

    async fn act_all(&self, jobs: &[Job<Act>]) -> Result<Vec<Outcome>, StoreError> {
        self.refuse_outdated()?;
        let lent = self.connections.lend().await?;
        let outcome = lent.in_time(self.act_on(&lent, jobs)).await;
        if outcome.is_err() {
            // Dropped, it is closed: whatever it had begun is undone.
            return outcome.map_err(StoreError::from);
        }
        lent.settle(outcome)
    }

    async fn act_on(&self, lent: &Lent, jobs: &[Job<Act>]) -> Result<Vec<Outcome>, Trouble> {
        let (began, locked) = tokio::join!(
            biased;
            lent.batch_execute(&self.begin),
            lent.execute_typed(changes::LOCK, &[]),
        );
        began?;
        locked?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(isolate(lent, &job.write).await?);
        }
        let end = if jobs.iter().zip(&outcomes).any(is_news) {
            format!("{}; COMMIT", changes::TELL)
        } else {
            "COMMIT".to_owned()
        };
        lent.batch_execute(&end).await?;
        certain(lent)?;
        Ok(outcomes)
    }
}

/// A commit with a warning was one that perhaps did not reach the replica it should have.
fn certain(lent: &Lent) -> Result<(), Trouble> {
    if lent.has_warned() {
        let text = "the database warned about the commit: it may be lost".to_owned();
        return Err(StoreError::Unreachable(text).into());
    }
    Ok(())
}

fn is_news((job, outcome): (&Job<Act>, &Outcome)) -> bool {
    let is_change = !matches!(
        job.write,
        Act::NoteSecretUses(_)
            | Act::KeepToken(_)
            | Act::AddInitialAccessToken(_)
            | Act::DeleteInitialAccessToken(_)
    );
    is_change && matches!(outcome, Ok(1..))
}

/// Does one act so that its failure undoes it and nothing else.
async fn isolate(lent: &Lent, act: &Act) -> Result<Outcome, Trouble> {
    lent.batch_execute("SAVEPOINT one").await?;
    match act.perform(lent).await {
        Ok(written) => {
            lent.batch_execute("RELEASE one").await?;
            Ok(Ok(written))
        }
        // Then everything has failed.
        Err(trouble) if trouble.is_fatal() => Err(trouble),
        Err(trouble) => {
            lent.batch_execute("ROLLBACK TO one; RELEASE one").await?;
            Ok(Err(trouble.into()))
        }
    }
}

impl Act {
    async fn perform(&self, client: &tokio_postgres::Client) -> Result<u64, Trouble> {
        match self {
            Self::AddClient(act) => clients::add(client, &act.0, &act.1).await,
            Self::ReplaceClient(act) => clients::replace(client, &act.0, &act.1).await,
            Self::DeleteClient(act) => clients::delete(client, &act.0, &act.1, &act.2).await,
            Self::RegisterClient(act) => {
                let (new, through, clients_max, event) = &**act;
                let through = through.as_ref();
                registrations::register(client, new, (through, *clients_max), event).await
            }
            Self::AddInitialAccessToken(act) => registrations::add(client, &act.0, &act.1).await,
            Self::DeleteInitialAccessToken(act) => {
                registrations::delete(client, &act.0, &act.1, &act.2).await
            }
            Self::NoteSecretUses(uses) => clients::note_uses(client, uses).await,
            Self::AddKey(act) => keys::add(client, &act.0, &act.1).await,
            Self::AddFirstKey(act) => keys::add_first(client, &act.0, &act.1).await,
            Self::ActivateKey(act) => keys::activate(client, &act.0, &act.1, &act.2).await,
            Self::ChangeKey(act) => keys::change(client, &act.0, &act.1).await,
            Self::DeleteKey(act) => keys::delete(client, &act.0, &act.1, &act.2).await,
            Self::KeepToken(act) => tokens::keep_with_event(client, &act.0, Some(&act.1)).await,
            Self::RevokeToken(act) => tokens::revoke(client, &act.0, &act.1, &act.2).await,
            Self::Revoke(act) => tokens::revoke_or_keep(client, &act.0, &act.1).await,
        }
    }
}
