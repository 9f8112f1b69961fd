//! One run: which rows are measured on which server, what is checked, and what is told at the end.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::asks::{Asker, token};
use crate::certificates::Certificates;
use crate::figures;
use crate::kit::{Ingredients, Kit};
use crate::load::{Connections, Expected, Pace, Target};
use crate::machine::{Snapshot, description, fsync, noise};
use crate::measure::{
    Floor, Lengths, Measured, SERVER_CORE, Subject, harvest, load, measure, take_core,
};
use crate::peers::{self, Peer};
use crate::process::Process;
use crate::report::{Line, Report};
use crate::requests::Requests;
use crate::rows::{Ask, Row, Server, Set, Store, Tokens, choose, read};

/// What to measure, and with what.
#[derive(clap::Args)]
pub(crate) struct RunArguments {
    /// Rows and peers by name; all when left out.
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
    let (peer_names, names): (Vec<String>, Vec<String>) =
        arguments.names.iter().cloned().partition(|name| peers.iter().any(|(it, _)| it == name));
    let only_peers = names.is_empty() && !peer_names.is_empty();
    let rows = if only_peers { Vec::new() } else { choose(rows, &names, arguments.quick)? };
    let jeton = fs::canonicalize(&arguments.jeton).with_context(|| {
        format!("{} is built by `cargo build --release`", arguments.jeton.display())
    })?;
    let machine = description();
    take_core()?;
    let mut session = Session::begin(arguments, jeton)?;
    for row in &rows {
        session.row(row);
    }
    if everything {
        figures::take(&mut session)?;
    }
    if let Some(minutes) = arguments.soak {
        figures::soak(&mut session, minutes)?;
    }
    for (name, peer) in &peers {
        if everything || peer_names.contains(name) {
            session.peer(name, peer, &arguments.tools)?;
        }
    }
    session.end();
    println!("{}", session.report.table());
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
        Ok(Self {
            jeton,
            postgresql: arguments.postgresql.clone(),
            lengths: if arguments.quick { Lengths::QUICK } else { Lengths::FULL },
            kits: HashMap::new(),
            floors: Vec::new(),
            began: Snapshot::take(),
            ours: vec![floor.id()],
            floor,
            folder,
            report: Report::default(),
        })
    }

    /// Measures one row. What goes wrong with it is told in its place.
    fn row(&mut self, row: &Row) {
        eprintln!("{}: {}", row.name, row.title);
        let measured = match row.server {
            Server::Floor => self.floor_row(row),
            Server::Jeton => self.jeton_row(row),
        };
        match measured {
            Ok((measured, fsync)) => {
                self.floors.extend(&measured.floors);
                self.report.add(row, measured, fsync);
            }
            Err(error) => {
                self.report.lines.push(Line::without(&row.name, &row.title, format!("{error:#}")));
            }
        }
    }

    fn floor_row(&mut self, row: &Row) -> anyhow::Result<(Measured, f64)> {
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
        Ok((measure(&mut subject, &self.floor, self.lengths, &mut |_, _| Ok(()))?, 0.0))
    }

    fn jeton_row(&mut self, row: &Row) -> anyhow::Result<(Measured, f64)> {
        let fsync =
            if row.durable { fsync(self.folder.path())?.0.as_secs_f64() * 1e3 } else { 0.0 };
        let (lengths, key) = (self.lengths, (row.store, row.clients));
        self.kit(key.0, key.1)?;
        let kit = self.kits.get(&key).context("the kit was made a moment ago")?;
        let process = kit.serve(SERVER_CORE, row.tls)?;
        self.ours.push(process.id());
        let bench = Bench { kit, row, process: &process };
        bench.prime()?;
        let mut subject = bench.subject()?;
        let mut refill = |requests: &mut Requests, count: usize| bench.refill(requests, count);
        let measured = measure(&mut subject, &self.floor, lengths, &mut refill)?;
        bench.verify(&measured.bodies)?;
        Ok((measured, fsync))
    }

    /// Measures a peer's rows. One that cannot be had is told with the reason.
    fn peer(&mut self, name: &str, peer: &Peer, tools: &Path) -> anyhow::Result<()> {
        eprintln!("{name}: {}", peer.title);
        fs::create_dir_all(tools)?;
        let tools = fs::canonicalize(tools)?.join(name);
        let data = tempfile::tempdir_in(self.folder.path())?;
        let running = match peer.start(&tools, data.path()) {
            Ok(running) => running,
            Err(error) => {
                let line = Line::without(name, &peer.title, format!("{error:#}"));
                self.report.lines.push(line);
                return Ok(());
            }
        };
        self.ours.extend(running.process.family());
        for row in peer.rows() {
            // Some answer in half a second: short windows would find nothing.
            let measured = running.measure(row, &self.floor, Lengths::FULL);
            let line = match measured {
                Ok(measured) => {
                    self.floors.extend(&measured.floors);
                    self.report.peer(row, measured)
                }
                Err(error) => Line::without(&row.name, &row.does, format!("{error:#}")),
            };
            self.report.lines.push(line);
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
        self.report.warnings.extend(self.began.disturbances(&self.ours));
        let busy: Vec<&Measured> =
            self.report.lines.iter().filter_map(|line| line.measured.as_ref()).collect();
        if busy.iter().any(|measured| measured.floor_busy < 0.95) {
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
    fn asker(&self) -> Asker<'a> {
        Asker { kit: self.kit, row: self.row }
    }

    fn with(&self, requests: Requests, expected: Expected) -> anyhow::Result<Subject<'a>> {
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
    fn tokens(&self, count: usize) -> anyhow::Result<Vec<String>> {
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

    /// Introspects the tokens of some answers: each must be active.
    fn verify(&self, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
        let tokens: Vec<String> = bodies.iter().filter_map(|body| token(body)).collect();
        if tokens.is_empty() {
            return Ok(());
        }
        let row = Row { ask: Ask::Introspect, tokens: Tokens::Again, ..self.row.clone() };
        let bench = Bench { kit: self.kit, row: &row, process: self.process };
        let requests = bench.asker().requests(tokens)?;
        let expected = Expected { status: 200, begins: br#"{"active":true"#.to_vec() };
        let mut subject = bench.with(requests, expected)?;
        subject.count = 1;
        subject.connections = Connections::Kept;
        let run = load(&mut subject, Pace::Closed, Duration::ZERO, Duration::from_millis(50));
        run.map(drop).context("a token that was given out is no good")
    }
}
