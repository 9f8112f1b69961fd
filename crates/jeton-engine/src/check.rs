//! Checking: does a token hold right now, and what does it say?
//!
//! What cannot change is found out once and remembered: the signature, the claims, the row. What
//! can change is looked at every time: expiry, revocation, the client, the key.

use std::sync::Arc;

use jeton_jose::jws::Unverified;
use jeton_jose::jwt::Claims;

use crate::client::ClientStatus;
use crate::clock::Time;
use crate::confirmation::{CNF, Confirmation};
use crate::engine::Engine;
use crate::error::Fault;
use crate::issue::{digest_of, digest_of_token};
use crate::live::{KeyMark, LiveClient, Memory, RealmState};
use crate::name::ClientId;
use crate::realm::proving::Profile;
use crate::scope::Scope;
use crate::sealed;
use crate::token::{TokenDigest, TokenFormat, TokenRecord};

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token that holds right now.
#[derive(Clone, Debug)]
pub struct ActiveToken {
    /// The client that it was issued to.
    pub client: Arc<LiveClient>,
    /// What it says.
    pub says: Arc<Says>,
}

impl ActiveToken {
    /// Whether the realm's profile lets anybody use it: `fapi2` knows no bearer tokens (FAPI 2.0
    /// Security Profile section 5.3.2.1), also not those from before the realm had the profile. They
    /// can be revoked all the same.
    pub(crate) fn may_be_used(&self, realm: &RealmState) -> bool {
        realm.realm().proving.profile != Profile::Fapi2 || !self.says.confirmation.is_bearer()
    }
}

/// What a token says, found out once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// The client that it was issued to.
    pub client_id: ClientId,
    /// What it is about.
    pub subject: Box<str>,
    /// What it may be used for.
    pub scope: Scope,
    /// Who it is for.
    pub audiences: Vec<Box<str>>,
    /// What it is bound to.
    pub confirmation: Confirmation,
    /// When it was issued.
    pub issued_at: Time,
    /// From when on it holds, where it says so.
    pub not_before: Option<Time>,
    /// When it expires; `None`: never.
    pub expires_at: Option<Time>,
    /// Its identifier, where it has one.
    pub id: Option<Box<str>>,
    /// How it looks.
    pub format: TokenFormat,
    /// What it is revoked by.
    pub(crate) digest: TokenDigest,
    /// The key that signed it, where one did.
    key: Option<KeyMark>,
}

impl Engine {
    /// Whether a token of this realm holds right now, and what it says.
    ///
    /// # Errors
    /// A fault when that could not be found out.
    pub async fn check(
        &self,
        state: &RealmState,
        token: &[u8],
    ) -> Result<Option<ActiveToken>, Fault> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        // Of the whole string: a signature that nobody has checked must not find what was said
        // of the same token with the right one.
        let whole = digest_of(token);
        let memory = &state.memory;
        let says = match memory.said.get(&whole) {
            Some(says) => {
                memory.counts.checked.hit();
                says
            }
            None => match self.read_anew(state, token).await? {
                Some(says) => {
                    let says = Arc::new(says);
                    memory.said.insert(whole, Arc::clone(&says));
                    says
                }
                None => return Ok(None),
            },
        };
        let client = holds(memory, &says, self.parts.clock.now());
        Ok(client.map(|client| ActiveToken { client, says }))
    }

    /// Finds out what a token says that was never seen before.
    async fn read_anew(&self, state: &RealmState, token: &[u8]) -> Result<Option<Says>, Fault> {
        state.memory.counts.checked.miss();
        let Ok(token) = std::str::from_utf8(token) else { return Ok(None) };
        if token.starts_with(sealed::PREFIX)
            && let Some(claims) = state.memory.sealing.open(token)
        {
            let digest = digest_of_token(token, TokenFormat::Sealed);
            return Ok(read_claims(state, &claims, TokenFormat::Sealed, (digest, None)));
        }
        // A stored token may look like one of these, but never has a JWT's header.
        if let Ok(unverified) = Unverified::parse(token) {
            return Ok(read_jwt(state, token, &unverified));
        }
        let digest = digest_of_token(token, TokenFormat::Stored);
        let record = self.ask(self.parts.store.token(&state.realm().name, &digest)).await?;
        let holds = |record: &TokenRecord| {
            record.format == TokenFormat::Stored && record.revoked_at.is_none()
        };
        Ok(record.filter(holds).map(read_record))
    }
}

