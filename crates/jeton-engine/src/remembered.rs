//! Remembers in memory, for a short while, which supplied secrets were right, so that the second
//! request costs a microsecond and not a slow hash.
//!
//! What is remembered is an HMAC under a key that this process made up: useless to anybody who
//! reads the memory's dump without the key, and dropped when the client changes because the
//! client's revision is part of it. What it was compared with is remembered too: a client that
//! was deleted and made again has the same revisions, and other secrets.

use std::time::Duration;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

use crate::client::SecretDigest;
use crate::clock::{Random, Time};
use crate::counts::Lookups;
use crate::engine::Settings;
use crate::live::LiveClient;
use crate::name::RealmName;
use crate::readings::CacheReadings;

/// Whose secret it is.
#[derive(Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) realm: &'a RealmName,
    pub(crate) client: &'a LiveClient,
}

/// Right secrets, remembered.
pub(crate) struct Remembered {
    key: hmac::Key,
    right: Cache<[u8; 32], Right>,
    lasting: Duration,
    lookups: Lookups,
}

#[derive(Clone)]
struct Right {
    kept: SecretDigest,
    until: Time,
}

impl Remembered {
    pub(crate) fn new(settings: &Settings, random: &Random) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>());
        Self {
            key,
            right: Cache::new(settings.remembered_max),
            lasting: settings.remembered_for,
            lookups: Lookups::default(),
        }
    }

    /// The place among the client's secrets of the one that `presented` was found to be.
    pub(crate) fn recall(&self, whose: Whose<'_>, presented: &str, now: Time) -> Option<usize> {
        let place = self.look_up(whose, presented, now);
        match place {
            Some(_) => self.lookups.hit(),
            None => self.lookups.miss(),
        }
        place
    }

    /// How well it remembers.
    pub(crate) fn readings(&self) -> CacheReadings {
        let (hits, misses) = self.lookups.read();
        CacheReadings { hits, misses, entries: self.right.len() }
    }

    fn look_up(&self, whose: Whose<'_>, presented: &str, now: Time) -> Option<usize> {
        let digest = self.digest(whose, presented);
        let right = self.right.get(&digest)?;
        let place = whose.client.secrets.iter().position(|secret| secret.digest == right.kept);
        // A clock that was set back must not make it last longer.
        let lasts = now < right.until && right.until.since(now) <= self.lasting;
        if lasts && place.is_some() {
            return place;
        }
        self.right.remove(&digest);
        None
    }

    /// Remembers that `presented` is what the client keeps as `kept`.
    pub(crate) fn remember(
        &self,
        whose: Whose<'_>,
        presented: &str,
        kept: &SecretDigest,
        now: Time,
    ) {
        let right = Right { kept: kept.clone(), until: now.plus(self.lasting) };
        self.right.insert(self.digest(whose, presented), right);
    }

    fn digest(&self, whose: Whose<'_>, presented: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // Names have no control characters, so a zero byte ends each of them unmistakably.
        for part in [whose.realm.as_str(), whose.client.id.as_str()] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.update(&whose.client.revision.to_le_bytes());
        context.update(presented.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}
