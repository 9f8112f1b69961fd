//! A realm's clients in memory.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use papaya::Equivalent;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::client::extract::ClientExtract;
use crate::client::{Client, SecretDigest};
use crate::live::by_id::ById;
use crate::live::client::{LiveClient, Scopes};
use crate::name::{ClientId, RealmName, Subject};

/// A realm's clients, found by identifier and by subject without waiting.
#[derive(Default)]
pub(crate) struct Clients {
    by_id: ById,
    /// Who has a subject of its own. Subjects need not be unique.
    by_subject: Index<Subject>,
    /// For whom the tokens of a trusted issuer about this subject stand.
    by_federated: Index<(RealmName, Subject)>,
    supplied: SuppliedCounts,
    /// Changes come one after the other.
    changing: Mutex<()>,
}

/// What some clients have alike. Made when the first client has such a thing: in most realms none has, and
/// an empty map takes 16 KiB.
struct Index<K>(OnceLock<papaya::HashMap<K, SmallVec<[ClientId; 1]>>>);

impl<K: Hash + Eq + Clone> Index<K> {
    /// The clients that have it.
    fn clients<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) -> SmallVec<[ClientId; 1]> {
        self.0.get().and_then(|map| map.pin().get(key).cloned()).unwrap_or_default()
    }

    /// A client had `before` and has `now`.
    fn moved(&self, id: &ClientId, before: Option<&K>, now: Option<&K>) {
        if let Some(now) = now {
            self.note(now, id);
        }
        if let Some(before) = before
            && Some(before) != now
        {
            self.forget(before, id);
        }
    }

    fn note(&self, key: &K, id: &ClientId) {
        let mut clients = self.clients(key);
        if !clients.contains(id) {
            clients.push(id.clone());
            self.put(key, clients);
        }
    }

    fn forget(&self, key: &K, id: &ClientId) {
        let mut clients = self.clients(key);
        clients.retain(|known| known != id);
        if !clients.is_empty() {
            self.put(key, clients);
        } else if let Some(map) = self.0.get() {
            map.pin().remove(key);
        }
    }

    fn put(&self, key: &K, clients: SmallVec<[ClientId; 1]>) {
        self.0.get_or_init(papaya::HashMap::new).pin().insert(key.clone(), clients);
    }
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl Clients {
    /// The client of this identifier.
    pub(crate) fn client(&self, id: &str) -> Option<Arc<LiveClient>> {
        self.by_id.client(id)
    }

    /// The same; found at once while there are none.
    fn known(&self, id: &ClientId) -> Option<Arc<LiveClient>> {
        if self.by_id.len() == 0 { None } else { self.client(id.as_str()) }
    }

    /// The identifier of the client that this subject stands for; `None` when it stands for
    /// several: a token must not go on holding because it was taken for somebody else's.
    pub(crate) fn of_subject(&self, subject: &str) -> Option<ClientId> {
        let named = self.by_subject.clients(subject);
        let same = self.client(subject);
        match (named.as_slice(), same) {
            ([one], None) => Some(one.clone()),
            // Its identifier is its subject, or was before it was given another.
            ([], Some(live)) => Some(live.id.clone()),
            ([one], Some(live)) if live.own_subject().is_some() => Some(one.clone()),
            _ => None,
        }
    }

    /// The clients for whom tokens of this trusted issuer about this subject stand, whatever else
    /// they demand of them.
    pub(crate) fn federated(
        &self,
        issuer: &RealmName,
        subject: &Subject,
    ) -> SmallVec<[Arc<LiveClient>; 1]> {
        let ids = self.by_federated.clients(&(issuer.clone(), subject.clone()));
        ids.iter().filter_map(|id| self.client(id.as_str())).collect()
    }

    /// Who still makes assertions for something else than the issuer alone, and how many.
    pub(crate) fn assertions_for_others(&self) -> Vec<(ClientId, u64)> {
        let mut counted = Vec::new();
        self.by_id.each(|live| {
            let count = live.run.known_counters().map(|run| run.also_for.load(Ordering::Relaxed));
            counted.extend(count.filter(|count| *count > 0).map(|count| (live.id.clone(), count)));
        });
        counted
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
    pub(crate) fn each(&self, mut look: impl FnMut(&LiveClient)) {
        self.by_id.each(|live| look(live));
    }

    /// A client as it is to be held from now on; with a scope that it shares with others, if it has the
    /// same as one of these.
    pub(super) fn live(&self, client: ClientExtract, scopes: &mut Scopes) -> Arc<LiveClient> {
        let before = self.known(client.id());
        // A client that was deleted and made again has nothing of the old one.
        let same = before.as_ref().filter(|before| before.created_at == client.created_at());
        let mut live = LiveClient::new(client, scopes);
        if let Some(same) = same {
            live.run = same.run.handed_on();
            if same.revision == live.revision {
                live.noted = same.noted.handed_on();
            } else {
                live.run.changed();
            }
        }
        Arc::new(live)
    }

    /// Takes over clients as they are now.
    pub(super) fn put(&self, clients: Vec<Arc<LiveClient>>) {
        let _changing = self.changing.lock();
        let mut gone = Vec::new();
        self.by_id.put(clients.into_iter().inspect(|now| {
            let before = self.known(&now.id);
            // Added before the old one is removed: who looks meanwhile must not find less than there is.
            self.supplied.add(now);
            self.index(&now.id, before.as_deref(), Some(now));
            gone.extend(before);
        }));
        gone.iter().for_each(|before| self.supplied.remove(before));
    }

    /// Forgets a client that was deleted.
    pub(super) fn forget(&self, id: &ClientId) {
        let _changing = self.changing.lock();
        if let Some(before) = self.client(id.as_str()) {
            self.by_id.remove(id.as_str());
            self.supplied.remove(&before);
            self.index(id, Some(&before), None);
        }
    }

    /// Forgets all clients that `keep` says no to.
    pub(super) fn keep(&self, keep: impl Fn(&ClientId) -> bool) {
        let mut gone = Vec::new();
        self.by_id.each(|live| gone.extend(Some(&live.id).filter(|id| !keep(id)).cloned()));
        gone.iter().for_each(|id| self.forget(id));
    }

    fn index(&self, id: &ClientId, before: Option<&LiveClient>, now: Option<&LiveClient>) {
        if before.into_iter().chain(now).all(LiveClient::is_without_particulars) {
            return;
        }
        let subject = |client: Option<&'_ LiveClient>| client?.own_subject().cloned();
        self.by_subject.moved(id, subject(before).as_ref(), subject(now).as_ref());
        let (before, now) = (before.and_then(federated), now.and_then(federated));
        self.by_federated.moved(id, before.as_ref(), now.as_ref());
    }
}

/// The issuer and subject whose tokens stand for the client.
fn federated(client: &LiveClient) -> Option<(RealmName, Subject)> {
    let federated = client.proof()?.federated.as_ref()?;
    Some((federated.issuer.clone(), federated.subject.clone()))
}

/// How many clients have how many supplied secrets. The most that any has is how often a failed
/// attempt is hashed slowly, so that all failures cost the same.
#[derive(Default)]
struct SuppliedCounts([AtomicUsize; Client::SECRETS_MAX + 1]);

impl SuppliedCounts {
    fn of(client: &LiveClient) -> usize {
        let supplied = |digest: &SecretDigest| matches!(digest, SecretDigest::Supplied(_));
        client.secrets.iter().filter(|secret| supplied(&secret.digest)).count()
    }

    fn add(&self, client: &LiveClient) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn remove(&self, client: &LiveClient) {
        if let Some(count) = self.0.get(Self::of(client)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn most(&self) -> usize {
        self.0.iter().rposition(|count| count.load(Ordering::Relaxed) > 0).unwrap_or(0)
    }
}
