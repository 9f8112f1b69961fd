//! What a token is bound to (`cnf`, RFC 7800 section 3.1): whoever presents it must hold that too.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::name::NameError;

/// The name of the claim.
pub const CNF: &str = "cnf";
/// The thumbprint of a DPoP key (RFC 9449 section 6.1).
const JKT: &str = "jkt";
/// The thumbprint of a certificate (RFC 8705 section 3.1).
const X5T_S256: &str = "x5t#S256";

/// SHA-256 of a key's required members (RFC 7638) or of a certificate's DER (RFC 8705 section 3.1).
/// Its text is base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of a certificate.
    pub fn of_certificate(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(bytes)
    }

    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NameError("must be 32 bytes in base64url"))
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a token is bound to; to nothing by default: it is a bearer token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The key whose DPoP proofs must come with it.
    pub key: Option<Thumbprint>,
    /// The certificate whose TLS connection it must come over.
    pub certificate: Option<Thumbprint>,
}

impl Confirmation {
    /// Whether whoever has the token may use it.
    pub fn is_bearer(&self) -> bool {
        self.key.is_none() && self.certificate.is_none()
    }

    /// How the token is to be used (RFC 6749 section 7.1): `DPoP` (RFC 9449 section 5) or `Bearer`,
    /// also when it is bound to a certificate (RFC 8705 section 3).
    pub fn token_type(&self) -> &'static str {
        if self.key.is_some() { "DPoP" } else { "Bearer" }
    }

    /// The claim; `None` for a bearer token.
    pub fn claim(&self) -> Option<Value> {
        if self.is_bearer() {
            return None;
        }
        let mut members = Map::new();
        let mut put = |name: &str, thumbprint: Option<Thumbprint>| {
            if let Some(thumbprint) = thumbprint {
                members.insert(name.to_owned(), thumbprint.to_string().into());
            }
        };
        put(JKT, self.key);
        put(X5T_S256, self.certificate);
        Some(members.into())
    }

    /// Reads the claim of a token.
    ///
    /// # Errors
    /// When it binds the token in a way that we cannot check: such a token holds for nobody.
    pub fn from_claim(claim: Option<&Value>) -> Result<Self, NameError> {
        let Some(claim) = claim else { return Ok(Self::default()) };
        let members = claim.as_object().ok_or(NameError("must be an object"))?;
        let mut confirmation = Self::default();
        for (name, value) in members {
            let text = value.as_str().ok_or(NameError("must have texts as members"))?;
            match name.as_str() {
                JKT => confirmation.key = Some(text.parse()?),
                X5T_S256 => confirmation.certificate = Some(text.parse()?),
                _ => return Err(NameError("must have no members but jkt and x5t#S256")),
            }
        }
        if confirmation.is_bearer() {
            return Err(NameError("must bind to something"));
        }
        Ok(confirmation)
    }
}

impl FromStr for Confirmation {
    type Err = NameError;

    /// Reads the claim as JSON.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let claim = serde_json::from_str(text).map_err(|_| NameError("must be JSON"))?;
        Self::from_claim(Some(&claim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

    fn read(claim: &str) -> Result<Confirmation, NameError> {
        Confirmation::from_claim(Some(&serde_json::from_str(claim).unwrap()))
    }

    #[test]
    fn a_claim_comes_back_as_it_was_written() {
        let thumbprint = Some(TEXT.parse().unwrap());
        for (key, certificate) in [(thumbprint, None), (None, thumbprint), (thumbprint, thumbprint)]
        {
            let confirmation = Confirmation { key, certificate };
            assert_eq!(Confirmation::from_claim(confirmation.claim().as_ref()), Ok(confirmation));
        }
        assert_eq!(Confirmation::default().claim(), None);
        assert_eq!(Confirmation::from_claim(None), Ok(Confirmation::default()));
    }

    #[test]
    fn a_binding_that_cannot_be_checked_is_no_bearer_token() {
        let short = TEXT.get(1..).unwrap();
        for claim in [
            "{}",
            "[]",
            "null",
            "\"x\"",
            r#"{"jkt":1}"#,
            &format!(r#"{{"jkt":"{short}"}}"#),
            &format!(r#"{{"jkt":"{TEXT}","jwk":"x"}}"#),
            &format!(r#"{{"x5t#S256":"{TEXT}="}}"#),
        ] {
            assert!(read(claim).is_err(), "{claim}");
        }
        assert!(read(&format!(r#"{{"jkt":"{TEXT}"}}"#)).is_ok());
    }
}
