//! The `jeton` program: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    jeton::cli::run()
}
