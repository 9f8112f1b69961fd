//! Authentication with a certificate: `tls_client_auth` and `self_signed_tls_client_auth`
//! (RFC 8705 section 2).
//!
//! That the caller holds the certificate's key was shown in TLS. For `tls_client_auth` an authority
//! that is trusted for clients must vouch for it, it must bear the one name that is registered, and
//! it must be within its validity now: a connection can outlive a certificate. For
//! `self_signed_tls_client_auth` the certificate is only a wrapping of a registered key (section
//! 2.2), so its validity, like its chain and its names, says nothing: whoever wants a key to end
//! takes it out of the registered ones.

use std::sync::Arc;

use jeton_jose::JwkSet;

use crate::certificate::{Chain, ClientCertificate};
use crate::client::proof::ClientKeys;
use crate::deciding::Deciding;
use crate::error::{Error, Reason};
use crate::grant::may_have_token;
use crate::journey::{self, Stop};
use crate::key_source::KeyLocation;
use crate::live::LiveClient;
use crate::request::AuthenticationMethod;

use super::{known, may_use, welcome};

/// Finds out whether the caller is the client that it says it is.
///
/// # Errors
/// A refusal when it did not prove it.
pub(super) async fn authenticate(
    deciding: &Deciding<'_>,
    client_id: &str,
) -> Result<(Arc<LiveClient>, AuthenticationMethod), Error> {
    let Deciding { engine, realm, caller, now, .. } = *deciding;
    let certificate = caller.certificate.ok_or(Reason::AuthenticationMissing)?;
    let found = realm.memory.clients.client(client_id);
    let turn = engine.guesses.turn(caller.source, found.as_deref(), now).await?;
    let Some(live) = &found else {
        turn.wrong();
        return Err(Reason::ClientUnknown.into());
    };
    match prove(deciding, live, certificate).await {
        Ok(method) => {
            turn.costs_nothing();
            welcome(deciding, live);
            Ok((Arc::clone(live), method))
        }
        Err(reason) => {
            turn.wrong();
            Err(known(reason, live).into())
        }
    }
}

/// Holds the certificate against what is registered, in each of the two ways that the client may use.
async fn prove(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    certificate: &ClientCertificate,
) -> Result<AuthenticationMethod, Reason> {
    use AuthenticationMethod::{SelfSignedTlsClientAuth, TlsClientAuth};
    let read = &deciding.terms.authentication;
    let may_by = |method| read.contains(&method) && live.may_authenticate_by(method);
    let mut proved = Err(Reason::AuthenticationMethod);
    if may_by(TlsClientAuth) {
        proved = by_name(deciding, live, certificate).map(|()| TlsClientAuth);
    }
    if proved.is_err() && may_by(SelfSignedTlsClientAuth) {
        proved = by_key(deciding, live, certificate).await.map(|()| SelfSignedTlsClientAuth);
    }
    let method = proved?;
    may_use(deciding, live, method)?;
    may_have_token(live, deciding.caller.source)?;
    Ok(method)
}

/// `tls_client_auth` (RFC 8705 section 2.1).
fn by_name(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    certificate: &ClientCertificate,
) -> Result<(), Reason> {
    let registered = live.proof().and_then(|proof| proof.certificate.as_ref());
    let registered = registered.ok_or(Reason::CertificateUnregistered)?;
    if !certificate.bears(registered) {
        return Err(Reason::CertificateWrong);
    }
    if !certificate.is_valid_at(deciding.now) {
        return Err(Reason::CertificateExpired);
    }
    match certificate.chain() {
        Chain::Verified => Ok(()),
        Chain::Unverified => Err(Reason::CertificateUntrusted),
    }
}

/// `self_signed_tls_client_auth` (RFC 8705 section 2.2).
async fn by_key(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    certificate: &ClientCertificate,
) -> Result<(), Reason> {
    let registered = live.proof().and_then(|proof| proof.keys.as_ref());
    let has_key = match registered.ok_or(Reason::CertificateUnregistered)? {
        ClientKeys::Jwks(keys) => are_of(live.keys(keys), certificate),
        ClientKeys::JwksUri(uri) => {
            let location = KeyLocation::Uri(uri.as_str().into());
            // A certificate names no `kid`. A name that no key has makes the source look again
            // whether the client has changed its keys, as often as it is willing to.
            let unknown = certificate.thumbprint().to_string();
            are_of(&*fetch(deciding, live, &location, None).await?, certificate)
                || are_of(&*fetch(deciding, live, &location, Some(&unknown)).await?, certificate)
        }
    };
    has_key.then_some(()).ok_or(Reason::CertificateWrong)
}

async fn fetch(
    deciding: &Deciding<'_>,
    live: &LiveClient,
    location: &KeyLocation,
    wanted: Option<&str>,
) -> Result<Arc<JwkSet>, Reason> {
    let fetching = deciding.engine.parts.key_source.key_set(location, wanted);
    let keys = journey::stop(Stop::KeySet, fetching).await;
    keys.map_err(|unavailable| {
        let (reference, client_id) = (deciding.reference, &live.id);
        tracing::warn!(%reference, %client_id, %unavailable, "a client's keys cannot be had");
        Reason::KeysUnavailable
    })
}

/// Whether the certificate's public key is one of these. A JWK that has a certificate with it
/// (`x5c`) stands for that certificate alone.
fn are_of(keys: &JwkSet, certificate: &ClientCertificate) -> bool {
    let thumbprint = certificate.thumbprint();
    keys.keys().iter().any(|key| {
        key.certificate().is_none_or(|registered| registered == thumbprint.as_bytes())
            && key.to_public_der().is_ok_and(|der| der == certificate.public_key())
    })
}
