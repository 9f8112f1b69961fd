//! Drills: what goes wrong on purpose, and what has to stay true meanwhile. Reads the command line, runs
//! one drill or all, prints figures, and ends with 1 when a promise was broken.
#![expect(
    clippy::disallowed_methods,
    reason = "a drill looks at the program from outside, by the clock on the wall"
)]
#![expect(dead_code, reason = "what is here for drills is more than the first of them need")]

mod assertion;
mod cast;
mod chance;
mod database;
mod disk;
mod drills;
mod http;
mod load;
mod namespace;
mod network;
mod node;
mod oracle;
mod place;
mod postgres;
mod probe;
mod process;
mod report;
mod requests;
mod tally;
mod wall_clock;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::drills::{DRILLS, Drill, Length, Terms};
use crate::report::Report;

/// Makes things go wrong under load and holds jeton to its promises.
#[derive(Debug, Parser)]
#[command(name = "drills", bin_name = "scripts/drill")]
struct Arguments {
    /// Which drill, or `all`; without one, the drills are listed.
    name: Option<String>,
    /// Some seconds, as in CI (the default).
    #[arg(long, conflicts_with = "long")]
    short: bool,
    /// Some minutes, with more load and more rounds.
    #[arg(long)]
    long: bool,
    /// Decides every choice that the drill makes; what the machine adds is not repeatable.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Tell what the drill needs beside jeton, and do nothing.
    #[arg(long)]
    needs: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime
        .context("the runtime does not start")
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the drill could not be run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; `false` when a promise was broken.
async fn run(arguments: &Arguments) -> Result<bool> {
    let Some(name) = &arguments.name else {
        for drill in DRILLS {
            println!("{:<18} {}", drill.name, drill.about);
        }
        return Ok(true);
    };
    let chosen: Vec<&Drill> =
        DRILLS.iter().filter(|drill| name == "all" || drill.name == name).collect();
    if chosen.is_empty() {
        bail!("there is no drill {name}; `scripts/drill` lists them");
    }
    if arguments.needs {
        let needs: std::collections::BTreeSet<&str> =
            chosen.iter().flat_map(|drill| drill.needs.iter().copied()).collect();
        println!("{}", needs.into_iter().collect::<Vec<_>>().join(" "));
        return Ok(true);
    }
    let length = if arguments.long { Length::Long } else { Length::Short };
    let terms = Terms { length, seed: arguments.seed };
    tokio::select! {
        kept = one_after_the_other(&chosen, terms) => kept,
        // Dropping the drill ends what it started.
        () = interrupted() => bail!("interrupted"),
    }
}

async fn one_after_the_other(chosen: &[&Drill], terms: Terms) -> Result<bool> {
    let (mut broken, mut skipped) = (Vec::new(), Vec::new());
    for drill in chosen {
        println!("\n== {}: {} (seed {})", drill.name, drill.about, terms.seed);
        let began = Instant::now();
        let report = (drill.run)(terms).await.unwrap_or_else(|error| {
            let mut report = Report::default();
            report.broke(format!("the drill could not be run to its end: {error:#}"));
            report
        });
        report.print(began.elapsed());
        if !report.is_kept() {
            broken.push(drill.name);
        }
        if report.is_skipped() {
            skipped.push(drill.name);
        }
    }
    if !skipped.is_empty() {
        println!("\nskipped, so nothing was proved: {}", skipped.join(", "));
    }
    if !broken.is_empty() {
        println!(
            "\nbroken promises: {} (again: scripts/drill NAME --seed {})",
            broken.join(", "),
            terms.seed
        );
    }
    Ok(broken.is_empty())
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
