//! What a connection may have to be looked at for, apart from what its caller does: that it is slow or
//! silent, and that the server ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::{Verdict, Watch};

/// What tells a connection that the server ends.
#[derive(Clone)]
pub(super) struct End {
    pub(super) draining: watch::Receiver<bool>,
    pub(super) stop: watch::Receiver<bool>,
}

impl End {
    /// How long the first request of a connection that was just made may take to come.
    const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(1);

    fn has_begun(&self) -> bool {
        *self.draining.borrow() || *self.stop.borrow()
    }

    /// A server that is dropped, or never drains, says nothing.
    async fn drains(draining: &mut watch::Receiver<bool>) {
        if draining.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn stops(stop: &mut watch::Receiver<bool>) {
        // An error means that nobody is left who could say it.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

/// What a connection has to be looked at for.
pub(super) enum Alarm {
    /// To see whether its caller is slow or silent.
    Look,
    /// The server ends.
    End,
}

/// What is to be done because of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// Nothing: all is well.
    GoOn,
    /// Take no more requests, and say so.
    Dismiss,
    /// Hang up.
    Cut,
}

/// The alarms of one connection: asked about for each request, but each only when it goes off.
pub(super) struct Alarms {
    set: FuturesUnordered<BoxFuture<'static, Alarm>>,
    watch: Arc<Watch>,
    dismissed: bool,
}

impl Alarms {
    /// Sets them.
    pub(super) fn set(watch: &Arc<Watch>, end: End) -> Self {
        if end.has_begun() {
            watch.leave();
        }
        let set = FuturesUnordered::new();
        set.push(look(watch.next_look()).boxed());
        let watch = Arc::clone(watch);
        let ends = Arc::clone(&watch);
        set.push(async move { last_answer_or_none(&ends, end).await }.boxed());
        Self { set, watch, dismissed: false }
    }

    /// The next one that goes off.
    pub(super) async fn next(&mut self) -> Alarm {
        match self.set.next().await {
            Some(alarm) => alarm,
            // One to look is always set.
            None => std::future::pending().await,
        }
    }

    /// What to do about it.
    pub(super) fn heed(&mut self, alarm: &Alarm) -> Heed {
        let dismiss = match (alarm, self.watch.verdict()) {
            (Alarm::Look, Verdict::LookAgain(at)) => {
                self.set.push(look(at).boxed());
                false
            }
            (Alarm::Look, Verdict::Dismiss) if !self.dismissed => {
                self.set.push(look(self.watch.next_look()).boxed());
                true
            }
            (Alarm::Look, Verdict::Dismiss | Verdict::Cut) => return Heed::Cut,
            (Alarm::End, _) => true,
        };
        if dismiss && !self.dismissed {
            self.dismissed = true;
            return Heed::Dismiss;
        }
        Heed::GoOn
    }

    /// Whether it was said that no more requests are taken.
    pub(super) fn have_dismissed(&self) -> bool {
        self.dismissed
    }
}

async fn look(at: Instant) -> Alarm {
    sleep_until(at).await;
    Alarm::Look
}

/// Waits until the connection is to be closed because the server ends. While it drains, HTTP/2 is told at
/// once, which loses nothing; HTTP/1.1 can only be told with an answer, so its connections are left
/// open until one is due.
pub(super) async fn last_answer_or_none(watch: &Watch, mut end: End) -> Alarm {
    tokio::select! {
        biased;
        () = End::stops(&mut end.stop) => {}
        () = End::drains(&mut end.draining) => {
            watch.leave();
            if watch.is_multiplexed() {
                return Alarm::End;
            }
            End::stops(&mut end.stop).await;
        }
    }
    watch.leave();
    if watch.expects_request() {
        sleep(End::FIRST_REQUEST_WITHIN).await;
    } else {
        // The connection is looked at once more: a request may have arrived this moment.
        tokio::task::yield_now().await;
    }
    Alarm::End
}
