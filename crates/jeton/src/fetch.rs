//! Fetching the key sets of others: what may be asked, where it may be, how much and how often.
//!
//! Clients (`jwks_uri`) and trusted issuers name URLs that we then ask from inside our own network, so
//! whoever can name one could make us knock on doors that only we can reach. One guarded way out:
//!
//! - a URL is https, without user, fragment and odd port ([`target`]);
//! - its host is looked up once, and only those of its addresses are connected to that are public or
//!   allowed by `[fetch] allow` ([`address`]); nothing is looked up again in between;
//! - one request, no redirect, no proxy, no cookie, no compression; head, body and time have limits
//!   (`request.rs`);
//! - each URL is asked at most once in a while, however many wait for it and whatever keys their tokens
//!   name; keys are used for as long as their server says, within bounds, and for a stated time longer
//!   while it does not answer ([`key_sets`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub mod address;
mod discovery;
mod freshness;
pub mod key_sets;
mod request;
pub mod resolver;
pub mod target;
#[cfg(test)]
mod tests;

pub use key_sets::{KeySetReadings, KeySets};
pub use target::{Target, TargetError};

/// What fetching may cost, and whom it may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Networks that may be reached although they are not public.
    pub allow: Vec<IpNet>,
    /// A PEM file with authorities that are trusted besides those of this machine.
    pub ca_file: Option<PathBuf>,
    /// How long looking up, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long a request may take from its beginning to the answer's last byte, and how long
    /// anybody waits for keys.
    pub timeout: Duration,
    /// The longest body of an answer, in bytes.
    pub body_bytes_max: usize,
    /// The most requests at one time.
    pub requests_max: usize,
    /// How long a URL is left alone after it was asked, well or in vain.
    pub again_after: Duration,
    /// How long keys are used at least before they are fetched again, whatever their server says.
    pub fresh_min: Duration,
    /// How long at most.
    pub fresh_max: Duration,
    /// How much longer they are used while they cannot be fetched again.
    pub stale_max: Duration,
    /// The most key sets in memory, of eight keys on average; the one that was needed longest ago
    /// goes first.
    pub key_sets_max: usize,
}

/// Why there are no keys. The texts are for operators; nothing of the answer's body is in them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL is none that may be asked.
    #[error("the URL {0}")]
    Target(#[from] TargetError),
    /// The host has no address.
    #[error("{host} has no address: {problem}")]
    Unresolved {
        /// The host.
        host: String,
        /// What the system says.
        problem: Arc<str>,
    },
    /// The host has addresses, but none that may be reached.
    #[error(
        "{host} is at no address that may be reached: name its network in `fetch.allow` if it shall be"
    )]
    Forbidden {
        /// The host.
        host: String,
    },
    /// No connection could be made, or it broke.
    #[error("{host} does not answer: {problem}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system says.
        problem: Arc<str>,
    },
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(Arc<str>),
    /// It took longer than it may.
    #[error("{host} takes longer to answer than it may")]
    TimedOut {
        /// The host.
        host: String,
    },
    /// Too many other requests were under way.
    #[error("too many other requests are under way (`fetch.requests_max`)")]
    Busy,
    /// The fetch takes longer than anybody waits for it; what it brings is for those who come later.
    #[error("the keys are still being fetched")]
    UnderWay,
    /// The answer was no success. Redirects are not followed.
    #[error("the answer's status is {0}, not 200")]
    Status(u16),
    /// The answer is longer than it may be.
    #[error("the answer is longer than it may be (`fetch.body_bytes_max`)")]
    TooLong,
    /// The answer is compressed, though nothing but plain bytes was asked for.
    #[error("the answer has a content coding that was not asked for")]
    Encoded,
    /// The answer is not what was asked for.
    #[error("the answer is no {what}: {problem}")]
    Content {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        problem: Arc<str>,
    },
    /// The metadata are another issuer's (RFC 8414 section 3.3).
    #[error("the metadata are those of another issuer")]
    AnotherIssuer,
}
