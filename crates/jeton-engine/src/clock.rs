//! Time and randomness, handed in so that whole exchanges can be pinned byte for byte.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// A moment given in milliseconds since the epoch.
    pub const fn from_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// A moment given in whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn milliseconds(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: a `NumericDate` (RFC 7519 section 2).
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The same moment without its fraction of a second.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// This moment plus a duration; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment less a duration; stops at the beginning of time instead of wrapping.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` until this moment; zero when it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A point on a clock that nobody sets: milliseconds since a moment that stays the same while the
/// process runs. For how long something takes, whatever becomes of the time of day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Steady(u64);

impl Steady {
    /// A point given in milliseconds.
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Its milliseconds.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }

    /// How long from `earlier` until this point; zero when it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clocks.
    System,
    /// Clocks that stand still until they are moved; for exchanges and tests.
    Fixed(Arc<Standing>),
}

/// Clocks that stand still.
#[derive(Debug)]
pub struct Standing {
    time: AtomicI64,
    steady: AtomicU64,
}

impl Clock {
    /// A clock standing still at `time`.
    pub fn fixed(time: Time) -> Self {
        let time = AtomicI64::new(time.milliseconds());
        Self::Fixed(Arc::new(Standing { time, steady: AtomicU64::new(0) }))
    }

    /// The time of day.
    #[expect(clippy::disallowed_methods, reason = "the one place where the time comes from")]
    pub fn now(&self) -> Time {
        match self {
            Self::System => {
                let since_epoch =
                    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Time(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Fixed(standing) => Time(standing.time.load(Ordering::Relaxed)),
        }
    }

    /// Where the clock is that nobody sets.
    pub fn steady(&self) -> Steady {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => {
                let elapsed = BEGINNING.elapsed().as_millis();
                Steady(u64::try_from(elapsed).unwrap_or(u64::MAX))
            }
            Self::Fixed(standing) => Steady(standing.steady.load(Ordering::Relaxed)),
        }
    }

    /// Sets a fixed clock's time of day; the system's is not ours to set and stays as it is.
    pub fn set(&self, time: Time) {
        if let Self::Fixed(standing) = self {
            standing.time.store(time.milliseconds(), Ordering::Relaxed);
        }
    }

    /// Lets a fixed clock go on: its time of day, and the one that nobody sets.
    pub fn go_on(&self, duration: Duration) {
        if let Self::Fixed(standing) = self {
            let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            standing.steady.fetch_add(milliseconds, Ordering::Relaxed);
            self.set(self.now().plus(duration));
        }
    }
}

/// Where random bytes come from.
#[derive(Clone)]
pub enum Random {
    /// A cryptographically secure generator per thread, seeded and reseeded from the system.
    System,
    /// A reproducible sequence; for exchanges and tests.
    Seeded(Arc<Mutex<ChaCha20Rng>>),
}

impl Random {
    /// The reproducible sequence that starts at `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(ChaCha20Rng::seed_from_u64(seed))))
    }

    /// Fills `bytes` with random bytes.
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness comes from")]
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => rand::rng().fill_bytes(bytes),
            Self::Seeded(generator) => generator.lock().fill_bytes(bytes),
        }
    }

    /// Between half of a duration and all of it, so that many servers which wait for the same do not
    /// come back in the same instant.
    pub fn spread(&self, most: Duration) -> Duration {
        let half = most / 2;
        let part = f64::from(u32::from_be_bytes(self.bytes())) / f64::from(u32::MAX);
        half + half.mul_f64(part)
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "System",
            Self::Seeded(_) => "Seeded",
        })
    }
}
