//! The PostgreSQL store: one database for many servers. What is written shares commits, as in
//! SQLite; what changes something is done by one server at a time.

mod address;
mod changes;
mod clients;
mod connect;
mod events;
mod examine;
mod expired;
mod keys;
mod listener;
mod look;
mod origin;
mod pages;
mod pulse;
mod registrations;
mod row;
mod schema;
mod shape;
mod spent;
mod tls;
mod tokens;
mod transfer;
mod trouble;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jeton_engine::client::{Client, SecretUse, extract};
use jeton_engine::clock::{Random, Time};
use jeton_engine::event::{Event, Reference};
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, KeyId, RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::spent::Spent;
use jeton_engine::store::{
    Admitted, Changes, Horizon, Revision, Store, StoreError, TakeExtract, TokenFilter,
};
use jeton_engine::token::{TokenDigest, TokenRecord};
use parking_lot::RwLock;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::address::{AddressError, PostgresAddress};
use self::connect::{Connections, Dialer};
pub use self::examine::examine;
pub use self::look::{PostgresFacts, PostgresLook};
use self::spent::Spending;
pub use self::transfer::{TransferError, TransferProgress, TransferStage, transfer};
use self::writer::{Act, Addition, Desk, Job};
use crate::activity::{Activity, Counts, QueueActivity};
use crate::admitted;
use crate::error::OpenError;

/// How a PostgreSQL store works.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// How many writes may wait; one more is answered with [`StoreError::Overloaded`].
    pub queue_max: usize,
    /// How many tokens and events may share one commit.
    pub batch_max: usize,
    /// How often other servers' changes are looked for, behind the notifications.
    pub poll: Duration,
    /// What keeps servers from connecting in step after the database was away.
    pub random: Random,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        let (poll, random) = (Duration::from_millis(200), Random::System);
        Self { queue_max: 8192, batch_max: 2048, poll, random }
    }
}

/// The store in a PostgreSQL database.
pub struct PostgresStore {
    settings: PostgresSettings,
    additions: Queue<Addition>,
    acts: Queue<Act>,
    spendings: Queue<Spending>,
    desk: Arc<Desk>,
    readers: Connections,
    /// A connection of its own, so that news never waits for long reads.
    watcher: Connections,
    told: watch::Receiver<()>,
    revision_seen: AtomicU64,
    writers: Mutex<Vec<JoinHandle<()>>>,
    /// What only listens and looks: for changes, and for a server that takes over.
    watching: Vec<JoinHandle<()>>,
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresStore")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// How long [`Store::wait_for_change`] waits at most, however rarely changes are looked for.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// How long looking for changes may take: who follows them must soon know that nobody can.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// How many tasks add tokens and events: while one waits for its commit, the other collects.
const ADDERS: usize = 2;

/// Connections that write: one each for those tasks, for the one that acts and the one that spends.
const WRITERS: usize = ADDERS + 2;

/// Connections that do not read: those, one that looks for news and one that listens.
const RESERVED: usize = WRITERS + 2;

/// Writes that wait for a task.
struct Queue<W> {
    jobs: RwLock<Option<mpsc::Sender<Job<W>>>>,
    counts: Arc<Counts>,
}

impl<W> Queue<W> {
    fn new(max: usize, counts: &Arc<Counts>) -> (Self, mpsc::Receiver<Job<W>>) {
        let (sender, waiting) = mpsc::channel(max.max(1));
        (Self { jobs: RwLock::new(Some(sender)), counts: Arc::clone(counts) }, waiting)
    }

    /// Hands a write over and waits until it is durable. Says how much was written.
    async fn write(&self, write: W) -> Result<u64, StoreError> {
        let (answer, outcome) = oneshot::channel();
        match self.jobs.read().as_ref() {
            None => return Err(connect::closed()),
            Some(queue) => queue.try_send(Job { write, answer }).map_err(|error| match error {
                TrySendError::Full(_) => {
                    self.counts.turned_away();
                    StoreError::Overloaded
                }
                TrySendError::Closed(_) => writer_ended(),
            })?,
        }
        outcome.await.unwrap_or_else(|_| Err(writer_ended()))
    }

