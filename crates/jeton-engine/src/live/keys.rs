//! A realm's keys in memory, parsed once, and the JWK set that they make up.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_jose::{Algorithm, SigningKey, VerifyingKey};

use crate::clock::Time;
use crate::error::Fault;
use crate::key::{KeyRecord, KeyStatus};
use crate::live::headers::Headers;
use crate::master_key::MasterKey;
use crate::name::KeyId;
use crate::readings::KeyReadings;
use crate::rotate::Rotation;

/// Tells a key from any other, also from a later one of the same identifier: a digest of it as it
/// is kept, which no two keys have alike.
pub(crate) type KeyMark = [u8; 32];

/// A signing key, parsed and ready.
pub(crate) struct LiveKey {
    pub(crate) id: KeyId,
    pub(crate) mark: KeyMark,
    pub(crate) status: KeyStatus,
    signing_since: Option<Time>,
    pub(crate) key: SigningKey,
    pub(crate) verifying: VerifyingKey,
    /// Those of the tokens that it has signed.
    pub(crate) headers: Headers,
}

/// A realm's keys.
#[derive(Default)]
pub(crate) struct LiveKeys {
    keys: Vec<LiveKey>,
    pub(crate) published: Arc<PublishedKeys>,
}

/// The JWK set (RFC 7517 section 5) that a realm publishes: never a symmetric key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PublishedKeys {
    /// The JSON text.
    pub json: String,
    /// A text that changes with it, for `ETag`.
    pub version: String,
    /// How many keys are in it.
    pub count: usize,
}

impl LiveKeys {
    pub(super) fn open(master_key: &MasterKey, records: &[KeyRecord]) -> Result<Self, Fault> {
        let keys: Result<Vec<LiveKey>, Fault> =
            records.iter().map(|record| open(master_key, record)).collect();
        Ok(Self { keys: keys?, published: Arc::new(publish(records)) })
    }

    /// The key that signs with `algorithm` now.
    pub(crate) fn signing(&self, algorithm: Algorithm) -> Option<&LiveKey> {
        let signs =
            |key: &&LiveKey| key.status == KeyStatus::Active && key.key.algorithm() == algorithm;
        self.keys.iter().find(signs)
    }

    /// The preferred algorithm, if a public key signs with it now, or else any other such; only
    /// of those that are allowed.
    pub(crate) fn public_algorithm(
        &self,
        preferred: Option<Algorithm>,
        allowed: impl Fn(Algorithm) -> bool,
    ) -> Option<Algorithm> {
        let signs = |key: &&LiveKey| key.status == KeyStatus::Active;
        let algorithms = self.keys.iter().filter(signs).map(|key| key.key.algorithm());
        let mut public = algorithms.filter(|one| !one.is_symmetric() && allowed(*one));
        let first = public.clone().next();
        public.find(|algorithm| Some(*algorithm) == preferred).or(first)
    }

    /// The keys that may have signed a token: the named one, or all of its algorithm.
    pub(crate) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &LiveKey> {
        self.keys.iter().filter(move |key| {
            key.key.algorithm() == algorithm && id.is_none_or(|id| key.id.as_str() == id)
        })
    }

    /// What there is to see of each.
    pub(crate) fn readings(&self, rotation: &Rotation) -> Vec<KeyReadings> {
        let readings = |key: &LiveKey| KeyReadings {
            algorithm: key.key.algorithm(),
            status: key.status,
            signing_since: key.signing_since,
            rotation_due: key
                .signing_since
                .filter(|_| key.status == KeyStatus::Active)
                .and_then(|since| rotation.due(key.key.algorithm(), since)),
        };
        self.keys.iter().map(readings).collect()
    }

    /// Whether the key is still there, in whatever stage of its life.
    pub(crate) fn has(&self, mark: &KeyMark) -> bool {
        self.keys.iter().any(|key| key.mark == *mark)
    }
}

fn open(master_key: &MasterKey, record: &KeyRecord) -> Result<LiveKey, Fault> {
    let private = master_key.open(&record.realm, &record.id, &record.sealed)?;
    let key = SigningKey::from_private_bytes(record.algorithm, &private).map_err(|error| {
        Fault::Store(format!("key {} of realm {}: {error}", record.id, record.realm))
    })?;
    let verifying = key.verifying_key();
    let mut mark = KeyMark::default();
    mark.copy_from_slice(digest(&SHA256, &record.sealed).as_ref());
    Ok(LiveKey {
        id: record.id.clone(),
        mark,
        status: record.status,
        signing_since: (record.status != KeyStatus::Upcoming).then(|| record.signing_since()),
        key,
        verifying,
        headers: Headers::default(),
    })
}

fn publish(records: &[KeyRecord]) -> PublishedKeys {
    let keys: Vec<&str> =
        records.iter().filter_map(|record| record.public_jwk.as_deref()).collect();
    let json = format!("{{\"keys\":[{}]}}", keys.join(","));
    let digest = digest(&SHA256, json.as_bytes());
    let version = digest.as_ref().first_chunk::<12>().map(|start| URL_SAFE_NO_PAD.encode(start));
    PublishedKeys { json, version: version.unwrap_or_default(), count: keys.len() }
}
