//! The `bench` program: measures jeton beside the floor of this machine's HTTP and beside its peers.

mod alone;
mod asks;
mod certificates;
mod figures;
mod floor;
mod kit;
mod load;
mod machine;
mod measure;
mod peers;
mod process;
mod report;
mod requests;
mod rows;
mod session;
mod tokens;
mod wrk;

use clap::{Parser, Subcommand};

/// Measures jeton beside the floor of this machine's HTTP and beside its peers.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print the table.
    Run(session::RunArguments),
    /// Be the floor: the same answer for every request, until killed.
    Floor(floor::FloorArguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => session::run(&arguments),
        Command::Floor(arguments) => floor::run(&arguments),
    }
}
