//! One run: which rows are measured on which server, what is checked, and what is told at the end.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::alone;
use crate::asks::{Asker, token};
use crate::certificates::Certificates;
use crate::figures;
use crate::kit::{Ingredients, Kit};
use crate::load::{Connections, Expected, Pace, Target};
use crate::machine::{Snapshot, description, fsync, median, noise};
use crate::measure::{
    Floor, Lengths, Measured, SERVER_CORE, Subject, harvest, load, measure, take_core,
};
use crate::peers::{self, Peer};
use crate::process::Process;
use crate::report::{Line, Report};
use crate::requests::{Choice, Requests};
use crate::rows::{Ask, Row, Server, Set, Store, Tokens, choose, read};
use crate::tokens;
use crate::wrk::{self, ByWrk};

/// What a row takes beside what is measured: starting, tokens, looking at some of them.
const BETWEEN: Duration = Duration::from_secs(4);
/// What it takes to make so many clients, and the figures that are no rows.
const CROWD: Duration = Duration::from_secs(40);
const MANY: usize = 100_000;
const FIGURES: Duration = Duration::from_secs(150);
const SOAK_MINUTES: u64 = 10;
/// How much of its core the floor must use at least; otherwise the load generator was the limit.
const FLOOR_BUSY: f64 = 0.97;

/// What to measure, and with what.
#[derive(clap::Args)]
pub(crate) struct RunArguments {
    /// Rows and peers by name, `figures` for those that are no rows, `soak` for ten minutes of load; all but
    /// the last when left out.
    names: Vec<String>,
    /// A few rows, in about a minute.
    #[arg(long)]
    quick: bool,
    /// Tell the rows, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Only rows of jeton's: no peers, no start, no memory, no second core.
    #[arg(long)]
    rows_only: bool,
    /// Also load one server for so many minutes, and tell how its memory grows.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Where peers are installed, and kept.
    #[arg(long, default_value = ".cache/tools/peers")]
    tools: PathBuf,
    /// The program that is measured.
    #[arg(long, default_value = "target/release/jeton")]
    jeton: PathBuf,
    /// A PostgreSQL for the rows that need one; its tables are made, and left.
    #[arg(long, env = "JETON_TEST_POSTGRES")]
    postgresql: Option<String>,
    /// Write everything here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Keep databases below this folder, to measure another disk.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Rounds of each row; 5, or 3 with --quick.
    #[arg(long, value_name = "COUNT")]
    rounds: Option<usize>,
    /// How long a round counts; 2, or 0.7 with --quick. Latencies are taken for twice as long.
    #[arg(long)]
    seconds: Option<f64>,
    /// Also repeat by wrk each row that it can make, to compare the two load generators.
    #[arg(long)]
    wrk: bool,
}

impl RunArguments {
    fn lengths(&self) -> anyhow::Result<Lengths> {
        let lengths = if self.quick { Lengths::QUICK } else { Lengths::FULL };
        lengths.with(self.rounds, self.seconds)
    }
}

/// Measures what was asked for.
pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    let rows = read(include_str!("../rows.toml"))?;
    let peers = peers::all()?;
    if arguments.list {
        rows.iter().for_each(|row| println!("{:<20} {}", row.name, row.title));
        peers.iter().for_each(|(name, peer)| println!("{name:<20} {}", peer.title));
        return Ok(());
    }
    let everything = arguments.names.is_empty() && !arguments.quick && !arguments.rows_only;
    let named = |word: &str| arguments.names.iter().any(|name| name == word);
    let figures = everything || named("figures");
    let soak = arguments.soak.or(named("soak").then_some(SOAK_MINUTES));
    let names = arguments.names.iter().filter(|name| !["figures", "soak"].contains(&name.as_str()));
    let (peer_names, names): (Vec<String>, Vec<String>) =
        names.cloned().partition(|name| peers.iter().any(|(it, _)| it == name));
    // A peer brings along the rows that it stands beside.
    let chosen = peers.iter().filter(|(name, _)| peer_names.contains(name));
    let beside = chosen.flat_map(|(_, peer)| peer.rows()).map(|row| row.beside.clone());
    let names: Vec<String> = names.into_iter().chain(beside).collect();
    let no_rows = names.is_empty() && !arguments.names.is_empty();
    let rows = if no_rows { Vec::new() } else { choose(rows, &names, arguments.quick)? };
    let jeton = fs::canonicalize(&arguments.jeton).with_context(|| {
        format!("{} is built by `cargo build --release`", arguments.jeton.display())
    })?;
    let machine = description();
    take_core()?;
    let mut session = Session::begin(arguments, jeton)?;
    let peers: Vec<&(String, Peer)> =
        peers.iter().filter(|(name, _)| everything || peer_names.contains(name)).collect();
    let expected = session.expected(&rows, &peers, if figures { FIGURES } else { Duration::ZERO });
    eprint!("{} rows, {} peers: about {expected}\n\n{}", rows.len(), peers.len(), Report::head());
    for row in &rows {
        session.row(row);
    }
    if figures {
        figures::take(&mut session)?;
    }
    if let Some(minutes) = soak {
        figures::soak(&mut session, minutes)?;
    }
    for (name, peer) in peers {
        session.peer(name, peer, &arguments.tools)?;
    }
    session.end();
    println!("\n{}", session.report.table());
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&session.report.json(&machine))?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// A run under way.
pub(crate) struct Session {
    folder: tempfile::TempDir,
    jeton: PathBuf,
    postgresql: Option<String>,
    lengths: Lengths,
    peer_lengths: Lengths,
    wrk: bool,
    kits: HashMap<(Store, usize), Kit>,
    floor: Floor,
    floors: Vec<f64>,
    began: Snapshot,
    ours: Vec<u32>,
    pub(crate) report: Report,
}

