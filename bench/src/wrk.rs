//! The same row by wrk, an outside load generator: whether ours flatters.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::load::Connections;
use crate::machine::median;
use crate::measure::{Floor, GENERATOR_CORE, Subject};
use crate::process::output;

/// Sends the requests of a file in turns, and says at the end what came of it. The file has, for each, a line
/// with its length, and its bytes.
const SCRIPT: &str = r#"
local requests, at = {}, 0
local file = assert(io.open("REQUESTS", "rb"))
for length in function() return file:read("*l") end do
    requests[#requests + 1] = file:read(tonumber(length))
end
function request()
    at = at % #requests + 1
    return requests[at]
end
function done(summary)
    local errors = summary.errors
    local bad = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("SUMMARY %d %d %d\n", summary.requests, summary.duration, bad))
end
"#;

/// What wrk found.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Repeated {
    pub(crate) per_second: f64,
    pub(crate) floor_per_second: f64,
    pub(crate) share: f64,
    pub(crate) busy: f64,
    pub(crate) floor_busy: f64,
}

/// Whether wrk can make what this subject is asked: the same requests again, on connections that are kept.
pub(crate) fn can(subject: &Subject<'_>) -> bool {
    subject.connections == Connections::Kept && subject.requests.pool().is_some()
}

/// A row and the floor by wrk, in turns with each other and with ours.
pub(crate) struct ByWrk {
    own_script: String,
    floor_script: String,
    /// Requests per second, and how much of its core the server used.
    own: Vec<(f64, f64)>,
    floors: Vec<(f64, f64)>,
}

impl ByWrk {
    /// Writes what wrk needs into a folder.
    ///
    /// # Errors
    /// When it cannot be written, or wrk cannot make the requests.
    pub(crate) fn prepare(
        subject: &Subject<'_>,
        floor: &Floor,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let beside = floor.subject(Connections::Kept);
        Ok(Self {
            own_script: script(subject, folder, "row")?,
            floor_script: script(&beside, folder, "floor")?,
            own: Vec::new(),
            floors: Vec::new(),
        })
    }

    /// One round of both.
    ///
    /// # Errors
    /// When wrk is missing, or any answer was none or a refusal.
    pub(crate) fn round(
        &mut self,
        subject: &Subject<'_>,
        beside: &Subject<'_>,
        window: Duration,
    ) -> anyhow::Result<()> {
        self.floors.push(once(beside, &self.floor_script, window)?);
        self.own.push(once(subject, &self.own_script, window)?);
        Ok(())
    }

    /// What came of all rounds.
    pub(crate) fn found(&self) -> Repeated {
        let rates = |runs: &[(f64, f64)]| median(&runs.iter().map(|run| run.0).collect::<Vec<_>>());
        let busy = |runs: &[(f64, f64)]| median(&runs.iter().map(|run| run.1).collect::<Vec<_>>());
        let ratios = self.own.iter().zip(&self.floors).map(|(own, floor)| own.0 / floor.0);
        Repeated {
            per_second: rates(&self.own),
            floor_per_second: rates(&self.floors),
            share: median(&ratios.collect::<Vec<_>>()),
            busy: busy(&self.own),
            floor_busy: busy(&self.floors),
        }
    }
}

/// Writes the requests and the script that sends them; where the script is.
fn script(subject: &Subject<'_>, folder: &Path, name: &str) -> anyhow::Result<String> {
    let pool = subject.requests.pool().context("wrk cannot make requests that are good once")?;
    let (requests, script) =
        (folder.join(format!("wrk-{name}")), folder.join(format!("wrk-{name}.lua")));
    let mut file = std::io::BufWriter::new(fs::File::create(&requests)?);
    for request in pool {
        writeln!(file, "{}", request.len())?;
        file.write_all(request)?;
    }
    file.flush()?;
    fs::write(&script, SCRIPT.replace("REQUESTS", &requests.display().to_string()))?;
    Ok(script.display().to_string())
}

/// One run: requests per second, and how much of its core the server used.
fn once(subject: &Subject<'_>, script: &str, window: Duration) -> anyhow::Result<(f64, f64)> {
    let scheme = if subject.target.tls.is_some() { "https" } else { "http" };
    // It takes whole seconds only.
    let seconds = window.as_secs_f64().round().max(1.0);
    let mut wrk = Command::new("taskset");
    wrk.args(["-c", &GENERATOR_CORE.to_string(), "wrk", "--threads", "1"]);
    wrk.args(["--connections", &subject.count.to_string()]);
    wrk.args(["--duration", &format!("{seconds}s"), "--script", script]);
    wrk.arg(format!("{scheme}://{}/", subject.target.address));
    let before = subject.process.usage().cpu_seconds;
    let said = output(&mut wrk, "").context("wrk is Debian's package of that name")?;
    let used = subject.process.usage().cpu_seconds - before;
    let (answered, took) = read(&said)?;
    Ok((answered / took, used / took))
}

/// Requests and seconds, from what the script said at the end.
fn read(said: &str) -> anyhow::Result<(f64, f64)> {
    let line = said.lines().find_map(|line| line.strip_prefix("SUMMARY "));
    let line = line.with_context(|| format!("wrk said: {said}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [answered, microseconds, 0.0] if answered > 0.0 => Ok((answered, microseconds / 1e6)),
        _ => bail!("wrk had answers that were refusals, or none: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_refusals_is_none() {
        let said = "Running 1s test\nSUMMARY 300 1500000 0\n";
        assert_eq!(read(said).unwrap(), (300.0, 1.5));
        assert!(read(&said.replace(" 0\n", " 1\n")).is_err());
        assert!(read(&said.replace("300", "0")).is_err());
        assert!(read("wrk: command not found").is_err());
    }
}
