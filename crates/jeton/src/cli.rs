//! The command line: which commands there are, and how each of them ends.

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Colour, Config, Problems};

mod as_client;
mod client;
mod completions;
mod config;
mod database;
mod dev;
mod dialect;
mod doctor;
mod dpop;
mod explain;
mod failure;
mod fetch;
mod init;
mod key;
mod metadata;
mod moment;
mod new_file;
mod open;
mod output;
mod secret_input;
pub mod serve;
mod signing_key;
mod token;

use client::ClientCommand;
use config::ConfigCommand;
use database::DatabaseCommand;
use dev::Dev;
use dialect::DialectCommand;
use failure::Failure;
use init::Init;
use key::KeyCommand;
use open::Opened;
use output::Output;
use token::TokenCommand;

const EXAMPLES: &str = "\
Examples:
  jeton dev                              everything on this machine, a curl line for each dialect
  jeton init && jeton serve              a server of your own
  jeton client create partner-7 --realm growth
  jeton explain secret_expired           what a message means and what to do

Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration.";

/// jeton: a machine-to-machine OAuth 2.0 authorization server that speaks any token endpoint's wire format.
#[derive(Parser, Debug)]
#[command(name = "jeton", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(max_term_width = 100, infer_subcommands = false)]
struct Arguments {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    command: Command,
}

/// The same where the command is the one that stays. The others would be in its memory as long as it runs:
/// what describes them is a twelfth of all code that a server runs.
#[derive(Parser, Debug)]
#[command(name = "jeton")]
struct Serving {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    _command: Serve,
}

#[derive(Subcommand, Debug)]
enum Serve {
    Serve,
}

/// What every command takes.
#[derive(Args, Debug)]
struct Everywhere {
    /// The configuration file; when left out: JETON_CONFIG, ./jeton.toml, /etc/jeton/jeton.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, with names that stay
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run everything on this machine: a realm and clients for each dialect, and a curl line to try
    Dev(Dev),
    /// Run the server
    #[command(
        after_help = "SIGHUP reads the configuration again; SIGTERM and SIGINT finish what has begun, then stop.

Example:
  jeton serve --config /etc/jeton/jeton.toml"
    )]
    Serve,
    /// Write a commented jeton.toml, create the database and the master key
    #[command(after_help = "Examples:
  jeton init
  jeton init /etc/jeton")]
    Init(Init),
    /// Check the configuration, show what is in force
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at everything an operator would look at, and change nothing
    #[command(
        after_help = "Configuration, permissions, listeners, clock, database, keys near their end, secrets near theirs, keys
of trusted issuers; whether servers run or not. Exit code 1 when something is a problem.

Examples:
  jeton doctor
  jeton doctor --json | jq '.findings[] | select(.level == \"problem\")'"
    )]
    Doctor,
    /// Make, change, list, import and export clients
    #[command(subcommand)]
    Client(ClientCommand),
    /// Make, import, list and export signing keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make tokens by hand, list, revoke and look at them
    #[command(subcommand)]
    Token(TokenCommand),
    /// Back up, restore and check the database; move it to PostgreSQL
    #[command(subcommand)]
    Database(DatabaseCommand),
    /// List, show, check and replay dialects
    #[command(subcommand)]
    Dialect(DialectCommand),
    /// Tell why a request was refused, or what a message id means
    #[command(after_help = "Without an argument: every message id.

Examples:
  jeton explain 7QK2M9XW4T               a reference from a log line or an answer
  jeton explain secret_expired")]
    Explain {
        /// A reference (ten letters and digits) or a message id
        #[arg(value_name = "REFERENCE|ID")]
        subject: Option<String>,
    },
    /// Print completions for a shell
    #[command(after_help = "Example:
  jeton completions bash > /etc/bash_completion.d/jeton")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual
    #[command(after_help = "Example:
  jeton man | man -l -")]
    Man,
}

