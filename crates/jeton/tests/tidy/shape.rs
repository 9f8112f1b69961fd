//! The shape of a file: how long it and its functions are, how it begins, what it is called.

use crate::code::only_code;
use crate::tree::{File, hold, rust};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const INNER_TEST_LINES_MAX: usize = 150;

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = rust().into_iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| {
            format!("{}: {lines} lines, {FILE_LINES_MAX} at most: it tells more than one thing, give each its file", file.path)
        })
    });
    hold(long);
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let mut complaints = Vec::new();
    for file in rust() {
        for function in functions(&file.text) {
            if function.lines > FUNCTION_LINES_MAX {
                complaints.push(format!(
                    "{}:{}: fn {} has {} lines, {FUNCTION_LINES_MAX} at most: let it branch and its leaves compute",
                    file.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    hold(complaints);
}

#[test]
fn tests_of_more_than_150_lines_have_their_own_file() {
    let mut complaints = Vec::new();
    for file in rust().into_iter().filter(File::is_source) {
        let begin = file.lines().find(|(_, line)| line.starts_with("mod tests {"));
        let Some((begin, _)) = begin else { continue };
        let length = file.text.lines().count() - begin;
        if length > INNER_TEST_LINES_MAX {
            let beside = file.path.trim_end_matches(".rs");
            complaints.push(format!(
                "{}:{begin}: {length} lines of tests: move them to {beside}/tests.rs",
                file.path
            ));
        }
    }
    hold(complaints);
}

#[test]
fn every_file_begins_with_what_it_decides() {
    let mute = rust().into_iter().filter(|file| !file.text.starts_with("//! "));
    hold(mute.map(|file| {
        format!("{}:1: begin with a `//!` line that says what the file decides", file.path)
    }));
}

#[test]
fn a_module_is_a_file_beside_its_folder() {
    let named_mod = rust().into_iter().filter(|file| file.path.ends_with("/mod.rs"));
    hold(named_mod.map(|file| {
        let beside = file.path.trim_end_matches("/mod.rs");
        format!("{}: no mod.rs; call it {beside}.rs", file.path)
    }));
}

/// A function with a body.
struct Function {
    name: String,
    line: usize,
    /// From `fn` to the closing brace.
    lines: usize,
}

/// The functions of a formatted file. rustfmt puts the closing brace of a body under the first
/// letter of its function, and nothing else there in between; more need not be understood.
fn functions(text: &str) -> Vec<Function> {
    let code = only_code(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line.trim_start()) else { continue };
        let indent = line.len() - line.trim_start().len();
        let at_margin = |line: &&&str| {
            !line.trim().is_empty() && line.len() - line.trim_start().len() == indent
        };
        let mut margin = lines[index..].iter().enumerate().filter(|(_, line)| at_margin(line));
        let signature = margin.find(|(_, line)| line.trim_end().ends_with(['{', '}', ';']));
        // A signature that ends in `;` has no body, one that ends in `}` has its body on one line.
        if !signature.is_some_and(|(_, line)| line.trim_end().ends_with('{')) {
            continue;
        }
        let end = margin.find(|(_, line)| line.trim_start().starts_with('}'));
        let lines = end.map_or(lines.len() - index, |(offset, _)| offset + 1);
        functions.push(Function { name, line: index + 1, lines });
    }
    functions
}

/// The name in a line like `pub(crate) async fn name(`.
fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let only_qualifiers = before.split_whitespace().all(|word| {
        let word = word.split('(').next().unwrap_or_default();
        ["pub", "const", "async", "unsafe", "extern", "\""].contains(&word)
    });
    let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (only_qualifiers && !name.is_empty()).then_some(name)
}

#[test]
fn functions_are_measured_from_fn_to_closing_brace() {
    let text = r##"
impl A {
    pub(crate) async fn long(
        &self,
        other: &str,
    ) -> Result<(), Error>
    where
        Self: Sized,
    {
        let text = r#"
    }
}
"#;
        if other == "}" {
            inner();
        }
    }

    fn short(&self) -> u8 { 7 }

    fn promised(&self);

    const fn after(&self) {
    }
}

let shape: fn (u8) -> u8 = f;
"##;
    let found: Vec<_> =
        functions(text).into_iter().map(|it| (it.name, it.line, it.lines)).collect();
    assert_eq!(found, [("long".to_owned(), 3, 15), ("after".to_owned(), 23, 2)]);
}
