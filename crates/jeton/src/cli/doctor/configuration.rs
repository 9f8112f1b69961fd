//! Looks at the configuration: every problem of it and of the TLS files, what is probably not meant,
//! and dialects that nobody speaks.

use std::path::Path;

use jeton_dialect::Origin;
use jeton_engine::clock::Clock;

use super::file_of;
use super::finding::Finding;
use crate::config::{Config, Problem, Problems};

/// A configuration that cannot be used: every problem of it, and no more, for all else hangs on it.
pub(super) fn refused(problems: &Problems, path: &Path) -> Vec<Finding> {
    let refused = |problem: &Problem| {
        told(Finding::problem, "configuration", problems, problem, &path.display().to_string())
    };
    let mut findings: Vec<Finding> = problems.iter().map(refused).collect();
    let rest = "nothing else was looked at, for all of it is named by the configuration";
    findings.push(Finding::note("configuration", path.display(), rest));
    findings
}

/// A configuration that can be used.
pub(super) fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let file = file_of(config);
    let (problems, warnings) = config.check_tls_files(clock);
    let mut findings = Vec::new();
    for warning in config.warnings.iter() {
        findings.push(told(Finding::warning, "configuration", &config.warnings, warning, &file));
    }
    if findings.is_empty() {
        let what = format!("can be used; realms: {}", config.realms.len());
        findings.push(Finding::ok("configuration", &file, what));
    }
    if config.server.tls.is_some() {
        let wrong = problems.iter().map(|one| told(Finding::problem, "tls", &problems, one, &file));
        let doubtful =
            warnings.iter().map(|one| told(Finding::warning, "tls", &warnings, one, &file));
        let before = findings.len();
        findings.extend(wrong.chain(doubtful));
        if findings.len() == before {
            let what = "certificate, chain, key and revocation lists are good for now";
            findings.push(Finding::ok("tls", "[server.tls]", what));
        }
    }
    findings.extend(dialects(config));
    findings
}

/// Dialects of the own directory that no realm mounts.
fn dialects(config: &Config) -> Vec<Finding> {
    let is_spoken = |name: &str| {
        let mut mounts = config.realms.iter().flat_map(|realm| &realm.mounts);
        mounts.any(|mount| mount.dialect.name().as_str() == name)
    };
    let own = config.dialects.iter().filter_map(|folder| match &folder.origin {
        Origin::Folder(place) => Some((folder.dialect.name().as_str(), place)),
        Origin::Builtin => None,
    });
    let unspoken = own.filter(|(name, _)| !is_spoken(name));
    unspoken
        .map(|(name, place)| {
            let what = format!("the dialect {name} is spoken in no realm");
            Finding::note("dialects", place, what)
                .remedy("name it in a realm's `dialects`, or take the folder away")
        })
        .collect()
}

fn told(
    finding: fn(&'static str, String, String) -> Finding,
    check: &'static str,
    problems: &Problems,
    problem: &Problem,
    file: &str,
) -> Finding {
    let place = match problems.line(problem) {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    };
    let finding = finding(check, place, problem.message().to_owned());
    match problem.remedy_text() {
        Some(remedy) => finding.remedy(remedy),
        None => finding,
    }
}
