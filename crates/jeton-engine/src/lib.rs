//! Decide: clients, scopes, grants and tokens of a machine-to-machine authorization server.
//!
//! The engine knows neither HTTP nor SQL nor TOML. A dialect hands it a [`request::TokenRequest`],
//! it hands back a [`token::Decision`]; what must be kept goes through the [`store::Store`].
//! The way of one request is told in `issue.rs`; management comes through [`manage::Manage`].

mod allow;
mod authenticate;
mod bind;
pub mod check;
pub mod claims;
pub mod confirmation;
mod counts;
mod debts;
mod deciding;
pub mod dpop;
mod forgetting;
mod gcra;
mod grant;
mod guesses;
pub mod introspect;
mod issue;
pub mod journey;
pub mod key_source;
mod limiter;
mod live;
mod mint;
mod random_text;
pub mod reach;
mod recorder;
mod remembered;
mod revoke;
pub mod rotate;
mod sealed;
mod short_text;
mod sign;
mod slow_hash;
mod source;
pub mod spent;
mod upkeep;
pub mod verify;

pub mod certificate;
pub mod client;
pub mod clock;
pub mod engine;
pub mod error;
pub mod event;
pub mod key;
pub mod limit;
pub mod manage;
pub mod master_key;
pub mod measure;
pub mod name;
pub mod rate;
pub mod readings;
pub mod realm;
pub mod registration;
pub mod request;
pub mod scope;
pub mod store;
pub mod terms;
pub mod token;

pub use jeton_jose as jose;
