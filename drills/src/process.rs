//! What the system says of a server process: its memory, its processor time, its open files.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::node::Node;

/// The memory that a server has resident, in kibibytes.
///
/// # Errors
/// When it does not run.
pub(crate) fn resident(node: &Node) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", id(node)?))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(number.parse()?)
}

/// The processor time that a server has had, user and system together.
///
/// # Errors
/// When it does not run.
pub(crate) fn processor_time(node: &Node) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{}/stat", id(node)?))?;
    // The name, in parentheses, may hold anything. After it, user and system time are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks =
        |number: usize| Ok::<u64, anyhow::Error>(fields.get(number).context("too short")?.parse()?);
    let ticks = ticks(11)? + ticks(12)?;
    Ok(Duration::from_millis(ticks * 1000 / clock_ticks_per_second()))
}

/// How many files a server has open.
///
/// # Errors
/// When it does not run.
pub(crate) fn open_files(node: &Node) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", id(node)?))?.count())
}

/// Lets this process and what it starts open so many files; tells how many it may.
pub(crate) fn allow_open_files(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return wanted;
    }
    let most = maximum.unwrap_or(u64::MAX);
    for (current, maximum) in [(wanted, wanted.max(most)), (wanted.min(most), most)] {
        let limit = Rlimit { current: Some(current), maximum: Some(maximum) };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return current;
        }
    }
    current.unwrap_or(wanted)
}

fn id(node: &Node) -> Result<u32> {
    node.id().context("the server does not run")
}
