//! Looks at the machine: its clock, how many files may be open, what the database lies on.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::finding::Finding;
use crate::config::Server;
use crate::open_files;

/// With less than this, a database soon cannot be written.
const ROOM_LEFT: u64 = 32 * 1024 * 1024;
/// With less than this there is trouble ahead.
const ROOM_ENOUGH: u64 = 512 * 1024 * 1024;

/// Whether somebody keeps the clock right, as far as can be seen without asking the kernel. `run` is
/// the folder where daemons leave their marks.
pub(super) fn clock(run: &Path) -> Finding {
    const CHECK: &str = "clock.synchronized";
    let place = "the system's clock";
    if run.join("systemd/timesync/synchronized").exists() {
        return Finding::ok(CHECK, place, "systemd-timesyncd has synchronized it");
    }
    let daemons = [
        ("chrony/chronyd.pid", "chronyd", "chronyc tracking"),
        ("chronyd.pid", "chronyd", "chronyc tracking"),
        ("ntpd.pid", "ntpd", "ntpq -p"),
        ("ntpd-rs/observe", "ntpd-rs", "ntp-ctl status"),
    ];
    let found = daemons.iter().find(|(mark, _, _)| run.join(mark).exists());
    match found {
        Some((_, name, ask)) => {
            let what = format!("{name} runs; how well it keeps the clock it alone knows");
            Finding::note(CHECK, place, what).remedy(*ask)
        }
        None => {
            let what = "cannot be told from here whether anybody keeps it right";
            Finding::note(CHECK, place, what).remedy(
                "assertions and proofs are refused when clocks differ by more than ten seconds: run chrony or systemd-timesyncd, here or on the host",
            )
        }
    }
}

/// Whether as many connections can be open as configuration allows. It is this process that is
/// looked at: a server that systemd starts has the limit of its unit.
pub(super) fn open_files(server: &Server) -> Finding {
    enough_files(open_files::allowed(), server)
}

fn enough_files(may: u64, server: &Server) -> Finding {
    const CHECK: &str = "process.open_files";
    let place = "the hard limit of open files";
    let most = server.connections_max;
    if may >= open_files::needed(server) {
        return Finding::ok(CHECK, place, format!("is {may}, enough for `server.connections_max`"));
    }
    let what = format!(
        "is {may} for a process started like this one, less than `server.connections_max` ({most}) needs"
    );
    Finding::note(CHECK, place, what).remedy(
        "LimitNOFILE=65536 in the systemd unit, or `ulimit -Hn 65536` before the server starts",
    )
}

/// What a database's file lies on: whether it keeps what it is given, whether there is room, whether
/// it can be written.
pub(super) fn disk(database: &Path) -> Vec<Finding> {
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut findings = Vec::new();
    findings.extend(writable(database, folder));
    if let Ok(found) = statvfs(folder) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        findings.push(room(free, folder));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = folder.metadata().map(|found| found.dev());
    let kind = device.ok().and_then(|device| file_system(&mounts, device));
    findings.extend(kind.map(|kind| judged(kind, folder)));
    findings
}

fn writable(database: &Path, folder: &Path) -> Option<Finding> {
    let refused = [database, folder].into_iter().filter(|path| path.exists()).find_map(|path| {
        let error = access(path, Access::WRITE_OK).err()?;
        Some((path, std::io::Error::from(error)))
    });
    let (path, error) = refused?;
    let what = format!("cannot be written by the user that runs the doctor: {error}");
    let remedy = "run it as the server's user; a read-only file system must be mounted anew";
    Some(Finding::problem("database.writable", path.display(), what).remedy(remedy))
}

fn room(free: u64, folder: &Path) -> Finding {
    const CHECK: &str = "database.disk";
    let what = format!("{} MiB are free", free / (1024 * 1024));
    let remedy = "make room: what cannot be written is refused, and a migration first makes a copy";
    match free {
        ..ROOM_LEFT => Finding::problem(CHECK, folder.display(), what).remedy(remedy),
        ROOM_LEFT..ROOM_ENOUGH => Finding::warning(CHECK, folder.display(), what).remedy(remedy),
        _ => Finding::ok(CHECK, folder.display(), what),
    }
}

/// The kind of file system with this device number, as the kernel's table of mounts has it.
fn file_system(mounts: &str, device: u64) -> Option<&str> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let number = format!("{major}:{minor}");
    let mut lines = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(&*number));
    let (_, after) = lines.next()?.split_once(" - ")?;
    after.split(' ').next()
}

fn judged(kind: &str, folder: &Path) -> Finding {
    const CHECK: &str = "database.file_system";
    match kind {
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "fuse.sshfs"
        | "fuse.glusterfs" | "virtiofs" => {
            let what =
                format!("is a {kind} file system: SQLite's log does not work across machines");
            Finding::problem(CHECK, folder.display(), what)
                .remedy("a disk of this machine, or PostgreSQL for several servers")
        }
        "tmpfs" | "ramfs" => {
            let what =
                format!("is a {kind} file system: it is empty after the next start of the machine");
            Finding::warning(CHECK, folder.display(), what).remedy("a disk")
        }
        "overlay" => {
            let what = "is the layer of a container: it goes with the container";
            Finding::warning(CHECK, folder.display(), what).remedy("a volume")
        }
        _ => Finding::ok(CHECK, folder.display(), format!("is a {kind} file system")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_synchronized_clock_is_told_from_one_that_nobody_vouches_for() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(clock(run.path()).level, Level::Note);
        fs::write(run.path().join("chronyd.pid"), "7").unwrap();
        assert_eq!(clock(run.path()).remedy.as_deref(), Some("chronyc tracking"));
        fs::create_dir_all(run.path().join("systemd/timesync")).unwrap();
        fs::write(run.path().join("systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(clock(run.path()).level, Level::Ok);
    }

    #[test]
    fn room_is_enough_little_or_too_little() {
        let level = |free| room(free, Path::new("/var")).level;
        assert_eq!(level(ROOM_ENOUGH), Level::Ok);
        assert_eq!(level(ROOM_ENOUGH - 1), Level::Warning);
        assert_eq!(level(ROOM_LEFT), Level::Warning);
        assert_eq!(level(ROOM_LEFT - 1), Level::Problem);
    }

    #[test]
    fn file_systems_are_found_by_device_and_judged_by_kind() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            40 22 0:35 / /srv rw,relatime - nfs4 host:/srv rw\n";
        let at = |major, minor| file_system(mounts, rustix::fs::makedev(major, minor));
        assert_eq!((at(8, 1), at(0, 35), at(8, 2)), (Some("ext4"), Some("nfs4"), None));
        let level = |kind| judged(kind, Path::new("/srv")).level;
        assert_eq!(level("nfs4"), Level::Problem);
        assert_eq!(level("tmpfs"), Level::Warning);
        assert_eq!(level("overlay"), Level::Warning);
        assert_eq!(level("ext4"), Level::Ok);
    }

    #[test]
    fn open_files_are_counted_against_the_connections_that_may_be() {
        let text =
            "[server]\nconnections_max = 1000\n[realm.main]\nissuer = \"http://localhost\"\n";
        let config = crate::config::parse("t", text, std::iter::empty(), Path::new("/x")).unwrap();
        assert_eq!(enough_files(1512, &config.server).level, Level::Ok);
        assert_eq!(enough_files(1511, &config.server).level, Level::Note);
    }
}
