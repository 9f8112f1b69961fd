//! How a command ends when it does not end well: what happened, where, what to do next, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use jeton_engine::manage::ManageError;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line or the configuration is wrong: exit code 2.
    Usage(Message),
    /// It was refused, or something broke: exit code 1.
    Failed(Message),
    /// Everything worth saying has been printed already: exit code 1.
    Said,
    /// Whoever read our output has gone. Nothing is said; the exit code is that of a program which
    /// died of SIGPIPE, as shells expect.
    PipeClosed,
}

/// What happened, where, and what to do next.
#[derive(Debug)]
pub(super) struct Message {
    what: String,
    place: Option<String>,
    next: Vec<String>,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(Message::new(what))
    }

    /// It was refused, or something broke.
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(Message::new(what))
    }

    /// A file could not be read or written.
    pub(super) fn file(act: &str, path: &Path, error: &io::Error) -> Self {
        Self::failed(format!("{act} failed: {error}")).at(path.display())
    }

    /// Says where it happened.
    #[must_use]
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        self.with(|message| message.place = Some(place.to_string()))
    }

    /// Adds a sentence or a command that helps.
    #[must_use]
    pub(super) fn next(self, advice: impl Into<String>) -> Self {
        self.with(|message| message.next.push(advice.into()))
    }

    fn with(mut self, change: impl FnOnce(&mut Message)) -> Self {
        if let Self::Usage(message) | Self::Failed(message) = &mut self {
            change(message);
        }
        self
    }

    /// Tells standard error, and says with which code to exit.
    pub(super) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, 2),
            Self::Failed(message) => (message, 1),
            Self::Said => return ExitCode::from(1),
            Self::PipeClosed => return ExitCode::from(141),
        };
        // When standard error is gone too, there is nobody left to tell.
        let _ = message.write(&mut anstream::stderr().lock());
        ExitCode::from(code)
    }
}

impl Message {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), place: None, next: Vec::new() }
    }

    fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let bold = Style::new().bold();
        writeln!(to, "{red}error:{red:#} {}", self.what)?;
        if let Some(place) = &self.place {
            writeln!(to, "   {bold}in:{bold:#} {place}")?;
        }
        for advice in &self.next {
            writeln!(to, "  {bold}try:{bold:#} {advice}")?;
        }
        to.flush()
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        let failure = match &error {
            // Fields are named as on the command line, without the dashes.
            ManageError::Invalid { field, problem } => Self::failed(format!("{field}: {problem}")),
            _ => Self::failed(error.to_string()),
        };
        match error {
            ManageError::Conflict(_) => failure.next("the same command again"),
            _ => failure,
        }
    }
}
