//! What the engine decides, on a real store in memory, with a clock that stands still.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may assume"
)]

#[path = "engine/alike.rs"]
mod alike;
#[path = "engine/asserting.rs"]
mod asserting;
#[path = "engine/assertion_keys.rs"]
mod assertion_keys;
#[path = "engine/assertion_once.rs"]
mod assertion_once;
#[path = "engine/assertion_properties.rs"]
mod assertion_properties;
#[path = "engine/assertions.rs"]
mod assertions;
#[path = "engine/away.rs"]
mod away;
#[path = "engine/binding.rs"]
mod binding;
#[path = "engine/certificates.rs"]
mod certificates;
#[path = "engine/check.rs"]
mod check;
#[path = "engine/dpop.rs"]
mod dpop;
#[path = "engine/fapi2.rs"]
mod fapi2;
#[path = "engine/federated.rs"]
mod federated;
#[path = "engine/follow.rs"]
mod follow;
#[path = "engine/guesses.rs"]
mod guesses;
#[path = "engine/introspect.rs"]
mod introspect;
#[path = "engine/issue.rs"]
mod issue;
#[path = "engine/limits.rs"]
mod limits;
#[path = "engine/lockout.rs"]
mod lockout;
#[path = "engine/manage.rs"]
mod manage;
#[path = "engine/proofs.rs"]
mod proofs;
#[path = "engine/proving.rs"]
mod proving;
#[path = "engine/registering.rs"]
mod registering;
#[path = "engine/registration.rs"]
mod registration;
#[path = "engine/registration_management.rs"]
mod registration_management;
#[path = "engine/revoke.rs"]
mod revoke;
#[path = "engine/rotate.rs"]
mod rotate;
#[path = "engine/secret_jwt.rs"]
mod secret_jwt;
#[path = "engine/secrets.rs"]
mod secrets;
#[path = "engine/stage.rs"]
mod stage;
