//! Whether the thread that writes still does.

use tokio::sync::oneshot;

use super::SqliteStore;
use super::writer::{Job, Write};

impl SqliteStore {
    /// Returns once the thread that writes has answered a write: whether the write went well does not
    /// matter, only that it was taken and answered. Returns false when there is no such thread; does
    /// not return while it is stuck.
    pub async fn answers(&self) -> bool {
        let (answer, outcome) = oneshot::channel();
        let Some(queue) = self.queue.read().clone() else { return false };
        queue.send(Job { write: Write::Check, answer }).await.is_ok() && outcome.await.is_ok()
    }
}
