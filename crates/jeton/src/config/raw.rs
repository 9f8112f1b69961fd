//! What was said, by the file and by the environment: every value under its dotted key with its place, unknown
//! keys refused. Nothing is understood yet; `check` does that.

use std::collections::BTreeMap;
use std::ops::Range;

use jeton_engine::name::RealmName;
use serde_json::{Map, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};
use super::settings::{self, SETTINGS};

/// A value as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Boolean(bool),
    List(Vec<Said>),
    /// A table as JSON has it; only of settings that take one.
    Table(Map<String, Json>),
    /// A kind of value that no setting takes, by its name.
    Other(&'static str),
}

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Dotted key to value.
    pub(super) said: BTreeMap<String, Said>,
    /// The names of the realms in the order of the file, and where each begins.
    pub(super) realms: Vec<(String, Place)>,
    pub(super) problems: Vec<Problem>,
}

impl Raw {
    /// Reads the file's text.
    pub(super) fn of_file(text: &str) -> Self {
        let mut raw = Self::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let problem =
                Problem::new(Place::File(span), format!("this is not TOML: {}", error.message()));
            raw.problems.push(problem.hidden_when(text.contains("master_key")));
        }
        // After a mistake in the grammar, the rest is guesswork: report it alone.
        if raw.problems.is_empty() {
            raw.read_table("", document.get_ref());
        }
        raw
    }

    fn read_table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let place = Place::File(name.span());
            let key = join(section, name.get_ref());
            let pattern = settings::pattern_of(&key);
            if section == "realm"
                && let Err(error) = name.get_ref().parse::<RealmName>()
            {
                let message = format!("the realm name \"{}\" {error}", name.get_ref());
                self.problems.push(Problem::new(place, message));
            } else if let Some(setting) = settings::setting_of(&pattern) {
                let said = match setting.takes {
                    settings::Takes::Claims => table_of(value),
                    _ => said_of(value),
                };
                self.said.insert(key, said);
            } else if settings::is_section(&pattern) {
                self.read_section(&key, &pattern, name.span(), value);
            } else {
                let problem = unknown(&key, place);
                self.problems.push(problem.hidden_when(section == "storage.master_key"));
            }
        }
    }

    fn read_section(
        &mut self,
        key: &str,
        pattern: &str,
        name: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let place = Place::File(name);
        match value.get_ref() {
            DeValue::Table(table) => {
                if pattern == "realm.*" {
                    let name = key.strip_prefix("realm.").unwrap_or(key);
                    self.realms.push((name.to_owned(), place));
                }
                self.read_table(key, table);
            }
            _ => {
                let names = settings::names_in(pattern).join(", ");
                let remedy = match pattern {
                    "realm" => "write a section [realm.NAME]".to_owned(),
                    "realm.*.trusted_issuers" => format!("write a section [{key}.NAME]"),
                    _ => format!("it has {names}"),
                };
                let problem = Problem::new(place, format!("`{key}` is a section, not a value"));
                self.problems.push(problem.remedy(remedy).hidden());
            }
        }
    }

    /// Lays the environment's variables over what the file said. `read_file` reads a `_FILE` variable's file.
    pub(super) fn overlay(
        &mut self,
        environment: impl Iterator<Item = (String, String)>,
        read_file: impl Fn(&str) -> Result<String, String>,
    ) {
        let mut variables: Vec<(String, String)> =
            environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        let mut set_by: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in variables {
            let place = Place::Environment(name.clone());
            let Some((key, from)) = key_of_variable(&name) else {
                self.problems.push(unknown_variable(&name, place));
                continue;
            };
            if let Some(other) = set_by.insert(key.clone(), name.clone()) {
                let message = format!("{name} and {other} both set `{key}`");
                self.problems.push(Problem::new(place, message).remedy("unset one of them"));
                continue;
            }
            let text = match from {
                From::Value => value,
                From::File => match read_file(&value) {
                    Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
                    Err(error) => {
                        let message = format!("{name} names a file that cannot be read: {error}");
                        self.problems.push(Problem::new(place, message));
                        continue;
                    }
                },
            };
            self.set(&key, &text, place);
        }
    }

    fn set(&mut self, key: &str, text: &str, place: Place) {
        let takes = settings::setting_of(&settings::pattern_of(key)).map(|setting| setting.takes);
        if let Some(realm) = key.strip_prefix("realm.").and_then(|rest| rest.split('.').next())
            && !self.realms.iter().any(|(known, _)| known == realm)
        {
            self.realms.push((realm.to_owned(), place.clone()));
        }
        let value = value_of_variable(takes.unwrap_or(settings::Takes::Text), text, &place);
        self.said.insert(key.to_owned(), Said { value, place });
    }
}

impl Problem {
    fn hidden_when(self, condition: bool) -> Self {
        if condition { self.hidden() } else { self }
    }
}

const PREFIX: &str = "JETON__";

enum From {
    Value,
    File,
}

/// The key that a variable sets. In the name of a realm, `_` stands for `-`.
fn key_of_variable(name: &str) -> Option<(String, From)> {
    let exact = |name: &str| {
        let rest = name.strip_prefix(PREFIX)?;
        let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let key = match parts.as_slice() {
            [first, realm, rest @ ..] if first == "realm" => {
                let rest = rest.join(".");
                format!("realm.{}.{rest}", realm.replace('_', "-"))
            }
            parts => parts.join("."),
        };
        settings::setting_of(&settings::pattern_of(&key)).map(|_| key)
    };
    if let Some(key) = exact(name) {
        return Some((key, From::Value));
    }
    Some((exact(name.strip_suffix("_FILE")?)?, From::File))
}

