//! The signature algorithms we use, each with its registered name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! algorithms {
    ($($(#[$documentation:meta])* $name:ident, $registered:literal;)+) => {
        /// A signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9964).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum Algorithm { $($(#[$documentation])* $name,)+ }

        impl Algorithm {
            /// Every algorithm.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The registered name (`alg`).
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $registered),+ }
            }
        }
    };
}

algorithms! {
    /// Ed25519.
    EdDsa, "EdDSA";
    /// ECDSA on P-256 with SHA-256.
    Es256, "ES256";
    /// ECDSA on P-384 with SHA-384.
    Es384, "ES384";
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256, "RS256";
    /// RSASSA-PSS with SHA-256.
    Ps256, "PS256";
    /// HMAC with SHA-256.
    Hs256, "HS256";
    /// ML-DSA-44; experimental.
    MlDsa44, "ML-DSA-44";
    /// ML-DSA-65; experimental.
    MlDsa65, "ML-DSA-65";
}

impl Algorithm {
    /// The algorithm that a token or JWK means by this `alg`: the registered names, and the fully
    /// specified `Ed25519` (RFC 9864), which says the same as our `EdDSA`.
    pub fn from_jose_name(name: &str) -> Option<Self> {
        if name == "Ed25519" { Some(Self::EdDsa) } else { name.parse().ok() }
    }

    /// Whether one secret both signs and verifies.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that names no algorithm we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of EdDSA, ES256, ES384, RS256, PS256, HS256, ML-DSA-44, ML-DSA-65")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL.iter().copied().find(|known| known.name() == text).ok_or(UnknownAlgorithm)
    }
}

impl TryFrom<String> for Algorithm {
    type Error = UnknownAlgorithm;

    fn try_from(text: String) -> Result<Self, UnknownAlgorithm> {
        text.parse()
    }
}

impl From<Algorithm> for String {
    fn from(algorithm: Algorithm) -> String {
        algorithm.name().to_owned()
    }
}
