//! Measuring one server beside the floor: in turns, so that whatever the machine does befalls both.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::certificates::Certificates;
use crate::floor::BODY;
use crate::load::{Connections, Expected, Histogram, Keep, Outcome, Pace, Plan, Target, run};
use crate::machine::{median, spread};
use crate::process::{Process, free_address};
use crate::requests::{Choice, Requests, request};
use crate::wrk::{ByWrk, Repeated};

/// Where servers run. The load generator has the other core.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const GENERATOR_CORE: usize = 1;
/// The share of what a server did at most that is asked of it while latencies are taken.
const OPEN_SHARE: f64 = 0.7;
/// Of a run's answers, so many are looked at closely.
const KEEP: Keep = Keep { most: 16, one_in: 509 };

/// How long things are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lengths {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// Of the run at a fixed rate.
    pub(crate) open: Duration,
}

impl Lengths {
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        warm_up: Duration::from_millis(300),
        window: Duration::from_millis(2000),
        open: Duration::from_millis(4000),
    };
    pub(crate) const QUICK: Self = Self {
        rounds: 3,
        warm_up: Duration::from_millis(200),
        window: Duration::from_millis(700),
        open: Duration::from_millis(1000),
    };

    /// With another number of rounds, and windows of so many seconds.
    ///
    /// # Errors
    /// When they are too few or too short to tell anything.
    pub(crate) fn with(self, rounds: Option<usize>, seconds: Option<f64>) -> anyhow::Result<Self> {
        let mut lengths = self;
        lengths.rounds = rounds.unwrap_or(self.rounds);
        if let Some(seconds) = seconds {
            if !(0.1..=600.0).contains(&seconds) {
                bail!("--seconds is from 0.1 to 600");
            }
            lengths.window = Duration::from_secs_f64(seconds);
            lengths.open = 2 * lengths.window;
        }
        if lengths.rounds == 0 {
            bail!("--rounds is at least 1");
        }
        Ok(lengths)
    }

    /// How long a row takes with the floor's turns.
    pub(crate) fn row(self) -> Duration {
        2 * self.rounds as u32 * (self.warm_up + self.window) + self.warm_up + self.open
    }
}

/// A server that answers, and how it is asked.
pub(crate) struct Subject<'a> {
    pub(crate) process: &'a Process,
    pub(crate) target: Target,
    pub(crate) count: usize,
    pub(crate) connections: Connections,
    pub(crate) expected: Expected,
    pub(crate) requests: Requests,
}

/// One run of the load generator, and what it cost the server.
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    /// Processor time of the server while it was counted.
    pub(crate) cpu_seconds: f64,
    /// What it had in memory at the end, with every connection open.
    pub(crate) resident_bytes: u64,
}

impl Run {
    fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / (self.outcome.answered.max(1)) as f64
    }
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Self {
        let milliseconds = |share| histogram.quantile(share).as_secs_f64() * 1e3;
        Self { p50: milliseconds(0.5), p99: milliseconds(0.99), p999: milliseconds(0.999) }
    }
}

/// What came of measuring a row.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// Median of the rounds.
    pub(crate) per_second: f64,
    pub(crate) floor_per_second: f64,
    /// Of the floor's requests per second in the same round: the median, and how much the rounds differ.
    pub(crate) share: f64,
    pub(crate) share_spread: f64,
    /// Processor time of the server for a request.
    pub(crate) cpu_us: f64,
    pub(crate) floor_cpu_us: f64,
    /// How much of its core the server used; under 0.95 something else was the limit.
    pub(crate) busy: f64,
    pub(crate) floor_busy: f64,
    /// At the most it does.
    pub(crate) closed: Latency,
    /// At a fixed rate, and which.
    pub(crate) open: Latency,
    pub(crate) open_per_second: f64,
    pub(crate) late: u64,
    pub(crate) resident_mib: f64,
    /// Requests that had to be made while the clock ran.
    pub(crate) made_late: u64,
    /// Every round's rate of the floor.
    pub(crate) floors: Vec<f64>,
    /// What the disk took for an fsync between the rounds, where answers wait for it; milliseconds.
    pub(crate) fsync: Option<f64>,
    /// Microseconds of this processor for the row's own step.
    pub(crate) step_us: Option<f64>,
    /// The same by wrk, where that was asked for.
    pub(crate) wrk: Option<Repeated>,
    #[serde(skip)]
    pub(crate) bodies: Vec<Vec<u8>>,
}

