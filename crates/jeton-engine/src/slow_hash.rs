//! Argon2id: few runs at a time, few requests waiting, on threads of their own. One slow hash
//! costs as much as two thousand tokens, so it must never stand in a token's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::clock::Random;
use crate::engine::Settings;
use crate::error::Fault;
use crate::readings::SlowHashReadings;

/// Runs Argon2id, a few at a time.
pub(crate) struct SlowHash {
    runs: Arc<Semaphore>,
    runs_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    bench: Arc<Bench>,
    /// How many hashes had been run when there was last a look at whether any are.
    done_before: AtomicU64,
}

/// What a run works with.
struct Bench {
    /// A hash that no secret has, at today's cost: what failed attempts are hashed against.
    nobody: Box<str>,
    done: AtomicU64,
    /// The memory of earlier runs, the latest on top. Memory fresh from the system costs half as
    /// much again as the hash itself, now and then: a difference in time that means nothing, but
    /// could be taken to mean something.
    memories: Mutex<Vec<Vec<Block>>>,
}

/// Which reading turned out to be which kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) reading: usize,
    pub(crate) kept: usize,
}

/// What to compare, all of it in one go.
pub(crate) struct Comparison {
    /// The presented secret in its readings.
    pub(crate) presented: Vec<Zeroizing<String>>,
    /// The client's supplied secrets as PHC strings.
    pub(crate) kept: Vec<Box<str>>,
    /// How many comparisons to make for each reading at least, so that all failures cost the same.
    pub(crate) at_least: usize,
}

impl SlowHash {
    pub(crate) fn new(settings: &Settings, random: &Random) -> Self {
        let runs_max = settings.argon2_runs_max.max(1);
        Self {
            runs: Arc::new(Semaphore::new(runs_max)),
            runs_max,
            waiting: AtomicUsize::new(0),
            waiting_max: settings.argon2_waiting_max,
            bench: Arc::new(Bench {
                nobody: nobody(settings, random).into(),
                done: AtomicU64::new(0),
                memories: Mutex::default(),
            }),
            done_before: AtomicU64::new(0),
        }
    }

    /// How many hashes were run.
    pub(crate) fn done(&self) -> u64 {
        self.bench.done.load(Ordering::Relaxed)
    }

    /// What they do.
    pub(crate) fn readings(&self) -> SlowHashReadings {
        SlowHashReadings {
            done: self.done(),
            running: self.runs_max - self.runs.available_permits().min(self.runs_max),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// Gives memory back to the system when no hash was run since the last call.
    pub(crate) fn rest(&self) {
        let done = self.done();
        if self.done_before.swap(done, Ordering::Relaxed) == done {
            self.bench.memories.lock().clear();
        }
    }

    /// Which reading is which of the kept secrets. Never stops early.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when too many wait already.
    pub(crate) async fn compare(&self, comparison: Comparison) -> Result<Option<Match>, Fault> {
        let waiting = Waiting::enter(&self.waiting, self.waiting_max)?;
        let permit = Arc::clone(&self.runs)
            .acquire_owned()
            .await
            .map_err(|_| Fault::Impossible("the slow hashes' semaphore is never closed"))?;
        drop(waiting);
        let bench = Arc::clone(&self.bench);
        let compared = tokio::task::spawn_blocking(move || {
            // Held until the hash is done, even when nobody waits for the answer any more.
            let _permit = permit;
            bench.compare(&comparison)
        });
        compared.await.map_err(|_| Fault::Impossible("a slow hash ended without an answer"))
    }
}

impl Bench {
    fn compare(&self, comparison: &Comparison) -> Option<Match> {
        let mut memory = self.memories.lock().pop().unwrap_or_default();
        let mut right = None;
        for (reading, presented) in comparison.presented.iter().enumerate() {
            for index in 0..comparison.at_least.max(comparison.kept.len()) {
                let kept = comparison.kept.get(index);
                let hash = kept.map_or(&*self.nobody, |kept| kept);
                self.done.fetch_add(1, Ordering::Relaxed);
                if verify(presented, hash, &mut memory) && kept.is_some() {
                    right = Some(Match { reading, kept: index });
                }
            }
        }
        self.memories.lock().push(memory);
        right
    }
}

/// Whether `secret` is the one behind the PHC string, compared in constant time. The hash is
/// computed in `memory`, which grows to what it needs.
fn verify(secret: &str, phc: &str, memory: &mut Vec<Block>) -> bool {
    let Ok(kept) = PasswordHash::new(phc) else { return false };
    let (Some(salt), Some(expected)) = (&kept.salt, &kept.hash) else { return false };
    let Ok(params) = Params::try_from(&kept) else { return false };
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let mut computed = Zeroizing::new(vec![0; expected.len()]);
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret.as_bytes(), salt, &mut computed, memory);
    hashed.is_ok() && bool::from(computed.ct_eq(expected.as_bytes()))
}

/// One place among those who wait; given back when dropped, also by a request that went away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Result<Self, Fault> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(Fault::Overloaded);
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn parameters(settings: &Settings) -> Result<Params, Fault> {
    Params::new(settings.argon2_memory_kib, settings.argon2_passes, 1, None)
        .map_err(|_| Fault::Impossible("the configured Argon2id cost was checked at start"))
}

/// Hashes a supplied secret for keeping: a PHC string. Slow on purpose; call it off the request's thread.
///
/// # Errors
/// A fault when the configured cost is not one that Argon2id knows.
pub(crate) fn hash(secret: &str, settings: &Settings, random: &Random) -> Result<Box<str>, Fault> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters(settings)?);
    let salt: [u8; 16] = random.bytes();
    let phc = argon2
        .hash_password_with_salt(secret.as_bytes(), &salt)
        .map_err(|_| Fault::Impossible("Argon2id refused to hash a secret"))?;
    Ok(phc.to_string().into())
}

