//! One server process: started, asked whether it is ready, killed, stopped, frozen, woken.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::http::{Request, ask};
use crate::place::Place;

/// No server may take longer to be ready, and no stop longer to be over.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that may be running. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its number, by which the oracle knows it.
    pub(crate) number: usize,
    /// Its public listener; the same after every restart.
    pub(crate) public: SocketAddr,
    /// Its admin listener.
    pub(crate) admin: SocketAddr,
    place: Arc<Place>,
    environment: Vec<(String, String)>,
    within: Vec<String>,
    child: Option<Child>,
}

impl Node {
    /// A server of this place that does not run yet.
    pub(crate) fn new(place: &Arc<Place>, number: usize) -> Result<Self> {
        let (public, admin) = (free_address()?, free_address()?);
        let place = Arc::clone(place);
        Ok(Self {
            number,
            public,
            admin,
            place,
            environment: Vec::new(),
            within: Vec::new(),
            child: None,
        })
    }

    /// Several of them, started one after the other.
    pub(crate) async fn start_many(place: &Arc<Place>, count: usize) -> Result<Vec<Self>> {
        let mut nodes = Vec::new();
        for number in 0..count {
            let mut node = Self::new(place, number)?;
            node.start().await?;
            nodes.push(node);
        }
        Ok(nodes)
    }

    /// A variable that it has from its next start on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(own, _)| own != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What stands before the program from its next start on: it enters a namespace, where this is where it
    /// is reached.
    pub(crate) fn enter(&mut self, words: Vec<String>, public: SocketAddr, admin: SocketAddr) {
        (self.within, self.public, self.admin) = (words, public, admin);
    }

    /// The process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Where its log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.place.path(&format!("node-{}.log", self.number))
    }

    /// Everything that it has logged, over all its lives.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Starts it and waits until it is ready; tells how long that took.
    pub(crate) async fn start(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.launch()?;
        while !self.is_ready().await {
            self.still_runs()?;
            if began.elapsed() > PATIENCE {
                bail!("node {} does not become ready: {}", self.number, self.last_words());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(began.elapsed())
    }

    /// Starts it and waits for nothing.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = match self.within.as_slice() {
            [] => self.place.jeton(),
            words => self.place.jeton_within(words),
        };
        command.arg("serve").stdout(Stdio::from(log.try_clone()?)).stderr(Stdio::from(log));
        command.env("JETON__SERVER__LISTEN", self.public.to_string());
        command.env("JETON__ADMIN__LISTEN", self.admin.to_string());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn().context("jeton cannot be run")?);
        Ok(())
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        self.readiness().await == Some(200)
    }

    /// The status of its readiness; `None` when it does not answer.
    pub(crate) async fn readiness(&self) -> Option<u16> {
        let request = Request::get("/health/ready", &[]);
        let outcome = ask(self.admin, &request, Duration::from_secs(5)).await;
        outcome.answer().map(|answer| answer.status)
    }

    fn still_runs(&mut self) -> Result<()> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        match ended {
            Some(status) => bail!("node {} ended ({status}): {}", self.number, self.last_words()),
            None => Ok(()),
        }
    }

    fn last_words(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.join(" | ")
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Tells it to stop, waits, and gives how it ended.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let mut child = self.child.take().context("the server does not run")?;
        let ended = timeout(PATIENCE, child.wait()).await;
        Ok(ended.with_context(|| format!("node {} does not stop", self.number))??)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id).context("the server does not run")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("the server has no number")?;
        Ok(kill_process(id, signal)?)
    }
}

/// An address of this machine that nobody listens on right now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
