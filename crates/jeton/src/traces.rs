//! Traces: which requests are followed, and what is told of each over OTLP, off the request's path.
//!
//! A request is followed when its caller follows it (W3C Trace Context), or by chance where the
//! caller says nothing. What is told is a closed list: names from configuration, codes, times, the
//! request's reference; never anything that a caller sent but the identifiers of its trace. There are
//! a handful of spans, so they are made here and sent by us; OpenTelemetry's own library, with its
//! own thread, queue and globals, would do the same in more steps. Where nothing is configured, nothing
//! of this is in the way of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use ipnet::IpNet;
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::journey::{Journey, Notes, Outcome, follow};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::config::{Parents, Traces as Settings};
use crate::http::Front;
use crate::http::listener::Answers;
use crate::http::peer::{Peer, is_trusted};
use crate::tls::TlsError;
use context::Parent;
use send::Collector;

mod context;
mod export;
mod message;
mod send;
mod spans;

/// Decides which requests are followed, and takes what is to be told of them.
pub(crate) struct Traces {
    clock: Clock,
    random: Random,
    parents: Parents,
    trusted_proxies: Vec<IpNet>,
    /// Below which half of a random trace identifier a trace begins.
    begins_below: u64,
    queue: mpsc::Sender<Trip>,
    waiting: Mutex<Option<mpsc::Receiver<Trip>>>,
    pub(crate) counts: Counts,
    settings: Settings,
    collector: Collector,
}

/// What became of traces.
#[derive(Default)]
pub(crate) struct Counts {
    /// Sent, and taken.
    sent: AtomicU64,
    /// Dropped, because too many waited.
    dropped: AtomicU64,
    /// Not taken by the collector.
    lost: AtomicU64,
}

/// One request that was followed.
#[derive(Clone, Debug)]
struct Trip {
    thread: Thread,
    /// One of a few words.
    method: &'static str,
    /// The pattern of its path.
    route: Option<String>,
    status: u16,
    took: Duration,
    notes: Notes,
}

/// Where a request stands in its trace.
#[derive(Clone, Debug)]
struct Thread {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent: Option<Parent>,
    /// The time of day when it came, and the same moment as durations are measured from.
    came: (Time, Instant),
}

impl Traces {
    /// Reads what is needed to reach the collector. Nothing is sent before [`Traces::export`].
    ///
    /// # Errors
    /// When the authorities that are to be trusted cannot be read.
    pub(crate) fn new(
        settings: &Settings,
        trusted_proxies: &[IpNet],
        (clock, random): (&Clock, &Random),
    ) -> Result<Arc<Self>, TlsError> {
        let (queue, waiting) = mpsc::channel(settings.queue_max);
        let share = u128::from(settings.sample_per_million) << 63;
        Ok(Arc::new(Self {
            clock: clock.clone(),
            random: random.clone(),
            parents: settings.parents,
            trusted_proxies: trusted_proxies.to_vec(),
            begins_below: u64::try_from(share / 1_000_000).unwrap_or(u64::MAX),
            queue,
            waiting: Mutex::new(Some(waiting)),
            counts: Counts::default(),
            collector: Collector::new(settings, clock)?,
            settings: settings.clone(),
        }))
    }

    /// Sends what comes, until `stop` turns true, and then what still waits.
    pub(crate) async fn export(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let waiting = self.waiting.lock().take();
        if let Some(waiting) = waiting {
            export::export(&self, waiting, stop).await;
        }
    }

    /// Whether this request is followed, and in which trace.
    fn thread(&self, request: &Request<Incoming>, peer: &Peer) -> Option<Thread> {
        let counts = match self.parents {
            Parents::Anybody => true,
            Parents::TrustedProxies => {
                is_trusted(peer.address.ip().to_canonical(), &self.trusted_proxies)
            }
            Parents::Nobody => false,
        };
        let parent = if counts { context::parent(request.headers()) } else { None };
        let trace_id = match &parent {
            Some(parent) => parent.is_sampled.then_some(parent.trace_id)?,
            None => self.begun()?,
        };
        let came = (self.clock.now(), Instant::now());
        Some(Thread { trace_id, span_id: self.random.bytes(), parent, came })
    }

