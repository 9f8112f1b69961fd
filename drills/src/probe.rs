//! Asks a server once for everything, and says what must come of it while the store takes nothing, and when it
//! is well again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::cast::{Cast, Realm};
use crate::chance::Chance;
use crate::http::{Answer, Connection, Outcome};
use crate::node::Node;
use crate::oracle::{Asked, Oracle, Spent, sign};
use crate::report::Report;
use crate::requests;
use crate::tally::Latencies;

/// Nobody is left waiting for longer than a second for what cannot be had, and this for a slow machine.
const REFUSED_WITHIN: Duration = Duration::from_millis(1500);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came of asking.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How long it took to be told no.
    refused: Latencies,
    /// How long it took to be given what needs no store.
    given: Latencies,
    /// How long it took to be told that nobody knows.
    unknown: Latencies,
    /// How long it took until all was well again.
    well_again: Latencies,
    wrong: Vec<String>,
}

impl Findings {
    /// Adds them to a report. After the end of a fault, all has to be well within the bound.
    pub(crate) fn report(self, well_within: Duration, report: &mut Report) {
        report.latencies("refused what cannot be kept", &self.refused);
        report.latencies("gave what needs no keeping", &self.given);
        if self.unknown.count() > 0 {
            report.latencies("said that nobody knows a token", &self.unknown);
        }
        report.latencies("well again after the fault", &self.well_again);
        report.must_be_within(
            "longest until all was well",
            self.well_again.share(1.0),
            well_within,
        );
        for (name, latencies) in [
            ("longest refusal", &self.refused),
            ("longest until nobody knew a token", &self.unknown),
        ] {
            if latencies.count() > 0 {
                report.must_be_within(name, latencies.share(1.0), REFUSED_WITHIN);
            }
        }
        report.must_be_zero("answered otherwise than promised", self.wrong.len(), &self.wrong);
    }
}

/// Asks one server.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    node: &'a Node,
    cast: &'a Cast,
    chance: Chance,
    findings: &'a mut Findings,
    /// Who remembers what was given where some room may be left; absent: nothing can have been kept.
    room: Option<&'a Oracle>,
}

impl<'a> Probe<'a> {
    /// Asks this server as these clients, and notes what comes of it.
    pub(crate) fn new(
        (node, cast): (&'a Node, &'a Cast),
        chance: Chance,
        findings: &'a mut Findings,
    ) -> Self {
        Self { node, cast, chance, findings, room: None }
    }

    /// Where a little may find room at times although nothing should: what is given all the same is told to
    /// this oracle, which finds out in the end whether it was kept.
    pub(crate) fn with_room(self, oracle: &'a Oracle) -> Self {
        Self { room: Some(oracle), ..self }
    }

    /// While nothing can be written: what would have to be is refused, with the time to come again; what
    /// needs no writing is given.
    ///
    /// # Errors
    /// When the drill itself is wrong.
    pub(crate) async fn while_nothing_is_written(&mut self) -> Result<()> {
        let number = self.number(Realm::Stored)?;
        let stored = requests::token(self.cast.client(number)?);
        let spent = self.assertion()?;
        let by_assertion = requests::token_by(&spent.text);
        for (kind, request, client, spent) in [
            ("stored", stored, number, None),
            ("assertion", by_assertion, spent.client, Some(spent)),
        ] {
            let (answer, took) = self.ask(&request).await;
            match answer {
                Outcome::Answered(answer) if answer.status == 503 => {
                    self.findings.refused.add(took);
                    if answer.header("retry-after").is_none() {
                        self.findings.wrong.push(format!("{kind}: 503 without Retry-After"));
                    }
                }
                Outcome::Answered(answer) if self.has_found_room(client, spent, &answer) => {}
                other => self.findings.wrong.push(format!("{kind}: {}", shown(&other))),
            }
        }
        for realm in [Realm::Jwt, Realm::Sealed] {
            let request = requests::token(self.client(realm)?);
            let (answer, took) = self.ask(&request).await;
            self.findings.given.add(took);
            if !matches!(&answer, Outcome::Answered(answer) if answer.status == 200) {
                self.findings.wrong.push(format!("{}: {}", realm.name(), shown(&answer)));
            }
        }
        if self.node.readiness().await == Some(200) {
            self.findings.wrong.push("it says that it is ready".to_owned());
        }
        Ok(())
    }

