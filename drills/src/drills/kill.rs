//! kill -9 of one server under load, at random moments: what was acknowledged is there afterwards.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::load::Load;
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::tally::Latencies;

/// On SQLite.
pub(crate) async fn sqlite(terms: Terms) -> Result<Report> {
    kill(terms, Place::sqlite()?).await
}

/// On PostgreSQL.
pub(crate) async fn postgres(terms: Terms) -> Result<Report> {
    let url = Postgres::of_the_script()?.database("kill_postgres").await?;
    kill(terms, Place::postgres(&url)?).await
}

async fn kill(terms: Terms, place: Place) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut node = Node::new(&place, 0)?;
    let mut ready = Latencies::default();
    ready.add(node.start().await?);
    let rounds = terms.pick(4, 30);
    let mut unanswered = 0;
    let mut latencies = Latencies::default();
    for round in 0..rounds {
        let load = Load::mixed(vec![Server::from(&node)], 64, terms.pick(400, 4000));
        let running = load.start(&oracle, &cast, &chance.branch(round));
        running.answered(100, Duration::from_secs(10)).await;
        sleep(chance.between(Duration::ZERO, Duration::from_millis(400))).await;
        node.kill().await?;
        let tally = running.stop().await?;
        unanswered += tally.unanswered_count();
        latencies.extend(&tally.latencies());
        ready.add(node.start().await?);
    }
    report.figure("kills", rounds);
    report.figure("requests that the kills left unanswered", unanswered);
    report.latencies("answers", &latencies);
    report.latencies("ready after a start", &ready);
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    report.must_reach("answers that were waited for", latencies.count(), 400);
    Ok(report)
}
