//! JSON Web Keys: reading them (RFC 7517, 7518, 8037, 9964), writing public ones, thumbprints.
//!
//! A JWK is read together with the algorithm that it will be used with; every member that could
//! contradict that use (`use`, `key_ops`, `alg`, the curve) is held against it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::KeyError;
use crate::json;
use crate::key::VerifyingKey;

/// The longest JWK we read, in bytes.
pub const JWK_BYTES_MAX: usize = 32 * 1024;
/// The longest JWK set we read, in bytes. Sets carry certificate chains.
pub const SET_BYTES_MAX: usize = 512 * 1024;
/// The most keys in a set.
pub const SET_KEYS_MAX: usize = 100;

/// The public half of a key, as a JWK spells it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Public {
    Ed25519 { x: Vec<u8> },
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    MlDsa { algorithm: Algorithm, bytes: Vec<u8> },
}

/// A curve for ECDSA, with its one algorithm (RFC 7518 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

impl Curve {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }

    /// The bytes of one coordinate.
    pub(crate) const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

/// The private half, as a JWK spells it.
pub(crate) enum Private {
    /// The seed of Ed25519 and ML-DSA, the scalar of ECDSA.
    One(Zeroizing<Vec<u8>>),
    /// RSA: d, p, q, dp, dq, qi.
    Rsa(Box<[Zeroizing<Vec<u8>>; 6]>),
}

/// What a JWK is going to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Sign,
    Verify,
}

impl Purpose {
    /// The name in `key_ops` (RFC 7517 section 4.3).
    const fn operation(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Verify => "verify",
        }
    }
}

/// The members of a JWK, parsed but not yet understood.
pub(crate) struct Members(Map<String, Value>);

/// They may be those of a private key.
impl Drop for Members {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

impl Members {
    pub(crate) fn parse(jwk: &str) -> Result<Self, KeyError> {
        if jwk.len() > JWK_BYTES_MAX {
            return Err(KeyError::TooLong);
        }
        Ok(Self(json::object(jwk.as_bytes())?))
    }

    /// The key identifier, where the JWK has one.
    pub(crate) fn key_id(&self) -> Result<Option<&str>, KeyError> {
        self.optional_text("kid")
    }

    /// SHA-256 of the first certificate of `x5c`, which is in plain base64 (RFC 7517 section 4.7).
    pub(crate) fn certificate(&self) -> Result<Option<[u8; 32]>, KeyError> {
        let Some(chain) = self.0.get("x5c") else { return Ok(None) };
        let first = chain.as_array().and_then(|chain| chain.first()).and_then(Value::as_str);
        let der = first.and_then(|text| STANDARD.decode(text).ok());
        let der = der.ok_or(KeyError::Member("x5c"))?;
        Ok(digest(&SHA256, &der).as_ref().try_into().ok())
    }

