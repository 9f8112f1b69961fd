//! Scope: the grammar of RFC 6749 section 3.3 and the one operation on it, narrowing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::name::NameError;

/// Scope tokens in the order given, each once. May be empty. One text, so that the many who have the
/// same may share it.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Option<Arc<str>>);

impl Scope {
    /// The most scope tokens that one scope may have.
    pub const TOKENS_MAX: usize = 256;
    /// The longest scope text, in bytes.
    pub const BYTES_MAX: usize = 8192;

    /// The scope tokens, one space apart (RFC 6749 section 3.3).
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there is no scope token at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `token` is one of the scope tokens (case-sensitive, RFC 6749 section 3.3).
    pub fn contains(&self, token: &str) -> bool {
        self.tokens().any(|own| own == token)
    }

    /// Whether every scope token of `other` is one of ours.
    pub fn covers(&self, other: &Self) -> bool {
        other.tokens().all(|token| self.contains(token))
    }

    /// The scope tokens that `keep` says yes to.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.tokens().all(&keep) {
            return self.clone();
        }
        Self::of(&self.tokens().filter(|token| keep(token)).collect::<Tokens<'_>>())
    }

    /// The scope tokens, in order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|text| text.split(' '))
    }

    fn of(tokens: &Tokens<'_>) -> Self {
        Self((!tokens.is_empty()).then(|| tokens.join(" ").into()))
    }
}

/// Scope tokens being looked at; mostly there are few.
type Tokens<'a> = SmallVec<[&'a str; 8]>;

impl FromStr for Scope {
    type Err = NameError;

    /// Parses `scope-token *( SP scope-token )`; duplicates collapse; the empty text is the empty scope.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::BYTES_MAX {
            return Err(NameError("must have at most 8192 bytes"));
        }
        let mut tokens = Tokens::new();
        if text.is_empty() {
            return Ok(Self(None));
        }
        for token in text.split(' ') {
            // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
            let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            if token.is_empty() || !token.bytes().all(allowed) {
                return Err(NameError(
                    "must be scope tokens of printable ASCII without \" and \\, one space apart",
                ));
            }
            if tokens.contains(&token) {
                continue;
            }
            // At once: thousands of tokens are not compared with each other first.
            if tokens.len() == Self::TOKENS_MAX {
                return Err(NameError("must have at most 256 scope tokens"));
            }
            tokens.push(token);
        }
        Ok(Self::of(&tokens))
    }
}

impl TryFrom<String> for Scope {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> String {
        scope.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.as_str())
    }
}
