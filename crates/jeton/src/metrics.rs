//! Metrics: what engine, store, listeners and system have counted, as text for Prometheus. Nothing is
//! counted here, and nothing that counts knows of this.
//!
//! `prometheus-client` writes the text and does not count: its histograms take a lock and its families look
//! labels up, and what a token costs is counted in nanoseconds (`crates/jeton-engine/src/measure.rs`).

mod catalogue;
mod page;
mod process;
mod realms;

use std::fmt;
use std::sync::Arc;

use jeton_engine::engine::Engine;
use jeton_engine::measure::{Closed as _, Spread};
use jeton_engine::readings::Readings;
use jeton_store::Activity;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub(crate) use self::page::Format;
use self::page::Page;
use self::process::Process;
use crate::fetch::{KeySetReadings, KeySets};
use crate::http::Front;
use crate::http::traffic::{Connections, RequestReadings};
use crate::storage::Opened;
use crate::tls::reload::Current;
use crate::tls::server::Ends;

/// Everything that is looked at for a scrape.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Opened,
    pub(crate) front: Arc<Front>,
    pub(crate) key_sets: KeySets,
    /// The listeners by name, with how many connections each takes.
    pub(crate) listeners: [(&'static str, Arc<Connections>, usize); 2],
    pub(crate) tls: Option<Arc<Current>>,
}

/// Tells metrics to whoever asks.
pub(crate) struct Metrics {
    sources: Sources,
    /// One scrape at a time: many at once would only take the processor from requests.
    turn: Mutex<()>,
}

impl Metrics {
    /// Of these.
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources, turn: Mutex::default() }
    }

    /// All of them as they are now.
    ///
    /// # Errors
    /// When they cannot be written, which does not happen.
    pub(crate) async fn text(&self, format: Format) -> Result<String, fmt::Error> {
        let _turn = self.turn.lock().await;
        let sources = self.sources.clone();
        // On a thread of its own: every client is looked at.
        let written = spawn_blocking(move || {
            let mut registry = Registry::default();
            registry.register_collector(Box::new(Scrape::take(&sources)));
            let mut text = String::new();
            encode(&mut text, &registry).map(|()| format.of(text))
        });
        written.await.unwrap_or(Err(fmt::Error))
    }
}

