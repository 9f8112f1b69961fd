//! Serve: the authorization server, its configuration and its command line.
//!
//! A library so that tests and `jeton dev` can run a whole server in their own process; `main.rs` only parses
//! the command line, runs and exits.

mod admin;
pub mod cli;
pub mod config;
pub mod fetch;
mod http;
mod metrics;
mod open_files;
pub mod serve;
pub mod storage;
mod systemd;
pub mod telemetry;
mod tls;
mod traces;