    fn waiting(&self) -> usize {
        self.jobs.read().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    fn close(&self) {
        self.jobs.write().take();
    }
}

impl PostgresStore {
    /// Connects to a database, making or migrating its tables where needed.
    ///
    /// # Errors
    /// Says what is wrong with the database and what to do about it; nothing was changed.
    pub async fn open(
        address: &PostgresAddress,
        settings: PostgresSettings,
    ) -> Result<Arc<Self>, OpenError> {
        let place = address.to_string();
        let unusable = |reason: String| OpenError::Unusable { place: place.clone(), reason };
        let dialer =
            Arc::new(Dialer::new(address.clone(), settings.random.clone()).map_err(unusable)?);
        let pool =
            |count| Connections::new(&dialer, count).map_err(|error| unusable(error.to_string()));
        let watcher = pool(1)?.within(LOOK_MAX);
        schema::prepare(&place, &watcher, schema::MIGRATIONS).await?;
        let readers = pool(address.connections_max.saturating_sub(RESERVED).max(1))?;
        let (tell, told) = watch::channel(());
        let counts = Arc::new(Counts::default());
        let desk = Arc::new(Desk {
            connections: pool(WRITERS)?,
            begin: dialer.begin(),
            batch_max: settings.batch_max,
            counts: Arc::clone(&counts),
            tell: tell.clone(),
            needed: AtomicU32::new(0),
        });
        let (additions, new_additions) = Queue::new(settings.queue_max, &counts);
        let (acts, new_acts) = Queue::new(settings.queue_max, &counts);
        let (spendings, new_spendings) = Queue::new(settings.queue_max, &counts);
        let new_additions = Arc::new(Mutex::new(new_additions));
        let mut writers = vec![
            tokio::spawn(writer::act(Arc::clone(&desk), new_acts)),
            tokio::spawn(writer::spend(Arc::clone(&desk), new_spendings)),
        ];
        for _ in 0..ADDERS {
            let task = writer::add(Arc::clone(&desk), Arc::clone(&new_additions));
            writers.push(tokio::spawn(task));
        }
        // Behind a pooler, what one listens for is told to whoever has the connection then.
        let mut watching = Vec::new();
        if !address.is_pooled {
            watching.push(tokio::spawn(listener::listen(Arc::clone(&dialer), tell)));
        }
        if !address.is_pooled && dialer.servers() > 1 {
            let look_out = |server| tokio::spawn(origin::look_out(Arc::clone(&dialer), server));
            watching.extend((0..dialer.servers()).map(look_out));
        }
        let store = Self {
            settings,
            additions,
            acts,
            spendings,
            desk,
            readers,
            watcher,
            told,
            revision_seen: AtomicU64::new(0),
            writers: Mutex::new(writers),
            watching,
        };
        let revision = store.newest().await.map_err(|error| unusable(error.to_string()))?;
        store.revision_seen.store(revision.0, Ordering::Relaxed);
        Ok(Arc::new(store))
    }

    /// Writes what waits and lets go of the database. Later calls are answered with
    /// [`StoreError::Unreachable`].
    pub async fn close(&self) {
        self.additions.close();
        self.acts.close();
        self.spendings.close();
        // Whoever comes second waits here until the first is done.
        for writer in self.writers.lock().await.drain(..) {
            // A writer that panicked has nothing left to finish.
            let _ = writer.await;
        }
        self.stop_watching();
        self.desk.connections.close();
        self.readers.close();
        self.watcher.close();
    }

    /// What the store has done and has to do.
    pub fn activity(&self) -> Activity {
        let pools = [
            self.desk.connections.activity("writers"),
            self.readers.activity("readers"),
            self.watcher.activity("watcher"),
        ];
        let most = self.settings.queue_max.max(1);
        let queues = [
            ("additions", self.additions.waiting()),
            ("acts", self.acts.waiting()),
            ("spendings", self.spendings.waiting()),
        ];
        let queues = queues.map(|(name, waiting)| QueueActivity { name, waiting, most });
        self.desk.counts.read(queues.into(), pools.into())
    }

