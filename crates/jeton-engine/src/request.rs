//! What was asked, in our words: a dialect turns bytes into a [`TokenRequest`].

use std::fmt;
use std::net::IpAddr;

use smallvec::SmallVec;

/// A token request of the client-credentials grant (RFC 6749 section 4.4), read from the wire.
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    /// Where the caller is: the peer's address, or what a trusted proxy said of it.
    pub source: IpAddr,
    /// How the client proves who it is.
    pub credentials: Credentials<'a>,
    /// The requested scope, unparsed; absent when missing or empty.
    pub scope: Option<&'a str>,
    /// The requested audiences and resources (RFC 8707 section 2), in order.
    pub audiences: SmallVec<[&'a str; 2]>,
}

/// A request about a token: introspection (RFC 7662 section 2.1) or revocation (RFC 7009 section 2.1).
#[derive(Clone)]
pub struct TokenQuestion<'a> {
    /// How the caller proves who it is.
    pub credentials: Credentials<'a>,
    /// The token that is asked about. A hint of its type is not needed and not read.
    pub token: &'a str,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum Credentials<'a> {
    /// It does not.
    None,
    /// With a secret.
    Secret(SecretCredentials<'a>),
}

/// An identifier and a secret, as presented.
#[derive(Clone, Debug)]
pub struct SecretCredentials<'a> {
    /// In which way they were presented.
    pub method: AuthenticationMethod,
    /// The readings of what was presented, the preferred one first. More than one only for
    /// `client_secret_basic`: form-decoded (RFC 6749 section 2.3.1), then raw.
    pub readings: SmallVec<[Reading<'a>; 2]>,
}

/// One reading of presented credentials.
#[derive(Clone)]
pub struct Reading<'a> {
    /// The client identifier.
    pub client_id: &'a str,
    /// The secret.
    pub secret: &'a str,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reading")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// A registered client authentication method (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// Identifier and secret in the `Authorization: Basic` header.
    ClientSecretBasic,
    /// Identifier and secret among the request's parameters (form, JSON or, dangerously, query).
    ClientSecretPost,
}

impl AuthenticationMethod {
    /// Every method.
    pub const ALL: &'static [Self] = &[Self::ClientSecretBasic, Self::ClientSecretPost];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
        }
    }
}

impl fmt::Display for AuthenticationMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for AuthenticationMethod {
    type Err = crate::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|method| method.name() == text);
        found.ok_or(crate::name::NameError("must be client_secret_basic or client_secret_post"))
    }
}
