//! `jeton dialect`: the wire formats at hand: list them, show one, check files, replay exchanges.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jeton_dialect::{Dialect, Dialects, Folder, Origin, Problems, inspect_file, inspect_folder};
use jeton_engine::name::DialectName;
use serde_json::{Value, json};

use super::failure::Failure;
use super::moment;
use super::output::{Cell, Form, Output};
use crate::config;

mod replay;
pub(super) mod script;
mod stand_in;
pub(super) mod wire;

pub(super) use stand_in::basic;

/// What to do with dialects.
#[derive(Subcommand, Debug)]
pub(super) enum DialectCommand {
    /// List the dialects at hand: the built-in ones and those of the configuration's directory
    #[command(after_help = "Example:
  jeton dialect list --json | jq -r '.[].name'")]
    List,
    /// Print a dialect's file: the whole description of its wire format
    #[command(after_help = "Example:
  mkdir -p dialects/mine && jeton dialect show rfc6749 > dialects/mine/dialect.toml")]
    Show {
        /// The dialect's name
        #[arg(value_name = "NAME")]
        name: DialectName,
    },
    /// Print the guide to writing a dialect: every key, every value, and an example from nothing
    #[command(after_help = "Example:
  jeton dialect guide | less")]
    Guide,
    /// Tell every problem of dialects and their exchanges at once, with file, line and remedy
    #[command(after_help = "Example:
  jeton dialect check dialects/mine")]
    Check(Check),
    /// Send a dialect's exchanges to a realm, anybody's, and show where its answers differ
    #[command(after_help = "Against `jeton dev` every exchange passes: it has the same clients.

Examples:
  jeton dialect replay dt-growth --url http://127.0.0.1:8080/dt-growth
  printf %s \"$SECRET\" | jeton dialect replay rfc6749 --url http://10.0.0.7 --client-id partner-7 --client-secret-stdin")]
    Replay(Box<replay::Replay>),
}

/// What to check.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// A dialect's folder or file, or a folder of such folders
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// Does it.
pub(super) fn run(
    command: DialectCommand,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    match command {
        DialectCommand::List => list(explicit, output),
        DialectCommand::Show { name } => show(&name, explicit, output),
        DialectCommand::Guide if output.form() == Form::Json => {
            output.json(&json!({ "guide": jeton_dialect::GUIDE }))
        }
        DialectCommand::Guide => output.bytes(jeton_dialect::GUIDE.as_bytes()),
        DialectCommand::Check(check) => run_check(&check, output),
        DialectCommand::Replay(replay) => {
            let dialects = at_hand(explicit)?;
            replay::run(&replay, find(&dialects, replay.name(), explicit)?, output)
        }
    }
}

/// The dialects that the configuration knows; without one, those that are built in.
fn at_hand(explicit: Option<&Path>) -> Result<std::sync::Arc<Dialects>, Failure> {
    if is_without_config(explicit) {
        return builtin().map(std::sync::Arc::new);
    }
    super::open::load_config(explicit).map(|config| config.dialects)
}

/// The dialect of this name, built in or of the configuration's directory.
pub(super) fn named(
    name: &DialectName,
    explicit: Option<&Path>,
) -> Result<std::sync::Arc<Dialect>, Failure> {
    find(&*at_hand(explicit)?, name, explicit).map(|folder| std::sync::Arc::clone(&folder.dialect))
}

/// Whether there is no configuration that could name a directory of dialects.
fn is_without_config(explicit: Option<&Path>) -> bool {
    explicit.is_none() && config::find(None).is_err()
}

/// The dialects that are part of the program.
pub(super) fn builtin() -> Result<Dialects, Failure> {
    Dialects::builtin().map_err(|problems| {
        Failure::failed(format!("the built-in dialects are broken:\n{problems}"))
    })
}

fn find<'a>(
    dialects: &'a Dialects,
    name: &DialectName,
    explicit: Option<&Path>,
) -> Result<&'a Folder, Failure> {
    dialects.folder(name.as_str()).ok_or_else(|| {
        let names: Vec<_> = dialects.names().collect();
        let own = match is_without_config(explicit) {
            true => {
                "--config FILE: without it only built-in dialects are known; dialects of your own \
                     stand in the folder that `directory` names under [dialects]"
            }
            false => "a dialect of your own: in the folder that `directory` names under [dialects]",
        };
        Failure::failed(format!("dialect {name} does not exist"))
            .next(format!("one of the dialects: {}", names.join(", ")))
            .next(own)
    })
}

