//! Revocation, disabling, deleting and new secrets: how long until every server obeys, also one that was
//! frozen meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Terms;
use crate::cast::{self, Cast, Client, Realm};
use crate::chance::Chance;
use crate::http::{Connection, Outcome, Request};
use crate::load::{Load, Weights};
use crate::node::Node;
use crate::oracle::{OBEYED_WITHIN, Oracle};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::requests;
use crate::tally::Latencies;

const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the promise, so that what wakes is late.
const FROZEN_FOR: Duration = Duration::from_secs(3);
/// After this, nobody waits for a server any more.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(5);

/// On PostgreSQL with three servers, and on SQLite with two on one file.
pub(crate) async fn revocation(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let url = Postgres::of_the_script()?.database("revocation").await?;
    let stores = [("PostgreSQL", Place::postgres(&url)?, 3), ("SQLite", Place::sqlite()?, 2)];
    for (store, place, count) in stores {
        let mut scene = Scene::open(place, count, terms).await?;
        scene.obey(terms).await?;
        for _ in 0..terms.pick(1, 5) {
            scene.freeze().await?;
        }
        scene.tell(store, &mut report);
    }
    Ok(report)
}

/// What is done, and has to be obeyed.
const ACTS: [Act; 7] = [
    Act::Revoke(Realm::Stored),
    Act::Revoke(Realm::Jwt),
    Act::Revoke(Realm::Sealed),
    Act::Disable,
    Act::Delete,
    Act::RevokeSecrets,
    Act::RotateSecret,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// By its client, over HTTP.
    Revoke(Realm),
    /// By an operator, like the following.
    Disable,
    Delete,
    RevokeSecrets,
    RotateSecret,
}

impl Act {
    /// The words of the operator.
    fn words(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Revoke(_) => None,
            Self::Disable => Some(("disable", &[])),
            Self::Delete => Some(("delete", &[])),
            Self::RevokeSecrets => Some(("revoke-secrets", &[])),
            Self::RotateSecret => Some(("rotate-secret", &["--grace", "0s"])),
        }
    }

    /// Whether tokens end with it.
    fn ends_tokens(self) -> bool {
        matches!(self, Self::Revoke(_) | Self::Disable | Self::Delete)
    }

    /// Whether secrets end with it.
    fn ends_secrets(self) -> bool {
        !matches!(self, Self::Revoke(_))
    }
}

/// Somebody to whom it is done.
struct Victim {
    client: Client,
    token: String,
    /// What every server says yes to, until it obeys.
    questions: Vec<Question>,
}

#[derive(Clone, Debug)]
struct Question {
    request: Request,
    about: About,
}

#[derive(Clone, Copy, Debug)]
enum About {
    /// At introspection: is the token active?
    Token,
    /// At the token endpoint: does the secret get one?
    Secret,
}

impl Question {
    /// Whether the server says yes; one that cannot tell right now does not.
    async fn is_yes(&self, connection: &mut Connection) -> Result<bool> {
        let answer = match connection.ask(&self.request).await {
            Outcome::Answered(answer) => answer,
            Outcome::NotSent(why) | Outcome::Unanswered(why) => bail!("no answer: {why}"),
        };
        Ok(match self.about {
            About::Token => requests::active(&answer).unwrap_or(false),
            About::Secret => answer.status == 200,
        })
    }
}

/// Servers on one store, and what was seen there.
struct Scene {
    place: Arc<Place>,
    cast: Arc<Cast>,
    nodes: Vec<Node>,
    chance: Chance,
    made: usize,
    /// Until the last server obeyed.
    obeyed: Latencies,
    /// Who said yes to a request that was sent after the bound.
    late: Vec<String>,
    /// Changes that a frozen server slept through.
    slept_through: usize,
    /// Tokens that it issued as soon as it woke.
    issued_on_waking: usize,
}

