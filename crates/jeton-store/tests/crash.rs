//! Proves that what was acknowledged survives the end of the process, and that nothing is
//! acknowledged that could not be written. Each test runs itself again as a process that it can
//! treat badly.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may assume")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use jeton_engine::store::{Store as _, StoreError};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use tempfile::TempDir;

#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;

use sample::{main, token};

const PLACE: &str = "JETON_TEST_CRASH_DATABASE";
/// What stands before the number of a token that was acknowledged.
const KEPT: &str = "kept ";

fn open(path: &Path) -> Arc<SqliteStore> {
    // So few that whatever happens to a token may happen while places are written.
    let settings = SqliteSettings { unplaced_max: 5, ..SqliteSettings::default() };
    SqliteStore::open(&Location::File(path.to_owned()), settings).unwrap()
}

/// Where the process that is treated badly has its database; `None` in the test proper.
fn place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

/// The command that runs `test` again, with its database in `path`.
fn again(test: &str, path: &Path, shell: Option<&str>) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut command = match shell {
        None => Command::new(own),
        Some(script) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(script).arg(own);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(PLACE, path);
    command.stdout(Stdio::piped());
    command
}

/// Keeps tokens, many at a time, and says of each that it was acknowledged, until an error.
async fn keep_many(store: &Arc<SqliteStore>) -> Vec<(u16, StoreError)> {
    let tasks: Vec<_> = (0..16_u16)
        .map(|task| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in task * 4000..(task + 1) * 4000 {
                    let kept = store.keep_token(token(number), None).await;
                    kept.map_err(|error| (number, error))?;
                    println!("{KEPT}{number:05}.");
                }
                Ok(())
            })
        })
        .collect();
    let mut errors = Vec::new();
    for task in tasks {
        errors.extend(task.await.unwrap().err());
    }
    errors
}

/// The tokens that a process has said were acknowledged, in whole lines.
fn acknowledged(output: &str) -> Vec<u16> {
    let numbers = output.split(KEPT).skip(1);
    numbers.filter_map(|line| line.split_once('.')?.0.parse().ok()).collect()
}

async fn assert_all_there(path: &Path, acknowledged: &[u16]) {
    let store = open(path);
    store.integrity().await.unwrap();
    for number in acknowledged {
        let found = store.token(&main(), &token(*number).digest).await.unwrap();
        assert_eq!(found, Some(token(*number)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abrupt_end_loses_nothing_acknowledged() {
    if let Some(path) = place() {
        keep_many(&open(&path)).await;
        return;
    }
    let directory = TempDir::new().unwrap();
    // Soon after the start, and in full swing.
    for enough in [300, 1500] {
        let path = directory.path().join(format!("{enough}.db"));
        let mut child =
            again("an_abrupt_end_loses_nothing_acknowledged", &path, None).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        for _ in 0..enough {
            assert!(output.read_line(&mut text).unwrap() > 0, "it ended by itself: {text}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        output.read_to_string(&mut text).unwrap();
        let kept = acknowledged(&text);
        assert!(kept.len() >= enough / 2, "{} of {enough}", kept.len());
        assert_all_there(&path, &kept).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_more_fails_the_writes_and_only_those() {
    if let Some(path) = place() {
        let store = open(&path);
        let errors = keep_many(&store).await;
        assert_eq!(errors.len(), 16, "every caller is told");
        for (number, error) in errors {
            assert!(matches!(error, StoreError::Unreachable(_)), "{error}");
            assert_eq!(store.token(&main(), &token(number).digest).await.unwrap(), None);
        }
        // Reads go on, and once there is space again so do writes.
        assert!(store.token(&main(), &token(0).digest).await.unwrap().is_some());
        let own = std::process::id().to_string();
        let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &own]).status();
        assert!(lifted.unwrap().success());
        store.check().await.unwrap();
        store.keep_token(token(65_000), None).await.unwrap();
        println!("{KEPT}65000.");
        return;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    // A file may have about two megabytes; writing more is an error instead of the end.
    let limited = "trap '' XFSZ; ulimit -S -f 4096; exec \"$0\" \"$@\"";
    let test = "a_disk_that_takes_no_more_fails_the_writes_and_only_those";
    let output = again(test, &path, Some(limited)).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let end = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{end}");
    let kept = acknowledged(&text);
    assert!(kept.len() > 100 && kept.contains(&65_000), "{}", kept.len());
    assert_all_there(&path, &kept).await;
}
