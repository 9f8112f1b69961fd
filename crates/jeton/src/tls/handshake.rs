//! How many handshakes may go on at one time. A handshake costs its caller nothing to begin and to leave
//! lying, so the oldest gives way to the newest: one that is meant is over after two journeys of a
//! packet, and only a flood of thousands a second makes it wait its turn in vain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The handshakes going on.
#[derive(Debug)]
pub(crate) struct Handshakes {
    most: AtomicUsize,
    going_on: Mutex<GoingOn>,
}

#[derive(Debug, Default)]
struct GoingOn {
    /// Numbers rise, so the first is the oldest.
    by_number: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

impl Handshakes {
    /// At most this many at one time.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: AtomicUsize::new(most), going_on: Mutex::default() }
    }

    /// From now on, at most this many.
    pub(crate) fn allow(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Begins one; when there are too many, the oldest is told to end.
    pub(crate) fn begin(self: &Arc<Self>) -> Handshake {
        let told = Arc::new(Notify::new());
        let mut going_on = self.going_on.lock();
        let number = going_on.next;
        going_on.next += 1;
        going_on.by_number.insert(number, Arc::clone(&told));
        if going_on.by_number.len() > self.most.load(Ordering::Relaxed)
            && let Some((_, oldest)) = going_on.by_number.pop_first()
        {
            oldest.notify_one();
        }
        drop(going_on);
        Handshake { all: Arc::clone(self), number, told }
    }
}

/// One handshake, going on until this is dropped.
#[derive(Debug)]
pub(crate) struct Handshake {
    all: Arc<Handshakes>,
    number: u64,
    told: Arc<Notify>,
}

impl Handshake {
    /// Returns when it has to give way.
    pub(crate) async fn must_end(&self) {
        self.told.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.going_on.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn ends(handshake: &Handshake) -> bool {
        tokio::time::timeout(Duration::from_millis(1), handshake.must_end()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_to_the_newest_and_to_nobody_else() {
        let handshakes = Arc::new(Handshakes::new(2));
        let (first, second) = (handshakes.begin(), handshakes.begin());
        assert!(!ends(&first).await && !ends(&second).await);
        let third = handshakes.begin();
        assert!(ends(&first).await);
        assert!(!ends(&second).await && !ends(&third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_leaves_its_place() {
        let handshakes = Arc::new(Handshakes::new(2));
        let (first, second) = (handshakes.begin(), handshakes.begin());
        drop(second);
        let third = handshakes.begin();
        assert!(!ends(&first).await && !ends(&third).await);
        drop((first, third));
        assert!(handshakes.going_on.lock().by_number.is_empty());
    }
}
