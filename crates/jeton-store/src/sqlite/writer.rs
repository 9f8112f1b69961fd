//! The one thread that writes. It takes everything that waits, does it in one transaction, and
//! answers all who wait only after the commit.

use std::iter;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use jeton_engine::client::{Client, SecretUse};
use jeton_engine::clock::Time;
use jeton_engine::event::Event;
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, KeyId, RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::spent::Spent;
use jeton_engine::store::{Horizon, StoreError};
use jeton_engine::token::TokenRecord;
use rusqlite::wal::CheckpointMode;
use rusqlite::{CachedStatement, Connection, ErrorCode, MAIN_DB};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{oneshot, watch};

use super::checkpoint::Checkpointer;
use super::places::{self, Places};
use super::reader::Shared;
use super::trouble::Trouble;
use super::{
    Location, SqliteSettings, changes, clients, connect, events, keys, registrations, schema,
    spent, tokens,
};
use crate::activity::Counts;
use crate::error::OpenError;

/// Something to be written.
pub(super) enum Write {
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
    KeepToken(Box<(TokenRecord, Option<Event>)>),
    RevokeToken(Box<(RealmName, TokenId, Event)>),
    Revoke(Box<(TokenRecord, Event)>),
    KeepEvents(Vec<Event>),
    Spend(Box<(RealmName, Vec<Spent>, Time)>),
    RemoveExpired { before: Horizon, count: u32 },
    Check,
}

/// A write and who waits for it.
pub(super) struct Job {
    /// What to write.
    pub(super) write: Write,
    /// Who waits: for how much was written, or why nothing was.
    pub(super) answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<u64, StoreError>;

/// The thread's own.
pub(super) struct Writer {
    location: Location,
    settings: SqliteSettings,
    connection: Shared,
    places: Arc<Places>,
    waiting: Receiver<Job>,
    tell: watch::Sender<()>,
    counts: Arc<Counts>,
    checkpointer: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        location: &Location,
        settings: &SqliteSettings,
        (connection, places): (Shared, Arc<Places>),
        waiting: Receiver<Job>,
        news: (watch::Sender<()>, Arc<Counts>),
    ) -> Result<JoinHandle<()>, OpenError> {
        let unusable = |error: std::io::Error| OpenError::Unusable {
            place: location.to_string(),
            reason: format!("no thread can be started: {error}"),
        };
        let mut checkpointer = None;
        if let Location::File(path) = location {
            let (commits, committed) = sync_channel(1);
            let checkpoints = Checkpointer::open(path, Arc::clone(&connection), committed)
                .map_err(|error| connect::explain(location, &error))?;
            let thread = thread::Builder::new().name("jeton-checkpoint".to_owned());
            let thread = thread.spawn(move || checkpoints.run()).map_err(unusable)?;
            checkpointer = Some((commits, thread));
        }
        let (location, settings) = (location.clone(), settings.clone());
        let (tell, counts) = news;
        let writer =
            Self { location, settings, connection, places, waiting, tell, counts, checkpointer };
        let thread = thread::Builder::new().name("jeton-writer".to_owned());
        thread.spawn(move || writer.run()).map_err(unusable)
    }

