//! The dialects at hand: the built-in ones and those of an own directory, no name twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jeton_engine::name::DialectName;

use crate::check::load;
use crate::dialect::Dialect;
use crate::problem::Problems;

/// What `build.rs` found in one folder under `dialects/`.
#[derive(Debug)]
struct Builtin {
    name: &'static str,
    text: &'static str,
    cast: Option<&'static str>,
    exchanges: &'static [(&'static str, &'static str)],
}

const BUILTIN: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// A dialect with its exchanges, as found in a folder.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The dialect.
    pub dialect: Arc<Dialect>,
    /// Where it came from.
    pub origin: Origin,
    /// The text of `exchanges/cast.toml`, where there is one.
    pub cast: Option<Cow<'static, str>>,
    /// Name and text of every `exchanges/*.http`, by name.
    pub exchanges: Vec<(Cow<'static, str>, Cow<'static, str>)>,
}

/// Where a dialect came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is part of the binary.
    Builtin,
    /// A folder, under this name.
    Folder(String),
}

/// Dialects by name.
#[derive(Clone, Debug, Default)]
pub struct Dialects(BTreeMap<DialectName, Entry>);

/// A dialect that is at hand.
#[derive(Clone, Debug)]
enum Entry {
    Loaded(Folder),
    /// Loaded when it is first asked for.
    Builtin(&'static Builtin, OnceLock<Folder>),
}

impl Entry {
    fn folder(&self) -> Option<&Folder> {
        match self {
            Self::Loaded(folder) => Some(folder),
            Self::Builtin(builtin, folder) => {
                if folder.get().is_none() {
                    // Whoever comes second at the same moment has loaded the same.
                    let _ = folder.set(load_builtin(builtin).ok()?);
                }
                folder.get()
            }
        }
    }
}

impl Dialects {
    /// The dialects that are part of the binary.
    ///
    /// # Errors
    /// The problems of those files; the tests see to it that there are none.
    pub fn builtin() -> Result<Self, Problems> {
        let mut dialects = Self::default();
        let mut problems = Problems::default();
        for builtin in BUILTIN {
            let added = load_builtin(builtin)
                .and_then(|folder| dialects.add(folder, &builtin_file(builtin)));
            problems.extend(added.err().unwrap_or_default());
        }
        if problems.is_empty() { Ok(dialects) } else { Err(problems) }
    }

    /// The same, each loaded when it is first asked for: a server speaks few of them. With one that has
    /// a problem, which none has, it is as if it were not there.
    pub fn builtin_when_asked() -> Self {
        let entry = |builtin: &'static Builtin| {
            let name = parse_name(builtin.name, &builtin_file(builtin)).ok()?;
            Some((name, Entry::Builtin(builtin, OnceLock::new())))
        };
        Self(BUILTIN.iter().filter_map(entry).collect())
    }

    /// Adds every `NAME/dialect.toml` of a directory.
    ///
    /// # Errors
    /// Every problem of every file at once; then nothing was added.
    pub fn add_directory(&mut self, directory: &Path) -> Result<(), Problems> {
        let mut grown = self.clone();
        let mut problems = Problems::default();
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = entries.map_err(|error| unreadable(directory, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let folder = entry.path();
            if folder.join("dialect.toml").is_file() {
                let file = folder.join("dialect.toml").display().to_string();
                let added = load_folder(&folder).and_then(|loaded| grown.add(loaded, &file));
                problems.extend(added.err().unwrap_or_default());
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        *self = grown;
        Ok(())
    }

    /// Adds one dialect.
    ///
    /// # Errors
    /// When there is a dialect of this name already.
    pub fn add(&mut self, folder: Folder, file: &str) -> Result<(), Problems> {
        let name = folder.dialect.name().clone();
        if self.0.contains_key(&name) {
            let message = format!("there is a dialect {name} already: rename this folder");
            return Err(Problems::with_file(file, message));
        }
        self.0.insert(name, Entry::Loaded(folder));
        Ok(())
    }

    /// The dialect of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Dialect>> {
        self.folder(name).map(|folder| &folder.dialect)
    }

    /// The dialect of this name with its exchanges.
    pub fn folder(&self, name: &str) -> Option<&Folder> {
        self.0.get(name).and_then(Entry::folder)
    }

    /// All dialects with their exchanges, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Folder> {
        self.0.values().filter_map(Entry::folder)
    }

    /// The names, for messages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(DialectName::as_str)
    }
}

fn builtin_file(builtin: &Builtin) -> String {
    format!("dialects/{}/dialect.toml", builtin.name)
}

fn load_builtin(builtin: &Builtin) -> Result<Folder, Problems> {
    let file = builtin_file(builtin);
    let dialect = load(&parse_name(builtin.name, &file)?, &file, builtin.text)?;
    let own = |&(name, text): &(&'static str, &'static str)| (name.into(), text.into());
    Ok(Folder {
        dialect: Arc::new(dialect),
        origin: Origin::Builtin,
        cast: builtin.cast.map(Cow::Borrowed),
        exchanges: builtin.exchanges.iter().map(own).collect(),
    })
}

/// Loads one folder `NAME` with its `dialect.toml` and its exchanges.
///
/// # Errors
/// Every problem of the dialect file at once, or why a file cannot be read.
pub fn load_folder(folder: &Path) -> Result<Folder, Problems> {
    let file = folder.join("dialect.toml");
    let text = read(&file)?;
    let dialect = load(&name_of(folder)?, &file.display().to_string(), &text)?;
    let Recorded { cast, exchanges } = recorded(folder)?;
    Ok(Folder {
        dialect: Arc::new(dialect),
        origin: Origin::Folder(folder.display().to_string()),
        cast: cast.map(Cow::Owned),
        exchanges: exchanges.into_iter().map(|(name, text)| (name.into(), text.into())).collect(),
    })
}

/// What is recorded beside a dialect file.
pub(crate) struct Recorded {
    /// The text of `exchanges/cast.toml`, where there is one.
    pub(crate) cast: Option<String>,
    /// Name and text of every `exchanges/*.http`, by name.
    pub(crate) exchanges: Vec<(String, String)>,
}

/// Reads the exchanges of a folder and who plays in them.
pub(crate) fn recorded(folder: &Path) -> Result<Recorded, Problems> {
    let exchanges = folder.join("exchanges");
    let cast = exchanges.join("cast.toml");
    let cast = if cast.is_file() { Some(read(&cast)?) } else { None };
    let mut found = Vec::new();
    if exchanges.is_dir() {
        let entries = fs::read_dir(&exchanges).map_err(|error| unreadable(&exchanges, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(&exchanges, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "http") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.push((name, read(&path)?));
            }
        }
    }
    found.sort();
    Ok(Recorded { cast, exchanges: found })
}

/// The name that a folder gives its dialect.
pub(crate) fn name_of(folder: &Path) -> Result<DialectName, Problems> {
    // `jeton dialect check .` is asked inside the folder itself.
    let absolute = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    parse_name(&name, &folder.join("dialect.toml").display().to_string())
}

fn parse_name(name: &str, file: &str) -> Result<DialectName, Problems> {
    name.parse().map_err(|problem| {
        Problems::with_file(file, format!("the folder's name `{name}` {problem}"))
    })
}

pub(crate) fn read(file: &Path) -> Result<String, Problems> {
    fs::read_to_string(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problems {
    Problems::with_file(&path.display().to_string(), format!("cannot be read: {error}"))
}