    /// While the store is not there at all: besides, nobody is told what a token is. `known` was active.
    ///
    /// # Errors
    /// When the drill itself is wrong.
    pub(crate) async fn while_the_store_is_away(&mut self, known: &Asked) -> Result<()> {
        self.while_nothing_is_written().await?;
        let asker = self.cast.resource_server(known.realm)?;
        for (kind, request) in [
            ("introspect", requests::introspect(asker, &known.value)),
            ("verify", requests::verify(known.realm, &known.value)),
        ] {
            let (answer, took) = self.ask(&request).await;
            self.findings.unknown.add(took);
            if !matches!(&answer, Outcome::Answered(answer) if answer.status == 503) {
                self.findings.wrong.push(format!("{kind}: {}", shown(&answer)));
            }
        }
        Ok(())
    }

    /// Waits until a stored token is refused: what was free before the fault has been used up.
    ///
    /// # Errors
    /// When it never is.
    pub(crate) async fn until_refused(&mut self) -> Result<()> {
        let number = self.number(Realm::Stored)?;
        let request = requests::token(self.cast.client(number)?);
        for _ in 0..2000 {
            if let (Outcome::Answered(answer), _) = self.ask(&request).await
                && !self.has_found_room(number, None, &answer)
                && answer.status != 200
            {
                return Ok(());
            }
        }
        anyhow::bail!("the fault has no effect")
    }

    /// Whether this was given although nothing should have found room; the oracle knows of it then.
    fn has_found_room(&self, client: usize, spent: Option<Spent>, answer: &Answer) -> bool {
        let token = requests::issued(answer).filter(|_| answer.status == 200);
        let (Some(oracle), Some(token)) = (self.room, token) else { return false };
        let realm = if spent.is_some() { Realm::Jwt } else { Realm::Stored };
        oracle.issued(realm, client, token);
        spent.into_iter().for_each(|spent| oracle.spent(spent));
        true
    }

    /// Waits until a stored token is given and the server says that it is ready.
    ///
    /// # Errors
    /// When it never is.
    pub(crate) async fn until_well(&mut self) -> Result<()> {
        const AT_MOST: Duration = Duration::from_secs(60);
        let began = Instant::now();
        let request = requests::token(self.client(Realm::Stored)?);
        while began.elapsed() < AT_MOST {
            let (answer, _) = self.ask(&request).await;
            let given = matches!(&answer, Outcome::Answered(answer) if answer.status == 200);
            if given && self.node.is_ready().await {
                self.findings.well_again.add(began.elapsed());
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("node {} is not well again after {AT_MOST:?}", self.node.number)
    }

    fn number(&self, realm: Realm) -> Result<usize> {
        self.cast.with_secret(realm).first().copied().context("nobody is there")
    }

    fn client(&self, realm: Realm) -> Result<&'a crate::cast::Client> {
        self.cast.client(self.number(realm)?)
    }

    fn assertion(&mut self) -> Result<Spent> {
        let client = self.cast.with_key().first().copied().context("nobody has a key")?;
        // It must not have expired when it is tried again.
        let lifetime = Duration::from_secs(50 * 60);
        let text = sign(self.cast, client, self.chance.number(), lifetime)?;
        Ok(Spent { text: text.into(), client })
    }

    async fn ask(&self, request: &crate::http::Request) -> (Outcome, Duration) {
        let began = Instant::now();
        let outcome = Connection::to(self.node.public, PATIENCE).ask(request).await;
        (outcome, began.elapsed())
    }
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(Answer { status, body, .. }) => format!("{status} {body}"),
        Outcome::NotSent(why) | Outcome::Unanswered(why) => why.clone(),
    }
}
