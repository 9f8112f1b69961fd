//! Too many connections: thousands that are idle, and floods of them that come and go. Honest callers are
//! served meanwhile, memory is bounded, and all is as before when it is over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Terms;
use crate::cast::{Cast, Realm};
use crate::chance::Chance;
use crate::http::{Connection, Outcome, Request};
use crate::load::Load;
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::process::{allow_open_files, open_files, processor_time, resident};
use crate::report::Report;
use crate::requests;
use crate::tally::Tally;

/// A server, and honest callers.
struct Scene {
    node: Node,
    cast: Arc<Cast>,
    oracle: Arc<Oracle>,
    chance: Chance,
}

impl Scene {
    async fn set(terms: Terms, server: &str) -> Result<Self> {
        let mut chance = Chance::new(terms.seed);
        let place = Place::sqlite()?;
        let text = place.configuration()?.replacen("[server]\n", &format!("[server]\n{server}"), 1);
        place.configure(&text)?;
        let place = Arc::new(place);
        let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
        let node = Node::new(&place, 0)?;
        Ok(Self { node, cast, oracle: Arc::default(), chance })
    }

    /// Honest callers for so long, on connections of their own.
    async fn honest(&self, how_long: Duration, number: u64) -> Result<Arc<Tally>> {
        let mut load = Load::mixed(vec![Server::from(&self.node)], HONEST, usize::MAX);
        load.pause = Duration::from_millis(5);
        let running = load.start(&self.oracle, &self.cast, &self.chance.branch(number));
        sleep(how_long).await;
        running.stop().await
    }

    async fn check(&self, report: &mut Report) -> Result<()> {
        check(&self.oracle, &self.cast, &[Server::from(&self.node)], report).await
    }
}

/// How many honest callers there are.
const HONEST: usize = 8;
/// What honest callers may wait while others misbehave, 99 of 100 of them, however slow the machine.
const HONEST_WITHIN: Duration = Duration::from_millis(1500);

/// As many idle connections as there are places, and one more.
pub(crate) async fn idle(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let wanted = terms.pick(1_000, 10_000_usize);
    let files = usize::try_from(allow_open_files(u64::try_from(wanted)? + 500))?;
    if files < wanted + 200 {
        return Ok(Report::skipped(format!("only {files} files may be open here")));
    }
    let server = format!("connections_max = {wanted}\nidle_timeout = \"10min\"\n");
    let mut scene = Scene::set(terms, &server).await?;
    scene.node.start().await?;
    let before = scene.honest(terms.seconds(2, 15), 1).await?;
    let memory_before = resident(&scene.node)?;

    let request = Request::get("/jwt/.well-known/jwks.json", &[]);
    let mut idle = open_many(scene.node.public, wanted - HONEST, &request).await?;
    let memory_after = resident(&scene.node)?;
    let meanwhile = scene.honest(terms.seconds(2, 30), 2).await?;

    // Now the last places, and one more.
    idle.extend(open_many(scene.node.public, HONEST, &request).await?);
    let mut another = Connection::to(scene.node.public, Duration::from_millis(700));
    let waits = matches!(another.ask(&request).await, Outcome::Unanswered(_));
    let mut another = Connection::to(scene.node.public, Duration::from_secs(10));
    let began = Instant::now();
    let waiting = async {
        let outcome = another.ask(&request).await;
        (outcome, began.elapsed())
    };
    let leaving = async {
        sleep(Duration::from_millis(300)).await;
        // One place for the connection that gave up, and one for this one.
        idle.truncate(wanted - 2);
    };
    let ((outcome, took), ()) = tokio::join!(waiting, leaving);
    if !waits {
        report.broke("one connection more than there are places was served");
    }
    if !matches!(outcome, Outcome::Answered(answer) if answer.status == 200) {
        report.broke("a connection that waited was not served when a place was free");
    }
    if !scene.node.is_ready().await {
        report.broke("the admin listener does not answer");
    }
    let each =
        (memory_after.saturating_sub(memory_before)) * 1024 / u64::try_from(wanted - HONEST)?;
    report.figure("idle connections", wanted);
    report.figure("resident before, with them", format!("{memory_before}, {memory_after} KiB"));
    report.figure("resident for each", format!("{each} bytes"));
    if each > 32 * 1024 {
        report.broke(format!("an idle connection costs {each} bytes"));
    }
    report.latencies("answers before", &before.latencies());
    report.latencies("answers meanwhile", &meanwhile.latencies());
    report.must_be_within("99 of 100 meanwhile", meanwhile.latencies().share(0.99), HONEST_WITHIN);
    report.figure("served when a place was free", format!("after {} ms", took.as_millis()));
    drop(idle);
    scene.check(&mut report).await?;
    Ok(report)
}

/// Connections that each have had one answer.
async fn open_many(
    address: SocketAddr,
    count: usize,
    request: &Request,
) -> Result<Vec<Connection>> {
    let mut askers = JoinSet::new();
    for first in 0..16 {
        let request = request.clone();
        askers.spawn(async move {
            let mut open = Vec::new();
            for _ in (first..count).step_by(16) {
                let mut connection = Connection::to(address, Duration::from_secs(20));
                match connection.ask(&request).await {
                    Outcome::Answered(answer) if answer.status == 200 => open.push(connection),
                    other => bail!("an idle connection was not taken: {other:?}"),
                }
            }
            Ok(open)
        });
    }
    let mut all = Vec::new();
    while let Some(open) = askers.join_next().await {
        all.extend(open??);
    }
    Ok(all)
}

