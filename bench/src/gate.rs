//! The gate against regressions: instructions that the hot path took, beside those that are committed.
//!
//! Instruction counts do not care how busy a machine is, but they are the compiler's as much as ours: with
//! another compiler than the one that the committed counts were taken with, differences are only told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// How much more fails, and how much less is worth writing down, in per cent.
const TOLERANCE: u64 = 5;

/// What is compared with what.
#[derive(clap::Args)]
pub(crate) struct GateArguments {
    /// The folder that gungraun wrote into.
    found: PathBuf,
    /// The committed counts.
    committed: PathBuf,
    /// The compiler, as `rustc --version` tells.
    #[arg(long)]
    compiler: String,
    /// Write the counts down instead of comparing them.
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Compares, or writes.
pub(crate) fn run(arguments: &GateArguments) -> anyhow::Result<()> {
    let mut found = Counts { compiler: arguments.compiler.clone(), ..Counts::default() };
    collect(&arguments.found, &mut found.instructions)
        .with_context(|| format!("reading {}", arguments.found.display()))?;
    if found.instructions.is_empty() {
        bail!("{} has no counts: did valgrind run?", arguments.found.display());
    }
    let path = arguments.committed.display();
    if arguments.write {
        let text = format!(
            "# Instructions of the hot path, by `bench/gate`. Written by `bench/gate --write`, in the commit that\n\
             # changes them; the message says why.\n{}",
            toml::to_string(&found)?
        );
        return fs::write(&arguments.committed, text).with_context(|| format!("writing {path}"));
    }
    let text =
        fs::read_to_string(&arguments.committed).with_context(|| format!("reading {path}"))?;
    let committed: Counts = toml::from_str(&text).with_context(|| format!("in {path}"))?;
    let (table, complaints) = compare(&committed, &found);
    print!("{table}");
    if complaints.is_empty() {
        return Ok(());
    }
    if committed.compiler != found.compiler {
        println!("not judged: the committed counts are of {}", committed.compiler);
        return Ok(());
    }
    bail!(
        "{}\nmend it, or commit what `bench/gate --write` writes and say why",
        complaints.join("\n")
    )
}

/// A line for every count, and what is wrong.
fn compare(committed: &Counts, found: &Counts) -> (String, Vec<String>) {
    let (mut table, mut complaints) = (String::new(), Vec::new());
    for (name, now) in &found.instructions {
        let Some(before) = committed.instructions.get(name) else {
            complaints.push(format!("{name}: has no committed count"));
            continue;
        };
        let change = *now as f64 / *before as f64 - 1.0;
        table.push_str(&format!("{name:<32} {before:>9} {now:>9} {:>+7.1} %\n", change * 100.0));
        if now * 100 > before * (100 + TOLERANCE) {
            complaints.push(format!("{name}: {:.1} % more instructions", change * 100.0));
        } else if now * 100 < before * (100 - TOLERANCE) {
            table.push_str("    faster: `bench/gate --write` keeps it so\n");
        }
    }
    let gone = committed.instructions.keys().filter(|name| !found.instructions.contains_key(*name));
    complaints.extend(gone.map(|name| format!("{name}: is not measured any more")));
    (table, complaints)
}

/// The counts of every callgrind file below a folder.
fn collect(folder: &Path, counts: &mut BTreeMap<String, u64>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, counts)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(name) = name.strip_prefix("callgrind.").and_then(|rest| rest.strip_suffix(".out"))
        else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        let count = total(&text).with_context(|| format!("{} has no total", path.display()))?;
        *counts.entry(without_thread(name).to_owned()).or_default() += count;
    }
    Ok(())
}

/// Each thread has a file of its own, `NAME.t2.p1`, where there are several.
fn without_thread(name: &str) -> &str {
    let is_part = |part: &str, letter| {
        part.strip_prefix(letter).is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    match name.rsplitn(3, '.').collect::<Vec<_>>()[..] {
        [part, thread, name] if is_part(part, 'p') && is_part(thread, 't') => name,
        _ => name,
    }
}

/// The instructions in a file of callgrind's: the first number of its last total.
fn total(text: &str) -> Option<u64> {
    let total = |line: &str| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    text.lines().filter_map(total).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        let instructions = pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Counts { compiler: "rustc 1".to_owned(), instructions }
    }

    #[test]
    fn more_than_a_twentieth_more_is_a_complaint() {
        let committed = counts(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let (_, none) = compare(&committed, &counts(&[("a", 1050), ("b", 1000), ("c", 500)]));
        assert_eq!(none, Vec::<String>::new());
        let (_, one) = compare(&committed, &counts(&[("a", 1051), ("b", 1000), ("c", 1000)]));
        assert_eq!(one, ["a: 5.1 % more instructions"]);
    }

    #[test]
    fn what_is_new_and_what_is_gone_must_be_written_down() {
        let (_, complaints) = compare(&counts(&[("a", 1)]), &counts(&[("b", 1)]));
        assert_eq!(complaints, ["b: has no committed count", "a: is not measured any more"]);
    }

    #[test]
    fn totals_are_found_in_what_callgrind_writes() {
        assert_eq!(total("events: Ir Dr\nsummary: 12 3\n\nfn=f\n1 12 3\n"), Some(12));
        assert_eq!(total("events: Ir\nfn=f\ntotals: 15\n"), Some(15));
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn counts_are_read_from_folders_and_written_as_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("hot/request.a");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("callgrind.request.a.t1.p1.out"), "totals: 4\n").unwrap();
        fs::write(inner.join("callgrind.request.a.t2.p1.out"), "totals: 3\n").unwrap();
        fs::write(inner.join("callgrind.other.out"), "totals: 9\n").unwrap();
        fs::write(inner.join("callgrind.request.a.log"), "totals: 8\n").unwrap();
        let mut found = BTreeMap::new();
        collect(folder.path(), &mut found).unwrap();
        assert_eq!(found, counts(&[("request.a", 7), ("other", 9)]).instructions);
        let text = toml::to_string(&counts(&[("request.a", 7), ("other", 9)])).unwrap();
        assert_eq!(toml::from_str::<Counts>(&text).unwrap().instructions, found);
    }
}
