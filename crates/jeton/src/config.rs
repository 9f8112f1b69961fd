//! Configuration: what `jeton.toml` and the environment say (`raw`) becomes what is meant ([`Config`]) in one
//! step (`check`) that reports every problem at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jeton_dialect::{Dialect, Dialects};
use jeton_engine::engine::Settings;
use jeton_engine::error::Fault;
use jeton_engine::realm::Realm;
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::terms::Terms;
use jeton_store::PostgresAddress;

use crate::fetch::Bounds;

mod certificate_header;
mod check;
mod fetch;
pub mod master_key;
mod parse;
mod problem;
mod proving;
mod raw;
mod realms;
mod registration;
pub mod settings;
mod shown;
mod tls;
mod traces;

pub use crate::http::certificate_header::{CertificateFormat, CertificateHeader};
pub use parse::duration_of;
pub use problem::{Colour, Place, Problem, Problems};
pub use shown::{Origin, ShownSetting};
pub(crate) use tls::by_certificate;
pub use tls::{ClientCertificates, Tls};
pub use traces::{Parents, Traces};

/// A configuration, checked.
#[derive(Clone)]
pub struct Config {
    /// The file it came from; absent when it was made in memory.
    pub file: Option<PathBuf>,
    /// The public listener.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// Where things are kept.
    pub storage: Storage,
    /// Every dialect known: the built-in ones and those of the directory.
    pub dialects: Arc<Dialects>,
    /// Whom fetching the keys of others may reach, and what it may cost.
    pub fetch: Bounds,
    /// How slowly secrets are hashed, what wrong guesses cost.
    pub settings: Settings,
    /// What is logged and how.
    pub log: Log,
    /// Where traces go; absent: nowhere.
    pub traces: Option<Traces>,
    /// The realms, in the order of the file.
    pub realms: Vec<RealmConfig>,
    /// Every setting in force and where it came from.
    pub origins: Vec<ShownSetting>,
    /// What is allowed but probably not meant.
    pub warnings: Problems,
    /// Where the settings that name TLS files were said.
    tls_places: tls::TlsPlaces,
}

impl Config {
    /// Every setting in force: its key, its value as it would stand in the file, and where it came from.
    pub fn show(&self) -> Vec<(String, String, Origin)> {
        let of =
            |shown: &ShownSetting| (shown.key.clone(), shown.value.clone(), shown.origin.clone());
        self.origins.iter().map(of).collect()
    }

    /// The realm of this name.
    pub fn realm(&self, name: &str) -> Option<&RealmConfig> {
        self.realms.iter().find(|realm| realm.realm.name.as_str() == name)
    }

    /// What the engine needs to know of the realms.
    pub fn engine_realms(&self) -> Vec<Realm> {
        self.realms.iter().map(|realm| realm.realm.clone()).collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Config").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The public listener and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What TLS needs; absent: it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Whose forwarding headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they pass on a client's certificate.
    pub certificate_header: Option<CertificateHeader>,
    /// The largest head of a request, in bytes.
    pub header_bytes_max: usize,
    /// The most header fields of a request.
    pub headers_max: usize,
    /// The largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// How long the head of a request may take to arrive.
    pub header_timeout: Duration,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
    /// How long a caller may refuse to take more of an answer.
    pub write_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// The most connections at one time.
    pub connections_max: usize,
    /// The most requests being answered at one time.
    pub requests_in_flight_max: usize,
    /// How many connections the kernel keeps waiting to be accepted.
    pub backlog: u32,
    /// How long the server answers on after SIGTERM, so that load balancers turn away in peace.
    pub drain: Duration,
    /// How long requests may take to finish once the server was told to stop.
    pub shutdown_grace: Duration,
}

impl Server {
    /// The ways in which clients can authenticate by certificate, for all that reaches us of
    /// certificates; none when nothing does.
    pub fn certificate_methods(&self) -> &'static [AuthenticationMethod] {
        let here = self.tls.as_ref().map_or(&[][..], |tls| tls.client_certificates.methods());
        let by_proxy = self.certificate_header.as_ref().map_or(&[][..], |header| header.methods());
        // One is always part of the other.
        if here.len() > by_proxy.len() { here } else { by_proxy }
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The database.
    pub database: Database,
    /// Where the master key is.
    pub master_key: MasterKeySource,
    /// The most writes that may wait for a commit.
    pub queue_max: usize,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// SQLite, in this file.
    File(PathBuf),
    /// SQLite, in memory, gone with the process.
    Memory,
    /// PostgreSQL, there.
    Postgres(Box<PostgresAddress>),
}

/// Where the master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// In this file, which must be there.
    File(PathBuf),
    /// In this environment variable.
    Environment(String),
    /// In this file beside the database, which is made on first use.
    BesideDatabase(PathBuf),
    /// Made anew for a database in memory.
    Fresh,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines are written, in the words of `RUST_LOG`.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text at a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// A realm and where it is reached.
#[derive(Clone)]
pub struct RealmConfig {
    /// What the engine needs to know.
    pub realm: Realm,
    /// The path of the issuer URL, without a slash at its end; often empty.
    pub prefix: String,
    /// The hosts that tell it apart, lower case: the issuer's and those of `hosts`.
    pub hosts: Vec<String>,
    /// Where which dialect is spoken, in the order of `dialects`. At least one.
    pub mounts: Vec<Mount>,
}

impl RealmConfig {
    /// The terms of all mounts.
    pub fn terms(&self) -> Vec<Arc<Terms>> {
        self.mounts.iter().map(|mount| Arc::clone(&mount.terms)).collect()
    }

