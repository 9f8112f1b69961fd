//! Keys are rotated under load on three servers: whoever checks tokens offline, with a JWK set no older
//! than it may be cached, never meets a key that it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::http::{Request, ask};
use crate::load::{Load, Weights};
use crate::node::Node;
use crate::oracle::{Oracle, Server};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::wall_clock::WallClock;

const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(10);
/// What the JWK set says of itself (`Cache-Control: max-age`), in seconds.
const CACHED_FOR: i64 = 300;
/// Between two looks, on the wall …
const STEP: Duration = Duration::from_secs(30);
/// … and in truth.
const STEP_TAKES: Duration = Duration::from_millis(200);
/// A rotation that takes more steps than this does not take place.
const STEPS_MAX: usize = 200;
/// How long the tokens of this drill live, in seconds.
const LIFETIME: i64 = 600;

/// Runs it.
pub(crate) async fn key_rotation(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let url = Postgres::of_the_script()?.database("key_rotation").await?;
    let mut place = Place::postgres(&url)?;
    let text = place.configuration()?.replace(
        "[realm.jwt]\n",
        "[realm.jwt]\nkeys.publish_ahead = \"10m\"\ntoken.lifetime_max = \"10m\"\n",
    );
    place.configure(&text)?;
    let clock = WallClock::of(&mut place)?;
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let nodes = Node::start_many(&place, NODES).await?;
    // Every token is checked: with more of them, that takes longer than a server takes to issue them, and the
    // long form never ended.
    let mut load =
        Load::mixed(nodes.iter().map(Server::from).collect(), terms.pick(6, 12), usize::MAX);
    let none =
        Weights { stored: 0, sealed: 0, assertion: 0, introspect: 0, verify: 0, revoke: 0, jwt: 1 };
    load.weights = none;
    load.pause = Duration::from_millis(20);
    let running = load.start(&oracle, &cast, &chance.branch(1));
    let mut watch = Verifiers {
        clock,
        oracle,
        nodes,
        sets: Vec::new(),
        seen: 0,
        young: Vec::new(),
        checked: 0,
        wrong: Vec::new(),
        signers: BTreeSet::new(),
    };
    for _ in 0..3 {
        watch.step().await?;
    }
    for rotation in 1..=terms.pick(1, 6) {
        place.operate(&["key", "rotate", "--realm", "jwt"]).await?;
        let mut steps = 0;
        while watch.signers.len() <= rotation {
            watch.step().await?;
            steps += 1;
            if steps > STEPS_MAX {
                bail!(
                    "the new key does not sign: {}",
                    place.operate(&["key", "list", "--realm", "jwt"]).await?
                );
            }
        }
        // Until the last token of the old key has expired.
        for _ in 0..LIFETIME / 30 {
            watch.step().await?;
        }
    }
    let tally = running.stop().await?;
    report.figure("keys that signed", watch.signers.len());
    report.figure("JWK sets fetched", watch.sets.len());
    report.latencies("answers", &tally.latencies());
    report.must_be_zero("tokens that a cached set refuses", watch.wrong.len(), &watch.wrong);
    let failed = tally.unanswered_count() + tally.count(|status| status != 200);
    report.must_be_zero("failed requests", failed, &tally.examples());
    report.must_reach("tokens checked offline", watch.checked, 300);
    Ok(report)
}

/// Those who check tokens offline, with every set that they may still have in their caches.
struct Verifiers {
    clock: WallClock,
    oracle: Arc<Oracle>,
    nodes: Vec<Node>,
    /// When each was fetched, by the clock on the wall, and what is in it.
    sets: Vec<(i64, BTreeMap<String, Vec<u8>>)>,
    /// How many of the tokens have been looked at.
    seen: usize,
    /// Those that still hold.
    young: Vec<Jwt>,
    checked: usize,
    wrong: Vec<String>,
    signers: BTreeSet<String>,
}

