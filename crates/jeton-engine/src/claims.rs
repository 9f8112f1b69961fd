//! Custom claims: what a realm or a client adds to its tokens.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::NameError;

/// Claims of the operator's own, in order. Names that the protocols give a meaning are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct CustomClaims(Option<Box<Map<String, Value>>>);

impl CustomClaims {
    /// Names that have a meaning of their own: RFC 7519 section 4.1, RFC 9068 section 2.2,
    /// RFC 7662 section 2.2, RFC 7800 section 3.1, RFC 8693 section 4.
    const RESERVED: &'static [&'static str] = &[
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "jti",
        "client_id",
        "scope",
        "cnf",
        "active",
        "username",
        "token_type",
        "act",
        "may_act",
        "auth_time",
        "acr",
        "amr",
    ];
    /// The most claims that there may be.
    pub const COUNT_MAX: usize = 32;
    /// The longest that they may be as JSON, in bytes.
    pub const BYTES_MAX: usize = 4096;

    /// The claims, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter().flat_map(|claims| claims.iter())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The claim of this name.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }

    /// These claims and the client's, which win where both have one of a name.
    pub fn with<'a>(&'a self, client: &'a Self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let own = self.iter().filter(|(name, _)| client.claim(name).is_none());
        own.chain(client.iter())
    }
}

impl TryFrom<Map<String, Value>> for CustomClaims {
    type Error = NameError;

    fn try_from(claims: Map<String, Value>) -> Result<Self, NameError> {
        if claims.is_empty() {
            return Ok(Self(None));
        }
        if claims.len() > Self::COUNT_MAX {
            return Err(NameError("must be at most 32 claims"));
        }
        if claims.keys().any(|name| name.is_empty() || Self::RESERVED.contains(&name.as_str())) {
            return Err(NameError(
                "must not have claims with a meaning of their own, such as iss, sub, aud, exp, scope or cnf",
            ));
        }
        let bytes = serde_json::to_vec(&claims).map_or(usize::MAX, |json| json.len());
        if bytes > Self::BYTES_MAX {
            return Err(NameError("must have at most 4096 bytes as JSON"));
        }
        Ok(Self(Some(Box::new(claims))))
    }
}

impl From<CustomClaims> for Map<String, Value> {
    fn from(claims: CustomClaims) -> Self {
        claims.0.map(|claims| *claims).unwrap_or_default()
    }
}

impl FromStr for CustomClaims {
    type Err = NameError;

    /// Reads a JSON object.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let claims = jeton_jose::json::object(text.as_bytes());
        claims.map_err(|_| NameError("must be a JSON object with every member once"))?.try_into()
    }
}

impl std::fmt::Display for CustomClaims {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => formatter.write_str("{}"),
            Some(claims) => {
                let json = serde_json::to_string(claims).map_err(|_| std::fmt::Error)?;
                formatter.write_str(&json)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Result<CustomClaims, NameError> {
        text.parse()
    }

    #[test]
    fn claims_with_a_meaning_of_their_own_are_refused() {
        for name in CustomClaims::RESERVED {
            assert!(claims(&format!("{{\"{name}\":1}}")).is_err(), "{name}");
        }
        assert!(claims("{\"tenant\":1}").is_ok());
        assert!(claims("{\"\":1}").is_err());
    }

    #[test]
    fn what_is_no_small_object_is_refused() {
        let long = format!("{{\"x\":\"{}\"}}", "a".repeat(CustomClaims::BYTES_MAX));
        for text in ["", "[]", "1", "{\"a\":1,\"a\":2}", "{\"a\":1} ", &long] {
            assert_eq!(claims(text).is_ok(), text == "{\"a\":1} ", "{text}");
        }
        assert!(claims("{}").unwrap().is_empty());
    }

    #[test]
    fn the_clients_claims_win() {
        let realm = claims(r#"{"tenant":"t","tier":1}"#).unwrap();
        let client = claims(r#"{"tier":2}"#).unwrap();
        let together: Vec<_> =
            realm.with(&client).map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(together, ["tenant=\"t\"", "tier=2"]);
    }
}
