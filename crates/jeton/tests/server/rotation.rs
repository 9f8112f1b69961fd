//! Proves that no rotation is noticed: two servers on one store rotate at the same time, five hours pass,
//! and every token verifies against a JWK set that was cached before it was signed.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jeton::config::{self, Config};
use jeton::serve::{Listeners, Running, Server, Sources};
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::Engine;
use jeton_engine::jose::jws::{Unverified, verify_compact};
use jeton_engine::jose::{Algorithm, JwkSet};
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::manage::{Manage, NewClient};
use jeton_engine::name::RealmName;
use jeton_engine::rotate::Rotation;
use serde_json::Value;

use crate::started::{Line, get, within_patience};

const START: Time = Time::from_seconds(1_800_000_000);
const MINUTES: usize = 300;
const WORKERS: usize = 4;
/// What each worker fetches within a minute, while the keys are being rotated.
const TOKENS_A_MINUTE: usize = 2;
/// The minute in which an operator rotates at both servers at once.
const BY_HAND: usize = 80;

fn main_realm() -> RealmName {
    "main".parse().unwrap()
}

/// Two servers on one file, on one clock that only the test moves.
struct Pair {
    servers: [Running; 2],
    /// Two more engines on the same stores, which rotate when the test says.
    rotating: [Arc<Engine>; 2],
    clock: Clock,
    secret: String,
}

impl Pair {
    async fn begin(folder: &Path) -> Self {
        let clock = Clock::fixed(START);
        let config = || -> Config {
            let text = "[storage]\nurl = \"sqlite:jeton.db\"\n\
                        [realm.main]\nissuer = \"https://a.example.com/main\"\n\
                        limits.client = \"off\"\n\
                        keys.rotate_every = \"1h\"\nkeys.publish_ahead = \"10m\"\n";
            config::parse("jeton.toml", text, std::iter::empty(), folder).unwrap()
        };
        let start = async || {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let listeners = Listeners::open(any, any, 64).unwrap();
            let sources = Sources { clock: clock.clone(), random: Random::System };
            let running = Server::start_on(listeners, config(), sources).await.unwrap();
            let parts = running.parts().clone();
            let engine = Engine::open(parts, config().engine_realms()).await.unwrap();
            (running, engine)
        };
        let ((one, rotates_one), (two, rotates_two)) = (start().await, start().await);
        let new = NewClient { id: Some("partner".parse().unwrap()), ..NewClient::default() };
        let manage = Manage::new(one.parts().clone());
        let realm = config().realm("main").unwrap().realm.clone();
        let made = manage.create_client(&realm, new).await.unwrap();
        Self {
            servers: [one, two],
            rotating: [rotates_one, rotates_two],
            clock,
            secret: made.1.unwrap().generated.unwrap().to_string(),
        }
    }

    fn manage(&self, server: usize) -> Manage {
        Manage::new(self.servers[server].parts().clone())
    }

    async fn keys(&self) -> Vec<KeyRecord> {
        self.manage(0).keys(&main_realm()).await.unwrap()
    }

    /// Every step that is due, taken by both at once; in its minute an operator's as well.
    async fn rotate(&self, minute: usize) {
        let [one, two] = &self.rotating;
        let (first, second) = tokio::join!(one.rotate_keys(), two.rotate_keys());
        first.and(second).unwrap();
        if minute == BY_HAND {
            let (one, two, realm) = (self.manage(0), self.manage(1), main_realm());
            let (first, second) = tokio::join!(
                one.rotate_key(&realm, Algorithm::EdDsa),
                two.rotate_key(&realm, Algorithm::EdDsa)
            );
            assert_eq!(first.unwrap().id, second.unwrap().id, "one rotation at a time");
        }
    }

    /// Waits until both servers publish what the store has, and sign with its active key.
    async fn followed(&self, workers: &mut [Worker], keys: &[KeyRecord]) {
        let ids: HashSet<_> = keys.iter().map(|key| key.id.to_string()).collect();
        let active = keys.iter().find(|key| key.status == KeyStatus::Active).unwrap();
        for server in 0..2 {
            within_patience(async || {
                let (_, set) = workers[0].jwks(server).await;
                let published: HashSet<_> =
                    set.keys().iter().map(|key| key.key_id().unwrap().to_owned()).collect();
                let (_, signed_by) = workers[0].token(server).await?;
                (published == ids && signed_by == active.id.as_str()).then_some(())
            })
            .await;
        }
    }
}

/// A client of both servers, and what it has cached.
struct Worker {
    lines: [Line; 2],
    clock: Clock,
    form: String,
    cached_at: Time,
    cached: JwkSet,
    /// Who signed when the set was cached.
    signer_then: String,
    /// Tokens that have not expired yet.
    kept: Vec<(Time, String)>,
    seen: Arc<Seen>,
}

/// What all workers have seen together.
#[derive(Default)]
struct Seen {
    verified: AtomicUsize,
    signed_by_a_key_that_only_waited_when_it_was_cached: AtomicUsize,
    verified_again_with_a_newer_set: AtomicUsize,
}

impl Worker {
    async fn begin(pair: &Pair, seen: &Arc<Seen>) -> Self {
        let [one, two] = [0, 1].map(|server: usize| pair.servers[server].public_address());
        Self {
            lines: [Line::open(one).await, Line::open(two).await],
            clock: pair.clock.clone(),
            form: format!(
                "grant_type=client_credentials&client_id=partner&client_secret={}",
                pair.secret
            ),
            cached_at: START,
            cached: JwkSet::default(),
            signer_then: String::new(),
            kept: Vec::new(),
            seen: Arc::clone(seen),
        }
    }

