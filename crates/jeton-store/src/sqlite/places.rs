//! Where tokens are, by their digests.
//!
//! Digests are random. An index over them in which every token is written at once costs three times as
//! much as the token itself: each of the many that share a commit has its place on a page of its own. So
//! places are written late, many at a time and in the order of the digests (`token_place`), when several
//! share a page. Of the tokens that came since, they are kept in memory, read from the table itself by whoever
//! looks for a token first: so they need not survive a crash, and what other processes keep is found as well.

use std::collections::BTreeSet;

use jeton_engine::token::TokenDigest;
use parking_lot::Mutex;
use rusqlite::Connection;

use super::trouble::{Trouble, integer};

/// The places of all tokens, those that are written and those that are not yet.
#[derive(Default)]
pub(super) struct Places(Mutex<Latest>);

/// The places that are not written yet, as far as they have been looked for.
#[derive(Default)]
struct Latest {
    /// Up to this token all places are written.
    written: i64,
    /// From there up to this token all places are here.
    read: i64,
    places: BTreeSet<(Key, i64)>,
}

/// How a digest begins, which finds a token as well as all of it.
type Key = [u8; 8];

impl Places {
    /// Reads the places of tokens that were kept since the last time. Not within a transaction, for what
    /// is undone would be forgotten nowhere.
    pub(super) fn follow(&self, connection: &Connection) -> Result<(), Trouble> {
        self.0.lock().follow(connection)
    }

    /// The tokens whose digest begins like this one: mostly one or none.
    pub(super) fn of(
        &self,
        connection: &Connection,
        digest: &TokenDigest,
    ) -> Result<Vec<i64>, Trouble> {
        let Some(key) = digest.first_chunk() else { return Ok(Vec::new()) };
        let (mut found, read) = {
            let mut latest = self.0.lock();
            if connection.is_autocommit() {
                latest.follow(connection)?;
            }
            (latest.of(*key), latest.read)
        };
        if !connection.is_autocommit() {
            // What this transaction has kept itself.
            let mut select = connection
                .prepare_cached("SELECT seq FROM token WHERE seq > ?1 AND digest = ?2")?;
            let seqs = select.query_map((read, digest), |row| row.get(0))?;
            found.extend(seqs.collect::<Result<Vec<i64>, _>>()?);
        }
        let mut select = connection.prepare_cached("SELECT seq FROM token_place WHERE key = ?1")?;
        let seqs = select.query_map([key], |row| row.get(0))?;
        found.extend(seqs.collect::<Result<Vec<i64>, _>>()?);
        Ok(found)
    }
}

impl Latest {
    fn follow(&mut self, connection: &Connection) -> Result<(), Trouble> {
        let written = connection
            .prepare_cached("SELECT through FROM token_placed")?
            .query_row([], |row| row.get(0))?;
        if written > self.written {
            self.places.retain(|(_, seq)| *seq > written);
            self.written = written;
            self.read = self.read.max(written);
        }
        let mut select = connection.prepare_cached(
            "SELECT substr(digest, 1, 8), seq FROM token WHERE seq > ?1 ORDER BY seq",
        )?;
        let mut rows = select.query([self.read])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(1)?;
            self.places.insert((row.get(0)?, seq));
            self.read = seq;
        }
        Ok(())
    }

    fn of(&self, key: Key) -> Vec<i64> {
        self.places.range((key, i64::MIN)..=(key, i64::MAX)).map(|(_, seq)| *seq).collect()
    }
}

/// Writes the places of the tokens that came since the last time, if there may be as many as `count`.
pub(super) fn write(connection: &Connection, count: usize) -> Result<(), Trouble> {
    let are_many: bool = connection
        .prepare_cached(
            "SELECT coalesce((SELECT max(seq) FROM token), 0) >= through + ?1 FROM token_placed",
        )?
        .query_row([integer(count.max(1) as u64)?], |row| row.get(0))?;
    if are_many {
        insert(connection, unwritten(connection)?)?;
        connection
            .prepare_cached("UPDATE token_placed SET through = (SELECT max(seq) FROM token)")?
            .execute([])?;
    }
    Ok(())
}

fn unwritten(connection: &Connection) -> Result<Vec<(Key, i64)>, Trouble> {
    let mut select = connection.prepare_cached(
        "SELECT substr(digest, 1, 8), seq FROM token \
         WHERE seq > (SELECT through FROM token_placed)",
    )?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// In the order in which they are in the table, for then those of a page come one after the other; and
/// many by one statement, for it costs more than a row. SQLite would take twice as long to sort them.
fn insert(connection: &Connection, mut places: Vec<(Key, i64)>) -> Result<(), Trouble> {
    const TOGETHER: usize = 64;
    places.sort_unstable();
    let (many, rest) = places.split_at(places.len() - places.len() % TOGETHER);
    for (count, places) in [(TOGETHER, many), (1, rest)] {
        let rows = vec!["(?, ?)"; count].join(", ");
        // FAIL: when one cannot be written the transaction fails, so a statement need not be undone alone.
        let sql = format!("INSERT OR FAIL INTO token_place (key, seq) VALUES {rows}");
        let mut insert = connection.prepare(&sql)?;
        for row in places.chunks(count) {
            for (at, (key, seq)) in row.iter().enumerate() {
                insert.raw_bind_parameter(2 * at + 1, key)?;
                insert.raw_bind_parameter(2 * at + 2, seq)?;
            }
            insert.raw_execute()?;
        }
    }
    Ok(())
}
