//! Which server counts, of several that have the same database: after a failover only the one that
//! took over. An old primary that comes back still takes reads and writes, and knows nothing.

use std::sync::Arc;
use std::time::Duration;

use jeton_engine::store::StoreError;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::connect::Dialer;

/// Where a server's database comes from. Of two with one origin, the later timeline counts: every
/// promotion begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    system: i64,
    timeline: u32,
}

impl Origin {
    /// The origin of a server that takes writes; `None` from one that only reads, and from one that
    /// does not tell, as some that only speak like PostgreSQL.
    pub(super) async fn of(client: &Client) -> Option<Self> {
        const ASK: &str = "SELECT (SELECT system_identifier FROM pg_control_system()), \
            CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_insert_lsn()) END";
        let row = client.query_typed_one(ASK, &[]).await.ok()?;
        let file: Option<&str> = row.try_get(1).ok()?;
        // The name of a file of the log begins with its timeline, in hexadecimal.
        let timeline = u32::from_str_radix(file?.get(..8)?, 16).ok()?;
        Some(Self { system: row.try_get(0).ok()?, timeline })
    }
}

/// The newest origin that anybody has seen.
pub(super) struct Newest(watch::Sender<Option<Origin>>);

impl Default for Newest {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Newest {
    /// Takes a server for the one that counts, if it may be.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn accept(&self, origin: Option<Origin>) -> Result<(), StoreError> {
        let Some(origin) = origin else { return Ok(()) };
        let mut outcome = Ok(());
        self.0.send_if_modified(|newest| match newest {
            Some(known) if known.system != origin.system => {
                outcome = Err(StoreError::Unreachable(
                    "it is another database cluster than before: if it took the place of the old \
                     one, start jeton anew"
                        .to_owned(),
                ));
                false
            }
            Some(known) if known.timeline > origin.timeline => {
                outcome = Err(StoreError::Unreachable(format!(
                    "it is on timeline {}, and another server has taken over on timeline {}: stop \
                     it, or make it a standby of that one",
                    origin.timeline, known.timeline
                )));
                false
            }
            _ => newest.replace(origin) != Some(origin),
        });
        outcome
    }

    /// Whether another server has taken over from one of this origin.
    pub(super) fn is_past(&self, origin: Option<Origin>) -> bool {
        is_past(*self.0.borrow(), origin)
    }

    /// Returns when another server takes over from one of this origin.
    pub(super) async fn passes(&self, origin: Option<Origin>) {
        let mut newest = self.0.subscribe();
        // An error means that nobody is left who could tell.
        let _ = newest.wait_for(|newest| is_past(*newest, origin)).await;
    }
}

fn is_past(newest: Option<Origin>, origin: Option<Origin>) -> bool {
    matches!((newest, origin), (Some(newest), Some(origin)) if newest.timeline > origin.timeline)
}

/// Keeps an eye on every server, so that one which takes over is noticed although the old one still
/// answers: then nobody reads from the old one any more.
pub(super) async fn look_out(dialer: Arc<Dialer>, place: usize) {
    const EVERY: Duration = Duration::from_millis(300);
    const AGAIN: Duration = Duration::from_secs(1);
    loop {
        if let Ok(link) = dialer.watch(place).await {
            while !link.is_closed() {
                let Ok(origin) = timeout(AGAIN, Origin::of(&link)).await else { break };
                // Of one that may not count, nobody makes connections.
                let _ = dialer.newest().accept(origin);
                sleep(EVERY).await;
            }
        }
        sleep(dialer.spread(AGAIN)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(system: i64, timeline: u32) -> Option<Origin> {
        Some(Origin { system, timeline })
    }

    #[test]
    fn the_latest_timeline_counts_and_no_older_one_does_after_it() {
        let newest = Newest::default();
        assert_eq!(newest.accept(origin(7, 2)), Ok(()));
        assert_eq!(newest.accept(origin(7, 2)), Ok(()));
        assert!(!newest.is_past(origin(7, 2)));
        assert_eq!(newest.accept(origin(7, 3)), Ok(()));
        assert!(newest.is_past(origin(7, 2)) && !newest.is_past(origin(7, 3)));
        let error = newest.accept(origin(7, 2)).unwrap_err().to_string();
        assert!(error.contains("timeline 2") && error.contains("timeline 3"), "{error}");
        let error = newest.accept(origin(8, 9)).unwrap_err().to_string();
        assert!(error.contains("another database cluster"), "{error}");
        assert!(!newest.is_past(origin(7, 3)), "what was refused counts for nothing");
    }

    #[test]
    fn a_server_that_does_not_tell_is_taken_as_it_is() {
        let newest = Newest::default();
        assert_eq!(newest.accept(None), Ok(()));
        assert_eq!(newest.accept(origin(7, 2)), Ok(()));
        assert_eq!(newest.accept(None), Ok(()));
        assert!(!newest.is_past(None));
    }

    #[tokio::test]
    async fn who_waits_for_an_old_server_hears_that_another_took_over() {
        let newest = Newest::default();
        newest.accept(origin(7, 2)).unwrap();
        let waiting = newest.passes(origin(7, 2));
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("nobody has taken over"),
            () = std::future::ready(()) => {}
        }
        newest.accept(origin(7, 3)).unwrap();
        waiting.await;
    }
}
