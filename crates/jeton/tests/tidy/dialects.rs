//! The dialects: each shows what it says, by recorded exchanges.

use std::collections::BTreeMap;

use crate::tree::{File, files, hold};

#[test]
fn every_dialect_shows_a_token_and_a_refusal() {
    let mut complaints = Vec::new();
    for (name, files) in dialects() {
        let folder = format!("dialects/{name}");
        if !files.iter().any(|file| file.path == format!("{folder}/dialect.toml")) {
            complaints.push(format!("{folder}: a dialect is said in {folder}/dialect.toml"));
        }
        let exchanges = format!("{folder}/exchanges/");
        let recorded: Vec<&File> = files
            .iter()
            .filter(|file| file.path.starts_with(&exchanges) && file.path.ends_with(".http"))
            .collect();
        let statuses: Vec<u16> = recorded.iter().filter_map(|file| status(&file.text)).collect();
        if !statuses.iter().any(|status| (200..300).contains(status)) {
            complaints.push(format!("{exchanges}: record an accepted request"));
        }
        if !statuses.iter().any(|status| *status >= 400) {
            complaints.push(format!("{exchanges}: record a refused request"));
        }
    }
    hold(complaints);
}

/// The files of each dialect.
fn dialects() -> BTreeMap<String, Vec<File>> {
    let mut dialects: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files() {
        let parts: Vec<&str> = file.path.split('/').collect();
        if let ["dialects", name, _, ..] = parts[..] {
            dialects.entry(name.to_owned()).or_default().push(file);
        }
    }
    dialects
}

/// The status of the first answer in an exchange file.
fn status(text: &str) -> Option<u16> {
    let line = text.lines().find(|line| line.starts_with("HTTP/1.1 "))?;
    line.split(' ').nth(1)?.parse().ok()
}
