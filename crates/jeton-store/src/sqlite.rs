//! The SQLite store: what is written goes to one thread, what is read to a few connections.

mod backup;
mod changes;
mod checkpoint;
mod clients;
mod connect;
mod events;
mod examine;
mod extracts;
mod frames;
mod keys;
mod log;
mod look;
mod places;
mod pulse;
mod reader;
mod registrations;
mod restore;
mod row;
mod rows;
mod schema;
mod spent;
mod tokens;
mod trouble;
mod viewer;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jeton_engine::client::{Client, SecretUse, extract};
use jeton_engine::clock::Time;
use jeton_engine::event::{Event, Reference};
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, KeyId, RealmName, TokenId};
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::spent::Spent;
use jeton_engine::store::{
    Admitted, Changes, Horizon, Revision, Store, StoreError, TakeExtract, TokenFilter,
};
use jeton_engine::token::{TokenDigest, TokenRecord};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::backup::back_up;
pub use self::examine::examine;
use self::extracts::Unreadable;
use self::log::Settled;
pub use self::look::SqliteLook;
use self::places::Places;
use self::reader::Readers;
pub use self::restore::{Restored, restore};
pub(crate) use self::rows::Rows;
use self::writer::{Job, Write, Writer};
use crate::activity::{Activity, Counts, QueueActivity};
use crate::admitted;
use crate::error::OpenError;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this file; made, readable by its owner alone, when it is not there.
    File(PathBuf),
    /// In this process's memory, gone with the store; for tests and trials.
    Memory,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Memory => formatter.write_str("in memory"),
        }
    }
}

/// How a SQLite store works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteSettings {
    /// How many writes may wait; one more is answered with [`StoreError::Overloaded`].
    pub queue_max: usize,
    /// How many writes may share one commit.
    pub batch_max: usize,
    /// How many tokens' places are kept in memory before they are written.
    pub unplaced_max: usize,
    /// How many reads run at a time.
    pub readers: usize,
    /// How often other processes' changes are looked for.
    pub poll: Duration,
    /// How long another process may keep the database locked before a write fails.
    pub patience: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            queue_max: 8192,
            batch_max: 2048,
            unplaced_max: 16_384,
            readers: 4,
            poll: Duration::from_millis(100),
            patience: Duration::from_secs(5),
        }
    }
}

/// The store in a SQLite database.
pub struct SqliteStore {
    settings: SqliteSettings,
    queue: RwLock<Option<mpsc::Sender<Job>>>,
    counts: Arc<Counts>,
    readers: Readers,
    places: Arc<Places>,
    /// A reader of its own, so that news never waits for long reads.
    watcher: Readers,
    own_changes: watch::Receiver<()>,
    revision_seen: AtomicU64,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    _settled: Settled,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SqliteStore")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// How long [`Store::wait_for_change`] waits at most, however rarely changes are looked for.
const WAIT_MAX: Duration = Duration::from_millis(500);

impl SqliteStore {
    /// Opens a database, making or migrating it where needed. Blocks the thread meanwhile.
    ///
    /// # Errors
    /// Says what is wrong with the file and what to do about it; nothing was changed.
    pub fn open(location: &Location, settings: SqliteSettings) -> Result<Arc<Self>, OpenError> {
        connect::create(location)?;
        let place = connect::file_number(location);
        connect::refuse_broken_log(location)?;
        let mut connection = connect::writer(location, &settings)?;
        let settled = Settled::begin(location, &connection)?;
        schema::prepare(&mut connection, location, schema::MIGRATIONS)?;
        let revision = changes::newest(&connection)
            .map_err(|trouble| connect::explain_trouble(location, trouble))?;
        let connection = Arc::new(Mutex::new(connection));
        let readers = Readers::open(location, &settings, settings.readers, &connection)?;
        let watcher = Readers::open(location, &settings, 1, &connection)?;
        if connect::file_number(location) != place {
            return Err(OpenError::Replaced { place: location.to_string() });
        }
        let (queue, waiting) = mpsc::channel(settings.queue_max.max(1));
        let (tell, own_changes) = watch::channel(());
        let (counts, places) = (Arc::new(Counts::default()), Arc::new(Places::default()));
        let writer = Writer::start(
            location,
            &settings,
            (connection, Arc::clone(&places)),
            waiting,
            (tell, Arc::clone(&counts)),
        )?;
        Ok(Arc::new(Self {
            settings,
            queue: RwLock::new(Some(queue)),
            counts,
            readers,
            places,
            watcher,
            own_changes,
            revision_seen: AtomicU64::new(revision.0),
            writer: tokio::sync::Mutex::new(Some(writer)),
            _settled: settled,
        }))
    }

