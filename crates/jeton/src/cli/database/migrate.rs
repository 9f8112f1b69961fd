//! `jeton database migrate`: moves a SQLite installation to PostgreSQL.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use jeton_store::{PostgresAddress, TransferError, TransferProgress, TransferStage, transfer};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::open;
use crate::cli::output::{Cell, Form, Output};
use crate::config::{Database, MasterKeySource};

/// Where to.
#[derive(Args, Debug, Clone)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Migrate {
    /// The PostgreSQL database; without a password, which others could see here
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file that holds its URL
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

/// Moves everything.
pub(super) async fn run(
    migrate: Migrate,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let target = target(&migrate)?;
    let storage = open::load_config(explicit)?.storage;
    let Database::File(from) = &storage.database else {
        return Err(Failure::usage("storage.url names no SQLite file: there is nothing to move")
            .next("the configuration that jeton ran with until now: --config FILE"));
    };
    if !from.is_file() {
        return Err(Failure::failed("there is no such database").at(from.display()));
    }
    let show = std::io::stderr().is_terminal();
    let progress = |progress: TransferProgress| {
        if show {
            tell(progress);
        }
    };
    let moved = transfer(from, &target, &progress).await.map_err(|error| explain(&error))?;
    if output.form() == Form::Json {
        let rows: serde_json::Map<_, _> =
            moved.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
        return output.json(&json!({ "to": target.to_string(), "rows": rows }));
    }
    let rows: Vec<Vec<Cell>> = moved
        .iter()
        .map(|(table, rows)| vec![Cell::new(*table), Cell::new(rows.to_string())])
        .collect();
    output.table(&["TABLE", "ROWS"], &rows)?;
    let key = match &storage.master_key {
        MasterKeySource::File(path) | MasterKeySource::BesideDatabase(path) => {
            format!("{{ file = \"{}\" }}", path.display())
        }
        MasterKeySource::Environment(name) => format!("{{ env = \"{name}\" }}"),
        MasterKeySource::Fresh => "the same as until now".to_owned(),
    };
    output.remark(&format!(
        "\nEvery row was read back and compared. Now change [storage], on every server alike:\n  \
         url = \"{target}\"    (with user and password)\n  master_key = {key}"
    ))
}

fn target(migrate: &Migrate) -> Result<PostgresAddress, Failure> {
    let text = match (&migrate.to, &migrate.to_file) {
        (Some(url), _) => url.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::file("reading the URL", file, &error))?,
        (None, None) => return Err(Failure::usage("--to is missing")),
    };
    let wrong = |what: String| Failure::usage(format!("the URL of the new database {what}"));
    let address = PostgresAddress::parse(text.trim(), Path::new("")).map_err(|error| {
        let failure = wrong(error.to_string());
        error.instead().map_or(failure, |instead| wrong(error.to_string()).next(instead))
    })?;
    if migrate.to.is_some() && address.has_password() {
        return Err(wrong(
            "has a password, which others could see in the list of processes".into(),
        )
        .next("keep the URL in a file that only you can read: --to-file FILE"));
    }
    Ok(address)
}

/// Tells a person at the terminal how far it is, in one line that is written over.
fn tell(progress: TransferProgress) {
    let TransferProgress { table, stage, done, total } = progress;
    let act = match stage {
        TransferStage::Copying => "copying",
        TransferStage::Comparing => "comparing",
    };
    let end = if done >= total { "\n" } else { "" };
    // When standard error is gone, there is nobody left to tell.
    let _ = write!(anstream::stderr().lock(), "\r{act} {table}: {done} of {total}{end}");
}

fn explain(error: &TransferError) -> Failure {
    let failure = Failure::failed(format!("nothing was moved: {error}"));
    match error {
        TransferError::InUse(_) => failure.next("stop every jeton that serves it, then try again"),
        TransferError::NotEmpty { .. } => failure.next("give the URL of an empty database"),
        TransferError::Differs { .. } | TransferError::Failed { .. } | TransferError::Open(_) => {
            failure.next("the SQLite database is as it was; it can be tried again")
        }
    }
}