fn list(explicit: Option<&Path>, output: Output) -> Result<(), Failure> {
    let dialects = at_hand(explicit)?;
    if output.form() == Form::Json {
        return output.json(&dialects.iter().map(summary).collect::<Vec<_>>());
    }
    let rows: Vec<_> = dialects.iter().map(row).collect();
    output.table(&["NAME", "METHOD", "PATH", "TOKEN", "LIFETIME", "TITLE"], &rows)
}

fn row(folder: &Folder) -> Vec<Cell> {
    let dialect = &folder.dialect;
    vec![
        Cell::new(dialect.name().as_str()),
        Cell::new(dialect.method().as_str()),
        Cell::new(dialect.path()),
        Cell::maybe(format_of(folder)),
        Cell::new(moment::lifetime_spelled(dialect.terms().lifetime)),
        Cell::new(dialect.title()),
    ]
}

fn summary(folder: &Folder) -> Value {
    let dialect = &folder.dialect;
    let exchanges: Vec<_> = folder.exchanges.iter().map(|(name, _)| name).collect();
    json!({
        "name": dialect.name(),
        "title": dialect.title(),
        "method": dialect.method().as_str(),
        "path": dialect.path(),
        "token_format": format_of(folder),
        "lifetime": moment::lifetime_spelled(dialect.terms().lifetime),
        "origin": match &folder.origin {
            Origin::Builtin => "built-in",
            Origin::Folder(path) => path,
        },
        "exchanges": exchanges,
    })
}

/// How its tokens look; nothing where that is left to the realm.
fn format_of(folder: &Folder) -> Option<&'static str> {
    folder.dialect.terms().token.as_ref().map(|shape| shape.format().name())
}

fn show(name: &DialectName, explicit: Option<&Path>, output: Output) -> Result<(), Failure> {
    let dialects = at_hand(explicit)?;
    let folder = find(&dialects, name, explicit)?;
    let text = folder.dialect.source_text();
    if output.form() == Form::Json {
        let mut document = summary(folder);
        if let Some(members) = document.as_object_mut() {
            members.insert("source".to_owned(), text.into());
        }
        return output.json(&document);
    }
    output.bytes(text.as_bytes())
}

fn run_check(check: &Check, output: Output) -> Result<(), Failure> {
    let checked = to_check(&check.paths)?;
    let mut all = Problems::default();
    for path in &checked {
        let problems = match path.is_dir() {
            true => inspect_folder(path),
            false => inspect_file(path),
        };
        let found = problems.iter().count();
        if output.form() != Form::Json {
            let verdict = match found {
                0 => Cell::good("ok"),
                1 => Cell::bad("1 problem"),
                _ => Cell::bad(format!("{found} problems")),
            };
            output.table_row(&[Cell::new(path.display().to_string()), verdict])?;
        }
        all.extend(problems);
    }
    let count = all.iter().count();
    if output.form() == Form::Json {
        let problems: Vec<_> = all
            .iter()
            .map(|problem| {
                json!({
                    "file": problem.file, "line": problem.line,
                    "message": problem.message, "remedy": problem.remedy
                })
            })
            .collect();
        output.json(&json!({ "ok": count == 0, "checked": checked, "problems": problems }))?;
    }
    if count == 0 {
        return Ok(());
    }
    let plural = if count == 1 { "" } else { "s" };
    Err(Failure::failed(format!("{count} problem{plural} found\n\n{all}\n"))
        .next("jeton dialect guide"))
}

/// What paths name: a dialect's folder, the folder of one of its files, the folders in a folder; a TOML
/// file of another name is a dialect file alone.
fn to_check(paths: &[PathBuf]) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut found = BTreeSet::new();
    for path in paths {
        let before = found.len();
        if path.join("dialect.toml").is_file() {
            found.insert(path.clone());
        } else if path.is_dir() {
            let entries = std::fs::read_dir(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| Failure::file("reading", path, &error))?;
            let inside = entries.into_iter().map(|entry| entry.path());
            found.extend(inside.filter(|inside| inside.join("dialect.toml").is_file()));
        } else if is_alone(path) {
            found.insert(path.clone());
        } else if path.is_file() {
            // The file of a dialect, or one of its exchanges.
            let above = path.ancestors().skip(1).find(|above| above.join("dialect.toml").is_file());
            found.extend(above.map(|above| {
                if above.as_os_str().is_empty() { PathBuf::from(".") } else { above.to_owned() }
            }));
        }
        if found.len() == before && !found.contains(path) {
            return Err(Failure::usage("there is no dialect")
                .at(path.display())
                .next("a folder with a dialect.toml in it"));
        }
    }
    Ok(found)
}

/// Whether it is a TOML file that no dialect's folder gives a meaning to.
fn is_alone(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    path.is_file() && is_toml && name != "dialect.toml" && name != "cast.toml"
}