/// Does what the command line asks, and says with which code to exit.
pub fn run() -> ExitCode {
    let done = match Serving::try_parse() {
        Ok(serving) => serve::run(serving.everywhere.config.as_deref()),
        // Another command, a question for help, or a mistake that is best explained knowing them all.
        Err(_) => dispatch(Arguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let Everywhere { config, json } = arguments.everywhere;
    let config = config.as_deref();
    let output = Output::new(json);
    match arguments.command {
        Command::Dev(dev) => dev::run(&dev, output),
        Command::Serve => serve::run(config),
        Command::Init(init) => block_on(init::run(init, output))?,
        Command::Config(command) => config::run(command, config, output),
        Command::Doctor => block_on(doctor::run(config, output))?,
        Command::Client(command) => match client::without_store(&command, output) {
            Some(done) => done,
            None => with_store(config, async |opened| client::run(command, opened, output).await),
        },
        Command::Key(command) => {
            with_store(config, async |opened| key::run(command, opened, output).await)
        }
        Command::Token(command) => match token::without_store(&command, config, output) {
            Some(done) => done,
            None => with_store(config, async |opened| token::run(command, opened, output).await),
        },
        Command::Database(command) => block_on(database::run(command, config, output))?,
        Command::Dialect(command) => dialect::run(command, config, output),
        Command::Explain { subject } => match explain::Question::read(subject.as_deref())? {
            explain::Question::Event(reference) => {
                with_store(config, async |opened| explain::event(reference, opened, output).await)
            }
            question => explain::answer(&question, output),
        },
        Command::Completions { shell } => completions::completions(shell, output),
        Command::Man => completions::manual(output),
    }
}

/// Runs a command that needs configuration and store. The store is closed whatever happens.
fn with_store(
    config: Option<&Path>,
    command: impl AsyncFnOnce(&Opened) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let config: Config = open::load_config(config)?;
    block_on(async {
        let opened = Opened::new(config).await?;
        let result = command(&opened).await;
        opened.close().await;
        result
    })?
}

/// Runs to the end on this thread; the server itself has a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    // Behind a pointer: otherwise each command would be in the program once for every kind of runtime.
    let future: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(future);
    Ok(runtime.block_on(future))
}

/// Tells standard error something that does not keep the command from going on.
fn warn(text: &str) {
    // When standard error is gone, there is nobody left to tell.
    let _ = writeln!(anstream::stderr().lock(), "warning: {text}");
}

/// Tells standard error what is wrong with a configuration.
fn print_problems(problems: &Problems) {
    if !problems.is_empty() {
        // As above.
        let _ = writeln!(anstream::stderr().lock(), "{}\n", problems.render(Colour::On));
    }
}

/// A word as a POSIX shell reads it back (single quotes, where any are needed).
fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_table_of_commands_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_server_is_started_by_the_lines_that_the_whole_table_takes_for_it_and_by_no_others() {
        for line in [
            "serve",
            "serve --config a",
            "--config a serve",
            "serve --json",
            "--json --config=a serve",
        ] {
            let words = || std::iter::once("jeton").chain(line.split(' '));
            let (serving, whole) =
                (Serving::try_parse_from(words()), Arguments::try_parse_from(words()));
            let (serving, whole) = (serving.unwrap(), whole.unwrap());
            assert!(matches!(whole.command, Command::Serve), "{line}");
            assert_eq!(serving.everywhere.config, whole.everywhere.config, "{line}");
        }
        for line in [
            "serve --help",
            "help serve",
            "--version",
            "serve now",
            "serve serve",
            "serv",
            "dev",
            "doctor --json",
        ] {
            let words = std::iter::once("jeton").chain(line.split(' '));
            assert!(Serving::try_parse_from(words).is_err(), "{line}");
        }
    }

    /// One key in 64 has a thumbprint that begins with one, and clients of other systems are called anything.
    #[test]
    fn an_identifier_behind_an_option_may_begin_with_a_hyphen() {
        fn identifiers(command: &clap::Command, found: &mut Vec<(String, bool)>) {
            for option in command.get_opts() {
                let names = option.get_value_names().unwrap_or_default();
                if names.iter().any(|name| *name == "ID" || name.ends_with("_ID")) {
                    let name = format!("{} --{}", command.get_name(), option.get_id());
                    found.push((name, option.is_allow_hyphen_values_set()));
                }
            }
            command.get_subcommands().for_each(|command| identifiers(command, found));
        }
        let mut found = Vec::new();
        identifiers(&Arguments::command(), &mut found);
        assert!(found.len() >= 9, "{found:?}");
        assert_eq!(found.iter().find(|(_, allowed)| !allowed), None);
    }

    #[test]
    fn a_shell_reads_every_word_back_as_it_was() {
        for (text, word) in [
            ("plain-1.x", "plain-1.x"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("é", "'é'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