impl Session {
    fn begin(arguments: &RunArguments, jeton: PathBuf) -> anyhow::Result<Self> {
        let folder = match &arguments.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir()?,
        };
        let place = folder.path().join("floor");
        fs::create_dir(&place)?;
        let floor = Floor::start(&place, None)?;
        let lengths = arguments.lengths()?;
        Ok(Self {
            jeton,
            postgresql: arguments.postgresql.clone(),
            lengths,
            // Some answer in half a second: short windows would find nothing.
            peer_lengths: Lengths { window: lengths.window.max(Lengths::FULL.window), ..lengths },
            wrk: arguments.wrk,
            kits: HashMap::new(),
            floors: Vec::new(),
            began: Snapshot::take(),
            ours: vec![floor.id()],
            floor,
            folder,
            report: Report::default(),
        })
    }

    /// How long a run will take, for whoever waits; `more` is what comes beside rows and peers.
    fn expected(&self, rows: &[Row], peers: &[&(String, Peer)], more: Duration) -> String {
        let one = |lengths: Lengths| lengths.row() + if self.wrk { lengths.row() } else { BETWEEN };
        let mut whole = more + one(self.lengths) * rows.len() as u32;
        if rows.iter().any(|row| row.clients >= MANY) {
            whole += CROWD;
        }
        for (_, peer) in peers {
            whole += peer.start_takes() + one(self.peer_lengths) * peer.rows().len() as u32;
        }
        match whole.as_secs() {
            seconds @ ..100 => format!("{seconds} seconds"),
            seconds => format!("{} minutes", seconds.div_ceil(60)),
        }
    }

    /// Measures one row, and tells at once what was found. What goes wrong with it is told in its place.
    fn row(&mut self, row: &Row) {
        eprintln!("{}: {}", row.name, row.title);
        let measured = match row.server {
            Server::Floor => self.floor_row(row),
            Server::Jeton => self.jeton_row(row),
        };
        match measured {
            Ok(measured) => {
                self.floors.extend(&measured.floors);
                self.report.add(row, measured);
            }
            Err(error) => {
                self.report.push(Line::without(&row.name, &row.title, format!("{error:#}")));
            }
        }
    }

    fn floor_row(&mut self, row: &Row) -> anyhow::Result<Measured> {
        let other;
        let subject = if row.tls {
            let place = self.folder.path().join(format!("floor-{}", row.name));
            fs::create_dir_all(&place)?;
            let certificates = Certificates::make(&place)?;
            other = Floor::start(&place, Some(&certificates))?;
            self.ours.push(other.id());
            other.subject(row.connections)
        } else {
            self.floor.subject(row.connections)
        };
        let mut subject = subject;
        let wrk = self.by_wrk(row, &subject)?;
        measure(&mut subject, &self.floor, self.lengths, wrk, &mut |_, _| Ok(()))
    }

    /// The same by wrk, where that is wanted and wrk can do it.
    fn by_wrk(&self, row: &Row, subject: &Subject<'_>) -> anyhow::Result<Option<ByWrk>> {
        // It asks in turns: it knows no other choice.
        let can = row.choice == Choice::Uniform && wrk::can(subject);
        let prepare = || ByWrk::prepare(subject, &self.floor, self.folder.path());
        (self.wrk && can).then(prepare).transpose()
    }

    fn jeton_row(&mut self, row: &Row) -> anyhow::Result<Measured> {
        let (lengths, key) = (self.lengths, (row.store, row.clients));
        self.kit(key.0, key.1)?;
        let kit = self.kits.get(&key).context("the kit was made a moment ago")?;
        let process = kit.serve(SERVER_CORE, row.tls)?;
        self.ours.push(process.id());
        let bench = Bench { kit, row, process: &process };
        bench.prime()?;
        let mut subject = bench.subject()?;
        let mut disk = Vec::new();
        let mut refill = |requests: &mut Requests, count: usize| {
            if row.durable {
                disk.push(fsync(self.folder.path())?.0.as_secs_f64() * 1e3);
            }
            bench.refill(requests, count)
        };
        let wrk = self.by_wrk(row, &subject)?;
        let measured = measure(&mut subject, &self.floor, lengths, wrk, &mut refill)?;
        tokens::check(&bench, &measured.bodies)?;
        Ok(Measured {
            fsync: row.durable.then(|| median(&disk)),
            step_us: row.step.map(alone::step).transpose()?,
            ..measured
        })
    }

    /// Measures a peer's rows. One that cannot be had is told with the reason.
    fn peer(&mut self, name: &str, peer: &Peer, tools: &Path) -> anyhow::Result<()> {
        eprintln!(
            "{name}: {}, about {} s to start and warm up",
            peer.title,
            peer.start_takes().as_secs()
        );
        fs::create_dir_all(tools)?;
        let tools = fs::canonicalize(tools)?.join(name);
        let data = tempfile::tempdir_in(self.folder.path())?;
        let running = match peer.start(&tools, data.path()) {
            Ok(running) => running,
            Err(error) => {
                self.report.push(Line::without(name, &peer.title, format!("{error:#}")));
                return Ok(());
            }
        };
        self.ours.extend(running.process.family());
        for row in peer.rows() {
            let measured = running.measure(row, &self.floor, self.peer_lengths);
            let line = match measured {
                Ok(measured) => {
                    self.floors.extend(&measured.floors);
                    self.report.peer(row, measured)
                }
                Err(error) => Line::without(&row.name, &row.does, format!("{error:#}")),
            };
            self.report.push(line);
        }
        Ok(())
    }

    /// Makes a kit, unless there is one.
    pub(crate) fn kit(&mut self, store: Store, clients: usize) -> anyhow::Result<&Kit> {
        if store == Store::Postgresql && self.postgresql.is_none() {
            bail!("there is no PostgreSQL: give --postgresql URL, or let bench/run start one");
        }
        let key = (store, clients);
        if !self.kits.contains_key(&key) {
            let folder = tempfile::tempdir_in(self.folder.path())?.keep();
            let postgresql = self.postgresql.as_deref();
            let kit =
                Kit::make(Ingredients { jeton: &self.jeton, folder, store, postgresql, clients })?;
            self.kits.insert(key, kit);
        }
        self.kits.get(&key).context("the kit was made a moment ago")
    }

    fn end(&mut self) {
        self.report.warnings.extend(noise(&self.floors));
        let beside = self.postgresql.iter().map(|_| "postgres").collect::<Vec<_>>();
        self.report.warnings.extend(self.began.disturbances(&self.ours, &beside));
        let busy: Vec<&Measured> =
            self.report.lines.iter().filter_map(|line| line.measured.as_ref()).collect();
        if busy.iter().any(|measured| measured.floor_busy < FLOOR_BUSY) {
            let text = "the floor left some of its core unused: the load generator was the limit, shares are too good";
            self.report.warnings.push(text.to_owned());
        }
    }
}

