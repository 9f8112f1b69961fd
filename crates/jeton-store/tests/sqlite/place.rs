//! Where a test has its database.

use std::path::PathBuf;

use tempfile::TempDir;

/// A folder of its own, gone when it is dropped, and the file in it that is to be the database.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    (directory, path)
}
