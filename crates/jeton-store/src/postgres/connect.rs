//! Connections: how one is made, lent, and thrown away at the first doubt.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use jeton_engine::clock::Random;
use jeton_engine::store::StoreError;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::PostgresAddress;
use super::origin::{Newest, Origin};
use super::tls;
use super::trouble::{Trouble, explain};
use crate::activity::PoolActivity;

/// Makes connections to one address. Everybody who needs one shares it, so that a database that is
/// away is asked now and then by one, and not all the time by all.
pub(super) struct Dialer {
    address: PostgresAddress,
    /// The same, each with one of the servers.
    servers: Vec<Config>,
    tls: MakeRustlsConnect,
    random: Random,
    gate: Gate,
    newest: Newest,
    /// How often a server did not answer in time. Connections from before that are not used again:
    /// what swallowed one answer may have swallowed all, and each would cost as much time.
    silences: AtomicU64,
}

/// A connection and the task that moves its bytes; the task ends with it.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    has_warned: Arc<AtomicBool>,
    has_ended: bool,
    origin: Option<Origin>,
    /// How many silences there had been when it was made.
    silences: u64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    /// Ends the connection here and now; the server rolls back what had begun on it.
    fn end(&mut self) {
        self.driver.abort();
        self.has_ended = true;
    }

    /// Returns when the connection has ended.
    pub(super) async fn ended(&mut self) {
        // However it ended: it did.
        let _ = (&mut self.driver).await;
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Dialer {
    /// Reads the files that the address names.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub(super) fn new(address: PostgresAddress, random: Random) -> Result<Self, String> {
        let tls = tls::connector(address.tls.as_ref())?;
        let servers = address.servers();
        let (gate, newest) = (Gate::default(), Newest::default());
        Ok(Self { address, servers, tls, random, gate, newest, silences: AtomicU64::new(0) })
    }

    /// How many servers there are to choose from.
    pub(super) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The newest origin that anybody has seen.
    pub(super) fn newest(&self) -> &Newest {
        &self.newest
    }

    /// Between half of a duration and all of it.
    pub(super) fn spread(&self, most: Duration) -> Duration {
        self.random.spread(most)
    }

    /// Makes a connection to the server that counts; not when the last attempt failed just now. What
    /// the server says unasked is handed to `hear`.
    pub(super) async fn dial(
        self: &Arc<Self>,
        hear: impl Fn() + Clone + Send + 'static,
    ) -> Result<Link, StoreError> {
        self.gate.pass()?;
        let dialed = match self.dial_now(hear).await {
            Ok(link) => self.newest.accept(link.origin).map(|()| link),
            Err(error) => Err(error),
        };
        match &dialed {
            Ok(_) => self.gate.open(),
            Err(error) => self.gate.close(error, |most| self.random.spread(most)),
        }
        dialed
    }

    /// Calls all servers at once: one that hangs keeps nobody from reaching the others. Of several
    /// that take writes, the one that took over last.
    async fn dial_now(
        self: &Arc<Self>,
        hear: impl Fn() + Clone + Send + 'static,
    ) -> Result<Link, StoreError> {
        /// How long the others may take, once one has answered.
        const OTHERS: Duration = Duration::from_millis(100);
        let mut calls = JoinSet::new();
        for server in 0..self.servers.len() {
            let (dialer, hear) = (Arc::clone(self), hear.clone());
            calls.spawn(async move { (server, dialer.call(server, hear).await) });
        }
        let mut end = Instant::now() + self.time_to_connect();
        let mut found: Option<Link> = None;
        let mut troubles: Vec<(usize, StoreError)> = Vec::new();
        while let Ok(Some(called)) = timeout_at(end, calls.join_next()).await {
            match called {
                Ok((_, Ok(link))) => {
                    end = end.min(Instant::now() + OTHERS);
                    if found.as_ref().is_none_or(|found| is_later(link.origin, found.origin)) {
                        found = Some(link);
                    }
                }
                Ok((server, Err(trouble))) => troubles.push((server, trouble.into())),
                Err(error) => troubles.push((0, StoreError::Failed(error.to_string()))),
            }
        }
        found.ok_or_else(|| self.of_all(troubles))
    }

    async fn call(&self, server: usize, hear: impl Fn() + Send + 'static) -> Result<Link, Trouble> {
        let config = self.servers.get(server).unwrap_or(&self.address.config);
        let mut link = self.connect(config, hear).await?;
        if !self.address.is_pooled {
            link.batch_execute(&self.limits("SET", false)).await?;
            link.origin = Origin::of(&link).await;
        }
        Ok(link)
    }

    /// Makes a connection to one server, whether it takes writes or not.
    pub(super) async fn watch(&self, server: usize) -> Result<Link, Trouble> {
        let mut config = self.servers.get(server).unwrap_or(&self.address.config).clone();
        config.target_session_attrs(TargetSessionAttrs::Any);
        let connecting = self.connect(&config, || {});
        timeout(self.time_to_connect(), connecting).await.unwrap_or(Err(Trouble::Late))
    }

    async fn connect(
        &self,
        config: &Config,
        hear: impl Fn() + Send + 'static,
    ) -> Result<Link, Trouble> {
        let silences = self.silences.load(Ordering::Relaxed);
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let has_warned = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, hear, Arc::clone(&has_warned)));
        Ok(Link { client, driver, has_warned, has_ended: false, origin: None, silences })
    }

    /// What went wrong with the servers, of which none can be used.
    fn of_all(&self, mut troubles: Vec<(usize, StoreError)>) -> StoreError {
        match (self.servers.len(), troubles.pop()) {
            (_, None) => Trouble::Late.into(),
            (1, Some((_, only))) => only,
            (_, Some(last)) => {
                troubles.push(last);
                troubles.sort_by_key(|(server, _)| *server);
                let text = |(server, error): &(usize, StoreError)| match error {
                    StoreError::Unreachable(text) | StoreError::Failed(text) => {
                        format!("server {}: {text}", server + 1)
                    }
                    other => other.to_string(),
                };
                let texts: Vec<String> = troubles.iter().map(text).collect();
                StoreError::Unreachable(texts.join("; "))
            }
        }
    }

    /// How long a connection may take to be made: more than a server may take to answer the first
    /// time, since it is asked a few things then.
    fn time_to_connect(&self) -> Duration {
        let config = &self.address.config;
        let each = config.get_connect_timeout().copied().unwrap_or(self.address.patience);
        each.saturating_add(LONGER)
    }

    /// Begins a transaction. Behind a pooler, the connection to the server is ours for the
    /// transaction only, and so are its limits.
    pub(super) fn begin(&self) -> String {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
        if self.address.is_pooled {
            format!("{BEGIN}; {}", self.limits("SET LOCAL", true))
        } else {
            BEGIN.to_owned()
        }
    }

    /// Nothing waits for ever, and a server that died in the middle of a transaction keeps no
    /// others waiting. A server that would acknowledge a commit before it is durable is told not
    /// to; one that does more than that is left alone.
    fn limits(&self, set: &str, is_local: bool) -> String {
        let patience = self.address.patience.as_millis();
        let lock = patience * 3 / 5;
        format!(
            "{set} statement_timeout = {patience}; {set} lock_timeout = {lock}; \
             {set} idle_in_transaction_session_timeout = {patience}; \
             SELECT set_config('synchronous_commit', 'on', {is_local}) \
             WHERE current_setting('synchronous_commit') = 'off'"
        )
    }
}

