//! Looks at the secrets of clients: which have run out, which soon will, and who has none that works.

use std::time::Duration;

use jeton_engine::client::{Client, ClientStatus, Secret};
use jeton_engine::clock::Time;
use jeton_engine::request::AuthenticationMethod;
use jeton_store::Look;

use super::finding::Finding;
use super::realm_place;
use crate::config::RealmConfig;

/// How long before its end a secret is spoken of.
const SOON: Duration = Duration::from_secs(14 * 86_400);
/// How many clients are read at a time.
const PAGE: u32 = 500;
/// How many clients are named in one sentence.
const NAMED: usize = 10;

/// A realm's clients.
pub(super) async fn examine(look: &Look, realm: &RealmConfig, now: Time) -> Vec<Finding> {
    let place = realm_place(realm);
    let mut seen = Seen::default();
    let mut after = None;
    loop {
        let page = match look.clients(&realm.realm.name, after.as_ref(), PAGE).await {
            Ok(page) => page,
            Err(error) => {
                let what = format!("clients cannot be read: {error}");
                return vec![Finding::problem("secrets", place, what)];
            }
        };
        page.iter().for_each(|client| seen.note(client, now));
        match page.last() {
            Some(last) => after = Some(last.id.clone()),
            None => return seen.findings(&place),
        }
    }
}

/// What is to be said of a client's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Fine,
    /// It can only show a secret, and has none.
    None,
    /// It can only show a secret, and all have expired.
    Expired,
    /// The last that it has, or the one that it uses, expires soon.
    Expiring,
}

#[derive(Default)]
struct Seen {
    enabled: usize,
    none: Named,
    expired: Named,
    expiring: Named,
}

/// Some names, and how many more there are.
#[derive(Default)]
struct Named {
    names: Vec<String>,
    count: usize,
}

impl Named {
    fn add(&mut self, client: &Client) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(client.id.to_string());
        }
    }

    fn sentence(&self, about: &str) -> Option<String> {
        let names = self.names.join(", ");
        match self.count.saturating_sub(self.names.len()) {
            _ if self.count == 0 => None,
            0 => Some(format!("{about}: {names}")),
            more => Some(format!("{about}: {names} and {more} more")),
        }
    }
}

impl Seen {
    fn note(&mut self, client: &Client, now: Time) {
        if client.status != ClientStatus::Enabled {
            return;
        }
        self.enabled += 1;
        match judge(client, now) {
            Said::Fine => {}
            Said::None => self.none.add(client),
            Said::Expired => self.expired.add(client),
            Said::Expiring => self.expiring.add(client),
        }
    }

    fn findings(&self, place: &str) -> Vec<Finding> {
        let kinds = [
            ("secrets.expired", &self.expired, "every secret of these clients has expired"),
            (
                "secrets.expiring",
                &self.expiring,
                "the secret that these clients use expires within 14 days",
            ),
            ("secrets.none", &self.none, "these clients can only show a secret and have none"),
        ];
        let remedy = "`jeton client rotate-secret ID` makes another; `jeton client disable ID` where nobody needs it any more";
        let mut findings: Vec<Finding> = kinds
            .iter()
            .filter_map(|(check, named, about)| {
                Some(Finding::warning(check, place, named.sentence(about)?).remedy(remedy))
            })
            .collect();
        if findings.is_empty() {
            let what = format!("the secrets of all enabled clients ({}) hold", self.enabled);
            findings.push(Finding::ok("secrets", place, what));
        }
        findings
    }
}

fn judge(client: &Client, now: Time) -> Said {
    let by_secret = |method: &AuthenticationMethod| {
        method.shows_secret() || *method == AuthenticationMethod::ClientSecretJwt
    };
    // Without a word about it, a client shows a secret.
    if !client.authentication.iter().all(by_secret) {
        return Said::Fine;
    }
    if client.secrets.is_empty() {
        return Said::None;
    }
    let current = || client.secrets.iter().filter(|secret| secret.is_current(now));
    if current().next().is_none() {
        return Said::Expired;
    }
    let lasts = |secret: &Secret| secret.is_current(now.plus(SOON));
    let used = current().max_by_key(|secret| secret.last_used_at);
    let uses_one_that_ends =
        used.is_some_and(|secret| secret.last_used_at.is_some() && !lasts(secret));
    if uses_one_that_ends || !current().any(lasts) { Said::Expiring } else { Said::Fine }
}

#[cfg(test)]
mod tests {
    use jeton_engine::client::{ClientRole, Lock, SecretDigest};

    use super::*;

    fn day(day: u64) -> Time {
        Time::from_seconds(0).plus(Duration::from_secs(day * 86_400))
    }

    fn secret(id: &str, expires: Option<u64>, used: Option<u64>) -> Secret {
        Secret {
            id: id.parse().unwrap(),
            name: None,
            digest: SecretDigest::Generated([0; 32]),
            created_at: day(0),
            expires_at: expires.map(day),
            last_used_at: used.map(day),
        }
    }

    fn client(secrets: Vec<Secret>) -> Client {
        Client {
            realm: "main".parse().unwrap(),
            id: "orders".parse().unwrap(),
            name: None,
            subject: None,
            status: ClientStatus::Enabled,
            role: ClientRole::Client,
            lock: Lock::Open,
            scope: "".parse().unwrap(),
            audiences: Vec::new(),
            lifetime: None,
            networks: Vec::new(),
            authentication: Vec::new(),
            proof: None,
            registration: None,
            claims: jeton_engine::claims::CustomClaims::default(),
            secrets,
            created_at: day(0),
            changed_at: day(0),
            revision: 1,
        }
    }

    #[test]
    fn secrets_are_spoken_of_two_weeks_ahead() {
        let judged = |end, now| judge(&client(vec![secret("s1", end, None)]), day(now));
        assert_eq!(judged(None, 1000), Said::Fine);
        assert_eq!(judged(Some(30), 15), Said::Fine);
        assert_eq!(judged(Some(30), 16), Said::Expiring);
        assert_eq!(judged(Some(30), 29), Said::Expiring);
        assert_eq!(judged(Some(30), 30), Said::Expired);
        assert_eq!(judge(&client(Vec::new()), day(1)), Said::None);
    }

    #[test]
    fn a_second_secret_helps_once_it_is_used() {
        let judged = |secrets| judge(&client(secrets), day(20));
        let old = |used| secret("s1", Some(30), used);
        assert_eq!(judged(vec![old(None), secret("s2", None, None)]), Said::Fine);
        assert_eq!(judged(vec![old(Some(19)), secret("s2", None, None)]), Said::Expiring);
        assert_eq!(judged(vec![old(Some(18)), secret("s2", None, Some(19))]), Said::Fine);
    }

    #[test]
    fn who_proves_itself_otherwise_and_who_is_disabled_needs_no_secret() {
        use AuthenticationMethod::{ClientSecretJwt, PrivateKeyJwt};
        let with = |authentication| Client { authentication, ..client(Vec::new()) };
        assert_eq!(judge(&with(vec![PrivateKeyJwt]), day(1)), Said::Fine);
        assert_eq!(judge(&with(vec![ClientSecretJwt]), day(1)), Said::None);
        let mut seen = Seen::default();
        seen.note(&Client { status: ClientStatus::Disabled, ..client(Vec::new()) }, day(1));
        assert_eq!(seen.none.count, 0);
    }

    #[test]
    fn of_many_clients_ten_are_named() {
        let mut named = Named::default();
        (0..12).for_each(|_| named.add(&client(Vec::new())));
        assert!(named.sentence("these").unwrap().ends_with("orders and 2 more"));
    }
}
