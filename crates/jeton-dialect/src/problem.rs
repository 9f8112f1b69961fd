//! Problems in a file: all of them at once, each with file, line and remedy.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing that is wrong with a file, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named when it was loaded.
    pub file: String,
    /// The line, from 1; absent when the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Where in the file, in bytes.
    pub span: Option<Range<usize>>,
    source: String,
}

/// Everything that is wrong. Displays as annotated excerpts; never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A single problem with a file as a whole.
    pub fn with_file(file: &str, message: impl Into<String>) -> Self {
        let problem = Problem {
            file: file.to_owned(),
            line: None,
            message: message.into(),
            remedy: None,
            span: None,
            source: String::new(),
        };
        Self(vec![problem])
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems, in the order of the files and of their lines.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Adds the problems of another file.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(span) = &self.span else {
            write!(formatter, "error: {}: {}", self.file, self.message)?;
            return match &self.remedy {
                Some(remedy) => write!(formatter, "\n  = help: {remedy}"),
                None => Ok(()),
            };
        };
        let excerpt = Snippet::source(&self.source)
            .path(&self.file)
            .annotation(AnnotationKind::Primary.span(span.clone()));
        let mut group = Level::ERROR.primary_title(&self.message).element(excerpt);
        if let Some(remedy) = &self.remedy {
            group = group.element(Level::HELP.message(remedy));
        }
        formatter.write_str(&Renderer::plain().render(&[group]))
    }
}

impl std::error::Error for Problems {}

/// Collects problems while one file is read.
pub(crate) struct Finder<'a> {
    file: &'a str,
    source: &'a str,
    found: Vec<Problem>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(file: &'a str, source: &'a str) -> Self {
        Self { file, source, found: Vec::new() }
    }

    /// Notes a problem and its remedy at a place in the file.
    pub(crate) fn at(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let before = self.source.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        let remedy = remedy.into();
        let problem = Problem {
            file: self.file.to_owned(),
            line: Some(line),
            message: message.into(),
            remedy: (!remedy.is_empty()).then_some(remedy),
            span: Some(self.within(span)),
            source: self.source.to_owned(),
        };
        // What all rows share is looked at once per row, and told once.
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    /// Notes that something is missing from the file as a whole.
    pub(crate) fn missing(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        self.found.push(Problem {
            file: self.file.to_owned(),
            line: None,
            message: message.into(),
            remedy: Some(remedy.into()),
            span: None,
            source: String::new(),
        });
    }

    /// How many problems were noted so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// What was found, in the order of the lines.
    pub(crate) fn finish(mut self) -> Problems {
        self.found.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        Problems(self.found)
    }

    /// Only the first line of a place that spans many, so that an excerpt stays an excerpt.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.source.get(span.clone()).unwrap_or_default();
        let first_line = text.lines().next().unwrap_or_default();
        span.start..span.start + first_line.len().min(text.len())
    }
}

/// The known word that was probably meant.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let near = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        // Of two that are as near, the longer one: more often a letter is left out than mistaken.
        .min_by_key(|(distance, candidate)| (*distance, Reverse(candidate.len()), *candidate));
    near.map(|(_, candidate)| candidate)
}

/// The known word that was probably meant, as a remedy; or all of them when none is near.
pub(crate) fn suggestion<'w>(
    word: &str,
    known: impl IntoIterator<Item = &'w str> + Clone,
) -> String {
    match nearest(word, known.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let all: Vec<&str> = known.into_iter().collect();
            format!("known here: {}", all.join(", "))
        }
    }
}
