//! Disks that fail: flushes that end with an error, a file system that can only be read, one that is full.
//! What was acknowledged is there afterwards, also after the power was lost.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::disk::{Disk, Flushes, Writes};
use crate::load::Load;
use crate::namespace::{Denied, Kind, Namespace};
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::probe::{Findings, Probe};
use crate::report::Report;

/// After the end of a fault of the disk everything is well again within this.
const WELL_WITHIN: Duration = Duration::from_secs(2);

/// A drill on a disk of ours.
struct Scene {
    disk: Disk,
    cast: Arc<Cast>,
    oracle: Arc<Oracle>,
    node: Node,
    chance: Chance,
}

impl Scene {
    async fn set(terms: Terms) -> Result<Self> {
        let mut chance = Chance::new(terms.seed);
        let mut place = Place::new("sqlite:disk/jeton.db", "")?;
        let disk = Disk::under(&mut place)?;
        let place = Arc::new(place);
        let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
        let mut node = Node::new(&place, 0)?;
        node.start().await?;
        Ok(Self { disk, cast, oracle: Arc::default(), node, chance })
    }

    fn load(&self, tokens_max: usize) -> Load {
        Load::mixed(vec![Server::from(&self.node)], 32, tokens_max)
    }

    fn probe<'a>(&'a self, number: u64, findings: &'a mut Findings) -> Probe<'a> {
        Probe::new((&self.node, &self.cast), self.chance.branch(number), findings)
    }

    async fn check(&self, report: &mut Report) -> Result<()> {
        check(&self.oracle, &self.cast, &[Server::from(&self.node)], report).await
    }
}

/// Flushes fail under load; then the server is killed, at times while they do; a new one builds on what it
/// finds; then the power is lost, and only what the disk holds is left.
pub(crate) async fn failed_flush(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut scene = Scene::set(terms).await?;
    let mut findings = Findings::default();
    let (rounds, mut losses) = (terms.pick(6, 60), 0);
    for round in 0..rounds {
        let load = scene.load(terms.pick(400, 4000));
        let running = load.start(&scene.oracle, &scene.cast, &scene.chance.branch(round));
        running.answered(150, Duration::from_secs(10)).await;
        let how = if scene.chance.below(2) == 0 { Flushes::Fail } else { Flushes::Forget };
        scene.disk.flushes(how)?;
        sleep(scene.chance.between(Duration::from_millis(20), Duration::from_millis(300))).await;
        if round % 3 == 0 {
            let mut probe = scene.probe(1000 + round, &mut findings);
            probe.while_nothing_is_written().await?;
            scene.disk.flushes(Flushes::Well)?;
            probe.until_well().await?;
        }
        // Otherwise it is killed while flushes still fail.
        sleep(scene.chance.between(Duration::ZERO, Duration::from_millis(300))).await;
        scene.node.kill().await?;
        running.stop().await?;
        scene.disk.flushes(Flushes::Well)?;
        if scene.chance.below(3) == 0 {
            scene.disk.lose_power()?;
            losses += 1;
        }
        scene.node.start().await?;
    }
    scene.node.kill().await?;
    scene.disk.lose_power()?;
    scene.node.start().await?;
    let counts = scene.disk.counts()?;
    report.figure("kills", rounds + 1);
    report.figure("losses of power", losses + 1);
    report.figure("flushes that succeeded", counts.flushed);
    report.must_reach("flushes that failed", usize::try_from(counts.flushes_failed)?, 10);
    findings.report(WELL_WITHIN, &mut report);
    scene.check(&mut report).await?;
    Ok(report)
}

/// The file system can only be read for a while, and the server goes on without a restart.
pub(crate) async fn read_only(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut scene = Scene::set(terms).await?;
    let mut findings = Findings::default();
    for round in 0..terms.pick(3, 30) {
        let load = scene.load(terms.pick(300, 3000));
        let running = load.start(&scene.oracle, &scene.cast, &scene.chance.branch(round));
        running.answered(150, Duration::from_secs(10)).await;
        scene.disk.writes(if round % 2 == 0 { Writes::ReadOnly } else { Writes::Broken })?;
        sleep(scene.chance.between(Duration::from_millis(50), Duration::from_millis(1500))).await;
        let mut probe = scene.probe(1000 + round, &mut findings);
        probe.while_nothing_is_written().await?;
        scene.disk.writes(Writes::Well)?;
        probe.until_well().await?;
        running.stop().await?;
    }
    let counts = scene.disk.counts()?;
    report.must_reach("writes that were refused", usize::try_from(counts.writes_failed)?, 10);
    findings.report(WELL_WITHIN, &mut report);
    scene.node.kill().await?;
    scene.disk.lose_power()?;
    scene.node.start().await?;
    scene.check(&mut report).await?;
    Ok(report)
}

/// The file system is full for a while: of somebody else's file, then of our own rows.
pub(crate) async fn full(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let mut place = Place::new("sqlite:disk/jeton.db", "")?;
    let folder = place.path("disk");
    std::fs::create_dir(&folder)?;
    let size = format!("size={}m", terms.pick(8, 32));
    let mount = r#"mount -t tmpfs -o "mode=0700,$1" drill "$2""#;
    let arguments = [size.as_str(), &folder.display().to_string()];
    let namespace = match Namespace::new(Kind::Mounts, mount, &arguments) {
        Ok(namespace) => namespace,
        Err(Denied(why)) => {
            return Ok(Report::skipped(format!("no file system of its own: {why}")));
        }
    };
    place.enter(namespace.words(place.folder()));
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut node = Node::new(&place, 0)?;
    node.start().await?;
    let filler = namespace.path(&folder.join("filler"));
    let (mut findings, mut filled) = (Findings::default(), 0);
    for round in 0..terms.pick(3, 20) {
        let load = Load::mixed(vec![Server::from(&node)], 32, terms.pick(400, 2000));
        let running = load.start(&oracle, &cast, &chance.branch(round));
        running.answered(150, Duration::from_secs(10)).await;
        filled += fill(&filler)?;
        sleep(chance.between(Duration::from_millis(50), Duration::from_millis(1500))).await;
        let asked = (&node, &*cast);
        let mut probe = Probe::new(asked, chance.branch(1000 + round), &mut findings);
        // One more row finds a place in a page that is there already, now and then.
        probe = probe.with_room(&oracle);
        // What a commit of before has left free may take another one, and so may what a checkpoint leaves.
        for _ in 0..3 {
            filled += fill(&filler)?;
            probe.until_refused().await?;
            sleep(Duration::from_millis(100)).await;
        }
        probe.until_refused().await?;
        probe.while_nothing_is_written().await?;
        std::fs::remove_file(&filler)?;
        probe.until_well().await?;
        running.stop().await?;
        if round % 2 == 1 {
            node.kill().await?;
            node.start().await?;
        }
    }
    report.must_reach("bytes that filled it", filled, 1_000_000);
    findings.report(WELL_WITHIN, &mut report);
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    Ok(report)
}

/// Writes until nothing more fits; tells how much that was.
fn fill(path: &Path) -> Result<usize> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let bytes = [0x5a; 4096];
    let mut written = 0;
    loop {
        match file.write(&bytes) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(written),
            Err(error) => return Err(error.into()),
        }
    }
}
