//! When an answer is written: after everybody else who is here has been decided. Why: decision 0019.

use std::task::{Context, Poll};

/// Lets all tasks that are ready now go first, once. Where there is none, this goes on at once; nothing is
/// waited for.
#[derive(Default)]
pub(super) struct OthersFirst {
    have_gone: bool,
}

impl OthersFirst {
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.have_gone {
            return Poll::Ready(());
        }
        self.have_gone = true;
        // Ready again already: at the end of the queue, but before the system is asked for more.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use super::*;

    async fn others_first() {
        let mut others = OthersFirst::default();
        poll_fn(|context| others.poll(context)).await;
    }

    #[tokio::test]
    async fn all_who_are_here_are_decided_before_one_is_answered() {
        let order = Arc::new(Mutex::new(String::new()));
        let requests = ["a", "b", "c"].map(|name| {
            let order = Arc::clone(&order);
            tokio::spawn(async move {
                order.lock().unwrap().push_str(name);
                others_first().await;
                order.lock().unwrap().push_str(&name.to_uppercase());
            })
        });
        for request in requests {
            request.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), "abcABC");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_alone_waits_for_nothing() {
        let before = tokio::time::Instant::now();
        others_first().await;
        assert_eq!(tokio::time::Instant::now(), before);
    }
}