    async fn jwks(&mut self, server: usize) -> (Duration, JwkSet) {
        let line = &mut self.lines[server];
        line.send(&get("/main/.well-known/jwks.json", "x")).await;
        let answer = line.answer().await;
        let cache = answer.header("cache-control").unwrap();
        let seconds = cache.strip_prefix("public, max-age=").unwrap().parse().unwrap();
        (Duration::from_secs(seconds), JwkSet::parse(&answer.body).unwrap())
    }

    /// A token and the identifier of the key that signed it; nothing while the server has not yet heard
    /// of the client.
    async fn token(&mut self, server: usize) -> Option<(String, String)> {
        let line = &mut self.lines[server];
        let request = format!(
            "POST /main/oauth2/token HTTP/1.1\r\nHost: x\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{}",
            self.form.len(),
            self.form
        );
        line.send(&request).await;
        let answer = line.answer().await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let token = body["access_token"].as_str()?.to_owned();
        let key_id = Unverified::parse(&token).unwrap().header().key_id.clone().unwrap();
        Some((token, key_id))
    }

    /// Fetches tokens from one server and verifies each against the set that it has cached from the
    /// other, for as long as it may.
    async fn work(&mut self, minute: usize) {
        for round in 0..TOKENS_A_MINUTE {
            let server = (minute + round) % 2;
            let now = self.clock.now();
            if now.since(self.cached_at) > Duration::from_secs(Rotation::CACHE_SECONDS) {
                self.refresh(now, 1 - server).await;
            }
            let (token, signer) = self.token(server).await.unwrap();
            let verified = verify_compact(&token, &self.cached);
            assert!(verified.is_ok(), "minute {minute}: {verified:?} by {signer}");
            self.seen.verified.fetch_add(1, Ordering::Relaxed);
            if self.signer_then != signer {
                let seen = &self.seen.signed_by_a_key_that_only_waited_when_it_was_cached;
                seen.fetch_add(1, Ordering::Relaxed);
            }
            self.kept.push((now, token));
        }
    }

    /// Caches the set anew, with which whatever has not expired must verify as well.
    async fn refresh(&mut self, now: Time, server: usize) {
        self.signer_then = self.token(server).await.unwrap().1;
        let (max_age, set) = self.jwks(server).await;
        assert_eq!(max_age, Duration::from_secs(Rotation::CACHE_SECONDS));
        (self.cached, self.cached_at) = (set, now);
        self.kept.retain(|(issued_at, _)| now.since(*issued_at) < Duration::from_secs(600));
        for (_, token) in &self.kept {
            assert!(verify_compact(token, &self.cached).is_ok(), "a token outlives its key");
        }
        let again = &self.seen.verified_again_with_a_newer_set;
        again.fetch_add(self.kept.len(), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn every_token_verifies_against_a_set_cached_before_while_two_servers_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::begin(folder.path()).await;
    let seen = Arc::new(Seen::default());
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(Worker::begin(&pair, &seen).await);
    }
    let mut signers = HashSet::new();
    let mut keys = pair.keys().await;
    pair.followed(&mut workers, &keys).await;
    // Each has cached the set at another time, so that each has an old one when keys change.
    for (minutes, worker) in workers.iter_mut().enumerate() {
        worker.refresh(START.minus(Duration::from_secs(60 * minutes as u64)), 0).await;
    }
    for minute in 1..=MINUTES {
        let [one, two, three, four] = workers.as_mut_slice() else { unreachable!() };
        let rotation = async {
            pair.clock.set(START.plus(Duration::from_secs(60 * minute as u64)));
            pair.rotate(minute).await;
        };
        tokio::join!(
            rotation,
            one.work(minute),
            two.work(minute),
            three.work(minute),
            four.work(minute)
        );
        let now = pair.keys().await;
        let count = |status| now.iter().filter(|key| key.status == status).count();
        assert_eq!(count(KeyStatus::Active), 1, "minute {minute}");
        assert!(count(KeyStatus::Upcoming) <= 1, "minute {minute}");
        if now != keys {
            // On the clock of the test a server would hear of it hours later.
            pair.followed(&mut workers, &now).await;
            keys = now;
        }
        signers.extend(
            keys.iter().filter(|key| key.status == KeyStatus::Active).map(|key| key.id.clone()),
        );
    }
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    assert_eq!(count(&seen.verified), MINUTES * WORKERS * TOKENS_A_MINUTE);
    // After 60 minutes, 10 after the operator's rotation, and then every 60.
    assert_eq!(signers.len(), 6, "the first key and five rotations");
    // Three of the workers go on with their sets for two, three and four minutes after each.
    let waited = count(&seen.signed_by_a_key_that_only_waited_when_it_was_cached);
    assert!(waited >= 5 * (2 + 3 + 4) * TOKENS_A_MINUTE, "{waited}");
    assert!(count(&seen.verified_again_with_a_newer_set) >= MINUTES * WORKERS);
    let statuses: Vec<_> = pair.keys().await.iter().map(|key| key.status).collect();
    assert_eq!(statuses, [KeyStatus::Active], "retired keys are gone with their last tokens");
    for server in pair.servers {
        server.stop().await;
    }
}
