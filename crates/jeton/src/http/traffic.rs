//! What passes through a listener: connections, and requests with what came of them and how long each
//! took. Each realm, mount and endpoint has numbers of its own, found on the way that the request
//! takes anyhow.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jeton_engine::error::Error;
use jeton_engine::measure::{Closed, Count, DURATIONS, Distribution, Spread, Tally};
use jeton_engine::name::{DialectName, RealmName};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::question::Act;
use crate::config::Mount;

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// We said yes.
    Accepted,
    /// We said no; the caller can mend it.
    Refused,
    /// We broke.
    Failed,
    /// The caller went away before there was an answer.
    Abandoned,
}

impl Outcome {
    /// Of a decision.
    pub(crate) fn of<T>(decided: &Result<T, Error>) -> Self {
        match decided {
            Ok(_) => Self::Accepted,
            Err(Error::Refusal(_)) => Self::Refused,
            Err(Error::Fault(_)) => Self::Failed,
        }
    }

    /// Of an answer of the realm's own endpoints, whose refusals are 4xx and whose faults are 5xx. A
    /// dialect may say it with any other status.
    pub(crate) fn told_by(status: StatusCode) -> Self {
        match status {
            status if status.is_client_error() => Self::Refused,
            status if status.is_server_error() => Self::Failed,
            _ => Self::Accepted,
        }
    }
}

impl Closed for Outcome {
    const ALL: &'static [Self] = &[Self::Accepted, Self::Refused, Self::Failed, Self::Abandoned];

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// The requests of one kind.
#[derive(Debug)]
pub(crate) struct Meter {
    /// How long they took, by what came of them.
    durations: Box<[Distribution]>,
}

impl Default for Meter {
    fn default() -> Self {
        Self { durations: Outcome::ALL.iter().map(|_| Distribution::new(DURATIONS)).collect() }
    }
}

impl Meter {
    /// A request that began at `began` is one of these.
    pub(crate) fn begin(&self, began: Instant) -> Passing<'_> {
        Passing { meter: self, began, outcome: Outcome::Abandoned }
    }

    fn take(&self, outcome: Outcome, took: Duration) {
        if let Some(durations) = self.durations.get(outcome.place()) {
            durations.take(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn read(&self) -> Vec<(Outcome, Spread)> {
        let read = self.durations.iter().map(Distribution::read);
        Outcome::ALL.iter().copied().zip(read).collect()
    }
}

/// A request on its way; counted when it is over, however that comes about.
pub(crate) struct Passing<'a> {
    meter: &'a Meter,
    began: Instant,
    outcome: Outcome,
}

impl Passing<'_> {
    /// It was answered.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.meter.take(self.outcome, self.began.elapsed());
    }
}

/// The meters of one realm.
pub(crate) struct Meters {
    /// In the order of the realm's mounts.
    mounts: Vec<(DialectName, Arc<Meter>)>,
    others: Arc<Others>,
}

/// The meters of the endpoints that are no mounts.
#[derive(Default)]
struct Others {
    introspect: Meter,
    revoke: Meter,
    verify: Meter,
    register: Meter,
    jwks: Meter,
    metadata: Meter,
    unknown: Meter,
}

impl Meters {
    /// Meters for these mounts; what was counted before a reload is taken along.
    pub(crate) fn new(mounts: &[Mount], before: Option<&Self>) -> Self {
        let known = |name: &DialectName| {
            let mut mounts = before.iter().flat_map(|before| &before.mounts);
            mounts.find(|(own, _)| own == name).map(|(_, meter)| Arc::clone(meter))
        };
        let mounts = mounts.iter().map(|mount| mount.dialect.name());
        Self {
            mounts: mounts.map(|name| (name.clone(), known(name).unwrap_or_default())).collect(),
            others: before.map(|before| Arc::clone(&before.others)).unwrap_or_default(),
        }
    }

    /// That of the mount at this place.
    pub(crate) fn mount(&self, place: usize) -> &Meter {
        self.mounts.get(place).map_or(&self.others.unknown, |(_, meter)| meter)
    }

    /// That of an endpoint.
    pub(crate) fn endpoint(&self, endpoint: Endpoint) -> &Meter {
        match endpoint {
            Endpoint::Question(Act::Introspect) => &self.others.introspect,
            Endpoint::Question(Act::Revoke) => &self.others.revoke,
            Endpoint::Verify => &self.others.verify,
            Endpoint::Registration => &self.others.register,
            Endpoint::Jwks => &self.others.jwks,
            Endpoint::Metadata => &self.others.metadata,
        }
    }

