//! The state of TLS in force, and how it follows its files: all of them are read again when one has
//! changed, and taken over together or not at all. Connections keep the state that they began with.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jeton_engine::clock::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::handshake::Handshakes;
use super::server::{FileProblems, ServerSide};
use crate::config::{ClientCertificates, Tls};

/// TLS as one listener speaks it.
pub(crate) struct Current {
    side: ArcSwap<ServerSide>,
    clock: Clock,
    files: Mutex<Files>,
    pub(crate) handshakes: Arc<Handshakes>,
}

/// A state that was read and is not in force yet.
pub(crate) struct Ready {
    side: ServerSide,
    files: Files,
}

/// The settings in force and what the files looked like when they were last read.
struct Files {
    settings: Tls,
    seen: Vec<Look>,
    /// What could not be taken over, until it is told or has changed again: somebody may be in the middle of
    /// writing it.
    untold: Option<FileProblems>,
}

/// How a file looks from outside; different whenever it was written, or replaced by a rename.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    path: PathBuf,
    /// Device, inode, length, and when it was last written and last renamed, in nanoseconds; absent when it
    /// cannot be looked at.
    met: Option<[i128; 5]>,
}

impl Current {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn read(settings: &Tls, clock: Clock) -> Result<Self, FileProblems> {
        let Ready { side, files } = Ready::read(settings, &clock)?;
        Ok(Self {
            side: ArcSwap::from_pointee(side),
            files: Mutex::new(files),
            clock,
            handshakes: Arc::new(Handshakes::new(settings.handshakes_max)),
        })
    }

    /// What a connection that begins now begins with.
    pub(crate) fn side(&self) -> Arc<ServerSide> {
        self.side.load_full()
    }

    /// Reads other settings' files, to be taken over with [`Self::put`].
    ///
    /// # Errors
    /// All that is wrong with them.
    pub(crate) fn prepare(&self, settings: &Tls) -> Result<Ready, FileProblems> {
        Ready::read(settings, &self.clock)
    }

    /// Connections begin with this from now on.
    pub(crate) fn put(&self, Ready { side, files }: Ready) {
        self.handshakes.allow(files.settings.handshakes_max);
        *self.files.lock() = files;
        self.side.store(Arc::new(side));
    }

    /// Looks after the files every second until `stop` turns true.
    pub(crate) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = second.tick() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let current = Arc::clone(&self);
            // Files may lie on a network.
            if tokio::task::spawn_blocking(move || current.look()).await.is_err() {
                return;
            }
        }
    }

    fn look(&self) {
        let mut files = self.files.lock();
        let seen = looks(&files.settings);
        if seen == files.seen {
            if let Some(problems) = files.untold.take() {
                tracing::error!(
                    "the TLS files have changed and cannot be used, so the former ones stay in force: {problems}"
                );
            }
            return;
        }
        files.seen = seen;
        match ServerSide::read(&files.settings, &self.clock) {
            Ok(side) => {
                files.untold = None;
                self.side.store(Arc::new(side));
                tracing::info!("the TLS files have changed and are in force for new connections");
            }
            Err(problems) => files.untold = Some(problems),
        }
    }
}

impl Ready {
    fn read(settings: &Tls, clock: &Clock) -> Result<Self, FileProblems> {
        // Looked at before they are read: what changes in between is read once more.
        let seen = looks(settings);
        let side = ServerSide::read(settings, clock)?;
        Ok(Self { side, files: Files { settings: settings.clone(), seen, untold: None } })
    }
}

fn looks(settings: &Tls) -> Vec<Look> {
    paths(settings)
        .into_iter()
        .map(|path| Look { met: look(path), path: path.to_owned() })
        .collect()
}

fn paths(settings: &Tls) -> Vec<&Path> {
    let mut paths = vec![settings.certificate.as_path(), settings.key.as_path()];
    if let ClientCertificates::Optional { ca, crls } = &settings.client_certificates {
        paths.extend(ca.as_deref());
        paths.extend(crls.iter().map(PathBuf::as_path));
    }
    paths
}

fn look(path: &Path) -> Option<[i128; 5]> {
    let found = fs::metadata(path).ok()?;
    let nanoseconds =
        |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Some([
        i128::from(found.dev()),
        i128::from(found.ino()),
        i128::from(found.len()),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    ])
}
