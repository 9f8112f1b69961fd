//! Decides which migrations a database still needs, whether it is one of ours at all, and whether
//! this program can work on what a newer one has made of it.
//!
//! During a rolling upgrade, programs of two versions work on one database. So a migration only adds
//! (expand): columns that may be absent or have a default, tables, indexes. What the older version
//! still needs is taken away by a migration of a later release (contract). Each migration says which
//! schema a program must know at least to work beside it, and the database remembers that.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use jeton_engine::store::StoreError;

use crate::error::OpenError;

/// One numbered step from schema to schema. Once released, its text never changes.
#[derive(Clone, Copy)]
pub(crate) struct Migration {
    /// Its number; the first is 1, and there are no gaps.
    pub(crate) number: u32,
    /// What it is about.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) sql: &'static str,
    /// The oldest schema whose programs can work beside it: an earlier one when it only adds, its
    /// own when it takes something away, or when those programs would decide wrongly without
    /// knowing what it adds.
    pub(crate) works_from: u32,
}

impl Migration {
    /// SHA-256 of its text, in hexadecimal.
    pub(crate) fn checksum(&self) -> String {
        hexadecimal(digest(&SHA256, self.sql.as_bytes()).as_ref())
    }
}

/// A migration that a database remembers.
pub(crate) struct Applied {
    /// Its number.
    pub(crate) number: u32,
    /// SHA-256 of the text that was applied.
    pub(crate) checksum: String,
    /// The oldest schema whose programs can work beside it.
    pub(crate) works_from: u32,
}

/// How a database stands to the migrations that are known.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'m> {
    /// The newest schema that was applied to it; zero when there is none.
    pub(crate) applied: u32,
    /// What it still needs.
    pub(crate) missing: &'m [Migration],
    /// Whether a newer program has migrated it, beside which this one can work.
    pub(crate) is_ahead: bool,
}

/// How a database stands to the `known` migrations, given those it remembers in order.
///
/// # Errors
/// A newer program has made something of it beside which this one cannot work, or what was applied
/// to it is not what is known.
pub(crate) fn standing<'m>(
    place: &str,
    applied: &[Applied],
    known: &'m [Migration],
) -> Result<Standing<'m>, OpenError> {
    let newest = known.last().map_or(0, |migration| migration.number);
    let found = applied.last().map_or(0, |last| last.number);
    if needed(applied) > newest {
        return Err(OpenError::Newer { place: place.to_owned(), found, known: newest });
    }
    for (done, ours) in applied.iter().zip(known) {
        if done.number != ours.number || done.checksum != ours.checksum() {
            return Err(OpenError::Altered { place: place.to_owned(), number: ours.number });
        }
    }
    let missing = known.get(applied.len()..).unwrap_or_default();
    Ok(Standing { applied: found, missing, is_ahead: found > newest })
}

/// Refuses to go on when a newer program has migrated the database, under this one, to something that
/// it cannot work on: `needed` is the schema that a program must know for that.
///
/// # Errors
/// [`StoreError::Unreachable`], for another server may be newer.
pub(crate) fn refuse_outdated(needed: u32, known: &[Migration]) -> Result<(), StoreError> {
    let newest = known.last().map_or(0, |migration| migration.number);
    if needed <= newest {
        return Ok(());
    }
    Err(StoreError::Unreachable(format!(
        "a newer jeton has migrated the database to schema {needed}, and this one knows schemas up \
         to {newest}: start the newer version in its place"
    )))
}

/// The schema that a program must know at least to work on a database that remembers these.
fn needed(applied: &[Applied]) -> u32 {
    applied.iter().map(|applied| applied.works_from).max().unwrap_or(0)
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
