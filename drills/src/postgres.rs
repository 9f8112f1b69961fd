//! The PostgreSQL that `scripts/drill` started: a database for each drill, and what may happen to it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL of our own.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    directory: PathBuf,
    /// Who runs it: it refuses to be run by root.
    account: Option<String>,
    /// Where it listens, on loopback.
    pub(crate) port: u16,
}

impl Postgres {
    /// The one that the script names.
    ///
    /// # Errors
    /// When it was started by something else than the script.
    pub(crate) fn of_the_script() -> Result<Self> {
        let said = |name: &str| {
            std::env::var(name).with_context(|| format!("{name} is not set: use scripts/drill"))
        };
        Ok(Self {
            binaries: said("DRILL_POSTGRES_BINARIES")?.into(),
            directory: said("DRILL_POSTGRES_DIRECTORY")?.into(),
            account: said("DRILL_POSTGRES_ACCOUNT").ok().filter(|account| !account.is_empty()),
            port: said("DRILL_POSTGRES_PORT")?.parse()?,
        })
    }

    /// Makes an empty database and gives its URL. A drill that broke before this one may have left
    /// PostgreSQL stopped.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub(crate) async fn database(&self, name: &str) -> Result<String> {
        let data = self.directory.join("data").display().to_string();
        if self.run("pg_ctl", &["--pgdata", &data, "status"]).await.is_err() {
            self.start().await?;
        }
        let port = self.port.to_string();
        let connect = ["--host", "127.0.0.1", "--username", "jeton", "--port", &port];
        self.run("dropdb", &[&connect[..], &["--if-exists", "--force", name]].concat()).await?;
        self.run("createdb", &[&connect[..], &[name]].concat()).await?;
        Ok(format!("postgres://jeton@127.0.0.1:{port}/{name}"))
    }

    /// Kills it with SIGKILL: it has to recover from its log. Its children find out by themselves.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) async fn kill(&self) -> Result<()> {
        let file = self.directory.join("data/postmaster.pid");
        let text = tokio::fs::read_to_string(file).await.context("PostgreSQL does not run")?;
        let id = text.lines().next().and_then(|line| line.trim().parse().ok());
        let id = id.and_then(Pid::from_raw).context("postmaster.pid has no number")?;
        kill_process(id, Signal::KILL)?;
        let gone = async {
            while test_kill_process(id).is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, gone).await.context("PostgreSQL does not go")
    }

    /// Starts it again; done when it takes connections.
    ///
    /// # Errors
    /// When it does not start in time.
    pub(crate) async fn start(&self) -> Result<()> {
        let data = self.directory.join("data").display().to_string();
        let log = self.directory.join("log").display().to_string();
        let (port, folder) = (self.port, self.directory.display());
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c max_connections=400"
        );
        let words = ["--pgdata", &data, "--silent", "--wait", "--log", &log, "--options", &options];
        self.run("pg_ctl", &[&words[..], &["start"]].concat()).await
    }

    /// Stops it in this mode: `fast` or `immediate`.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub(crate) async fn stop(&self, mode: &str) -> Result<()> {
        let data = self.directory.join("data").display().to_string();
        self.run("pg_ctl", &["--pgdata", &data, "--silent", "--wait", "--mode", mode, "stop"]).await
    }

    async fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let path = self.binaries.join(program);
        let mut command = match &self.account {
            Some(account) => {
                let mut command = Command::new("runuser");
                command.args(["-u", account, "--"]).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.args(arguments).current_dir(&self.directory).kill_on_drop(true);
        // What it leaves running must not keep our pipes open, so there are none.
        let errors = self.directory.join("drill.errors");
        let file = std::fs::File::create(&errors)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(file));
        let status = timeout(PATIENCE, command.status()).await;
        let status = status.with_context(|| format!("{program} does not end"))??;
        if !status.success() {
            let words = std::fs::read_to_string(&errors).unwrap_or_default();
            bail!("{program} {arguments:?}: {}", words.trim());
        }
        Ok(())
    }
}
