//! What the system knows of this process, under the names that every Prometheus client uses. Read from
//! `/proc`; on a system without it, nothing is said.

use std::fs;
use std::str::FromStr;

/// What the system knows of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_files: Option<usize>,
    pub(super) open_files_max: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) started_at: Option<f64>,
}

/// In what `/proc` counts time, a hundredth of a second (`USER_HZ`): part of Linux's interface.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    pub(super) fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_files = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
        Self {
            // Looking opens one more.
            open_files: open_files.map(|count| count.saturating_sub(1)),
            open_files_max: limit(&text("/proc/self/limits")),
            ..Self::parse(&text("/proc/self/stat"), &text("/proc/self/status"), &text("/proc/stat"))
        }
    }

    fn parse(stat: &str, status: &str, system: &str) -> Self {
        // The second field is the program's name in parentheses, which may hold anything.
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        // The fields of proc(5) from the third on.
        let ticks = |number: usize| field::<f64>(fields, number - 3);
        let cpu = ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND);
        let kibibytes = |name: &str| line::<u64>(status, name).map(|size| size * 1024);
        let booted_at = line::<f64>(system, "btime ");
        let started = booted_at.zip(ticks(22));
        Self {
            cpu_seconds: cpu,
            resident_bytes: kibibytes("VmRSS:"),
            virtual_bytes: kibibytes("VmSize:"),
            threads: line(status, "Threads:"),
            started_at: started.map(|(booted, after)| booted + after / TICKS_PER_SECOND),
            ..Self::default()
        }
    }
}

fn field<T: FromStr>(fields: &str, place: usize) -> Option<T> {
    fields.split_ascii_whitespace().nth(place)?.parse().ok()
}

/// The first number behind `name` at the beginning of a line.
fn line<T: FromStr>(text: &str, name: &str) -> Option<T> {
    field(text.lines().find_map(|line| line.strip_prefix(name))?, 0)
}

fn limit(limits: &str) -> Option<u64> {
    line(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read_whatever_the_program_is_called() {
        let stat = "42 (jet) on) S 1 42 42 0 -1 4194304 500 0 0 0 250 50 0 0 20 0 5 0 12300 0 0";
        let status = "Name:\tjeton\nVmSize:\t  2048 kB\nVmRSS:\t 1024 kB\nThreads:\t5\n";
        let process = Process::parse(stat, status, "cpu 1 2\nbtime 1700000000\n");
        let expected = Process {
            cpu_seconds: Some(3.0),
            resident_bytes: Some(1_048_576),
            virtual_bytes: Some(2_097_152),
            threads: Some(5),
            started_at: Some(1_700_000_123.0),
            ..Process::default()
        };
        assert_eq!(process, expected);
        assert_eq!(Process::parse("", "", ""), Process::default());
        assert_eq!(limit("Max open files            1024         4096    files\n"), Some(1024));
        assert_eq!(limit("Max open files            unlimited    unlimited    files\n"), None);
    }
}
