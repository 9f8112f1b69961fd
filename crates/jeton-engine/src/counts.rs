//! What the engine counts of what it decides, and the closed sets that it counts by.

use jeton_jose::Algorithm;

use crate::error::{FaultKind, Reason};
pub use crate::limit::LimitOf;
use crate::measure::{Closed, Count, Tally};
use crate::request::AuthenticationMethod;
use crate::terms::TokenShape;

/// What is counted of a realm. Survives a change of its configuration, not the end of the process.
#[derive(Default)]
pub(crate) struct RealmCounts {
    /// Tokens that were issued.
    pub(crate) issued: Tally<Minted>,
    /// Requests of any kind that were refused.
    pub(crate) refused: Tally<Reason>,
    /// Requests of any kind in which we broke.
    pub(crate) failed: Tally<FaultKind>,
    /// Clients that proved who they are.
    pub(crate) authenticated: Tally<AuthenticationMethod>,
    /// Requests that were one too many.
    pub(crate) limited: Tally<LimitOf>,
    /// Assertions that were made for something else than the issuer alone, and were accepted.
    pub(crate) also_for: Count,
    /// Times that a secret was right, and it might be used.
    pub(crate) secret_uses: Count,
    /// Tokens that were looked up among those seen before.
    pub(crate) checked: Lookups,
}

/// How often something was looked for in memory.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    hits: Count,
    misses: Count,
}

impl Lookups {
    /// It was there.
    pub(crate) fn hit(&self) {
        self.hits.one();
    }

    /// It was not.
    pub(crate) fn miss(&self) {
        self.misses.one();
    }

    /// How often it was there, and how often not.
    pub(crate) fn read(&self) -> (u64, u64) {
        (self.hits.read(), self.misses.read())
    }
}

/// How an issued token looks, and what signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minted {
    /// A JWT.
    Jwt(Algorithm),
    /// A sealed token.
    Sealed,
    /// A stored token.
    Stored,
}

impl Minted {
    /// The algorithm that signed it, where one did.
    pub const fn algorithm(self) -> Option<Algorithm> {
        match self {
            Self::Jwt(algorithm) => Some(algorithm),
            Self::Sealed | Self::Stored => None,
        }
    }
}

impl From<&TokenShape> for Minted {
    fn from(shape: &TokenShape) -> Self {
        match shape {
            TokenShape::Jwt(shape) => Self::Jwt(shape.algorithm),
            TokenShape::Sealed => Self::Sealed,
            TokenShape::Stored(_) => Self::Stored,
        }
    }
}

impl Closed for Minted {
    const ALL: &'static [Self] = &[
        Self::Sealed,
        Self::Stored,
        Self::Jwt(Algorithm::EdDsa),
        Self::Jwt(Algorithm::Es256),
        Self::Jwt(Algorithm::Es384),
        Self::Jwt(Algorithm::Rs256),
        Self::Jwt(Algorithm::Ps256),
        Self::Jwt(Algorithm::Hs256),
        Self::Jwt(Algorithm::MlDsa44),
        Self::Jwt(Algorithm::MlDsa65),
    ];

    fn place(self) -> usize {
        match self {
            Self::Sealed => 0,
            Self::Stored => 1,
            Self::Jwt(algorithm) => 2 + algorithm as usize,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Jwt(_) => "jwt",
            Self::Sealed => "sealed",
            Self::Stored => "stored",
        }
    }
}

impl Closed for LimitOf {
    const ALL: &'static [Self] = &[Self::Client, Self::Source, Self::Realm];

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Source => "source",
            Self::Realm => "realm",
        }
    }
}

impl Closed for Reason {
    const ALL: &'static [Self] = Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.code()
    }
}

impl Closed for FaultKind {
    const ALL: &'static [Self] = Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.code()
    }
}

impl Closed for AuthenticationMethod {
    const ALL: &'static [Self] = Self::ALL;

    fn place(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold<T: Closed + std::fmt::Debug + PartialEq>() {
        for (index, one) in T::ALL.iter().enumerate() {
            assert_eq!(one.place(), index, "{one:?}");
        }
    }

    #[test]
    fn each_of_a_closed_set_is_at_its_place() {
        hold::<Minted>();
        hold::<LimitOf>();
        hold::<Reason>();
        hold::<FaultKind>();
        hold::<AuthenticationMethod>();
    }

    #[test]
    fn every_algorithm_is_counted_apart() {
        for algorithm in Algorithm::ALL {
            let minted = Minted::Jwt(*algorithm);
            assert_eq!(<Minted as Closed>::ALL.get(minted.place()), Some(&minted));
        }
    }
}
