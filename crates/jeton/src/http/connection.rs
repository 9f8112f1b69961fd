//! One connection: who is slow, who is silent, and when to hang up. The limits hold for every
//! protocol version, because they look at bytes and requests, not at syntax.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the first byte of a request's head (or the connection's beginning) to its last.
    pub(crate) header: Duration,
    /// Without the caller taking a byte of what we have to say.
    pub(crate) write: Duration,
    /// Between two requests.
    pub(crate) idle: Duration,
}

impl Patience {
    fn shortest(&self) -> Duration {
        self.header.min(self.write).min(self.idle)
    }
}

/// What a connection is doing, noted by those who see it and read by the one who decides to hang up.
/// Moments are milliseconds since the connection's beginning.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    patience: Patience,
    /// Requests being answered.
    in_flight: AtomicU32,
    /// Whether bytes of a head have come whose request has not begun yet.
    in_head: AtomicBool,
    /// Whether the next answer is to be the last.
    leaving: AtomicBool,
    /// Whether the caller speaks HTTP/2, where bytes between two requests are not always a head.
    multiplexed: AtomicBool,
    /// Whether we are hanging up.
    closing: AtomicBool,
    /// Since when it is idle or in a head.
    since: AtomicU64,
    /// Since when the caller takes no bytes; [`Watch::NEVER`] when it does.
    blocked_since: AtomicU64,
}

/// What to do about a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing; look again at this moment.
    LookAgain(Instant),
    /// It has been idle for long: take no more requests and say so.
    Dismiss,
    /// It is slow or silent: hang up.
    Cut,
}

impl Watch {
    const NEVER: u64 = u64::MAX;

    /// Begins to watch. The first request's head is due as if its first byte had just come.
    pub(crate) fn begin(patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            patience,
            in_flight: AtomicU32::new(0),
            in_head: AtomicBool::new(true),
            leaving: AtomicBool::new(false),
            multiplexed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(Self::NEVER),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(Self::NEVER - 1)
    }

