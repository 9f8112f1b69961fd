//! What configuration says of proof: how strict a realm is, what assertions and DPoP proofs must
//! be like, and whose tokens may stand for a client.

use std::time::Duration;

use jeton_jose::Algorithm;

use crate::client::proof::PublicKeys;
use crate::key_source::KeyLocation;
use crate::name::RealmName;
use crate::request::AuthenticationMethod;

/// How clients of a realm prove who they are, and what their tokens are bound to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proving {
    /// Which rules hold.
    pub profile: Profile,
    /// What client assertions must be like.
    pub assertions: Assertions,
    /// What DPoP proofs must be like.
    pub dpop: Dpop,
    /// Whose tokens may stand as client assertions.
    pub trusted_issuers: Vec<TrustedIssuer>,
}

/// Which rules hold in a realm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Those of RFC 6749 and RFC 9700.
    #[default]
    Standard,
    /// Only what the FAPI 2.0 Security Profile allows.
    Fapi2,
}

impl Profile {
    /// Algorithms for signatures of clients: on assertions and DPoP proofs.
    const STANDARD: &'static [Algorithm] =
        &[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256];
    /// Section 5.4.1.
    const FAPI2: &'static [Algorithm] = &[Algorithm::EdDsa, Algorithm::Es256, Algorithm::Ps256];

    /// With which algorithms clients may sign assertions and DPoP proofs.
    pub const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Standard => Self::STANDARD,
            Self::Fapi2 => Self::FAPI2,
        }
    }

    /// Whether this algorithm is one of them.
    pub fn allows(self, algorithm: Algorithm) -> bool {
        self.algorithms().contains(&algorithm)
    }

    /// Whether clients may authenticate in this way.
    pub fn allows_method(self, method: AuthenticationMethod) -> bool {
        match self {
            Self::Standard => true,
            Self::Fapi2 => method.proves_possession(),
        }
    }
}

/// What client assertions must be like (RFC 7523 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertions {
    /// Further values of `aud` that are accepted beside the issuer, while old clients move: the
    /// URLs of the realm's token endpoints. Empty unless the realm says so.
    pub also_for: Vec<String>,
    /// The longest time between now and `exp`, and between `iat` and now; the leeway comes on top.
    pub lifetime_max: Duration,
    /// How far the clocks of clients may be from ours.
    pub leeway: Duration,
}

impl Proving {
    /// How far the clocks of those who sign assertions may be from ours. In profile `fapi2` at
    /// least 10 seconds, which must be accepted, and never more than 60, above which must be
    /// refused (FAPI 2.0 Security Profile section 5.3.2.1).
    pub fn assertion_leeway(&self) -> Duration {
        const LEAST: Duration = Duration::from_secs(10);
        const MOST: Duration = Duration::from_secs(60);
        match self.profile {
            Profile::Standard => self.assertions.leeway,
            Profile::Fapi2 => self.assertions.leeway.clamp(LEAST, MOST),
        }
    }
}

impl Default for Assertions {
    fn default() -> Self {
        Self {
            also_for: Vec::new(),
            lifetime_max: Duration::from_secs(3600),
            leeway: Duration::from_secs(10),
        }
    }
}

/// What DPoP proofs must be like (RFC 9449 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// Whether they must have a nonce of ours (RFC 9449 section 8).
    pub nonces: Nonces,
    /// How old a proof may be.
    pub age_max: Duration,
    /// How far the clocks of clients may be ahead of ours.
    pub leeway: Duration,
}

impl Default for Dpop {
    fn default() -> Self {
        Self {
            nonces: Nonces::NotAsked,
            age_max: Duration::from_secs(60),
            leeway: Duration::from_secs(10),
        }
    }
}

/// Whether DPoP proofs must have a nonce of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonces {
    /// They need none; one that is there must be right.
    #[default]
    NotAsked,
    /// They must.
    Required,
}

/// Another issuer, whose tokens may stand as assertions of clients that say so.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustedIssuer {
    /// Its name in configuration.
    pub name: RealmName,
    /// Its issuer URL, just as it stands in `iss`.
    pub issuer: String,
    /// Where its keys are.
    pub keys: TrustedKeys,
    /// What `aud` of its tokens must be; the realm's issuer when absent.
    pub audience: Option<String>,
    /// How often one of its tokens may be presented.
    pub uses: Uses,
}

/// How often a token of a trusted issuer may be presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Uses {
    /// Once, when it has a `jti`; one without cannot be told from another, and may be presented
    /// until it expires.
    #[default]
    Once,
    /// Until it expires: for issuers that leave a token in a file for many uses, as Kubernetes does
    /// with those of service accounts. It may then be used as long as it can be stolen.
    UntilExpiry,
}

/// Where a trusted issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum TrustedKeys {
    /// Here.
    These(PublicKeys),
    /// There.
    At(KeyLocation),
}
