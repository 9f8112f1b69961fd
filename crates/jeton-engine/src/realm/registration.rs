//! What configuration says of dynamic client registration in a realm.

use crate::rate::Rates;
use crate::request::AuthenticationMethod;

/// Whether and how clients may register themselves. A realm without it has no such endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registering {
    /// Whether they need a token for that.
    pub initial_access_token: Admission,
    /// What becomes of software statements.
    pub statements: Statements,
    /// The ways to authenticate that any dialect of the realm knows and its profile allows.
    pub methods: Vec<AuthenticationMethod>,
    /// How many clients that registered themselves the realm may have at one time.
    pub clients_max: u32,
    /// The limits of each source address: on every request about registrations.
    pub source_limits: Rates,
    /// The limits of the realm: on new registrations that were admitted.
    pub realm_limits: Rates,
}

/// Who may register clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Who has an initial access token.
    Token,
    /// Anybody who reaches the endpoint (open registration, RFC 7591 section 3).
    DangerAnybody,
}

/// What becomes of software statements (RFC 7591 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statements {
    /// They are ignored.
    Off,
    /// One of a trusted issuer counts; any other is refused.
    Accepted,
    /// As accepted, and nobody registers without.
    Required,
}
