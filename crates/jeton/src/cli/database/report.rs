//! What is said of a database that was examined, and how far the work is.

use std::io::{IsTerminal as _, Write as _};

use jeton_store::{Examined, Problem, Progress};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::moment;
use crate::cli::output::{Cell, Form, Output};

/// Tells a person at the terminal how far it is, in one line that is written over.
pub(super) fn teller() -> impl Fn(Progress) {
    let show = std::io::stderr().is_terminal();
    move |Progress { step, done, total }| {
        if !show {
            return;
        }
        // When standard error is gone, there is nobody left to tell.
        let mut to = anstream::stderr().lock();
        let _ = match total {
            0 => write!(to, "\r{step}: {done}"),
            _ if done >= total => write!(to, "\r{step}: {done} of {total}\n"),
            _ => write!(to, "\r{step}: {done} of {total}"),
        };
        let _ = to.flush();
    }
}

/// Everything that was found.
pub(super) fn tell(examined: &Examined, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&document(examined, json!({})));
    }
    facts(examined, Vec::new(), output)?;
    problems(examined, output)?;
    match (examined.is_sound(), examined.unseen.is_empty()) {
        (true, true) => output.remark("\nNothing is wrong with it."),
        (true, false) => output.remark("\nNothing is wrong with what was looked at."),
        (false, _) => Ok(()),
    }
}

/// Everything that was found, and what else there is to say, as JSON.
pub(super) fn document(examined: &Examined, more: Value) -> Value {
    let rows: serde_json::Map<_, _> =
        examined.tables.iter().map(|(table, rows)| ((*table).to_owned(), json!(rows))).collect();
    let told = |word: &str, problems: &[Problem]| -> Vec<Value> {
        let told = problems.iter().map(|problem| {
            json!({ "place": problem.place, word: problem.what, "remedy": problem.remedy })
        });
        told.collect()
    };
    let mut document = json!({
        "database": examined.place,
        "sound": examined.is_sound(),
        "schema": examined.schema,
        "schema_known": examined.schema_known,
        "bytes": examined.bytes,
        "log_pages": examined.log_pages,
        "rows": rows,
        "sealed": examined.sealed,
        "opened": examined.opened,
        "newest": examined.newest.map(moment::rfc3339),
        "problems": told("problem", &examined.problems),
        "unseen": told("note", &examined.unseen),
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document
}

/// What is in it, and what else there is to say.
pub(super) fn facts(
    examined: &Examined,
    more: Vec<(&str, Cell)>,
    output: Output,
) -> Result<(), Failure> {
    let mut facts = vec![
        ("database", Cell::new(examined.place.clone())),
        ("schema", Cell::new(schema(examined))),
        ("bytes", Cell::new(examined.bytes.to_string())),
    ];
    if examined.log_pages > 0 {
        facts.push(("pages in its log", Cell::new(examined.log_pages.to_string())));
    }
    facts.extend(examined.tables.iter().map(|(name, rows)| (*name, Cell::new(rows.to_string()))));
    let opened = format!("{} of {}", examined.opened, examined.sealed);
    facts.push(("keys opened", Cell::new(opened)));
    facts.push(("newest row", Cell::maybe(examined.newest.map(moment::rfc3339))));
    facts.extend(more);
    output.facts(&facts)
}

fn schema(examined: &Examined) -> String {
    let (found, known) = (examined.schema, examined.schema_known);
    match found.cmp(&known) {
        std::cmp::Ordering::Less => {
            format!("{found}; the next start migrates it to {known}, and its rows were not read")
        }
        std::cmp::Ordering::Equal => found.to_string(),
        std::cmp::Ordering::Greater => format!("{found}; this jeton knows {known}"),
    }
}

/// What is wrong with it, on standard error: also where standard output is JSON or a file.
pub(super) fn problems(examined: &Examined, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json && !examined.is_sound() {
        return output.json(&document(examined, json!({})));
    }
    let mut to = anstream::stderr().lock();
    let problems = examined.problems.iter().map(|problem| ("problem", problem));
    let unseen = examined.unseen.iter().map(|problem| ("note", problem));
    for (word, problem) in problems.chain(unseen) {
        // When standard error is gone, the exit code still tells.
        let _ = writeln!(to, "{word}: {}: {}", problem.place, problem.what);
        let _ = writeln!(to, "    try: {}", problem.remedy);
    }
    Ok(())
}
