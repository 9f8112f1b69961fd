//! What was asked, in our words: a dialect turns bytes into a [`TokenRequest`].

use std::fmt;
use std::net::IpAddr;

use smallvec::SmallVec;

use crate::certificate::ClientCertificate;

/// Who is asking, apart from what the request says.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Where the caller is: the peer's address, or what a trusted proxy said of it.
    pub source: IpAddr,
    /// The certificate whose key the caller was shown to hold, in TLS (RFC 8705).
    pub certificate: Option<&'a ClientCertificate>,
    /// The DPoP proof that came with the request.
    pub dpop: Option<PresentedProof<'a>>,
}

impl From<IpAddr> for Caller<'_> {
    /// Somebody at this address who shows nothing else.
    fn from(source: IpAddr) -> Self {
        Self { source, certificate: None, dpop: None }
    }
}

/// A DPoP proof as it came (RFC 9449 section 4.1), and the request that it must have been made for.
#[derive(Clone, Copy)]
pub struct PresentedProof<'a> {
    /// The value of the `DPoP` header.
    pub proof: &'a str,
    /// The method of the request (`htm`).
    pub method: &'a str,
    /// The URL of the request as the realm publishes it (`htu`): made from the issuer, never from
    /// a header.
    pub uri: &'a str,
}

impl fmt::Debug for PresentedProof<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PresentedProof")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

/// A token request of the client-credentials grant (RFC 6749 section 4.4), read from the wire.
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
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
    /// With an assertion (RFC 7521 section 4.2).
    Assertion(AssertionCredentials<'a>),
    /// It names itself and nothing more; a certificate may prove it (RFC 8705 section 2).
    Named(&'a str),
}

/// A client assertion, as presented.
#[derive(Clone, Copy)]
pub struct AssertionCredentials<'a> {
    /// The client identifier beside it, which need not be there.
    pub client_id: Option<&'a str>,
    /// Its type (`client_assertion_type`), whether known or not.
    pub assertion_type: &'a str,
    /// The assertion.
    pub assertion: &'a str,
}

impl AssertionCredentials<'_> {
    /// The one type that there is: a JWT (RFC 7523 section 2.2).
    pub const JWT_BEARER: &'static str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
}

impl fmt::Debug for AssertionCredentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AssertionCredentials")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
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
    /// An assertion with an HMAC by the client's secret (RFC 7523).
    ClientSecretJwt,
    /// An assertion signed by the client's key (RFC 7523).
    PrivateKeyJwt,
    /// A certificate that a certification authority has given the client (RFC 8705 section 2.1).
    TlsClientAuth,
    /// A certificate with the client's key (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth,
}

impl AuthenticationMethod {
    /// Every method.
    pub const ALL: &'static [Self] = &[
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::ClientSecretJwt,
        Self::PrivateKeyJwt,
        Self::TlsClientAuth,
        Self::SelfSignedTlsClientAuth,
    ];

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }

    /// Whether it proves that the client holds a private key: what FAPI 2.0 allows (FAPI 2.0
    /// Security Profile section 5.3.2.1).
    pub const fn proves_possession(self) -> bool {
        matches!(self, Self::PrivateKeyJwt | Self::TlsClientAuth | Self::SelfSignedTlsClientAuth)
    }

    /// Whether a client may use it that was registered for these: for any way of presenting its secret
    /// when there are none, and for no other way otherwise.
    pub fn is_allowed_by(self, registered: &[Self]) -> bool {
        match registered {
            [] => self.shows_secret(),
            allowed => allowed.contains(&self),
        }
    }

    /// Whether the secret itself crosses the wire.
    pub const fn shows_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
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
        found.ok_or(crate::name::NameError(
            "must be client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, \
             tls_client_auth or self_signed_tls_client_auth",
        ))
    }
}
