//! Binding: to what a token is bound, by what the client must and what the request shows
//! (RFC 8705 section 3, RFC 9449 section 5).

use crate::client::Client;
use crate::client::proof::Binding;
use crate::confirmation::Confirmation;
use crate::deciding::Deciding;
use crate::error::Reason;

/// What the token is bound to.
///
/// # Errors
/// The refusal of a request that does not show what the client's tokens must be bound to.
pub(crate) fn bind(_: Deciding<'_>, client: &Client) -> Result<Confirmation, Reason> {
    let sender = client.sender_constraint();
    if sender.dpop == Binding::Required {
        return Err(Reason::ProofMissing);
    }
    if sender.mtls == Binding::Required {
        return Err(Reason::CertificateMissing);
    }
    Ok(Confirmation::default())
}