    fn stop_watching(&self) {
        self.watching.iter().for_each(JoinHandle::abort);
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        let lent = self.watcher.lend().await?;
        let looked = lent.in_time(async {
            let (newest, needed) = tokio::join!(changes::newest(&lent), schema::needed(&lent));
            Ok((newest?, needed?))
        });
        let looked = looked.await;
        let (newest, needed) = lent.settle(looked)?;
        self.desk.learn(needed);
        Ok(newest)
    }

    async fn act(&self, act: Act) -> Result<bool, StoreError> {
        self.acts.write(act).await.map(|count| count > 0)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        // The writers end when their queues do.
        self.stop_watching();
    }
}

fn writer_ended() -> StoreError {
    StoreError::Unreachable("the task that writes has ended".to_owned())
}

#[async_trait]
impl Store for PostgresStore {
    async fn add_client(&self, client: &Client, event: &Event) -> Result<(), StoreError> {
        self.act(Act::AddClient(Box::new((client.clone(), event.clone())))).await.map(drop)
    }

    async fn replace_client(&self, client: &Client, event: &Event) -> Result<(), StoreError> {
        self.act(Act::ReplaceClient(Box::new((client.clone(), event.clone())))).await.map(drop)
    }

    async fn delete_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        self.act(Act::DeleteClient(Box::new((realm.clone(), id.clone(), event.clone())))).await
    }

    async fn client(&self, realm: &RealmName, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let lent = self.readers.lend().await?;
        let found = lent.in_time(clients::one(&lent, realm, id)).await;
        lent.settle(found)
    }

    async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError> {
        let lent = self.readers.lend().await?;
        let page = lent.in_time(clients::page(&lent, realm, after, count)).await;
        lent.settle(page)
    }

    async fn client_extracts(
        &self,
        realm: &RealmName,
        take: &mut TakeExtract<'_>,
    ) -> Result<(), StoreError> {
        extract::of_whole(self, realm, None, take).await
    }

    async fn register_client(
        &self,
        client: &Client,
        through: Option<&TokenId>,
        clients_max: u32,
        event: &Event,
    ) -> Result<Admitted, StoreError> {
        let act = (client.clone(), through.cloned(), clients_max, event.clone());
        self.acts.write(Act::RegisterClient(Box::new(act))).await.map(admitted::of_count)
    }

    async fn add_initial_access_token(
        &self,
        token: &InitialAccessToken,
        event: &Event,
    ) -> Result<(), StoreError> {
        let act = Act::AddInitialAccessToken(Box::new((token.clone(), event.clone())));
        self.act(act).await.map(drop)
    }

    async fn initial_access_token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<InitialAccessToken>, StoreError> {
        let lent = self.readers.lend().await?;
        let found = lent.in_time(registrations::one(&lent, realm, digest)).await;
        lent.settle(found)
    }

    async fn initial_access_tokens(
        &self,
        realm: &RealmName,
    ) -> Result<Vec<InitialAccessToken>, StoreError> {
        let lent = self.readers.lend().await?;
        let all = lent.in_time(registrations::all(&lent, realm)).await;
        lent.settle(all)
    }

