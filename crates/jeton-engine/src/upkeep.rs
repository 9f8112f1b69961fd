//! What goes on beside requests: following the store, writing down what may be written late,
//! removing what has expired.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::engine::{Engine, Parts};
use crate::error::Fault;
use crate::forgetting::Forgetting;
use crate::live::KEPT_LONGER;
use crate::reach::{FOLLOWED_WITHIN, Way};
use crate::store::{Change, Changed, Horizon, Revision};

/// So often that what comes meanwhile has room in the queue, however many clients a core answers.
const USES_EVERY: Duration = Duration::from_secs(2);
const REMOVAL_EVERY: Duration = Duration::from_secs(10);
const ROTATION_EVERY: Duration = Duration::from_secs(10);
const MOVING_EVERY: Duration = Duration::from_secs(3600);
const REMOVAL_STEP: u32 = 500;
const RETRY_AFTER: Duration = Duration::from_millis(200);

impl Engine {
    /// Follows the store, writes what may be written late, removes what has expired. Ends, having
    /// written everything that waits, when `stop` does.
    pub async fn upkeep(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let stopped = Notify::new();
        let beside = async {
            tokio::select! {
                () = stop => {}
                () = self.follow() => {}
                () = self.probe() => {}
                () = self.remove_expired() => {}
                () = self.follow_rotation() => {}
                () = self.tell_of_moving_clients() => {}
            }
            stopped.notify_one();
        };
        tokio::join!(beside, self.write_down(&stopped));
    }

    /// Takes over what anybody changes in the store, well within a second.
    async fn follow(&self) {
        loop {
            match self.take_changes_or_tell().await {
                Ok(()) => self.reach.regain(Way::Following),
                Err(fault) => {
                    self.reach.lose(Way::Following, &fault.to_string());
                    sleep(self.parts.random.spread(RETRY_AFTER)).await;
                    continue;
                }
            }
            if self.parts.store.wait_for_change().await.is_err() {
                sleep(self.parts.random.spread(RETRY_AFTER)).await;
            }
        }
    }

    /// Takes changes, and tells of it when that takes so long that memory speaks for nobody any more.
    async fn take_changes_or_tell(&self) -> Result<(), Fault> {
        let mut taking = pin!(self.take_changes());
        if let Ok(taken) = timeout(FOLLOWED_WITHIN, &mut taking).await {
            return taken;
        }
        self.reach.lose(Way::Following, "it does not answer");
        taking.await
    }

    /// Takes over what has changed since the last time.
    ///
    /// # Errors
    /// A fault when the store cannot be read; the same changes are taken the next time.
    pub async fn take_changes(&self) -> Result<(), Fault> {
        // Before the question, for nobody knows when it is answered.
        let began = self.parts.clock.steady();
        let mut revision = self.revision.lock().await;
        let changes = self.parts.store.changes(*revision).await?;
        // What can be taken over is, whatever else cannot: a key that was made under another
        // master key must not keep a revocation from being heard of.
        let mut outcome = Ok(());
        match &changes.changed {
            Changed::Everything => outcome = self.reload_all().await,
            Changed::These(these) => {
                for change in these {
                    outcome = outcome.and(self.take(change).await);
                }
            }
        }
        outcome?;
        *revision = changes.revision;
        self.reach.followed(began);
        Ok(())
    }

    async fn take(&self, change: &Change) -> Result<(), Fault> {
        let store = &*self.parts.store;
        match change {
            Change::Client(realm, id) => {
                if let Some(state) = self.realm(realm) {
                    state.memory.reload_client(store, realm, id).await?;
                }
            }
            Change::Keys(realm) => {
                if let Some(state) = self.realm(realm) {
                    state.memory.reload_keys(store, &self.parts.master_key, realm).await?;
                }
            }
            Change::TokenRevoked(realm, digest) => {
                if let Some(state) = self.realm(realm) {
                    let record = store.token(realm, digest).await?;
                    state.memory.revoke(*digest, record.and_then(|record| record.expires_at));
                }
            }
            Change::TokensDeleted(realm, id) => {
                if let Some(state) = self.realm(realm) {
                    state.memory.forget_tokens(id);
                }
            }
        }
        Ok(())
    }

    async fn reload_all(&self) -> Result<(), Fault> {
        let Parts { store, master_key, clock, .. } = &self.parts;
        let mut outcome = Ok(());
        for (name, state) in self.realms.load().iter() {
            let reloaded = state.memory.reload(&**store, master_key, name, clock.now()).await;
            outcome = outcome.and(reloaded);
        }
        outcome
    }

    /// The revision that memory is to be filled up from, taken before memory is read.
    pub(crate) async fn newest_revision(&self) -> Result<Revision, Fault> {
        Ok(self.parts.store.changes(Revision::default()).await?.revision)
    }

    /// Writes down events and secret uses until `stopped`, and then what still waits.
    async fn write_down(&self, stopped: &Notify) {
        let mut waiting = self.recorder.waiting.lock().await;
        let mut uses = interval(USES_EVERY);
        uses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Only the waiting is raced: a batch that was taken is always written.
            let batch = tokio::select! {
                () = stopped.notified() => break,
                _ = uses.tick() => None,
                batch = self.recorder.next_events(&mut waiting) => Some(batch),
            };
            match batch {
                Some(batch) => self.recorder.take_events(&mut waiting, batch),
                None => self.recorder.take_uses(&mut waiting),
            }
            // What cannot be kept now is kept later.
            if self.reach.keep().is_ok() {
                self.recorder.write(&mut waiting, &*self.parts.store).await;
            }
        }
        self.recorder.take_all(&mut waiting);
        self.recorder.write(&mut waiting, &*self.parts.store).await;
    }

    /// Takes the steps of key rotation as they fall due.
    async fn follow_rotation(&self) {
        let mut ticks = interval(ROTATION_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.reach.keep().is_err() {
                continue;
            }
            if let Err(fault) = self.rotate_keys().await {
                tracing::warn!(%fault, "key rotation could not be looked after; trying again later");
            }
        }
    }

    /// Says every hour which clients still make their assertions for a token endpoint, so that an
    /// operator knows when the realm can do without (`Assertions::also_for`).
    async fn tell_of_moving_clients(&self) {
        let mut told = HashMap::new();
        let mut ticks = interval(MOVING_EVERY);
        // The first is at once, when nobody has made any.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            for (realm, state) in self.realms.load().iter() {
                for (client_id, count) in state.assertions_for_others() {
                    let client = (realm.clone(), client_id.clone());
                    let before = told.insert(client, count).unwrap_or(0);
                    if count > before {
                        let assertions = count - before;
                        tracing::info!(%realm, %client_id, assertions, "a client makes assertions for a token endpoint instead of the issuer");
                    }
                }
            }
        }
    }

    async fn remove_expired(&self) {
        let mut ticks = interval(REMOVAL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgetting = Forgetting::default();
        loop {
            ticks.tick().await;
            self.slow_hash.rest();
            let now = forgetting.time(&self.parts.clock);
            for state in self.realms.load().values() {
                state.memory.forget_expired(now);
            }
            while self.reach.keep().is_ok() {
                let before = Horizon {
                    tokens: now.minus(KEPT_LONGER),
                    events: now.minus(self.parts.settings.events_kept_for),
                    spent: now.minus(KEPT_LONGER),
                };
                match self.parts.store.remove_expired(&before, REMOVAL_STEP).await {
                    // A full step: there may be more. The pause lets tokens be written in between.
                    Ok(removed) if removed >= u64::from(REMOVAL_STEP) => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "expired rows were not removed; trying again later");
                        break;
                    }
                }
            }
        }
    }
}
