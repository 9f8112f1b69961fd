//! The cast: the clients and keys that a dialect's exchanges are played with. `jeton dev` has the same
//! ones, so that curl lines and `replay` work against it. None of these secrets is one.

use std::fmt;

use ipnet::IpNet;
use jeton_engine::client::proof::PublicKeys;
use jeton_engine::clock::Time;
use jeton_engine::jose::Algorithm;
use jeton_engine::name::{Audience, ClientId, Subject};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::scope::Scope;
use jeton_engine::terms::Lifetime;
use serde::Deserialize;

use crate::problem::{Finder, Problems};

/// Who plays in exchanges.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cast {
    /// Signing keys.
    #[serde(default, rename = "key")]
    pub keys: Vec<CastKey>,
    /// Clients.
    #[serde(default, rename = "client")]
    pub clients: Vec<CastClient>,
}

/// A signing key of the cast.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CastKey {
    /// The algorithm, a symmetric one.
    pub algorithm: Algorithm,
    /// The secret, as text whose bytes are the key.
    pub secret: CastSecret,
}

/// A client of the cast.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CastClient {
    /// Its identifier.
    pub id: ClientId,
    /// Its secret; a client with keys has none.
    pub secret: Option<CastSecret>,
    /// Its public keys, for `private_key_jwt`.
    pub jwks: Option<PublicKeys>,
    /// What people call it.
    pub name: Option<String>,
    /// What its tokens are about.
    pub subject: Option<Subject>,
    /// The scope it may have.
    #[serde(default)]
    pub scope: Scope,
    /// Who its tokens may be for.
    #[serde(default)]
    pub audiences: Vec<Audience>,
    /// How long its tokens live.
    #[serde(default, deserialize_with = "lifetime")]
    pub lifetime: Option<Lifetime>,
    /// The networks it may call from.
    #[serde(default)]
    pub networks: Vec<IpNet>,
    /// The ways it may authenticate.
    #[serde(default)]
    pub authentication: Vec<AuthenticationMethod>,
    /// What has become of it.
    #[serde(default)]
    pub state: CastState,
    /// When its secret expires.
    #[serde(default, deserialize_with = "moment")]
    pub secret_expires_at: Option<Time>,
}

/// What has become of a client of the cast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastState {
    /// It may have tokens.
    #[default]
    Enabled,
    /// An operator disabled it.
    Disabled,
    /// Wrong guesses locked it, until an operator unlocks it.
    Locked,
    /// Its secrets were revoked.
    Revoked,
}

/// A secret of the cast. Public as it is, it stays out of logs, so that no habit is made of it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct CastSecret(String);

impl CastSecret {
    /// The secret, for the one who presents or keeps it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CastSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl Cast {
    /// Parses a `cast.toml`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let cast: Self = toml::from_str(text).map_err(|error| {
            let mut finder = Finder::new(file, text);
            let remedy = "see \"Exchanges\" in `jeton dialect guide`";
            let span = error.span().unwrap_or(0..0);
            // Types tell what is wrong with a value; which value it was stands in the file.
            let about_value = ["is ", "must ", "has ", "cannot ", "may "];
            let message = match text.get(span.clone()) {
                Some(value) if about_value.iter().any(|word| error.message().starts_with(word)) => {
                    format!("`{}` {}", value.trim_matches('"'), error.message())
                }
                _ => error.message().to_owned(),
            };
            finder.at(&span, message, remedy);
            finder.finish()
        })?;
        let mut bare = cast.clients.iter();
        match bare.find(|client| client.secret.is_some() == client.jwks.is_some()) {
            Some(client) => {
                let message = format!("client {} must have either `secret` or `jwks`", client.id);
                Err(Problems::with_file(file, message))
            }
            None => Ok(cast),
        }
    }
}

fn lifetime<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Lifetime>, D::Error> {
    let text = String::deserialize(from)?;
    if text == "never" {
        return Ok(Some(Lifetime::Never));
    }
    let span: jiff::SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
    let seconds = u32::try_from(span.as_secs()).ok().and_then(std::num::NonZeroU32::new);
    let seconds = seconds.ok_or_else(|| serde::de::Error::custom("must be a second or more"))?;
    Ok(Some(Lifetime::Seconds(seconds)))
}

fn moment<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
    let text = String::deserialize(from)?;
    let moment: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    Ok(Some(Time::from_milliseconds(moment.as_millisecond())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_a_secret_or_keys() {
        const KEYS: &str = r#"jwks = { keys = [{ kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] }"#;
        for (words, is_right) in [
            ("secret = \"s\"", true),
            (KEYS, true),
            ("", false),
            (&*format!("secret = \"s\"\n{KEYS}"), false),
            ("jwks = { keys = [] }", false),
            ("jwks = { keys = [{ kty = \"oct\", k = \"c2VjcmV0\" }] }", false),
        ] {
            let cast = Cast::parse("cast.toml", &format!("[[client]]\nid = \"a\"\n{words}\n"));
            assert_eq!(cast.is_ok(), is_right, "{words}");
        }
    }

    #[test]
    fn a_mistake_names_the_value_that_is_wrong() {
        let text = "[[key]]\nalgorithm = \"HS999\"\nsecret = \"s\"\n";
        let told = Cast::parse("cast.toml", text).unwrap_err().to_string();
        assert!(told.contains("`HS999` is not one of"), "{told}");
        assert!(told.contains("cast.toml:2"), "{told}");
    }
}
