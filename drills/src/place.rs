//! A folder with a configuration, and the program as an operator runs it there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cast::Realm;

/// The issuer of a realm is below this; nobody looks it up.
const ISSUERS: &str = "http://127.0.0.1:8080";
/// No command of an operator may take longer.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);

/// A folder that is removed at the end, shared by the servers of a drill.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    program: PathBuf,
    environment: Vec<(String, String)>,
    /// What stands before every program.
    within: Vec<String>,
}

impl Place {
    /// Three realms, one for each way a token may look, on SQLite.
    pub(crate) fn sqlite() -> Result<Self> {
        Self::new("sqlite:jeton.db", "")
    }

    /// The same realms on the database with this URL.
    pub(crate) fn postgres(url: &str) -> Result<Self> {
        Self::new(url, "")
    }

    /// The same, with further sections of the configuration.
    pub(crate) fn new(storage: &str, more: &str) -> Result<Self> {
        let program = std::env::var_os("JETON")
            .context("JETON does not say which program: use scripts/drill")?;
        let folder = tempfile::Builder::new().prefix("jeton-drill-").tempdir()?;
        let place =
            Self { folder, program: program.into(), environment: Vec::new(), within: Vec::new() };
        std::fs::write(place.path("master-key"), "q7m4n0Gk0dWq3ZJkZt1V3o7b1nq0Ew3xY5i8o2rS4tU\n")?;
        restrict(&place.path("master-key"))?;
        place.configure(&format!("{}{more}", configuration(storage)))?;
        Ok(place)
    }

    /// Writes another configuration.
    pub(crate) fn configure(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.path("jeton.toml"), text)?)
    }

    /// What stands in the configuration now.
    pub(crate) fn configuration(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.path("jeton.toml"))?)
    }

    /// A variable that every program of this place has.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What stands before every program of this place from now on: it enters a namespace.
    pub(crate) fn enter(&mut self, words: Vec<String>) {
        self.within = words;
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, in the folder, with nothing of our environment; killed when it is dropped.
    pub(crate) fn jeton(&self) -> Command {
        self.jeton_within(&self.within)
    }

    /// The same, with these words before it.
    pub(crate) fn jeton_within(&self, words: &[String]) -> Command {
        let mut command = match words.split_first() {
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs a command of an operator and gives its JSON. An error says nothing about whether it was obeyed.
    pub(crate) async fn operate(&self, arguments: &[&str]) -> Result<Value> {
        self.operate_reading(arguments, "").await
    }

    /// The same, with this on standard input.
    pub(crate) async fn operate_reading(&self, arguments: &[&str], input: &str) -> Result<Value> {
        let mut command = self.jeton();
        command.args(arguments).arg("--json");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("jeton cannot be run")?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that needs no input may be gone before it is written.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = timeout(COMMAND_WITHIN, child.wait_with_output());
        let output = output.await.with_context(|| format!("{arguments:?} does not end"))??;
        if !output.status.success() {
            bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} prints no JSON: {text}"))
    }
}

/// The issuer of a realm.
pub(crate) fn issuer(realm: Realm) -> String {
    format!("{ISSUERS}/{}", realm.name())
}

fn configuration(storage: &str) -> String {
    format!(
        r#"[server]
shutdown_grace = "10s"
[storage]
url = "{storage}"
master_key.file = "master-key"
[log]
format = "json"
# The drills ask with wrong secrets and used assertions on purpose, all from one address.
[guesses]
free = 1000000
per_second = 1
[realm.stored]
issuer = "{ISSUERS}/stored"
dialects = ["fuuffy"]
limits.client = "off"
token.lifetime = "2h"
[realm.jwt]
issuer = "{ISSUERS}/jwt"
token.lifetime = "2h"
[realm.sealed]
issuer = "{ISSUERS}/sealed"
token = {{ format = "sealed", lifetime = "2h" }}
"#
    )
}

fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}
