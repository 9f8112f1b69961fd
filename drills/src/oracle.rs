//! Knows every answer that was given, and so what every later answer must be. What was asked and not
//! answered may have been done or not: it is held against nobody.

mod check;

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cast::Realm;
use crate::chance::Chance;

pub(crate) use check::{Server, ask_about_tokens, check, says, sign, try_assertions_again};

/// Within this, every server obeys what another one acknowledged.
pub(crate) const OBEYED_WITHIN: Duration = Duration::from_secs(1);

/// A load leaves one in so many tokens unrevoked.
const KEPT: usize = 4;

/// What was acknowledged, and what was found wrong.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: Vec<Token>,
    /// Since when a client has no tokens any more, by its number. Those who are not here are well.
    ended: Vec<(usize, Ended)>,
    assertions: Vec<Spent>,
    found: Found,
}

/// What an operator did to a client.
#[derive(Clone, Copy, Debug)]
enum Ended {
    /// Asked for, or taken back: nobody can say.
    Unsure,
    /// Acknowledged.
    Since(Instant),
}

#[derive(Debug)]
struct Token {
    value: Box<str>,
    realm: Realm,
    client: usize,
    expires: Instant,
    life: Life,
}

/// Whether a token was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Held,
    /// Its revocation was asked for, and not acknowledged.
    Asked,
    /// By this server, if it is known which, at this moment.
    Revoked(Option<usize>, Instant),
}

/// An assertion that got a token, or may have.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    /// The assertion.
    pub(crate) text: Box<str>,
    /// Its client.
    pub(crate) client: usize,
}

/// A token for the one who asks about it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// By which the oracle knows it.
    pub(crate) number: usize,
    /// Its realm.
    pub(crate) realm: Realm,
    /// Its client.
    pub(crate) client: usize,
    /// The token itself.
    pub(crate) value: Box<str>,
}

/// What an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The token is active.
    Active,
    /// It is not.
    Inactive,
    /// Nobody can say.
    Either,
}

/// What was found wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Tokens that were acknowledged and are not active.
    pub(crate) lost: Vec<String>,
    /// Tokens that are active and must not be.
    pub(crate) wrongly_active: Vec<String>,
    /// Clients that were refused and must not be.
    pub(crate) wrongly_refused: Vec<String>,
    /// Assertions that were accepted again.
    pub(crate) accepted_twice: Vec<String>,
}

impl Oracle {
    /// A token was issued to a client, for so many seconds.
    pub(crate) fn issued(&self, realm: Realm, client: usize, (value, seconds): (String, u64)) {
        let expires = Instant::now() + Duration::from_secs(seconds);
        let token = Token { value: value.into(), realm, client, expires, life: Life::Held };
        self.known.lock().tokens.push(token);
    }

    /// Any token.
    pub(crate) fn any(&self, chance: &mut Chance) -> Option<Asked> {
        let known = self.known.lock();
        let number = chance.below(known.tokens.len());
        known.asked(number)
    }

    /// A token that nobody has asked to revoke.
    pub(crate) fn held(&self, chance: &mut Chance) -> Option<Asked> {
        let known = self.known.lock();
        let first = chance.below(known.tokens.len());
        let numbers = (first..known.tokens.len()).chain(0..first);
        let is_held = |number: &usize| {
            known.tokens.get(*number).is_some_and(|token| token.life == Life::Held)
        };
        numbers.into_iter().find(is_held).and_then(|number| known.asked(number))
    }

    /// All tokens, as they are known now.
    pub(crate) fn all(&self) -> Vec<Asked> {
        let known = self.known.lock();
        (0..known.tokens.len()).filter_map(|number| known.asked(number)).collect()
    }

    /// How many tokens were acknowledged.
    pub(crate) fn tokens(&self) -> usize {
        self.known.lock().tokens.len()
    }

    /// How many revocations were acknowledged.
    pub(crate) fn revocations(&self) -> usize {
        let known = self.known.lock();
        known.tokens.iter().filter(|token| matches!(token.life, Life::Revoked(..))).count()
    }

    /// A token that is now going to be revoked; from now on nobody can say. One in [`KEPT`] never is, so
    /// that there is always one that must hold, however many are asked for while nobody obeys.
    pub(crate) fn revoking(&self, chance: &mut Chance) -> Option<Asked> {
        let mut known = self.known.lock();
        let number = chance.below(known.tokens.len());
        if number.is_multiple_of(KEPT) {
            return None;
        }
        let token = known.tokens.get_mut(number).filter(|token| token.life == Life::Held)?;
        token.life = Life::Asked;
        known.asked(number)
    }

