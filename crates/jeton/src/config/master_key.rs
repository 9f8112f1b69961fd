//! The master key on its way into the process: from a file that only its owner can read, or from the environment.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jeton_engine::clock::Random;
use jeton_engine::master_key::MasterKey;
use zeroize::Zeroizing;

use super::MasterKeySource;

/// Why there is no master key. Never says what was read.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file cannot be read or made.
    #[error("the master key file {} cannot be read or made: {error}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Others could read the file.
    #[error(
        "the master key file {} can be read by others (mode {mode:03o}): run `chmod 600` on it, and make a new key if somebody did read it",
        .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The environment variable is not set.
    #[error("the master key is to come from the environment variable {0}, which is not set")]
    Unset(String),
    /// What was read is no master key.
    #[error("the master key from {place} {problem}")]
    Malformed {
        /// Where it was read.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads the master key; where the configuration leaves it to us, makes one on first use.
///
/// # Errors
/// When there is none, when others could read it, or when it is malformed.
pub fn read(source: &MasterKeySource, random: &Random) -> Result<MasterKey, MasterKeyError> {
    match source {
        MasterKeySource::File(path) => read_file(path),
        MasterKeySource::BesideDatabase(path) => {
            make_if_absent(path, random)
                .map_err(|error| MasterKeyError::Unreadable { path: path.clone(), error })?;
            read_file(path)
        }
        MasterKeySource::Environment(name) => {
            let text = std::env::var(name).map(Zeroizing::new);
            let text = text.map_err(|_| MasterKeyError::Unset(name.clone()))?;
            parse(&text, || format!("the environment variable {name}"))
        }
        MasterKeySource::Fresh => {
            parse(&MasterKey::generate(random), || "our own generator".to_owned())
        }
    }
}

/// Reads a master key that is there, and never makes one.
///
/// # Errors
/// When there is none, when others could read it, or when it is malformed.
pub fn read_existing(source: &MasterKeySource) -> Result<MasterKey, MasterKeyError> {
    match source {
        MasterKeySource::BesideDatabase(path) => read_file(path),
        other => read(other, &Random::System),
    }
}

fn read_file(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let unreadable = |error| MasterKeyError::Unreadable { path: path.to_owned(), error };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(1024).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text, || path.display().to_string())
}

fn parse(text: &str, place: impl FnOnce() -> String) -> Result<MasterKey, MasterKeyError> {
    text.trim().parse().map_err(|error: jeton_engine::name::NameError| MasterKeyError::Malformed {
        place: place(),
        problem: error.to_string(),
    })
}

/// Makes the file whole or not at all: written under a name of its own, made durable, then linked to its
/// place, which fails when another process was first. Losing this file loses every signing key.
fn make_if_absent(path: &Path, random: &Random) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let text = MasterKey::generate(random);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", u64::from_le_bytes(random.bytes())));
    let draft = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        });
    fs::remove_file(&draft)?;
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn beside(folder: &tempfile::TempDir) -> MasterKeySource {
        MasterKeySource::BesideDatabase(folder.path().join("jeton.db.master-key"))
    }

    #[test]
    fn a_key_is_made_once_with_mode_0600_and_read_again_after_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.db.master-key");
        read(&beside(&folder), &Random::System).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        read(&beside(&folder), &Random::System).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.db.master-key");
        read(&beside(&folder), &Random::System).unwrap();
        for (mode, fine) in
            [(0o640, false), (0o604, false), (0o660, false), (0o400, true), (0o600, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&beside(&folder), &Random::System).is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn a_named_file_must_exist_and_a_malformed_key_is_not_repeated_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let source = MasterKeySource::File(path.clone());
        assert!(matches!(read(&source, &Random::System), Err(MasterKeyError::Unreadable { .. })));
        fs::write(&path, "hunter2").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = read(&source, &Random::System).unwrap_err();
        assert!(matches!(error, MasterKeyError::Malformed { .. }));
        assert!(!error.to_string().contains("hunter2"));
    }
}