    /// That of the paths that the realm does not have.
    pub(crate) fn unknown(&self) -> &Meter {
        &self.others.unknown
    }

    /// What was counted in this realm.
    pub(crate) fn read(&self, realm: &RealmName) -> Vec<RequestReadings> {
        let others = &*self.others;
        let others = [
            ("introspect", &others.introspect),
            ("revoke", &others.revoke),
            ("verify", &others.verify),
            ("register", &others.register),
            ("jwks", &others.jwks),
            ("metadata", &others.metadata),
            (UNKNOWN, &others.unknown),
        ];
        let mounts = self.mounts.iter().map(|(name, meter)| ("token", Some(name), &**meter));
        let others = others.into_iter().map(|(endpoint, meter)| (endpoint, None, meter));
        let read =
            |(endpoint, dialect, meter): (_, Option<&DialectName>, &Meter)| RequestReadings {
                realm: Some(realm.clone()),
                endpoint,
                dialect: dialect.cloned(),
                outcomes: meter.read(),
            };
        mounts.chain(others).map(read).collect()
    }
}

/// What every path is called that nobody has: what callers make up is no label.
const UNKNOWN: &str = "unknown";

/// The requests of one kind, as read.
#[derive(Debug)]
pub(crate) struct RequestReadings {
    /// Absent for requests that belong to no realm.
    pub(crate) realm: Option<RealmName>,
    /// What was asked.
    pub(crate) endpoint: &'static str,
    /// In which dialect, at a token endpoint.
    pub(crate) dialect: Option<DialectName>,
    /// How long they took in nanoseconds, by what came of them.
    pub(crate) outcomes: Vec<(Outcome, Spread)>,
}

impl RequestReadings {
    /// The requests that belong to no realm.
    pub(crate) fn of_nobody(meter: &Meter) -> Self {
        Self { realm: None, endpoint: UNKNOWN, dialect: None, outcomes: meter.read() }
    }
}

/// What came of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshook {
    /// It led to a connection.
    Done,
    /// The two sides did not agree, or a certificate was no good.
    Failed,
    /// It took too long.
    TooSlow,
    /// It gave way to newer ones.
    GaveWay,
}

impl Closed for Handshook {
    const ALL: &'static [Self] = &[Self::Done, Self::Failed, Self::TooSlow, Self::GaveWay];

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TooSlow => "too_slow",
            Self::GaveWay => "gave_way",
        }
    }
}

/// The connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Those that were accepted.
    pub(crate) accepted: Count,
    closed: Count,
    /// What came of their handshakes, where it speaks TLS.
    pub(crate) handshakes: Tally<Handshook>,
}

impl Connections {
    /// One more is open, until this is dropped.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        self.accepted.one();
        Open(Arc::clone(self))
    }

    /// How many are open.
    pub(crate) fn open_now(&self) -> u64 {
        // In this order, so that the difference is never less than nothing.
        let closed = self.closed.read();
        self.accepted.read().saturating_sub(closed)
    }
}

/// An open connection.
pub(crate) struct Open(Arc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(meter: &Meter) -> Vec<u64> {
        meter.read().iter().map(|(_, spread)| spread.count()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_counted_once_and_takes_as_long_as_it_took() {
        let meter = Meter::default();
        let passing = meter.begin(Instant::now());
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(counts(&meter), [0, 0, 0, 0]);
        passing.end(Outcome::Refused);
        assert_eq!(counts(&meter), [0, 1, 0, 0]);
        assert_eq!(meter.read()[1].1.sum, 3_000_000);
        assert_eq!(meter.read()[1].1.counts.iter().position(|count| *count > 0), Some(6));
    }

    #[tokio::test]
    async fn who_goes_away_before_the_answer_is_counted_too() {
        let meter = Meter::default();
        drop(meter.begin(Instant::now()));
        assert_eq!(counts(&meter), [0, 0, 0, 1]);
    }

    #[test]
    fn each_outcome_and_each_handshake_is_at_its_place() {
        assert!(Outcome::ALL.iter().enumerate().all(|(index, one)| one.place() == index));
        assert!(Handshook::ALL.iter().enumerate().all(|(index, one)| one.place() == index));
    }

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let connections = Arc::new(Connections::default());
        let (one, other) = (connections.open(), connections.open());
        assert_eq!(connections.open_now(), 2);
        drop(one);
        assert_eq!((connections.open_now(), connections.accepted.read()), (1, 2));
        drop(other);
        assert_eq!(connections.open_now(), 0);
    }
}
