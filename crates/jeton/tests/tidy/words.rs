//! Words that do not occur: names that say nothing, ways around the lints, other people's products,
//! machines.

use crate::code::only_code;
use crate::tree::{File, files, hold, rust};

/// Each says that somebody did not look for the word. In all their numbers.
const EMPTY_NAMES: &[&str] = &[
    "common",
    "util",
    "utils",
    "utility",
    "utilities",
    "helper",
    "helpers",
    "manager",
    "managers",
    "service",
    "services",
    "strategy",
    "strategies",
    "provider",
    "providers",
];

/// Whose wire formats we speak. Put together here so that this file is held to its own rule.
const PRODUCTS: &[&[&str]] = &[
    &["digital", "turbine"],
    &["digital", " turbine"],
    &["speed", "ball"],
    &["fy", "ber"],
    &["fuu", "ffy"],
    &["api", "nizer"],
    &["fair", "bid"],
];

#[test]
fn no_crate_module_or_type_has_an_empty_name() {
    let mut complaints = Vec::new();
    for file in rust() {
        for part in file.path.trim_end_matches(".rs").split('/') {
            if let Some(word) = empty_word(part) {
                complaints.push(format!("{}: `{word}` says nothing; name what it does", file.path));
            }
        }
        for (number, line) in only_code(&file.text).lines().enumerate() {
            for (keyword, name) in definitions(line) {
                if let Some(word) = empty_word(name) {
                    complaints.push(format!(
                        "{}:{}: `{word}` in `{keyword} {name}` says nothing; name what it does",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    hold(complaints);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let banned = [
        ("#[allow(", "use #[expect(…, reason = \"…\")]"),
        ("#![allow(", "use #![expect(…, reason = \"…\")]"),
    ];
    hold(rust().iter().flat_map(|file| code_with(file, &banned)));
}

#[test]
fn nothing_is_left_for_later() {
    let banned = [
        ("todo!", "write it, or leave the door away"),
        ("unimplemented!", "write it, or leave the door away"),
        ("dbg!", "use tracing, or take it out"),
    ];
    let mut complaints: Vec<String> =
        rust().iter().flat_map(|file| code_with(file, &banned)).collect();
    let notes = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for file in files() {
        for (number, line) in file.lines() {
            let words = line.split(|c: char| !c.is_alphanumeric());
            if let Some(note) = words.into_iter().find(|word| notes.iter().any(|n| n == word)) {
                let path = &file.path;
                complaints.push(format!("{path}:{number}: {note}: do it now, or open an issue"));
            }
        }
    }
    hold(complaints);
}

#[test]
fn only_the_command_line_prints() {
    let banned = [
        ("println!", "log with tracing; printing is for crates/jeton/src/cli"),
        ("eprintln!", "log with tracing; printing is for crates/jeton/src/cli"),
        ("print!", "log with tracing; printing is for crates/jeton/src/cli"),
        ("eprint!", "log with tracing; printing is for crates/jeton/src/cli"),
    ];
    let doors = ["crates/jeton/src/main.rs", "crates/jeton/src/cli.rs"];
    let silent = |file: &&File| {
        file.is_source()
            && !doors.contains(&file.path.as_str())
            && !file.path.starts_with("crates/jeton/src/cli/")
    };
    let all = rust();
    hold(all.iter().filter(silent).flat_map(|file| code_with(file, &banned)));
}

#[test]
fn no_source_knows_whose_dialect_it_speaks() {
    let mut complaints = Vec::new();
    for file in rust().into_iter().filter(File::is_source) {
        for (number, line) in file.lines() {
            let line = line.to_lowercase();
            let named =
                PRODUCTS.iter().map(|parts| parts.concat()).find(|name| line.contains(name));
            if let Some(name) = named {
                complaints.push(format!(
                    "{}:{number}: `{name}`: a wire format is data; say it in dialects/, or teach the dialect language the word it lacks",
                    file.path
                ));
            }
        }
    }
    hold(complaints);
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    let folders = ["home", "root", "Users"].map(|name| format!("/{name}/"));
    let mut complaints = Vec::new();
    for file in files() {
        for (number, line) in file.lines() {
            let found = folders.iter().find(|folder| {
                line.match_indices(folder.as_str()).any(|(at, _)| {
                    // A URL's path may well have such a part; a file's path begins with it.
                    !before(line, at).is_some_and(|c| c.is_alphanumeric() || "-_.~}".contains(c))
                })
            });
            if let Some(folder) = found {
                complaints.push(format!(
                    "{}:{number}: {folder}… exists on one machine; say it from the repository's root",
                    file.path
                ));
            }
        }
    }
    hold(complaints);
}

/// The lines of a file whose code contains one of the texts, each with what to do instead.
fn code_with(file: &File, banned: &[(&str, &str)]) -> Vec<String> {
    let code = only_code(&file.text);
    let mut complaints = Vec::new();
    for (number, line) in code.lines().enumerate() {
        for (text, remedy) in banned {
            let stands_alone =
                |at: usize| !before(line, at).is_some_and(|c| c.is_alphanumeric() || c == '_');
            if line.match_indices(text).any(|(at, _)| stands_alone(at)) {
                complaints.push(format!("{}:{}: `{text}`: {remedy}", file.path, number + 1));
            }
        }
    }
    complaints
}

/// The character that precedes the byte at `at`.
fn before(line: &str, at: usize) -> Option<char> {
    line.get(..at)?.chars().next_back()
}

/// The modules and types that a line of code defines, each with its keyword.
fn definitions(line: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let words: Vec<&str> = line.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    // An associated type of somebody else's trait stands indented and is not ours to name.
    let keywords: &[&str] = if line.starts_with(' ') {
        &["struct", "enum", "trait", "mod"]
    } else {
        &["struct", "enum", "trait", "mod", "type"]
    };
    words
        .windows(2)
        .filter(|pair| keywords.contains(&pair[0]))
        .map(|pair| (pair[0], pair[1]))
        .collect()
}

/// The empty word that a name is made with, if any: `token_utils`, `TokenProvider`.
fn empty_word(name: &str) -> Option<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if !character.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        if character.is_uppercase() {
            words.push(String::new());
        }
        words.last_mut().unwrap().extend(character.to_lowercase());
    }
    words.into_iter().find(|word| EMPTY_NAMES.contains(&word.as_str()))
}

#[test]
fn empty_words_are_found_in_every_spelling_and_not_inside_others() {
    assert_eq!(empty_word("token_utils").as_deref(), Some("utils"));
    assert_eq!(empty_word("TokenProvider").as_deref(), Some("provider"));
    assert_eq!(empty_word("jeton-common").as_deref(), Some("common"));
    assert_eq!(empty_word("Provided"), None);
    assert_eq!(empty_word("uncommon"), None);
    assert_eq!(definitions("pub(crate) struct Manager<T> {"), [("struct", "Manager")]);
    assert_eq!(definitions("    type Service = S;"), []);
}
