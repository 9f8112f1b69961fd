//! Mistakes in the configuration of gateways: which of them the log has to hear of.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jeton_engine::name::RealmName;

/// How many are told. Whoever reaches the listener could go on making new ones.
const TOLD_MAX: usize = 64;

/// What was told already: each mistake of each gateway once, and never more than so many.
#[derive(Default)]
pub(crate) struct Mistakes(Mutex<HashSet<(RealmName, IpAddr, &'static str)>>);

impl Mistakes {
    /// Tells the operator of a mistake that is new. What the gateway sent is not repeated: a token may
    /// stand in it.
    pub(crate) fn tell(&self, realm: &RealmName, gateway: IpAddr, mistake: &'static str) {
        if self.is_new(realm, gateway, mistake) {
            tracing::warn!(
                %realm,
                %gateway,
                mistake,
                "a gateway asks /oauth2/verify for something malformed, so every request that it asks \
                 about is answered 403; correct its configuration"
            );
        }
    }

    fn is_new(&self, realm: &RealmName, gateway: IpAddr, mistake: &'static str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_MAX && told.insert((realm.clone(), gateway, mistake))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_mistake_of_each_gateway_is_told_once_and_no_more_than_so_many() {
        let mistakes = Mistakes::default();
        let (main, staff) = ("main".parse().unwrap(), "staff".parse().unwrap());
        let gateway = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        assert!(mistakes.is_new(&main, gateway(1), "a"));
        assert!(!mistakes.is_new(&main, gateway(1), "a"));
        assert!(mistakes.is_new(&main, gateway(1), "b"));
        assert!(mistakes.is_new(&main, gateway(2), "a"));
        assert!(mistakes.is_new(&staff, gateway(1), "a"));
        let new = (10..200).filter(|last| mistakes.is_new(&main, gateway(*last), "a")).count();
        assert_eq!(new, TOLD_MAX - 4);
    }
}
