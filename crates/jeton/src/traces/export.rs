//! Sends what was followed: some at a time, a few attempts each, and never so that anybody waits.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::send::Sent;
use super::{Traces, Trip, spans};

/// The most requests in one message.
const BATCH_MAX: usize = 512;
/// How long the first of a batch waits for more.
const GATHERING: Duration = Duration::from_secs(1);
/// How long to wait before another attempt, each time.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// How long a server that stops may take for what still waits.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often the log tells of what was dropped.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Sends what comes, until `stop` turns true, and then what still waits.
pub(super) async fn export(
    traces: &Traces,
    mut waiting: Receiver<Trip>,
    mut stop: watch::Receiver<bool>,
) {
    let mut diary = Diary::default();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            taken = waiting.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break },
        }
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = gather(&mut waiting, &mut batch) => {}
        }
        let sent = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            sent = send(traces, &batch) => sent,
        };
        diary.note(traces, sent, batch.len());
        batch.clear();
    }
    waiting.close();
    while batch.len() < BATCH_MAX
        && let Ok(trip) = waiting.try_recv()
    {
        batch.push(trip);
    }
    if !batch.is_empty() {
        let last = timeout(FAREWELL, traces.collector.post(encoded(traces, &batch))).await;
        let sent = last.unwrap_or_else(|_| Sent::Later("the server stops".to_owned()));
        diary.note(traces, sent, batch.len());
    }
}

async fn gather(waiting: &mut Receiver<Trip>, batch: &mut Vec<Trip>) {
    let full = async {
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            if waiting.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    // Over the time, what is there goes.
    let _ = timeout(GATHERING, full).await;
}

fn encoded(traces: &Traces, batch: &[Trip]) -> Bytes {
    spans::message(batch, &traces.settings, &traces.random).encode_to_vec().into()
}

async fn send(traces: &Traces, batch: &[Trip]) -> Sent {
    let body = encoded(traces, batch);
    let mut sent = traces.collector.post(body.clone()).await;
    for pause in PAUSES {
        if !matches!(sent, Sent::Later(_)) {
            break;
        }
        sleep(pause).await;
        sent = traces.collector.post(body.clone()).await;
    }
    sent
}

/// What the log has been told.
#[derive(Default)]
struct Diary {
    fails: bool,
    dropped_told: u64,
    told: Option<Instant>,
}

impl Diary {
    fn note(&mut self, traces: &Traces, sent: Sent, count: usize) {
        let counts = &traces.counts;
        let count = count as u64;
        let endpoint = traces.settings.endpoint.as_str();
        match sent {
            Sent::Taken { rejected } => {
                let rejected = rejected.min(count);
                counts.sent.fetch_add(count - rejected, Ordering::Relaxed);
                counts.lost.fetch_add(rejected, Ordering::Relaxed);
                if self.fails {
                    let lost = counts.lost.load(Ordering::Relaxed);
                    tracing::info!(endpoint, lost, "traces are taken again");
                }
                self.fails = false;
            }
            Sent::Later(reason) | Sent::Never(reason) => {
                counts.lost.fetch_add(count, Ordering::Relaxed);
                if !self.fails {
                    tracing::warn!(endpoint, reason, "traces cannot be delivered and are dropped");
                }
                self.fails = true;
            }
        }
        let dropped = counts.dropped.load(Ordering::Relaxed);
        let is_time = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if dropped > self.dropped_told && is_time {
            let count = dropped - self.dropped_told;
            tracing::warn!(count, "traces were dropped: more waited than `traces.queue_max`");
            (self.dropped_told, self.told) = (dropped, Some(Instant::now()));
        }
    }
}
