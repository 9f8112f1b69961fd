//! The documents: what they point to exists, decisions are numbered, operators find their changes.

use std::path::{Component, Path, PathBuf};

use crate::tree::{File, files, hold, root};

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut complaints = Vec::new();
    for file in documents() {
        for (number, line) in prose(&file) {
            for target in links(&without_code(line)) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if let Some(problem) = broken(&file, &target) {
                    complaints.push(format!("{}:{number}: ({target}): {problem}", file.path));
                }
            }
        }
    }
    hold(complaints);
}

#[test]
fn every_path_that_a_document_names_exists() {
    let roots = [
        ".ci/",
        "bench/",
        "crates/",
        "dialects/",
        "docs/",
        "drills/",
        "fuzz/",
        "interop/",
        "scripts/",
    ];
    let mut complaints = Vec::new();
    for file in documents() {
        for (number, line) in prose(&file) {
            // Every second piece between back-ticks is code.
            for code in line.split('`').skip(1).step_by(2) {
                let is_path = roots.iter().any(|root| code.starts_with(root))
                    && code.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
                    // Capitals stand for a name to be chosen: dialects/NAME/dialect.toml.
                    && !code.split('/').any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()));
                if is_path && !root().join(code).exists() {
                    complaints.push(format!("{}:{number}: `{code}` does not exist", file.path));
                }
            }
        }
    }
    hold(complaints);
}

#[test]
fn decisions_are_numbered_in_a_row_and_say_so_in_their_title() {
    let pages: Vec<File> = documents()
        .into_iter()
        .filter(|file| {
            file.path.starts_with("docs/decisions/") && !file.path.ends_with("README.md")
        })
        .collect();
    let mut complaints = Vec::new();
    for (index, page) in pages.iter().enumerate() {
        let expected = format!("{:04}", index + 1);
        let name = page.path.trim_start_matches("docs/decisions/");
        if name.split('-').next() != Some(expected.as_str()) {
            complaints.push(format!("{}: the next free number here is {expected}", page.path));
        }
        let title = format!("# {}. ", index + 1);
        if !page.text.starts_with(&title) {
            complaints.push(format!("{}:1: begin with `{title}` and the decision", page.path));
        }
    }
    assert!(!pages.is_empty(), "docs/decisions has no pages");
    hold(complaints);
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    let changelog = files().into_iter().find(|file| file.path == "CHANGELOG.md").unwrap();
    assert!(
        changelog.text.lines().any(|line| line == "## Unreleased"),
        "CHANGELOG.md: keep a section `## Unreleased` on top for what operators will notice"
    );
}

fn documents() -> Vec<File> {
    files().into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

/// The lines outside of fenced blocks.
fn prose(file: &File) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in file.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number, line));
        }
    }
    lines
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The targets of `[text](target)` in a line.
fn links(line: &str) -> Vec<String> {
    let after = line.split("](").skip(1);
    after.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// What is wrong with a link from `file`, if anything.
fn broken(file: &File, target: &str) -> Option<String> {
    let (path, heading) = target.split_once('#').map_or((target, None), |(p, h)| (p, Some(h)));
    let here = Path::new(&file.path);
    let there = match path {
        "" => here.to_owned(),
        _ => flat(&here.parent().unwrap().join(path)),
    };
    let absolute = root().join(&there);
    if !absolute.exists() {
        return Some(format!("{} does not exist", there.display()));
    }
    let heading = heading?;
    let text = std::fs::read_to_string(&absolute).ok()?;
    let headings = text.lines().filter(|line| line.starts_with('#')).map(anchor);
    let known: Vec<String> = headings.collect();
    (!known.iter().any(|it| it == heading)).then(|| format!("no such heading; there are {known:?}"))
}

/// A path without its `..`.
fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => _ = flat.pop(),
            Component::CurDir => {}
            other => flat.push(other),
        }
    }
    flat
}

/// The anchor that a heading gets: lower case, spaces to dashes, without punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn links_and_anchors_are_read_as_they_are_shown() {
    assert_eq!(links("see [a](b.md), [c](d.md#e)"), ["b.md", "d.md#e"]);
    assert_eq!(links(&without_code("`[a](b.md)` and [c](d.md)")), ["d.md"]);
    assert_eq!(anchor("## The way of a token request (short)"), "the-way-of-a-token-request-short");
    assert_eq!(flat(Path::new("docs/operate/../glossary.md")), Path::new("docs/glossary.md"));
}
