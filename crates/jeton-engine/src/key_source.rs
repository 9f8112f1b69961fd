//! Where other parties' public keys come from: clients' `jwks_uri` and trusted issuers.

use std::sync::Arc;

use async_trait::async_trait;
use jeton_jose::JwkSet;

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyLocation {
    /// At this URL (`jwks_uri`, RFC 7591 section 2).
    Uri(Box<str>),
    /// Where the metadata of the issuer with this URL says (RFC 8414 section 3, or OpenID Connect
    /// Discovery). The metadata must be that issuer's own.
    Issuer(Box<str>),
}

/// Fetches key sets, and remembers them for a while.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// The key set at `location`. When `wanted` names a key that the remembered set lacks, it is
    /// looked at again, as often as the source's own limits allow; a set without it is no error.
    ///
    /// # Errors
    /// Why there is no key set that may be used now.
    async fn key_set(
        &self,
        location: &KeyLocation,
        wanted: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable>;
}

/// Why a key set cannot be had; for operators, without anything that the other side sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeysUnavailable(pub Box<str>);

/// A source that fetches nothing: for commands that only manage, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeySource;

#[async_trait]
impl KeySource for NoKeySource {
    async fn key_set(
        &self,
        _: &KeyLocation,
        _: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Err(KeysUnavailable("nothing is fetched here".into()))
    }
}
