//! A realm's clients in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

use crate::client::{Client, SecretDigest};
use crate::live::client::LiveClient;
use crate::name::{ClientId, Subject};

/// A realm's clients, found by identifier and by subject without waiting.
#[derive(Default)]
pub(crate) struct Clients {
    by_id: papaya::HashMap<ClientId, Arc<LiveClient>>,
    /// Who has a subject of its own. Subjects need not be unique.
    by_subject: papaya::HashMap<Subject, SmallVec<[ClientId; 1]>>,
    supplied: SuppliedCounts,
}

impl Clients {
    /// The client of this identifier.
    pub(crate) fn client(&self, id: &str) -> Option<Arc<LiveClient>> {
        self.by_id.pin().get(id).map(Arc::clone)
    }

    /// The identifier of the client that this subject stands for; `None` when it stands for
    /// several: a token must not go on holding because it was taken for somebody else's.
    pub(crate) fn of_subject(&self, subject: &str) -> Option<ClientId> {
        let by_subject = self.by_subject.pin();
        let named = by_subject.get(subject).map(SmallVec::as_slice).unwrap_or_default();
        let same = self.client(subject);
        match (named, same) {
            ([one], None) => Some(one.clone()),
            // Its identifier is its subject, or was before it was given another.
            ([], Some(live)) => Some(live.client.id.clone()),
            ([one], Some(live)) if live.client.subject.is_some() => Some(one.clone()),
            _ => None,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The most supplied secrets that any client has.
    pub(crate) fn supplied_most(&self) -> usize {
        self.supplied.most()
    }

    /// Looks at every client.
    pub(crate) fn each(&self, mut look: impl FnMut(&Client)) {
        self.by_id.pin().values().for_each(|live| look(&live.client));
    }

    /// Takes over a client as it is now.
    pub(super) fn put(&self, client: Client) {
        let by_id = self.by_id.pin();
        let before = by_id.get(&client.id).cloned();
        // A client that was deleted and made again has nothing of the old one.
        let same = before.as_ref().filter(|before| before.client.created_at == client.created_at);
        let run = same.map(|before| Arc::clone(&before.run)).unwrap_or_default();
        if before.as_ref().is_some_and(|before| before.client.revision != client.revision) {
            run.changed();
        }
        // Added before the old one is removed: who looks meanwhile must not find less than there is.
        self.supplied.add(&client);
        let subject = client.subject.clone();
        if let Some(subject) = &subject {
            self.note_subject(subject, &client.id);
        }
        let id = client.id.clone();
        by_id.insert(id, Arc::new(LiveClient::new(client, run)));
        if let Some(before) = before {
            self.supplied.remove(&before.client);
            if before.client.subject != subject {
                self.forget_subject(&before.client);
            }
        }
    }

    /// Forgets a client that was deleted.
    pub(super) fn forget(&self, id: &ClientId) {
        if let Some(before) = self.by_id.pin().remove(id) {
            self.supplied.remove(&before.client);
            self.forget_subject(&before.client);
        }
    }

    /// Forgets all clients that `keep` says no to.
    pub(super) fn keep(&self, keep: impl Fn(&ClientId) -> bool) {
        let gone: Vec<ClientId> = self.by_id.pin().keys().filter(|id| !keep(id)).cloned().collect();
        gone.iter().for_each(|id| self.forget(id));
    }

    fn note_subject(&self, subject: &Subject, id: &ClientId) {
        let by_subject = self.by_subject.pin();
        let mut clients = by_subject.get(subject).cloned().unwrap_or_default();
        if !clients.contains(id) {
            clients.push(id.clone());
            by_subject.insert(subject.clone(), clients);
        }
    }

    fn forget_subject(&self, client: &Client) {
        let Some(subject) = &client.subject else { return };
        let by_subject = self.by_subject.pin();
        let mut clients = by_subject.get(subject).cloned().unwrap_or_default();
        clients.retain(|id| *id != client.id);
        if clients.is_empty() {
            by_subject.remove(subject);
        } else {
            by_subject.insert(subject.clone(), clients);
        }
    }
}

/// How many clients have how many supplied secrets. The most that any has is how often a failed
/// attempt is hashed slowly, so that all failures cost the same.
#[derive(Default)]
struct SuppliedCounts([AtomicUsize; Client::SECRETS_MAX + 1]);

impl SuppliedCounts {
    fn of(client: &Client) -> usize {
        let supplied = |digest: &SecretDigest| matches!(digest, SecretDigest::Supplied(_));
        client.secrets.iter().filter(|secret| supplied(&secret.digest)).count()
    }

    fn add(&self, client: &Client) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, client: &Client) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn most(&self) -> usize {
        self.0.iter().rposition(|count| count.load(Ordering::Relaxed) > 0).unwrap_or(0)
    }
}
