//! Examines a whole database: its pages, its tables and indexes, every row as what it means, what is
//! encrypted in it, and its log. Nothing in it is changed, and servers may go on using it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use jeton_engine::client::SecretDigest;
use jeton_engine::clock::Time;
use jeton_engine::master_key::MasterKey;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;
use rusqlite::{Connection, ErrorCode, Row};

use super::trouble::Trouble;
use super::{Location, changes, clients, connect, events, frames, keys, registrations, schema};
use super::{tokens, viewer};
use crate::error::OpenError;
use crate::examined::{Examined, Problem, Progress, Sealed, Tell, Told};

const RESTORE: &str = "restore a backup: jeton database restore --from FILE";
const REINDEX: &str = "the rows are there: stop jeton and make the index anew with SQLite's own \
    REINDEX, or restore a backup: jeton database restore --from FILE";
const KEEP_LOG: &str = "keep copies of the database and its log, then restore a backup: jeton \
    database restore --from FILE";

/// Examines the database in a file. Without a master key nothing encrypted is opened.
///
/// # Errors
/// The file is no database of ours, or of a newer jeton beside which this one cannot work.
pub fn examine(
    path: &Path,
    master_key: Option<&MasterKey>,
    tell: Tell<'_>,
) -> Result<Examined, OpenError> {
    let path = &*frames::real(path);
    let location = Location::File(path.to_owned());
    connect::refuse_half_restored(path)?;
    let mut examined = begin(path, &location)?;
    let outcome = viewer::open(path).map_err(|error| connect::explain(&location, &error));
    let connection = match outcome {
        Ok(connection) => connection,
        Err(OpenError::Damaged { reason, .. }) => {
            examined.note(damage("its first page".to_owned(), reason));
            return Ok(examined);
        }
        Err(other) => return Err(other),
    };
    Examination { connection: &connection, master_key, tell, examined: &mut examined }
        .run(&location)?;
    Ok(examined)
}

/// What can be seen without opening it.
fn begin(path: &Path, location: &Location) -> Result<Examined, OpenError> {
    let unusable = |reason: String| OpenError::Unusable { place: location.to_string(), reason };
    let known = schema::MIGRATIONS.last().map_or(0, |migration| migration.number);
    let mut examined = Examined::new(location.to_string(), known);
    let metadata = path.metadata().map_err(|error| unusable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unusable("it is no file".to_owned()));
    }
    examined.bytes = metadata.len();
    let log = frames::look(path).map_err(|error| unusable(format!("its log: {error}")))?;
    examined.log_pages = log.frames;
    if let Some(what) = log.damage {
        let place = format!("its log, {}", frames::path_of(path).display());
        examined.note(Problem { place, what, remedy: KEEP_LOG });
    }
    Ok(examined)
}

fn damage(place: String, what: String) -> Problem {
    Problem { place, what, remedy: RESTORE }
}

struct Examination<'e> {
    connection: &'e Connection,
    master_key: Option<&'e MasterKey>,
    tell: Tell<'e>,
    examined: &'e mut Examined,
}