    /// The algorithms that this key may be used with: one, except for an RSA key that does not
    /// say (RFC 7517 section 4.4), which may be for either.
    pub(crate) fn algorithms(&self) -> Result<&'static [Algorithm], KeyError> {
        let by_kind: &'static [Algorithm] = match (self.text("kty")?, self.optional_text("crv")?) {
            ("OKP", Some("Ed25519")) => &[Algorithm::EdDsa],
            ("EC", Some("P-256")) => &[Algorithm::Es256],
            ("EC", Some("P-384")) => &[Algorithm::Es384],
            ("OKP" | "EC", None) => return Err(KeyError::Member("crv")),
            ("RSA", _) => &[Algorithm::Rs256, Algorithm::Ps256],
            ("oct", _) => &[Algorithm::Hs256],
            ("AKP", _) => &[Algorithm::MlDsa44, Algorithm::MlDsa65],
            _ => return Err(KeyError::KindUnknown),
        };
        let Some(stated) = self.optional_text("alg")? else {
            // RFC 9964 section 3: an AKP key always says.
            return if by_kind.contains(&Algorithm::MlDsa44) {
                Err(KeyError::Member("alg"))
            } else {
                Ok(by_kind)
            };
        };
        let stated = Algorithm::from_jose_name(stated).ok_or(KeyError::AlgorithmUnknown)?;
        let at = by_kind.iter().position(|known| *known == stated);
        at.and_then(|at| by_kind.get(at..=at)).ok_or(KeyError::KindMismatch(stated))
    }

    /// Holds `kty`, `crv`, `alg`, `use` and `key_ops` against what the key is going to be used for.
    pub(crate) fn check(&self, algorithm: Algorithm, purpose: Purpose) -> Result<(), KeyError> {
        match self.algorithms() {
            Ok(algorithms) if algorithms.contains(&algorithm) => {}
            Ok(_) if self.0.contains_key("alg") => {
                return Err(KeyError::AlgorithmMismatch(algorithm));
            }
            Ok(_) => return Err(KeyError::KindMismatch(algorithm)),
            Err(error) => return Err(error),
        }
        if self.optional_text("use")?.is_some_and(|usage| usage != "sig") {
            return Err(KeyError::Use);
        }
        self.check_operations(purpose)
    }

    fn check_operations(&self, purpose: Purpose) -> Result<(), KeyError> {
        let Some(operations) = self.0.get("key_ops") else { return Ok(()) };
        let operations = operations.as_array().ok_or(KeyError::Member("key_ops"))?;
        let mut allowed = false;
        for (index, operation) in operations.iter().enumerate() {
            let name = operation.as_str().ok_or(KeyError::Member("key_ops"))?;
            // RFC 7517 section 4.3: no operation twice.
            if operations.iter().take(index).any(|earlier| earlier == operation) {
                return Err(KeyError::Member("key_ops"));
            }
            allowed |= name == purpose.operation();
        }
        if allowed { Ok(()) } else { Err(KeyError::Operations) }
    }

    /// Whether it has a member of a private key (or is a secret).
    pub(crate) fn is_private(&self) -> bool {
        ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]
            .iter()
            .any(|name| self.0.contains_key(*name))
    }

    /// The public half, for this algorithm. [`Members::check`] has agreed to it.
    pub(crate) fn public(&self, algorithm: Algorithm) -> Result<Public, KeyError> {
        Ok(match algorithm {
            Algorithm::EdDsa => Public::Ed25519 { x: self.sized("x", 32)? },
            Algorithm::Es256 => self.point(Curve::P256)?,
            Algorithm::Es384 => self.point(Curve::P384)?,
            Algorithm::Rs256 | Algorithm::Ps256 => {
                Public::Rsa { modulus: self.unsigned("n")?, exponent: self.unsigned("e")? }
            }
            Algorithm::MlDsa44 | Algorithm::MlDsa65 => {
                Public::MlDsa { algorithm, bytes: self.bytes("pub")? }
            }
            Algorithm::Hs256 => return Err(KeyError::Symmetric),
        })
    }

    /// The private half, for this algorithm.
    pub(crate) fn private(&self, algorithm: Algorithm) -> Result<Private, KeyError> {
        let secret = |name, len| self.sized(name, len).map(Zeroizing::new);
        if !self.is_private() {
            return Err(KeyError::PublicWherePrivate);
        }
        Ok(match algorithm {
            Algorithm::EdDsa => Private::One(secret("d", 32)?),
            Algorithm::Es256 => Private::One(secret("d", Curve::P256.coordinate_len())?),
            Algorithm::Es384 => Private::One(secret("d", Curve::P384.coordinate_len())?),
            Algorithm::MlDsa44 | Algorithm::MlDsa65 => Private::One(secret("priv", 32)?),
            Algorithm::Hs256 => Private::One(self.bytes("k").map(Zeroizing::new)?),
            Algorithm::Rs256 | Algorithm::Ps256 => {
                // RFC 7518 section 6.3.2.7: more than two primes; nobody uses them.
                if self.0.contains_key("oth") {
                    return Err(KeyError::Member("oth"));
                }
                let part = |name| self.unsigned(name).map(Zeroizing::new);
                Private::Rsa(Box::new([
                    part("d")?,
                    part("p")?,
                    part("q")?,
                    part("dp")?,
                    part("dq")?,
                    part("qi")?,
                ]))
            }
        })
    }

    fn point(&self, curve: Curve) -> Result<Public, KeyError> {
        let len = curve.coordinate_len();
        Ok(Public::Ec { curve, x: self.sized("x", len)?, y: self.sized("y", len)? })
    }

    fn text(&self, name: &'static str) -> Result<&str, KeyError> {
        self.optional_text(name)?.ok_or(KeyError::Member(name))
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<&str>, KeyError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(KeyError::Member(name)),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, KeyError> {
        base64url::decode(self.text(name)?).map_err(|_| KeyError::Member(name))
    }

    /// Bytes of a fixed number, leading zeros included (RFC 7518 section 6.2.1.2).
    fn sized(&self, name: &'static str, len: usize) -> Result<Vec<u8>, KeyError> {
        let bytes = self.bytes(name)?;
        if bytes.len() == len { Ok(bytes) } else { Err(KeyError::Member(name)) }
    }

    /// A number without leading zeros (Base64urlUInt, RFC 7518 section 2).
    fn unsigned(&self, name: &'static str) -> Result<Vec<u8>, KeyError> {
        let bytes = self.bytes(name)?;
        match bytes.first() {
            None | Some(0) => Err(KeyError::Member(name)),
            Some(_) => Ok(bytes),
        }
    }
}

