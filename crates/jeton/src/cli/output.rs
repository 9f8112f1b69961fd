//! What a command prints and how it looks: tables and colour on a terminal, plain tab-separated
//! lines in a pipe, one JSON document with `--json`.

use std::io::{self, IsTerminal as _, Write as _};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use super::failure::Failure;

/// How what a command prints should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON document.
    Json,
    /// Tables, headings, colour.
    Terminal,
    /// Tab-separated lines without headings.
    Plain,
}

/// Standard output, in the form that suits whoever reads it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    form: Form,
}

impl Output {
    /// The form that suits standard output, or JSON where that was asked for.
    pub(super) fn new(json: bool) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Plain,
        };
        Self { form }
    }

    /// The form in use.
    pub(super) fn form(self) -> Form {
        self.form
    }

    /// Prints one JSON document: on one line, or spread out where a person reads it.
    pub(super) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        let text = if io::stdout().is_terminal() {
            serde_json::to_string_pretty(document)
        } else {
            serde_json::to_string(document)
        };
        self.line(&text.map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?)
    }

    /// Prints a line as it is.
    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        let mut to = anstream::stdout().lock();
        writeln!(to, "{text}").and_then(|()| to.flush()).map_err(|error| write_failed(&error))
    }

    /// Prints bytes as they are, with nothing after them.
    pub(super) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut to = io::stdout().lock();
        to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| write_failed(&error))
    }

    /// Prints rows: a table with headings on a terminal, otherwise a line each with tabs between the cells.
    pub(super) fn table(self, headings: &[&str], rows: &[Vec<Cell>]) -> Result<(), Failure> {
        let mut to = io::BufWriter::new(anstream::stdout().lock());
        let written = match self.form {
            Form::Terminal => write_table(&mut to, headings, rows),
            Form::Plain | Form::Json => write_lines(&mut to, rows),
        };
        written.and_then(|()| to.flush()).map_err(|error| write_failed(&error))
    }

    /// Prints one row at once, where the next ones take a while.
    pub(super) fn table_row(self, row: &[Cell]) -> Result<(), Failure> {
        let separator = if self.form == Form::Terminal { "  " } else { "\t" };
        let texts: Vec<_> = row.iter().map(|cell| cell.painted(self.form)).collect();
        self.line(&texts.join(separator))
    }

    /// Prints names and values, one pair a line.
    pub(super) fn facts(self, facts: &[(&str, Cell)]) -> Result<(), Failure> {
        let mut to = anstream::stdout().lock();
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let bold = Style::new().bold();
        for (name, value) in facts {
            let value_text = value.painted(self.form);
            match self.form {
                Form::Terminal => writeln!(to, "{bold}{name:width$}{bold:#}  {value_text}"),
                Form::Plain | Form::Json => writeln!(to, "{name}\t{value_text}"),
            }
            .map_err(|error| write_failed(&error))?;
        }
        to.flush().map_err(|error| write_failed(&error))
    }

    /// Tells a person at the terminal what just happened or what to do next; silent in pipes.
    pub(super) fn remark(self, text: &str) -> Result<(), Failure> {
        if self.form != Form::Terminal {
            return Ok(());
        }
        self.line(text)
    }
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
}

/// How a value stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Plain,
    Good,
    Bad,
    Faint,
}

impl Cell {
    /// A value; control characters, which could move the cursor, become spaces.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: one_line(&text.into()), paint: Paint::Plain }
    }

    /// A value that is as it should be.
    pub(super) fn good(text: impl Into<String>) -> Self {
        Self { paint: Paint::Good, ..Self::new(text) }
    }

    /// A value that needs somebody's eye.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self { paint: Paint::Bad, ..Self::new(text) }
    }

    /// A value, or a dash where there is none.
    pub(super) fn maybe(text: Option<impl Into<String>>) -> Self {
        text.map_or_else(
            || Self { text: "-".to_owned(), paint: Paint::Faint },
            |text| Self::new(text),
        )
    }

    fn painted(&self, form: Form) -> String {
        let style = match (form, self.paint) {
            (Form::Plain | Form::Json, _) | (_, Paint::Plain) => return self.text.clone(),
            (Form::Terminal, Paint::Good) => Style::new().fg_color(Some(AnsiColor::Green.into())),
            (Form::Terminal, Paint::Bad) => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            (Form::Terminal, Paint::Faint) => Style::new().dimmed(),
        };
        format!("{style}{}{style:#}", self.text)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn write_lines(to: &mut impl io::Write, rows: &[Vec<Cell>]) -> io::Result<()> {
    for row in rows {
        let texts: Vec<&str> = row.iter().map(|cell| cell.text.as_str()).collect();
        writeln!(to, "{}", texts.join("\t"))?;
    }
    Ok(())
}

fn write_table(to: &mut impl io::Write, headings: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(Cell::width).max().unwrap_or(0).max(heading.len())
        })
        .collect();
    let bold = Style::new().bold();
    let last = headings.len().saturating_sub(1);
    for (column, (heading, width)) in headings.iter().zip(&widths).enumerate() {
        let pad = if column == last { 0 } else { *width };
        write!(to, "{bold}{heading:pad$}{bold:#}{}", if column == last { "\n" } else { "  " })?;
    }
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let missing = if column == last { 0 } else { width.saturating_sub(cell.width()) + 2 };
            write!(to, "{}{:missing$}", cell.painted(Form::Terminal), "")?;
        }
        writeln!(to)?;
    }
    Ok(())
}

fn write_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::PipeClosed;
    }
    Failure::failed(format!("standard output cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![Cell::new("a"), Cell::good("enabled"), Cell::new("x")],
            vec![Cell::new("long name"), Cell::bad("locked"), Cell::maybe(None::<String>)],
        ]
    }

    #[test]
    fn a_pipe_gets_tabs_and_nothing_else() {
        let mut text = Vec::new();
        write_lines(&mut text, &rows()).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "a\tenabled\tx\nlong name\tlocked\t-\n");
    }

    #[test]
    fn a_terminal_gets_columns_that_line_up_whatever_the_colours() {
        let mut text = Vec::new();
        write_table(&mut text, &["ID", "STATUS", "NAME"], &rows()).unwrap();
        let text = anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string();
        assert_eq!(
            text,
            "ID         STATUS   NAME\na          enabled  x\nlong name  locked   -\n"
        );
    }

    #[test]
    fn a_value_cannot_move_the_cursor_or_begin_a_line() {
        assert_eq!(Cell::new("a\tb\u{1b}[2J\nc").text, "a b [2J c");
    }
}
