//! JSON Web Tokens: reading the claims of a payload (RFC 7519), each by its type.
//!
//! Which claims must be there and what they must say is for the caller to decide.

use std::fmt;

use serde_json::{Map, Value};

use crate::json::{self, NotStrictObject};

/// The largest time we read, in seconds since 1970: the end of the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// The claims of a token.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is no JSON object, or a member is there twice at any depth.
    pub fn parse(payload: &[u8]) -> Result<Self, NotStrictObject> {
        json::object(payload).map(Self)
    }

    /// A claim of any type.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every claim, in the payload's order.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A claim that is a text (`iss`, `sub`, `jti` …).
    ///
    /// # Errors
    /// When it is there but no text.
    pub fn text<'a>(&'a self, name: &'static str) -> Result<Option<&'a str>, ClaimMalformed> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(ClaimMalformed(name)),
        }
    }

    /// A claim that is a time (`exp`, `nbf`, `iat`), in whole seconds since 1970.
    ///
    /// A fraction, which RFC 7519 section 2 allows, is cut off.
    ///
    /// # Errors
    /// When it is there but no number, before 1970 or after the year 9999.
    pub fn time(&self, name: &'static str) -> Result<Option<u64>, ClaimMalformed> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let number = value.as_number().ok_or(ClaimMalformed(name))?;
        let seconds = match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => Some(seconds),
            // Exact: every whole number up to the largest time has a float of its own.
            (None, Some(float)) if (0.0..=SECONDS_MAX as f64).contains(&float) => {
                Some(float as u64)
            }
            _ => None,
        };
        match seconds {
            Some(seconds) if seconds <= SECONDS_MAX => Ok(Some(seconds)),
            _ => Err(ClaimMalformed(name)),
        }
    }

    /// The audiences (`aud`): one text, or a list of texts (RFC 7519 section 4.1.3).
    ///
    /// # Errors
    /// When the claim is there but is neither.
    pub fn audiences(&self) -> Result<Vec<&str>, ClaimMalformed> {
        match self.0.get("aud") {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or(ClaimMalformed("aud"))).collect()
            }
            Some(_) => Err(ClaimMalformed("aud")),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

/// A claim that is there, but not of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim `{0}` is not of its type")]
pub struct ClaimMalformed(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn times_are_whole_seconds_within_bounds() {
        let time = |text: &str| claims(&format!(r#"{{"exp":{text}}}"#)).time("exp");
        assert_eq!(time("0"), Ok(Some(0)));
        assert_eq!(time("1700000000"), Ok(Some(1_700_000_000)));
        assert_eq!(time("1700000000.9"), Ok(Some(1_700_000_000)));
        assert_eq!(time("1.7e9"), Ok(Some(1_700_000_000)));
        assert_eq!(time("253402300799"), Ok(Some(SECONDS_MAX)));
        for text in ["-1", "-0.5", "253402300800", "1e300", "\"1\"", "null", "true", "[1]"] {
            assert_eq!(time(text), Err(ClaimMalformed("exp")), "{text}");
        }
        assert_eq!(claims("{}").time("exp"), Ok(None));
    }

    #[test]
    fn texts_and_audiences_keep_to_their_types() {
        assert_eq!(claims(r#"{"sub":"a"}"#).text("sub"), Ok(Some("a")));
        assert_eq!(claims(r#"{"sub":1}"#).text("sub"), Err(ClaimMalformed("sub")));
        assert_eq!(claims(r#"{"sub":null}"#).text("sub"), Err(ClaimMalformed("sub")));
        assert_eq!(claims(r#"{"aud":"a"}"#).audiences(), Ok(vec!["a"]));
        assert_eq!(claims(r#"{"aud":["a","b"]}"#).audiences(), Ok(vec!["a", "b"]));
        assert_eq!(claims("{}").audiences(), Ok(vec![]));
        for text in [r#"{"aud":1}"#, r#"{"aud":["a",1]}"#, r#"{"aud":{"a":1}}"#] {
            assert_eq!(claims(text).audiences(), Err(ClaimMalformed("aud")), "{text}");
        }
    }

    #[test]
    fn claim_values_stay_out_of_debug_output() {
        assert_eq!(format!("{:?}", claims(r#"{"sub":"secret"}"#)), r#"["sub"]"#);
    }
}
