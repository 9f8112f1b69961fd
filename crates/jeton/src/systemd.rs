//! What systemd is told of us, where it asks (`NOTIFY_SOCKET`): that we serve, read the configuration
//! again, stop; and, where it watches (`WATCHDOG_USEC`), that we are still ourselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::storage;

/// How long those who write may go without answering anything, well or ill, before they count as
/// stuck. Several times what a database that is away makes them wait.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// We serve.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd was not told of the reload"),
    }
}

/// What has begun is being finished.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what has begun")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told how we are");
    }
}

/// What must be going on as long as we are ourselves.
#[derive(Clone)]
pub(crate) struct Pulse {
    pub(crate) admin: SocketAddr,
    pub(crate) store: storage::Opened,
    pub(crate) stages: Vec<AbortHandle>,
}

impl Pulse {
    /// Whether every part still runs and a request is answered from beginning to end.
    async fn serves(&self) -> bool {
        !self.stages.iter().any(AbortHandle::is_finished) && is_live(self.admin).await.is_ok()
    }
}

/// Tells systemd that we are well, where it wants to know, for as long as we are; ends with `stop`.
pub(crate) async fn watch_over(pulse: Pulse, mut stop: watch::Receiver<bool>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let pulse = Arc::new(pulse);
    let store_answers = || {
        let pulse = Arc::clone(&pulse);
        async move { pulse.store.answers().await }
    };
    let serves = || {
        let pulse = Arc::clone(&pulse);
        async move { pulse.serves().await }
    };
    let beats = beat(within / 2, store_answers, serves, || tell(&[NotifyState::Watchdog]));
    tokio::select! {
        () = beats => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Tells each time when a request was answered in time and those who write have answered not too
/// long ago. A database that is away is no reason to be silent: they answer that it is.
async fn beat<A: Future<Output = bool>, S: Future<Output = bool>>(
    every: Duration,
    store_answers: impl Fn() -> A,
    serves: impl Fn() -> S,
    tell: impl Fn(),
) {
    let (answered, last) = watch::channel(Instant::now());
    let asking = async {
        loop {
            if store_answers().await {
                answered.send_replace(Instant::now());
            }
            tokio::time::sleep(every).await;
        }
    };
    let telling = async {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = true;
        loop {
            ticks.tick().await;
            let is_stuck = last.borrow().elapsed() > STUCK_AFTER;
            // Half of the time, so that the word is in time even then.
            let serves = timeout(every / 2, serves()).await.unwrap_or(false);
            let is_well = serves && !is_stuck;
            if is_well {
                tell();
            } else if told {
                tracing::error!(
                    serves,
                    is_stuck,
                    "not well: systemd is told nothing until it is over"
                );
            }
            told = is_well;
        }
    };
    tokio::join!(asking, telling);
}

/// Asks ourselves whether we are live, as anybody would.
async fn is_live(admin: SocketAddr) -> std::io::Result<()> {
    const ASK: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const LIVE: &[u8] = b"HTTP/1.1 200";
    let host = match admin.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    let mut stream = TcpStream::connect(SocketAddr::new(host, admin.port())).await?;
    stream.write_all(ASK).await?;
    let mut answer = [0; LIVE.len()];
    stream.read_exact(&mut answer).await?;
    if answer == LIVE { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    /// How often systemd hears of us in so many seconds, when this answers and that serves.
    async fn heard<A: Future<Output = bool>, S: Future<Output = bool>>(
        seconds: u64,
        store_answers: impl Fn() -> A,
        serves: impl Fn() -> S,
    ) -> u32 {
        let heard = Cell::new(0);
        let beats = beat(EVERY, store_answers, serves, || heard.set(heard.get() + 1));
        let _ = timeout(Duration::from_secs(seconds), beats).await;
        heard.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_well_says_so_twice_in_the_time_that_it_has() {
        assert_eq!(heard(301, || async { true }, || async { true }).await, 31);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_requests_is_silent_at_once() {
        assert_eq!(heard(301, || async { true }, || async { false }).await, 0);
        assert_eq!(heard(301, || async { true }, pending).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_writer_is_stuck_or_gone_is_silent_after_a_minute() {
        assert_eq!(heard(301, pending, || async { true }).await, 7);
        assert_eq!(heard(301, || async { false }, || async { true }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_database_makes_it_wait_goes_on() {
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            true
        };
        assert_eq!(heard(301, slow, || async { true }).await, 31);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_well_again_says_so_again() {
        let asked = Cell::new(0);
        let serves = || {
            asked.set(asked.get() + 1);
            std::future::ready(!(3..6).contains(&asked.get()))
        };
        assert_eq!(heard(91, || async { true }, serves).await, 7);
    }
}
