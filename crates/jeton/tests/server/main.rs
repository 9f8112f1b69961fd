//! Whole servers in this process, spoken to over raw TCP so that no HTTP client hides a byte.

#![cfg(test)]

mod asking;
mod away;
mod client_certificates;
mod forward_auth;
mod limits;
mod metrics;
mod once;
#[path = "../../../jeton-store/tests/postgres/server.rs"]
#[expect(dead_code, reason = "these tests need only one of the places")]
mod place;
mod rates;
mod refusals;
mod relay;
mod reload;
mod rfc7009;
mod rfc7517;
mod rfc7591;
mod rfc7592;
mod rfc7662;
mod rfc8414;
mod rfc8705;
mod rfc9068;
mod rfc9449;
mod rfc9701;
mod rotation;
mod routing;
mod shutdown;
mod silent;
mod source;
mod started;
mod tls;
mod traces;
