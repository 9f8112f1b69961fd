//! Decides which migrations a database still needs, and whether it is one of ours at all.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

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
}

/// The migrations that a database still needs, given those it remembers in order.
pub(crate) fn pending<'m>(
    place: &str,
    applied: &[Applied],
    known: &'m [Migration],
) -> Result<&'m [Migration], OpenError> {
    let newest = known.last().map_or(0, |migration| migration.number);
    if let Some(last) = applied.last().filter(|last| last.number > newest) {
        let place = place.to_owned();
        return Err(OpenError::Newer { place, found: last.number, known: newest });
    }
    for (done, ours) in applied.iter().zip(known) {
        if done.number != ours.number || done.checksum != ours.checksum() {
            return Err(OpenError::Altered { place: place.to_owned(), number: ours.number });
        }
    }
    Ok(known.get(applied.len()..).unwrap_or_default())
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
