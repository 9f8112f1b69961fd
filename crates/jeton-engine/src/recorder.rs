//! Records what was decided, off the request's path: one line in the log for each decision, and a
//! row in the store for each refusal and fault, so that its reference can be explained.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::client::SecretUse;
use crate::event::{Event, EventKind};
use crate::measure::Count;
use crate::readings::QueueReadings;
use crate::store::Store;

/// Takes events and secret uses without waiting; what does not fit is counted and said.
pub(crate) struct Recorder {
    events: Sender<Event>,
    uses: Sender<SecretUse>,
    /// Events that did not fit, and how many of them were told of.
    lost: Count,
    lost_told: AtomicU64,
    /// Secret uses that did not fit.
    uses_lost: Count,
    /// Taken by the one task that writes them down.
    pub(crate) waiting: Mutex<Waiting>,
}

/// What waits to be written down.
pub(crate) struct Waiting {
    events: Receiver<Event>,
    uses: Receiver<SecretUse>,
    /// The second in which events were last kept, and how many of them were.
    kept: (i64, u32),
}

impl Recorder {
    const EVENTS_MAX: usize = 16_384;
    const USES_MAX: usize = 65_536;
    const BATCH_MAX: usize = 512;
    /// Events kept in one second. A flood of refusals fills the log, not the store.
    const KEPT_PER_SECOND: u32 = 200;

    pub(crate) fn new() -> Self {
        let (events, waiting_events) = channel(Self::EVENTS_MAX);
        let (uses, waiting_uses) = channel(Self::USES_MAX);
        let waiting = Waiting { events: waiting_events, uses: waiting_uses, kept: (0, 0) };
        Self {
            events,
            uses,
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
    pub(crate) fn note_use(&self, used: SecretUse) {
        if let Err(TrySendError::Full(_)) = self.uses.try_send(used) {
            self.uses_lost.one();
        }
    }

    /// How full the queue of events is.
    pub(crate) fn events_readings(&self) -> QueueReadings {
        readings(&self.events, &self.lost)
    }

    /// How full the queue of secret uses is.
    pub(crate) fn uses_readings(&self) -> QueueReadings {
        readings(&self.uses, &self.uses_lost)
    }

    /// Waits for events and takes one batch of them. Loses none when it is cancelled.
    pub(crate) async fn next_events(&self, waiting: &mut Waiting) -> Vec<Event> {
        let mut batch = Vec::new();
        waiting.events.recv_many(&mut batch, Self::BATCH_MAX).await;
        batch
    }

    /// Writes down a batch of events.
    pub(crate) async fn write_events(
        &self,
        waiting: &mut Waiting,
        batch: Vec<Event>,
        store: &Arc<dyn Store>,
    ) {
        self.write(&mut waiting.kept, batch, store).await;
    }

    /// Writes down everything that waits right now.
    pub(crate) async fn write_all(&self, waiting: &mut Waiting, store: &Arc<dyn Store>) {
        let mut batch = Vec::new();
        while let Ok(event) = waiting.events.try_recv() {
            batch.push(event);
        }
        self.write(&mut waiting.kept, batch, store).await;
        self.write_uses(waiting, store).await;
    }

    /// Writes down which secrets were used.
    pub(crate) async fn write_uses(&self, waiting: &mut Waiting, store: &Arc<dyn Store>) {
        let mut uses = Vec::new();
        while let Ok(used) = waiting.uses.try_recv() {
            uses.push(used);
        }
        if uses.is_empty() {
            return;
        }
        if let Err(error) = store.note_secret_uses(&uses).await {
            tracing::warn!(%error, count = uses.len(), "the last use of secrets was not kept");
        }
    }

    async fn write(&self, kept: &mut (i64, u32), batch: Vec<Event>, store: &Arc<dyn Store>) {
        let lost_so_far = self.lost.read();
        let lost = lost_so_far - self.lost_told.swap(lost_so_far, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "events came faster than they could be logged; some are missing");
        }
        batch.iter().for_each(log);
        let keep: Vec<Event> = batch.into_iter().filter(|event| is_kept(event, kept)).collect();
        if keep.is_empty() {
            return;
        }
        if let Err(error) = store.keep_events(&keep).await {
            tracing::warn!(%error, count = keep.len(), "events were logged but not kept");
        }
    }
}

fn readings<T>(queue: &Sender<T>, lost: &Count) -> QueueReadings {
    let most = queue.max_capacity();
    QueueReadings { waiting: most - queue.capacity(), most, lost: lost.read() }
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