impl Verifiers {
    /// The clock goes on, every server is asked for its set, and what was issued since is checked.
    async fn step(&mut self) -> Result<()> {
        sleep(STEP_TAKES).await;
        self.clock.advance(STEP)?;
        for node in &self.nodes {
            let at = self.clock.seconds();
            self.sets.push((at, key_set(node).await?));
        }
        let tokens = self.oracle.all();
        let now = self.clock.seconds();
        for token in tokens.get(self.seen..).unwrap_or_default() {
            self.young.push(Jwt::read(&token.value)?);
        }
        let new = tokens.len().saturating_sub(self.seen);
        self.seen = tokens.len();
        self.checked += new;
        let mut unknown = BTreeMap::new();
        for (age, token) in self.young.iter().rev().enumerate() {
            // Many are of the same second and key.
            let same = (token.issued_at, token.key_id.as_str());
            let unknown = *unknown.entry(same).or_insert_with(|| {
                let from = token.issued_at - CACHED_FOR;
                let usable = self.sets.iter().filter(|(at, _)| *at >= from);
                usable.filter(|(_, keys)| !keys.contains_key(&token.key_id)).count()
            });
            // Whether the key fits as well is looked at once.
            let newest = self.sets.last().filter(|_| age < new);
            if unknown > 0 || newest.is_some_and(|(_, keys)| !token.holds(keys)) {
                self.wrong.push(format!("{unknown} sets do not know {}", token.key_id));
            }
            self.signers.insert(token.key_id.clone());
        }
        self.young.retain(|token| now + 30 <= token.issued_at + LIFETIME);
        // Sets that nobody may have any more.
        let from = now - CACHED_FOR - LIFETIME;
        self.sets.retain(|(at, _)| *at >= from);
        Ok(())
    }
}

/// A token as its verifier sees it.
struct Jwt {
    key_id: String,
    issued_at: i64,
    signed: String,
    signature: Vec<u8>,
}

impl Jwt {
    fn read(text: &str) -> Result<Self> {
        let (signed, signature) = text.rsplit_once('.').context("it is no JWT")?;
        let (header, claims) = signed.split_once('.').context("it is no JWT")?;
        let json = |part: &str| -> Result<Value> {
            Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
        };
        let key_id = json(header)?.get("kid").and_then(Value::as_str).map(str::to_owned);
        let issued_at = json(claims)?.get("iat").and_then(Value::as_i64);
        Ok(Self {
            key_id: key_id.context("it has no kid")?,
            issued_at: issued_at.context("it has no iat")?,
            signed: signed.to_owned(),
            signature: URL_SAFE_NO_PAD.decode(signature)?,
        })
    }

    fn holds(&self, keys: &BTreeMap<String, Vec<u8>>) -> bool {
        keys.get(&self.key_id).is_some_and(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            key.verify(self.signed.as_bytes(), &self.signature).is_ok()
        })
    }
}

async fn key_set(node: &Node) -> Result<BTreeMap<String, Vec<u8>>> {
    let began = Instant::now();
    let answer = ask(node.public, &Request::get("/jwt/.well-known/jwks.json", &[]), PATIENCE).await;
    let answer =
        answer.answer().with_context(|| format!("no JWK set after {:?}", began.elapsed()))?;
    let promised = format!("max-age={CACHED_FOR}");
    if !answer.header("cache-control").is_some_and(|said| said.contains(&promised)) {
        bail!("the JWK set may be cached for another time than {promised}: {}", answer.head);
    }
    let json = answer.json();
    let keys = json.get("keys").and_then(Value::as_array).context("the set has no keys")?;
    let mut set = BTreeMap::new();
    for key in keys {
        let text = |name| key.get(name).and_then(Value::as_str).context("the key is incomplete");
        set.insert(text("kid")?.to_owned(), URL_SAFE_NO_PAD.decode(text("x")?)?);
    }
    Ok(set)
}
