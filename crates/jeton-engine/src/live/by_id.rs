//! Clients by identifier, in many small tables that never change: whoever looks reads without waiting,
//! and a change puts a new table in the place of one. So an entry costs about twelve bytes, and a change
//! the copy of a thousandth of the entries.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::live::client::LiveClient;

type Table = HashTable<Arc<LiveClient>>;

/// Clients by identifier. Changes must come one after the other.
pub(super) struct ById {
    /// Operators and we choose identifiers, callers only which of them to ask for: the hash need not resist
    /// anybody.
    hasher: RandomState,
    tables: Box<[ArcSwapOption<Table>]>,
    len: AtomicUsize,
}

impl Default for ById {
    fn default() -> Self {
        let tables = (0..Self::TABLES).map(|_| ArcSwapOption::empty()).collect();
        Self { hasher: RandomState::default(), tables, len: AtomicUsize::new(0) }
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

    /// Puts clients in, in the place of others of their identifiers where there are any; none before the last
    /// has come.
    pub(super) fn put(&self, clients: impl Iterator<Item = Arc<LiveClient>>) {
        let hashed = |live: Arc<LiveClient>| (self.hash(&live), live);
        let mut clients: Vec<(u64, Arc<LiveClient>)> = clients.map(hashed).collect();
        clients.sort_unstable_by_key(|(hash, _)| place(*hash));
        let mut clients = clients.into_iter();
        while let Some((first, _)) = clients.as_slice().first() {
            let first = *first;
            let is_beside = |(hash, _): &&(u64, _)| place(*hash) == place(first);
            let count = clients.as_slice().iter().take_while(is_beside).count();
            self.change(first, |table| {
                table.reserve(count, |live| self.hash(live));
                for (hash, live) in clients.by_ref().take(count) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::CustomClaims;
    use crate::client::{Client, ClientRole, ClientStatus, Lock};
    use crate::clock::Time;

    fn live(id: &str, revision: u64) -> Arc<LiveClient> {
        let client = Client {
            realm: "main".parse().unwrap(),
            id: id.parse().unwrap(),
            name: None,
            subject: None,
            status: ClientStatus::Enabled,
            role: ClientRole::Client,
            lock: Lock::Open,
            scope: "read".parse().unwrap(),
            audiences: Vec::new(),
            lifetime: None,
            networks: Vec::new(),
            authentication: Vec::new(),
            proof: None,
            registration: None,
            claims: CustomClaims::default(),
            secrets: Vec::new(),
            created_at: Time::from_seconds(1),
            changed_at: Time::from_seconds(1),
            revision,
        };
        Arc::new(client.into())
    }

    fn revision(clients: &ById, id: &str) -> Option<u32> {
        clients.client(id).map(|live| live.revision)
    }

    #[test]
    fn who_was_put_in_is_found_as_put_in_last_and_nobody_else() {
        let clients = ById::default();
        assert_eq!(revision(&clients, "client-0"), None);
        clients.put((0..5000).map(|number| live(&format!("client-{number}"), 1)));
        clients.put((4000..6000).map(|number| live(&format!("client-{number}"), 2)));
        assert_eq!(clients.len(), 6000);
        for number in 0..6000 {
            let expected = if number < 4000 { 1 } else { 2 };
            assert_eq!(revision(&clients, &format!("client-{number}")), Some(expected));
        }
        assert_eq!(revision(&clients, "client-6000"), None);
        let mut seen = 0;
        clients.each(|_| seen += 1);
        assert_eq!(seen, 6000);
    }

    #[test]
    fn who_was_taken_out_is_gone_and_everybody_else_is_there() {
        let clients = ById::default();
        clients.put((0..100).map(|number| live(&format!("client-{number}"), 1)));
        let held = clients.client("client-7");
        clients.remove("client-7");
        clients.remove("client-7");
        clients.remove("nobody");
        assert_eq!((clients.len(), revision(&clients, "client-7")), (99, None));
        assert_eq!(revision(&clients, "client-8"), Some(1));
        assert_eq!(held.map(|live| live.revision), Some(1), "whoever has hold of it goes on");
    }
}
