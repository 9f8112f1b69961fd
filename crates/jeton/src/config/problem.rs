//! What is wrong with a configuration: every problem at once, each with its place and its remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the default.
    Default,
    /// In the file, at these bytes.
    File(Range<usize>),
    /// In this environment variable.
    Environment(String),
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) message: String,
    pub(super) place: Place,
    pub(super) remedy: Option<String>,
    /// Whether the line may be shown: what stands where a secret might is only named by its line.
    pub(super) shown: Shown,
}

/// Whether a problem's line may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

impl Problem {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { message: message.into(), place, remedy: None, shown: Shown::Yes }
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(super) fn hidden(mut self) -> Self {
        self.shown = Shown::No;
        self
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

/// Whether problems keep a configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

/// Every problem of one configuration. Displayed without colour; see [`Problems::render`].
#[derive(Clone)]
pub struct Problems {
    file_name: String,
    text: String,
    severity: Severity,
    problems: Vec<Problem>,
}

/// Whether to write for people at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With colours.
    On,
    /// Plain text.
    Off,
}

impl Problems {
    pub(super) fn new(
        file_name: &str,
        text: &str,
        severity: Severity,
        problems: Vec<Problem>,
    ) -> Self {
        Self { file_name: file_name.to_owned(), text: text.to_owned(), severity, problems }
    }

    /// Other problems of the same file.
    pub(super) fn beside(&self, severity: Severity, problems: Vec<Problem>) -> Self {
        Self::new(&self.file_name, &self.text, severity, problems)
    }

    /// A problem with the file as a whole.
    pub(super) fn of_file(file_name: &str, message: String, remedy: &str) -> Self {
        let problem = Problem::new(Place::Default, message).remedy(remedy);
        Self::new(file_name, "", Severity::Error, vec![problem])
    }

    /// The problems, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.problems.len()
    }

    /// The line of a place in the file, counted from one.
    pub fn line(&self, problem: &Problem) -> Option<usize> {
        match &problem.place {
            Place::File(span) => Some(line_of(&self.text, span.start)),
            Place::Default | Place::Environment(_) => None,
        }
    }

    /// All of them, each with file, line and remedy.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::On => Renderer::styled().decor_style(DecorStyle::Unicode),
            Colour::Off => Renderer::plain().decor_style(DecorStyle::Ascii),
        };
        let rendered: Vec<String> =
            self.problems.iter().map(|problem| self.render_one(&renderer, problem)).collect();
        rendered.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str());
        let group = match (&problem.place, problem.shown) {
            (Place::File(span), Shown::Yes) => Group::with_title(title).element(
                Snippet::source(self.text.as_str())
                    .path(self.file_name.as_str())
                    .annotation(AnnotationKind::Primary.span(span.clone())),
            ),
            (Place::File(span), Shown::No) => Group::with_title(title).element(
                Origin::path(self.file_name.as_str()).line(line_of(&self.text, span.start)),
            ),
            (Place::Environment(name), _) => Group::with_title(title)
                .element(Origin::path(format!("environment variable {name}"))),
            (Place::Default, _) => {
                Group::with_title(title).element(Origin::path(self.file_name.as_str()))
            }
        };
        let group = match &problem.remedy {
            Some(remedy) => group.element(Level::HELP.message(remedy.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(Colour::Off))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.problems).finish()
    }
}

impl std::error::Error for Problems {}

/// The line of a byte, counted from one.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
