//! `jeton doctor`: what an operator would look at, looked at in one go. Nothing is changed by it: no
//! database or key is made, nothing is migrated, nobody is told anything.

use std::path::Path;

use jeton_engine::clock::Clock;
use serde_json::json;

use self::finding::{Finding, Level};
use super::failure::Failure;
use super::output::{Cell, Form, Output};
use crate::config::{self, Config, RealmConfig};

mod clients;
mod configuration;
mod database;
mod files;
mod finding;
mod issuers;
mod keys;
mod listeners;
mod machine;

/// Looks at everything and tells what it found. Fails when something is a problem.
pub(super) async fn run(explicit: Option<&Path>, output: Output) -> Result<(), Failure> {
    let path = config::find(explicit)
        .map_err(|missing| Failure::usage(missing.to_string()).next("jeton init"))?;
    let findings = examine(&path, &Clock::System).await;
    print(&findings, output)?;
    if count(&findings, Level::Problem) == 0 { Ok(()) } else { Err(Failure::Said) }
}

/// Everything that there is to look at, in the order in which one would.
async fn examine(path: &Path, clock: &Clock) -> Vec<Finding> {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(problems) => return configuration::refused(&problems, path),
    };
    let mut findings = configuration::examine(&config, clock);
    findings.extend(files::examine(&config, path));
    findings.extend(listeners::examine(&config));
    findings.push(machine::open_files(&config.server));
    findings.push(machine::clock(Path::new("/run")));
    let (about_key, master_key) = keys::master_key(&config.storage);
    findings.push(about_key);
    let (about_database, look) = database::examine(&config.storage, clock).await;
    findings.extend(about_database);
    if let Some(look) = look.filter(|look| look.schema().is_current()) {
        for realm in &config.realms {
            findings.extend(keys::examine(&look, realm, master_key.as_ref(), clock.now()).await);
            findings.extend(clients::examine(&look, realm, clock.now()).await);
        }
    }
    findings.extend(issuers::examine(&config, clock).await);
    findings
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

fn print(findings: &[Finding], output: Output) -> Result<(), Failure> {
    let problems = count(findings, Level::Problem);
    let warnings = count(findings, Level::Warning);
    match output.form() {
        Form::Json => output.json(&json!({
            "ok": problems == 0, "problems": problems, "warnings": warnings, "findings": findings
        })),
        Form::Plain => {
            let rows: Vec<_> = findings.iter().map(plain_row).collect();
            output.table(&[], &rows)
        }
        Form::Terminal => {
            let rows: Vec<_> = findings.iter().flat_map(terminal_rows).collect();
            output.table(&["", "WHERE", "WHAT"], &rows)?;
            output.line(&format!("\nproblems: {problems}, warnings: {warnings}"))
        }
    }
}

/// Level, check, place, finding and remedy.
fn plain_row(finding: &Finding) -> Vec<Cell> {
    vec![
        Cell::new(finding.level.name()),
        Cell::new(finding.check),
        Cell::new(&finding.place),
        Cell::new(&finding.what),
        Cell::maybe(finding.remedy.as_deref()),
    ]
}

/// A row for what was found, and one for what to do.
fn terminal_rows(finding: &Finding) -> Vec<Vec<Cell>> {
    let level = match finding.level {
        Level::Ok => Cell::good("ok"),
        Level::Note => Cell::new("note"),
        Level::Warning => Cell::bad("warning"),
        Level::Problem => Cell::bad("PROBLEM"),
    };
    let mut rows = vec![vec![level, Cell::new(&finding.place), Cell::new(&finding.what)]];
    if let Some(remedy) = &finding.remedy {
        rows.push(vec![Cell::new(""), Cell::new(""), Cell::new(format!("  try: {remedy}"))]);
    }
    rows
}

/// The realms' names, for sentences.
fn realm_place(config: &RealmConfig) -> String {
    format!("realm {}", config.realm.name)
}

/// The configuration's own name, for sentences.
fn file_of(config: &Config) -> String {
    config.file.as_ref().map_or_else(|| "jeton.toml".to_owned(), |file| file.display().to_string())
}
