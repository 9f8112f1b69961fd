//! What a drill found: figures, and the promises that were broken.

use std::fmt::Display;
use std::time::Duration;

use crate::tally::Latencies;

/// The figures of one drill.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<(String, String)>,
    broken: Vec<String>,
    skipped: Option<String>,
}

impl Report {
    /// Notes a figure that nobody is held to.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: impl Display) {
        self.figures.push((name.into(), value.to_string()));
    }

    /// Notes a count that a promise says is zero, with examples of what was counted.
    pub(crate) fn must_be_zero(&mut self, name: &str, count: usize, examples: &[String]) {
        self.figure(name, count);
        if count > 0 {
            let examples = examples.iter().take(3).map(|example| format!("\n      {example}"));
            self.broke(format!("{name}: {count}{}", examples.collect::<String>()));
        }
    }

    /// Notes a count that has to be at least this, because a drill that did nothing proves nothing.
    pub(crate) fn must_reach(&mut self, name: &str, count: usize, least: usize) {
        self.figure(name, count);
        if count < least {
            self.broke(format!("{name}: {count}, which is less than {least}: nothing was proved"));
        }
    }

    /// Notes a duration that a promise bounds.
    pub(crate) fn must_be_within(&mut self, name: &str, took: Duration, bound: Duration) {
        self.figure(name, format!("{} ms (at most {})", took.as_millis(), bound.as_millis()));
        if took > bound {
            self.broke(format!(
                "{name}: {} ms, promised {} ms",
                took.as_millis(),
                bound.as_millis()
            ));
        }
    }

    /// Notes how long something took, many times.
    pub(crate) fn latencies(&mut self, name: &str, latencies: &Latencies) {
        self.figure(format!("{name}: p50, p99, max"), latencies);
    }

    /// Takes over the report of a part.
    pub(crate) fn absorb(&mut self, part: &str, other: Self) {
        self.figures.extend(
            other.figures.into_iter().map(|(name, value)| (format!("{part}: {name}"), value)),
        );
        self.broken.extend(other.broken.into_iter().map(|what| format!("{part}: {what}")));
    }

    /// Notes a broken promise.
    pub(crate) fn broke(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// The report of a drill that this machine does not allow. It proves nothing and says so.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::default() }
    }

    /// Whether the drill was not run at all.
    pub(crate) fn is_skipped(&self) -> bool {
        self.skipped.is_some()
    }

    /// Whether every promise was kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// Prints the table.
    pub(crate) fn print(&self, took: Duration) {
        if let Some(why) = &self.skipped {
            println!("   SKIPPED, nothing was proved: {why}");
            return;
        }
        let width = self.figures.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &self.figures {
            println!("   {name:<width$}  {value:>10}");
        }
        for what in &self.broken {
            println!("   BROKEN {what}");
        }
        let end = if self.is_kept() { "kept" } else { "broken" };
        println!("   {end}, after {:.1} s", took.as_secs_f64());
    }
}
