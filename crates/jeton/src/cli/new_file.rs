//! Files that are made once and never overwritten.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use super::failure::Failure;

/// Writes a new file that only its owner may read. Refuses to overwrite.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write(path, bytes, &options)
}

/// Writes a new file. Refuses to overwrite.
pub(super) fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write(path, bytes, OpenOptions::new().write(true).create_new(true))
}

fn write(path: &Path, bytes: &[u8], options: &OpenOptions) -> Result<(), Failure> {
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed("the file exists already; nothing was written")
                .at(path.display())
                .next("another name, or move the file away first")
        }
        _ => Failure::file("writing", path, &error),
    })?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| Failure::file("writing", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owners_only_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write_private(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(write_private(&path, b"two"), Err(Failure::Failed(_))));
        assert!(matches!(write_public(&path, b"two"), Err(Failure::Failed(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
