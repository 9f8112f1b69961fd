//! Is this machine quiet enough to tell? What the kernel says of it, and how long its disk takes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::cpu_ticks;

/// How far a round of the floor may be off their median before it is counted as odd, and how many may be.
const ODD: f64 = 0.10;
const ODD_MAX: f64 = 0.05;
/// The share of time that another machine on the same host, or another process, may take.
const TAKEN_MAX: f64 = 0.03;

/// What the kernel had counted at one moment.
pub(crate) struct Snapshot {
    at: Instant,
    steal: u64,
    total: u64,
    processes: Vec<(u32, String, u64)>,
}

impl Snapshot {
    pub(crate) fn take() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        let fields: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let total = fields.iter().take(8).sum();
        Self {
            at: Instant::now(),
            steal: fields.get(7).copied().unwrap_or_default(),
            total,
            processes: processes(),
        }
    }

    /// What was taken from us since, as sentences; none when the machine was quiet. `ours` are the
    /// processes that were measured, `beside` the names of those that belong to them.
    pub(crate) fn disturbances(&self, ours: &[u32], beside: &[&str]) -> Vec<String> {
        let now = Self::take();
        let mut told = Vec::new();
        let steal = (now.steal - self.steal) as f64 / (now.total - self.total).max(1) as f64;
        if steal > TAKEN_MAX {
            told.push(format!("the host took {:.0} % of this machine's time", steal * 100.0));
        }
        let seconds = (now.at - self.at).as_secs_f64();
        for (pid, name, ticks) in &now.processes {
            let before = self.processes.iter().find(|(known, _, _)| known == pid);
            let used = ticks.saturating_sub(before.map_or(0, |(_, _, ticks)| *ticks));
            let share = used as f64 / 100.0 / seconds;
            let is_ours = ours.contains(pid) || beside.contains(&name.as_str());
            if share > TAKEN_MAX && !is_ours {
                told.push(format!("{name} ({pid}) used {:.0} % of a core", share * 100.0));
            }
        }
        told
    }
}

/// Identifier, name and used ticks of every process but this one.
fn processes() -> Vec<(u32, String, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != std::process::id()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        let name = name.map_or("?", |(name, _)| name).to_owned();
        found.push((pid, name, cpu_ticks(&stat).unwrap_or_default()));
    }
    found
}

/// What is to be said of the floor's rates. A single odd round changes no median; many of them do.
pub(crate) fn noise(floors: &[f64]) -> Option<String> {
    let median = median(floors);
    let odd = floors.iter().filter(|rate| (*rate / median - 1.0).abs() > ODD).count();
    (odd as f64 > ODD_MAX * floors.len() as f64).then(|| {
        format!(
            "{odd} of {} rounds of the floor were more than {:.0} % off their median: too noisy to tell differences of less",
            floors.len(),
            ODD * 100.0
        )
    })
}

/// The difference of the largest and the smallest, as a share of the median.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::MIN, f64::max);
    let smallest = values.iter().copied().fold(f64::MAX, f64::min);
    if values.is_empty() { 0.0 } else { (largest - smallest) / median(values) }
}

/// The middle one; the mean of the two in the middle where there are two; zero of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    if sorted.len().is_multiple_of(2) && half > 0 {
        f64::midpoint(at(half - 1), at(half))
    } else {
        at(half)
    }
}

/// The median and the slowest tenth of writing four kilobytes and waiting until the disk has them.
pub(crate) fn fsync(folder: &Path) -> anyhow::Result<(Duration, Duration)> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut taken = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        taken.push(began.elapsed());
    }
    fs::remove_file(path)?;
    taken.sort();
    let at = |index: usize| taken.get(index).copied().unwrap_or_default();
    Ok((at(50), at(90)))
}

/// What this machine is.
pub(crate) fn description() -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|rest| rest.split_once(':')).map_or("?", |(_, name)| name.trim());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "processor": model,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": kernel.trim(),
        "load_average_at_start": load.split_whitespace().next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(spread(&[90.0, 100.0, 110.0]), 0.2);
    }

    #[test]
    fn one_odd_round_is_no_noise_and_many_are() {
        let mut rates = vec![100.0; 40];
        assert_eq!(noise(&rates), None);
        rates[..2].copy_from_slice(&[60.0, 111.0]);
        assert_eq!(noise(&rates), None);
        rates[2] = 89.0;
        assert!(noise(&rates).unwrap().starts_with("3 of 40 rounds"));
    }
}
