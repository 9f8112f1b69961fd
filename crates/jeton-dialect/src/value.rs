//! The values that answers can carry: their names in dialect files, their forms, where they come from.

use std::borrow::Cow;
use std::time::Duration;

use jeton_engine::clock::Time;
use jeton_engine::error::{Error, Kind};
use jeton_engine::limit::{Allowance, LimitOf};
use jeton_engine::token::{Decision, Issued};

/// In which answers a value can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the answer that carries a token.
    Success,
    /// In refusals.
    Refusal,
    /// In both.
    Both,
}

/// Of what sort a value is: it decides which forms it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Text,
    Number,
    Duration,
    Moment,
}

macro_rules! values {
    ($($name:ident, $word:literal, $place:ident, $sort:ident, $text:literal;)+) => {
        /// A value that an answer can carry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Value { $(#[doc = $text] $name,)+ }

        impl Value {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in a dialect file.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            pub(crate) const fn place(self) -> Place {
                match self { $(Self::$name => Place::$place),+ }
            }

            #[cfg(test)]
            const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            pub(crate) const fn sort(self) -> Sort {
                match self { $(Self::$name => Sort::$sort),+ }
            }
        }
    };
}

values! {
    AccessToken, "access_token", Success, Text, "the token";
    TokenType, "token_type", Success, Text, "how the token is to be used: Bearer, or DPoP when it is bound to a key (RFC 9449)";
    ExpiresIn, "expires_in", Success, Duration, "the seconds the token lives; absent when it never expires";
    ExpiresAt, "expires_at", Success, Moment, "when the token expires; absent when it never does";
    IssuedAt, "issued_at", Success, Moment, "when the token was issued";
    Scope, "scope", Success, Text, "the granted scope; absent when empty";
    ScopeIfChanged, "scope_if_changed", Success, Text, "the granted scope; absent when empty or just what was asked for";
    ClientId, "client_id", Success, Text, "the client's identifier";
    ClientName, "client_name", Success, Text, "the client's name; absent when it has none";
    Subject, "subject", Success, Text, "what the token is about: the client's subject, or its identifier";
    Message, "message", Refusal, Text, "a constant English sentence for the kind of refusal";
    Kind, "kind", Refusal, Text, "the kind of refusal, such as invalid_client";
    Parameter, "parameter", Refusal, Text, "the parameter at fault; absent when it is not about one";
    RetryAfter, "retry_after", Refusal, Duration, "the seconds to wait; absent when waiting does not help";
    Reference, "reference", Both, Text, "the reference under which log and `jeton explain` know the decision";
    Status, "status", Both, Number, "the status of this answer";
    Time, "time", Both, Moment, "when it was decided";
    Limit, "limit", Both, Number, "requests allowed by the client's tightest limit; absent when there is none";
    Remaining, "remaining", Both, Number, "requests left of it; absent when there is none";
    Reset, "reset", Both, Moment, "when all of it is there again; absent when there is none";
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text as text, numbers and times (in seconds) as JSON numbers.
    Plain,
    /// In milliseconds instead of seconds.
    Milliseconds,
    /// A moment as RFC 3339 has it, in UTC.
    Date,
}

/// A value in a form: `{expires_at in milliseconds as text}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) value: Value,
    pub(crate) form: Form,
    /// Whether a number is written as a JSON string.
    pub(crate) as_text: bool,
}

/// A value found: a text, or a number that JSON writes bare.
pub(crate) enum Found<'a> {
    Text(Cow<'a, str>),
    Number(i64),
}

/// Where the values of one answer come from.
pub(crate) struct Source<'a> {
    pub(crate) decision: &'a Decision,
    pub(crate) status: u16,
}

