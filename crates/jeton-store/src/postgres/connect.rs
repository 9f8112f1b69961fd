//! Connections: how one is made, lent, and thrown away at the first doubt.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use jeton_engine::store::StoreError;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::PostgresAddress;
use super::tls;
use super::trouble::{Trouble, explain};
use crate::activity::PoolActivity;

/// Makes connections to one address. Everybody who needs one shares it, so that a database that is
/// away is asked now and then by one, and not all the time by all.
pub(super) struct Dialer {
    address: PostgresAddress,
    tls: MakeRustlsConnect,
    gate: Gate,
}

/// A connection and the task that moves its bytes; the task ends with it.
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    has_warned: Arc<AtomicBool>,
    has_ended: bool,
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
    pub(super) fn new(address: PostgresAddress) -> Result<Self, String> {
        let tls = tls::connector(address.tls.as_ref())?;
        Ok(Self { address, tls, gate: Gate::default() })
    }

    /// Makes a connection; not when the last attempt failed just now. What the server says unasked
    /// is handed to `hear`.
    pub(super) async fn dial(&self, hear: impl Fn() + Send + 'static) -> Result<Link, StoreError> {
        self.gate.pass()?;
        let dialed = timeout(self.time_to_connect(), self.dial_now(hear)).await;
        let dialed = dialed.unwrap_or(Err(Trouble::Late)).map_err(StoreError::from);
        match &dialed {
            Ok(_) => self.gate.open(),
            Err(error) => self.gate.close(error),
        }
        dialed
    }

    async fn dial_now(&self, hear: impl Fn() + Send + 'static) -> Result<Link, Trouble> {
        let (client, connection) = self.address.config.connect(self.tls.clone()).await?;
        let has_warned = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, hear, Arc::clone(&has_warned)));
        let link = Link { client, driver, has_warned, has_ended: false };
        if !self.address.is_pooled {
            link.batch_execute(&self.limits("SET", false)).await?;
        }
        Ok(link)
    }

    /// How long all hosts together may take.
    fn time_to_connect(&self) -> Duration {
        let config = &self.address.config;
        let each = config.get_connect_timeout().copied().unwrap_or(self.address.patience);
        let hosts = u32::try_from(config.get_hosts().len()).unwrap_or(u32::MAX);
        each.saturating_mul(hosts).saturating_add(self.address.patience)
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
            tracing::info!("the database can be reached again");
        }
        *failures = Failures::default();
    }

    fn close(&self, error: &StoreError) {
        let mut failures = self.0.lock();
        if failures.count == 0 {
            tracing::error!(%error, "the database cannot be reached; trying on");
        }
        failures.count = failures.count.saturating_add(1);
        failures.until = Some(Instant::now() + pause(failures.count));
        failures.reason = match error {
            StoreError::Unreachable(reason) => reason.clone(),
            other => other.to_string(),
        };
    }
}

/// How long to wait after so many failures: longer each time up to a second, and between half of
/// it and all of it, so that many servers do not come back in the same instant.
fn pause(failures: u32) -> Duration {
    const FIRST: u64 = 25;
    const LONGEST: u64 = 1_000;
    let most = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    // It need not be secret, only different from server to server.
    let spread = RandomState::new().build_hasher().finish();
    Duration::from_millis(most / 2 + spread % (most / 2 + 1))
}

/// Some connections that are used again and again.
pub(super) struct Connections {
    pool: Pool<Shared>,
    dialer: Arc<Dialer>,
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
        if link.has_ended || link.is_closed() {
            Err(RecycleError::message("it was closed"))
        } else {
            Ok(())
        }
    }
}

impl Connections {
    /// Up to `count` connections, made when they are needed.
    pub(super) fn new(dialer: &Arc<Dialer>, count: usize) -> Result<Self, StoreError> {
        let dialer = Arc::clone(dialer);
        let pool = Pool::builder(Shared(Arc::clone(&dialer))).max_size(count).build();
        let pool = pool.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { pool, dialer })
    }

    /// Lends a connection.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let patience = self.dialer.time_to_connect();
        match timeout(patience, self.pool.get()).await {
            Ok(Ok(link)) => {
                link.has_warned.store(false, Ordering::Release);
                Ok(Lent { link, patience: self.dialer.address.patience, is_settled: false })
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
    patience: Duration,
    is_settled: bool,
}

/// How much longer than the server we wait, so that it is the server that gives up, and says why.
const LONGER: Duration = Duration::from_secs(1);

impl Lent {
    /// Does something that must not take longer than it may.
    pub(super) async fn in_time<T>(
        &self,
        act: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        timeout(self.patience + LONGER, act).await.unwrap_or(Err(Trouble::Late))
    }

    /// Whether the server has warned of anything since the loan began.
    pub(super) fn has_warned(&self) -> bool {
        self.link.has_warned.load(Ordering::Acquire)
    }

    /// Gives the connection back, unless it is good for nothing more.
    pub(super) fn settle<T>(mut self, outcome: Result<T, Trouble>) -> Result<T, StoreError> {
        self.is_settled = !outcome.as_ref().is_err_and(Trouble::is_fatal);
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