    /// A request's head has arrived. It is being answered until the guard is dropped.
    pub(crate) fn answering(self: &Arc<Self>, version: Version) -> Answering {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
        self.multiplexed.store(version == Version::HTTP_2, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    /// The handshake is over: the first request's head is due from now.
    pub(crate) fn secured(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// From now on the next answer is the last one, and says so.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer is to be the last.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether the caller speaks HTTP/2, as far as is known.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Whether a request is probably on its way: some bytes of it are here, or the connection is new.
    pub(crate) fn expects_request(&self) -> bool {
        self.in_head.load(Ordering::Relaxed) && self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Whether neither side has anything to say: the last answer has gone out whole, and nothing has come
    /// since.
    pub(crate) fn is_silent(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
            && !self.in_head.load(Ordering::Relaxed)
            && !self.closing.load(Ordering::Relaxed)
            && self.blocked_since.load(Ordering::Relaxed) == Self::NEVER
    }

    /// Bytes came from the caller.
    pub(crate) fn bytes_came(&self) {
        let between_requests = self.in_flight.load(Ordering::Relaxed) == 0
            && !self.multiplexed.load(Ordering::Relaxed);
        if between_requests && !self.in_head.swap(true, Ordering::Relaxed) {
            self.since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn bytes_went(&self) {
        if self.blocked_since.load(Ordering::Relaxed) != Self::NEVER {
            self.blocked_since.store(Self::NEVER, Ordering::Relaxed);
        }
    }

    fn bytes_wait(&self) {
        let now = self.now();
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.blocked_since.compare_exchange(Self::NEVER, now, success, failure);
    }

    /// When to look next: what begins from now on cannot be due before.
    pub(crate) fn next_look(&self) -> Instant {
        Instant::now() + self.patience.shortest()
    }

    /// What to do now.
    pub(crate) fn verdict(&self) -> Verdict {
        let now = self.now();
        let due = |since: u64, patience: Duration| {
            let end = since.saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
            end.checked_sub(now).filter(|left| *left > 0).map(Duration::from_millis)
        };
        let since = self.since.load(Ordering::Relaxed);
        let blocked_since = self.blocked_since.load(Ordering::Relaxed);
        let (left, otherwise) = if blocked_since != Self::NEVER {
            (due(blocked_since, self.patience.write), Verdict::Cut)
        } else if self.in_flight.load(Ordering::Relaxed) > 0 {
            // The body has a limit of its own, and the rest is our own work.
            (Some(self.patience.shortest()), Verdict::Cut)
        } else if self.in_head.load(Ordering::Relaxed) {
            (due(since, self.patience.header), Verdict::Cut)
        } else {
            (due(since, self.patience.idle), Verdict::Dismiss)
        };
        match left {
            Some(left) => Verdict::LookAgain(self.next_look().min(Instant::now() + left)),
            None => otherwise,
        }
    }
}

/// Notes on drop that a request has been answered.
pub(crate) struct Answering(Arc<Watch>);

impl Answering {
    /// Whether the answer is to say that it is the last on its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.0.is_leaving() && !self.0.is_multiplexed()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.since.store(self.0.now(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's stream that tells the watch what passes, and closes without losing the last answer.
pub(crate) struct WatchedStream {
    stream: TcpStream,
    watch: Arc<Watch>,
    /// Whether the caller has nothing more to say.
    heard_out: bool,
    lingering: Option<Lingering>,
}

/// Closing while bytes of the caller are unread would reset the connection, and the caller might
/// lose the answer that tells it why. So we say that we are done and read on for a little.
struct Lingering {
    bytes_left: usize,
    patience: Pin<Box<Sleep>>,
}

impl WatchedStream {
    const LINGER_BYTES_MAX: usize = 256 * 1024;
    const LINGER_MAX: Duration = Duration::from_secs(1);

    pub(crate) fn new(stream: TcpStream, watch: Arc<Watch>) -> Self {
        Self { stream, watch, heard_out: false, lingering: None }
    }

    /// Waits for the first bytes, and leaves them where they are. Whether they are such as no connection
    /// with HTTP/2 begins with (RFC 9113 section 3.4).
    pub(crate) async fn begins_as_http1(&self) -> bool {
        let mut first = [0; 4];
        let seen = self.stream.peek(&mut first).await;
        // What is wrong with the connection shows once more when it is read.
        let first = seen.ok().and_then(|count| first.get(..count)).unwrap_or_default();
        !b"PRI * HTTP/2.0".starts_with(first)
    }

    /// Who watches it.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Waits for bytes, or the end of them, and leaves them where they are.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // What is wrong with the connection shows once more when it is read.
        match self.stream.poll_read_ready(context) {
            // Who has been heard enough is heard again after the others.
            Poll::Pending
                if self.watch.is_leaving()
                    && coop::has_budget_remaining()
                    && self.has_bytes_now() =>
            {
                Poll::Ready(())
            }
            ready => ready.map(drop),
        }
    }

    /// Whether bytes are here of which the runtime may not have heard yet.
    fn has_bytes_now(&self) -> bool {
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        rustix::net::recv(&self.stream, &mut [0_u8; 1], flags).is_ok()
    }

    /// Reads past the runtime, which may not have heard yet that bytes are here. Who is about to close
    /// asks the system itself, so that no request that has arrived is thrown away.
    fn read_now(
        &self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // It counts like every read: otherwise who sends without end would let nobody else go on, nor
        // the server end.
        let counted = ready!(coop::poll_proceed(context));
        let read =
            rustix::net::recv(&self.stream, buffer.initialize_unfilled(), RecvFlags::DONTWAIT);
        match read {
            Ok((count, _)) => {
                counted.made_progress();
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            bytes_left: Self::LINGER_BYTES_MAX,
            patience: Box::pin(sleep(Self::LINGER_MAX)),
        });
        let mut bytes = [0; 4096];
        while lingering.bytes_left > 0 && lingering.patience.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            lingering.bytes_left = lingering.bytes_left.saturating_sub(buffer.filled().len());
        }
        Poll::Ready(Ok(()))
    }

    fn noted<T>(&self, progress: Poll<T>) -> Poll<T> {
        match &progress {
            Poll::Ready(_) => self.watch.bytes_went(),
            Poll::Pending => self.watch.bytes_wait(),
        }
        progress
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending if self.watch.is_leaving() => self.read_now(context, buffer),
            read => read,
        };
        ready!(read)?;
        if buffer.filled().len() > before {
            self.watch.bytes_came();
        } else if buffer.remaining() > 0 {
            self.heard_out = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.noted(progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch.closing.store(true, Ordering::Relaxed);
        if self.heard_out {
            // Nothing is unread, so that closing, which comes next, loses nothing.
            return Poll::Ready(Ok(()));
        }
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        self.linger(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        write: Duration::from_secs(20),
        idle: Duration::from_secs(75),
    };

    async fn after(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_cut_when_a_first_head_would_be_due() {
        let watch = Watch::begin(PATIENCE);
        after(9).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        after(1).await;
        assert_eq!(watch.verdict(), Verdict::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_dismissed_and_a_head_that_trickles_is_cut() {
        let watch = Watch::begin(PATIENCE);
        drop(watch.answering(Version::HTTP_11));
        after(74).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        after(1).await;
        assert_eq!(watch.verdict(), Verdict::Dismiss);

        drop(watch.answering(Version::HTTP_11));
        watch.bytes_came();
        after(9).await;
        watch.bytes_came();
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        after(1).await;
        assert_eq!(watch.verdict(), Verdict::Cut);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_two_requests_of_http2_are_no_head() {
        let watch = Watch::begin(PATIENCE);
        drop(watch.answering(Version::HTTP_2));
        watch.bytes_came();
        after(60).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_is_left_alone_unless_the_caller_takes_nothing() {
        let watch = Watch::begin(PATIENCE);
        let answering = watch.answering(Version::HTTP_11);
        after(3600).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        watch.bytes_wait();
        after(19).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        watch.bytes_went();
        after(19).await;
        assert!(matches!(watch.verdict(), Verdict::LookAgain(_)));
        watch.bytes_wait();
        after(20).await;
        assert_eq!(watch.verdict(), Verdict::Cut);
        drop(answering);
    }

    #[tokio::test]
    async fn who_sends_without_end_is_not_heard_without_end_while_the_server_leaves() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let watch = Watch::begin(PATIENCE);
        let mut stream = WatchedStream::new(listener.accept().await.unwrap().0, Arc::clone(&watch));
        watch.leave();
        io::Write::write_all(&mut client, &[0; 10_000]).unwrap();
        let mut heard = 0;
        let mut hear = async || {
            let reading = std::future::poll_fn(|context| {
                let before = heard;
                let mut byte = [0; 1];
                while Pin::new(&mut stream)
                    .poll_read(context, &mut ReadBuf::new(&mut byte))
                    .is_ready()
                {
                    heard += 1;
                }
                Poll::Ready((heard - before, stream.poll_readable(context).is_ready()))
            });
            reading.await
        };
        let (count, readable) = hear().await;
        assert!((1..1000).contains(&count), "{count}");
        assert!(!readable);
        // After the others, it goes on.
        tokio::task::yield_now().await;
        assert!(hear().await.0 > 0);
    }
}