impl<'a> Source<'a> {
    /// The value in its form; `None` when it is absent from this answer.
    pub(crate) fn find(&self, slot: Slot) -> Option<Found<'a>> {
        let found = match slot.value.sort() {
            Sort::Text => Found::Text(self.text(slot.value)?),
            Sort::Number => Found::Number(self.number(slot.value)?),
            Sort::Duration => {
                let seconds = self.duration(slot.value)?;
                Found::Number(match slot.form {
                    Form::Milliseconds => seconds.saturating_mul(1000),
                    Form::Plain | Form::Date => seconds,
                })
            }
            Sort::Moment => {
                let moment = self.moment(slot.value)?;
                match slot.form {
                    Form::Plain => Found::Number(moment.seconds()),
                    Form::Milliseconds => Found::Number(moment.milliseconds()),
                    Form::Date => Found::Text(Cow::Owned(date(moment))),
                }
            }
        };
        Some(found)
    }

    /// Whether the value is there at all.
    pub(crate) fn has(&self, value: Value) -> bool {
        match value.sort() {
            Sort::Text => self.text(value).is_some(),
            Sort::Number => self.number(value).is_some(),
            Sort::Duration => self.duration(value).is_some(),
            Sort::Moment => self.moment(value).is_some(),
        }
    }

    fn issued(&self) -> Option<&'a Issued> {
        self.decision.outcome.as_ref().ok()
    }

    fn error(&self) -> Option<&'a Error> {
        self.decision.outcome.as_ref().err()
    }

    fn text(&self, value: Value) -> Option<Cow<'a, str>> {
        let borrowed = match value {
            Value::AccessToken => self.issued()?.access_token.reveal(),
            Value::TokenType => self.issued()?.token_type(),
            Value::ClientId => self.issued()?.client.id.as_str(),
            Value::ClientName => self.issued()?.client.name()?,
            Value::Subject => self.issued()?.client.subject(),
            Value::Message => self.error()?.kind().message(),
            Value::Kind => self.error()?.kind().name(),
            Value::Parameter => match self.error()? {
                Error::Refusal(refusal) => refusal.parameter.as_deref()?,
                Error::Fault(_) => return None,
            },
            Value::Reference => self.decision.reference.as_str(),
            Value::Scope => return granted_scope(self.issued()?),
            Value::ScopeIfChanged => {
                return granted_scope(self.issued().filter(|issued| !issued.scope_is_as_asked)?);
            }
            _ => return None,
        };
        Some(Cow::Borrowed(borrowed))
    }

    fn number(&self, value: Value) -> Option<i64> {
        match value {
            Value::Status => Some(i64::from(self.status)),
            Value::Limit => Some(i64::from(self.allowance()?.limit)),
            Value::Remaining => Some(i64::from(self.allowance()?.remaining)),
            _ => None,
        }
    }

    fn duration(&self, value: Value) -> Option<i64> {
        match value {
            Value::ExpiresIn => i64::try_from(self.issued()?.expires_in()?).ok(),
            Value::RetryAfter => Some(whole_seconds(self.error()?.retry_after()?)),
            _ => None,
        }
    }

    fn moment(&self, value: Value) -> Option<Time> {
        match value {
            Value::ExpiresAt => self.issued()?.expires_at,
            Value::IssuedAt => Some(self.issued()?.issued_at),
            Value::Time => Some(self.decision.at),
            Value::Reset => Some(self.allowance()?.reset),
            _ => None,
        }
    }

    fn allowance(&self) -> Option<Allowance> {
        let left = match &self.decision.outcome {
            Ok(issued) => issued.allowances.tightest(),
            Err(Error::Refusal(refusal)) => refusal.allowance,
            Err(Error::Fault(_)) => None,
        };
        left.filter(|left| left.of == LimitOf::Client)
    }
}

/// The kind of a decision that is not a token.
pub(crate) fn kind_of(decision: &Decision) -> Option<Kind> {
    decision.outcome.as_ref().err().map(Error::kind)
}

/// Whole seconds, rounded up and never zero: who waits that long has waited long enough.
pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let rounded_up = duration.as_millis().div_ceil(1000).max(1);
    i64::try_from(rounded_up).unwrap_or(i64::MAX)
}

fn granted_scope<'a>(issued: &'a Issued) -> Option<Cow<'a, str>> {
    (!issued.scope.is_empty()).then(|| Cow::Owned(issued.scope.to_string()))
}

fn date(moment: Time) -> String {
    // Beyond the years that a date can express the number itself is the best that can be said.
    jiff::Timestamp::from_millisecond(moment.milliseconds())
        .map_or_else(|_| moment.seconds().to_string(), |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_tells_every_value() {
        let readme = include_str!("../../../dialects/README.md");
        let rows: Vec<String> = Value::ALL
            .iter()
            .map(|value| {
                let place = match value.place() {
                    Place::Success => "success",
                    Place::Refusal => "refusals",
                    Place::Both => "both",
                };
                format!("| `{}` | {place} | {} |\n", value.name(), value.explanation())
            })
            .collect();
        let table = format!(
            "| value | where | what it is |\n|---|---|---|\n{}<!-- values: end",
            rows.concat()
        );
        assert!(readme.contains(&table), "dialects/README.md should have\n{table}");
    }
}
