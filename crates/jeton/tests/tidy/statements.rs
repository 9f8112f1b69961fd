//! Statements name their columns, so that a column which a newer version adds harms no older one.

use crate::tree::{File, rust};

/// What is wrong with the statements in a source file, whose lines may go on in the next.
fn nameless(text: &str) -> Vec<String> {
    let mut joined = String::new();
    for line in text.lines().map(str::trim) {
        joined.push_str(line.strip_suffix('\\').unwrap_or(line));
        if !line.ends_with('\\') {
            joined.push('\n');
        }
    }
    let mut found = Vec::new();
    for (at, _) in joined.match_indices("SELECT *") {
        let rest: String = joined.split_at(at).1.chars().take(60).collect();
        // What stands in `unnest` is ours alone.
        if !rest.starts_with("SELECT * FROM unnest(") {
            found.push(rest);
        }
    }
    for (at, _) in joined.match_indices("INSERT INTO ") {
        let rest: String = joined.split_at(at).1.chars().take(60).collect();
        let mut words = rest.split_whitespace().skip(3);
        if !words.next().is_some_and(|word| word.starts_with('(')) {
            found.push(rest);
        }
    }
    found
}

#[test]
fn statements_name_their_columns() {
    let ours = |file: &File| {
        file.path.starts_with("crates/jeton-store/src/") && !file.path.ends_with("tests.rs")
    };
    for file in rust().into_iter().filter(ours) {
        // Tests at the end of a file make tables of their own.
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        assert_eq!(nameless(code), Vec::<String>::new(), "{}: name the columns", file.path);
    }
}

#[test]
fn a_statement_that_names_none_is_found() {
    for wrong in [
        "\"SELECT * FROM client\"",
        "\"SELECT * \\\n  FROM client\"",
        "\"INSERT INTO client VALUES (1)\"",
        "\"INSERT INTO client SELECT 1\"",
    ] {
        assert_eq!(nameless(wrong).len(), 1, "{wrong}");
    }
    for right in [
        "\"SELECT id FROM client\"",
        "\"SELECT * FROM unnest($1)\"",
        "\"INSERT INTO client (id) VALUES (1)\"",
        "\"INSERT INTO client \\\n  (id) VALUES (1)\"",
    ] {
        assert_eq!(nameless(right), Vec::<String>::new(), "{right}");
    }
}
