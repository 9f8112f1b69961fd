//! Where a PostgreSQL database is and how it is reached, as a URL says it. What is not said is
//! chosen so that nobody between us and the database can read or change anything.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Where a PostgreSQL database is and how it is reached. Prints without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    pub(super) config: Config,
    pub(super) tls: Option<Tls>,
    pub(super) is_pooled: bool,
    pub(super) connections_max: usize,
    pub(super) patience: Duration,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    /// What is asked of the server's certificate.
    pub(super) check: Check,
    /// A file of the authorities that count; the system's when absent.
    pub(super) roots: Option<PathBuf>,
    /// Files with our own certificate chain and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

/// What is asked of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: only listeners are kept out.
    Nothing,
    /// That an authority issued it, to whomever.
    Authority,
    /// That an authority issued it to this host.
    AuthorityAndHost,
}

/// Why a URL is no address; reads after the name of the setting. Quotes nothing but parameter names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AddressError {
    what: String,
    instead: Option<&'static str>,
}

impl AddressError {
    /// What to write instead, where that is clear.
    pub fn instead(&self) -> Option<&'static str> {
        self.instead
    }
}

const SHAPE: &str = "write \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"";

fn wrong(what: impl Into<String>, instead: &'static str) -> AddressError {
    AddressError { what: what.into(), instead: Some(instead) }
}

impl PostgresAddress {
    /// Reads a URL. Relative paths of certificates start at `base_dir`.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn parse(url: &str, base_dir: &Path) -> Result<Self, AddressError> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut own = Own::default();
        let mut passed_on = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| wrong(format!("has a `{name}` that is not UTF-8"), SHAPE))?;
            if !own.take(name, &value, base_dir)? {
                check_name(name)?;
                passed_on.push(parameter);
            }
        }
        let mut config: Config = format!("{place}?{}", passed_on.join("&"))
            .parse()
            .map_err(|_| wrong("is not a PostgreSQL URL", SHAPE))?;
        let reach = reach(&config)?;
        let tls = own.tls(reach)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let patience = own.patience.unwrap_or(PATIENCE);
        complete(&mut config, patience);
        Ok(Self {
            config,
            tls,
            is_pooled: own.is_pooled,
            connections_max: own.connections_max.unwrap_or(CONNECTIONS),
            patience,
        })
    }

    /// Whether a password stands in it.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

impl PostgresAddress {
    /// The same, once for each of its servers.
    pub(super) fn servers(&self) -> Vec<Config> {
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        let ports = self.config.get_ports();
        let one = |index: usize| {
            let mut one = self.without_servers();
            match hosts.get(index) {
                Some(Host::Tcp(name)) => {
                    one.host(name);
                }
                Some(Host::Unix(path)) => {
                    one.host_path(path);
                }
                None => {}
            }
            if let Some(address) = addresses.get(index) {
                one.hostaddr(*address);
            }
            if let Some(port) = ports.get(index).or(ports.first()) {
                one.port(*port);
            }
            one
        };
        (0..hosts.len().max(addresses.len())).map(one).collect()
    }

    fn without_servers(&self) -> Config {
        let all = &self.config;
        let mut config = Config::new();
        if let Some(user) = all.get_user() {
            config.user(user);
        }
        if let Some(password) = all.get_password() {
            config.password(password);
        }
        if let Some(database) = all.get_dbname() {
            config.dbname(database);
        }
        if let Some(options) = all.get_options() {
            config.options(options);
        }
        if let Some(name) = all.get_application_name() {
            config.application_name(name);
        }
        if let Some(duration) = all.get_connect_timeout() {
            config.connect_timeout(*duration);
        }
        if let Some(duration) = all.get_tcp_user_timeout() {
            config.tcp_user_timeout(*duration);
        }
        config.ssl_mode(all.get_ssl_mode());
        config.channel_binding(all.get_channel_binding());
        watch_closely(&mut config);
        config
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            if index > 0 {
                formatter.write_str(",")?;
            }
            match host {
                Host::Tcp(name) => formatter.write_str(name)?,
                Host::Unix(path) => write!(formatter, "{}", path.display())?,
            }
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            write!(formatter, ":{port}")?;
        }
        write!(formatter, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PostgresAddress({self})")
    }
}

/// How long one statement may take unless the URL says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections are held unless the URL says otherwise.
const CONNECTIONS: usize = 12;

/// The parameters that are read here and not by the driver.
#[derive(Default)]
struct Own {
    check: Option<Mode>,
    roots: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    is_pooled: bool,
    connections_max: Option<usize>,
    patience: Option<Duration>,
}

/// What `sslmode` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Check(Check),
}

