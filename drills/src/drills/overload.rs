//! More stored tokens are asked for than the disk takes, on a disk that is slow, and on one that hangs: whoever
//! has to wait too long is refused with the time to come again, memory is bounded, and nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Terms;
use crate::cast::{Cast, Realm};
use crate::chance::Chance;
use crate::disk::{Disk, Flushes};
use crate::http::{Connection, Outcome};
use crate::load::{Load, Weights};
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::process::{allow_open_files, resident};
use crate::report::Report;
use crate::requests;
use crate::tally::Latencies;

/// What the queue may add to a server's memory, in kibibytes.
const MEMORY_MAX: u64 = 96 * 1024;

/// Runs it.
pub(crate) async fn stored(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let mut place = Place::new("sqlite:disk/jeton.db", "")?;
    let text = place.configuration()?.replacen("[storage]\n", "[storage]\nqueue_max = 64\n", 1);
    place.configure(&text)?;
    let disk = Disk::under(&mut place)?;
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut node = Node::new(&place, 0)?;
    node.start().await?;
    let callers = terms.pick(300, 1500);
    allow_open_files(u64::try_from(callers * 2 + 200)?);
    let mut load = Load::mixed(vec![Server::from(&node)], callers, usize::MAX);
    load.weights = Weights {
        stored: 90,
        introspect: 5,
        revoke: 5,
        jwt: 0,
        sealed: 0,
        assertion: 0,
        verify: 0,
    };
    let memory_before = resident(&node)?;
    disk.flushes(Flushes::Slow)?;
    let running = load.start(&oracle, &cast, &chance.branch(1));
    let mut refused = refusals(&node, &cast, terms.seconds(3, 60)).await?;
    let memory_meanwhile = resident(&node)?;
    let given = jwt_meanwhile(&node, &cast).await?;
    let tally = running.stop().await?;
    disk.flushes(Flushes::Well)?;
    report.figure("callers", callers);
    report.figure("answers", tally.by_kind());
    report.must_reach("refused because too much waits", tally.count(|status| status == 503), 20);
    report.must_reach("tokens that were kept meanwhile", tally.count(|status| status == 200), 20);
    report.latencies("answers", &tally.latencies());
    report.latencies("refused", &refused.took);
    refused
        .wrong
        .extend(tally.count(|status| status == 500).checked_sub(1).map(|_| "a 500".to_owned()));
    report.must_be_zero("refused without Retry-After", refused.wrong.len(), &refused.wrong);
    report.latencies("JWTs meanwhile", &given);
    report.figure("resident before, meanwhile", format!("{memory_before}, {memory_meanwhile} KiB"));
    if memory_meanwhile > memory_before + MEMORY_MAX {
        report.broke("memory is not bounded");
    }
    node.kill().await?;
    disk.lose_power()?;
    node.start().await?;
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    Ok(report)
}

/// What was refused, and how.
#[derive(Default)]
struct Refused {
    took: Latencies,
    wrong: Vec<String>,
}

/// Asks for stored tokens, many at a time, and looks at the refusals.
async fn refusals(node: &Node, cast: &Arc<Cast>, how_long: Duration) -> Result<Refused> {
    let mut askers = JoinSet::new();
    for _ in 0..16 {
        let (cast, address) = (Arc::clone(cast), node.public);
        askers.spawn(async move {
            let client = cast.with_secret(Realm::Stored).first().copied().context("nobody")?;
            let request = requests::token(cast.client(client)?);
            let mut connection = Connection::to(address, Duration::from_secs(20));
            let (mut refused, began) = (Refused::default(), Instant::now());
            while began.elapsed() < how_long {
                let asked = Instant::now();
                match connection.ask(&request).await {
                    Outcome::Answered(answer) if answer.status == 503 => {
                        refused.took.add(asked.elapsed());
                        if answer.header("retry-after").is_none() {
                            refused.wrong.push(answer.head);
                        }
                    }
                    Outcome::Answered(answer) if answer.status == 200 => {}
                    other => refused.wrong.push(format!("{other:?}")),
                }
                sleep(Duration::from_millis(2)).await;
            }
            Ok::<_, anyhow::Error>(refused)
        });
    }
    let mut all = Refused::default();
    while let Some(done) = askers.join_next().await {
        let refused = done??;
        all.took.extend(&refused.took);
        all.wrong.extend(refused.wrong);
    }
    Ok(all)
}

/// What needs no disk is given all the same.
async fn jwt_meanwhile(node: &Node, cast: &Cast) -> Result<Latencies> {
    let client = cast.with_secret(Realm::Jwt).first().copied().context("nobody is there")?;
    let request = requests::token(cast.client(client)?);
    let mut connection = Connection::to(node.public, Duration::from_secs(20));
    let mut took = Latencies::default();
    for _ in 0..20 {
        let asked = Instant::now();
        let outcome = connection.ask(&request).await;
        anyhow::ensure!(
            matches!(&outcome, Outcome::Answered(answer) if answer.status == 200),
            "a JWT was refused: {outcome:?}"
        );
        took.add(asked.elapsed());
    }
    Ok(took)
}