/// One row on one running server.
pub(crate) struct Bench<'a> {
    pub(crate) kit: &'a Kit,
    pub(crate) row: &'a Row,
    pub(crate) process: &'a Process,
}

impl<'a> Bench<'a> {
    pub(crate) fn asker(&self) -> Asker<'a> {
        Asker { kit: self.kit, row: self.row }
    }

    pub(crate) fn with(
        &self,
        requests: Requests,
        expected: Expected,
    ) -> anyhow::Result<Subject<'a>> {
        let shows = self.row.ask == Ask::Certificate;
        let tls = self.row.tls.then(|| self.kit.certificates.client(shows)).transpose()?;
        Ok(Subject {
            process: self.process,
            target: Target { address: self.kit.address, tls },
            count: self.row.count,
            connections: self.row.connections,
            expected,
            requests,
        })
    }

    /// What is measured.
    pub(crate) fn subject(&self) -> anyhow::Result<Subject<'a>> {
        let tokens = match (self.row.ask, self.row.tokens) {
            (Ask::Introspect | Ask::Verify, Tokens::Again) => self.tokens(100)?,
            _ => Vec::new(),
        };
        let requests = self.asker().requests(tokens)?;
        let begins = self.row.begins.as_bytes().to_vec();
        self.with(requests, Expected { status: self.row.status, begins })
    }

    /// Lets clients whose secrets are hashed slowly pay for their first request, one after the other.
    fn prime(&self) -> anyhow::Result<()> {
        if self.row.set == Set::Supplied {
            let mut subject = self.subject()?;
            subject.count = 1;
            load(&mut subject, Pace::Closed, Duration::ZERO, Duration::from_secs(3))?;
        }
        Ok(())
    }

    /// So many fresh tokens of the row's realm.
    pub(crate) fn tokens(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let expected = Expected { status: 200, begins: b"{".to_vec() };
        let mut subject = self.with(self.asker().for_tokens(), expected)?;
        subject.connections = Connections::Kept;
        let bodies = harvest(&mut subject, count)?;
        Ok(bodies.iter().filter_map(|body| token(body)).collect())
    }

    fn refill(&self, requests: &mut Requests, count: usize) -> anyhow::Result<()> {
        if self.row.tokens == Tokens::First {
            // Whatever is left of the last round has not been seen either.
            *requests = self.asker().requests(self.tokens(count)?)?;
        }
        requests.prepare(count);
        Ok(())
    }
}
