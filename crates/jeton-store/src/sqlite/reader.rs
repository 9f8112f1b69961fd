//! Reads: a few connections, each lent to one read at a time on a thread that may block. They see
//! the last commit and never wait for the next. All but the first are opened when reads first meet.

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
    opening: Arc<Opening>,
}

/// How a further connection is opened.
struct Opening {
    location: Location,
    settings: SqliteSettings,
    /// The file that the others read.
    place: Option<u64>,
}

impl Opening {
    fn open(&self) -> Result<Shared, Trouble> {
        let Location::File(path) = &self.location else { return Err(closed().into()) };
        let connection = connect::reader(path, &self.settings)?;
        if connect::file_number(&self.location) != self.place {
            return Err(StoreError::Failed(format!(
                "the database {} was replaced while it was in use: start the server again",
                self.location
            ))
            .into());
        }
        Ok(Arc::new(Mutex::new(connection)))
    }
}

impl Readers {
    /// Opens the first of up to `count` connections.
    pub(super) fn open(
        location: &Location,
        settings: &SqliteSettings,
        count: usize,
        writer: &Shared,
    ) -> Result<Self, OpenError> {
        let place = connect::file_number(location);
        let opening = Opening { location: location.clone(), settings: settings.clone(), place };
        let (first, count) = match location {
            Location::Memory => (Arc::clone(writer), 1),
            Location::File(_) => {
                let first = opening.open();
                (first.map_err(|trouble| connect::explain_trouble(location, trouble))?, count)
            }
        };
        Ok(Self {
            permits: Arc::new(Semaphore::new(count.max(1))),
            idle: Arc::new(Mutex::new(vec![first])),
            opening: Arc::new(opening),
        })
    }

    /// Runs a read, once a connection is free.
    pub(super) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(|_| closed())?;
        let shared = self.idle.lock().pop();
        let mut lent = Lent { permits, idle: Arc::clone(&self.idle), shared };
        let opening = Arc::clone(&self.opening);
        let done = tokio::task::spawn_blocking(move || {
            let outcome = match lent.connection(&opening) {
                Ok(shared) => read(&shared.lock()).map_err(StoreError::from),
                Err(trouble) => Err(trouble.into()),
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

impl Lent {
    /// The connection; a further one where all that are open were lent.
    fn connection(&mut self, opening: &Opening) -> Result<&Shared, Trouble> {
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None if self.permits.is_closed() => return Err(closed().into()),
            None => opening.open()?,
        };
        Ok(self.shared.insert(shared))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.idle.lock();
        if let Some(shared) = self.shared.take().filter(|_| !self.permits.is_closed()) {
            idle.push(shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use tempfile::TempDir;

    use super::*;

    /// Reads on a database with one table, which has one row.
    fn readers(directory: &TempDir, count: usize) -> (Arc<Readers>, Shared) {
        let location = Location::File(directory.path().join("jeton.db"));
        let settings = SqliteSettings::default();
        connect::create(&location).unwrap();
        let writer = connect::writer(&location, &settings).unwrap();
        writer.execute_batch("CREATE TABLE load (n INTEGER); INSERT INTO load VALUES (3)").unwrap();
        let writer = Arc::new(Mutex::new(writer));
        (Arc::new(Readers::open(&location, &settings, count, &writer).unwrap()), writer)
    }

    fn look(connection: &Connection) -> Result<i64, Trouble> {
        Ok(connection.query_row("SELECT n FROM load", [], |row| row.get(0))?)
    }

    /// A read that lasts until the sender is dropped.
    async fn long_read(readers: &Arc<Readers>) -> mpsc::Sender<()> {
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let readers = Arc::clone(readers);
        tokio::spawn(async move {
            let wait = move |_: &Connection| {
                let _ = begin.send(());
                Ok(ended.recv().is_err())
            };
            readers.read(wait).await
        });
        begun.await.unwrap();
        end
    }

    #[tokio::test]
    async fn a_further_connection_is_opened_when_reads_meet_and_kept() {
        let directory = TempDir::new().unwrap();
        let (readers, _writer) = readers(&directory, 2);
        assert_eq!(readers.read(look).await, Ok(3));
        assert_eq!(readers.idle.lock().len(), 1);
        let long = long_read(&readers).await;
        assert_eq!(readers.idle.lock().len(), 0);
        assert_eq!(readers.read(look).await, Ok(3));
        assert_eq!(readers.idle.lock().len(), 1);
        drop(long);
        let _all = readers.permits.acquire_many(2).await.unwrap();
        assert_eq!(readers.idle.lock().len(), 2);
    }

    #[tokio::test]
    async fn a_further_connection_reads_no_other_file_and_is_not_opened_after_the_end() {
        let directory = TempDir::new().unwrap();
        let (readers, _writer) = readers(&directory, 2);
        let long = long_read(&readers).await;
        let path = directory.path().join("jeton.db");
        fs::rename(&path, directory.path().join("old.db")).unwrap();
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE load (n INTEGER)").unwrap();
        let outcome = readers.read(look).await;
        assert!(
            matches!(&outcome, Err(StoreError::Failed(text)) if text.contains("replaced")),
            "{outcome:?}"
        );
        drop(long);
        readers.close();
        assert_eq!(readers.read(look).await, Err(closed()));
    }
}