fn is_later(one: Option<Origin>, other: Option<Origin>) -> bool {
    let newest = Newest::default();
    newest.accept(one).is_ok() && newest.is_past(other)
}

/// Moves a connection's bytes until it ends. A warning is noted before the answer that it comes
/// with: a commit that somebody kept from waiting for its replica looks like any other otherwise.
async fn drive<S, T>(
    mut connection: Connection<S, T>,
    hear: impl Fn() + Send + 'static,
    has_warned: Arc<AtomicBool>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => hear(),
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    tracing::warn!(message = notice.message(), "the database warns");
                    has_warned.store(true, Ordering::Release);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = explain(&error), "a connection to the database ended");
                return;
            }
            None => return,
        }
    }
}

/// Keeps attempts to connect apart from each other while they fail.
#[derive(Default)]
struct Gate(Mutex<Failures>);

#[derive(Default)]
struct Failures {
    count: u32,
    until: Option<Instant>,
    reason: String,
}

impl Gate {
    fn pass(&self) -> Result<(), StoreError> {
        let failures = self.0.lock();
        match failures.until {
            Some(until) if Instant::now() < until => {
                Err(StoreError::Unreachable(failures.reason.clone()))
            }
            _ => Ok(()),
        }
    }

    fn open(&self) {
        let mut failures = self.0.lock();
        if failures.count > 0 {
            tracing::debug!("connections to the database can be made again");
        }
        *failures = Failures::default();
    }

    fn close(&self, error: &StoreError, spread: impl FnOnce(Duration) -> Duration) {
        let mut failures = self.0.lock();
        if failures.count == 0 {
            tracing::debug!(%error, "no connection to the database can be made; trying on");
        }
        failures.count = failures.count.saturating_add(1);
        failures.until = Some(Instant::now() + spread(pause_max(failures.count)));
        failures.reason = match error {
            StoreError::Unreachable(reason) => reason.clone(),
            other => other.to_string(),
        };
    }
}

/// How long to wait at most after so many failures: longer each time, up to a second. Each server
/// waits between half of it and all of it, so that not all come back in the same instant.
fn pause_max(failures: u32) -> Duration {
    const FIRST: u64 = 25;
    const LONGEST: u64 = 1_000;
    Duration::from_millis(FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST))
}

/// Some connections that are used again and again.
pub(super) struct Connections {
    pool: Pool<Shared>,
    dialer: Arc<Dialer>,
    patience: Duration,
}

/// What makes a pool's connections.
pub(super) struct Shared(Arc<Dialer>);

impl managed::Manager for Shared {
    type Type = Link;
    type Error = StoreError;

