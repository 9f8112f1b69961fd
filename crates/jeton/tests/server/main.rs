//! Whole servers in this process, spoken to over raw TCP so that no HTTP client hides a byte.

#![cfg(test)]

mod limits;
mod reload;
mod rfc7517;
mod rfc8414;
mod routing;
mod shutdown;
mod source;
mod started;
