//! The story of one token, top to bottom, in the order of RFC 6749 section 4.4.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::allow::{count_client, count_source};
use crate::authenticate::{Authenticated, authenticate};
use crate::bind::{Bound, bind};
use crate::deciding::Deciding;
use crate::error::{Error, Reason, Refusal};
use crate::grant::{audiences, expiry, lifetime, narrow};
use crate::live::LiveClient;
use crate::mint::{Grant, mint, token_id};
use crate::name::NameError;
use crate::request::TokenRequest;
use crate::spent::spend;
use crate::terms::TokenShape;
use crate::token::{AccessToken, Issued, TokenDigest, TokenFormat, TokenOrigin, TokenRecord};

/// Issues a token.
///
/// # Errors
/// A refusal, or a fault; either way no token exists.
pub(crate) async fn issue(
    deciding: &Deciding<'_>,
    request: &TokenRequest<'_>,
) -> Result<Issued, Error> {
    let Deciding { engine, realm: state, terms, now, .. } = *deciding;
    let realm = state.realm();
    let shape = terms.token.as_ref().unwrap_or(&realm.token);
    engine.reach.issue(shape).await?;
    count_source(deciding)?;

    let Authenticated { live, spend: mut to_spend, .. } =
        authenticate(deciding, &request.credentials).await?;
    let client = &live;
    let refused = |reason| refuse(reason, client);
    let (scope, scope_is_as_asked) = narrow(realm, client, request.scope).map_err(refused)?;
    let audiences = audiences(realm, terms, client, &request.audiences).map_err(refused)?;
    let Bound { confirmation, spend: of_proof } = bind(deciding, client).map_err(refused)?;
    to_spend.extend(of_proof);
    let allowances = count_client(deciding, &live)?;

    let issued_at = now.whole_second();
    let expires_at = expiry(issued_at, lifetime(realm, terms, client));
    let id = token_id(now, &engine.parts.random);
    let grant = Grant {
        realm,
        client,
        scope: &scope,
        audiences: &audiences,
        confirmation,
        id: &id,
        issued_at,
        expires_at,
    };
    let token = mint(shape, &grant, state, &engine.parts.random)?;
    let is_stored = matches!(shape, TokenShape::Stored(_));
    if is_stored || !to_spend.is_empty() {
        // Who waits for the store waits on the heap, so that nobody else carries the room for it.
        let keeping = Box::pin(async {
            spend(deciding, &live, &to_spend).await?;
            if is_stored {
                // Durable before the answer leaves: a crash loses no token that a client has.
                let record = record(&grant, &token, TokenFormat::Stored, TokenOrigin::Endpoint)?;
                engine.keep(engine.parts.store.keep_token(record, None)).await?;
            }
            Ok::<_, Error>(())
        });
        keeping.await?;
    }
    state.memory.counts.issued.count(shape.into());
    Ok(Issued {
        access_token: AccessToken::new(token),
        client: Arc::clone(&live),
        confirmation,
        issued_at,
        expires_at,
        scope,
        scope_is_as_asked,
        allowances,
    })
}

pub(crate) fn refuse(reason: Reason, client: &LiveClient) -> Error {
    let mut refusal = Refusal::from(reason);
    refusal.client_id = Some(client.id.clone());
    Error::from(refusal)
}

/// What is kept of a token.
pub(crate) fn record(
    grant: &Grant<'_>,
    token: &str,
    format: TokenFormat,
    origin: TokenOrigin,
) -> Result<TokenRecord, crate::error::Fault> {
    let not_a_subject =
        |_: NameError| crate::error::Fault::Impossible("a client's identifier is a subject");
    Ok(TokenRecord {
        realm: grant.realm.name.clone(),
        id: grant.id.clone(),
        digest: digest_of_token(token, format),
        format,
        origin,
        client_id: grant.client.id.clone(),
        subject: grant.client.subject().parse().map_err(not_a_subject)?,
        scope: grant.scope.clone(),
        // All have been names before, but an issuer that is too long for one; then nobody is named.
        audiences: grant.audiences.iter().filter_map(|audience| audience.parse().ok()).collect(),
        confirmation: grant.confirmation,
        issued_at: grant.issued_at,
        expires_at: grant.expires_at,
        revoked_at: None,
    })
}

/// By what a token is known. Of a JWT only what is signed counts: whoever has it can write some
/// signatures (ECDSA's) in another way that is just as right, and would have a token that nobody
/// has revoked.
pub(crate) fn digest_of_token(token: &str, format: TokenFormat) -> TokenDigest {
    let known_by = match format {
        TokenFormat::Jwt => token.rsplit_once('.').map_or(token, |(signed, _)| signed),
        TokenFormat::Stored | TokenFormat::Sealed => token,
    };
    digest_of(known_by.as_bytes())
}

/// SHA-256.
pub(crate) fn digest_of(bytes: &[u8]) -> TokenDigest {
    let mut digested = [0; 32];
    digested.copy_from_slice(digest(&SHA256, bytes).as_ref());
    digested
}
