//! Whether the tasks that write still do.

use tokio::sync::oneshot;

use super::writer::{Act, Addition, Job};
use super::{PostgresStore, Queue};

impl PostgresStore {
    /// Returns once the tasks that add and act have answered a write each: whether it went well does
    /// not matter, and while the database is away it does not, only that it was taken and answered.
    /// Returns false when there are no such tasks; does not return while one is stuck.
    pub async fn answers(&self) -> bool {
        let added = self.additions.answers(Addition::Events(Vec::new()));
        let acted = self.acts.answers(Act::NoteSecretUses(Vec::new()));
        added.await && acted.await
    }
}

impl<W> Queue<W> {
    async fn answers(&self, write: W) -> bool {
        let (answer, outcome) = oneshot::channel();
        let Some(queue) = self.jobs.read().clone() else { return false };
        queue.send(Job { write, answer }).await.is_ok() && outcome.await.is_ok()
    }
}
