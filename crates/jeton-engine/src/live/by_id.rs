//! Clients by identifier, in many small tables that never change: whoever looks reads without waiting,
//! and a change puts a new table in the place of one. So an entry costs about twelve bytes, and a change
//! the copy of a thousandth of the entries.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use hashbrown::HashTable;

use crate::live::client::LiveClient;

type Table = HashTable<Arc<LiveClient>>;

/// Clients by identifier. Changes must come one after the other.
pub(super) struct ById {
    hasher: RandomState,
    tables: Box<[ArcSwapOption<Table>]>,
    len: AtomicUsize,
}

impl Default for ById {
    fn default() -> Self {
        let tables = (0..Self::TABLES).map(|_| ArcSwapOption::empty()).collect();
        Self { hasher: RandomState::new(), tables, len: AtomicUsize::new(0) }
    }
}

impl ById {
    const TABLES: usize = 1024;

    /// The client of this identifier.
    pub(super) fn client(&self, id: &str) -> Option<Arc<LiveClient>> {
        let hash = self.hasher.hash_one(id);
        let table = self.tables.get(place(hash))?.load();
        table.as_ref()?.find(hash, |live| live.id.as_str() == id).map(Arc::clone)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Looks at every client.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<LiveClient>)) {
        for table in &self.tables {
            table.load().iter().flat_map(|table| table.iter()).for_each(&mut look);
        }
    }

    /// Puts clients in, in the place of others of their identifiers where there are any.
    pub(super) fn put(&self, clients: Vec<Arc<LiveClient>>) {
        let mut by_table: Vec<Vec<(u64, Arc<LiveClient>)>> = Vec::new();
        by_table.resize_with(Self::TABLES, Vec::new);
        for live in clients {
            let hash = self.hash(&live);
            if let Some(many) = by_table.get_mut(place(hash)) {
                many.push((hash, live));
            }
        }
        for many in by_table {
            let Some(hash) = many.first().map(|(hash, _)| *hash) else { continue };
            self.change(hash, |table| {
                table.reserve(many.len(), |live| self.hash(live));
                for (hash, live) in many {
                    let place = table.entry(hash, |own| own.id == live.id, |own| self.hash(own));
                    place.insert(live);
                }
            });
        }
    }

    /// Takes a client out.
    pub(super) fn remove(&self, id: &str) {
        let hash = self.hasher.hash_one(id);
        self.change(hash, |table| {
            if let Ok(found) = table.find_entry(hash, |live| live.id.as_str() == id) {
                found.remove();
            }
        });
    }

    fn change(&self, hash: u64, change: impl FnOnce(&mut Table)) {
        let Some(place) = self.tables.get(place(hash)) else { return };
        let mut table = place.load().as_deref().cloned().unwrap_or_default();
        let before = table.len();
        change(&mut table);
        let after = table.len();
        place.store((after > 0).then(|| Arc::new(table)));
        self.len.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    fn hash(&self, live: &LiveClient) -> u64 {
        self.hasher.hash_one(live.id.as_str())
    }
}

/// The table of a hash, by bits that the table itself does not look at.
fn place(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or(0) % ById::TABLES
}