impl Examination<'_> {
    fn run(&mut self, location: &Location) -> Result<(), OpenError> {
        let standing = match schema::look(self.connection, location, schema::MIGRATIONS) {
            Err(OpenError::Damaged { reason, .. }) => {
                self.examined.note(damage("its list of tables".to_owned(), reason));
                return Ok(());
            }
            other => other?,
        };
        self.examined.schema = standing.applied;
        if standing.applied == 0 {
            self.examined.note(damage("the database".to_owned(), "it is empty".to_owned()));
        }
        self.pages();
        self.references();
        // An older one is migrated at the next start; only then its rows are what we know.
        if standing.missing.is_empty() {
            if !standing.is_ahead {
                self.shape();
            }
            self.rows(standing.is_ahead);
            self.numbers();
            self.places();
            self.extracts();
        }
        Ok(())
    }

    fn told(&self, step: &'static str, done: u64, total: u64) {
        (self.tell)(Progress { step, done, total });
    }

    /// Notes what kept a part of the examination from being done.
    fn failed(&mut self, place: &str, error: &rusqlite::Error) {
        let remedy = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "the same command again",
            Some(ErrorCode::SystemIoFailure) => "look after the disk, then restore a backup",
            _ => RESTORE,
        };
        self.examined.note(Problem { place: place.to_owned(), what: error.to_string(), remedy });
    }

    /// Every page, and every index against its table.
    fn pages(&mut self) {
        self.told("checking pages", 0, 1);
        match found(self.connection) {
            Ok(found) => found.into_iter().for_each(|problem| self.examined.note(problem)),
            Err(error) => self.failed("the database", &error),
        }
        self.told("checking pages", 1, 1);
    }

    /// Rows that refer to rows that are not there.
    fn references(&mut self) {
        let connection = self.connection;
        let outcome = (|| {
            let sql = "SELECT \"table\", \"parent\", count(*) FROM pragma_foreign_key_check \
                GROUP BY 1, 2";
            let mut select = connection.prepare(sql)?;
            let rows = select.query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })();
        match outcome {
            Ok(orphans) => {
                for (table, parent, count) in orphans {
                    let what = format!("{count} rows refer to rows of {parent} that are not there");
                    self.examined.note(damage(format!("table {table}"), what));
                }
            }
            Err(error) => self.failed("what rows refer to", &error),
        }
    }

    /// Every table and index as the migrations make it.
    fn shape(&mut self) {
        let ours = Connection::open_in_memory().and_then(|mut fresh| {
            let made = schema::prepare(&mut fresh, &Location::Memory, schema::MIGRATIONS);
            if made.is_err() { Ok(BTreeMap::new()) } else { shape(&fresh) }
        });
        match (ours, shape(self.connection)) {
            (Ok(ours), Ok(there)) => {
                for (name, sql) in &ours {
                    let what = match there.get(name) {
                        None => "it is not there",
                        Some(other) if other != sql => "it is not as the migrations make it",
                        Some(_) => continue,
                    };
                    self.examined.note(damage(name.clone(), what.to_owned()));
                }
            }
            (Err(error), _) | (_, Err(error)) => self.failed("its list of tables", &error),
        }
    }

    fn rows(&mut self, is_ahead: bool) {
        self.table("client", clients::COLUMNS, |row| {
            clients::read(row, &realm(row)?).map(|client| (Some(client.changed_at), None))
        });
        self.table("initial_access_token", registrations::COLUMNS, |row| {
            registrations::read(row).map(|token| (Some(token.created_at), None))
        });
        let columns = format!("{}, realm", clients::SECRET_COLUMNS);
        self.table("secret", &columns, |row| {
            let secret = clients::read_secret(row)?;
            let SecretDigest::Sealed(sealed) = secret.digest else { return Ok((None, None)) };
            let client_id: String = row.get(0)?;
            let client_id: ClientId = client_id.parse().map_err(|_| unreadable("secret"))?;
            let realm: String = row.get(9)?;
            let realm = realm.parse().map_err(|_| unreadable("secret"))?;
            Ok((None, Some(Sealed::Secret(realm, client_id, secret.id, sealed))))
        });
        self.table("signing_key", keys::COLUMNS, |row| {
            let key = keys::read(row)?;
            Ok((Some(key.created_at), Some(Sealed::Key(key.realm, key.id, key.sealed))))
        });
        self.table("token", tokens::COLUMNS, |row| {
            tokens::read(row).map(|token| (Some(token.issued_at), None))
        });
        let readable = |row: &Row<'_>| realm(row).map(|_| (None, None));
        self.table("deleted_client", "realm, client_id, through", readable);
        self.table("spent", "realm, id, until", readable);
        // A newer program notes events and changes that this one knows nothing of.
        self.table("event", events::COLUMNS, |row| match events::read(row) {
            Err(_) if is_ahead => Ok((None, None)),
            event => event.map(|event| (Some(event.at), None)),
        });
        self.table("change", &format!("{}, at", changes::COLUMNS), |row| {
            let at = Time::from_milliseconds(row.get(3)?);
            match changes::read(row)? {
                None if !is_ahead => Err(unreadable("change")),
                _ => Ok((Some(at), None)),
            }
        });
    }

    /// Reads every row of a table as what it means.
    fn table(
        &mut self,
        name: &'static str,
        columns: &str,
        read: impl Fn(&Row<'_>) -> Told<Trouble>,
    ) {
        const OFTEN: u64 = 20_000;
        let connection = self.connection;
        let mut done = 0;
        let outcome = connection.prepare(&format!("SELECT {columns} FROM {name}"));
        let outcome = outcome.and_then(|mut select| {
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                done += 1;
                self.examined.take(name, read(row), self.master_key);
                if done % OFTEN == 0 {
                    self.told(name, done, 0);
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.failed(&format!("table {name}"), &error);
        }
        self.told(name, done, done);
        self.examined.tables.push((name, done));
    }

    /// Whether numbers were given that the database does not remember: they would be given again.
    fn numbers(&mut self) {
        for table in ["signing_key", "token", "change"] {
            let sql = format!(
                "SELECT coalesce((SELECT max(seq) FROM {table}), 0) > \
                 coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0)"
            );
            match self.connection.query_row(&sql, [], |row| row.get(0)) {
                Ok(false) => {}
                Ok(true) => {
                    let what = "its newest number is greater than the last that was given";
                    self.examined.note(damage(format!("table {table}"), what.to_owned()));
                }
                Err(error) => self.failed(&format!("table {table}"), &error),
            }
        }
    }

    /// Whether tokens are there that nobody would find.
    fn places(&mut self) {
        let sql = "SELECT count(*) FROM token WHERE seq <= (SELECT through FROM token_placed) AND NOT EXISTS \
            (SELECT 1 FROM token_place WHERE key = substr(digest, 1, 8) AND token_place.seq = token.seq)";
        self.none("table token_place", sql, |lost| {
            format!("the places of {lost} tokens are not there")
        });
    }

    /// Whether of each client the extract is there that a start reads.
    fn extracts(&mut self) {
        let of = |table| format!("SELECT realm, id, terms, digest FROM {table}");
        let (there, right) = (of("client_extract"), of("client_extracted"));
        let sql = &format!(
            "SELECT count(*) FROM (SELECT realm, id FROM ({right} EXCEPT {there}) \
             UNION SELECT realm, id FROM ({there} EXCEPT {right}))"
        );
        self.none("table client_extract", sql, |wrong| {
            format!("the extracts of {wrong} clients are not what the clients are")
        });
    }

    /// Whether a statement that counts what is wrong at a place counts none; `what` says it of so many.
    fn none(&mut self, place: &str, sql: &str, what: impl Fn(i64) -> String) {
        match self.connection.query_row(sql, [], |row| row.get(0)) {
            Ok(0) => {}
            Ok(count) => self.examined.note(damage(place.to_owned(), what(count))),
            Err(error) => self.failed(place, &error),
        }
    }
}

fn realm(row: &Row<'_>) -> Result<RealmName, Trouble> {
    let text: String = row.get(0)?;
    text.parse().map_err(|_| {
        let what = "a row cannot be read: its realm is no name".to_owned();
        Trouble::Store(StoreError::Failed(what))
    })
}

fn unreadable(table: &str) -> Trouble {
    StoreError::Failed(format!("a row of {table} cannot be read")).into()
}

/// What SQLite finds in the pages, with the names of tables and indexes.
fn found(connection: &Connection) -> rusqlite::Result<Vec<Problem>> {
    let mut select = connection.prepare("SELECT rootpage, type, name FROM sqlite_schema")?;
    let roots = select.query_map([], |row| {
        let (kind, name): (String, String) = (row.get(1)?, row.get(2)?);
        Ok((row.get::<_, i64>(0)?, format!("{kind} {name}")))
    })?;
    let roots: HashMap<i64, String> = roots.collect::<rusqlite::Result<_>>()?;
    let mut select = connection.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = select.query([])?;
    let mut problems = Vec::new();
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let text: String = row.get(0)?;
                let lines = text.lines();
                let told = lines.filter(|line| *line != "ok" && !line.starts_with("***"));
                problems.extend(told.map(|line| named(line, &roots)));
            }
            // After some damage it goes no further, but has said where that is.
            Err(error) if problems.is_empty() => return Err(error),
            Ok(None) | Err(_) => return Ok(problems),
        }
    }
}

/// What SQLite says of a page or an index, with where that is.
fn named(line: &str, roots: &HashMap<i64, String>) -> Problem {
    let words: Vec<&str> = line.split([' ', ':']).collect();
    let after = |word: &str| {
        let at = words.iter().position(|other| *other == word)?;
        words.get(at + 1).copied()
    };
    let place = match (after("Tree"), after("page"), after("index")) {
        (Some(root), page, _) => {
            let root = root.parse().ok().and_then(|root: i64| roots.get(&root));
            let root = root.map_or("the database", String::as_str);
            page.map_or_else(|| root.to_owned(), |page| format!("{root}, page {page}"))
        }
        (None, _, Some(index)) => format!("index {index}"),
        (None, ..) => "the database".to_owned(),
    };
    let remedy = if place.starts_with("index") { REINDEX } else { RESTORE };
    Problem { place, what: line.to_owned(), remedy }
}

/// What there is in a database, by kind and name, and how it was made.
fn shape(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut select = connection.prepare(
        "SELECT type || ' ' || name, sql FROM sqlite_schema \
         WHERE name NOT LIKE 'sqlite_stat%' AND name <> 'migration'",
    )?;
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
