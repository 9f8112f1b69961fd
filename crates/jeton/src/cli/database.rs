//! `jeton database`: what is done with a whole database.

mod backup;
mod migrate;
mod report;

use std::path::Path;

use clap::Subcommand;

use self::backup::{Backup, Check, Restore};
use self::migrate::Migrate;
use super::failure::Failure;
use super::output::Output;

/// What to do with the database.
#[derive(Subcommand, Debug, Clone)]
pub(super) enum DatabaseCommand {
    /// Copy the SQLite database into a file, while servers use it, and check the copy
    #[command(
        after_help = "The copy is one moment's. It has its name only once it was opened and found sound: every page,
every row, every signing key under the master key. The master key is NOT in it; keep that elsewhere.

Examples:
  jeton database backup --to /var/backups/jeton.db
  jeton database backup --to /var/backups/jeton.db --replace     the backup of before goes"
    )]
    Backup(Backup),
    /// Put a backup in the place of the SQLite database
    #[command(
        after_help = "Stop jeton first. The backup is checked before anything else is touched; the database that is
there is kept beside it under a name that is told. Cut off in the middle, the same command again.
What was issued, changed or revoked after the backup is gone: tokens revoked since then work again.

Examples:
  jeton database restore --from /var/backups/jeton.db
  jeton database restore --from /var/backups/jeton.db --replace  where a database is there"
    )]
    Restore(Restore),
    /// Read the whole database and tell everything that is wrong with it
    #[command(
        after_help = "Servers may run meanwhile; nothing is changed. Exit code 1 when something is wrong.
PostgreSQL's pages and indexes are looked at where its extension amcheck is installed.

Examples:
  jeton database check
  jeton database check --file /var/backups/jeton.db              a backup"
    )]
    Check(Check),
    /// Move everything from the configuration's SQLite database into an empty PostgreSQL database
    #[command(
        after_help = "Stop jeton first. Every row is read back and compared before anything counts; the SQLite
database stays as it is. Afterwards, name the new database and the same master key in [storage].

Examples:
  jeton database migrate --to 'postgres://jeton@db.example.com/jeton?sslcert=own.pem&sslkey=own.key'
  jeton database migrate --to-file /etc/jeton/database-url        with a password in it"
    )]
    Migrate(Migrate),
}

/// Does it.
pub(super) async fn run(
    command: DatabaseCommand,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    match command {
        DatabaseCommand::Backup(backup) => backup::back_up(&backup, explicit, output),
        DatabaseCommand::Restore(restore) => backup::restore(&restore, explicit, output),
        DatabaseCommand::Check(check) => backup::check(check, explicit, output).await,
        DatabaseCommand::Migrate(migrate) => migrate::run(migrate, explicit, output).await,
    }
}
