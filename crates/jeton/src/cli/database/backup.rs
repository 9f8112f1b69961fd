//! `jeton database backup | restore | check`: a whole SQLite database, copied, put back, looked through;
//! a PostgreSQL database only the last.

use std::path::{Path, PathBuf};

use clap::Args;
use jeton_engine::master_key::MasterKey;
use jeton_store::{CopyError, Existing, OpenError};
use serde_json::json;

use super::report::{self, teller};
use crate::cli::failure::Failure;
use crate::cli::open;
use crate::cli::output::{Cell, Form, Output};
use crate::config::{Database, MasterKeySource, Storage, master_key};

/// Where to.
#[derive(Args, Debug, Clone)]
pub(in crate::cli) struct Backup {
    /// The new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Let it take the place of the file of this name
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    keys: Keys,
}

/// From where.
#[derive(Args, Debug, Clone)]
pub(in crate::cli) struct Restore {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Let it take the place of the database that is there, which is kept beside it
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    keys: Keys,
}

/// Which database.
#[derive(Args, Debug, Clone)]
pub(in crate::cli) struct Check {
    /// A backup, which is a SQLite database; the configuration's database when left out
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

/// Whether encrypted keys are opened.
#[derive(Args, Debug, Clone)]
struct Keys {
    /// Do not try whether signing keys and secrets open under the master key
    #[arg(long)]
    without_master_key: bool,
}

/// Copies the database.
pub(super) fn back_up(
    backup: &Backup,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let storage = open::load_config(explicit)?.storage;
    let from = file(&storage, "backup")?;
    if !from.is_file() {
        return Err(Failure::failed("there is no such database").at(from.display()));
    }
    let master_key = existing_key(&storage, &backup.keys)?;
    let to = (backup.to.as_path(), existing(backup.replace));
    let examined = jeton_store::back_up(from, to, master_key.as_ref(), &teller())
        .map_err(|error| explain("no backup was made", &error, output))?;
    let key = key_place(&storage.master_key);
    if output.form() == Form::Json {
        let more = json!({ "master_key": { "included": false, "place": key } });
        return output.json(&report::document(&examined, more));
    }
    let more = vec![("master key", Cell::new(format!("NOT in it: {key}")))];
    report::facts(&examined, more, output)?;
    output.remark(
        "\nIt was opened and found sound. Without the master key no signing key in it opens: keep that\n\
         too, in another place than the backup. Configuration and dialects are not in it either.",
    )
}

/// Puts a backup in the place of the database.
pub(super) fn restore(
    restore: &Restore,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let storage = open::load_config(explicit)?.storage;
    let to = file(&storage, "restore")?;
    if !restore.from.is_file() {
        return Err(Failure::failed("there is no such backup").at(restore.from.display()));
    }
    let master_key = existing_key(&storage, &restore.keys)?;
    let to = (to.as_path(), existing(restore.replace));
    let restored = jeton_store::restore(&restore.from, to, master_key.as_ref(), &teller())
        .map_err(|error| explain("nothing was restored", &error, output))?;
    if output.form() == Form::Json {
        let more = json!({ "kept": restored.kept, "finished_another": restored.finished_another });
        return output.json(&report::document(&restored.examined, more));
    }
    let mut more = Vec::new();
    if restored.finished_another {
        more.push(("finished first", Cell::new("an earlier restore that was cut off")));
    }
    if let Some(kept) = &restored.kept {
        more.push(("database of before", Cell::new(kept.display().to_string())));
    }
    report::facts(&restored.examined, more, output)?;
    output.remark(
        "\nWhat was issued, changed or revoked after the backup is gone: look at what must be revoked\n\
         again before you start jeton.",
    )
}

/// Looks through the database.
pub(super) async fn check(
    check: Check,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let storage = open::load_config(explicit)?.storage;
    let master_key = || existing_key(&storage, &check.keys);
    let examined = match (&check.file, &storage.database) {
        (None, Database::Postgres(address)) => {
            let master_key = master_key()?;
            jeton_store::examine_postgres(address, master_key.as_ref(), &teller()).await
        }
        (Some(file), _) => jeton_store::examine(file, master_key()?.as_ref(), &teller()),
        (None, _) => {
            let file = file(&storage, "check")?;
            jeton_store::examine(file, master_key()?.as_ref(), &teller())
        }
    };
    let examined = examined.map_err(|error| Failure::failed(error.to_string()))?;
    report::tell(&examined, output)?;
    if examined.is_sound() { Ok(()) } else { Err(Failure::Said) }
}

/// The configuration's database, when it is a file.
fn file<'s>(storage: &'s Storage, act: &str) -> Result<&'s PathBuf, Failure> {
    match &storage.database {
        Database::File(path) => Ok(path),
        Database::Memory => {
            Err(Failure::usage("a database in memory ends with its process: there is no file"))
        }
        Database::Postgres(address) => Err(Failure::usage(format!(
            "jeton database {act} works on SQLite, and storage.url names PostgreSQL: {address}"
        ))
        .next(
            "pg_dump and pg_restore, or pg_basebackup with archived logs: docs/operate/backup.md",
        )),
    }
}

fn existing(replace: bool) -> Existing {
    if replace { Existing::Replaced } else { Existing::Stays }
}

/// The master key that is there. Unlike a server, this makes none: a new key opens nothing.
fn existing_key(storage: &Storage, keys: &Keys) -> Result<Option<MasterKey>, Failure> {
    if keys.without_master_key {
        return Ok(None);
    }
    master_key::read_existing(&storage.master_key).map(Some).map_err(|error| {
        Failure::failed(error.to_string()).at("[storage] master_key").next(
            "put the master key in its place; or go on without trying the keys that are encrypted \
             under it: --without-master-key",
        )
    })
}

fn key_place(source: &MasterKeySource) -> String {
    match source {
        MasterKeySource::File(path) | MasterKeySource::BesideDatabase(path) => {
            path.display().to_string()
        }
        MasterKeySource::Environment(name) => format!("the environment variable {name}"),
        MasterKeySource::Fresh => "nothing".to_owned(),
    }
}

fn explain(outcome: &str, error: &CopyError, output: Output) -> Failure {
    let failure = Failure::failed(format!("{outcome}: {error}"));
    match error {
        CopyError::Exists(_) => failure.next(
            "another name, or --replace; a database that is replaced is kept under another name",
        ),
        CopyError::Database(_) => failure.next("another name"),
        CopyError::InUse(_) => {
            failure.next("stop every jeton that uses it, and whatever else has it open")
        }
        CopyError::Unsound(examined) => {
            // When the report cannot be written, the failure still is.
            let _ = report::problems(examined, output);
            failure
        }
        CopyError::Open(OpenError::Damaged { .. }) => failure.next("jeton database check"),
        CopyError::Open(_) | CopyError::Failed { .. } => {
            failure.next("nothing was changed; it can be tried again")
        }
    }
}
