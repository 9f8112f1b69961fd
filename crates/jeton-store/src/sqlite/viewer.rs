//! Opens a database to look at it: nothing in it is changed, and whoever uses it is not disturbed.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::frames;

/// How long somebody who opens or closes the database may keep it locked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a database that is there.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    match open_in_use(path) {
        // On a disk that only reads, the files that a database in use has cannot be made. Without
        // a log, nobody uses it.
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ) && frames::look(path).is_ok_and(|log| log.frames == 0) =>
        {
            open_at_rest(path)
        }
        other => other,
    }
}

fn open_in_use(path: &Path) -> rusqlite::Result<Connection> {
    // A connection that only reads leaves the files behind that it makes; one that could write takes
    // them away, but moves a log that somebody left into the database, which is not ours to do.
    let has_log = frames::path_of(path).metadata().is_ok_and(|log| log.len() > 0);
    let flags =
        if has_log { OpenFlags::SQLITE_OPEN_READ_ONLY } else { OpenFlags::SQLITE_OPEN_READ_WRITE };
    ready(Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

fn open_at_rest(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let path = path.to_string_lossy();
    let name = format!("file:{}?immutable=1", utf8_percent_encode(&path, NON_ALPHANUMERIC));
    ready(Connection::open_with_flags(name, flags)?)
}

fn ready(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(PATIENCE)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;",
    )?;
    // Only now the file is read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}