/// A JWK on its way out. Members in the order in which people write them.
#[derive(Serialize)]
struct PublicJwk<'a> {
    kty: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(rename = "pub", skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl Public {
    /// The public JWK for this algorithm.
    pub(crate) fn jwk(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<String> {
        let mut jwk = PublicJwk {
            kty: "OKP",
            crv: None,
            x: None,
            y: None,
            n: None,
            e: None,
            public: None,
            usage: "sig",
            alg: algorithm.name(),
            kid,
        };
        match self {
            Self::Ed25519 { x } => {
                jwk.crv = Some("Ed25519");
                jwk.x = Some(base64url::encode(x));
            }
            Self::Ec { curve, x, y } => {
                jwk.kty = "EC";
                jwk.crv = Some(curve.name());
                jwk.x = Some(base64url::encode(x));
                jwk.y = Some(base64url::encode(y));
            }
            Self::Rsa { modulus, exponent } => {
                jwk.kty = "RSA";
                jwk.n = Some(base64url::encode(modulus));
                jwk.e = Some(base64url::encode(exponent));
            }
            Self::MlDsa { bytes, .. } => {
                jwk.kty = "AKP";
                jwk.public = Some(base64url::encode(bytes));
            }
        }
        serde_json::to_string(&jwk).ok()
    }

    /// The SHA-256 thumbprint, base64url (RFC 7638; RFC 8037 section 2; RFC 9964 section 6).
    pub(crate) fn thumbprint(&self) -> String {
        // The required members in lexical order, without white space; none needs escaping.
        let members = match self {
            Self::Ed25519 { x } => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x))
            }
            Self::Ec { curve, x, y } => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                curve.name(),
                base64url::encode(x),
                base64url::encode(y)
            ),
            Self::Rsa { modulus, exponent } => format!(
                r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
                base64url::encode(exponent),
                base64url::encode(modulus)
            ),
            Self::MlDsa { algorithm, bytes } => format!(
                r#"{{"alg":"{algorithm}","kty":"AKP","pub":"{}"}}"#,
                base64url::encode(bytes)
            ),
        };
        base64url::encode(digest(&SHA256, members.as_bytes()))
    }
}

/// The public keys of somebody else (RFC 7517 section 5).
#[derive(Clone, Default)]
pub struct JwkSet {
    keys: Vec<VerifyingKey>,
    skipped: Vec<KeyError>,
}

