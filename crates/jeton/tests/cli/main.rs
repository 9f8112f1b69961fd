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
mod proving;
mod registration;
#[path = "../../src/tls/rehearsal.rs"]
mod rehearsal;
mod systemd;
mod tokens;
mod transfer;
mod wycheproof;