    fn run(mut self) {
        let mut jobs = Vec::new();
        while self.waiting.blocking_recv_many(&mut jobs, self.settings.batch_max.max(1)) > 0 {
            self.serve(&mut jobs);
            // Where every core is busy, those who were answered and those who are about to ask come first:
            // then the next commit is for all of them and not for the few that asked during this one.
            thread::yield_now();
        }
        if let Some((commits, thread)) = self.checkpointer.take() {
            drop(commits);
            // A thread that panicked leaves the checkpoint to us.
            let _ = thread.join();
            let truncated =
                self.connection.lock().wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::TRUNCATE);
            if let Err(error) = truncated {
                // Nothing is lost: the log is read when the database is opened again.
                tracing::debug!(%error, "the database's log was left for the next start");
            }
        }
    }

    fn serve(&self, jobs: &mut Vec<Job>) {
        let began = Instant::now();
        let done = {
            let mut connection = self.connection.lock();
            let done = transact(&connection, &self.places, jobs, &self.settings);
            if let Err(trouble) = &done {
                self.mend(&mut connection, trouble);
            }
            done
        };
        match done {
            Ok(outcomes) => {
                self.counts.committed(jobs.len(), began);
                if let Some((commits, _)) = &self.checkpointer {
                    // A full channel has told the checkpointer already.
                    let _ = commits.try_send(());
                }
                if jobs.iter().any(|job| job.write.is_a_change()) {
                    self.tell.send_replace(());
                }
                for (job, outcome) in jobs.drain(..).zip(outcomes) {
                    // Who no longer waits needs no answer.
                    let _ = job.answer.send(outcome);
                }
            }
            Err(trouble) => {
                self.counts.failed();
                let error = StoreError::from(trouble);
                tracing::error!(%error, writes = jobs.len(), "the database could not be written");
                for job in jobs.drain(..) {
                    let _ = job.answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Makes the connection usable again after a transaction that failed as a whole.
    fn mend(&self, connection: &mut Connection, trouble: &Trouble) {
        if !connection.is_autocommit() {
            // If this fails too, a new connection is the way out.
            let _ = connection.execute_batch("ROLLBACK");
        }
        let Trouble::Sqlite(error) = trouble else { return };
        let locked = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::DiskFull];
        let harmless = error.sqlite_error_code().is_some_and(|code| locked.contains(&code));
        if self.location == Location::Memory || (harmless && connection.is_autocommit()) {
            return;
        }
        let fresh = connect::writer(&self.location, &self.settings)
            .and_then(|fresh| schema::enforce(&fresh, &self.location).map(|()| fresh));
        match fresh {
            Ok(fresh) => drop(mem::replace(connection, fresh)),
            Err(error) => tracing::warn!(%error, "the database could not be opened again"),
        }
    }
}

/// Does all jobs in one transaction; an error is about all of them, and none was done.
fn transact(
    connection: &Connection,
    places: &Places,
    jobs: &[Job],
    settings: &SqliteSettings,
) -> Result<Vec<Outcome>, Trouble> {
    if jobs.iter().any(|job| matches!(job.write, Write::Revoke(_))) {
        places.follow(connection)?;
    }
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    schema::refuse_outdated(connection)?;
    let mut insert = Inserts::prepare(connection)?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    let mut rest = jobs;
    while let [job, others @ ..] = rest {
        let kept = insert.keep_together(rest)?;
        if kept > 0 {
            outcomes.extend(iter::repeat_n(Ok(1), kept));
            rest = rest.get(kept..).unwrap_or_default();
            continue;
        }
        rest = others;
        outcomes.push(match &job.write {
            Write::KeepToken(kept) => insert.keep(kept)?,
            // No savepoint here either: this fails only when nothing can be written at all. And of all the
            // pages that many uses are on, a savepoint would hold copies.
            Write::Spend(_) | Write::NoteSecretUses(_) => {
                Ok(job.write.perform(connection, places)?)
            }
            write => isolate(connection, places, write)?,
        });
    }
    places::write(connection, settings.unplaced_max)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(outcomes)
}

/// The statements that nearly every transaction needs.
struct Inserts<'c> {
    connection: &'c Connection,
    token: CachedStatement<'c>,
    tokens: CachedStatement<'c>,
    event: CachedStatement<'c>,
}

impl<'c> Inserts<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, Trouble> {
        Ok(Self {
            connection,
            token: connection.prepare_cached(&tokens::INSERT)?,
            tokens: connection.prepare_cached(&tokens::INSERT_TOGETHER)?,
            event: connection.prepare_cached(events::INSERT)?,
        })
    }

    /// Keeps the tokens that stand first, when there are enough of them and no event comes with them.
    /// Says how many: not the one that is there already, and none after it.
    fn keep_together(&mut self, jobs: &[Job]) -> Result<usize, Trouble> {
        let Some(jobs) = jobs.get(..tokens::TOGETHER) else { return Ok(0) };
        if !jobs.iter().all(|job| token_alone(job).is_some()) {
            return Ok(0);
        }
        tokens::keep_with(self.connection, &mut self.tokens, jobs.iter().filter_map(token_alone))
    }

    /// Keeps a token without a savepoint, which would cost as much again: when the first statement
    /// fails nothing was written, and the second fails only when nothing can be written at all.
    fn keep(&mut self, (token, event): &(TokenRecord, Option<Event>)) -> Result<Outcome, Trouble> {
        if tokens::keep_with(self.connection, &mut self.token, [token])? == 0 {
            return Ok(Err(StoreError::Exists));
        }
        if let Some(event) = event {
            events::keep_with(&mut self.event, event)?;
        }
        Ok(Ok(1))
    }
}

