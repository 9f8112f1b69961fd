//! Checkpoints: moves what was committed from the log into the database, off the writer's path,
//! and sees to it that the log does not grow for ever.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use super::connect;
use super::reader::Shared;

/// How long commits are left to gather before the log is looked at.
const PACE: Duration = Duration::from_millis(50);
/// After so long without a commit the log is emptied and its space given back.
const IDLE: Duration = Duration::from_secs(1);
/// From so many pages on, pages are moved: 16 MiB. Moving them late saves writing those that
/// change again and again.
const MOVED_MIN: i32 = 4_000;
/// From so many pages on the log starts anew at its beginning: 64 MiB.
const LOG_MAX: i32 = 16_000;

/// Makes checkpoints until the other end of `commits` is gone.
pub(super) struct Checkpointer {
    connection: Connection,
    /// Held while the log starts anew, so that the writer does not run into that half-way. The
    /// writer waits on a lock, instead of asking SQLite again and again.
    writer: Shared,
    commits: Receiver<()>,
}

impl Checkpointer {
    /// Starts with a connection of its own.
    pub(super) fn open(
        path: &Path,
        writer: Shared,
        commits: Receiver<()>,
    ) -> rusqlite::Result<Self> {
        Ok(Self { connection: connect::checkpointer(path)?, writer, commits })
    }

    /// Sleeps while nothing is committed.
    pub(super) fn run(&self) {
        while self.commits.recv().is_ok() {
            loop {
                thread::sleep(PACE);
                self.log_if_failed(self.tend());
                match self.commits.recv_timeout(IDLE) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        self.log_if_failed(self.start_anew(CheckpointMode::TRUNCATE));
                        break;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    fn tend(&self) -> rusqlite::Result<()> {
        let (pages, moved) = self.checkpoint(CheckpointMode::NOOP)?;
        if pages - moved < MOVED_MIN && pages < LOG_MAX {
            return Ok(());
        }
        let (pages, moved) = self.checkpoint(CheckpointMode::PASSIVE)?;
        // While a long read holds much of the log back, there is no point in stopping the writer.
        if pages >= LOG_MAX && pages - moved < MOVED_MIN {
            self.start_anew(CheckpointMode::RESTART)?;
        }
        Ok(())
    }

    fn start_anew(&self, mode: CheckpointMode) -> rusqlite::Result<()> {
        let _writer_waits = self.writer.lock();
        self.checkpoint(mode).map(drop)
    }

    /// The pages in the log, and how many of them have been moved.
    fn checkpoint(&self, mode: CheckpointMode) -> rusqlite::Result<(i32, i32)> {
        self.connection.wal_checkpoint_v2(Some(MAIN_DB), mode)
    }

    fn log_if_failed(&self, outcome: rusqlite::Result<()>) {
        match outcome {
            // A reader or another process is in the way: the next time will do.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) => tracing::warn!(%error, "a checkpoint of the database failed"),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests;
