//! The database goes and comes back: restarted in every way, behind a pooler, replaced by its standby. What
//! cannot be kept is refused meanwhile, what needs no database goes on, and nothing acknowledged is lost.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::database::{Database, Which};
use crate::load::{Load, Running};
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::probe::{Findings, Probe};
use crate::report::Report;
use crate::tally::Latencies;

/// Once the database takes connections, everything is well again within this.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// Until so long after a fault servers may say of a token that it holds: a little more than the second
/// within which everything is obeyed.
const NOTICED_AFTER: Duration = Duration::from_millis(1100);

/// Two servers on a database.
struct Scene {
    nodes: Vec<Node>,
    cast: Arc<Cast>,
    oracle: Arc<Oracle>,
    chance: Chance,
    answers: Latencies,
}

impl Scene {
    async fn set(terms: Terms, url: &str) -> Result<Self> {
        let mut chance = Chance::new(terms.seed);
        let place = Arc::new(Place::postgres(url)?);
        let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
        let nodes = Node::start_many(&place, 2).await?;
        Ok(Self { nodes, cast, oracle: Arc::default(), chance, answers: Latencies::default() })
    }

    fn servers(&self) -> Vec<Server> {
        self.nodes.iter().map(Server::from).collect()
    }

    async fn load(&self, tokens_max: usize, number: u64) -> Running {
        let mut load = Load::mixed(self.servers(), 32, tokens_max);
        load.pause = Duration::from_millis(2);
        let running = load.start(&self.oracle, &self.cast, &self.chance.branch(number));
        running.answered(150, Duration::from_secs(20)).await;
        running
    }

    /// Asks every server what it has to say while the database is away.
    async fn ask_while_away(&mut self, number: u64, findings: &mut Findings) -> Result<()> {
        let known = self.oracle.held(&mut self.chance).context("no token holds for certain")?;
        for node in &self.nodes {
            let asked = (node, &*self.cast);
            let mut probe = Probe::new(asked, self.chance.branch(1000 + number), findings);
            probe.while_the_store_is_away(&known).await?;
        }
        Ok(())
    }

    /// Waits until every server is well, and ends the load.
    async fn well_again(&mut self, running: Running, findings: &mut Findings) -> Result<()> {
        for node in &self.nodes {
            Probe::new((node, &self.cast), self.chance.clone(), findings).until_well().await?;
        }
        let tally = running.stop().await?;
        self.answers.extend(&tally.latencies());
        Ok(())
    }

    async fn end(self, findings: Findings, report: &mut Report) -> Result<()> {
        findings.report(WELL_WITHIN, report);
        report.latencies("answers", &self.answers);
        report.must_reach("answers that were waited for", self.answers.count(), 400);
        let servers = self.servers();
        check(&self.oracle, &self.cast, &servers, report).await
    }
}

/// The database is stopped in an orderly way, at once, or killed, and started again after a while.
pub(crate) async fn restart(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let postgres = Postgres::of_the_script()?;
    let mut scene = Scene::set(terms, &postgres.database("restart").await?).await?;
    let mut findings = Findings::default();
    let rounds = terms.pick(3, 24);
    for round in 0..rounds {
        let running = scene.load(terms.pick(300, 2000), round).await;
        match round % 3 {
            0 => postgres.stop("fast").await?,
            1 => postgres.stop("immediate").await?,
            _ => postgres.kill().await?,
        }
        sleep(NOTICED_AFTER).await;
        scene.ask_while_away(round, &mut findings).await?;
        sleep(scene.chance.between(Duration::ZERO, terms.seconds(1, 8))).await;
        postgres.start().await?;
        scene.well_again(running, &mut findings).await?;
    }
    report.figure("restarts", rounds);
    pooled(terms, &mut report).await?;
    scene.end(findings, &mut report).await?;
    Ok(report)
}

/// The same behind a pooler, which stays and has nobody to pass anything on to.
async fn pooled(terms: Terms, report: &mut Report) -> Result<()> {
    let mut database = Database::start(Which::Pooled).await?;
    let mut scene = Scene::set(terms, &database.url).await?;
    let mut findings = Findings::default();
    let rounds = terms.pick(1, 6);
    for round in 0..rounds {
        let running = scene.load(terms.pick(300, 2000), round).await;
        database.order("postgres_stop_member data fast").await?;
        sleep(scene.chance.between(Duration::from_millis(300), Duration::from_secs(2))).await;
        database.order("postgres_start_member data").await?;
        scene.well_again(running, &mut findings).await?;
    }
    report.figure("restarts behind a pooler", rounds);
    let mut behind = Report::default();
    scene.end(findings, &mut behind).await?;
    report.absorb("behind a pooler", behind);
    Ok(())
}

/// The primary is killed, stopped or frozen, and its synchronous standby takes over; one that was frozen
/// comes back and believes that it is the primary still.
pub(crate) async fn failover(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut database = Database::start(Which::Pair).await?;
    let mut scene = Scene::set(terms, &database.url.clone()).await?;
    let mut findings = Findings::default();
    let (mut primary, mut standby) = ("a", "b");
    let rounds = terms.pick(3, 18);
    for round in 0..rounds {
        let running = scene.load(terms.pick(300, 2000), round).await;
        let fault = match round % 3 {
            0 => format!("postgres_kill {primary}"),
            1 => format!("postgres_freeze {primary}"),
            _ => format!("postgres_stop_member {primary} fast"),
        };
        database.order(&fault).await?;
        sleep(NOTICED_AFTER).await;
        scene.ask_while_away(round, &mut findings).await?;
        database.order(&format!("postgres_promote {standby}")).await?;
        if round % 3 == 1 {
            sleep(scene.chance.between(Duration::ZERO, Duration::from_millis(500))).await;
            database.order(&format!("postgres_thaw {primary}")).await?;
        }
        scene.well_again(running, &mut findings).await?;
        database.order(&format!("postgres_follow {primary} {standby}")).await?;
        (primary, standby) = (standby, primary);
    }
    report.figure("failovers", rounds);
    scene.end(findings, &mut report).await?;
    Ok(report)
}