    /// The terms of the endpoints that every realm has: any way of presenting a secret, and wrong
    /// guesses lock an account as early as at any of the mounts, so that nobody guesses here
    /// instead.
    ///
    /// # Errors
    /// A fault when the realm has no mount, which cannot be.
    pub fn endpoint_terms(&self) -> Result<Terms, Fault> {
        let first = self.mounts.first().map(|mount| &*mount.terms);
        let first = first.ok_or(Fault::Impossible("a realm has at least one mount"))?;
        let lockouts = self.mounts.iter().filter_map(|mount| mount.terms.lockout);
        Ok(Terms {
            authentication: AuthenticationMethod::ALL.to_vec(),
            lockout: lockouts.min_by_key(|lockout| lockout.failures),
            limits: Vec::new(),
            ..first.clone()
        })
    }
}

impl fmt::Debug for RealmConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RealmConfig")
            .field("name", &self.realm.name)
            .finish_non_exhaustive()
    }
}

/// A path of a realm where a dialect is spoken.
#[derive(Clone)]
pub struct Mount {
    /// The dialect.
    pub dialect: Arc<Dialect>,
    /// The terms on which its tokens are issued.
    pub terms: Arc<Terms>,
    /// The whole path: the realm's prefix and the dialect's own path.
    pub path: String,
}

/// The environment variable that names the configuration file.
pub const FILE_VARIABLE: &str = "JETON_CONFIG";

/// Why no configuration file was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no configuration file: tried {}. Name one with --config, or make one with `jeton init`", list(.tried))]
pub struct NotFound {
    /// Where we looked.
    pub tried: Vec<PathBuf>,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The configuration file: the explicit one, else that of `JETON_CONFIG`, else `./jeton.toml`, else
/// `/etc/jeton/jeton.toml`. A file that was named must exist; then no other place is tried.
///
/// # Errors
/// When there is none; the error says where we looked.
pub fn find(explicit: Option<&Path>) -> Result<PathBuf, NotFound> {
    let named = explicit.map(Path::to_path_buf).or_else(|| {
        std::env::var_os(FILE_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
    });
    let tried = match named {
        Some(path) => vec![path],
        None => vec![PathBuf::from("jeton.toml"), PathBuf::from("/etc/jeton/jeton.toml")],
    };
    tried.iter().find(|path| path.is_file()).cloned().ok_or(NotFound { tried })
}

/// Reads the file and the environment.
///
/// # Errors
/// Every problem at once.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let file_name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let remedy = "make one with `jeton init`, or name another with --config";
        Problems::of_file(&file_name, format!("the configuration cannot be read: {error}"), remedy)
    })?;
    let base = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut config = parse(&file_name, &text, environment, base.unwrap_or(Path::new(".")))?;
    config.file = Some(path.to_path_buf());
    Ok(config)
}

/// Understands the file's text and the environment. Relative paths start at `base_dir`.
///
/// # Errors
/// Every problem at once.
pub fn parse(
    file_name: &str,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    base_dir: &Path,
) -> Result<Config, Problems> {
    let mut raw = raw::Raw::of_file(text);
    if raw.problems.is_empty() || !raw.said.is_empty() {
        raw.overlay(environment, |path| {
            std::fs::read_to_string(base_dir.join(path)).map_err(|error| error.to_string())
        });
    }
    check::check(raw, &check::Source { file_name, text, base_dir })
}
