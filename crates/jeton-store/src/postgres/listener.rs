//! Hears at once what other servers change. What it misses, the poll behind it finds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::changes;
use super::connect::Dialer;

/// Listens, for as long as anybody wants to be told. A lost connection is made again.
pub(super) async fn listen(dialer: Arc<Dialer>, tell: watch::Sender<()>) {
    // The dialer itself spreads its attempts.
    const PAUSE: Duration = Duration::from_millis(50);
    while !tell.is_closed() {
        let told = tell.clone();
        if let Ok(mut link) = dialer.dial(move || told.send_replace(())).await
            && link.batch_execute(changes::LISTEN).await.is_ok()
        {
            // Something may have been told while nobody listened.
            tell.send_replace(());
            link.ended().await;
        }
        sleep(PAUSE).await;
    }
}
