//! `jeton config`: every problem at once; what is in force and where each value came from.

use std::io::Write as _;
use std::path::Path;

use clap::Subcommand;
use jeton_engine::clock::Clock;
use jeton_engine::realm::Realm;
use serde_json::json;

use super::failure::Failure;
use super::output::{Cell, Form, Output};
use crate::config::{self, Origin, Problems};

/// What to do with the configuration.
#[derive(Subcommand, Debug, Clone, Copy)]
pub(super) enum ConfigCommand {
    /// Tell every problem of the configuration at once, with file, line and remedy
    #[command(after_help = "Example:
  jeton config check --config /etc/jeton/jeton.toml && systemctl reload jeton")]
    Check,
    /// Print every setting in force and where it came from
    #[command(after_help = "Example:
  jeton config show | grep '^realm\\.main\\.'")]
    Show,
}

/// Does it.
pub(super) fn run(
    command: ConfigCommand,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => check(explicit, output),
        ConfigCommand::Show => show(explicit, output),
    }
}

fn check(explicit: Option<&Path>, output: Output) -> Result<(), Failure> {
    if output.form() != Form::Json {
        let config = super::open::load_config(explicit)?;
        super::print_problems(&config.warnings);
        let (problems, warnings) = config.check_tls_files(&Clock::System);
        super::print_problems(&warnings);
        if !problems.is_empty() {
            let file = config.file.as_deref().unwrap_or(Path::new("jeton.toml"));
            return Err(super::open::refused(&problems, file));
        }
        return output.line("ok");
    }
    let path = config::find(explicit)
        .map_err(|missing| Failure::usage(missing.to_string()).next("jeton init"))?;
    let (warnings, problems) = match config::load(&path) {
        Ok(config) => {
            let (problems, more) = config.check_tls_files(&Clock::System);
            let warnings = [listed(&config.warnings), listed(&more)].concat();
            (warnings, listed(&problems))
        }
        Err(problems) => (Vec::new(), listed(&problems)),
    };
    let count = problems.len();
    output.json(&json!({
        "file": path, "ok": count == 0, "problems": problems, "warnings": warnings
    }))?;
    if count == 0 {
        return Ok(());
    }
    Err(Failure::usage("the configuration has problems").at(path.display()))
}

fn listed(problems: &Problems) -> Vec<serde_json::Value> {
    let listed = problems.iter().map(|problem| {
        json!({
            "line": problems.line(problem),
            "message": problem.message(),
            "remedy": problem.remedy_text(),
        })
    });
    listed.collect()
}

fn show(explicit: Option<&Path>, output: Output) -> Result<(), Failure> {
    let config = super::open::load_config(explicit)?;
    super::print_problems(&config.warnings);
    if output.form() == Form::Json {
        let settings: Vec<_> = config
            .show()
            .into_iter()
            .map(|(key, value, origin)| {
                json!({ "key": key, "value": value, "origin": origin.to_string() })
            })
            .collect();
        return output.json(&json!({ "file": config.file, "settings": settings }));
    }
    let rows: Vec<_> = config.show().iter().map(row).collect();
    output.table(&["SETTING", "VALUE", "FROM"], &rows)?;
    let limits = |realm: &Realm| {
        let own = realm.client_limits.as_deref().is_some_and(|limits| !limits.is_empty());
        own || !realm.source_limits.is_empty() || !realm.realm_limits.is_empty()
    };
    if config.realms.iter().any(|realm| limits(&realm.realm)) {
        let note =
            "Each server counts limits for itself: behind n servers, n times as much passes.";
        // A note that nobody can read is not worth failing for.
        let _ = writeln!(anstream::stderr().lock(), "{note}");
    }
    Ok(())
}

fn row((key, value, origin): &(String, String, Origin)) -> Vec<Cell> {
    let origin_cell = match origin {
        Origin::Default => Cell::new("default"),
        Origin::File { .. } | Origin::Environment(_) => Cell::good(origin.to_string()),
    };
    vec![Cell::new(key), Cell::maybe(Some(value).filter(|value| !value.is_empty())), origin_cell]
}