impl JwkSet {
    /// Reads a JWK set. A key that we cannot use is skipped, as RFC 7517 section 5 says, and so
    /// is one that must not be used: a private key or secret, one of wrong form, one that is not
    /// for verifying. [`JwkSet::skipped`] tells why.
    ///
    /// # Errors
    /// When the text is too long, is no strict JSON, has no array `keys`, or too many keys.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::of(keys_of(set_members(text)?)?, read)
    }

    /// Reads the keys in a file that somebody keeps: a JWK set, or one JWK alone. There secrets may
    /// be, but only among themselves, and all of them sound: beside public keys they are skipped as
    /// in [`JwkSet::parse`], and where one has to be skipped nobody knows which was meant.
    ///
    /// # Errors
    /// As [`JwkSet::parse`].
    pub fn parse_kept(text: &str) -> Result<Self, KeyError> {
        let members = set_members(text)?;
        let jwks = match members.contains_key("kty") {
            true => vec![Value::Object(members)],
            false => keys_of(members)?,
        };
        let is_secret = |jwk: &Value| jwk.get("kty").is_some_and(|kind| kind == "oct");
        if !jwks.iter().all(is_secret) {
            return Self::of(jwks, read);
        }
        let mut set = Self::of(jwks, read_secret)?;
        if !set.skipped.is_empty() {
            set.keys.clear();
        }
        Ok(set)
    }

    fn of(
        jwks: Vec<Value>,
        read: impl Fn(Value) -> Result<Vec<VerifyingKey>, KeyError>,
    ) -> Result<Self, KeyError> {
        if jwks.len() > SET_KEYS_MAX {
            return Err(KeyError::TooLong);
        }
        let mut set = Self::default();
        for jwk in jwks {
            match read(jwk) {
                Ok(keys) => set.keys.extend(keys),
                Err(error) => set.skipped.push(error),
            }
        }
        Ok(set)
    }

    /// A set of these keys.
    pub fn new(keys: Vec<VerifyingKey>) -> Self {
        Self { keys, skipped: Vec::new() }
    }

    /// Every key that can be used. An RSA key that does not say its algorithm is here twice, once
    /// for each.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// Why keys of the set were skipped.
    pub fn skipped(&self) -> &[KeyError] {
        &self.skipped
    }

    /// The keys for this algorithm with this identifier; without an identifier, all for this
    /// algorithm.
    pub fn find<'a>(
        &'a self,
        key_id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a VerifyingKey> {
        self.keys.iter().filter(move |key| {
            key.algorithm() == algorithm && (key_id.is_none() || key.key_id() == key_id)
        })
    }
}

impl fmt::Debug for JwkSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.keys).finish()
    }
}

fn set_members(text: &str) -> Result<Map<String, Value>, KeyError> {
    if text.len() > SET_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    Ok(json::object(text.as_bytes())?)
}

fn keys_of(mut members: Map<String, Value>) -> Result<Vec<Value>, KeyError> {
    match members.remove("keys") {
        Some(Value::Array(jwks)) => Ok(jwks),
        _ => Err(KeyError::Member("keys")),
    }
}

fn read_secret(jwk: Value) -> Result<Vec<VerifyingKey>, KeyError> {
    let Value::Object(members) = jwk else { return Err(KeyError::Member("keys")) };
    let members = Members(members);
    members.check(Algorithm::Hs256, Purpose::Verify)?;
    let Private::One(secret) = members.private(Algorithm::Hs256)? else {
        return Err(KeyError::KindMismatch(Algorithm::Hs256));
    };
    let key = VerifyingKey::from_secret(&secret)?;
    Ok(vec![match members.key_id()? {
        Some(id) => key.with_key_id(id),
        None => key,
    }])
}

fn read(jwk: Value) -> Result<Vec<VerifyingKey>, KeyError> {
    let Value::Object(members) = jwk else { return Err(KeyError::Member("keys")) };
    let members = Members(members);
    let algorithms = members.algorithms()?;
    algorithms.iter().map(|algorithm| VerifyingKey::from_members(*algorithm, &members)).collect()
}