fn value_of_variable(takes: settings::Takes, text: &str, place: &Place) -> Value {
    use settings::Takes;
    let of_toml = || {
        let value = DeValue::parse(text).ok()?;
        Some(relocated(said_of(&value), place).value)
    };
    let texts = || {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let said = |part: &str| Said { value: Value::Text(part.to_owned()), place: place.clone() };
        Value::List(parts.map(said).collect())
    };
    match takes {
        Takes::Number | Takes::Boolean => of_toml().unwrap_or_else(|| Value::Text(text.to_owned())),
        Takes::Bytes => match text.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(text.to_owned()),
        },
        Takes::Texts if text.trim_start().starts_with('[') => of_toml().unwrap_or_else(texts),
        Takes::Limits if text.trim_start().starts_with('[') => of_toml().unwrap_or_else(texts),
        Takes::Limits if text.trim() == "off" => Value::Text("off".to_owned()),
        Takes::Texts | Takes::Limits => texts(),
        Takes::Claims => match jeton_engine::jose::json::object(text.as_bytes()) {
            Ok(members) => Value::Table(members),
            Err(_) => Value::Text(text.to_owned()),
        },
        Takes::Text | Takes::Duration => Value::Text(text.to_owned()),
    }
}

fn relocated(said: Said, place: &Place) -> Said {
    let value = match said.value {
        Value::List(items) => {
            Value::List(items.into_iter().map(|item| relocated(item, place)).collect())
        }
        other => other,
    };
    Said { value, place: place.clone() }
}

/// A default, as [`SETTINGS`] has it.
pub(super) fn default_of(pattern: &str) -> Option<Said> {
    let literal = settings::setting_of(pattern)?.default?;
    let value = DeValue::parse(literal).ok()?;
    Some(relocated(said_of(&value), &Place::Default))
}

fn said_of(value: &Spanned<DeValue<'_>>) -> Said {
    let place = Place::File(value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Other("a number beyond 64 bits"),
        },
        DeValue::Array(items) => Value::List(items.iter().map(said_of).collect()),
        DeValue::Float(_) => Value::Other("a fraction"),
        DeValue::Boolean(is) => Value::Boolean(*is),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Table(_) => Value::Other("a table"),
    };
    Said { value, place }
}

/// A table, for the settings that take one; anything else is as it was said.
fn table_of(value: &Spanned<DeValue<'_>>) -> Said {
    let place = Place::File(value.span());
    let value = match json_of(value.get_ref()) {
        Ok(Json::Object(members)) => Value::Table(members),
        Ok(_) => said_of(value).value,
        Err(what) => Value::Other(what),
    };
    Said { value, place }
}

/// A TOML value as JSON; or what it is, when JSON has no such value.
fn json_of(value: &DeValue<'_>) -> Result<Json, &'static str> {
    Ok(match value {
        DeValue::String(text) => Json::from(&**text),
        DeValue::Boolean(is) => Json::from(*is),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Json::from)
            .map_err(|_| "a table with a number beyond 64 bits")?,
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number)
            .ok_or("a table with a fraction that JSON cannot say")?,
        DeValue::Array(items) => {
            let items: Result<Vec<Json>, _> =
                items.iter().map(|item| json_of(item.get_ref())).collect();
            Json::Array(items?)
        }
        DeValue::Table(members) => {
            let members: Result<Map<String, Json>, &'static str> = members
                .iter()
                .map(|(name, value)| Ok((name.get_ref().to_string(), json_of(value.get_ref())?)))
                .collect();
            Json::Object(members?)
        }
        DeValue::Datetime(_) => return Err("a table with a date; write it as a text"),
    })
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn unknown(key: &str, place: Place) -> Problem {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let problem = Problem::new(place, format!("there is no setting `{key}`"));
    let names = settings::names_in(&settings::pattern_of(section));
    if let Some(near) = settings::nearest(name, names.iter().copied()) {
        return problem.remedy(format!("did you mean `{near}`?"));
    }
    // The right name in the wrong section.
    let elsewhere = SETTINGS.iter().find(|setting| setting.key.rsplit('.').next() == Some(name));
    if let Some(setting) = elsewhere {
        let key = setting.key.replace('*', "NAME");
        return problem.remedy(format!("did you mean `{key}`?"));
    }
    match section {
        "" => problem.remedy(format!("there are {}", listed(&names))),
        _ => problem.remedy(format!("[{section}] has {}", listed(&names))),
    }
}

fn unknown_variable(name: &str, place: Place) -> Problem {
    let problem = Problem::new(place, format!("{name} overrides no setting"));
    let rest = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".");
    let mut parts = rest.split('.');
    let realm = if parts.next() == Some("realm") { parts.next().unwrap_or("NAME") } else { "NAME" };
    let keys: Vec<String> =
        SETTINGS.iter().map(|setting| setting.key.replace('*', realm)).collect();
    match settings::nearest(&rest, keys.iter().map(String::as_str)) {
        Some(key) => {
            let variable = key.to_uppercase().replace('.', "__").replace('-', "_");
            problem.remedy(format!("did you mean {PREFIX}{variable}?"))
        }
        None => problem.remedy("unset it; `jeton config show` lists every setting"),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
