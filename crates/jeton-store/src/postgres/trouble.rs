//! What went wrong inside an act on the database, and what the caller is told of it. Only codes
//! and messages of PostgreSQL are passed on: its details quote rows.

use std::error::Error as _;

use jeton_engine::store::StoreError;
use tokio_postgres::error::{DbError, SqlState};

/// What went wrong inside an act on the database.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The act itself says no.
    Store(StoreError),
    /// PostgreSQL does, or the connection is lost.
    Postgres(tokio_postgres::Error),
    /// It took too long.
    Late,
    /// Another server has taken over.
    Superseded,
}

impl Trouble {
    /// What PostgreSQL itself says.
    pub(super) fn said(&self) -> Option<&DbError> {
        match self {
            Self::Postgres(error) => error.as_db_error(),
            Self::Store(_) | Self::Late | Self::Superseded => None,
        }
    }

    /// Whether the connection is good for nothing more. A transaction that may be open on it ends
    /// with it.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Store(_) => false,
            Self::Late | Self::Superseded => true,
            Self::Postgres(error) => error.as_db_error().is_none_or(passes),
        }
    }

    /// Whether one of several writes is to blame: what it would write cannot be written.
    pub(super) fn is_about_content(&self) -> bool {
        // Data exceptions, broken constraints, limits of the program.
        let classes = ["22", "23", "54"];
        self.said()
            .is_some_and(|said| classes.iter().any(|class| said.code().code().starts_with(class)))
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
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
            Trouble::Late => Self::Unreachable("the database did not answer in time".to_owned()),
            Trouble::Superseded => {
                Self::Unreachable("another database server has taken over".to_owned())
            }
            Trouble::Postgres(error) => {
                let text = explain(&error);
                if error.as_db_error().is_none_or(passes) {
                    Self::Unreachable(text)
                } else {
                    Self::Failed(text)
                }
            }
        }
    }
}

/// What an error says, without what it quotes.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("PostgreSQL says: {} ({})", said.message(), said.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Whether a row could not be written because one like it is there.
pub(super) fn is_duplicate(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
}

/// Whether the same may go well a little later, or on another server: connections that end,
/// servers that start, stop or only read, transactions that others were in the way of, disks that
/// are full or fail.
fn passes(said: &DbError) -> bool {
    const CLASSES: [&str; 5] = ["08", "40", "53", "57", "58"];
    const CODES: [SqlState; 3] = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    let code = said.code();
    CLASSES.iter().any(|class| code.code().starts_with(class)) || CODES.contains(code)
}

/// A count or revision as PostgreSQL keeps it.
pub(super) fn integer(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Failed(format!("{number} is greater than PostgreSQL can keep")))
}