/// The token that is all of a job.
fn token_alone(job: &Job) -> Option<&TokenRecord> {
    match &job.write {
        Write::KeepToken(kept) if kept.1.is_none() => Some(&kept.0),
        _ => None,
    }
}

/// Does one write so that its failure undoes it and nothing else.
fn isolate(connection: &Connection, places: &Places, write: &Write) -> Result<Outcome, Trouble> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let outcome = write.perform(connection, places);
    // After some errors SQLite has rolled back everything: then everything has failed. And where the
    // disk is to blame, the connection has to be mended before it is of use again.
    if let Err(trouble) = outcome {
        if connection.is_autocommit() || is_about_the_disk(&trouble) {
            return Err(trouble);
        }
        connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
        connection.prepare_cached("RELEASE one")?.execute([])?;
        return Ok(Err(trouble.into()));
    }
    connection.prepare_cached("RELEASE one")?.execute([])?;
    Ok(outcome.map_err(StoreError::from))
}

fn is_about_the_disk(trouble: &Trouble) -> bool {
    let codes = [ErrorCode::SystemIoFailure, ErrorCode::ReadOnly, ErrorCode::CannotOpen];
    matches!(trouble, Trouble::Sqlite(error) if error.sqlite_error_code().is_some_and(|code| codes.contains(&code)))
}

impl Write {
    fn perform(&self, connection: &Connection, places: &Places) -> Result<u64, Trouble> {
        match self {
            Self::AddClient(write) => clients::add(connection, &write.0, &write.1),
            Self::ReplaceClient(write) => clients::replace(connection, &write.0, &write.1),
            Self::DeleteClient(write) => clients::delete(connection, &write.0, &write.1, &write.2),
            Self::RegisterClient(write) => {
                let (client, through, clients_max, event) = &**write;
                let through = through.as_ref();
                registrations::register(connection, client, (through, *clients_max), event)
            }
            Self::AddInitialAccessToken(write) => {
                registrations::add(connection, &write.0, &write.1)
            }
            Self::DeleteInitialAccessToken(write) => {
                registrations::delete(connection, &write.0, &write.1, &write.2)
            }
            Self::NoteSecretUses(uses) => clients::note_uses(connection, uses),
            Self::AddKey(write) => keys::add(connection, &write.0, &write.1),
            Self::AddFirstKey(write) => keys::add_first(connection, &write.0, &write.1),
            Self::ActivateKey(write) => keys::activate(connection, &write.0, &write.1, &write.2),
            Self::ChangeKey(write) => keys::change(connection, &write.0, &write.1),
            Self::DeleteKey(write) => keys::delete(connection, &write.0, &write.1, &write.2),
            Self::KeepToken(write) => Ok(Inserts::prepare(connection)?.keep(write)??),
            Self::RevokeToken(write) => tokens::revoke(connection, &write.0, &write.1, &write.2),
            Self::Revoke(write) => tokens::revoke_or_keep(connection, places, &write.0, &write.1),
            Self::KeepEvents(events) => events::keep_all(connection, events),
            Self::Spend(write) => spent::spend(connection, &write.0, &write.1, write.2),
            Self::RemoveExpired { before, count } => remove_expired(connection, before, *count),
            Self::Check => {
                let mut update =
                    connection.prepare_cached("UPDATE probe SET checks = checks + 1")?;
                Ok(update.execute([])? as u64)
            }
        }
    }

    /// Whether others may have to hear of it.
    fn is_a_change(&self) -> bool {
        !matches!(
            self,
            Self::KeepToken(_)
                | Self::KeepEvents(_)
                | Self::AddInitialAccessToken(_)
                | Self::DeleteInitialAccessToken(_)
                | Self::NoteSecretUses(_)
                | Self::Spend(_)
                | Self::RemoveExpired { .. }
                | Self::Check
        )
    }
}

fn remove_expired(connection: &Connection, before: &Horizon, count: u32) -> Result<u64, Trouble> {
    let count = u64::from(count);
    let mut removed = tokens::remove(connection, before.tokens, count)?;
    removed += spent::remove(connection, before.spent, count - removed)?;
    removed += registrations::remove(connection, before.events, count - removed)?;
    removed += events::remove(connection, before.events, count - removed)?;
    removed += changes::remove(connection, before.events, count - removed)?;
    Ok(removed)
}
