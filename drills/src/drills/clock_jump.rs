//! The clock on the wall jumps, forward beyond every life and back again: what was acknowledged holds
//! when it is right again, and nothing that was used up is good once more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::{Length, Terms};
use crate::cast::{self, Cast, Client, Realm};
use crate::chance::Chance;
use crate::http::Connection;
use crate::load::{Load, Weights};
use crate::node::Node;
use crate::oracle::{Oracle, Server, ask_about_tokens, check, try_assertions_again};
use crate::place::Place;
use crate::report::Report;
use crate::requests;
use crate::wall_clock::WallClock;

const PATIENCE: Duration = Duration::from_secs(10);
/// What has expired is removed every ten seconds.
const UNTIL_REMOVED: Duration = Duration::from_secs(12);
/// Longer than any token lives, and than its row is kept.
const FORWARD: i64 = 3 * 3600;
const BACK: i64 = -1800;
/// What a limit may seem to be used up beyond itself, when the clock was set back.
const KEPT_OUT_FOR: Duration = Duration::from_secs(62);
/// A realm that gives each client sixty tokens a minute.
const LIMITED: &str =
    "[realm.limited]\nissuer = \"http://127.0.0.1:8080/limited\"\nlimits.client = [\"60/min\"]\n";

/// Runs it.
pub(crate) async fn clock_jump(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let mut place = Place::new("sqlite:jeton.db", LIMITED)?;
    let mut clock = WallClock::of(&mut place)?;
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 3, &mut chance).await?);
    let limited = cast::create(&place, Realm::Limited, "limited", &[]).await?;
    let oracle = Arc::new(Oracle::default());
    let node = Node::start_many(&place, 1).await?.pop().context("there is a node")?;
    let server = Server::from(&node);
    // Nothing is asked about while the clock is wrong but what is said here.
    let jumps = [FORWARD, BACK, FORWARD, BACK];
    for (round, jump) in jumps.into_iter().take(terms.pick(2, 4)).enumerate() {
        let mut load = Load::mixed(vec![server], 24, terms.pick(300, 10_000));
        load.weights = Weights { assertion: 20, revoke: 20, ..Weights::MIXED };
        let running = load.start(&oracle, &cast, &chance.branch(u64::try_from(round)?));
        running.answered(terms.pick(600, 20_000), terms.seconds(10, 60)).await;
        running.stop().await?;
        let before = tokens(&node, &limited, 5).await?;
        clock.set(jump)?;
        let meanwhile = tokens(&node, &limited, 5).await?;
        try_assertions_again(&oracle, server).await?;
        if jump == BACK {
            // Every life is longer now than it was thought to be.
            ask_about_tokens(&oracle, &cast, server).await?;
        }
        sleep(UNTIL_REMOVED).await;
        clock.set(0)?;
        let name = if jump > 0 { "three hours ahead" } else { "half an hour back" };
        report
            .figure(format!("{name}: tokens under a limit"), format!("{before}, {meanwhile} of 5"));
        if terms.length == Length::Long {
            let kept_out = until_let_in(&node, &limited).await?;
            let name = format!("{name}: kept out by a limit after it");
            report.must_be_within(&name, kept_out, KEPT_OUT_FOR);
        }
    }
    report.figure("jumps", terms.pick(2, 4));
    let began = Instant::now();
    check(&oracle, &cast, &[server], &mut report).await?;
    report.figure("asked about everything (ms)", began.elapsed().as_millis());
    report.must_reach("assertions tried again", oracle.assertions().len(), 20);
    report.must_reach("revocations", oracle.revocations(), 10);
    Ok(report)
}

/// How long until a client is under its limit again.
async fn until_let_in(node: &Node, client: &Client) -> Result<Duration> {
    let began = Instant::now();
    while tokens(node, client, 1).await? == 0 && began.elapsed() < KEPT_OUT_FOR * 2 {
        sleep(Duration::from_millis(250)).await;
    }
    Ok(began.elapsed())
}

/// How many of so many requests for a token are granted.
async fn tokens(node: &Node, client: &Client, count: usize) -> Result<usize> {
    let mut connection = Connection::to(node.public, PATIENCE);
    let mut granted = 0;
    for _ in 0..count {
        let answer = connection.ask(&requests::token(client)).await.answer();
        granted += usize::from(answer.context("there is no answer")?.status == 200);
    }
    Ok(granted)
}