/// What there was to see at one moment.
#[derive(Debug)]
struct Scrape {
    storage: &'static str,
    engine: Readings,
    store: Activity,
    key_sets: KeySetReadings,
    requests: Vec<RequestReadings>,
    in_flight: (usize, usize),
    listeners: [(&'static str, Arc<Connections>, usize); 2],
    ends: Ends,
    process: Process,
}

impl Scrape {
    fn take(sources: &Sources) -> Self {
        let Sources { engine, store, front, key_sets, listeners, tls } = sources;
        Self {
            storage: store.kind(),
            engine: engine.readings(),
            store: store.activity(),
            key_sets: key_sets.readings(),
            requests: front.requests(),
            in_flight: front.in_flight(),
            listeners: listeners.clone(),
            ends: tls.as_ref().map(|tls| tls.side().ends).unwrap_or_default(),
            process: Process::read(),
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page::new(encoder);
        let build = [env!("CARGO_PKG_VERSION"), self.storage];
        page.numbers(&catalogue::BUILD, [(build, 1_u64)])?;
        self.write_requests(&mut page)?;
        realms::write_decided(&self.engine, &mut page)?;
        self.write_caches(&mut page)?;
        realms::write_held(&self.engine, &mut page)?;
        self.write_store(&mut page)?;
        self.write_listeners(&mut page)?;
        self.write_process(&mut page)
    }
}

/// Durations are measured in nanoseconds and told in seconds.
const NANOSECONDS: f64 = 1e9;

impl Scrape {
    fn write_requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let rows = || {
            self.requests.iter().flat_map(|request| {
                let realm = request.realm.as_ref().map_or("", |realm| realm.as_str());
                let dialect = request.dialect.as_ref().map_or("", |dialect| dialect.as_str());
                request.outcomes.iter().map(move |(outcome, spread)| {
                    ([realm, request.endpoint, dialect, outcome.name()], spread)
                })
            })
        };
        page.numbers(
            &catalogue::REQUESTS,
            rows().map(|(labels, spread)| (labels, spread.count())),
        )?;
        // Most are of kinds that never come; each would be as long as all of the rest.
        let met = rows().filter(|(_, spread): &(_, &Spread)| spread.count() > 0);
        page.spreads(&catalogue::DURATIONS, NANOSECONDS, met)?;
        let (in_flight, most) = self.in_flight;
        page.number(&catalogue::IN_FLIGHT, in_flight)?;
        page.number(&catalogue::IN_FLIGHT_MAX, most)
    }

    fn write_caches(&self, page: &mut Page<'_>) -> fmt::Result {
        let checked = self.engine.realms.iter();
        let checked =
            checked.map(|realm| (["verified_tokens", realm.name.as_str()], realm.checked));
        let shared = [
            (["remembered_secrets", ""], self.engine.remembered),
            (["key_sets", ""], self.key_sets.cache),
        ];
        let rows = || checked.clone().chain(shared);
        page.numbers(&catalogue::CACHE_HITS, rows().map(|(labels, cache)| (labels, cache.hits)))?;
        let misses = rows().map(|(labels, cache)| (labels, cache.misses));
        page.numbers(&catalogue::CACHE_MISSES, misses)?;
        let entries = rows().map(|(labels, cache)| (labels, cache.entries));
        page.numbers(&catalogue::CACHE_ENTRIES, entries)?;
        let KeySetReadings { fetched, failed, .. } = self.key_sets;
        page.numbers(&catalogue::FETCHES, [(["fetched"], fetched), (["failed"], failed)])
    }

    fn write_store(&self, page: &mut Page<'_>) -> fmt::Result {
        let Activity { queues, pools, .. } = &self.store;
        page.number(&catalogue::BEHIND, self.engine.behind.as_secs_f64())?;
        page.number(&catalogue::WRITABLE, self.store.is_writable)?;
        let waiting = queues.iter().map(|queue| ([queue.name], queue.waiting));
        page.numbers(&catalogue::QUEUED, waiting)?;
        page.numbers(&catalogue::QUEUE_MAX, queues.iter().map(|queue| ([queue.name], queue.most)))?;
        page.number(&catalogue::TURNED_AWAY, self.store.turned_away)?;
        page.spreads(&catalogue::WRITES, 1.0, [([], &self.store.writes_a_commit)])?;
        page.spreads(&catalogue::COMMITS, NANOSECONDS, [([], &self.store.took)])?;
        page.number(&catalogue::COMMIT_FAILURES, self.store.failed)?;
        let open = pools.iter().flat_map(|pool| {
            let used = pool.open.saturating_sub(pool.idle);
            [([pool.name, "idle"], pool.idle), ([pool.name, "used"], used)]
        });
        page.numbers(&catalogue::POOL_OPEN, open)?;
        page.numbers(&catalogue::POOL_MAX, pools.iter().map(|pool| ([pool.name], pool.most)))?;
        let waiting = pools.iter().map(|pool| ([pool.name], pool.waiting));
        page.numbers(&catalogue::POOL_WAITING, waiting)?;

        let recorded = [("events", self.engine.events), ("secret_uses", self.engine.secret_uses)];
        page.numbers(&catalogue::RECORDED, recorded.map(|(name, queue)| ([name], queue.waiting)))?;
        page.numbers(&catalogue::RECORDED_MAX, recorded.map(|(name, queue)| ([name], queue.most)))?;
        page.numbers(&catalogue::RECORDED_LOST, recorded.map(|(name, queue)| ([name], queue.lost)))
    }

    fn write_listeners(&self, page: &mut Page<'_>) -> fmt::Result {
        let listeners = || self.listeners.iter();
        let accepted = listeners().map(|(name, counts, _)| ([*name], counts.accepted.read()));
        page.numbers(&catalogue::CONNECTIONS, accepted)?;
        let open = listeners().map(|(name, counts, _)| ([*name], counts.open_now()));
        page.numbers(&catalogue::CONNECTIONS_OPEN, open)?;
        let most = listeners().map(|(name, _, most)| ([*name], *most));
        page.numbers(&catalogue::CONNECTIONS_MAX, most)?;
        // Only the public listener speaks TLS.
        let [(_, public, _), _] = &self.listeners;
        let handshakes = public.handshakes.read();
        let handshakes = handshakes.iter().map(|(outcome, count)| ([outcome.name()], *count));
        page.numbers(&catalogue::HANDSHAKES, handshakes)?;
        page.number_if_any(&catalogue::CERTIFICATE, self.ends.certificate)?;
        page.number_if_any(&catalogue::CRL, self.ends.revocation_list)
    }

    fn write_process(&self, page: &mut Page<'_>) -> fmt::Result {
        let process = &self.process;
        page.number_if_any(&catalogue::CPU, process.cpu_seconds)?;
        page.number_if_any(&catalogue::MEMORY, process.resident_bytes)?;
        page.number_if_any(&catalogue::MEMORY_VIRTUAL, process.virtual_bytes)?;
        page.number_if_any(&catalogue::FILES, process.open_files)?;
        page.number_if_any(&catalogue::FILES_MAX, process.open_files_max)?;
        page.number_if_any(&catalogue::THREADS, process.threads)?;
        page.number_if_any(&catalogue::STARTED, process.started_at)
    }
}

#[cfg(test)]
mod tests;
