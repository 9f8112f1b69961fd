//! Why a database cannot be opened, each time with what to do about it.

/// Why a database cannot be opened. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made, read or written.
    #[error("cannot open the database {place}: {reason}")]
    Unusable {
        /// The database.
        place: String,
        /// What the system says.
        reason: String,
    },
    /// The file holds something else.
    #[error(
        "{place} is not a SQLite database: give the path of a jeton database, or of a file that \
         does not exist yet"
    )]
    NotADatabase {
        /// The file.
        place: String,
    },
    /// Somebody began to restore it.
    #[error(
        "a restore of the database {place} was cut off in the middle: run `jeton database restore` \
         again, which finishes it first; the database of before is beside it, as {place}.replaced-…"
    )]
    HalfRestored {
        /// The database.
        place: String,
    },
    /// Another file took its place in this very moment.
    #[error("the database {place} was replaced while it was being opened: try again")]
    Replaced {
        /// The database.
        place: String,
    },
    /// The file was a database once.
    #[error(
        "the database {place} is damaged ({reason}): `jeton database check` tells how far; restore \
         a backup: `jeton database restore --from FILE`"
    )]
    Damaged {
        /// The database.
        place: String,
        /// What SQLite says.
        reason: String,
    },
    /// Somebody else's tables.
    #[error(
        "{place} is a database, but not jeton's: give the path of a jeton database, or of a file \
         that does not exist yet"
    )]
    Foreign {
        /// The database.
        place: String,
    },
    /// A newer jeton was here.
    #[error(
        "the database {place} has schema {found}, and this jeton knows schemas up to {known}: \
         start a jeton that knows schema {found}, or restore the backup that was made before \
         the migration ({place}.before-{next:04}.bak)", next = known + 1
    )]
    Newer {
        /// The database.
        place: String,
        /// The newest schema that was applied to it.
        found: u32,
        /// The newest schema that this binary knows.
        known: u32,
    },
    /// The schema did not come from the migrations that this binary has.
    #[error(
        "migration {number} was applied to the database {place} with another text than this \
         jeton has: use the jeton that made this database, or restore a backup"
    )]
    Altered {
        /// The database.
        place: String,
        /// The first migration that differs.
        number: u32,
    },
    /// The copy that is made before a migration could not be made.
    #[error("cannot copy the database {place} before migrating it to schema {number}: {reason}")]
    Backup {
        /// The database.
        place: String,
        /// The schema it was to be migrated to.
        number: u32,
        /// What went wrong.
        reason: String,
    },
    /// A migration failed; none of the migrations was applied.
    #[error("cannot migrate the database {place} to schema {number}: {reason}")]
    Migration {
        /// The database.
        place: String,
        /// The migration that failed.
        number: u32,
        /// What went wrong.
        reason: String,
    },
}
