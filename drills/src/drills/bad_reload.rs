//! SIGHUP with bad configurations of every kind under load: nothing changes, the log says why, no request
//! fails; then a good one is obeyed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::http::{Request, ask};
use crate::load::Load;
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::report::Report;

/// Fewer prove nothing.
const REQUESTS: usize = 500;
const PATIENCE: Duration = Duration::from_secs(10);
const NOT_TAKEN: &str = "was not taken over";
const TAKEN: &str = "the configuration was taken over";

/// A realm that no bad configuration may bring into being.
const NEW_REALM: &str = "[realm.new]\nissuer = \"http://127.0.0.1:8080/new\"\n";

/// Each kind of bad configuration, made from the good one, and a word that the log has to say of it.
type Bad = (&'static str, fn(&str) -> String, &'static str);
const BAD: [Bad; 9] = [
    ("no TOML", |good| format!("{good}{NEW_REALM}[realm.broken\n"), "toml"),
    (
        "half a file",
        |good| good.chars().take(good.len() / 2).chain("\n[real".chars()).collect(),
        "toml",
    ),
    ("nothing at all", |_| String::new(), "realm"),
    ("an unknown setting", |good| format!("{good}{NEW_REALM}tokens.format = \"jwt\"\n"), "tokens"),
    ("a value of another kind", |good| format!("{good}{NEW_REALM}scopes = 7\n"), "scopes"),
    (
        "a dialect that is none",
        |good| format!("{good}{NEW_REALM}dialects = [\"esperanto\"]\n"),
        "esperanto",
    ),
    (
        "two realms in one place",
        |good| format!("{good}{NEW_REALM}[realm.twin]\nissuer = \"http://127.0.0.1:8080/new\"\n"),
        "twin",
    ),
    ("an issuer that is no URL", |good| format!("{good}[realm.new]\nissuer = \"new\"\n"), "issuer"),
    (
        "a duration that is none",
        |good| format!("{good}{NEW_REALM}token.lifetime = \"soon\"\n"),
        "lifetime",
    ),
];

/// Runs it.
pub(crate) async fn bad_reload(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let place = Arc::new(Place::sqlite()?);
    let good = place.configuration()?;
    let cast = Arc::new(Cast::create(&place, 3, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let node = Node::start_many(&place, 1).await?.pop().context("there is a node")?;
    let mut load =
        Load::mixed(vec![Server::from(&node)], terms.pick(16, 64), terms.pick(1500, 50_000));
    load.pause = Duration::from_millis(2);
    let running = load.start(&oracle, &cast, &chance.branch(1));
    running.answered(100, PATIENCE).await;

    let mut refused = 0;
    for _ in 0..terms.pick(1, 20) {
        for (kind, bad, word) in BAD {
            place.configure(&bad(&good))?;
            let log = reload(&node, NOT_TAKEN).await.with_context(|| kind.to_owned())?;
            refused += 1;
            if !log.to_lowercase().contains(word) {
                report.broke(format!("{kind}: the log does not say why ({word}): {log}"));
            }
            if log.contains(TAKEN) || new_realm(&node).await != Some(404) {
                report.broke(format!("{kind}: it was taken over all the same"));
            }
        }
        bad_files(&place, &node, &good).await?;
        refused += 2;
    }
    place.configure(&format!("{good}{NEW_REALM}"))?;
    let began = Instant::now();
    reload(&node, TAKEN).await?;
    report.figure("good configuration obeyed after (ms)", began.elapsed().as_millis());
    if new_realm(&node).await != Some(200) {
        report.broke("the good configuration was not obeyed");
    }
    running.answered(REQUESTS, PATIENCE * 3).await;
    let tally = running.stop().await?;
    let failed = tally.unanswered_count()
        + tally.refused_connections()
        + tally.count(|status| status >= 500);
    report.figure("bad configurations", refused);
    report.latencies("answers", &tally.latencies());
    report.must_be_zero("failed requests", failed, &tally.examples());
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    report.must_reach("requests answered", tally.count(|_| true), REQUESTS);
    Ok(report)
}

/// What is wrong beside the configuration's text: a dialect of one's own, and the file itself.
async fn bad_files(place: &Place, node: &Node, good: &str) -> Result<()> {
    let folder = place.path("dialects/own");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("dialect.toml"), "title = \"Own\"\n[request]\nmethod = 7\n")?;
    place.configure(&format!("{good}{NEW_REALM}"))?;
    let log = reload(node, NOT_TAKEN).await.context("a bad dialect")?;
    std::fs::remove_dir_all(place.path("dialects"))?;
    if !log.contains("method") {
        bail!("the log does not say what is wrong with the dialect: {log}");
    }
    std::fs::rename(place.path("jeton.toml"), place.path("aside.toml"))?;
    let gone = reload(node, NOT_TAKEN).await.context("no file at all");
    std::fs::rename(place.path("aside.toml"), place.path("jeton.toml"))?;
    gone.map(|_| ())
}

/// Tells the server to read its configuration, and waits until it says this. What it logged since comes back.
async fn reload(node: &Node, expected: &str) -> Result<String> {
    let before = node.log_text().len();
    node.signal(Signal::HUP)?;
    let began = Instant::now();
    loop {
        let log = node.log_text().get(before..).unwrap_or_default().to_owned();
        if log.contains(expected) {
            return Ok(log);
        }
        if began.elapsed() > PATIENCE {
            bail!("the server does not say that the configuration {expected}: {log}");
        }
        sleep(Duration::from_millis(5)).await;
    }
}

async fn new_realm(node: &Node) -> Option<u16> {
    let request = Request::get("/new/.well-known/jwks.json", &[]);
    ask(node.public, &request, PATIENCE).await.answer().map(|answer| answer.status)
}
