//! Takes a request's body whole: bounded in bytes and in time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use jeton_engine::error::Reason;
use tokio::time::timeout;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) bytes_max: usize,
    pub(crate) timeout: Duration,
}

/// The whole body, or why there is none.
pub(crate) async fn take(body: &mut Incoming, limits: BodyLimits) -> Result<Bytes, Reason> {
    let bytes_max = u64::try_from(limits.bytes_max).unwrap_or(u64::MAX);
    // A body that says how large it is need not be read to be refused; and a caller that asked
    // first (RFC 9110 section 10.1.1) is not told to go on.
    if body.size_hint().lower() > bytes_max {
        return Err(Reason::BodyTooLarge);
    }
    let mut collecting = pin!(collect(body, limits.bytes_max));
    // Most bodies come along with the head; only who has to wait for one needs an alarm.
    if let Some(collected) = collecting.as_mut().now_or_never() {
        return collected;
    }
    timeout(limits.timeout, collecting).await.unwrap_or(Err(Reason::BodyIncomplete))
}

async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, Reason> {
    let mut collected = Collected::Nothing;
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|_| Reason::BodyIncomplete)?;
        // Trailers say nothing that we need.
        let Ok(bytes) = frame.into_data() else { continue };
        collected = collected.and(bytes);
        if collected.len() > bytes_max {
            return Err(Reason::BodyTooLarge);
        }
    }
    Ok(collected.into_bytes())
}

/// Most bodies come in one piece, which need not be copied.
enum Collected {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Collected {
    fn and(self, bytes: Bytes) -> Self {
        let mut all = match self {
            Self::Nothing => return Self::One(bytes),
            Self::One(first) => BytesMut::from(first),
            Self::Many(all) => all,
        };
        all.extend_from_slice(&bytes);
        Self::Many(all)
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(all) => all.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(all) => all.freeze(),
        }
    }
}
