//! Names: one type for every string that identifies something, checked once where it comes in. Most are
//! short: up to 23 bytes are in their place (of identifiers of secrets 14), and whatever is longer is
//! shared by its copies.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::short_text::ShortText;

/// Why a string is not a name of the kind it was meant to be; reads after the name of the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub(crate) &'static str);

macro_rules! name {
    ($(#[$documentation:meta])* $name:ident($text:ident), $check:path) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name($text);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self($text::new(text)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:?}", &*self.0)
            }
        }
    };
}

name! {
    /// The name of a realm: 1 to 63 of `a-z 0-9 -`, starting with a letter or a digit.
    RealmName(SmolStr), check_plain
}
name! {
    /// The name of a dialect: 1 to 63 of `a-z 0-9 -`, starting with a letter or a digit.
    DialectName(SmolStr), check_plain
}
name! {
    /// A client identifier (RFC 6749 section 2.2): 1 to 255 bytes of any text without control
    /// characters. Some providers' identifiers are people's user names, with spaces and letters of
    /// any alphabet, so it is wider than RFC 6749 appendix A.1.
    ClientId(SmolStr), check_text
}
name! {
    /// What a token is about (`sub`): 1 to 255 bytes without control characters.
    Subject(SmolStr), check_text
}
name! {
    /// Who a token is for (`aud`): 1 to 255 bytes without control characters.
    Audience(SmolStr), check_text
}
name! {
    /// The identifier of a signing key (`kid`): 1 to 64 of `A-Z a-z 0-9 - _ .`.
    KeyId(SmolStr), check_identifier
}
name! {
    /// Our identifier of one issued token, safe to show: never the token itself.
    TokenId(SmolStr), check_identifier
}
name! {
    /// Our identifier of one of a client's secrets, safe to show: never the secret itself.
    SecretId(ShortText), check_identifier
}

impl From<uuid::Uuid> for TokenId {
    /// Its usual spelling, whose characters an identifier may have.
    fn from(id: uuid::Uuid) -> Self {
        let mut text = uuid::Uuid::encode_buffer();
        Self(SmolStr::new(id.hyphenated().encode_lower(&mut text)))
    }
}

fn check_plain(text: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || text.len() > 63 {
        return Err(NameError("must have 1 to 63 characters"));
    }
    if text.starts_with('-') || !text.bytes().all(allowed) {
        return Err(NameError("may only have a-z, 0-9 and -, and must not start with -"));
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 255 {
        return Err(NameError("must have 1 to 255 bytes"));
    }
    // Looked at by bytes where that is enough: all clients are read at every start.
    let control = match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.chars().any(char::is_control),
    };
    if control {
        return Err(NameError("must not have control characters"));
    }
    Ok(())
}

fn check_identifier(text: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > 64 {
        return Err(NameError("must have 1 to 64 characters"));
    }
    if !text.bytes().all(allowed) {
        return Err(NameError("may only have A-Z, a-z, 0-9, -, _ and ."));
    }
    Ok(())
}
