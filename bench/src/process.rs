//! A server under test: started on one core, what it costs, and its end.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Ticks of `/proc/PID/stat` a second; Linux says 100 to every program on every machine.
const TICKS: f64 = 100.0;

/// A process and all that it started. Ends with this value.
pub(crate) struct Process {
    child: Child,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
}

impl Process {
    /// Starts a program on these cores (as `taskset` writes them), its output into a file.
    pub(crate) fn start(cores: &str, command: &[&str], log: &Path) -> anyhow::Result<Self> {
        let mut taskset = Command::new("taskset");
        taskset.arg("-c").arg(cores).args(command);
        Self::spawn(taskset, log)
    }

    /// Starts a command that says itself where it runs.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let out = fs::File::create(log).with_context(|| format!("writing {}", log.display()))?;
        let errors = out.try_clone()?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child })
    }

    /// Waits until it takes connections.
    pub(crate) fn listens(&mut self, address: SocketAddr, within: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + within;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            if Instant::now() > end {
                bail!("it did not listen on {address} within {within:?}");
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Its own and its descendants' use.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for pid in family(self.child.id()) {
            let used = usage(pid).unwrap_or_default();
            sum.cpu_seconds += used.cpu_seconds;
            sum.resident_bytes += used.resident_bytes;
        }
        sum
    }

    /// It and all that it started.
    pub(crate) fn family(&self) -> Vec<u32> {
        family(self.child.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    /// Ends it and all that it started, and waits for them: the next one is to have the core for itself.
    fn drop(&mut self) {
        let family = family(self.child.id());
        for pid in family.iter().rev() {
            signal(*pid, rustix::process::Signal::TERM);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if self.has_ended() && family.iter().all(|pid| has_gone(*pid)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for pid in family.into_iter().filter(|pid| !has_gone(*pid)) {
            signal(pid, rustix::process::Signal::KILL);
        }
        // It has been killed: there is nothing more to be done about one that cannot be waited for.
        let _ = self.child.wait();
    }
}

/// Whether nothing of a process is left but what its parent has not taken note of yet.
fn has_gone(pid: u32) -> bool {
    usage(pid).is_none_or(|usage| usage.resident_bytes == 0)
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// A process and its descendants, parents first.
fn family(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let mut at = 0;
    while let Some(pid) = family.get(at).copied() {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        at += 1;
    }
    family
}

/// What `/proc` says of one process.
fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = cpu_ticks(&stat)? as f64;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(Usage { cpu_seconds: ticks / TICKS, resident_bytes: kib * 1024 })
}

/// User and system time out of a line of `/proc/PID/stat`.
pub(crate) fn cpu_ticks(stat: &str) -> Option<u64> {
    // The program's name may have spaces and brackets; nothing after it has.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A port that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Runs a program to its end; what it wrote.
///
/// # Errors
/// When it failed: what it said about it.
pub(crate) fn output(command: &mut Command, input: &str) -> anyhow::Result<String> {
    let told = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| told.clone())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("{told}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(200));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn a_process_is_measured_and_ends_with_its_value() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = Process::start("0", &["sh", "-c", "sleep 60 & wait"], &log).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while family(process.id()).len() < 2 && Instant::now() < end {
            std::thread::yield_now();
        }
        let family = family(process.id());
        assert!(process.usage().resident_bytes > 0);
        drop(process);
        assert!(family.iter().all(|pid| has_gone(*pid)));
    }
}
