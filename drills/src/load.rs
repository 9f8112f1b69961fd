//! Load: many callers at once, each with a kept connection, who ask for everything there is and tell the
//! oracle what they were answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cast::{Cast, Realm};
use crate::chance::Chance;
use crate::http::{Answer, Connection, Outcome, Request};
use crate::oracle::{Oracle, Server, Spent, sign};
use crate::requests;
use crate::tally::Tally;

/// How often each kind of request is made, in proportion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    /// Tokens that are kept, in somebody else's dialect.
    pub(crate) stored: usize,
    /// JWTs.
    pub(crate) jwt: usize,
    /// Sealed tokens.
    pub(crate) sealed: usize,
    /// Tokens by assertion.
    pub(crate) assertion: usize,
    /// Introspection of any token.
    pub(crate) introspect: usize,
    /// Forward-auth with any token.
    pub(crate) verify: usize,
    /// Revocation.
    pub(crate) revoke: usize,
}

impl Weights {
    /// A little of everything, most of it what has to be durable.
    pub(crate) const MIXED: Self = Self {
        stored: 30,
        jwt: 10,
        sealed: 10,
        assertion: 8,
        introspect: 20,
        verify: 12,
        revoke: 10,
    };

    fn row(&self) -> [(Kind, usize); 7] {
        [
            (Kind::Token(Realm::Stored), self.stored),
            (Kind::Token(Realm::Jwt), self.jwt),
            (Kind::Token(Realm::Sealed), self.sealed),
            (Kind::Assertion, self.assertion),
            (Kind::Introspect, self.introspect),
            (Kind::Verify, self.verify),
            (Kind::Revoke, self.revoke),
        ]
    }

    fn choose(&self, chance: &mut Chance) -> Kind {
        let row = self.row();
        let mut at = chance.below(row.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in row {
            match at.checked_sub(weight) {
                Some(left) => at = left,
                None => return kind,
            }
        }
        Kind::Introspect
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Token(Realm),
    Assertion,
    Introspect,
    Verify,
    Revoke,
}

/// A load that is to be put on servers.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Whom it asks; each caller stays with one until it breaks.
    pub(crate) servers: Vec<Server>,
    /// What it asks.
    pub(crate) weights: Weights,
    /// How many callers ask at the same time.
    pub(crate) callers: usize,
    /// The most tokens; then there is only asking about them.
    pub(crate) tokens_max: usize,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
    /// How long each caller waits between two requests.
    pub(crate) pause: Duration,
}

impl Load {
    /// A mixed load on these servers.
    pub(crate) fn mixed(servers: Vec<Server>, callers: usize, tokens_max: usize) -> Self {
        let patience = Duration::from_secs(15);
        Self {
            servers,
            weights: Weights::MIXED,
            callers,
            tokens_max,
            patience,
            pause: Duration::ZERO,
        }
    }

    /// Begins. Dropping what it gives ends it.
    pub(crate) fn start(self, oracle: &Arc<Oracle>, cast: &Arc<Cast>, chance: &Chance) -> Running {
        let tally = Arc::new(Tally::default());
        let stop = Arc::new(AtomicBool::new(false));
        let left = Arc::new(AtomicUsize::new(self.tokens_max));
        let mut callers = JoinSet::new();
        for number in 0..self.callers {
            let caller = Caller {
                load: self.clone(),
                oracle: Arc::clone(oracle),
                cast: Arc::clone(cast),
                tally: Arc::clone(&tally),
                stop: Arc::clone(&stop),
                left: Arc::clone(&left),
                chance: chance.branch(u64::try_from(number).unwrap_or_default()),
                server: None,
            };
            callers.spawn(caller.run());
        }
        Running { tally, stop, callers }
    }
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Running {
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<()>>,
}

impl Running {
    /// What became of its requests so far.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits until so many requests have been answered, but not longer than this.
    pub(crate) async fn answered(&self, count: usize, patience: Duration) {
        let began = Instant::now();
        while self.tally.count(|_| true) < count && began.elapsed() < patience {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it: every caller waits for its last answer.
    ///
    /// # Errors
    /// When a caller could not go on.
    pub(crate) async fn stop(mut self) -> Result<Arc<Tally>> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.callers.join_next().await {
            done??;
        }
        Ok(Arc::clone(&self.tally))
    }
}

struct Caller {
    load: Load,
    oracle: Arc<Oracle>,
    cast: Arc<Cast>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    left: Arc<AtomicUsize>,
    chance: Chance,
    /// Who answers on the connection.
    server: Option<usize>,
}

impl Caller {
    async fn run(mut self) -> Result<()> {
        let Some(mut connection) = self.turn(None) else { return Ok(()) };
        while !self.stop.load(Ordering::Relaxed) {
            let kind = self.load.weights.choose(&mut self.chance);
            let reached = match kind {
                Kind::Token(realm) => self.token(&mut connection, realm).await?,
                Kind::Assertion => self.assertion(&mut connection).await?,
                Kind::Introspect => self.introspect(&mut connection).await?,
                Kind::Verify => self.verify(&mut connection).await,
                Kind::Revoke => self.revoke(&mut connection).await?,
            };
            if !reached {
                sleep(Duration::from_millis(5)).await;
                self.turn(Some(&mut connection));
            }
            if !self.load.pause.is_zero() {
                sleep(self.load.pause).await;
            }
        }
        Ok(())
    }

