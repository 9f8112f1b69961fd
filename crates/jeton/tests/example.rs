//! Proves that `jeton.example.toml` tells every setting there is, each with its default, and none besides.

#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

use jeton::config::settings::SETTINGS;

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jeton.example.toml");
    std::fs::read_to_string(path).expect("jeton.example.toml stands at the root of the repository")
}

/// Every key below a table, dotted, with its value.
fn leaves(prefix: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) if !is_setting(&key) => leaves(&key, table, found),
            value => {
                found.insert(key, value.to_string());
            }
        }
    }
}

/// Some settings take a whole table.
fn is_setting(key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.replace('*', "NAME") == key)
}

fn keys_of(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    leaves("", &text.parse().expect("the example is TOML"), &mut found);
    found
}

/// A comment that holds a setting: `# name = value`.
fn is_commented_setting(line: &str) -> bool {
    let Some((name, _)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")) else {
        return false;
    };
    let mut parts = name.split('.');
    parts.all(|part| {
        part == "NAME" || part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    })
}

#[test]
fn example_matches_defaults() {
    let defaults: BTreeMap<String, String> = SETTINGS
        .iter()
        .filter_map(|setting| Some((setting.key.replace('*', "NAME"), setting.default?.to_owned())))
        .collect();
    assert_eq!(keys_of(&example()), defaults);
}

#[test]
fn settings_without_a_default_stand_in_the_example_as_comments() {
    let commented: Vec<String> = example()
        .lines()
        .map(|line| if is_commented_setting(line) { line.trim_start_matches("# ") } else { line })
        .map(str::to_owned)
        .collect();
    let all: Vec<String> = keys_of(&commented.join("\n")).into_keys().collect();
    let mut known: Vec<String> =
        SETTINGS.iter().map(|setting| setting.key.replace('*', "NAME")).collect();
    known.sort();
    assert_eq!(all, known);
}

#[test]
fn every_setting_of_the_example_follows_a_sentence_of_reason() {
    let mut commented = false;
    for line in example().lines() {
        if line.is_empty() || line.starts_with('[') {
            commented = false;
        } else if line.starts_with("# ") && !is_commented_setting(line) {
            commented = true;
        } else {
            // Settings that follow one another may share a sentence.
            assert!(commented, "no reason before: {line}");
        }
    }
}

#[test]
fn the_example_is_a_configuration_once_its_realm_has_a_name_and_an_issuer() {
    let text = example()
        .replace("[realm.NAME]", "[realm.main]")
        .replace("# issuer = ", "issuer = ")
        .replace("directory = \"dialects\"", "");
    let parsed =
        jeton::config::parse("jeton.example.toml", &text, std::iter::empty(), Path::new("/"));
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty());
}
