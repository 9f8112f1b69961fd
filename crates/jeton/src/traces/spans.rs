//! What is told of a request: one span for the whole of it, and one for each place where it waited.

use std::fmt::Write as _;
use std::time::Duration;

use jeton_engine::clock::Random;
use jeton_engine::journey::{Outcome, Stop, Stopped};

use super::message::{
    KeyValue, Request, Resource, ResourceSpans, Scope, ScopeSpans, Span, Status, number, text,
};
use super::{Settings, Trip};

const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// Sampled; and that it is known whether the parent is elsewhere, and that it is.
const SAMPLED: u32 = 0x001;
const PARENT_KNOWN: u32 = 0x100;
const PARENT_ELSEWHERE: u32 = 0x200;

/// The message about these trips.
pub(super) fn message(trips: &[Trip], settings: &Settings, random: &Random) -> Request {
    let mut spans = Vec::with_capacity(trips.len() * 2);
    for trip in trips {
        spans.push(whole(trip));
        spans.extend(trip.notes.stops.iter().map(|stopped| part(trip, stopped, random)));
    }
    let scope = Scope { name: "jeton".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let own = [
        text("service.name", settings.service_name.as_str()),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let more = settings.resource.iter().map(|(name, value)| text(name, value.as_str()));
    let resource = Resource { attributes: own.into_iter().chain(more).collect() };
    Request { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans }] }
}

/// The whole request, by the names of OpenTelemetry's conventions for HTTP and our own.
fn whole(trip: &Trip) -> Span {
    let thread = &trip.thread;
    let mut attributes = vec![
        text("http.request.method", trip.method),
        number("http.response.status_code", trip.status.into()),
    ];
    attributes.extend(trip.route.as_deref().map(|route| text("http.route", route)));
    attributes.extend(told(trip));
    let start = start(trip, Duration::ZERO);
    let name = match &trip.route {
        Some(route) => format!("{} {route}", trip.method),
        None => trip.method.to_owned(),
    };
    let elsewhere = if thread.parent.is_some() { PARENT_ELSEWHERE } else { 0 };
    Span {
        trace_id: thread.trace_id.to_vec(),
        span_id: thread.span_id.to_vec(),
        trace_state: state(trip),
        parent_span_id: thread
            .parent
            .as_ref()
            .map(|parent| parent.span_id.to_vec())
            .unwrap_or_default(),
        name,
        kind: SERVER,
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds(trip.took)),
        attributes,
        status: is_error(trip).then_some(Status { code: ERROR }),
        flags: SAMPLED | PARENT_KNOWN | elsewhere,
    }
}

/// What the engine noted.
fn told(trip: &Trip) -> Vec<KeyValue> {
    let Some(decided) = &trip.notes.decided else { return Vec::new() };
    let mut attributes = vec![
        text("jeton.reference", decided.reference.as_str()),
        text("jeton.realm", decided.realm.as_str()),
    ];
    attributes
        .extend(decided.dialect.as_ref().map(|dialect| text("jeton.dialect", dialect.as_str())));
    let outcome = match decided.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Refused(code) => {
            attributes.push(text("jeton.refusal", code));
            "refused"
        }
        Outcome::Failed(code) => {
            attributes.push(text("jeton.fault", code));
            "failed"
        }
    };
    attributes.push(text("jeton.outcome", outcome));
    attributes.extend(decided.token_format.map(|format| text("jeton.token_format", format.name())));
    attributes
}

/// A request that we failed; one that was refused was answered as it should be.
fn is_error(trip: &Trip) -> bool {
    let failed = |outcome| matches!(outcome, Outcome::Failed(_));
    trip.status >= 500 || trip.notes.decided.as_ref().is_some_and(|decided| failed(decided.outcome))
}

/// A wait.
fn part(trip: &Trip, stopped: &Stopped, random: &Random) -> Span {
    let start = start(trip, stopped.since.saturating_duration_since(trip.thread.came.1));
    Span {
        trace_id: trip.thread.trace_id.to_vec(),
        span_id: random.bytes::<8>().to_vec(),
        trace_state: state(trip),
        parent_span_id: trip.thread.span_id.to_vec(),
        name: stopped.at.name().to_owned(),
        kind: match stopped.at {
            Stop::Commit | Stop::Query | Stop::KeySet => CLIENT,
            Stop::SlowHash => INTERNAL,
        },
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(nanoseconds(stopped.took)),
        attributes: Vec::new(),
        status: None,
        flags: SAMPLED | PARENT_KNOWN,
    }
}

fn state(trip: &Trip) -> String {
    let state = trip.thread.parent.as_ref().and_then(|parent| parent.state.as_deref());
    state.unwrap_or_default().to_owned()
}

/// A moment of the trip, in nanoseconds since 1970.
fn start(trip: &Trip, after: Duration) -> u64 {
    let came = u64::try_from(trip.thread.came.0.milliseconds()).unwrap_or(0);
    came.saturating_mul(1_000_000).saturating_add(nanoseconds(after))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Bytes in lower-case hexadecimal, as traces are named everywhere.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
