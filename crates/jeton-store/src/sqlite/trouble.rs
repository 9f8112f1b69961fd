//! What went wrong inside an act on the database, and what the caller is told of it.

use jeton_engine::store::StoreError;
use rusqlite::ErrorCode;

/// What went wrong inside an act on the database.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The act itself says no.
    Store(StoreError),
    /// SQLite does.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Store(error) => error,
            Trouble::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Unreachable(
                    "another process has kept the database locked for too long".to_owned(),
                ),
                Some(
                    ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly,
                ) => Self::Unreachable(error.to_string()),
                // Nobody mends that by trying again.
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Failed(format!(
                        "the database is damaged ({error}): `jeton database check` tells where; restore \
                     a backup: `jeton database restore --from FILE`"
                    ))
                }
                _ => Self::Failed(error.to_string()),
            },
        }
    }
}

/// Whether a row could not be written because one like it is there.
pub(super) fn is_duplicate(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE))
}

/// A count or revision as SQLite keeps it.
pub(super) fn integer(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Failed(format!("{number} is greater than SQLite can keep")))
}
