//! The command line as a script sees it: the real program, its output, its exit codes.

#![cfg(test)]

mod clients;
mod crash;
mod database;
mod dev;
mod doctor;
mod getting;
mod help;
mod https;
mod keeping;
mod keys;
mod messages;
mod place;
mod postgres;
mod proving;
mod registration;
#[path = "../../src/tls/rehearsal.rs"]
mod rehearsal;
#[path = "../../../jeton-store/tests/postgres/server.rs"]
#[expect(dead_code, reason = "these tests need only one of the places")]
mod server;
mod systemd;
mod tokens;
mod transfer;
mod wycheproof;
