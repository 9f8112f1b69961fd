//! The tree under test: which files there are, and how a broken rule is reported.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file of the repository.
pub(crate) struct File {
    /// From the repository's root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The lines with their numbers, counted from one as editors do.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Rust that ends up in a crate, as opposed to its integration tests.
    pub(crate) fn is_source(&self) -> bool {
        self.is_rust() && self.path.starts_with("crates/") && self.path.contains("/src/")
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every text file that belongs to the repository, in the order of their paths.
pub(crate) fn files() -> Vec<File> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "{} is no root", root.display());
    files
}

/// Every Rust file.
pub(crate) fn rust() -> Vec<File> {
    files().into_iter().filter(File::is_rust).collect()
}

/// Asks git nothing: an unpacked archive of the sources has to pass as well.
fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let made = ["target", ".git", ".cache", "node_modules", "__pycache__"];
            if !made.contains(&name.as_str()) {
                collect(root, &path, files);
            }
        } else if !is_left_by_a_run(&name)
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
}

/// What `.gitignore` names: a database, its companions, somebody's own configuration.
fn is_left_by_a_run(name: &str) -> bool {
    name.contains(".db") || name == "jeton.toml" || name == ".git"
}

/// Fails with every complaint at once.
pub(crate) fn hold(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(
        complaints.is_empty(),
        "

{}

",
        complaints.join(
            "
"
        )
    );
}