    /// Goes to any of the servers.
    fn turn(&mut self, connection: Option<&mut Connection>) -> Option<Connection> {
        let server = *self.chance.one_of(&self.load.servers)?;
        self.server = server.number;
        match connection {
            Some(connection) => {
                connection.turn_to(server.address);
                None
            }
            None => Some(Connection::to(server.address, self.load.patience)),
        }
    }

    /// Asks, and counts what becomes of it. An error tells whether the request may have been obeyed.
    async fn ask(
        &self,
        connection: &mut Connection,
        kind: &'static str,
        request: &Request,
    ) -> Result<Answer, Unheard> {
        let began = Instant::now();
        match connection.ask(request).await {
            Outcome::Answered(answer) => {
                self.tally.answered(kind, answer.status, began.elapsed());
                if answer.status >= 500 {
                    self.tally.example(format!("{kind}: {} {}", answer.status, answer.body));
                }
                Ok(answer)
            }
            Outcome::NotSent(_) => {
                self.tally.connection_refused();
                Err(Unheard::NotSent)
            }
            Outcome::Unanswered(why) => {
                self.tally.unanswered(kind, &why);
                Err(Unheard::PerhapsObeyed)
            }
        }
    }

    fn may_issue(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    async fn token(&mut self, connection: &mut Connection, realm: Realm) -> Result<bool> {
        if !self.may_issue() {
            return self.introspect(connection).await;
        }
        let Some(&client) = self.chance.one_of(&self.cast.with_secret(realm)) else {
            return Ok(true);
        };
        let request = requests::token(self.cast.client(client)?);
        let Ok(answer) = self.ask(connection, realm.name(), &request).await else {
            return Ok(false);
        };
        self.note_issued(realm, client, &answer);
        Ok(true)
    }

    fn note_issued(&self, realm: Realm, client: usize, answer: &Answer) {
        match requests::issued(answer).filter(|_| answer.status == 200) {
            Some(token) => self.oracle.issued(realm, client, token),
            // What is unavailable says so; everything else is no answer for a client that is well.
            None if answer.status != 503 => {
                self.oracle.refused(client, || format!("{} {}", answer.status, answer.body));
            }
            None => {}
        }
    }

    async fn assertion(&mut self, connection: &mut Connection) -> Result<bool> {
        let with_key = self.cast.with_key();
        let Some(&client) = self.chance.one_of(&with_key).filter(|_| self.may_issue()) else {
            return self.introspect(connection).await;
        };
        // It must not have expired when it is tried again.
        let text = sign(&self.cast, client, self.chance.number(), Duration::from_secs(50 * 60))?;
        let request = requests::token_by(&text);
        let Ok(answer) = self.ask(connection, "assertion", &request).await else {
            return Ok(false);
        };
        if answer.status == 200 {
            self.oracle.spent(Spent { text: text.into(), client });
        }
        self.note_issued(Realm::Jwt, client, &answer);
        Ok(true)
    }

    async fn introspect(&mut self, connection: &mut Connection) -> Result<bool> {
        let Some(asked) = self.oracle.any(&mut self.chance) else { return Ok(true) };
        let request = requests::introspect(self.cast.resource_server(asked.realm)?, &asked.value);
        let (sent, server) = (Instant::now(), self.server);
        let Ok(answer) = self.ask(connection, "introspect", &request).await else {
            return Ok(false);
        };
        match requests::active(&answer) {
            Some(active) => self.oracle.judge(&asked, server, sent, active),
            None => self.note_trouble("introspect", &answer),
        }
        Ok(true)
    }

    async fn verify(&mut self, connection: &mut Connection) -> bool {
        let Some(asked) = self.oracle.any(&mut self.chance) else { return true };
        let request = requests::verify(asked.realm, &asked.value);
        let (sent, server) = (Instant::now(), self.server);
        let Ok(answer) = self.ask(connection, "verify", &request).await else { return false };
        match answer.status {
            204 => self.oracle.judge(&asked, server, sent, true),
            401 => self.oracle.judge(&asked, server, sent, false),
            _ => self.note_trouble("verify", &answer),
        }
        true
    }

    async fn revoke(&mut self, connection: &mut Connection) -> Result<bool> {
        let Some(asked) = self.oracle.revoking(&mut self.chance) else { return Ok(true) };
        let client = self.cast.client(asked.client)?;
        let request = match client.secret() {
            secret if secret.is_empty() => {
                // Who has a key shows an assertion instead.
                let id = self.chance.number();
                let text = sign(&self.cast, asked.client, id, Duration::from_secs(60))?;
                requests::revoke_by(&text, &asked.value)
            }
            _ => requests::revoke(client, &asked.value),
        };
        match self.ask(connection, "revoke", &request).await {
            Ok(answer) if answer.status == 200 => self.oracle.revoked(asked.number, self.server),
            // It says that the token still holds; a commit whose end nobody knows is told so, too.
            Ok(answer) => self.note_trouble("revoke", &answer),
            Err(Unheard::NotSent) => {
                self.oracle.not_revoked(asked.number);
                return Ok(false);
            }
            Err(Unheard::PerhapsObeyed) => return Ok(false),
        }
        Ok(true)
    }

    fn note_trouble(&self, kind: &str, answer: &Answer) {
        if answer.status != 503 {
            self.tally.example(format!("{kind}: {} {}", answer.status, answer.body));
        }
    }
}

/// There is no answer.
#[derive(Clone, Copy, Debug)]
enum Unheard {
    NotSent,
    PerhapsObeyed,
}