    async fn delete_initial_access_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let act = (realm.clone(), id.clone(), event.clone());
        self.act(Act::DeleteInitialAccessToken(Box::new(act))).await
    }

    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        self.act(Act::NoteSecretUses(uses.to_vec())).await.map(drop)
    }

    async fn add_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError> {
        self.act(Act::AddKey(Box::new((key.clone(), event.clone())))).await.map(drop)
    }

    async fn add_first_key(&self, key: &KeyRecord, event: &Event) -> Result<bool, StoreError> {
        self.act(Act::AddFirstKey(Box::new((key.clone(), event.clone())))).await
    }

    async fn activate_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        self.act(Act::ActivateKey(Box::new((realm.clone(), id.clone(), event.clone())))).await
    }

    async fn change_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError> {
        self.act(Act::ChangeKey(Box::new((key.clone(), event.clone())))).await.map(drop)
    }

    async fn delete_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        self.act(Act::DeleteKey(Box::new((realm.clone(), id.clone(), event.clone())))).await
    }

    async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError> {
        let lent = self.readers.lend().await?;
        let all = lent.in_time(keys::all(&lent, realm)).await;
        lent.settle(all)
    }

    async fn keep_token(&self, token: TokenRecord, event: Option<Event>) -> Result<(), StoreError> {
        match event {
            // The one with every stored token.
            None => self.additions.write(Addition::Token(Box::new(token))).await.map(drop),
            Some(event) => self.act(Act::KeepToken(Box::new((token, event)))).await.map(drop),
        }
    }

    async fn token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let lent = self.readers.lend().await?;
        let found = lent.in_time(tokens::one(&lent, realm, digest)).await;
        lent.settle(found)
    }

    async fn tokens(
        &self,
        realm: &RealmName,
        filter: &TokenFilter,
        before: Option<&TokenId>,
        count: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let lent = self.readers.lend().await?;
        let page = lent.in_time(tokens::page(&lent, realm, filter, before, count)).await;
        lent.settle(page)
    }

    async fn revoke_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        self.act(Act::RevokeToken(Box::new((realm.clone(), id.clone(), event.clone())))).await
    }

    async fn revoke(&self, token: &TokenRecord, event: &Event) -> Result<bool, StoreError> {
        self.act(Act::Revoke(Box::new((token.clone(), event.clone())))).await
    }

    async fn revoked_tokens(
        &self,
        realm: &RealmName,
        now: Time,
    ) -> Result<Vec<(TokenDigest, Option<Time>)>, StoreError> {
        let lent = self.readers.lend().await?;
        let revoked = lent.in_time(tokens::revoked(&lent, realm, now)).await;
        lent.settle(revoked)
    }

    async fn keep_events(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.additions.write(Addition::Events(events.to_vec())).await.map(drop)
    }

    async fn event(&self, reference: Reference) -> Result<Option<Event>, StoreError> {
        let lent = self.readers.lend().await?;
        let found = lent.in_time(events::one(&lent, reference)).await;
        lent.settle(found)
    }

    async fn spend(
        &self,
        realm: &RealmName,
        spent: &[Spent],
        now: Time,
    ) -> Result<Option<usize>, StoreError> {
        if spent.is_empty() {
            return Ok(None);
        }
        let spending = Spending { realm: realm.clone(), spent: spent.to_vec(), now };
        let first_known = self.spendings.write(spending).await?;
        Ok(first_known.checked_sub(1).and_then(|at| usize::try_from(at).ok()))
    }

    async fn remove_expired(&self, before: &Horizon, count: u32) -> Result<u64, StoreError> {
        let lent = self.readers.lend().await?;
        let removed = lent.in_time(expired::remove(&lent, before, count)).await;
        lent.settle(removed)
    }

    async fn changes(&self, revision: Revision) -> Result<Changes, StoreError> {
        self.desk.refuse_outdated()?;
        let lent = self.watcher.lend().await?;
        let changes = lent.in_time(changes::after(&lent, revision)).await;
        lent.settle(changes)
    }

    async fn wait_for_change(&self) -> Result<(), StoreError> {
        let seen = self.revision_seen.load(Ordering::Relaxed);
        let mut told = self.told.clone();
        told.mark_unchanged();
        let revision = self.newest().await?;
        if revision.0 == seen {
            // Whoever changes something tells; what was not heard is found all the same.
            tokio::select! {
                told = told.changed() => told.map_err(|_| writer_ended())?,
                () = tokio::time::sleep(self.settings.poll.min(WAIT_MAX)) => {}
            }
        }
        self.revision_seen.store(revision.0, Ordering::Relaxed);
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.desk.refuse_outdated()?;
        let lent = self.readers.lend().await?;
        let checked = lent.in_time(changes::probe(&lent)).await;
        lent.settle(checked)
    }
}