impl Own {
    /// Takes a parameter; says whether it is one of ours.
    fn take(&mut self, name: &str, value: &str, base_dir: &Path) -> Result<bool, AddressError> {
        let file = || Some(base_dir.join(value));
        match name {
            "sslmode" => self.check = Some(mode(value)?),
            "sslrootcert" => self.roots = if value == "system" { None } else { file() },
            "sslcert" => self.certificate = file(),
            "sslkey" => self.key = file(),
            "pooler" => self.is_pooled = pooler(value)?,
            "pool_size" => self.connections_max = Some(number(name, value, 8..=1_000)?),
            "statement_timeout" => {
                let seconds = number(name, value, 1..=600)?;
                self.patience = Some(Duration::from_secs(seconds as u64));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn tls(&mut self, reach: Reach) -> Result<Option<Tls>, AddressError> {
        let mode = self.check.unwrap_or(match reach {
            Reach::SameMachine => Mode::Disable,
            Reach::Network => Mode::Check(Check::AuthorityAndHost),
        });
        let own = match (self.certificate.take(), self.key.take()) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err(wrong("has only one of sslcert and sslkey", "name both files")),
        };
        Ok(match mode {
            Mode::Disable => None,
            // As everywhere in PostgreSQL: naming an authority means that it is asked.
            Mode::Check(Check::Nothing) if self.roots.is_some() => {
                Some(Tls { check: Check::Authority, roots: self.roots.take(), own })
            }
            Mode::Check(check) => Some(Tls { check, roots: self.roots.take(), own }),
        })
    }
}

fn mode(value: &str) -> Result<Mode, AddressError> {
    match value {
        "disable" => Ok(Mode::Disable),
        "require" => Ok(Mode::Check(Check::Nothing)),
        "verify-ca" => Ok(Mode::Check(Check::Authority)),
        "verify-full" => Ok(Mode::Check(Check::AuthorityAndHost)),
        "allow" | "prefer" => Err(wrong(
            "has an sslmode that anybody in between can turn off",
            "write sslmode=verify-full, or sslmode=disable for a connection that needs no protection",
        )),
        _ => Err(wrong(
            "has an sslmode that is not known",
            "write sslmode=verify-full, verify-ca, require or disable",
        )),
    }
}

fn pooler(value: &str) -> Result<bool, AddressError> {
    match value {
        "none" => Ok(false),
        "transaction" => Ok(true),
        _ => Err(wrong(
            "has a pooler that is not known",
            "write pooler=transaction for a pooler that lends a connection for a transaction",
        )),
    }
}

fn number(
    name: &str,
    value: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, AddressError> {
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| AddressError {
        what: format!(
            "has a {name} that is no whole number from {} to {}",
            range.start(),
            range.end()
        ),
        instead: None,
    })
}

/// The driver's parameters that mean the same here as everywhere.
fn check_name(name: &str) -> Result<(), AddressError> {
    const PASSED_ON: [&str; 11] = [
        "user",
        "password",
        "host",
        "port",
        "hostaddr",
        "dbname",
        "application_name",
        "connect_timeout",
        "tcp_user_timeout",
        "options",
        "channel_binding",
    ];
    if PASSED_ON.contains(&name) {
        return Ok(());
    }
    Err(wrong(
        "has a parameter that is not known",
        "there are sslmode, sslrootcert, sslcert, sslkey, pooler, pool_size, statement_timeout, \
         connect_timeout, application_name, host, port and options",
    ))
}

/// How far away the servers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Sockets and loopback addresses: nobody is in between.
    SameMachine,
    Network,
}

fn reach(config: &Config) -> Result<Reach, AddressError> {
    let hosts = config.get_hosts();
    if hosts.is_empty() {
        return Err(wrong("names no host", SHAPE));
    }
    if config.get_dbname().is_none_or(str::is_empty) {
        return Err(wrong("names no database", SHAPE));
    }
    if config.get_user().is_none_or(str::is_empty) {
        return Err(wrong("names no user", SHAPE));
    }
    let is_near = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    Ok(if hosts.iter().all(is_near) { Reach::SameMachine } else { Reach::Network })
}

/// Sets what the URL leaves open: a dead server is noticed within seconds, and of several servers
/// the one that takes writes is used.
fn complete(config: &mut Config, patience: Duration) {
    if config.get_application_name().is_none() {
        config.application_name("jeton");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(3));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(patience + Duration::from_secs(5));
    }
    watch_closely(config);
}

fn watch_closely(config: &mut Config) {
    config.keepalives_idle(Duration::from_secs(10));
    config.keepalives_interval(Duration::from_secs(3));
    config.keepalives_retries(3);
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
}

#[cfg(test)]
mod tests;
