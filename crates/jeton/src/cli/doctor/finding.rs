//! What was found: how bad it is, what it is, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, and will not for long, or not as it should.
    Warning,
    /// It does not work, or must not be so.
    Problem,
}

impl Level {
    /// The stable name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at: a name that stays.
    pub(super) check: &'static str,
    /// How bad it is.
    pub(super) level: Level,
    /// What was found, in one sentence.
    pub(super) what: String,
    /// Where.
    #[serde(rename = "where")]
    pub(super) place: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn new(
        level: Level,
        check: &'static str,
        place: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        Self { check, level, what: what.into(), place: place.to_string(), remedy: None }
    }

    /// As it should be.
    pub(super) fn ok(
        check: &'static str,
        place: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Level::Ok, check, place, what)
    }

    /// Good to know.
    pub(super) fn note(
        check: &'static str,
        place: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Level::Note, check, place, what)
    }

    /// It works, and will not for long, or not as it should.
    pub(super) fn warning(
        check: &'static str,
        place: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warning, check, place, what)
    }

    /// It does not work, or must not be so.
    pub(super) fn problem(
        check: &'static str,
        place: impl fmt::Display,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Level::Problem, check, place, what)
    }

    /// Says what to do about it.
    #[must_use]
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