/// Keeps this thread to the core that servers leave free.
///
/// # Errors
/// When the machine has only one core.
pub(crate) fn take_core() -> anyhow::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(GENERATOR_CORE);
    rustix::thread::sched_setaffinity(None, &cores)
        .context("the load generator needs a second core")
}

/// The floor, running.
pub(crate) struct Floor {
    process: Process,
    target: Target,
}

impl Floor {
    /// Starts it; over TLS where certificates are given.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(folder: &Path, tls: Option<&Certificates>) -> anyhow::Result<Self> {
        let address = free_address()?;
        let program = std::env::current_exe()?.display().to_string();
        let (listen, files) = (address.to_string(), folder.join("tls").display().to_string());
        let mut command = vec![program.as_str(), "floor", "--listen", &listen];
        if tls.is_some() {
            command.extend(["--tls", &files]);
        }
        let mut process = Process::start(SERVER_CORE, &command, &folder.join("floor.log"))?;
        process.listens(address, Duration::from_secs(10))?;
        let tls = tls.map(|certificates| certificates.client(false)).transpose()?;
        Ok(Self { process, target: Target { address, tls } })
    }

    pub(crate) fn subject(&self, connections: Connections) -> Subject<'_> {
        Subject {
            process: &self.process,
            target: self.target.clone(),
            count: 64,
            connections,
            expected: Expected { status: 200, begins: BODY.as_bytes().to_vec() },
            requests: Requests::again(vec![floor_request(self.target.address)], Choice::Uniform),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// A token request of the usual length.
fn floor_request(address: SocketAddr) -> Vec<u8> {
    let body = concat!(
        r#"{"grant_type":"client_credentials","client_id":"client-000003","#,
        r#""client_secret":"vQ0Wn1h6VdoEwQ6C6ZbCk4yvX4z5v6p6m3m0Q8x2S3c"}"#
    );
    let host = address.to_string();
    request("POST", "/floor", &host, &["Content-Type: application/json"], body)
}

/// Measures a subject in turns with the floor (and, where that is wanted, both by wrk), then once at a fixed
/// rate. `refill` makes requests that are good once ready for so many.
pub(crate) fn measure(
    subject: &mut Subject<'_>,
    floor: &Floor,
    lengths: Lengths,
    mut by_wrk: Option<ByWrk>,
    refill: &mut dyn FnMut(&mut Requests, usize) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let mut beside = floor.subject(Connections::Kept);
    let (mut floors, mut runs) = (Vec::new(), Vec::new());
    let seconds = (lengths.warm_up + lengths.window).as_secs_f64();
    // What it does at most is not known yet: nothing that is good once is done as fast as this.
    let mut expected_rate = 30_000.0;
    for _ in 0..lengths.rounds {
        floors.push(load(&mut beside, Pace::Closed, lengths.warm_up, lengths.window)?);
        refill(&mut subject.requests, (expected_rate * seconds) as usize)?;
        let run = load(subject, Pace::Closed, lengths.warm_up, lengths.window)?;
        expected_rate = run.outcome.per_second() * 1.3;
        runs.push(run);
        if let Some(by_wrk) = &mut by_wrk {
            by_wrk.round(subject, &beside, lengths.window)?;
        }
    }
    let rates: Vec<f64> = runs.iter().map(|run| run.outcome.per_second()).collect();
    let rate = median(&rates) * OPEN_SHARE;
    let open = lengths.warm_up + lengths.open;
    refill(&mut subject.requests, (rate * open.as_secs_f64() * 1.1) as usize)?;
    let open = load(subject, Pace::Open(rate), lengths.warm_up, lengths.open)?;
    let wrk = by_wrk.as_ref().map(ByWrk::found);
    Ok(Measured { wrk, ..summary(subject, &floors, runs, &open, rate) })
}

fn summary(
    subject: &Subject<'_>,
    floors: &[Run],
    runs: Vec<Run>,
    open: &Run,
    open_per_second: f64,
) -> Measured {
    let rates = |runs: &[Run]| runs.iter().map(|run| run.outcome.per_second()).collect::<Vec<_>>();
    let costs = |runs: &[Run]| runs.iter().map(Run::cpu_us).collect::<Vec<_>>();
    let busy = |runs: &[Run]| {
        median(&runs.iter().map(|run| run.cpu_seconds / run.outcome.seconds).collect::<Vec<_>>())
    };
    let (own, beside) = (rates(&runs), rates(floors));
    let ratios: Vec<f64> = own.iter().zip(&beside).map(|(own, floor)| own / floor).collect();
    let mut latency = Histogram::new();
    for run in &runs {
        latency.merge(&run.outcome.latency);
    }
    Measured {
        per_second: median(&own),
        floor_per_second: median(&beside),
        share: median(&ratios),
        share_spread: spread(&ratios),
        cpu_us: median(&costs(&runs)),
        floor_cpu_us: median(&costs(floors)),
        busy: busy(&runs),
        floor_busy: busy(floors),
        closed: Latency::of(&latency),
        open: Latency::of(&open.outcome.latency),
        open_per_second,
        late: open.outcome.late,
        resident_mib: subject.process.usage().resident_bytes as f64 / (1024.0 * 1024.0),
        made_late: subject.requests.made_late(),
        floors: beside,
        fsync: None,
        step_us: None,
        wrk: None,
        bodies: runs.into_iter().flat_map(|run| run.outcome.bodies).collect(),
    }
}

/// One run. A single answer that is not as expected fails it: a refusal that comes quickly is no speed.
pub(crate) fn load(
    subject: &mut Subject<'_>,
    pace: Pace,
    warm_up: Duration,
    window: Duration,
) -> anyhow::Result<Run> {
    load_keeping(subject, pace, (warm_up, window), KEEP)
}

fn load_keeping(
    subject: &mut Subject<'_>,
    pace: Pace,
    (warm_up, window): (Duration, Duration),
    keep: Keep,
) -> anyhow::Result<Run> {
    let plan = Plan {
        target: subject.target.clone(),
        count: subject.count,
        connections: subject.connections,
        pace,
        warm_up,
        window,
        keep,
    };
    let process = subject.process;
    let mut used = Vec::new();
    let mut at_edge = || used.push(process.usage());
    let outcome = run(&plan, &mut subject.requests, &subject.expected, &mut at_edge)?;
    if let Some(first) = &outcome.first_wrong {
        bail!("{} answers were not as expected; the first: {first}", outcome.wrong);
    }
    if outcome.answered == 0 {
        bail!("there was no answer within {window:?}");
    }
    let [before, after] = used[..] else { bail!("the load had no end") };
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    Ok(Run { outcome, cpu_seconds, resident_bytes: after.resident_bytes })
}

/// Asks until there are so many answers; their bodies.
pub(crate) fn harvest(subject: &mut Subject<'_>, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::with_capacity(count);
    let end = Instant::now() + Duration::from_secs(120);
    while bodies.len() < count {
        if Instant::now() > end {
            bail!("{count} tokens could not be had within two minutes");
        }
        let keep = Keep { most: count - bodies.len(), one_in: 1 };
        let times = (Duration::ZERO, Duration::from_millis(500));
        bodies.extend(load_keeping(subject, Pace::Closed, times, keep)?.outcome.bodies);
    }
    Ok(bodies)
}
