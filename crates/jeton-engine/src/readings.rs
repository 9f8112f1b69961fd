//! Readings: what an operator may want to see of an engine, as plain numbers, taken when they are asked for.
//! No client is named in them.

use std::time::Duration;

use jeton_jose::Algorithm;

use crate::client::ClientStatus;
use crate::clock::Time;
pub use crate::counts::{LimitOf, Minted};
use crate::engine::Engine;
use crate::error::{FaultKind, Reason};
use crate::key::KeyStatus;
use crate::live::{LiveClient, LiveSecret, RealmState};
use crate::name::RealmName;
use crate::request::AuthenticationMethod;

/// What there is to see of an engine.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Its realms, by name.
    pub realms: Vec<RealmReadings>,
    /// Supplied secrets that were found right lately.
    pub remembered: CacheReadings,
    /// Slow hashes.
    pub slow_hashes: SlowHashReadings,
    /// Attempts that had to wait for their turn after wrong guesses.
    pub guess_waits: u64,
    /// Attempts that wait for their turn right now.
    pub guesses_waiting: usize,
    /// Sources whose wrong guesses were forgotten early, for want of room.
    pub guesses_forgotten: u64,
    /// Events on their way to log and store.
    pub events: QueueReadings,
    /// Last uses of secrets on their way to the store.
    pub secret_uses: QueueReadings,
    /// How long ago memory last followed all changes in the store.
    pub behind: Duration,
}

/// What there is to see of one realm.
#[derive(Clone, Debug)]
pub struct RealmReadings {
    /// Its name.
    pub name: RealmName,
    /// Issued tokens.
    pub issued: Vec<(Minted, u64)>,
    /// Refused requests of any kind.
    pub refused: Vec<(Reason, u64)>,
    /// Requests of any kind in which we broke.
    pub failed: Vec<(FaultKind, u64)>,
    /// Clients that proved who they are.
    pub authenticated: Vec<(AuthenticationMethod, u64)>,
    /// Requests that were one too many.
    pub limited: Vec<(LimitOf, u64)>,
    /// Sources whose requests were forgotten early, for want of room.
    pub sources_forgotten: u64,
    /// Assertions that were accepted though made for something else than the issuer alone.
    pub also_for: u64,
    /// Times that a secret was right, and it might be used.
    pub secret_uses: u64,
    /// What tokens say that were seen before.
    pub checked: CacheReadings,
    /// Revoked tokens that have not expired.
    pub revoked: usize,
    /// Its clients and their secrets.
    pub clients: ClientReadings,
    /// Its signing keys.
    pub keys: Vec<KeyReadings>,
}

/// How well something is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheReadings {
    /// How often it was there.
    pub hits: u64,
    /// How often it was not.
    pub misses: u64,
    /// How much is there now.
    pub entries: usize,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueReadings {
    /// What waits in it.
    pub waiting: usize,
    /// How much may.
    pub most: usize,
    /// What did not fit and was lost.
    pub lost: u64,
}

/// What the slow hashes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowHashReadings {
    /// How many were run.
    pub done: u64,
    /// How many run now.
    pub running: usize,
    /// Requests that wait for one.
    pub waiting: usize,
}

/// A realm's clients, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientReadings {
    /// Those that may have tokens.
    pub enabled: usize,
    /// Those that may not.
    pub disabled: usize,
    /// Those of either kind that are locked after wrong guesses.
    pub locked: usize,
    /// Secrets of enabled clients by when they end.
    pub secrets: Endings,
    /// Enabled clients by when the last of their secrets ends; those that never had one do not count.
    pub last_secrets: Endings,
}

/// How many end when; each also counts what ends sooner, but for what has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// They have ended.
    pub ended: usize,
    /// Within a day.
    pub within_a_day: usize,
    /// Within seven days.
    pub within_a_week: usize,
    /// Within thirty days.
    pub within_a_month: usize,
}

/// A signing key, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyReadings {
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub status: KeyStatus,
    /// When it began to sign.
    pub signing_since: Option<Time>,
    /// When its successor takes over, where jeton sees to that.
    pub rotation_due: Option<Time>,
}

impl Engine {
    /// What there is to see right now. Looks at every client of every realm, so it takes some
    /// milliseconds where there are very many: ask from a thread that nobody waits for.
    pub fn readings(&self) -> Readings {
        let now = self.parts.clock.now();
        let realms = self.realms.load();
        let mut realms: Vec<_> = realms.values().map(|state| state.readings(now)).collect();
        realms.sort_by(|one, other| one.name.cmp(&other.name));
        Readings {
            realms,
            remembered: self.remembered.readings(),
            slow_hashes: self.slow_hash.readings(),
            guess_waits: self.guesses.waits.read(),
            guesses_waiting: self.guesses.waiting(),
            guesses_forgotten: self.guesses.forgotten(),
            events: self.recorder.events_readings(),
            secret_uses: self.recorder.uses_readings(),
            behind: self.reach.behind(),
        }
    }
}

impl RealmState {
    fn readings(&self, now: Time) -> RealmReadings {
        let counts = &self.memory.counts;
        let (hits, misses) = counts.checked.read();
        let mut clients = ClientReadings::default();
        self.memory.clients.each(|client| clients.take(client, now));
        RealmReadings {
            name: self.realm.name.clone(),
            issued: counts.issued.read(),
            refused: counts.refused.read(),
            failed: counts.failed.read(),
            authenticated: counts.authenticated.read(),
            limited: counts.limited.read(),
            sources_forgotten: self.memory.source_limits.forgotten(),
            also_for: counts.also_for.read(),
            secret_uses: counts.secret_uses.read(),
            checked: CacheReadings { hits, misses, entries: self.memory.said.len() },
            revoked: self.memory.revoked(),
            clients,
            keys: self.memory.keys.load().readings(&self.realm.rotation),
        }
    }
}

impl ClientReadings {
    fn take(&mut self, client: &LiveClient, now: Time) {
        self.locked += usize::from(client.lock().holds(now));
        if client.status() == ClientStatus::Disabled {
            self.disabled += 1;
            return;
        }
        self.enabled += 1;
        for secret in client.secrets.iter() {
            self.secrets.take(secret.expires_at(), now);
        }
        // `None` is for ever, and later than any end.
        let end = |end: Option<Time>| (end.is_none(), end);
        let ends = client.secrets.iter().map(LiveSecret::expires_at);
        if let Some(last) = ends.max_by_key(|one| end(*one)) {
            self.last_secrets.take(last, now);
        }
    }
}

impl Endings {
    const DAY: Duration = Duration::from_secs(86_400);

    fn take(&mut self, end: Option<Time>, now: Time) {
        let Some(end) = end else { return };
        if end <= now {
            self.ended += 1;
            return;
        }
        let within = |days: u32| usize::from(end.since(now) <= Self::DAY * days);
        self.within_a_day += within(1);
        self.within_a_week += within(7);
        self.within_a_month += within(30);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_sooner_counts_with_what_ends_later_and_what_has_ended_by_itself() {
        let now = Time::from_seconds(1_000_000);
        let days = |days: u64| now.plus(Duration::from_secs(days * 86_400));
        let mut endings = Endings::default();
        for end in [now, days(1), days(7), days(30)] {
            endings.take(Some(end), now);
            endings.take(Some(end.plus(Duration::from_millis(1))), now);
        }
        endings.take(None, now);
        let expected = Endings { ended: 1, within_a_day: 2, within_a_week: 4, within_a_month: 6 };
        assert_eq!(endings, expected);
    }
}