/// Whether a PHC string brought along is Argon2id at a cost that we are willing to pay at each guess.
pub(crate) fn is_acceptable(phc: &str) -> bool {
    const MEMORY_KIB_MAX: u32 = 64 * 1024;
    const PASSES_MAX: u32 = 10;
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    let Ok(params) = Params::try_from(&parsed) else { return false };
    parsed.algorithm.as_str() == "argon2id"
        && parsed.version == Some(Version::V0x13.into())
        && parsed.hash.is_some()
        && parsed.salt.is_some()
        && params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= 4
}

/// A PHC string of random bytes at the configured cost; made without hashing, so that starting stays quick.
fn nobody(settings: &Settings, random: &Random) -> String {
    let mut phc =
        format!("$argon2id$v=19$m={},t={},p=1", settings.argon2_memory_kib, settings.argon2_passes);
    let salt = Salt::new(&random.bytes::<16>()).map(|salt| salt.to_string());
    let output = Output::new(&random.bytes::<32>()).map(|output| output.to_string());
    if let (Ok(salt), Ok(output)) = (salt, output) {
        phc.push_str(&format!("${salt}${output}"));
    }
    phc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Settings {
        Settings { argon2_memory_kib: 64, argon2_passes: 1, ..Settings::default() }
    }

    fn comparison(presented: &str, kept: &[&str], at_least: usize) -> Comparison {
        Comparison {
            presented: vec![Zeroizing::new(presented.to_owned())],
            kept: kept.iter().map(|phc| (*phc).into()).collect(),
            at_least,
        }
    }

    #[tokio::test]
    async fn the_right_one_of_several_is_found_and_a_wrong_one_is_not() {
        let random = Random::seeded(3);
        let slow = SlowHash::new(&cheap(), &random);
        let one = hash("one", &cheap(), &random).unwrap();
        let two = hash("two", &cheap(), &random).unwrap();
        let kept = [&*one, &*two];
        assert_eq!(
            slow.compare(comparison("two", &kept, 3)).await,
            Ok(Some(Match { reading: 0, kept: 1 }))
        );
        assert_eq!(slow.compare(comparison("three", &kept, 3)).await, Ok(None));
        assert_eq!(slow.compare(comparison("one", &[], 1)).await, Ok(None));
    }

    #[test]
    fn nobodys_hash_is_well_formed_at_the_configured_cost() {
        let nobody = nobody(&cheap(), &Random::seeded(3));
        assert!(is_acceptable(&nobody), "{nobody}");
        assert!(nobody.starts_with("$argon2id$v=19$m=64,t=1,p=1$"));
    }

    #[tokio::test]
    async fn memory_is_kept_for_the_next_run_and_given_back_when_there_is_none() {
        let slow = SlowHash::new(&cheap(), &Random::seeded(3));
        let kept = || slow.bench.memories.lock().len();
        for _ in 0..3 {
            assert_eq!(slow.compare(comparison("x", &[], 1)).await, Ok(None));
            assert_eq!(kept(), 1, "one run at a time needs one memory");
        }
        slow.rest();
        assert_eq!(kept(), 1, "hashes were run meanwhile");
        slow.rest();
        assert_eq!(kept(), 0);
    }

    #[tokio::test]
    async fn too_many_waiting_are_refused_at_once() {
        let settings = Settings { argon2_waiting_max: 0, ..cheap() };
        let slow = SlowHash::new(&settings, &Random::seeded(3));
        assert_eq!(slow.compare(comparison("x", &[], 1)).await, Err(Fault::Overloaded));
    }

    #[test]
    fn hashes_of_another_kind_or_cost_are_not_taken() {
        let random = Random::seeded(3);
        let good = hash("secret", &cheap(), &random).unwrap();
        assert!(is_acceptable(&good));
        for bad in [
            "",
            "plain",
            &good.replace("argon2id", "argon2i"),
            &good.replace("m=64", "m=1048576"),
            &good.replace("t=1", "t=1000"),
            &good.replace("v=19", "v=16"),
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0",
        ] {
            assert!(!is_acceptable(bad), "{bad}");
        }
    }
}
