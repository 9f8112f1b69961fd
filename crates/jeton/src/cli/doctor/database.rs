//! Looks at the database: whether it is there, sound, current, writable, and keeps its word.

use std::path::Path;

use jeton_engine::clock::{Clock, Time};
use jeton_store::{Look, PostgresAddress, PostgresFacts, PostgresLook, Schema, SqliteLook};

use super::files::beside;
use super::finding::Finding;
use super::machine;
use crate::config::{Database, Storage};

/// A larger file is not read through here.
const QUICK_BYTES: u64 = 1024 * 1024 * 1024;
/// A log of this size is no longer written back as it should be.
const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Clocks that differ by more are worth a word, in milliseconds.
const CLOCKS_APART: u64 = 1_000;
/// Clocks that differ by more make servers disagree about what has expired, in milliseconds.
const CLOCKS_TOO_FAR_APART: u64 = 10_000;

/// What was found, and the database for a further look.
pub(super) async fn examine(storage: &Storage, clock: &Clock) -> (Vec<Finding>, Option<Look>) {
    match &storage.database {
        Database::Memory => {
            let what = "everything is kept in memory and is gone with the process";
            (vec![Finding::note("database", "[storage] url", what)], None)
        }
        Database::File(path) => file(path),
        Database::Postgres(address) => server(address, clock).await,
    }
}

fn file(path: &Path) -> (Vec<Finding>, Option<Look>) {
    let place = path.display();
    if !path.exists() {
        let what = "is not there yet: the first start of the server makes it";
        let mut findings = vec![Finding::note("database", place, what)];
        findings.extend(machine::disk(path));
        return (findings, None);
    }
    // Before the database is opened: what opens its file and closes it again would end its locks.
    let bytes = path.metadata().map_or(0, |found| found.len());
    let mut findings = machine::disk(path);
    let look = match Look::at_file(path) {
        Ok(look) => look,
        Err(error) => {
            findings.push(Finding::problem("database", place, error.to_string()));
            return (findings, None);
        }
    };
    findings.extend(schema(look.schema(), &place.to_string()));
    if let Look::Sqlite(sqlite) = &look {
        findings.push(soundness(sqlite, path, bytes));
    }
    findings.extend(log(path));
    (findings, Some(look))
}

fn schema(schema: Schema, place: &str) -> Option<Finding> {
    let Schema { found, known } = schema;
    if schema.is_current() {
        return Some(Finding::ok("database.schema", place, format!("has schema {found}")));
    }
    let what = format!(
        "has schema {found}; the next start of this jeton migrates it to {known}. Keys and clients were not looked at"
    );
    Some(Finding::note("database.schema", place, what).remedy("make a backup first"))
}

fn soundness(look: &SqliteLook, path: &Path, bytes: u64) -> Finding {
    const CHECK: &str = "database.soundness";
    let place = path.display();
    if bytes > QUICK_BYTES {
        let what = "is too large to be read through here";
        return Finding::note(CHECK, place, what).remedy("jeton database check");
    }
    match look.damage() {
        Ok(None) => Finding::ok(CHECK, place, "pages and rows are sound"),
        Ok(Some(damage)) => Finding::problem(CHECK, place, format!("is damaged: {damage}"))
            .remedy("`jeton database check` says more; restore a backup"),
        Err(error) => Finding::problem(CHECK, place, format!("cannot be read: {error}"))
            .remedy("`jeton database check` says more; restore a backup"),
    }
}

fn log(path: &Path) -> Option<Finding> {
    let log = beside(path, "-wal");
    let bytes = log.metadata().ok()?.len();
    let what = format!("the log has {} MiB", bytes / (1024 * 1024));
    let finding = if bytes > LOG_BYTES_MAX {
        Finding::warning("database.log", log.display(), what).remedy(
            "something reads for so long that the log cannot be written back: a backup or sqlite3 that was left open",
        )
    } else {
        Finding::ok("database.log", log.display(), what)
    };
    Some(finding)
}

async fn server(address: &PostgresAddress, clock: &Clock) -> (Vec<Finding>, Option<Look>) {
    let look = match Look::at_postgres(address).await {
        Ok(look) => look,
        Err(error) => {
            let finding = Finding::problem("database", address, error.to_string())
                .remedy("what its own log says; [storage] url");
            return (vec![finding], None);
        }
    };
    let Look::Postgres(postgres) = &look else { return (Vec::new(), Some(look)) };
    let place = address.to_string();
    let mut findings = vec![Finding::ok(
        "database",
        &place,
        format!("answers: PostgreSQL {}", postgres.facts().version),
    )];
    findings.extend(schema(look.schema(), &place));
    findings.extend(promises(postgres.facts(), &place));
    findings.push(clocks(postgres, &place, clock).await);
    (findings, Some(look))
}

