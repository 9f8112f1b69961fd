//! Rotation: a realm's signing keys go from `upcoming` over `active` to `retired`, and then away.
//!
//! An upcoming key is published long enough ahead that every cached JWK set has it before it signs;
//! a retired one stays until the last token that it signed has expired. The store decides each
//! step, so that of many nodes one takes it.

use std::time::Duration;

use jeton_jose::Algorithm;

use crate::clock::Time;
use crate::engine::{Engine, Parts};
use crate::error::Fault;
use crate::key::{KeyRecord, KeyStatus};
use crate::live::RealmState;
use crate::manage::Manage;
use crate::name::TokenId;
use crate::store::TokenFilter;
use crate::terms::Lifetime;
use crate::token::{TokenFormat, TokenRecord};

/// When a realm's keys are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How long a key signs; `None`: until an operator rotates it.
    pub every: Option<Duration>,
    /// How long a key is published before it signs: longer than any cache keeps the JWK set.
    pub publish_ahead: Duration,
}

impl Rotation {
    /// How long the JWK set may be cached, in seconds (`Cache-Control: max-age`).
    pub const CACHE_SECONDS: u64 = 300;
    /// The shortest time that a key is published ahead: the cache time twice, for caches that
    /// serve what they have a little longer.
    pub const PUBLISH_AHEAD_MIN: Duration = Duration::from_secs(2 * Self::CACHE_SECONDS);
}

impl Rotation {
    /// When the successor of a key takes over that has signed since `signing_since`; `None`: when an operator
    /// says so. A shared secret is not ours to rotate: whoever else has it must have the next one first.
    pub fn due(&self, algorithm: Algorithm, signing_since: Time) -> Option<Time> {
        let every = self.every.filter(|_| algorithm != Algorithm::Hs256)?;
        Some(signing_since.plus(every.max(self.publish_ahead)))
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(90 * 86_400)),
            publish_ahead: Duration::from_secs(86_400),
        }
    }
}

/// How much longer than the last token a retired key stays: clocks differ.
const MARGIN: Duration = Duration::from_secs(600);

impl Engine {
    /// Takes every step that is due in any realm.
    ///
    /// # Errors
    /// A fault of the store; what was not done is done the next time.
    pub async fn rotate_keys(&self) -> Result<(), Fault> {
        for state in self.realms.load().values() {
            self.rotate_realm(state).await?;
        }
        Ok(())
    }

    async fn rotate_realm(&self, state: &RealmState) -> Result<(), Fault> {
        let Parts { store, clock, .. } = &self.parts;
        let now = clock.now();
        let manage = Manage::new(self.parts.clone());
        let rotation = state.realm().rotation;
        for record in store.keys(&state.realm().name).await? {
            match record.status {
                KeyStatus::Upcoming if now.since(record.created_at) >= rotation.publish_ahead => {
                    manage.activate_upcoming(&record).await?;
                }
                KeyStatus::Active if is_due(&rotation, &record, now) => {
                    manage.create_successor(&record).await?;
                }
                KeyStatus::Retired if is_over(&record, longest_life(state), now) => {
                    if !self.signed_by_hand(&record, now).await? {
                        manage.remove_retired(&record).await?;
                    }
                }
                KeyStatus::Upcoming | KeyStatus::Active | KeyStatus::Retired => {}
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Whether a token that was made by hand, for a life of its own, may have been signed by a
    /// retired key and still holds. The newest are looked at first, and few are made by hand.
    async fn signed_by_hand(&self, record: &KeyRecord, now: Time) -> Result<bool, Fault> {
        const PAGE: u32 = 1_000;
        let needs = |token: &TokenRecord| {
            token.format == TokenFormat::Jwt
                && token.revoked_at.is_none()
                && token.expires_at.is_none_or(|end| now < end.plus(MARGIN))
                && record.retired_at.is_none_or(|end| token.issued_at <= end.plus(MARGIN))
        };
        let filter = TokenFilter { by_hand_only: true, ..TokenFilter::default() };
        let mut before: Option<TokenId> = None;
        loop {
            let store = &self.parts.store;
            let page = store.tokens(&record.realm, &filter, before.as_ref(), PAGE).await?;
            if page.iter().any(needs) {
                return Ok(true);
            }
            if page.len() < PAGE as usize {
                return Ok(false);
            }
            before = page.last().map(|token| token.id.clone());
        }
    }
}

/// Whether the successor of an active key should be published now.
fn is_due(rotation: &Rotation, record: &KeyRecord, now: Time) -> bool {
    let due = rotation.due(record.algorithm, record.signing_since());
    due.is_some_and(|due| due.minus(rotation.publish_ahead) <= now)
}

/// Whether the last token that a retired key signed has expired.
fn is_over(record: &KeyRecord, longest: Option<Duration>, now: Time) -> bool {
    let (Some(retired_at), Some(longest)) = (record.retired_at, longest) else { return false };
    now.since(retired_at) > longest.saturating_add(MARGIN)
}

/// The longest life of any of the realm's tokens; `None`: for ever.
fn longest_life(state: &RealmState) -> Option<Duration> {
    let mut longest = duration(state.realm().lifetime_longest);
    state.memory.clients.each(|client| {
        if let Some(lifetime) = client.lifetime() {
            let lifetime = state.realm().cut(lifetime);
            longest = longest.zip(duration(lifetime)).map(|(one, other)| one.max(other));
        }
    });
    longest
}

fn duration(lifetime: Lifetime) -> Option<Duration> {
    match lifetime {
        Lifetime::Seconds(seconds) => Some(Duration::from_secs(u64::from(seconds.get()))),
        Lifetime::Never => None,
    }
}
