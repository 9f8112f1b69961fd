//! `jeton completions` and `jeton man`: written from the same table of commands as the help.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Arguments;
use super::failure::Failure;
use super::output::Output;

/// Prints what a shell needs to complete our commands.
pub(super) fn completions(shell: Shell, output: Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "jeton", &mut script);
    output.bytes(&script)
}

/// Prints the manual: the program's page, then one for each command.
pub(super) fn manual(output: Output) -> Result<(), Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    render(&command, &mut pages)
        .map_err(|error| Failure::failed(format!("the manual cannot be written: {error}")))?;
    output.bytes(&pages)
}

fn render(command: &clap::Command, pages: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(pages)?;
    command.get_subcommands().try_for_each(|below| render(below, pages))
}