/// Whether what the server does is enough for what jeton promises.
fn promises(facts: &PostgresFacts, place: &str) -> Vec<Finding> {
    let durable = |what: &str| {
        Finding::problem("database.durability", place, what)
            .remedy("turn it on: a loss of power loses or damages what was acknowledged")
    };
    let mut findings = Vec::new();
    if facts.is_too_old {
        let what = "is older than PostgreSQL 15";
        findings.push(Finding::problem("database.version", place, what).remedy("upgrade it"));
    }
    if !facts.is_utf8 {
        let what = "its encoding is not UTF8";
        findings.push(
            Finding::problem("database.encoding", place, what)
                .remedy("a database made with ENCODING 'UTF8'"),
        );
    }
    if !facts.syncs {
        findings.push(durable("fsync is off"));
    }
    if !facts.writes_full_pages {
        findings.push(durable("full_page_writes is off"));
    }
    if facts.synchronous_commit == "off" {
        let what = "synchronous_commit is off; jeton turns it on for what it writes";
        findings.push(
            Finding::warning("database.durability", place, what).remedy("turn it on there too"),
        );
    }
    if facts.is_standby {
        let what = "follows another server and cannot be written";
        findings.push(Finding::problem("database.writable", place, what).remedy(
            "name every server of the pair in [storage] url: the one that writes is found",
        ));
    } else if facts.is_read_only {
        let what = "default_transaction_read_only is on";
        findings.push(
            Finding::warning("database.writable", place, what).remedy("turn it off for this role"),
        );
    }
    if findings.is_empty() {
        let what = "what it acknowledges is durable, and it can be written";
        findings.push(Finding::ok("database.durability", place, what));
    }
    findings
}

async fn clocks(look: &PostgresLook, place: &str, clock: &Clock) -> Finding {
    const CHECK: &str = "clock.database";
    let before = clock.now();
    match look.now().await {
        Ok(there) => compared(before, there, clock.now(), place),
        Err(error) => Finding::problem(CHECK, place, format!("cannot be asked: {error}")),
    }
}

/// The clock over there against ours, which showed `before` when we asked and `after` when we heard.
fn compared(before: Time, there: Time, after: Time, place: &str) -> Finding {
    const CHECK: &str = "clock.database";
    let (before, after) = (before.milliseconds(), after.milliseconds());
    let here = before.saturating_add(after.saturating_sub(before) / 2);
    let apart = there.milliseconds().abs_diff(here);
    let what = format!("its clock and ours differ by {apart} ms");
    let remedy = "let both machines be synchronized, by chrony or systemd-timesyncd";
    if apart > CLOCKS_TOO_FAR_APART {
        return Finding::problem(CHECK, place, what).remedy(remedy);
    }
    if apart > CLOCKS_APART {
        return Finding::warning(CHECK, place, what).remedy(remedy);
    }
    Finding::ok(CHECK, place, what)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn good() -> PostgresFacts {
        PostgresFacts {
            version: "18.1".to_owned(),
            is_too_old: false,
            is_utf8: true,
            syncs: true,
            writes_full_pages: true,
            synchronous_commit: "on".to_owned(),
            is_standby: false,
            is_read_only: false,
            now: Time::from_seconds(0),
            connections_max: 100,
        }
    }

    #[test]
    fn a_server_that_breaks_its_word_is_a_problem_and_one_that_keeps_it_is_not() {
        let levels = |facts: PostgresFacts| -> Vec<(&'static str, Level)> {
            let found = promises(&facts, "postgres://db");
            found.iter().map(|finding| (finding.check, finding.level)).collect()
        };
        assert_eq!(levels(good()), [("database.durability", Level::Ok)]);
        let durability = ("database.durability", Level::Problem);
        assert_eq!(levels(PostgresFacts { syncs: false, ..good() }), [durability]);
        assert_eq!(levels(PostgresFacts { writes_full_pages: false, ..good() }), [durability]);
        let off = PostgresFacts { synchronous_commit: "off".to_owned(), ..good() };
        assert_eq!(levels(off), [("database.durability", Level::Warning)]);
        let standby = PostgresFacts { is_standby: true, is_read_only: true, ..good() };
        assert_eq!(levels(standby), [("database.writable", Level::Problem)]);
        let read_only = PostgresFacts { is_read_only: true, ..good() };
        assert_eq!(levels(read_only), [("database.writable", Level::Warning)]);
        let old = PostgresFacts { is_too_old: true, is_utf8: false, ..good() };
        assert_eq!(levels(old).len(), 2);
    }

    #[test]
    fn clocks_may_differ_a_little_and_the_time_on_the_way_is_no_difference() {
        let at = Time::from_milliseconds;
        let level = |there| compared(at(10_000), at(there), at(10_200), "db").level;
        assert_eq!(level(10_100), Level::Ok);
        assert_eq!(level(11_100), Level::Ok);
        assert_eq!(level(11_101), Level::Warning);
        assert_eq!(level(9_099), Level::Warning);
        assert_eq!(level(20_100), Level::Warning);
        assert_eq!(level(20_101), Level::Problem);
    }
}