    /// The revocation of this very token is going to be asked for.
    pub(crate) fn asks_to_revoke(&self, number: usize) {
        if let Some(token) = self.known.lock().tokens.get_mut(number) {
            token.life = Life::Asked;
        }
    }

    /// A server acknowledged the revocation.
    pub(crate) fn revoked(&self, number: usize, server: Option<usize>) {
        if let Some(token) = self.known.lock().tokens.get_mut(number) {
            token.life = Life::Revoked(server, Instant::now());
        }
    }

    /// The request to revoke did not leave, so the token holds.
    pub(crate) fn not_revoked(&self, number: usize) {
        if let Some(token) = self.known.lock().tokens.get_mut(number) {
            token.life = Life::Held;
        }
    }

    /// Somebody is about to end a client, or to begin it again: from now on nobody can say.
    pub(crate) fn client_unsure(&self, client: usize) {
        self.client_is(client, Ended::Unsure);
    }

    /// A client's end was acknowledged: it was disabled or deleted.
    pub(crate) fn client_ended(&self, client: usize) {
        self.client_is(client, Ended::Since(Instant::now()));
    }

    fn client_is(&self, client: usize, ended: Ended) {
        let mut known = self.known.lock();
        known.ended.retain(|(other, _)| *other != client);
        known.ended.push((client, ended));
    }

    /// Whether nobody ever touched this client.
    pub(crate) fn is_well(&self, client: usize) -> bool {
        self.known.lock().ended.iter().all(|(other, _)| *other != client)
    }

    /// An assertion got a token.
    pub(crate) fn spent(&self, assertion: Spent) {
        self.known.lock().assertions.push(assertion);
    }

    /// The assertions that got a token.
    pub(crate) fn assertions(&self) -> Vec<Spent> {
        self.known.lock().assertions.clone()
    }

    /// A client was refused.
    pub(crate) fn refused(&self, client: usize, what: impl FnOnce() -> String) {
        if self.is_well(client) {
            self.known.lock().found.wrongly_refused.push(what());
        }
    }

    /// An assertion was accepted again.
    pub(crate) fn accepted_twice(&self, what: String) {
        self.known.lock().found.accepted_twice.push(what);
    }

    /// What this server has to say of a token, when it is asked at this moment.
    pub(crate) fn expected(&self, number: usize, server: Option<usize>, at: Instant) -> Expected {
        self.known.lock().expected(number, server, at)
    }

    /// Judges an answer about a token. It has to hold what was certain when it was asked for, and may
    /// only deny what was still so when it came.
    pub(crate) fn judge(&self, asked: &Asked, server: Option<usize>, sent: Instant, active: bool) {
        let mut known = self.known.lock();
        let before = known.expected(asked.number, server, sent);
        let after = known.expected(asked.number, server, Instant::now());
        let what = || {
            let life = known.tokens.get(asked.number).map(|token| token.life);
            let at = server.map_or("behind the balancer".to_owned(), |n| format!("on node {n}"));
            let age = match life {
                Some(Life::Revoked(_, moment)) => {
                    format!(
                        "revoked {} ms before",
                        sent.saturating_duration_since(moment).as_millis()
                    )
                }
                _ => "never revoked".to_owned(),
            };
            format!("token {} ({}) {at}, {age}", asked.number, asked.realm.name())
        };
        if active && before == Expected::Inactive {
            let what = what();
            known.found.wrongly_active.push(what);
        } else if !active && after == Expected::Active {
            let what = what();
            known.found.lost.push(what);
        }
    }

    /// What was found wrong so far.
    pub(crate) fn found(&self) -> Found {
        self.known.lock().found.clone()
    }
}

impl Known {
    fn asked(&self, number: usize) -> Option<Asked> {
        let token = self.tokens.get(number)?;
        let Token { value, realm, client, .. } = token;
        Some(Asked { number, realm: *realm, client: *client, value: value.clone() })
    }

