//! Records what was decided, off the request's path: one line in the log for each decision, and a
//! row in the store for each refusal and fault, so that its reference can be explained.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::client::SecretUse;
use crate::clock::Time;
use crate::event::{Event, EventKind};
use crate::live::{LiveClient, Memory};
use crate::measure::Count;
use crate::name::{ClientId, RealmName};
use crate::readings::QueueReadings;
use crate::store::{Store, StoreError};

/// Takes events and secret uses without waiting; what does not fit is counted and said.
pub(crate) struct Recorder {
    events: Sender<Event>,
    /// Secret uses that nobody has taken yet.
    uses: parking_lot::Mutex<Vec<Use>>,
    /// Events that did not fit, and how many of them were told of.
    lost: Count,
    lost_told: AtomicU64,
    /// Secret uses that did not fit.
    uses_lost: Count,
    /// Taken by the one task that writes them down.
    pub(crate) waiting: Mutex<Waiting>,
}

/// A use of a secret, in as little room as it can have: where there are many clients, many wait at the
/// beginning of each minute.
pub(crate) struct Use {
    memory: Arc<Memory>,
    live: Arc<LiveClient>,
    /// In milliseconds, and in the lowest bits the place of the secret among those of the client.
    at_and_secret: i64,
}

impl Use {
    const SECRET: i64 = 0xff;

    /// A secret was used at `at`; `secret` is its place among those of the client.
    pub(crate) fn new(memory: Arc<Memory>, live: Arc<LiveClient>, secret: u8, at: Time) -> Self {
        Self { memory, live, at_and_secret: at.milliseconds() << 8 | i64::from(secret) }
    }

    /// Where it is written down.
    fn place(&self) -> (&RealmName, &ClientId) {
        (&self.memory.realm, &self.live.id)
    }

    /// As it is written down.
    fn told(&self) -> Option<SecretUse> {
        let secret = usize::try_from(self.at_and_secret & Self::SECRET).ok()?;
        let secret = self.live.secrets.get(secret)?;
        Some(SecretUse {
            realm: self.memory.realm.clone(),
            client_id: self.live.id.clone(),
            secret_id: secret.id.clone(),
            at: Time::from_milliseconds(self.at_and_secret >> 8),
        })
    }
}

/// What waits to be written down.
pub(crate) struct Waiting {
    events: Receiver<Event>,
    /// The second in which events were last kept, and how many of them were.
    kept: (i64, u32),
    /// Events to be kept, the oldest first; the store was not there for them yet.
    events_left: VecDeque<Event>,
    /// And secret uses, those that are written first at the end.
    uses_left: Vec<Use>,
    /// Events that found no room there.
    dropped: u64,
}

impl Recorder {
    const EVENTS_MAX: usize = 16_384;
    const USES_MAX: usize = 65_536;
    const BATCH_MAX: usize = 512;
    /// Secret uses in one transaction: others that write do not wait long for its end.
    const USES_BATCH_MAX: usize = 2048;
    /// Events kept in one second. A flood of refusals fills the log, not the store.
    const KEPT_PER_SECOND: u32 = 200;

    pub(crate) fn new() -> Self {
        let (events, waiting_events) = channel(Self::EVENTS_MAX);
        let waiting = Waiting {
            events: waiting_events,
            kept: (0, 0),
            events_left: VecDeque::new(),
            uses_left: Vec::new(),
            dropped: 0,
        };
        Self {
            events,
            uses: parking_lot::Mutex::default(),
            lost: Count::default(),
            lost_told: AtomicU64::new(0),
            uses_lost: Count::default(),
            waiting: Mutex::new(waiting),
        }
    }

    /// Whether the log is so detailed that it tells of each issued token. Otherwise nobody would
    /// read the event: none is made, and the writer is not woken for every token.
    pub(crate) fn tells_of_issued() -> bool {
        tracing::enabled!(tracing::Level::DEBUG)
    }

