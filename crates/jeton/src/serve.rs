//! A whole server: takes the configuration apart, starts everything in order, and stops it in the reverse one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::clock::{Clock, Random};
use jeton_engine::engine::{Engine, Parts};
use jeton_engine::error::Fault;
use jeton_store::OpenError;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::admin::Admin;
use crate::config::master_key::{self, MasterKeyError};
use crate::config::{self, Config, Problems, RealmConfig};
use crate::fetch::resolver::Resolver;
use crate::fetch::{FetchError, KeySets};
use crate::http::listener::{Door, ListenerLimits, bind, listen};
use crate::http::traffic::Connections;
use crate::http::{Front, listener_limits};
use crate::metrics::{self, Metrics};
use crate::storage;
use crate::systemd::{self, Pulse};
use crate::tls::reload::Current;
use crate::tls::server::FileProblems;
use crate::traces::{Traced, Traces};

/// The sockets of a server, open before anything else is: what they are told the configuration can name.
#[derive(Debug)]
pub struct Listeners {
    /// The public one.
    pub public: TcpListener,
    /// The one for operators.
    pub admin: TcpListener,
}

impl Listeners {
    /// Opens both. Port 0 takes any free one.
    ///
    /// # Errors
    /// Which address cannot be listened on, and why.
    pub fn open(public: SocketAddr, admin: SocketAddr, backlog: u32) -> Result<Self, StartError> {
        let open =
            |address| bind(address, backlog).map_err(|error| StartError::Listen { address, error });
        Ok(Self { public: open(public)?, admin: open(admin)? })
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Signals cannot be listened for.
    #[error("signals cannot be listened for: {0}")]
    Signals(io::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There is no master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The keys of others cannot be fetched.
    #[error("the keys of others cannot be fetched: {0}")]
    Fetch(#[from] FetchError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] FileProblems),
    /// The collector of traces cannot be trusted.
    #[error("traces cannot be sent: {0}")]
    Traces(String),
    /// The engine cannot begin.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// Why a new configuration was not taken over; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The TLS files cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] FileProblems),
    /// The new realms cannot be served.
    #[error("{0}")]
    Fault(#[from] Fault),
}

/// Where time and randomness come from; fixed in exchanges and tests.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
}

impl Default for Sources {
    fn default() -> Self {
        Self { clock: Clock::System, random: Random::System }
    }
}

/// Starts servers.
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// Starts a server on the addresses that the configuration names.
    ///
    /// # Errors
    /// Why it cannot start; then nothing is left running.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let server = &config.server;
        let listeners = Listeners::open(server.listen, config.admin.listen, server.backlog)?;
        Self::start_on(listeners, config, Sources::default()).await
    }

    /// Starts a server on sockets that are open already.
    ///
    /// # Errors
    /// Why it cannot start; then nothing is left running.
    pub async fn start_on(
        listeners: Listeners,
        config: Config,
        sources: Sources,
    ) -> Result<Running, StartError> {
        let store = storage::open(&config.storage, &sources.random).await?;
        match Self::start_with(listeners, config, sources, store.clone()).await {
            Ok(running) => Ok(running),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn start_with(
        listeners: Listeners,
        config: Config,
        Sources { clock, random }: Sources,
        store: storage::Opened,
    ) -> Result<Running, StartError> {
        let read = |tls| Current::read(tls, clock.clone()).map(Arc::new);
        let tls = config.server.tls.as_ref().map(read).transpose()?;
        let addresses = (address(&listeners.public)?, address(&listeners.admin)?);
        let master_key = master_key::read(&config.storage.master_key, &random)?;
        let settings = config.settings;
        let traces = traces(&config, (&clock, &random))?;
        let key_source = KeySets::new(config.fetch.clone(), Resolver::System, clock.clone())?;
        let (key_sets, key_source) = (key_source.clone(), Arc::new(key_source));
        let kept = store.store();
        let parts = Parts { store: kept, clock, random, master_key, key_source, settings };
        let engine = Engine::open(parts.clone(), config.engine_realms()).await?;
        ensure_keys(&engine, &config.realms).await?;
        let front = Arc::new(Front::new(&config.server, &config.realms, Arc::clone(&engine))?);
        let limits = listener_limits(&config.server);
        let operators_limits = ListenerLimits { connections_max: ADMIN_CONNECTIONS_MAX, ..limits };
        let grace = config.server.shutdown_grace;
        let (of_public, of_admin) = (Arc::<Connections>::default(), Arc::<Connections>::default());
        let metrics = Metrics::new(metrics::Sources {
            engine: Arc::clone(&engine),
            store: store.clone(),
            front: Arc::clone(&front),
            key_sets,
            listeners: [
                ("public", Arc::clone(&of_public), limits.connections_max),
                ("admin", Arc::clone(&of_admin), ADMIN_CONNECTIONS_MAX),
            ],
            tls: tls.clone(),
        });
        let admin = Arc::new(Admin::new(Arc::clone(&engine), metrics));
        let (drain, draining) = watch::channel(false);
        let (socket, connections) = (listeners.public, of_public);
        let door = Door { socket, tls: tls.clone(), connections, draining };
        let public = match traces.as_ref().map(|traces| Traced::new(&front, traces)) {
            None => Stage::begin(|stop| listen(door, Arc::clone(&front), limits, grace, stop)),
            Some(traced) => Stage::begin(|stop| listen(door, traced, limits, grace, stop)),
        };
        // Health is asked for until the end.
        let (socket, connections, draining) = (listeners.admin, of_admin, watch::channel(false).1);
        let door = Door { socket, tls: None, connections, draining };
        let (answers, grace) = (Arc::clone(&admin), Duration::from_secs(1));
        let operators = Stage::begin(|stop| listen(door, answers, operators_limits, grace, stop));
        let upkeep = Stage::begin(|stop| Arc::clone(&engine).upkeep(until_true(stop)));
        let mut stages = vec![public, operators, upkeep];
        stages.extend(traces.map(|traces| Stage::begin(|stop| traces.export(stop))));
        stages.extend(tls.clone().map(|tls| Stage::begin(|stop| tls.follow(stop))));
        Ok(Running {
            public_address: addresses.0,
            admin_address: addresses.1,
            parts,
            engine,
            front,
            admin,
            store,
            config: Mutex::new(config),
            tls,
            drain,
            stages,
        })
    }
}

/// Operators and their machines are few.
const ADMIN_CONNECTIONS_MAX: usize = 256;

fn address(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        StartError::Listen { address, error }
    })
}

fn traces(config: &Config, sources: (&Clock, &Random)) -> Result<Option<Arc<Traces>>, StartError> {
    let Some(settings) = &config.traces else { return Ok(None) };
    let traces = Traces::new(settings, &config.server.trusted_proxies, sources);
    traces.map(Some).map_err(|error| StartError::Traces(error.to_string()))
}

async fn ensure_keys(engine: &Engine, realms: &[RealmConfig]) -> Result<(), Fault> {
    for realm in realms {
        let state = engine.realm(&realm.realm.name);
        let state =
            state.ok_or(Fault::Impossible("the engine does not know a configured realm"))?;
        engine.ensure_keys(&state, &realm.terms()).await?;
    }
    Ok(())
}

async fn until_true(mut stop: watch::Receiver<bool>) {
    // An error means that nobody is left who could say it.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A part of the server that runs until it is told to stop.
struct Stage {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Stage {
    fn begin<F>(run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Self { task: tokio::spawn(run(stopped)), stop }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        // A panic in it has been logged; the other stages are to end all the same.
        let _ = self.task.await;
    }
}

/// A server that runs. Dropping it stops it too, but nobody waits for what has begun.
pub struct Running {
    public_address: SocketAddr,
    admin_address: SocketAddr,
    parts: Parts,
    engine: Arc<Engine>,
    front: Arc<Front>,
    admin: Arc<Admin>,
    store: storage::Opened,
    tls: Option<Arc<Current>>,
    config: Mutex<Config>,
    /// Whether every answer is the last on its connection.
    drain: watch::Sender<bool>,
    /// In the order in which they are to end: first nothing new comes in, last what is left is written.
    stages: Vec<Stage>,
}

impl Running {
    /// Where the public listener is.
    pub fn public_address(&self) -> SocketAddr {
        self.public_address
    }

    /// Where the admin listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// What the engine is made of, for management in the same process.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What must be going on as long as the server is itself.
    fn pulse(&self) -> Pulse {
        let stages = self.stages.iter().map(|stage| stage.task.abort_handle()).collect();
        Pulse { admin: self.admin_address, store: self.store.clone(), stages }
    }

    /// Takes over the realms, dialects and TLS files of a new configuration. Tells which sections differ
    /// that only a restart can change.
    ///
    /// # Errors
    /// When the new realms cannot be served or the files cannot be used; then nothing has changed.
    pub async fn reload(&self, new: Config) -> Result<Vec<&'static str>, ReloadError> {
        let mut config = self.config.lock().await;
        let ready = match (&self.tls, &new.server.tls) {
            (Some(current), Some(tls)) => Some((current, current.prepare(tls)?)),
            _ => None,
        };
        self.engine.reconfigure(new.engine_realms()).await?;
        let taken = async {
            ensure_keys(&self.engine, &new.realms).await?;
            self.front.reroute(&new.realms)
        };
        if let Err(fault) = taken.await {
            self.engine.reconfigure(config.engine_realms()).await?;
            return Err(fault.into());
        }
        if let Some((current, ready)) = ready {
            current.put(ready);
            config.server.tls.clone_from(&new.server.tls);
        }
        let unchanged = unchanged_sections(&config, &new);
        config.dialects = new.dialects;
        config.realms = new.realms;
        Ok(unchanged)
    }

    /// Prepares to stop, for as long as the configuration says: not ready any more, but answering, and closing
    /// each connection with its next answer. So a load balancer turns away before anything is refused.
    pub async fn drain(&self) {
        let time = self.config.lock().await.server.drain;
        self.admin.stopping();
        self.drain.send_replace(true);
        tokio::time::sleep(time).await;
    }

    /// Stops: nothing new is taken, what has begun is finished within the grace, everything is written.
    pub async fn stop(self) {
        self.admin.stopping();
        for stage in self.stages {
            stage.end().await;
        }
        self.store.close().await;
    }
}

/// The sections that differ and stay as they were.
fn unchanged_sections(old: &Config, new: &Config) -> Vec<&'static str> {
    let sections = [
        ("server", old.server != new.server),
        ("admin", old.admin != new.admin),
        ("storage", old.storage != new.storage),
        (
            "secrets, guesses, server.source_ipv6_prefix, or events_kept_for, grace and check_grace of storage",
            old.settings != new.settings,
        ),
        ("log", old.log != new.log),
        ("traces", old.traces != new.traces),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Serves until a signal says to stop: SIGTERM drains first, SIGTERM and SIGINT finish what has begun, a
/// further one skips what is going on; SIGHUP reads the configuration again.
///
/// # Errors
/// Why the server did not start.
pub async fn run(config: Config) -> Result<(), StartError> {
    let mut signals = Signals::listen()?;
    let file = config.file.clone();
    let realms = config.realms.len();
    for warning in config.warnings.iter() {
        tracing::warn!(remedy = warning.remedy_text(), "{}", warning.message());
    }
    let running = Server::start(config).await?;
    let (public, admin) = (running.public_address(), running.admin_address());
    tracing::info!(%public, %admin, realms, "ready");
    systemd::ready(&format!("serves {realms} realms on {public}"));
    let watched = Stage::begin(|stop| systemd::watch_over(running.pulse(), stop));
    let told = loop {
        let told = signals.next().await;
        if told != Told::Reload {
            break told;
        }
        systemd::reloading();
        let outcome = match &file {
            Some(file) => reload(&running, config::load(file)).await,
            None => {
                tracing::warn!("there is no configuration file to read again");
                Reloaded::Unchanged
            }
        };
        systemd::ready(&outcome.status(public));
    };
    systemd::stopping();
    if told == Told::Drain {
        tracing::info!("draining: not ready any more, every answer is the last on its connection");
        tokio::select! {
            () = running.drain() => {}
            () = signals.stop() => tracing::warn!("drained no longer: a further signal came"),
        }
    }
    watched.end().await;
    tracing::info!("stopping: what has begun is finished, nothing new is taken");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        () = signals.stop() => tracing::warn!("stopped at once: a further signal came"),
    }
    Ok(())
}

/// What came of reading the configuration again.
enum Reloaded {
    Realms(usize),
    Unchanged,
}

impl Reloaded {
    fn status(&self, public: SocketAddr) -> String {
        match self {
            Self::Realms(realms) => format!("serves {realms} realms on {public}"),
            Self::Unchanged => {
                format!("serves on {public}; the new configuration was not taken over: see the log")
            }
        }
    }
}

async fn reload(running: &Running, loaded: Result<Config, Problems>) -> Reloaded {
    let config = match loaded {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems.iter() {
                let (line, remedy) = (problems.line(problem), problem.remedy_text());
                tracing::error!(line, remedy, "{}", problem.message());
            }
            let count = problems.len();
            tracing::error!(count, "the configuration was not taken over; nothing has changed");
            return Reloaded::Unchanged;
        }
    };
    let realms = config.realms.len();
    match running.reload(config).await {
        Ok(unchanged) => {
            for section in unchanged {
                tracing::warn!(section, "this section has changed and needs a restart");
            }
            tracing::info!(realms, "the configuration was taken over");
            Reloaded::Realms(realms)
        }
        Err(error) => {
            tracing::error!(%error, "the configuration was not taken over; nothing has changed");
            Reloaded::Unchanged
        }
    }
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Reload,
    /// By a supervisor: there may be a load balancer that has to notice.
    Drain,
    /// By a person at a terminal.
    Stop,
}

/// The signals that a server obeys.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup()).map_err(StartError::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(StartError::Signals)?,
            interrupt: signal(SignalKind::interrupt()).map_err(StartError::Signals)?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hang_up.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Drain,
            _ = self.interrupt.recv() => Told::Stop,
        }
    }

    async fn stop(&mut self) {
        while self.next().await == Told::Reload {}
    }
}
