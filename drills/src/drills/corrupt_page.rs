//! A page of the database goes bad, while nobody looks and under load: it is found, named and refused,
//! no answer is ever wrong, and a backup brings everything back.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::time::sleep;

use super::Terms;
use crate::cast::{Cast, Realm};
use crate::chance::Chance;
use crate::http::Connection;
use crate::load::Load;
use crate::node::Node;
use crate::oracle::{Expected, Oracle, Server, check, says};
use crate::place::Place;
use crate::report::Report;

const DATABASE: &str = "jeton.db";
const BACKUP: &str = "good.db";
const PAGE_BYTES: usize = 4096;
/// How long a server may take to be ready or to say why it will not be.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// How many tokens are asked about while a page is bad.
const ASKED_MAX: usize = 300;

/// What became of a bad page.
#[derive(Debug, Default)]
struct Pages {
    spoiled: usize,
    found: usize,
    named: usize,
    /// Nothing stood in them.
    unused: usize,
    refused_at_start: usize,
    answers: usize,
    refusals: usize,
    silent: Vec<String>,
}

/// Runs it.
pub(crate) async fn corrupt_page(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let place = Arc::new(Place::sqlite()?);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut node = Node::new(&place, 0)?;
    node.start().await?;
    let load = Load::mixed(vec![Server::from(&node)], 32, terms.pick(300, 3000));
    let running = load.start(&oracle, &cast, &chance.branch(0));
    running.answered(terms.pick(1_500, 20_000), Duration::from_secs(30)).await;
    running.stop().await?;
    place.operate(&["database", "backup", "--to", BACKUP]).await?;
    node.stop().await?;

    let mut pages = Pages::default();
    let whole = fs::read(place.path(DATABASE))?;
    for _ in 0..terms.pick(8, 80) {
        // Of the file as it was when the server had stopped: every page once more than bad ones.
        fs::write(place.path(DATABASE), &whole)?;
        at_rest(&place, &mut chance, &mut pages).await?;
        live_with_it(&mut node, &cast, &oracle, &mut pages).await?;
        node.kill().await?;
    }
    restore(&place).await?;
    for round in 0..terms.pick(2, 20) {
        let running_one = Arc::new(Oracle::default());
        node.start().await?;
        let load = Load::mixed(vec![Server::from(&node)], 32, terms.pick(300, 3000));
        let running = load.start(&running_one, &cast, &chance.branch(100 + round));
        running.answered(200, Duration::from_secs(10)).await;
        spoil(&place, &mut chance)?;
        sleep(Duration::from_secs(2)).await;
        running.stop().await?;
        node.kill().await?;
        live_with_it(&mut node, &cast, &running_one, &mut pages).await?;
        node.kill().await?;
        let found = running_one.found();
        report.must_be_zero("wrong answers while it went bad", wrong(&found), &found.lost);
        restore(&place).await?;
    }
    pages.tell(&mut report);
    node.start().await?;
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    Ok(report)
}

fn wrong(found: &crate::oracle::Found) -> usize {
    found.lost.len() + found.wrongly_active.len() + found.accepted_twice.len()
}

/// A page goes bad while no server runs: `database check` finds and names it.
async fn at_rest(place: &Place, chance: &mut Chance, pages: &mut Pages) -> Result<()> {
    let page = spoil(place, chance)?;
    pages.spoiled += 1;
    let examined = place.jeton().args(["database", "check", "--json"]).output().await?;
    let text = String::from_utf8_lossy(&examined.stdout).into_owned();
    let said: Value = serde_json::from_str(&text)
        .with_context(|| format!("{text} {}", String::from_utf8_lossy(&examined.stderr)))?;
    let sound = said.get("sound").and_then(Value::as_bool).unwrap_or(false);
    match (sound, examined.status.code()) {
        (true, Some(0)) => pages.unused += 1,
        (false, Some(1)) => {
            pages.found += 1;
            // Without its list of tables a database has no page numbers that anybody could tell.
            let lists = ["its first page", "its list of tables"];
            let listed = lists.iter().any(|place| text.contains(place));
            let names = listed || text.contains(&format!("page {page}"));
            pages.named += usize::from(names && text.contains("database restore"));
        }
        (sound, code) => pages.silent.push(format!("page {page}: sound {sound}, exit {code:?}")),
    }
    Ok(())
}

/// A server begins with it or says why not; if it begins, it answers rightly or not at all.
async fn live_with_it(
    node: &mut Node,
    cast: &Cast,
    oracle: &Oracle,
    pages: &mut Pages,
) -> Result<()> {
    let logged = node.log_text().len();
    let began = Instant::now();
    node.launch()?;
    while !node.is_ready().await {
        let told = node.log_text();
        let told = told.get(logged..).unwrap_or_default();
        if told.contains("damaged") && told.contains("database check") {
            pages.refused_at_start += 1;
            return Ok(());
        }
        if began.elapsed() > STARTS_WITHIN {
            pages.silent.push(format!("neither ready nor refused: {told}"));
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let mut connection = Connection::to(node.public, Duration::from_secs(5));
    let stored: Vec<_> =
        oracle.all().into_iter().filter(|asked| asked.realm == Realm::Stored).collect();
    let step = stored.len().div_ceil(ASKED_MAX).max(1);
    for asked in stored.iter().step_by(step) {
        let sent = Instant::now();
        match says(&mut connection, cast, asked.realm, &asked.value).await? {
            Some(said) => {
                pages.answers += 1;
                oracle.judge(asked, Some(node.number), sent, said == Expected::Active);
            }
            None => pages.refusals += 1,
        }
    }
    Ok(())
}

/// Fills a page of the file with one byte, as a disk does that has lost it. Pages count from one.
fn spoil(place: &Place, chance: &mut Chance) -> Result<usize> {
    let path = place.path(DATABASE);
    let count = usize::try_from(fs::metadata(&path)?.len())? / PAGE_BYTES;
    let page = chance.below(count);
    let mut file = fs::File::options().write(true).open(&path)?;
    file.seek(SeekFrom::Start(u64::try_from(page * PAGE_BYTES)?))?;
    file.write_all(&[0xa5; PAGE_BYTES])?;
    file.sync_all()?;
    Ok(page + 1)
}

async fn restore(place: &Place) -> Result<()> {
    place.operate(&["database", "restore", "--from", BACKUP, "--replace"]).await?;
    Ok(())
}

impl Pages {
    fn tell(&self, report: &mut Report) {
        report.must_reach("pages that went bad at rest", self.spoiled, 8);
        report.figure("of them found by `database check`", self.found);
        report.figure("of them unused", self.unused);
        let unnamed = self.found.saturating_sub(self.named);
        report.must_be_zero("found and not named", unnamed, &[]);
        report.figure("starts refused", self.refused_at_start);
        report.figure("right answers beside a bad page", self.answers);
        report.figure("questions refused for it", self.refusals);
        report.must_be_zero("unclear", self.silent.len(), &self.silent);
    }
}
