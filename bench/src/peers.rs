//! The peers: other authorization servers, each a folder of `bench/peers`, measured like every row.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton_jose::jws::Unverified;
use serde::Deserialize;

use crate::asks::token;
use crate::load::{Connections, Expected, Pace, Target};
use crate::measure::{Floor, Lengths, Measured, SERVER_CORE, Subject, load, measure};
use crate::process::{Process, free_address};
use crate::requests::{Choice, Requests, request};

/// Longer than any of them needs to start on one core.
const START: Duration = Duration::from_secs(180);

/// What `peer.toml` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) title: String,
    /// How long it is under load before anything counts: compilers within it need that.
    warm_up_seconds: u64,
    row: Vec<PeerRow>,
    #[serde(skip)]
    folder: PathBuf,
}

/// One row of a peer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerRow {
    pub(crate) name: String,
    /// What the server does for each request, so that nobody compares the unlike.
    pub(crate) does: String,
    path: String,
    client_id: String,
    client_secret: String,
    /// More of the form than the grant type.
    #[serde(default)]
    form: String,
    /// The token must be a JWT that names this algorithm; none is expected when it is left out.
    alg: Option<String>,
    /// The row of jeton's that does most nearly the same.
    pub(crate) beside: String,
}

/// Every peer by the name of its folder, in their order.
///
/// # Errors
/// What is wrong with a `peer.toml`.
pub(crate) fn all() -> anyhow::Result<Vec<(String, Peer)>> {
    let mut peers = Vec::new();
    for entry in fs::read_dir("bench/peers").context("run it from the repository's root")? {
        let folder = fs::canonicalize(entry?.path())?;
        let Ok(text) = fs::read_to_string(folder.join("peer.toml")) else { continue };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let peer: Peer = toml::from_str(&text).with_context(|| format!("{name}: peer.toml"))?;
        peers.push((name, Peer { folder, ..peer }));
    }
    peers.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(peers)
}

/// A peer that runs, warmed up.
pub(crate) struct Running<'a> {
    peer: &'a Peer,
    pub(crate) process: Process,
    target: Target,
}

impl Peer {
    /// The rows.
    pub(crate) fn rows(&self) -> &[PeerRow] {
        &self.row
    }

    /// About how long it takes until something is measured, once it is installed.
    pub(crate) fn start_takes(&self) -> Duration {
        Duration::from_secs(10 + self.warm_up_seconds)
    }

    /// Installs it below `tools` and starts it with its data in `data`.
    ///
    /// # Errors
    /// Why it cannot be had, in its own words.
    pub(crate) fn start(&self, tools: &Path, data: &Path) -> anyhow::Result<Running<'_>> {
        let (address, admin) = (free_address()?, free_address()?);
        let installed = tools.display().to_string();
        self.script("install", &[&installed], data)?;
        let serve = self.folder.join("serve").display().to_string();
        let (port, admin) = (address.port().to_string(), admin.port().to_string());
        let place = data.display().to_string();
        let arguments = [installed.as_str(), &port, &admin, &place];
        let command = [&[serve.as_str()], &arguments[..]].concat();
        let log = data.join("log");
        let mut process = Process::start(SERVER_CORE, &command, &log)?;
        let told = || format!("it said: {}", last_lines(&log));
        process.listens(address, START).with_context(told)?;
        if self.folder.join("prepare").exists() {
            self.script("prepare", &arguments, data)?;
        }
        let running = Running { peer: self, process, target: Target { address, tls: None } };
        running.warm_up().with_context(told)?;
        Ok(running)
    }

    fn script(&self, name: &str, arguments: &[&str], data: &Path) -> anyhow::Result<()> {
        let log = data.join(name);
        let file = fs::File::create(&log)?;
        let mut command = Command::new(self.folder.join(name));
        command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        if !command.status()?.success() {
            bail!("{name} failed: {}", last_lines(&log));
        }
        Ok(())
    }
}

impl Running<'_> {
    fn subject(&self, row: &PeerRow) -> Subject<'_> {
        let host = self.target.address.to_string();
        let basic = STANDARD.encode(format!("{}:{}", row.client_id, row.client_secret));
        let basic = format!("Authorization: Basic {basic}");
        let fields = ["Content-Type: application/x-www-form-urlencoded", &basic];
        let form = match row.form.as_str() {
            "" => "grant_type=client_credentials".to_owned(),
            more => format!("grant_type=client_credentials&{more}"),
        };
        let bytes = request("POST", &row.path, &host, &fields, &form);
        Subject {
            process: &self.process,
            target: self.target.clone(),
            count: 64,
            connections: Connections::Kept,
            expected: Expected { status: 200, begins: b"{\"".to_vec() },
            requests: Requests::again(vec![bytes], Choice::Uniform),
        }
    }

    fn warm_up(&self) -> anyhow::Result<()> {
        let window =
            Duration::from_secs(self.peer.warm_up_seconds) / self.peer.row.len().max(1) as u32;
        for row in &self.peer.row {
            load(&mut self.subject(row), Pace::Closed, Duration::ZERO, window)?;
        }
        Ok(())
    }

    /// Measures one of its rows.
    ///
    /// # Errors
    /// When it does not answer as it should.
    pub(crate) fn measure(
        &self,
        row: &PeerRow,
        floor: &Floor,
        lengths: Lengths,
    ) -> anyhow::Result<Measured> {
        let measured = measure(&mut self.subject(row), floor, lengths, None, &mut |_, _| Ok(()))?;
        let body = measured.bodies.first().context("no answer was kept")?;
        let token = token(body).context("an answer has no access token")?;
        let found = Unverified::parse(&token).ok().map(|token| token.header().algorithm.name());
        if found != row.alg.as_deref() {
            bail!("the token is signed by {found:?}, and was to be by {:?}", row.alg);
        }
        Ok(measured)
    }
}

/// The end of what a program said.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last: String = lines.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join(" / ");
    let start = last.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
    last.get(start..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_peer_is_beside_one_of_ours() {
        let ours = crate::rows::read(include_str!("../rows.toml")).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let Ok(text) = fs::read_to_string(entry.unwrap().path().join("peer.toml")) else {
                continue;
            };
            let peer: Peer = toml::from_str(&text).unwrap();
            for row in &peer.row {
                assert!(ours.iter().any(|our| our.name == row.beside), "{}", row.name);
                count += 1;
            }
        }
        assert!(count > 0);
    }
}
