//! Looks at who may read and change the files of an installation.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jeton_dialect::Origin;

use super::finding::Finding;
use crate::config::{self, Config, Database, MasterKeySource};

/// May be changed by everybody.
const OTHERS_WRITE: u32 = 0o002;
/// May be read or changed by others than its owner.
const NOT_PRIVATE: u32 = 0o077;
/// What is in the folder may only be renamed or removed by its owner.
const STICKY: u32 = 0o1000;

/// Every file that there is.
pub(super) fn examine(config: &Config, file: &Path) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(configuration(config, file));
    findings.extend(folder("files.folder", file.parent()));
    if let Database::File(path) = &config.storage.database {
        for path in [path.clone(), beside(path, "-wal"), beside(path, "-shm")] {
            findings.extend(private("files.database", &path, "what is in it"));
        }
        findings.extend(folder("files.folder", path.parent()));
    }
    if let MasterKeySource::File(path) | MasterKeySource::BesideDatabase(path) =
        &config.storage.master_key
    {
        findings.extend(private("files.master_key", path, "the master key"));
    }
    for own in config.dialects.iter() {
        if let Origin::Folder(own) = &own.origin {
            findings.extend(folder("files.folder", Some(Path::new(own))));
            findings.extend(folder("files.folder", Path::new(own).parent()));
        }
    }
    findings.dedup();
    if findings.is_empty() {
        let what = "nobody but their owner can read what is secret or change what is obeyed";
        findings.push(Finding::ok("files", file.display(), what));
    }
    findings
}

/// The configuration: nobody else may change it, and nobody else may read it when a password stands
/// in it.
fn configuration(config: &Config, file: &Path) -> Option<Finding> {
    let mode = file.metadata().ok()?.mode();
    if mode & OTHERS_WRITE != 0 {
        return Some(changeable("files.configuration", file, mode));
    }
    let Database::Postgres(address) = &config.storage.database else { return None };
    let url = config.origins.iter().find(|shown| shown.key == "storage.url")?;
    let stands_here = matches!(url.origin, config::Origin::File { .. }) && address.has_password();
    (stands_here && mode & 0o044 != 0).then(|| {
        let what = format!(
            "holds the database's password and can be read by others (mode {:03o})",
            mode & 0o777
        );
        Finding::problem("files.configuration", file.display(), what).remedy(
            "move the URL to a file of mode 0600 that JETON__STORAGE__URL_FILE names, and change the password",
        )
    })
}

/// A file that is nobody else's business.
fn private(check: &'static str, path: &Path, what: &str) -> Option<Finding> {
    let mode = path.metadata().ok()?.mode();
    (mode & NOT_PRIVATE != 0).then(|| {
        let what = format!("others can read or change {what} (mode {:03o})", mode & 0o777);
        Finding::problem(check, path.display(), what)
            .remedy(format!("chmod 600 {}", path.display()))
    })
}

/// A folder in which nobody else may put one file in the place of another.
fn folder(check: &'static str, path: Option<&Path>) -> Option<Finding> {
    let path = path.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = path.metadata().ok().filter(Metadata::is_dir)?;
    let mode = found.mode();
    (mode & OTHERS_WRITE != 0 && mode & STICKY == 0).then(|| changeable(check, path, mode))
}

fn changeable(check: &'static str, path: &Path, mode: u32) -> Finding {
    let what = format!("can be changed by everybody on this machine (mode {:03o})", mode & 0o777);
    Finding::problem(check, path.display(), what).remedy(format!("chmod o-w {}", path.display()))
}

/// A file beside another, with something after its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
