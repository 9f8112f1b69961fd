//! The walls between the crates: who may know whom, and that all live under the same lints.

use toml::{Table, Value};

use crate::tree::{File, files, hold};

/// Every arrow points right (ARCHITECTURE.md). What is not here may not be.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("jeton-jose", &[]),
    ("jeton-engine", &["jeton-jose"]),
    ("jeton-dialect", &["jeton-engine"]),
    ("jeton-store", &["jeton-engine"]),
    ("jeton", &["jeton-jose", "jeton-engine", "jeton-dialect", "jeton-store"]),
    ("bench", &["jeton-jose", "jeton-engine"]),
    ("drills", &[]),
];

/// What is no part of the program and drives it from outside: its folder lies at the root.
const OUTSIDE: &[&str] = &["bench", "drills"];

/// Tests of the left column may use the right one as well: the engine's run on a real store.
const TESTS_MAY_KNOW: &[(&str, &[&str])] =
    &[("jeton-engine", &["jeton-store"]), ("bench", &["jeton-dialect", "jeton-store"])];

#[test]
fn crates_know_only_what_lies_to_their_right() {
    let mut complaints = Vec::new();
    for manifest in manifests() {
        let Some((_, known)) = MAY_KNOW.iter().find(|(name, _)| *name == manifest.name) else {
            complaints.push(format!(
                "{}: {} has no place in the picture: give it one in ARCHITECTURE.md and in {}",
                manifest.path,
                manifest.name,
                file!()
            ));
            continue;
        };
        let in_tests = TESTS_MAY_KNOW.iter().find(|(name, _)| *name == manifest.name);
        let in_tests = in_tests.map_or(&[][..], |(_, known)| known);
        for (kind, dependency, _) in manifest.dependencies() {
            let allowed = known.contains(&dependency.as_str())
                || kind == "dev-dependencies" && in_tests.contains(&dependency.as_str());
            if dependency.starts_with("jeton") && !allowed {
                complaints.push(format!(
                    "{}: {} may not know {dependency} ([{kind}]): every arrow points right",
                    manifest.path, manifest.name
                ));
            }
        }
    }
    hold(complaints);
}

#[test]
fn every_crate_lives_in_the_folder_of_its_name() {
    let mut complaints = Vec::new();
    for manifest in manifests() {
        let beside = if OUTSIDE.contains(&manifest.name.as_str()) { "" } else { "crates/" };
        let folder = format!("{beside}{}/Cargo.toml", manifest.name);
        if manifest.path != folder {
            complaints.push(format!("{}: {} belongs into {folder}", manifest.path, manifest.name));
        }
    }
    hold(complaints);
}

#[test]
fn every_crate_takes_versions_and_lints_from_the_workspace() {
    let mut complaints = Vec::new();
    for manifest in manifests() {
        let path = &manifest.path;
        let lints = manifest.table.get("lints").and_then(|lints| lints.get("workspace"));
        if lints != Some(&Value::Boolean(true)) {
            complaints.push(format!("{path}: add `[lints]` with `workspace = true`"));
        }
        for (kind, dependency, value) in manifest.dependencies() {
            if value.get("workspace") != Some(&Value::Boolean(true)) {
                complaints.push(format!(
                    "{path}: [{kind}] {dependency}: name the version in the root's Cargo.toml and say `{dependency}.workspace = true` here"
                ));
            }
        }
    }
    hold(complaints);
}

struct Manifest {
    path: String,
    name: String,
    table: Table,
}

impl Manifest {
    /// Section, name and value of every dependency.
    fn dependencies(&self) -> Vec<(&'static str, String, Value)> {
        let mut dependencies = Vec::new();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let section = self.table.get(kind).and_then(Value::as_table);
            for (name, value) in section.into_iter().flatten() {
                dependencies.push((kind, name.clone(), value.clone()));
            }
        }
        dependencies
    }
}

fn manifests() -> Vec<Manifest> {
    let is_crate = |file: &File| {
        let folder = file.path.strip_suffix("/Cargo.toml");
        folder.is_some_and(|folder| folder.starts_with("crates/") || OUTSIDE.contains(&folder))
    };
    let manifests: Vec<Manifest> = files()
        .into_iter()
        .filter(is_crate)
        .map(|file| {
            let table: Table = file.text.parse().unwrap();
            let name = table["package"]["name"].as_str().unwrap().to_owned();
            Manifest { path: file.path, name, table }
        })
        .collect();
    assert!(!manifests.is_empty(), "there are no crates");
    manifests
}