    /// Takes an event. Never waits.
    pub(crate) fn record(&self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.lost.one();
        }
    }

    /// Takes the use of a secret. Never waits; a lost one is noted a minute later.
    pub(crate) fn note_use(&self, used: Use) {
        let mut uses = self.uses.lock();
        if uses.len() < Self::USES_MAX {
            uses.push(used);
        } else {
            self.uses_lost.one();
        }
    }

    /// How full the queue of events is.
    pub(crate) fn events_readings(&self) -> QueueReadings {
        let most = self.events.max_capacity();
        QueueReadings { waiting: most - self.events.capacity(), most, lost: self.lost.read() }
    }

    /// How full the queue of secret uses is.
    pub(crate) fn uses_readings(&self) -> QueueReadings {
        let waiting = self.uses.lock().len();
        QueueReadings { waiting, most: Self::USES_MAX, lost: self.uses_lost.read() }
    }

    /// Waits for events and takes one batch of them. Loses none when it is cancelled.
    pub(crate) async fn next_events(&self, waiting: &mut Waiting) -> Vec<Event> {
        let mut batch = Vec::new();
        waiting.events.recv_many(&mut batch, Self::BATCH_MAX).await;
        batch
    }

    /// Logs a batch of events, and has those that are to be kept wait for it.
    pub(crate) fn take_events(&self, waiting: &mut Waiting, batch: Vec<Event>) {
        let lost_so_far = self.lost.read();
        let lost = lost_so_far - self.lost_told.swap(lost_so_far, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "events came faster than they could be logged; some are missing");
        }
        for event in batch {
            log(&event);
            if !is_kept(&event, &mut waiting.kept) {
                continue;
            }
            // The first ones tell how it began.
            if waiting.events_left.len() < Self::EVENTS_MAX {
                waiting.events_left.push_back(event);
            } else {
                waiting.dropped += 1;
            }
        }
    }

    /// Has the secret uses wait that nobody has taken yet.
    pub(crate) fn take_uses(&self, waiting: &mut Waiting) {
        let left = &mut waiting.uses_left;
        let mut uses = self.uses.lock();
        if left.is_empty() {
            std::mem::swap(left, &mut uses);
        } else {
            let room = Self::USES_MAX.saturating_sub(left.len()).min(uses.len());
            left.extend(uses.drain(..room));
        }
        drop(uses);
        // In the order of the table: what is near each other there is written together.
        left.sort_unstable_by(|one, other| other.place().cmp(&one.place()));
    }

    /// Has everything wait that nobody has taken yet.
    pub(crate) fn take_all(&self, waiting: &mut Waiting) {
        let mut batch = Vec::new();
        while let Ok(event) = waiting.events.try_recv() {
            batch.push(event);
        }
        self.take_events(waiting, batch);
        self.take_uses(waiting);
    }

    /// Writes down what waits. When the store is away, it waits on.
    pub(crate) async fn write(&self, waiting: &mut Waiting, store: &dyn Store) {
        while !waiting.events_left.is_empty() {
            let count = waiting.events_left.len().min(Self::BATCH_MAX);
            let batch: Vec<Event> = waiting.events_left.iter().take(count).cloned().collect();
            match store.keep_events(&batch).await {
                Err(StoreError::Unreachable(_) | StoreError::Overloaded) => return,
                Err(error) => tracing::warn!(%error, count, "events were logged but not kept"),
                Ok(()) => {}
            }
            waiting.events_left.drain(..count);
        }
        if waiting.dropped > 0 {
            let dropped = std::mem::take(&mut waiting.dropped);
            tracing::warn!(
                dropped,
                "more events came while the database was away than could wait; these were logged but not kept"
            );
        }
        self.write_uses(&mut waiting.uses_left, store).await;
    }

    async fn write_uses(&self, left: &mut Vec<Use>, store: &dyn Store) {
        while !left.is_empty() {
            let from = left.len().saturating_sub(Self::USES_BATCH_MAX);
            let batch: Vec<_> = left.iter().skip(from).filter_map(Use::told).collect();
            match store.note_secret_uses(&batch).await {
                Err(StoreError::Unreachable(_) | StoreError::Overloaded) => return,
                Err(error) => {
                    let count = batch.len();
                    tracing::warn!(%error, count, "the last use of secrets was not kept");
                }
                Ok(()) => {}
            }
            left.truncate(from);
        }
        // There may be no other so soon.
        *left = Vec::new();
    }
}

/// Issued tokens are only logged: they need no explanation, and there are very many.
fn is_kept(event: &Event, kept: &mut (i64, u32)) -> bool {
    if event.kind == EventKind::TokenIssued {
        return false;
    }
    let second = event.at.seconds();
    if kept.0 != second {
        *kept = (second, 0);
    }
    kept.1 += 1;
    kept.1 <= Recorder::KEPT_PER_SECOND
}

fn log(event: &Event) {
    let Event { reference, realm, client_id, source, detail, .. } = event;
    let client_id = client_id.as_ref().map(tracing::field::display);
    let source = source.map(tracing::field::display);
    let detail = detail.as_deref();
    match event.kind {
        EventKind::TokenIssued => {
            tracing::debug!(%reference, %realm, client_id, source, detail, "token issued");
        }
        EventKind::TokenRefused
        | EventKind::IntrospectionRefused
        | EventKind::RevocationRefused
        | EventKind::AccessRefused
        | EventKind::RegistrationRefused => {
            let event = event.kind;
            tracing::info!(%event, %reference, %realm, client_id, source, detail, "refused");
        }
        EventKind::RequestFailed => {
            tracing::error!(%reference, %realm, client_id, source, detail, "request failed");
        }
        kind => {
            tracing::info!(%reference, %realm, client_id, source, detail, event = %kind, "managed");
        }
    }
}