    /// Writes what waits, moves everything into the database's one file and ends the writer. Later
    /// calls are answered with [`StoreError::Unreachable`].
    pub async fn close(&self) {
        // Before the writer ends: only a connection that may write can take the log away with it.
        self.readers.close();
        self.watcher.close();
        self.queue.write().take();
        // Whoever comes second waits here until the first is done.
        let mut writer = self.writer.lock().await;
        if let Some(thread) = writer.take() {
            // A writer that panicked has nothing left to finish.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// What the store has done and has to do.
    pub fn activity(&self) -> Activity {
        let waiting =
            self.queue.read().as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity());
        let most = self.settings.queue_max.max(1);
        self.counts.read(vec![QueueActivity { name: "writes", waiting, most }], Vec::new())
    }

    /// Copies the database as it is now into a new file, while it is in use, and checks the copy.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is such a file already; it is left alone.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let to = to.to_owned();
        self.readers.read(move |connection| backup::copy(connection, &to)).await
    }

    /// Reads the whole database and checks that it is sound.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with the first things that are not.
    pub async fn integrity(&self) -> Result<(), StoreError> {
        self.readers.read(backup::check).await
    }

    /// Hands a write to the writer and waits until it is durable. Says how much it wrote.
    async fn write(&self, write: Write) -> Result<u64, StoreError> {
        let (answer, outcome) = oneshot::channel();
        match self.queue.read().as_ref() {
            None => return Err(reader::closed()),
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
}

fn writer_ended() -> StoreError {
    StoreError::Unreachable("the thread that writes has ended".to_owned())
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_client(&self, client: &Client, event: &Event) -> Result<(), StoreError> {
        let write = Write::AddClient(Box::new((client.clone(), event.clone())));
        self.write(write).await.map(drop)
    }

    async fn replace_client(&self, client: &Client, event: &Event) -> Result<(), StoreError> {
        let write = Write::ReplaceClient(Box::new((client.clone(), event.clone())));
        self.write(write).await.map(drop)
    }

    async fn delete_client(
        &self,
        realm: &RealmName,
        id: &ClientId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let write = Write::DeleteClient(Box::new((realm.clone(), id.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn client(&self, realm: &RealmName, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let (realm, id) = (realm.clone(), id.clone());
        self.readers.read(move |connection| clients::one(connection, &realm, &id)).await
    }

    async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError> {
        let (realm, after) = (realm.clone(), after.cloned());
        self.readers
            .read(move |connection| clients::page(connection, &realm, after.as_ref(), count))
            .await
    }

    async fn client_extracts(
        &self,
        realm: &RealmName,
        take: &mut TakeExtract<'_>,
    ) -> Result<(), StoreError> {
        let (ready, taken) = mpsc::channel(extracts::READY_MAX);
        let named = realm.clone();
        let read = self.readers.read(move |connection| extracts::read(connection, &named, &ready));
        let (read, taken) = tokio::join!(biased; read, extracts::take_apart(taken, take));
        read?;
        match taken {
            Ok(()) => Ok(()),
            Err(Unreadable { after }) => extract::of_whole(self, realm, after, take).await,
        }
    }

    async fn register_client(
        &self,
        client: &Client,
        through: Option<&TokenId>,
        clients_max: u32,
        event: &Event,
    ) -> Result<Admitted, StoreError> {
        let write = (client.clone(), through.cloned(), clients_max, event.clone());
        self.write(Write::RegisterClient(Box::new(write))).await.map(admitted::of_count)
    }

    async fn add_initial_access_token(
        &self,
        token: &InitialAccessToken,
        event: &Event,
    ) -> Result<(), StoreError> {
        let write = Write::AddInitialAccessToken(Box::new((token.clone(), event.clone())));
        self.write(write).await.map(drop)
    }

    async fn initial_access_token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<InitialAccessToken>, StoreError> {
        let (realm, digest) = (realm.clone(), *digest);
        self.readers.read(move |connection| registrations::one(connection, &realm, &digest)).await
    }

    async fn initial_access_tokens(
        &self,
        realm: &RealmName,
    ) -> Result<Vec<InitialAccessToken>, StoreError> {
        let realm = realm.clone();
        self.readers.read(move |connection| registrations::all(connection, &realm)).await
    }

    async fn delete_initial_access_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let write = (realm.clone(), id.clone(), event.clone());
        self.write(Write::DeleteInitialAccessToken(Box::new(write))).await.map(is_some)
    }

    async fn note_secret_uses(&self, uses: &[SecretUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        self.write(Write::NoteSecretUses(uses.to_vec())).await.map(drop)
    }

    async fn add_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError> {
        let write = Write::AddKey(Box::new((key.clone(), event.clone())));
        self.write(write).await.map(drop)
    }

    async fn add_first_key(&self, key: &KeyRecord, event: &Event) -> Result<bool, StoreError> {
        let write = Write::AddFirstKey(Box::new((key.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn activate_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let write = Write::ActivateKey(Box::new((realm.clone(), id.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn change_key(&self, key: &KeyRecord, event: &Event) -> Result<(), StoreError> {
        let write = Write::ChangeKey(Box::new((key.clone(), event.clone())));
        self.write(write).await.map(drop)
    }

    async fn delete_key(
        &self,
        realm: &RealmName,
        id: &KeyId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let write = Write::DeleteKey(Box::new((realm.clone(), id.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError> {
        let realm = realm.clone();
        self.readers.read(move |connection| keys::all(connection, &realm)).await
    }

    async fn keep_token(&self, token: TokenRecord, event: Option<Event>) -> Result<(), StoreError> {
        self.write(Write::KeepToken(Box::new((token, event)))).await.map(drop)
    }

    async fn token(
        &self,
        realm: &RealmName,
        digest: &TokenDigest,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let (realm, digest, places) = (realm.clone(), *digest, Arc::clone(&self.places));
        self.readers.read(move |connection| tokens::one(connection, &places, &realm, &digest)).await
    }

    async fn tokens(
        &self,
        realm: &RealmName,
        filter: &TokenFilter,
        before: Option<&TokenId>,
        count: u32,
    ) -> Result<Vec<TokenRecord>, StoreError> {
        let (realm, filter, before) = (realm.clone(), filter.clone(), before.cloned());
        self.readers
            .read(move |connection| {
                tokens::page(connection, &realm, &filter, before.as_ref(), count)
            })
            .await
    }

    async fn revoke_token(
        &self,
        realm: &RealmName,
        id: &TokenId,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let write = Write::RevokeToken(Box::new((realm.clone(), id.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn revoke(&self, token: &TokenRecord, event: &Event) -> Result<bool, StoreError> {
        let write = Write::Revoke(Box::new((token.clone(), event.clone())));
        self.write(write).await.map(is_some)
    }

    async fn revoked_tokens(
        &self,
        realm: &RealmName,
        now: Time,
    ) -> Result<Vec<(TokenDigest, Option<Time>)>, StoreError> {
        let realm = realm.clone();
        self.readers.read(move |connection| tokens::revoked(connection, &realm, now)).await
    }

    async fn keep_events(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.write(Write::KeepEvents(events.to_vec())).await.map(drop)
    }

    async fn event(&self, reference: Reference) -> Result<Option<Event>, StoreError> {
        self.readers.read(move |connection| events::one(connection, reference)).await
    }

    async fn spend(
        &self,
        realm: &RealmName,
        spent: &[Spent],
        now: Time,
    ) -> Result<Option<usize>, StoreError> {
        let write = Write::Spend(Box::new((realm.clone(), spent.to_vec(), now)));
        let first_known = self.write(write).await?;
        Ok(first_known.checked_sub(1).and_then(|at| usize::try_from(at).ok()))
    }

    async fn remove_expired(&self, before: &Horizon, count: u32) -> Result<u64, StoreError> {
        self.write(Write::RemoveExpired { before: *before, count }).await
    }

    async fn changes(&self, revision: Revision) -> Result<Changes, StoreError> {
        self.watcher
            .read(move |connection| {
                schema::refuse_outdated(connection)?;
                changes::after(connection, revision)
            })
            .await
    }

    async fn wait_for_change(&self) -> Result<(), StoreError> {
        let seen = self.revision_seen.load(Ordering::Relaxed);
        let mut own_changes = self.own_changes.clone();
        own_changes.mark_unchanged();
        let revision = self.watcher.read(changes::newest).await?;
        if revision.0 == seen {
            // This process's changes are told by the writer, other processes' are looked for.
            tokio::select! {
                told = own_changes.changed() => told.map_err(|_| writer_ended())?,
                () = tokio::time::sleep(self.settings.poll.min(WAIT_MAX)) => {}
            }
        }
        self.revision_seen.store(revision.0, Ordering::Relaxed);
        Ok(())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.write(Write::Check).await?;
        self.readers.read(|connection| changes::newest(connection).map(drop)).await
    }
}

fn is_some(count: u64) -> bool {
    count > 0
}
