//! kill -9 of any of three servers on one PostgreSQL under load, and of PostgreSQL itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::load::{Load, Running};
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::tally::Latencies;

const NODES: usize = 3;
/// No server may take longer until it issues again after the database is back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);

/// Runs it.
pub(crate) async fn kill_nodes(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let postgres = Postgres::of_the_script()?;
    let place = Arc::new(Place::postgres(&postgres.database("kill_nodes").await?)?);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut nodes = Node::start_many(&place, NODES).await?;
    let servers: Vec<Server> = nodes.iter().map(Server::from).collect();
    let load = Load::mixed(servers.clone(), terms.pick(48, 192), terms.pick(2000, 60_000));
    let running = load.start(&oracle, &cast, &chance.branch(1));
    running.answered(200, Duration::from_secs(20)).await;

    let rounds = terms.pick(4, 40);
    let (mut ready, mut recovered) = (Latencies::default(), Latencies::default());
    for round in 0..rounds {
        sleep(chance.between(Duration::from_millis(100), Duration::from_millis(800))).await;
        // In the middle, and from time to time: the database.
        if round % 10 == rounds.min(10) / 2 {
            postgres.kill().await?;
            sleep(chance.between(Duration::from_millis(50), Duration::from_millis(500))).await;
            postgres.start().await.context("PostgreSQL does not recover")?;
            recovered.add(issues_again(&running).await?);
        }
        let node = nodes.get_mut(chance.below(NODES)).context("there is no such node")?;
        node.kill().await?;
        sleep(chance.between(Duration::ZERO, Duration::from_millis(300))).await;
        ready.add(node.start().await?);
    }
    let tally = running.stop().await?;
    report.figure("kills of a server", rounds);
    report.figure("kills of the database", recovered.count());
    report.figure("unavailable (503)", tally.count(|status| status == 503));
    report.figure("unanswered", tally.unanswered_count());
    report.latencies("answers", &tally.latencies());
    report.latencies("ready after a start", &ready);
    report.must_be_within(
        "stored tokens again after the database",
        recovered.share(1.0),
        RECOVERED_WITHIN,
    );
    check(&oracle, &cast, &servers, &mut report).await?;
    report.must_reach("requests answered well", tally.count(|status| status < 300), 500);
    Ok(report)
}

/// Waits until some more requests were answered well.
async fn issues_again(running: &Running) -> Result<Duration> {
    let began = Instant::now();
    let before = running.tally().count(|status| status == 200);
    while running.tally().count(|status| status == 200) < before + 50 {
        if began.elapsed() > RECOVERED_WITHIN * 2 {
            bail!("nothing is answered after the database is back");
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(began.elapsed())
}
