//! JSON Web Signatures in the compact serialization (RFC 7515): taking them apart, verifying.
//!
//! What a token says about keys is a name to look up in keys we already have: `jku`, `x5u`, `jwk`
//! and `x5c` are never followed, and `alg` is only compared with the key's own (RFC 8725).

use std::fmt;

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::JwsError;
use crate::json;
use crate::jwk::JwkSet;
use crate::key::{SigningKey, VerifyingKey};

/// The longest token we take apart, in bytes.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// How many keys are tried for a token that names none.
pub const KEYS_TRIED_MAX: usize = 8;

/// The header parameters that RFC 7515 and RFC 7518 define; none of them may stand in `crit`.
const REGISTERED: [&str; 13] = [
    "alg", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit", "enc", "zip",
];

/// What a header says.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The algorithm (`alg`).
    pub algorithm: Algorithm,
    /// The key's identifier (`kid`).
    pub key_id: Option<String>,
    /// The token's type (`typ`), as written.
    pub token_type: Option<String>,
    /// The payload's type (`cty`), as written.
    pub content_type: Option<String>,
    /// A public key (`jwk`), as JSON. Never used to verify the token that carries it, except where a
    /// protocol says so and binds it to something else (DPoP, RFC 9449 section 4.3).
    pub embedded_jwk: Option<String>,
}

impl Header {
    /// Whether `typ` is this media type, letter case and the prefix `application/` aside (RFC 7515
    /// section 4.1.9).
    pub fn is_type(&self, expected: &str) -> bool {
        let Some(stated) = self.token_type.as_deref() else { return false };
        // The prefix may be left out where no other slash is in the name.
        let bare = |name: &str| match name.split_once('/') {
            Some((first, rest)) if first.eq_ignore_ascii_case("application") => {
                rest.to_ascii_lowercase()
            }
            _ => name.to_ascii_lowercase(),
        };
        bare(stated) == bare(expected)
    }

    fn parse(bytes: &[u8]) -> Result<Self, JwsError> {
        let members = json::object(bytes).map_err(JwsError::HeaderJson)?;
        let text = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(JwsError::Header(name)),
        };
        let name = text("alg")?.ok_or(JwsError::Header("alg"))?;
        // Every spelling of it: some libraries were fooled by "NonE".
        if name.eq_ignore_ascii_case("none") {
            return Err(JwsError::Unsigned);
        }
        let algorithm = Algorithm::from_jose_name(&name).ok_or(JwsError::AlgorithmUnknown)?;
        check_extensions(&members)?;
        let embedded_jwk = match members.get("jwk") {
            None => None,
            Some(jwk @ Value::Object(_)) => Some(jwk.to_string()),
            Some(_) => return Err(JwsError::Header("jwk")),
        };
        Ok(Self {
            algorithm,
            key_id: text("kid")?,
            token_type: text("typ")?,
            content_type: text("cty")?,
            embedded_jwk,
        })
    }
}

/// Refuses what changes the meaning of the token: `crit` (RFC 7515 section 4.1.11), `b64` (RFC 7797)
/// and `zip`. The only extension we know is `b64`, and only with its default.
fn check_extensions(members: &Map<String, Value>) -> Result<(), JwsError> {
    if members.contains_key("zip") {
        return Err(JwsError::Compressed);
    }
    match members.get("b64") {
        None | Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => return Err(JwsError::PayloadUnencoded),
        Some(_) => return Err(JwsError::Header("b64")),
    }
    let Some(critical) = members.get("crit") else { return Ok(()) };
    let names = critical.as_array().ok_or(JwsError::Header("crit"))?;
    if names.is_empty() {
        return Err(JwsError::Header("crit"));
    }
    for (index, name) in names.iter().enumerate() {
        let text = name.as_str().ok_or(JwsError::Header("crit"))?;
        let twice = names.iter().take(index).any(|earlier| earlier == name);
        if twice || REGISTERED.contains(&text) || !members.contains_key(text) {
            return Err(JwsError::Header("crit"));
        }
        if text != "b64" {
            return Err(JwsError::CriticalUnknown);
        }
    }
    Ok(())
}

/// A token taken apart, its signature not yet checked: nothing in it is true so far.
pub struct Unverified<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact token apart.
    ///
    /// # Errors
    /// When it is not a well-formed token that we could verify.
    pub fn parse(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Parts)?;
        if payload.contains('.') {
            return Err(JwsError::Parts);
        }
        let decode = |part: &str| base64url::decode(part).map_err(|_| JwsError::Base64url);
        Ok(Self {
            header: Header::parse(&decode(header)?)?,
            signed,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// What the header says. Good for finding the key.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload, which anybody could have written. Good for finding out whose keys to ask for, and
    /// for telling a person what a token says.
    pub fn danger_unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Checks the signature with one key.
    ///
    /// # Errors
    /// When the token names another algorithm than the key's, or the signature is wrong.
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified, JwsError> {
        self.check(key)?;
        Ok(Verified { header: self.header, payload: self.payload })
    }

    /// Checks the signature with one key, for those who read the payload to find that key and go
    /// on with what they read.
    ///
    /// # Errors
    /// As [`Unverified::verify`].
    pub fn check(&self, key: &VerifyingKey) -> Result<(), JwsError> {
        if self.header.algorithm != key.algorithm() {
            return Err(JwsError::AlgorithmMismatch);
        }
        if self.is_signed_by(key) { Ok(()) } else { Err(JwsError::Signature) }
    }

    /// Checks the signature with the key of the set that the token names. A token that names none is
    /// tried with every key of its algorithm, if they are few.
    ///
    /// # Errors
    /// When no key fits, too many fit, or the signature is wrong.
    pub fn verify_with(self, keys: &JwkSet) -> Result<Verified, JwsError> {
        let found = || keys.find(self.header.key_id.as_deref(), self.header.algorithm);
        // RFC 7517 section 4.5: an identifier is for one key.
        let most = if self.header.key_id.is_some() { 1 } else { KEYS_TRIED_MAX };
        match found().take(most + 1).count() {
            0 => return Err(JwsError::KeyUnknown),
            count if count > most => return Err(JwsError::KeyAmbiguous),
            _ => {}
        }
        if !found().any(|key| self.is_signed_by(key)) {
            return Err(JwsError::Signature);
        }
        Ok(Verified { header: self.header, payload: self.payload })
    }

    fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        key.verify(self.signed.as_bytes(), &self.signature).is_ok()
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Unverified").field("header", &self.header).finish_non_exhaustive()
    }
}

/// A token whose signature is right.
#[derive(Clone, PartialEq)]
pub struct Verified {
    /// What its header says.
    pub header: Header,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verified").field("header", &self.header).finish_non_exhaustive()
    }
}

/// Takes a compact token apart and checks it with the keys of a set.
///
/// # Errors
/// When it is not well formed, no key fits, or the signature is wrong.
pub fn verify_compact(token: &str, keys: &JwkSet) -> Result<Verified, JwsError> {
    Unverified::parse(token)?.verify_with(keys)
}

/// The header parameters that a token of ours can have.
///
/// Encoded once per key and kind of token; [`SigningKey::sign_compact`] takes the result.
pub fn encode_header(key: &SigningKey, key_id: Option<&str>, token_type: Option<&str>) -> String {
    let mut members = Map::new();
    members.insert("alg".to_owned(), key.algorithm().name().into());
    if let Some(token_type) = token_type {
        members.insert("typ".to_owned(), token_type.into());
    }
    if let Some(key_id) = key_id {
        members.insert("kid".to_owned(), key_id.into());
    }
    base64url::encode(Value::Object(members).to_string())
}
