//! Reads: a few connections, each lent to one read at a time on a thread that may block. They see
//! the last commit and never wait for the next.

use std::sync::Arc;

use jeton_engine::store::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::trouble::Trouble;
use super::{Location, SqliteSettings, connect};
use crate::error::OpenError;

/// A connection. In a file each has one user at a time anyway; a database in memory has only one
/// connection, which writer and readers share.
pub(super) type Shared = Arc<Mutex<Connection>>;

/// Connections that read.
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Shared>>>,
}

impl Readers {
    /// Opens `count` connections.
    pub(super) fn open(
        location: &Location,
        settings: &SqliteSettings,
        count: usize,
        writer: &Shared,
    ) -> Result<Self, OpenError> {
        let idle = match location {
            Location::Memory => vec![Arc::clone(writer)],
            Location::File(path) => (0..count.max(1))
                .map(|_| connect::reader(path, settings).map(Mutex::new).map(Arc::new))
                .collect::<Result<_, _>>()
                .map_err(|error| connect::explain(location, &error))?,
        };
        let permits = Arc::new(Semaphore::new(idle.len()));
        Ok(Self { permits, idle: Arc::new(Mutex::new(idle)) })
    }

    /// Runs a read, once a connection is free.
    pub(super) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(|_| closed())?;
        let lent = Lent { permits, idle: Arc::clone(&self.idle), shared: self.idle.lock().pop() };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = match &lent.shared {
                Some(shared) => read(&shared.lock()).map_err(StoreError::from),
                None => Err(closed()),
            };
            // First the connection goes back, then somebody else may come for it.
            drop(lent);
            drop(permit);
            outcome
        });
        done.await.unwrap_or_else(|error| Err(StoreError::Failed(format!("a read broke: {error}"))))
    }

    /// Closes the connections: the idle ones now, the others when they come back.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

/// The answer of a store that was closed.
pub(super) fn closed() -> StoreError {
    StoreError::Unreachable("the store was closed".to_owned())
}

/// A connection on loan; it goes back even when the read panics.
struct Lent {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Shared>>>,
    shared: Option<Shared>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.idle.lock();
        if let Some(shared) = self.shared.take().filter(|_| !self.permits.is_closed()) {
            idle.push(shared);
        }
    }
}
