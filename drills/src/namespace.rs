//! A namespace of the system's (mounts, network) that lives as long as its holder, and leaves nothing behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// What there is one more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Mounted file systems.
    Mounts,
    /// Interfaces, addresses, routes.
    Network,
}

impl Kind {
    fn flag(self) -> &'static str {
        match self {
            Self::Mounts => "--mount",
            Self::Network => "--net",
        }
    }
}

/// A namespace. Dropping it ends it, once nobody else is in it.
#[derive(Debug)]
pub(crate) struct Namespace {
    kind: Kind,
    /// Holds it, and ends with us: it waits for the end of what we would write.
    holder: Child,
}

/// Why there is none, most often because this machine does not allow it to whom we are.
#[derive(Debug)]
pub(crate) struct Denied(pub(crate) String);

impl Namespace {
    /// A new one, in which a shell has run `setup` with these arguments.
    pub(crate) fn new(kind: Kind, setup: &str, arguments: &[&str]) -> Result<Self, Denied> {
        Self::begin(kind, setup, arguments).map_err(|error| Denied(format!("{error:#}")))
    }

    fn begin(kind: Kind, setup: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.arg(kind.flag());
        if kind == Kind::Mounts {
            command.args(["--propagation", "private"]);
        }
        command.args(["sh", "-euc", &format!("{setup}\necho begun\nexec cat"), "sh"]);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = command.spawn().context("there is no unshare")?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().context("no output")?).read_line(&mut line)?;
        if line.trim() != "begun" {
            // It ends by itself.
            let mut words = String::new();
            holder.stderr.take().context("no errors")?.read_to_string(&mut words)?;
            holder.wait()?;
            bail!("{}", words.trim());
        }
        Ok(Self { kind, holder })
    }

    /// The process that holds it.
    pub(crate) fn id(&self) -> u32 {
        self.holder.id()
    }

    /// What has to stand before a program that is to run in it, in this folder.
    pub(crate) fn words(&self, folder: &Path) -> Vec<String> {
        let id = self.id().to_string();
        let enter = ["nsenter", "--target", &id, self.kind.flag()];
        let change = ["sh", "-c", r#"cd "$0" && exec "$@""#];
        let words = enter.into_iter().chain(change).map(str::to_owned);
        words.chain([folder.display().to_string()]).collect()
    }

    /// Where we find a path of it.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.id()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Runs a command in it.
    pub(crate) fn run(&self, words: &[&str]) -> Result<()> {
        let id = self.id().to_string();
        let entered = ["--target", &id, self.kind.flag()];
        let output = Command::new("nsenter").args(entered).args(words).output()?;
        if !output.status.success() {
            bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