impl Scene {
    async fn open(place: Place, count: usize, terms: Terms) -> Result<Self> {
        let mut chance = Chance::new(terms.seed);
        let place = Arc::new(place);
        let cast = Arc::new(Cast::create(&place, 2, &mut chance).await?);
        let nodes = Node::start_many(&place, count).await?;
        let (obeyed, late) = (Latencies::default(), Vec::new());
        Ok(Self {
            place,
            cast,
            nodes,
            chance,
            made: 0,
            obeyed,
            late,
            slept_through: 0,
            issued_on_waking: 0,
        })
    }

    /// Every act, many times, while there is other work.
    async fn obey(&mut self, terms: Terms) -> Result<()> {
        let oracle = Arc::new(Oracle::default());
        let servers = self.nodes.iter().map(Into::into).collect();
        let mut load = Load::mixed(servers, terms.pick(4, 16), usize::MAX);
        load.weights = Weights { revoke: 0, ..Weights::MIXED };
        load.pause = Duration::from_millis(10);
        let running = load.start(&oracle, &self.cast, &self.chance.branch(1));
        for _ in 0..terms.pick(2, 25) {
            for act in ACTS {
                let victim = self.victim(act).await.with_context(|| format!("{act:?}"))?;
                let since = self.change(act, &victim, None).await?;
                self.ask_until_no(act, &victim, since).await?;
            }
        }
        running.stop().await?;
        let found = oracle.found();
        self.late.extend(found.lost.into_iter().chain(found.wrongly_active));
        Ok(())
    }

    /// Changes happen while one server is frozen. The questions wait in its socket, so that it
    /// answers them first of all when it wakes: too late to say yes.
    async fn freeze(&mut self) -> Result<()> {
        let mut victims = Vec::new();
        for act in ACTS {
            victims.push((act, self.victim(act).await.with_context(|| format!("{act:?}"))?));
        }
        let number = self.chance.below(self.nodes.len());
        let mut connections = Vec::new();
        for _ in 0..victims.iter().map(|(_, victim)| victim.questions.len()).sum() {
            let mut connection = Connection::to(self.node(number)?.public, PATIENCE);
            connection.open().await?;
            connections.push(connection);
        }
        // The server must have taken them, or they would wait in the kernel until others were heard.
        sleep(Duration::from_millis(100)).await;
        self.node(number)?.signal(Signal::STOP)?;
        for (act, victim) in &victims {
            self.change(*act, victim, Some(number)).await?;
        }
        sleep(FROZEN_FOR).await;
        let mut asked = JoinSet::new();
        for (act, victim) in &victims {
            for question in victim.questions.clone() {
                let Some(mut connection) = connections.pop() else { continue };
                let what = format!("{act:?}, {:?}, after it was frozen", question.about);
                asked.spawn(async move {
                    (what, question.about, question.is_yes(&mut connection).await)
                });
            }
        }
        sleep(Duration::from_millis(50)).await;
        self.node(number)?.signal(Signal::CONT)?;
        while let Some(answered) = asked.join_next().await {
            let (what, about, yes) = answered?;
            self.slept_through += 1;
            match (yes?, about) {
                (true, About::Token) => self.late.push(format!("node {number}: {what}")),
                // It issues on from memory as if its database were away, until it has heard.
                (true, About::Secret) => self.issued_on_waking += 1,
                (false, _) => {}
            }
        }
        sleep(OBEYED_WITHIN).await;
        for (act, victim) in &victims {
            let mut connection = Connection::to(self.node(number)?.public, PATIENCE);
            for question in &victim.questions {
                if question.is_yes(&mut connection).await? {
                    self.late.push(format!("node {number}: {act:?}, a second after it woke"));
                }
            }
        }
        Ok(())
    }

    fn node(&self, number: usize) -> Result<&Node> {
        self.nodes.get(number).context("there is no such node")
    }

