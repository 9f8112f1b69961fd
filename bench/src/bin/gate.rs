//! The gate against regressions: instructions that the hot path took, beside those that are committed.
//!
//! Instruction counts do not care how busy a machine is, but they are the compilers', the C library's and the
//! processor's as much as ours: aws-lc and the C library choose their code by what the processor can. With
//! others than those that the committed counts were taken with, differences are only told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

/// How much more fails, and how much less is worth writing down, in per cent.
const TOLERANCE: u64 = 5;

/// Holds the instructions of the hot path against those that are committed.
#[derive(Parser)]
#[command(name = "gate")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell what a program sees of the processor here.
    Processor,
    /// Compare counts with the committed ones, or write them down.
    Compare(CompareArguments),
}

/// What is compared with what.
#[derive(clap::Args)]
struct CompareArguments {
    /// The folder that gungraun wrote into.
    found: PathBuf,
    /// The committed counts.
    committed: PathBuf,
    /// The compiler, as `rustc --version` tells.
    #[arg(long)]
    compiler: String,
    /// The C compiler, as `cc --version` begins.
    #[arg(long)]
    c_compiler: String,
    /// The C library, as `getconf GNU_LIBC_VERSION` tells.
    #[arg(long)]
    c_library: String,
    /// The processor that programs see under valgrind, as `gate processor` tells there.
    #[arg(long)]
    processor: String,
    /// Write the counts down instead of comparing them.
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    compiler: String,
    c_compiler: String,
    c_library: String,
    processor: String,
    instructions: BTreeMap<String, u64>,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Processor => {
            println!("{}", processor());
            Ok(())
        }
        Command::Compare(arguments) => run(&arguments),
    }
}

/// Compares, or writes.
fn run(arguments: &CompareArguments) -> anyhow::Result<()> {
    let mut found = Counts {
        compiler: arguments.compiler.clone(),
        c_compiler: arguments.c_compiler.clone(),
        c_library: arguments.c_library.clone(),
        processor: arguments.processor.clone(),
        instructions: BTreeMap::new(),
    };
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
    let others = committed.others(&found);
    if !others.is_empty() {
        println!("not judged, because the committed counts are of others: {}", others.join("; "));
        return Ok(());
    }
    bail!(
        "{}\nmend it, or commit what `bench/gate --write` writes and say why",
        complaints.join("\n")
    )
}

impl Counts {
    /// What these were counted with that those were not.
    fn others<'a>(&'a self, found: &Self) -> Vec<&'a str> {
        let pairs = [
            (&self.compiler, &found.compiler),
            (&self.c_compiler, &found.c_compiler),
            (&self.c_library, &found.c_library),
            (&self.processor, &found.processor),
        ];
        pairs.into_iter().filter(|(own, found)| own != found).map(|(own, _)| own.as_str()).collect()
    }
}

/// What a program is told that this processor can, as far as libraries choose their code by it.
fn processor() -> String {
    [&[std::env::consts::ARCH], &features()[..]].concat().join(" ")
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    let all = [
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("adx", is_x86_feature_detected!("adx")),
        ("sha", is_x86_feature_detected!("sha")),
        ("movbe", is_x86_feature_detected!("movbe")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
        ("rdrand", is_x86_feature_detected!("rdrand")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
    ];
    all.into_iter().filter_map(|(name, can)| can.then_some(name)).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<&'static str> {
    Vec::new()
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
        Counts { compiler: "rustc 1".to_owned(), instructions, ..Counts::default() }
    }

    #[test]
    fn what_was_counted_with_others_is_told_apart() {
        let (one, mut other) = (counts(&[]), counts(&[]));
        assert_eq!(one.others(&other), Vec::<&str>::new());
        other.c_library = "glibc 2.36".to_owned();
        assert_eq!(other.others(&one), ["glibc 2.36"]);
        other.compiler = "rustc 2".to_owned();
        assert_eq!(one.others(&other), ["rustc 1", ""]);
        assert!(processor().starts_with(std::env::consts::ARCH));
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
