//! Lists the folders under `dialects/`, so that adding a dialect is adding a folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../dialects");
    let root = root.canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut table = String::from("&[\n");
    for folder in sorted(&root)? {
        // A folder that gets its first exchanges changes itself, but not the folder above it.
        println!("cargo::rerun-if-changed={}", folder.display());
        let dialect = folder.join("dialect.toml");
        if dialect.is_file() {
            write_folder(&mut table, &folder, &dialect)?;
        }
    }
    table.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("builtin.rs"), table)?;
    Ok(())
}

fn write_folder(table: &mut String, folder: &Path, dialect: &Path) -> Result<(), io::Error> {
    let include = |path: &Path| format!("include_str!({:?})", path.display().to_string());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let exchanges = folder.join("exchanges");
    let cast = exchanges.join("cast.toml");
    let mut files = String::new();
    if exchanges.is_dir() {
        println!("cargo::rerun-if-changed={}", exchanges.display());
        for file in sorted(&exchanges)? {
            if file.extension().is_some_and(|extension| extension == "http") {
                let _ = write!(files, "({:?}, {}), ", name(&file), include(&file));
            }
        }
    }
    let cast = if cast.is_file() { format!("Some({})", include(&cast)) } else { "None".to_owned() };
    let _ = writeln!(
        table,
        "Builtin {{ name: {:?}, text: {}, cast: {cast}, exchanges: &[{files}] }},",
        name(folder),
        include(dialect),
    );
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, io::Error> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}