    /// A client and its token, known to every server.
    async fn victim(&mut self, act: Act) -> Result<Victim> {
        let realm = match act {
            Act::Revoke(realm) => realm,
            _ => *self.chance.one_of(&Realm::ALL).context("there are realms")?,
        };
        self.made += 1;
        let client =
            cast::create(&self.place, realm, &format!("victim-{}", self.made), &[]).await?;
        let request = requests::token(&client);
        let mut token = None;
        for node in &self.nodes {
            token = Some(first_token(node, &request).await?);
        }
        let token = token.context("there is no server")?;
        let secret = Question { request, about: About::Secret };
        let request = requests::introspect(self.cast.resource_server(realm)?, &token);
        let asked = Question { request, about: About::Token };
        for node in &self.nodes {
            if !asked.is_yes(&mut Connection::to(node.public, PATIENCE)).await? {
                bail!("node {} does not know a token that another one issued", node.number);
            }
        }
        let mut questions = Vec::new();
        questions.extend(act.ends_tokens().then_some(asked));
        questions.extend(act.ends_secrets().then_some(secret));
        Ok(Victim { client, token, questions })
    }

    /// Does it, on any server but this one, and gives the moment when it was acknowledged.
    async fn change(&mut self, act: Act, victim: &Victim, but: Option<usize>) -> Result<Instant> {
        if let Some((verb, more)) = act.words() {
            let mut words = vec!["client", verb, &victim.client.id];
            words.extend_from_slice(&["--realm", victim.client.realm.name()]);
            words.extend_from_slice(more);
            self.place.operate(&words).await?;
        } else {
            let nodes: Vec<&Node> =
                self.nodes.iter().filter(|node| Some(node.number) != but).collect();
            let node = self.chance.one_of(&nodes).context("there is no other node")?;
            let request = requests::revoke(&victim.client, &victim.token);
            let answer = Connection::to(node.public, PATIENCE).ask(&request).await.answer();
            let status = answer.map(|answer| answer.status);
            if status != Some(200) {
                bail!("node {} does not revoke: {status:?}", node.number);
            }
        }
        Ok(Instant::now())
    }

    /// Asks every server until it says no.
    async fn ask_until_no(&mut self, act: Act, victim: &Victim, since: Instant) -> Result<()> {
        let mut asking = JoinSet::new();
        for node in &self.nodes {
            for question in victim.questions.clone() {
                let (address, number) = (node.public, node.number);
                asking.spawn(async move {
                    let mut connection = Connection::to(address, PATIENCE);
                    let mut yes = Duration::ZERO;
                    loop {
                        let sent = since.elapsed();
                        if !question.is_yes(&mut connection).await? {
                            return Ok::<_, anyhow::Error>((number, question.about, yes));
                        }
                        yes = sent;
                        if yes > GIVEN_UP_AFTER {
                            bail!("node {number} does not obey at all: {:?}", question.about);
                        }
                        sleep(Duration::from_millis(2)).await;
                    }
                });
            }
        }
        let mut last = Duration::ZERO;
        while let Some(obeyed) = asking.join_next().await {
            let (number, about, yes) = obeyed?.with_context(|| format!("{act:?}"))?;
            if yes > OBEYED_WITHIN {
                let took = yes.as_millis();
                self.late.push(format!("node {number}: {act:?}, {about:?}: yes after {took} ms"));
            }
            last = last.max(yes);
        }
        self.obeyed.add(last);
        Ok(())
    }

    fn tell(&self, store: &str, report: &mut Report) {
        report.figure(
            format!("{store}: changes seen on {} servers", self.nodes.len()),
            self.obeyed.count(),
        );
        report.latencies(&format!("{store}: until the last one obeyed"), &self.obeyed);
        report
            .figure(format!("{store}: questions to a server that was frozen"), self.slept_through);
        report.figure(format!("{store}: of these, tokens issued at once"), self.issued_on_waking);
        report.must_be_zero(&format!("{store}: wrongly active"), self.late.len(), &self.late);
    }
}

/// The first token that a server issues to a client that was just made.
async fn first_token(node: &Node, request: &Request) -> Result<String> {
    let mut connection = Connection::to(node.public, PATIENCE);
    let began = Instant::now();
    loop {
        let answer = connection.ask(request).await.answer();
        if let Some((token, _)) = answer.as_ref().and_then(requests::issued) {
            return Ok(token);
        }
        if began.elapsed() > GIVEN_UP_AFTER {
            bail!("node {} does not hear of a new client", node.number);
        }
        sleep(Duration::from_millis(5)).await;
    }
}
