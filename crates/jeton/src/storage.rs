//! Opens the store that the configuration names.

use std::sync::Arc;

use jeton_store::{Location, OpenError, SqliteSettings, SqliteStore};

use crate::config::{Database, Storage};

/// The store; made when it is not there yet.
///
/// # Errors
/// Why the database cannot be used.
pub fn open(storage: &Storage) -> Result<Arc<SqliteStore>, OpenError> {
    let location = match &storage.database {
        Database::File(path) => Location::File(path.clone()),
        Database::Memory => Location::Memory,
    };
    let settings = SqliteSettings { queue_max: storage.queue_max, ..SqliteSettings::default() };
    SqliteStore::open(&location, settings)
}
