//! What is in force and where it came from, for `jeton config show`.

use std::fmt;
use std::path::Path;

use jeton_store::PostgresAddress;

use super::problem::{Place, line_of};
use super::raw::{Raw, Said, Value, default_of};
use super::settings::{SETTINGS, named_below};

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// Its dotted key.
    pub key: String,
    /// Its value, as it would stand in the file; empty when it is absent.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file, at this line.
    File {
        /// The file's name.
        name: String,
        /// The line, counted from one.
        line: usize,
    },
    /// This environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { name, line } => write!(formatter, "{name}:{line}"),
            Self::Environment(name) => write!(formatter, "environment variable {name}"),
        }
    }
}

/// Every setting, in the order of the table of settings, the realms in the order of the file.
pub(super) fn settings_in_force(raw: &Raw, file_name: &str, text: &str) -> Vec<ShownSetting> {
    let show = |key: String, pattern: &str| {
        let said = raw.said.get(&key).cloned().or_else(|| default_of(pattern));
        let origin = match said.as_ref().map(|said| &said.place) {
            None | Some(Place::Default) => Origin::Default,
            Some(Place::Environment(name)) => Origin::Environment(name.clone()),
            Some(Place::File(span)) => {
                Origin::File { name: file_name.to_owned(), line: line_of(text, span.start) }
            }
        };
        ShownSetting { key, value: said.map(|said| literal(&said)).unwrap_or_default(), origin }
    };
    let global = SETTINGS.iter().filter(|setting| !setting.key.starts_with("realm."));
    let mut shown: Vec<ShownSetting> =
        global.map(|setting| show(setting.key.to_owned(), setting.key)).collect();
    for (realm, _) in &raw.realms {
        for setting in SETTINGS.iter().filter(|setting| setting.key.starts_with("realm.")) {
            let key = setting.key.replacen('*', realm, 1);
            // Things with names of their own, of which there may be many or none.
            match key.split_once(".*.") {
                None => shown.push(show(key, setting.key)),
                Some((section, rest)) => {
                    for name in named_below(&raw.said, section) {
                        shown.push(show(format!("{section}.{name}.{rest}"), setting.key));
                    }
                }
            }
        }
    }
    shown
}

/// A value as it would stand in the file.
fn literal(said: &Said) -> String {
    match &said.value {
        Value::Text(text) => toml::Value::String(without_password(text)).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(is) => is.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(members) => toml::Value::try_from(members)
            .map_or_else(|_| "a table".to_owned(), |table| table.to_string()),
        Value::Other(name) => (*name).to_owned(),
    }
}

/// A URL of a database without its user and password; any other text as it is.
fn without_password(text: &str) -> String {
    let is_postgres = text.starts_with("postgres:") || text.starts_with("postgresql:");
    match PostgresAddress::parse(text, Path::new("")) {
        Ok(address) if is_postgres => address.to_string(),
        Err(_) if is_postgres => "postgres://[redacted]".to_owned(),
        _ => text.to_owned(),
    }
}
