//! A PostgreSQL that only one drill uses: a shell that has started it with the functions of
//! `scripts/lib/postgres`, takes orders by line, and stops it when we are gone.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Making a standby anew takes a while.
const PATIENCE: Duration = Duration::from_secs(90);

/// Reads orders; what they print goes to the log.
const SHELL: &str = r#"
source scripts/lib/tools
source scripts/lib/postgres
"$@" >&2
echo "${JETON_TEST_POSTGRES_POOLER:-$JETON_TEST_POSTGRES}"
while read -r -a order; do
    if "${order[@]}" >&2; then echo done; else echo failed; fi
done
"#;

/// Two words for one: the pooler needs what it stands before.
const WITH_POOLER: &str = "with_pooler() { postgres_start 15 && pooler_start; }";

/// What is started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    /// One, with a pooler in front of it.
    Pooled,
    /// A primary, `a`, and its synchronous standby, `b`.
    Pair,
}

/// A database.
#[derive(Debug)]
pub(crate) struct Database {
    /// Its URL.
    pub(crate) url: String,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _shell: Child,
}

impl Database {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(which: Which) -> Result<Self> {
        let words: &[&str] = match which {
            Which::Pooled => &["with_pooler"],
            Which::Pair => &["postgres_pair_start", "15"],
        };
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut command = Command::new("bash");
        command.args(["-uc", &format!("{WITH_POOLER}\n{SHELL}"), "bash"]).args(words);
        command.current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped());
        // What it starts keeps this open; a pipe would never end.
        let log =
            std::env::temp_dir().join(format!("jeton-drill-database-{}.log", std::process::id()));
        command.stderr(Stdio::from(std::fs::File::create(log)?));
        let mut shell = command.spawn().context("there is no bash")?;
        let orders = shell.stdin.take().context("no input")?;
        let answers = shell.stdout.take().context("no output")?;
        let mut database = Self {
            url: String::new(),
            orders,
            answers: BufReader::new(answers).lines(),
            _shell: shell,
        };
        database.url = database.answer().await.context("PostgreSQL does not start")?;
        Ok(database)
    }

    /// Gives an order, in the words of `scripts/lib/postgres`, and waits until it is done.
    ///
    /// # Errors
    /// When it failed.
    pub(crate) async fn order(&mut self, order: &str) -> Result<()> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        match self.answer().await?.as_str() {
            "done" => Ok(()),
            other => bail!("{order}: {other}"),
        }
    }

    async fn answer(&mut self) -> Result<String> {
        let line =
            timeout(PATIENCE, self.answers.next_line()).await.context("no answer in time")?;
        line?.context("the shell has ended")
    }
}
