//! Comparing a response with the recorded one: whole bytes where clock and seed are ours; by its form
//! where a live server has its own.

mod live;

use std::fmt;

use http::HeaderMap;

use super::Response;

pub use live::compare_live;

/// Headers that belong to the connection, not to the dialect.
const TRANSPORT: [&str; 7] =
    ["date", "content-length", "connection", "keep-alive", "transfer-encoding", "server", "via"];

/// Where a response is another than the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `status`, a header's name, or a place in the body such as `body.data.access_token`.
    pub place: String,
    /// What was recorded.
    pub expected: String,
    /// What came.
    pub actual: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}\n  - {}\n  + {}",
            self.place,
            self.expected.replace('\n', "\n  - "),
            self.actual.replace('\n', "\n  + ")
        )
    }
}

impl Difference {
    fn new(place: &str, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { place: place.to_owned(), expected: expected.into(), actual: actual.into() }
    }
}

/// Compares whole bytes: status, headers, body. Empty when nothing differs.
pub fn compare(expected: &Response, actual: &Response) -> Vec<Difference> {
    let mut found = status(expected, actual);
    for name in header_names(expected, actual) {
        let (left, right) = (values(&expected.headers, &name), values(&actual.headers, &name));
        if left != right {
            found.push(Difference::new(&name, left, right));
        }
    }
    if expected.body != actual.body {
        found.push(Difference::new("body", lossy(&expected.body), lossy(&actual.body)));
    }
    found
}

fn status(expected: &Response, actual: &Response) -> Vec<Difference> {
    if expected.status == actual.status {
        return Vec::new();
    }
    vec![Difference::new("status", expected.status.to_string(), actual.status.to_string())]
}

/// The headers of either side that matter, each once.
fn header_names(expected: &Response, actual: &Response) -> Vec<String> {
    let all = expected.headers.keys().chain(actual.headers.keys());
    let mut names: Vec<String> = Vec::new();
    for name in all.map(http::HeaderName::as_str) {
        if !TRANSPORT.contains(&name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// All values of a header; `(none)` when it is not there.
fn values(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<String> =
        headers.get_all(name).iter().map(|value| lossy(value.as_bytes())).collect();
    if values.is_empty() { "(none)".to_owned() } else { values.join("\n") }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
