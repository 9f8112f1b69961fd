//! The network between servers and their database is cut in silence: of one server, of all, in one
//! direction, again and again; and it is slow. Who is cut off knows it within a second and claims nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::load::Load;
use crate::namespace::Denied;
use crate::network::{Network, Wire};
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::probe::{Findings, Probe};
use crate::report::Report;
use crate::tally::Latencies;

/// After the cut is mended, everything is well again within this: a try may have begun just before, and takes
/// four seconds until it is given up; the next begins at the latest after a second.
const WELL_WITHIN: Duration = Duration::from_secs(10);
/// Within this a server knows that it is cut off.
const KNOWN_WITHIN: Duration = Duration::from_millis(1200);

/// Three servers, each with a network of its own.
struct Scene {
    nodes: Vec<Node>,
    networks: Vec<Network>,
    cast: Arc<Cast>,
    oracle: Arc<Oracle>,
    chance: Chance,
}

impl Scene {
    async fn set(terms: Terms) -> Result<Result<Self, Denied>> {
        let mut chance = Chance::new(terms.seed);
        let postgres = Postgres::of_the_script()?;
        let url = postgres.database("cut").await?;
        let place = Arc::new(Place::postgres(&url)?);
        let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
        let (mut nodes, mut networks) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let database = SocketAddr::from(([127, 0, 0, 1], postgres.port));
            let network = match Network::new(number, database).await {
                Ok(network) => network,
                Err(denied) => return Ok(Err(denied)),
            };
            let mut node = Node::new(&place, number.into())?;
            network.hold(&mut node, place.folder());
            let url = format!("postgres://jeton@{}/cut?sslmode=disable", network.database());
            node.set("JETON__STORAGE__URL", &url);
            node.start().await?;
            nodes.push(node);
            networks.push(network);
        }
        Ok(Ok(Self { nodes, networks, cast, oracle: Arc::default(), chance }))
    }

    fn servers(&self) -> Vec<Server> {
        self.nodes.iter().map(Server::from).collect()
    }

    /// The wires of these servers.
    fn wires(&self, cut: &[usize], how: Wire) -> Result<()> {
        cut.iter().try_for_each(|number| {
            self.networks.get(*number).context("there is no such server")?.wire(how)
        })
    }

    /// Asks those that are cut off what they have to say.
    async fn ask_while_cut(&mut self, cut: &[usize], findings: &mut Findings) -> Result<()> {
        let known = self.oracle.held(&mut self.chance).context("no token holds for certain")?;
        for node in self.nodes.iter().filter(|node| cut.contains(&node.number)) {
            let chance = Chance::new(self.chance.number());
            let mut probe = Probe::new((node, &self.cast), chance, findings);
            probe.while_the_store_is_away(&known).await?;
        }
        Ok(())
    }

    async fn until_well(&self, findings: &mut Findings) -> Result<()> {
        for node in &self.nodes {
            Probe::new((node, &self.cast), self.chance.clone(), findings).until_well().await?;
        }
        Ok(())
    }
}

/// Runs it.
pub(crate) async fn network(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut scene = match Scene::set(terms).await? {
        Ok(scene) => scene,
        Err(Denied(why)) => return Ok(Report::skipped(format!("no networks of its own: {why}"))),
    };
    let (mut findings, mut answers) = (Findings::default(), Latencies::default());
    let cuts: &[(&[usize], Wire)] =
        &[(&[1], Wire::Cut), (&[0, 1, 2], Wire::Cut), (&[2], Wire::Mute), (&[0], Wire::Deaf)];
    let rounds = terms.pick(1, 8);
    for round in 0..rounds {
        for (number, (cut, how)) in cuts.iter().enumerate() {
            let mut load = Load::mixed(scene.servers(), 24, terms.pick(200, 2000));
            load.pause = Duration::from_millis(2);
            let chance = scene.chance.branch(round * 10 + u64::try_from(number)?);
            let running = load.start(&scene.oracle, &scene.cast, &chance);
            running.answered(150, Duration::from_secs(20)).await;
            scene.wires(cut, *how)?;
            sleep(KNOWN_WITHIN).await;
            scene.ask_while_cut(cut, &mut findings).await?;
            sleep(scene.chance.between(Duration::ZERO, terms.seconds(1, 15))).await;
            scene.wires(cut, Wire::Well)?;
            scene.until_well(&mut findings).await?;
            answers.extend(&running.stop().await?.latencies());
        }
        answers.extend(&flapping(terms, &mut scene, &mut findings).await?);
        answers.extend(&slow(terms, &mut scene, &mut findings).await?);
    }
    let rounds = usize::try_from(rounds)?;
    report.figure("cuts, of one server, of all, in one direction", rounds * cuts.len());
    findings.report(WELL_WITHIN, &mut report);
    report.latencies("answers", &answers);
    report.must_reach("answers that were waited for", answers.count(), 500);
    check(&scene.oracle, &scene.cast, &scene.servers(), &mut report).await?;
    Ok(report)
}

/// The wires come and go, a few times a second.
async fn flapping(terms: Terms, scene: &mut Scene, findings: &mut Findings) -> Result<Latencies> {
    let load = Load::mixed(scene.servers(), 24, terms.pick(200, 2000));
    let running = load.start(&scene.oracle, &scene.cast, &scene.chance.branch(98));
    for _ in 0..terms.pick(6, 60) {
        let one = [scene.chance.below(3)];
        scene.wires(&one, Wire::Cut)?;
        sleep(scene.chance.between(Duration::from_millis(20), Duration::from_millis(900))).await;
        scene.wires(&one, Wire::Well)?;
        sleep(scene.chance.between(Duration::from_millis(20), Duration::from_millis(300))).await;
    }
    scene.until_well(findings).await?;
    Ok(running.stop().await?.latencies())
}

/// One server's wire is slow. What it answers is right, if it answers.
async fn slow(terms: Terms, scene: &mut Scene, findings: &mut Findings) -> Result<Latencies> {
    let load = Load::mixed(scene.servers(), 12, terms.pick(100, 1000));
    scene.wires(&[1], Wire::Slow)?;
    let running = load.start(&scene.oracle, &scene.cast, &scene.chance.branch(99));
    sleep(terms.seconds(2, 20)).await;
    scene.wires(&[1], Wire::Well)?;
    scene.until_well(findings).await?;
    Ok(running.stop().await?.latencies())
}
