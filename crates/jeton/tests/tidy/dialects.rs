//! The dialects: each shows what it says, by recorded exchanges whose names tell how they end.

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
        for end in ["accepted", "refused"] {
            if !files.iter().any(|file| ending(file) == Some(end)) {
                complaints.push(format!("{folder}/exchanges/{end}.http: record such a request"));
            }
        }
    }
    hold(complaints);
}

#[test]
fn the_name_of_an_exchange_tells_how_it_ends() {
    let mut complaints = Vec::new();
    for (name, files) in dialects() {
        // Some formats answer everything with 200; the file says that it knows.
        let all_succeed = files.iter().any(|file| file.text.contains("danger_success_status"));
        for file in files.iter().filter(|file| file.path.ends_with(".http")) {
            let Some(end) = ending(file) else {
                complaints.push(format!(
                    "{}: name it dialects/{name}/exchanges/accepted-….http, refused-….http or failed-….http",
                    file.path
                ));
                continue;
            };
            let fits = |status: u16| match end {
                "accepted" => status < 300,
                "refused" => (400..500).contains(&status) || all_succeed,
                _ => status >= 500 || all_succeed,
            };
            match status(&file.text) {
                Some(status) if fits(status) => {}
                Some(status) => complaints
                    .push(format!("{}: its name says {end}, its status is {status}", file.path)),
                None => complaints.push(format!("{}: it has no response", file.path)),
            }
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
    assert!(!dialects.is_empty(), "there are no dialects");
    dialects
}

/// How an exchange ends, by its name.
fn ending(file: &File) -> Option<&'static str> {
    let (folder, name) = file.path.rsplit_once('/')?;
    let stem = name.strip_suffix(".http").filter(|_| folder.ends_with("/exchanges"))?;
    let end = stem.split('-').next()?;
    ["accepted", "refused", "failed"].into_iter().find(|known| *known == end)
}

/// The status of the response in an exchange file.
fn status(text: &str) -> Option<u16> {
    let line = text.lines().find(|line| line.starts_with("HTTP/1.1 "))?;
    line.split(' ').nth(1)?.parse().ok()
}
