//! Binding: to what a token is bound, by what the client must and what the request shows
//! (RFC 8705 section 3, RFC 9449 section 5).

use crate::certificate::ClientCertificate;
use crate::client::proof::Binding;
use crate::confirmation::{Confirmation, Thumbprint};
use crate::deciding::Deciding;
use crate::dpop::{Proven, prove};
use crate::error::Reason;
use crate::live::LiveClient;
use crate::realm::proving::Profile;
use crate::spent::ToSpend;

/// To what a token is bound.
pub(crate) struct Bound {
    pub(crate) confirmation: Confirmation,
    /// The proof that was shown for it. Not spent yet.
    pub(crate) spend: Option<ToSpend>,
}

/// What the token is bound to.
///
/// # Errors
/// The refusal of a request that does not show what the client's tokens must be bound to.
pub(crate) fn bind(deciding: &Deciding<'_>, client: &LiveClient) -> Result<Bound, Reason> {
    let sender = client.sender_constraint();
    let proven = proven(deciding, sender.dpop)?;
    let key = proven.as_ref().map(|proven| proven.key);
    let certificate = certificate(deciding, sender.mtls, key)?;
    let confirmation = Confirmation { key, certificate };
    if confirmation.is_bearer() && must_be_bound(deciding) {
        return Err(Reason::BindingMissing);
    }
    Ok(Bound { confirmation, spend: proven.map(|proven| proven.spend) })
}

/// What the request's proof shows. One that binds must hold: a client that meant to have a bound
/// token must not get a bearer token in silence. Where proofs do not bind they are ignored, as by
/// servers that know nothing of DPoP: the token type of the answer says so.
fn proven(deciding: &Deciding<'_>, binding: Binding) -> Result<Option<Proven>, Reason> {
    match (binding, deciding.caller.dpop) {
        (Binding::Off, _) | (Binding::Allowed, None) => Ok(None),
        (Binding::Required, None) => Err(Reason::ProofMissing),
        (Binding::Allowed | Binding::Required, Some(presented)) => {
            prove(deciding, presented, None).map(Some)
        }
    }
}

/// The certificate that the token is bound to. Where it need not be, a proof that binds already is
/// enough: a resource server that checks it may never see the certificate.
fn certificate(
    deciding: &Deciding<'_>,
    binding: Binding,
    key: Option<Thumbprint>,
) -> Result<Option<Thumbprint>, Reason> {
    let shown = deciding.caller.certificate.map(ClientCertificate::thumbprint);
    match binding {
        Binding::Required => shown.ok_or(Reason::CertificateMissing).map(Some),
        Binding::Allowed if key.is_none() => Ok(shown),
        // Better than a refusal, which is all that is left otherwise.
        Binding::Off if key.is_none() && must_be_bound(deciding) => Ok(shown),
        Binding::Allowed | Binding::Off => Ok(None),
    }
}

/// Whether the realm knows no bearer tokens (FAPI 2.0 Security Profile section 5.3.2.1).
fn must_be_bound(deciding: &Deciding<'_>) -> bool {
    deciding.realm.realm().proving.profile == Profile::Fapi2
}