/// Connections that come and go as fast as they can: some say nothing, some ask once, each for another
/// invented source and with a wrong secret. And at last more of them than the server may have files open.
pub(crate) async fn flood(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let server = "trusted_proxies = [\"127.0.0.1/32\"]\nconnections_max = 10000\n";
    let mut scene = Scene::set(terms, server).await?;
    scene.node.start().await?;
    let before = scene.honest(terms.seconds(2, 15), 1).await?;
    let memory_before = resident(&scene.node)?;
    let flood = Flood::begin(&scene)?;
    let meanwhile = scene.honest(terms.seconds(4, 60), 2).await?;
    let (silent, asked) = flood.end().await?;
    let after = scene.honest(Duration::from_secs(1), 3).await?;
    let memory_after = resident(&scene.node)?;
    report.must_reach("connections that said nothing", silent, 200);
    report.must_reach("connections that asked once, each from elsewhere", asked, 200);
    report.figure("resident before, after", format!("{memory_before}, {memory_after} KiB"));
    if memory_after > memory_before + 64 * 1024 {
        report.broke("the flood has left more than 64 MiB behind");
    }
    report.latencies("answers before", &before.latencies());
    report.latencies("answers meanwhile", &meanwhile.latencies());
    report.latencies("answers at once after it", &after.latencies());
    report.must_be_within("99 of 100 meanwhile", meanwhile.latencies().share(0.99), HONEST_WITHIN);
    report.must_be_zero(
        "honest requests without an answer",
        meanwhile.unanswered_count(),
        &meanwhile.examples(),
    );
    without_files(&mut scene, &mut report).await?;
    scene.check(&mut report).await?;
    Ok(report)
}

/// More connections than the server may have files open: it does not spin, and goes on when they are gone.
async fn without_files(scene: &mut Scene, report: &mut Report) -> Result<()> {
    const FILES: usize = 128;
    scene.node.kill().await?;
    let limit = ["prlimit".to_owned(), format!("--nofile={FILES}:{FILES}")];
    scene.node.enter(limit.to_vec(), scene.node.public, scene.node.admin);
    scene.node.start().await?;
    let mut silent = Vec::new();
    for _ in 0..FILES * 2 {
        silent.push(timeout(Duration::from_secs(5), TcpStream::connect(scene.node.public)).await??);
    }
    sleep(Duration::from_millis(300)).await;
    let open = open_files(&scene.node)?;
    let began = (Instant::now(), processor_time(&scene.node)?);
    sleep(Duration::from_secs(2)).await;
    let busy = processor_time(&scene.node)?.saturating_sub(began.1);
    let share = busy.as_secs_f64() / began.0.elapsed().as_secs_f64();
    report.figure("files that it has open, all that it may", open);
    report.figure("of a processor while none is left", format!("{:.0} %", share * 100.0));
    if share > 0.25 {
        report.broke("it spins while no file can be opened");
    }
    drop(silent);
    let began = Instant::now();
    let client = scene.cast.with_secret(Realm::Stored).first().copied().context("nobody")?;
    let request = requests::token(scene.cast.client(client)?);
    let patience = Duration::from_secs(10);
    let outcome = Connection::to(scene.node.public, patience).ask(&request).await;
    if !matches!(&outcome, Outcome::Answered(answer) if answer.status == 200) {
        report.broke(format!("not served when files could be opened again: {outcome:?}"));
    }
    report.must_be_within("served again", began.elapsed(), Duration::from_secs(2));
    Ok(())
}

/// A flood that runs.
struct Flood {
    stop: Arc<AtomicBool>,
    silent: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    floods: JoinSet<()>,
}

impl Flood {
    fn begin(scene: &Scene) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (silent, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let client = scene.cast.with_secret(Realm::Jwt).first().copied().context("nobody")?;
        let id = scene.cast.client(client)?.id.clone();
        let mut floods = JoinSet::new();
        for number in 0..8 {
            let mut chance = scene.chance.branch(100 + number);
            let (stop, id, address) = (Arc::clone(&stop), id.clone(), scene.node.public);
            let (silent, asked) = (Arc::clone(&silent), Arc::clone(&asked));
            floods.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        if TcpStream::connect(address).await.is_ok() {
                            silent.fetch_add(1, Ordering::Relaxed);
                        }
                    } else if ask_from_anywhere(address, &id, &mut chance).await.is_ok() {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        Ok(Self { stop, silent, asked, floods })
    }

    async fn end(mut self) -> Result<(usize, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.floods.join_next().await {
            done?;
        }
        Ok((self.silent.load(Ordering::Relaxed), self.asked.load(Ordering::Relaxed)))
    }
}

/// Asks with a wrong secret, as a proxy would that has the request from any address there may be, and does
/// not wait for the answer in half of all cases.
async fn ask_from_anywhere(address: SocketAddr, id: &str, chance: &mut Chance) -> Result<()> {
    let [a, b, c] = [(); 3].map(|()| chance.below(0x1_0000));
    let source = format!("2001:db8:{a:x}:{b:x}::{c:x}");
    let secret = format!("wrong-{a}-{b}-{c}");
    let fields =
        [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", &secret)];
    let request = Request::form("/jwt/oauth2/token", &[("X-Forwarded-For", &source)], &fields);
    if chance.below(2) == 0 {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&request.0).await?;
        return Ok(());
    }
    match Connection::to(address, Duration::from_secs(5)).ask(&request).await {
        Outcome::Answered(answer) if answer.status != 200 => Ok(()),
        other => bail!("{other:?}"),
    }
}
