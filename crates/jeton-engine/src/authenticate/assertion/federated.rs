//! Tokens of another issuer that stand for a client: a workload's identity from a cluster, a CI job
//! or another cloud, with no secret anywhere. The issuer must be trusted by the realm, and a client
//! must have been registered for just this subject and these claims.
//!
//! `jti`, where there is one, is spent as it is in a client's own assertion. Some issuers' tokens are
//! not made for one request: those of a Kubernetes service account are in a file for an hour, and every
//! process beside it uses the same. Configuration says so of such an issuer; its tokens, and those
//! without a `jti`, may be used until they expire, which is as long as they can be stolen.

use std::sync::Arc;
use std::time::Duration;

use jeton_jose::JwkSet;
use smallvec::SmallVec;

use super::times::{self, Bounds};
use super::{Presented, Proved, signature};
use crate::authenticate::known;
use crate::client::proof::Federated;
use crate::deciding::Deciding;
use crate::error::{Reason, Refusal};
use crate::live::LiveClient;
use crate::name::Subject;
use crate::realm::proving::{Profile, TrustedIssuer, TrustedKeys, Uses};
use crate::request::AuthenticationMethod;
use crate::spent::ToSpend;

/// The longest that a token may live. Its issuer decides, not the client, so this only keeps out
/// what was never meant to be short-lived.
const LIFETIME_MAX: Duration = Duration::from_secs(86_400);

/// A trusted issuer, and its keys where configuration has them.
pub(super) struct Issuer<'a> {
    trusted: &'a TrustedIssuer,
    keys: Option<&'a JwkSet>,
}

impl<'a> Issuer<'a> {
    /// The trusted issuer of this `iss`.
    pub(super) fn find(deciding: &Deciding<'a>, issuer: &str) -> Option<Self> {
        let (trusted, keys) = deciding.realm.trusted(issuer)?;
        Some(Self { trusted, keys })
    }
}

/// The clients that the token may stand for: the one that `client_id` names, or those that were
/// registered for its subject.
pub(super) fn clients(
    deciding: &Deciding<'_>,
    issuer: &Issuer<'_>,
    presented: &Presented<'_>,
) -> Result<SmallVec<[Arc<LiveClient>; 1]>, Reason> {
    let realm = deciding.realm.realm();
    // FAPI 2.0 Security Profile section 5.3.2.1: private_key_jwt or mTLS, by the client itself.
    if realm.proving.profile == Profile::Fapi2 {
        return Err(Reason::AuthenticationProfile);
    }
    let clients = &deciding.realm.memory.clients;
    if let Some(id) = presented.client_id {
        return Ok(clients.client(id).into_iter().collect());
    }
    let subject = presented.text("sub").and_then(|subject| subject.parse::<Subject>().ok());
    let of_subject = |subject| clients.federated(&issuer.trusted.name, &subject);
    Ok(subject.map(of_subject).unwrap_or_default())
}

/// Checks the token, and finds the client that it stands for.
pub(super) async fn prove(
    deciding: &Deciding<'_>,
    issuer: &Issuer<'_>,
    clients: &[Arc<LiveClient>],
    presented: &Presented<'_>,
) -> Result<Proved, Refusal> {
    match (issuer.keys, &issuer.trusted.keys) {
        (Some(keys), _) => signature::check(deciding, presented, keys, None)?,
        (None, TrustedKeys::At(location)) => {
            let keys = signature::fetch(deciding, location, presented).await?;
            signature::check(deciding, presented, &keys, None)?;
        }
        (None, TrustedKeys::These(_)) => return Err(Reason::AssertionKeysNone.into()),
    }
    let realm = deciding.realm.realm();
    let audience = issuer.trusted.audience.as_ref().unwrap_or(&realm.issuer);
    // Others may stand beside it: the token was not made for us alone.
    let audiences = presented.claims.audiences().unwrap_or_default();
    if !audiences.iter().any(|one| one == audience) {
        return Err(Reason::AssertionAudience.into());
    }
    let bounds = Bounds { lifetime_max: LIFETIME_MAX, leeway: realm.proving.assertion_leeway() };
    let until = times::check(&presented.claims, deciding.now, bounds)?;
    let identifier = presented.identifier()?;

    let live = choose(issuer, clients, presented)?;
    let identifier = identifier.filter(|_| issuer.trusted.uses == Uses::Once);
    let spend = identifier.map(|identifier| {
        let id = live.id.as_str();
        ToSpend::new("federated token", id, identifier, until, Reason::AssertionReplayed)
    });
    Ok(Proved {
        live: Arc::clone(live),
        method: AuthenticationMethod::PrivateKeyJwt,
        secret: None,
        spend: spend.into_iter().collect(),
    })
}

/// The one client that the token fits.
fn choose<'a>(
    issuer: &Issuer<'_>,
    clients: &'a [Arc<LiveClient>],
    presented: &Presented<'_>,
) -> Result<&'a Arc<LiveClient>, Refusal> {
    let mut why_not = Refusal::from(match presented.client_id {
        Some(_) if clients.is_empty() => Reason::ClientUnknown,
        _ => Reason::FederatedNobody,
    });
    let mut chosen = None;
    for live in clients {
        match fits(issuer, live, presented) {
            Ok(()) if chosen.is_some() => return Err(Reason::FederatedSeveral.into()),
            Ok(()) => chosen = Some(live),
            Err(reason) => why_not = known(reason, live),
        }
    }
    chosen.ok_or(why_not)
}

/// Whether the token says what the client demands: the subject, and every claim exactly. A claim
/// that is an array or an object is only equal as a whole; that an array *contains* a value is not
/// enough, because who may add to an array need not be who may say all of it.
fn fits(issuer: &Issuer<'_>, live: &LiveClient, presented: &Presented<'_>) -> Result<(), Reason> {
    let federated = live.proof().and_then(|proof| proof.federated.as_ref());
    let Some(Federated { issuer: name, subject, claims }) = federated else {
        return Err(Reason::FederatedNobody);
    };
    if *name != issuer.trusted.name || presented.text("sub") != Some(subject.as_str()) {
        return Err(Reason::FederatedNobody);
    }
    let equal = |(name, value): (&String, _)| presented.claims.value(name) == Some(value);
    if claims.iter().all(equal) { Ok(()) } else { Err(Reason::FederatedClaims) }
}
