//! Realms: what configuration says of one.

pub mod proving;
pub mod registration;

use crate::claims::CustomClaims;
use crate::name::{Audience, RealmName};
use crate::rate::Rates;
use crate::realm::proving::Proving;
use crate::realm::registration::Registering;
use crate::rotate::Rotation;
use crate::scope::Scope;
use crate::terms::{Lifetime, TokenShape};

/// An isolated authorization server inside the process, as configuration describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Realm {
    /// Its name.
    pub name: RealmName,
    /// Its issuer URL, just as it stands in `iss`.
    pub issuer: String,
    /// Who tokens are for when the client does not say; the dialect's word when absent.
    pub audience: Option<Audience>,
    /// The scope tokens that clients may be given; any when empty.
    pub scopes: Scope,
    /// How tokens look where the dialect leaves it to the realm.
    pub token: TokenShape,
    /// What the realm adds to its tokens, where the dialect leaves their shape to it.
    pub claims: CustomClaims,
    /// How long tokens live when the client does not say; the dialect's word when absent.
    pub lifetime: Option<Lifetime>,
    /// What every life is cut to, whoever names it.
    pub lifetime_max: Option<Lifetime>,
    /// The longest life that configuration gives any of its tokens.
    pub lifetime_longest: Lifetime,
    /// How its clients prove who they are, and what their tokens are bound to.
    pub proving: Proving,
    /// Whether and how clients may register themselves.
    pub registration: Option<Registering>,
    /// When its signing keys are rotated.
    pub rotation: Rotation,
    /// The limits of each client; the dialect's when absent, none when empty.
    pub client_limits: Option<Rates>,
    /// The limits of each source address.
    pub source_limits: Rates,
    /// The limits of all its clients together.
    pub realm_limits: Rates,
}

impl Realm {
    /// A life, cut to what the realm gives any of its tokens.
    pub fn cut(&self, lifetime: Lifetime) -> Lifetime {
        self.lifetime_max.map_or(lifetime, |most| lifetime.min(most))
    }
}
