//! Proves that the log is emptied in time, and that nobody has to wait for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::*;
use crate::sqlite::{Location, SqliteSettings};

/// A page and what the log adds to it.
const FRAME: i32 = 4096 + 24;

fn place() -> (TempDir, PathBuf, Checkpointer) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    let location = Location::File(path.clone());
    connect::create(&location).unwrap();
    let writer = connect::writer(&location, &SqliteSettings::default()).unwrap();
    writer.execute_batch("CREATE TABLE load (bytes BLOB)").unwrap();
    let (_, commits) = sync_channel(1);
    let writer = Arc::new(Mutex::new(writer));
    let checkpointer = Checkpointer::open(&path, writer, commits).unwrap();
    (directory, path, checkpointer)
}

fn write(checkpointer: &Checkpointer, pages: i32) {
    let writer = checkpointer.writer.lock();
    writer.execute("INSERT INTO load VALUES (zeroblob(?1))", [pages * 4096]).unwrap();
}

fn pages(checkpointer: &Checkpointer) -> (i32, i32) {
    checkpointer.checkpoint(CheckpointMode::NOOP).unwrap()
}

#[test]
fn a_short_log_is_left_alone() {
    let (_directory, _path, checkpointer) = place();
    write(&checkpointer, 10);
    checkpointer.tend().unwrap();
    assert!(matches!(pages(&checkpointer), (10.., 0)));
}

#[test]
fn a_longer_log_is_moved() {
    let (_directory, _path, checkpointer) = place();
    write(&checkpointer, MOVED_MIN);
    checkpointer.tend().unwrap();
    let (pages, moved) = pages(&checkpointer);
    assert!(pages > MOVED_MIN);
    assert_eq!(pages, moved);
}

#[test]
fn the_longest_log_starts_anew() {
    let (_directory, path, checkpointer) = place();
    write(&checkpointer, LOG_MAX);
    let log = path.with_extension("db-wal");
    let length = log.metadata().unwrap().len();
    assert!(length > (LOG_MAX * FRAME).unsigned_abs().into());
    checkpointer.tend().unwrap();
    write(&checkpointer, 10);
    assert!(pages(&checkpointer).0 < 100);
    // The file keeps its space: writing over it is faster than making it grow.
    assert_eq!(log.metadata().unwrap().len(), length);
    checkpointer.start_anew(CheckpointMode::TRUNCATE).unwrap();
    assert_eq!(log.metadata().unwrap().len(), 0);
}

#[test]
fn a_long_read_is_not_waited_for() {
    let (_directory, path, checkpointer) = place();
    let mut reader = connect::reader(&path, &SqliteSettings::default()).unwrap();
    let snapshot = reader.transaction().unwrap();
    let count = |snapshot: &Connection| {
        snapshot.query_row("SELECT count(*) FROM load", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(&snapshot), 0);
    write(&checkpointer, LOG_MAX);
    checkpointer.tend().unwrap();
    assert_eq!(count(&snapshot), 0);
    let busy = checkpointer.start_anew(CheckpointMode::TRUNCATE).unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    drop(snapshot);
    checkpointer.tend().unwrap();
    write(&checkpointer, 10);
    assert!(pages(&checkpointer).0 < 100);
    assert_eq!(count(&reader), 2);
}