    /// A trace that begins here, if one does. As OpenTelemetry has it, chance is the second half of
    /// the identifier, so that those who see the same trace with the same share agree.
    fn begun(&self) -> Option<[u8; 16]> {
        let trace_id: [u8; 16] = self.random.bytes();
        let (_, half) = trace_id.split_last_chunk::<8>()?;
        (u64::from_be_bytes(*half) >> 1 < self.begins_below).then_some(trace_id)
    }

    /// Takes a trip. Never waits.
    fn take(&self, trip: Trip) {
        if let Some(decided) = &trip.notes.decided {
            // This line leads from either name of the request to the other.
            let (reference, trace_id) =
                (decided.reference, spans::hexadecimal(&trip.thread.trace_id));
            match decided.outcome {
                Outcome::Accepted => {
                    tracing::debug!(%reference, trace_id, "a request is in a trace");
                }
                Outcome::Refused(_) | Outcome::Failed(_) => {
                    tracing::info!(%reference, trace_id, "a refused request is in a trace");
                }
            }
        }
        if self.queue.try_send(trip).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Everything that answers on the public listener, some of it followed.
pub(crate) struct Traced {
    front: Arc<Front>,
    traces: Arc<Traces>,
}

impl Traced {
    pub(crate) fn new(front: &Arc<Front>, traces: &Arc<Traces>) -> Arc<Self> {
        Arc::new(Self { front: Arc::clone(front), traces: Arc::clone(traces) })
    }
}

impl Answers for Traced {
    async fn answer(&self, request: &mut Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let Some(thread) = self.traces.thread(request, peer) else {
            return self.front.answer(request, peer).await;
        };
        let (method, route) = (known(request.method()), self.front.route(request));
        let journey = Arc::new(Journey::default());
        let response = follow(Arc::clone(&journey), self.front.answer(request, peer)).await;
        let (status, took) = (response.status().as_u16(), thread.came.1.elapsed());
        let notes = journey.notes();
        self.traces.take(Trip { thread, method, route, status, took, notes });
        response
    }
}

/// A method by name, if it is one that everybody knows: others could be any text.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn traces(section: &str) -> Arc<Traces> {
        let text = format!(
            "[traces]\nendpoint = \"http://127.0.0.1:1\"\n{section}\n[realm.main]\nissuer = \"http://localhost\"\n"
        );
        let config = crate::config::parse("t", &text, std::iter::empty(), Path::new("/x")).unwrap();
        let sources = (&Clock::System, &Random::seeded(1));
        Traces::new(&config.traces.unwrap(), &[], sources).unwrap()
    }

    #[test]
    fn the_share_of_traces_that_begin_is_the_configured_one() {
        for (sample, least, most) in
            [("0%", 0, 0), ("1%", 50, 150), ("50%", 4_800, 5_200), ("100%", 10_000, 10_000)]
        {
            let traces = traces(&format!("sample = \"{sample}\""));
            let begun = (0..10_000).filter(|_| traces.begun().is_some()).count();
            assert!((least..=most).contains(&begun), "{sample}: {begun}");
        }
    }

    #[test]
    fn what_does_not_fit_the_queue_is_dropped_and_counted() {
        let traces = traces("queue_max = 16");
        let came = (Time::from_seconds(0), Instant::now());
        let thread = Thread { trace_id: [1; 16], span_id: [2; 8], parent: None, came };
        for _ in 0..20 {
            let trip = Trip {
                thread: thread.clone(),
                method: "GET",
                route: None,
                status: 200,
                took: Duration::ZERO,
                notes: Notes::default(),
            };
            traces.take(trip);
        }
        assert_eq!(traces.counts.dropped.load(Ordering::Relaxed), 4);
    }
}
