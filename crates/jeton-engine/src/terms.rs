//! Terms: what a dialect says of its tokens, of wrong guesses and of limits, after the realm has
//! had its word. Terms shape a token and may make issuing stricter; they can never grant.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::limit::Limit;
use crate::name::{Audience, DialectName};
use crate::request::AuthenticationMethod;

/// The terms on which the tokens of one mount are issued.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The dialect that is spoken.
    pub dialect: DialectName,
    /// The ways of authenticating that the dialect can express.
    pub authentication: Vec<AuthenticationMethod>,
    /// How a token looks; the realm's word when absent.
    pub token: Option<TokenShape>,
    /// How long a token lives when neither client nor realm say otherwise.
    pub lifetime: Lifetime,
    /// Whether a token may be told never to expire.
    pub never_expires: Permission,
    /// Who tokens are for when neither client nor realm say otherwise.
    pub audience: Option<Audience>,
    /// What wrong guesses do to the account.
    pub lockout: Option<Lockout>,
    /// How many requests each client may make; all of them hold.
    pub limits: Vec<Limit>,
}

/// Whether something dangerous is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It is.
    Permitted,
    /// It is not.
    Refused,
}

/// How long a token lives. The longer is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// So many seconds.
    Seconds(NonZeroU32),
    /// For ever: no `exp`, no `expires_in`.
    Never,
}

impl Lifetime {
    /// So many seconds; at least one.
    pub fn seconds(seconds: u32) -> Self {
        Self::Seconds(NonZeroU32::new(seconds).unwrap_or(NonZeroU32::MIN))
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(formatter, "{seconds}s"),
            Self::Never => formatter.write_str("never"),
        }
    }
}

/// How a token looks.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenShape {
    /// A JSON Web Token in the compact serialization (RFC 7515 section 7.1).
    Jwt(JwtShape),
    /// A random string whose digest is durable in the store before the answer leaves.
    Stored(StoredShape),
    /// A claims set that only this realm can read: opaque, with no row behind it.
    Sealed,
}

/// A JWT's header and claims, member by member in the order of the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtShape {
    /// The signature algorithm.
    pub algorithm: jeton_jose::Algorithm,
    /// The JOSE header's members.
    pub header: Vec<(String, HeaderValue)>,
    /// The claims.
    pub claims: Vec<(String, ClaimValue)>,
}

/// What stands in a member of the JOSE header.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    /// The algorithm's registered name. Always the key's, whatever the dialect would like.
    Algorithm,
    /// The key's identifier.
    KeyId,
    /// A constant.
    Constant(serde_json::Value),
}

/// What stands in a claim. A claim whose value is absent is left out.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimValue {
    /// The realm's issuer URL.
    Issuer,
    /// The client's subject, or its identifier when it has none.
    Subject,
    /// The client's identifier.
    ClientId,
    /// The client's display name; absent when it has none.
    ClientName,
    /// Who the token is for: one string, or an array of several; absent when nobody was named.
    Audience,
    /// The granted scope; absent when empty.
    Scope,
    /// When it was issued, in seconds.
    IssuedAt,
    /// From when on it holds (the moment it was issued), in seconds.
    NotBefore,
    /// When it expires, in seconds; absent when it never does.
    ExpiresAt,
    /// The token's own unique identifier (`jti`).
    TokenId,
    /// A constant.
    Constant(serde_json::Value),
    /// Whatever realm and client add, at this place, each under its own name.
    Custom,
}

/// A stored token's string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShape {
    /// What every token starts with.
    pub prefix: String,
    /// The characters after the prefix: 2 to 94 different printable ASCII characters.
    pub alphabet: String,
    /// How many characters follow the prefix; with the alphabet at least 128 random bits.
    pub length: usize,
}

/// What wrong guesses do to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lockout {
    /// After so many wrong secrets ...
    pub failures: NonZeroU32,
    /// ... within this time ...
    pub within: Duration,
    /// ... the account locks for so long; `None`: until an operator unlocks it.
    pub duration: Option<Duration>,
}

impl JwtShape {
    /// The claims of RFC 9068 section 2.2, in its order.
    pub fn rfc9068_claims() -> Vec<(String, ClaimValue)> {
        let claim = |name: &str, value| (name.to_owned(), value);
        vec![
            claim("iss", ClaimValue::Issuer),
            claim("sub", ClaimValue::Subject),
            claim("client_id", ClaimValue::ClientId),
            claim("aud", ClaimValue::Audience),
            claim("iat", ClaimValue::IssuedAt),
            claim("exp", ClaimValue::ExpiresAt),
            claim("jti", ClaimValue::TokenId),
            claim("scope", ClaimValue::Scope),
            claim("", ClaimValue::Custom),
        ]
    }
}

impl TokenShape {
    /// A JWT access token as RFC 9068 section 2 describes it.
    pub fn rfc9068(algorithm: jeton_jose::Algorithm) -> Self {
        Self::Jwt(JwtShape {
            algorithm,
            header: vec![
                ("alg".to_owned(), HeaderValue::Algorithm),
                ("typ".to_owned(), HeaderValue::Constant("at+jwt".into())),
                ("kid".to_owned(), HeaderValue::KeyId),
            ],
            claims: JwtShape::rfc9068_claims(),
        })
    }

    /// A stored token as it looks where nobody says otherwise: `jt_` and 43 letters and digits
    /// (256 random bits).
    pub fn stored() -> Self {
        Self::Stored(StoredShape {
            prefix: "jt_".to_owned(),
            alphabet: crate::random_text::ALPHANUMERIC.to_owned(),
            length: 43,
        })
    }

    /// How tokens of this shape are kept.
    pub fn format(&self) -> crate::token::TokenFormat {
        match self {
            Self::Jwt(_) => crate::token::TokenFormat::Jwt,
            Self::Stored(_) => crate::token::TokenFormat::Stored,
            Self::Sealed => crate::token::TokenFormat::Sealed,
        }
    }
}
