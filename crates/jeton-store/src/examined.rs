//! What an examination of a database finds, and how the work on a whole one tells how far it is.

use jeton_engine::clock::Time;
use jeton_engine::master_key::MasterKey;
use jeton_engine::name::{ClientId, KeyId, RealmName, SecretId};
use jeton_engine::store::StoreError;

use crate::error::OpenError;

/// What was found in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The database.
    pub place: String,
    /// Its schema; zero when it has none.
    pub schema: u32,
    /// The newest schema that this binary knows.
    pub schema_known: u32,
    /// How many rows each table has.
    pub tables: Vec<(&'static str, u64)>,
    /// How many keys and secrets in it are encrypted under the master key.
    pub sealed: u64,
    /// How many of those were opened.
    pub opened: u64,
    /// When the newest of what is in it happened.
    pub newest: Option<Time>,
    /// Its size, in bytes, without its log.
    pub bytes: u64,
    /// How many pages its log holds that may not have been moved into it yet.
    pub log_pages: u64,
    /// What is wrong with it; nothing, if it is sound.
    pub problems: Vec<Problem>,
    /// What was not looked at, and how it can be.
    pub unseen: Vec<Problem>,
}

/// Something that is wrong with a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a table, a page, a row.
    pub place: String,
    /// What is wrong there. Quotes no value.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What to do about a row that means nothing.
const REWRITE: &str = "another program or another version wrote it: mend or delete the \
    row, or restore a backup";
const FIND_KEY: &str = "name the master key it was made under in [storage]; if that is lost, make \
    new keys and secrets";

/// What is encrypted under the master key.
pub(crate) enum Sealed {
    /// A signing key.
    Key(RealmName, KeyId, Vec<u8>),
    /// A client's secret.
    Secret(RealmName, ClientId, SecretId, Box<[u8]>),
}

/// What a row says: when it happened, and what is encrypted in it; or why nobody can read it.
pub(crate) type Told<E> = Result<(Option<Time>, Option<Sealed>), E>;

/// More problems than this are not told: they have one cause.
const PROBLEMS_MAX: usize = 100;

impl Examined {
    /// Nothing has been found yet.
    pub(crate) fn new(place: String, schema_known: u32) -> Self {
        Self {
            place,
            schema: 0,
            schema_known,
            tables: Vec::new(),
            sealed: 0,
            opened: 0,
            newest: None,
            bytes: 0,
            log_pages: 0,
            problems: Vec::new(),
            unseen: Vec::new(),
        }
    }

    /// Whether nothing is wrong with it.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Notes a problem.
    pub(crate) fn note(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    /// Takes down what a row of a table says.
    pub(crate) fn take<E>(&mut self, table: &str, told: Told<E>, master_key: Option<&MasterKey>)
    where
        StoreError: From<E>,
    {
        match told {
            Ok((at, sealed)) => {
                self.newest = self.newest.max(at);
                if let Some(sealed) = sealed {
                    self.open(master_key, &sealed);
                }
            }
            Err(trouble) => {
                let (place, what) =
                    (format!("table {table}"), StoreError::from(trouble).to_string());
                self.note(Problem { place, what, remedy: REWRITE });
            }
        }
    }

    /// Opens what is encrypted, when there is a master key.
    fn open(&mut self, master_key: Option<&MasterKey>, sealed: &Sealed) {
        self.sealed += 1;
        let Some(master_key) = master_key else { return };
        let (table, opened) = match sealed {
            Sealed::Key(realm, id, sealed) => ("signing_key", master_key.open(realm, id, sealed)),
            Sealed::Secret(realm, client_id, id, sealed) => {
                ("secret", master_key.open_secret(realm, client_id, id, sealed))
            }
        };
        match opened {
            Ok(_) => self.opened += 1,
            Err(fault) => {
                let (place, what) = (format!("table {table}"), fault.to_string());
                self.note(Problem { place, what, remedy: FIND_KEY });
            }
        }
    }
}

/// How far the work on a whole database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is; zero when nobody knows.
    pub total: u64,
}

/// Whoever is told how far it is.
pub type Tell<'t> = &'t dyn Fn(Progress);

/// What happens to what is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is done.
    Stays,
    /// It is replaced.
    Replaced,
}

/// Why a database was not backed up or restored. What was there is still there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// One of the two databases cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something already.
    #[error("{0} exists already")]
    Exists(String),
    /// The backup would take the place of a database that is in use, or of the one it is made of.
    #[error("{0} is a database itself: a backup must not take its place")]
    Database(String),
    /// Somebody has the database open.
    #[error("the database {0} is in use")]
    InUse(String),
    /// The copy is not sound.
    #[error("the copy is not sound: {} problem(s) were found in it", .0.problems.len())]
    Unsound(Box<Examined>),
    /// The system refuses something.
    #[error("{act} failed: {reason}")]
    Failed {
        /// What was being done, and with which file.
        act: String,
        /// What the system says.
        reason: String,
    },
}