    async fn create(&self) -> Result<Link, StoreError> {
        self.0.dial(|| {}).await
    }

    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<StoreError> {
        let is_doubtful = link.silences < self.0.silences.load(Ordering::Relaxed);
        if link.has_ended || link.is_closed() || is_doubtful || self.0.newest.is_past(link.origin) {
            Err(RecycleError::message("it was closed, or another server has taken over"))
        } else {
            Ok(())
        }
    }
}

impl Connections {
    /// Up to `count` connections, made when they are needed. What is done on one may take as long as
    /// the address says.
    pub(super) fn new(dialer: &Arc<Dialer>, count: usize) -> Result<Self, StoreError> {
        let patience = dialer.address.patience + LONGER;
        let dialer = Arc::clone(dialer);
        let pool = Pool::builder(Shared(Arc::clone(&dialer))).max_size(count).build();
        let pool = pool.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { pool, dialer, patience })
    }

    /// These, for what has to be quick.
    pub(super) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Lends a connection.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let patience = self.dialer.time_to_connect().saturating_add(self.patience);
        match timeout(patience, self.pool.get()).await {
            Ok(Ok(link)) => {
                link.has_warned.store(false, Ordering::Release);
                let dialer = Arc::clone(&self.dialer);
                Ok(Lent { link, dialer, patience: self.patience, is_settled: false })
            }
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(closed()),
            Ok(Err(error)) => Err(StoreError::Failed(error.to_string())),
            Err(_) => Err(StoreError::Unreachable(
                "no connection to the database was free in time".to_owned(),
            )),
        }
    }

    /// How many there are, and what they do.
    pub(super) fn activity(&self, name: &'static str) -> PoolActivity {
        let status = self.pool.status();
        PoolActivity {
            name,
            open: status.size,
            idle: status.available,
            most: status.max_size,
            waiting: status.waiting,
        }
    }

    /// Closes the connections: the idle ones now, the others when they come back.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// The answer of a store that was closed.
pub(super) fn closed() -> StoreError {
    StoreError::Unreachable("the store was closed".to_owned())
}

/// A connection on loan. Only [`Lent::settle`] gives it back: dropped in the middle of something it
/// is closed, and with it what had begun.
pub(super) struct Lent {
    link: Object<Shared>,
    dialer: Arc<Dialer>,
    patience: Duration,
    is_settled: bool,
}

/// How much longer than the server we wait, so that it is the server that gives up, and says why.
const LONGER: Duration = Duration::from_secs(1);

impl Lent {
    /// Does something that must not take longer than it may, nor go on when another server has taken
    /// over.
    pub(super) async fn in_time<T>(
        &self,
        act: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            done = timeout(self.patience, act) => done.unwrap_or(Err(Trouble::Late)),
            () = self.dialer.newest.passes(self.link.origin) => Err(Trouble::Superseded),
        }
    }

    /// Whether the server has warned of anything since the loan began.
    pub(super) fn has_warned(&self) -> bool {
        self.link.has_warned.load(Ordering::Acquire)
    }

    /// Gives the connection back, unless it is good for nothing more. Nor is one whose server warned:
    /// perhaps it is cut off from its replica, and another one has taken over.
    pub(super) fn settle<T>(mut self, outcome: Result<T, Trouble>) -> Result<T, StoreError> {
        if matches!(outcome, Err(Trouble::Late)) {
            self.dialer.silences.fetch_add(1, Ordering::Relaxed);
        }
        self.is_settled = !outcome.as_ref().is_err_and(Trouble::is_fatal) && !self.has_warned();
        outcome.map_err(StoreError::from)
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.link
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_settled {
            self.link.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_connect_get_rarer_up_to_a_second_and_no_two_servers_keep_step() {
        let pauses: Vec<u128> = (1..8).map(|count| pause_max(count).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(pause_max(u32::MAX), Duration::from_secs(1));
        let longest = pause_max(9);
        let spread = |seed| Random::seeded(seed).spread(longest);
        let all: Vec<Duration> = (0..50).map(spread).collect();
        assert!(all.iter().all(|pause| *pause >= longest / 2 && *pause <= longest));
        let mut apart = all.clone();
        apart.sort_unstable();
        apart.dedup();
        assert!(apart.len() > 40, "they come back together: {all:?}");
        assert!(apart.last().unwrap().checked_sub(apart[0]).unwrap() > longest / 3);
    }

    #[test]
    fn after_a_failure_nobody_connects_for_a_while_and_after_a_success_everybody_may() {
        let gate = Gate::default();
        assert_eq!(gate.pass(), Ok(()));
        let away = StoreError::Unreachable("away".to_owned());
        gate.close(&away, |_| Duration::from_secs(60));
        assert_eq!(gate.pass(), Err(away.clone()));
        gate.close(&away, |_| Duration::ZERO);
        assert_eq!(gate.pass(), Ok(()), "the pause is over");
        gate.close(&away, |_| Duration::from_secs(60));
        gate.open();
        assert_eq!(gate.pass(), Ok(()));
    }
}