/// The token's client, if the token still holds.
fn holds(memory: &Memory, says: &Says, now: Time) -> Option<Arc<LiveClient>> {
    if says.expires_at.is_some_and(|end| end <= now) || memory.is_revoked(&says.digest) {
        return None;
    }
    if says.not_before.is_some_and(|beginning| beginning > now) {
        return None;
    }
    // A key that was taken away takes its tokens with it.
    if says.key.as_ref().is_some_and(|key| !memory.keys.load().has(key)) {
        return None;
    }
    let client = memory.clients.client(says.client_id.as_str())?;
    // A token of an earlier client of the same identifier is not this client's.
    let theirs = client.created_at.whole_second() <= says.issued_at;
    (client.status() == ClientStatus::Enabled && theirs).then_some(client)
}

/// A JWT that one of the realm's keys signed. Only types that access tokens have: other JWTs that
/// the realm signs are no access tokens (RFC 8725 section 3.11).
fn read_jwt(state: &RealmState, token: &str, unverified: &Unverified<'_>) -> Option<Says> {
    let header = unverified.header();
    let typed = header.token_type.is_some();
    if typed && !header.is_type("at+jwt") && !header.is_type("JWT") {
        return None;
    }
    let keys = state.memory.keys.load();
    let mut candidates = keys.candidates(header.key_id.as_deref(), header.algorithm);
    let key = candidates.find(|key| unverified.check(&key.verifying).is_ok())?;
    let known_by = (digest_of_token(token, TokenFormat::Jwt), Some(key.mark));
    // Verified by now: the key signed just these bytes.
    read_claims(state, unverified.danger_unverified_payload(), TokenFormat::Jwt, known_by)
}

fn read_claims(
    state: &RealmState,
    claims: &[u8],
    format: TokenFormat,
    (digest, key): (TokenDigest, Option<KeyMark>),
) -> Option<Says> {
    let claims = Claims::parse(claims).ok()?;
    let issuer = claims.text("iss").ok()?;
    if issuer.is_some_and(|issuer| issuer != state.realm().issuer) {
        return None;
    }
    let time = |name| claims.time(name).map(|time| time.map(seconds));
    let subject = claims.text("sub").ok()?;
    let client_id = match claims.text("client_id").ok()? {
        Some(client_id) => client_id.parse().ok()?,
        // A dialect's JWT may name its subject only.
        None => state.memory.clients.of_subject(subject?)?,
    };
    Some(Says {
        subject: subject.unwrap_or(client_id.as_str()).into(),
        client_id,
        scope: claims.text("scope").ok()?.unwrap_or_default().parse().ok()?,
        audiences: claims.audiences().ok()?.into_iter().map(Into::into).collect(),
        confirmation: Confirmation::from_claim(claims.value(CNF)).ok()?,
        issued_at: time("iat").ok()??,
        not_before: time("nbf").ok()?,
        expires_at: time("exp").ok()?,
        id: claims.text("jti").ok()?.map(Into::into),
        format,
        digest,
        key,
    })
}

fn seconds(seconds: u64) -> Time {
    Time::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn read_record(record: TokenRecord) -> Says {
    Says {
        client_id: record.client_id,
        subject: record.subject.as_str().into(),
        scope: record.scope,
        audiences: record.audiences.iter().map(|audience| audience.as_str().into()).collect(),
        confirmation: record.confirmation,
        issued_at: record.issued_at,
        not_before: None,
        expires_at: record.expires_at,
        id: Some(record.id.as_str().into()),
        format: record.format,
        digest: record.digest,
        key: None,
    }
}