    fn expected(&self, number: usize, server: Option<usize>, at: Instant) -> Expected {
        let Some(token) = self.tokens.get(number) else { return Expected::Either };
        let ended = self.ended.iter().find(|(client, _)| *client == token.client);
        let by_client = match ended {
            None => Expected::Active,
            Some((_, Ended::Unsure)) => Expected::Either,
            Some((_, Ended::Since(moment))) => after(*moment + OBEYED_WITHIN, at),
        };
        let by_life = match token.life {
            Life::Held => Expected::Active,
            Life::Asked => Expected::Either,
            Life::Revoked(by, moment) if by.is_some() && by == server => after(moment, at),
            Life::Revoked(_, moment) => after(moment + OBEYED_WITHIN, at),
        };
        // Its own clock counts whole seconds.
        let by_time = if at + Duration::from_secs(2) < token.expires {
            Expected::Active
        } else {
            after(token.expires + Duration::from_secs(2), at)
        };
        let all = [by_client, by_life, by_time];
        if all.contains(&Expected::Inactive) {
            Expected::Inactive
        } else if all.contains(&Expected::Either) {
            Expected::Either
        } else {
            Expected::Active
        }
    }
}

fn after(moment: Instant, at: Instant) -> Expected {
    if at >= moment { Expected::Inactive } else { Expected::Either }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<usize> = Some(0);
    const THERE: Option<usize> = Some(1);

    fn with_token() -> (Oracle, Asked, Instant) {
        let oracle = Oracle::default();
        oracle.issued(Realm::Stored, 3, ("token".to_owned(), 100));
        let asked = oracle.any(&mut Chance::new(1)).unwrap();
        (oracle, asked, Instant::now())
    }

    #[test]
    fn an_acknowledged_token_is_active_until_it_expires() {
        let (oracle, asked, now) = with_token();
        let at = |seconds| oracle.expected(asked.number, HERE, now + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(97), at(100), at(103)],
            [Expected::Active, Expected::Active, Expected::Either, Expected::Inactive]
        );
    }

    #[test]
    fn a_revocation_binds_its_own_server_at_once_and_others_within_a_second() {
        let (oracle, asked, now) = with_token();
        oracle.asks_to_revoke(asked.number);
        assert_eq!(oracle.expected(asked.number, HERE, now), Expected::Either);
        oracle.revoked(asked.number, HERE);
        let after = Instant::now();
        assert_eq!(oracle.expected(asked.number, HERE, after), Expected::Inactive);
        assert_eq!(oracle.expected(asked.number, THERE, after), Expected::Either);
        assert_eq!(oracle.expected(asked.number, None, after), Expected::Either);
        assert_eq!(oracle.expected(asked.number, THERE, after + OBEYED_WITHIN), Expected::Inactive);
    }

    #[test]
    fn a_load_that_revokes_whatever_it_can_leaves_a_token_that_holds() {
        let oracle = Oracle::default();
        let mut chance = Chance::new(1);
        for _ in 0..9 {
            oracle.issued(Realm::Stored, 3, ("token".to_owned(), 100));
        }
        let revoked = (0..1000).filter_map(|_| oracle.revoking(&mut chance)).count();
        assert_eq!(revoked, 6);
        let held = oracle.held(&mut chance).unwrap();
        assert_eq!(oracle.expected(held.number, HERE, Instant::now()), Expected::Active);
    }

    #[test]
    fn only_what_was_certain_is_held_against_anybody() {
        let (oracle, asked, now) = with_token();
        oracle.judge(&asked, HERE, now, true);
        oracle.asks_to_revoke(asked.number);
        oracle.judge(&asked, HERE, now, false);
        assert!(oracle.found().lost.is_empty() && oracle.found().wrongly_active.is_empty());
        oracle.revoked(asked.number, HERE);
        oracle.judge(&asked, HERE, Instant::now(), true);
        assert_eq!(oracle.found().wrongly_active.len(), 1);

        let (oracle, asked, now) = with_token();
        oracle.judge(&asked, HERE, now, false);
        assert_eq!(oracle.found().lost.len(), 1);
    }

    #[test]
    fn the_end_of_a_client_is_the_end_of_its_tokens_and_no_longer_its_refusal() {
        let (oracle, asked, _) = with_token();
        oracle.client_unsure(3);
        let now = Instant::now();
        assert_eq!(oracle.expected(asked.number, HERE, now), Expected::Either);
        oracle.client_ended(3);
        let after = Instant::now();
        assert_eq!(oracle.expected(asked.number, HERE, after), Expected::Either);
        assert_eq!(oracle.expected(asked.number, HERE, after + OBEYED_WITHIN), Expected::Inactive);
        oracle.refused(3, || "ended".to_owned());
        oracle.refused(4, || "well".to_owned());
        assert_eq!(oracle.found().wrongly_refused, ["well"]);
    }
}
