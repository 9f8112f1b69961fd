//! The rows of the table, as `bench/rows.toml` says them.

use anyhow::bail;
use serde::Deserialize;

use crate::load::Connections;
use crate::requests::Choice;

/// What one row measures.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) server: Server,
    #[serde(default)]
    pub(crate) realm: String,
    /// Below the realm's issuer.
    #[serde(default = "token_path")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) ask: Ask,
    /// Which of the realm's clients ask.
    #[serde(default)]
    pub(crate) set: Set,
    #[serde(default = "grant_type")]
    pub(crate) grant_type: String,
    #[serde(default)]
    pub(crate) tokens: Tokens,
    #[serde(default = "ten")]
    pub(crate) clients: usize,
    #[serde(default)]
    pub(crate) choice: Choice,
    #[serde(default)]
    pub(crate) store: Store,
    #[serde(default)]
    pub(crate) tls: bool,
    #[serde(default)]
    pub(crate) connections: Connections,
    #[serde(default = "sixty_four")]
    pub(crate) count: usize,
    /// Each answer waits for the disk: its speed is told beside the figures.
    #[serde(default)]
    pub(crate) durable: bool,
    /// What no answer can do without: the share that its time alone leaves is told.
    #[serde(default)]
    pub(crate) step: Option<Step>,
    #[serde(default = "ok")]
    pub(crate) status: u16,
    #[serde(default = "token_response")]
    pub(crate) begins: String,
    #[serde(default)]
    pub(crate) goal: Goal,
    /// Measured by `--quick` too.
    #[serde(default)]
    pub(crate) quick: bool,
}

fn token_path() -> String {
    "/oauth2/token".to_owned()
}

fn grant_type() -> String {
    "client_credentials".to_owned()
}

fn token_response() -> String {
    r#"{"access_token":""#.to_owned()
}

const fn ten() -> usize {
    10
}

const fn sixty_four() -> usize {
    64
}

const fn ok() -> u16 {
    200
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    #[default]
    Jeton,
    Floor,
}

/// What is asked, and how the asker proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    Json,
    #[default]
    Form,
    Basic,
    SecretJwt,
    PrivateKeyJwt,
    Federated,
    Certificate,
    Dpop,
    Introspect,
    Verify,
    Revoke,
    Get,
}

impl Ask {
    /// Whether a token is asked for.
    pub(crate) const fn gives_a_token(self) -> bool {
        !matches!(self, Self::Introspect | Self::Verify | Self::Revoke | Self::Get)
    }
}

/// Clients of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Set {
    /// With a generated secret.
    #[default]
    Generated,
    /// With a secret that somebody chose.
    Supplied,
    /// With a secret for `client_secret_jwt`.
    Sealed,
    /// With a public key.
    Keyed,
    Federated,
    /// With a certificate by an authority.
    Certified,
    /// With a certificate of its own.
    SelfSigned,
}

/// Which tokens are asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tokens {
    /// A hundred, over and over.
    #[default]
    Again,
    /// Each once.
    First,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Store {
    #[default]
    Sqlite,
    Postgresql,
}

/// A step of an answer whose time is the library's, and this processor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Step {
    #[serde(rename = "sign EdDSA")]
    SignEdDsa,
    #[serde(rename = "sign ES256")]
    SignEs256,
    #[serde(rename = "sign RS256")]
    SignRs256,
    #[serde(rename = "verify EdDSA")]
    VerifyEdDsa,
}

impl Step {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SignEdDsa => "to sign by EdDSA",
            Self::SignEs256 => "to sign by ES256",
            Self::SignRs256 => "to sign by RS256",
            Self::VerifyEdDsa => "to verify EdDSA",
        }
    }
}

/// What is wanted of a row. Everything that is said must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    /// Of the floor's requests per second, at least.
    pub(crate) share: Option<f64>,
    /// Another row, for `ratio` and `more_cpu_us`.
    pub(crate) of: Option<String>,
    /// Of the other row's share, at least.
    pub(crate) ratio: Option<f64>,
    /// Microseconds of processor time more than the other row, at most. What it costs to count a token,
    /// which cannot be left out, is added.
    pub(crate) more_cpu_us: Option<f64>,
    /// Microseconds of processor time for a request, at most.
    pub(crate) cpu_us: Option<f64>,
    /// Requests per second, at least.
    pub(crate) per_second: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    row: Vec<Row>,
}

/// Every row, in the order of the table.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Row>> {
    let rows = toml::from_str::<File>(text)?.row;
    for (index, row) in rows.iter().enumerate() {
        let before = rows.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.name == row.name) {
            bail!("there are two rows called {}", row.name);
        }
        let of = row.goal.of.as_ref();
        if of.is_some_and(|of| !before.iter().any(|other| other.name == *of)) {
            bail!("{}: the row that it is compared with must stand before it", row.name);
        }
    }
    Ok(rows)
}

/// Those that were asked for by name, with the rows that they are compared with; the quick ones, or all.
///
/// # Errors
/// A name that no row has.
pub(crate) fn choose(rows: Vec<Row>, names: &[String], quick: bool) -> anyhow::Result<Vec<Row>> {
    if let Some(unknown) = names.iter().find(|name| !rows.iter().any(|row| row.name == **name)) {
        bail!("there is no row called {unknown}; `--list` tells all");
    }
    let named = |row: &Row| names.contains(&row.name);
    let needed: Vec<String> =
        rows.iter().filter(|row| named(row)).filter_map(|row| row.goal.of.clone()).collect();
    let wanted = |row: &Row| match names {
        [] => row.quick || !quick,
        _ => named(row) || needed.contains(&row.name),
    };
    Ok(rows.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        read(include_str!("../rows.toml")).unwrap()
    }

    #[test]
    fn the_rows_are_well_formed_and_some_are_quick() {
        let all = rows();
        let quick = choose(rows(), &[], true).unwrap();
        assert!(!quick.is_empty() && quick.len() < all.len());
        assert_eq!(choose(rows(), &[], false).unwrap().len(), all.len());
    }

    #[test]
    fn a_row_brings_along_the_one_it_is_compared_with() {
        let chosen = choose(rows(), &["supplied".to_owned()], false).unwrap();
        let names: Vec<&str> = chosen.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["eddsa", "supplied"]);
        assert!(choose(rows(), &["nothing".to_owned()], false).is_err());
    }
}
