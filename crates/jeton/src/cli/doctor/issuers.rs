//! Looks whether the keys of trusted issuers can be had, on the way on which the server fetches them.

use jeton_engine::clock::Clock;
use jeton_engine::realm::proving::TrustedKeys;

use super::finding::Finding;
use crate::config::Config;
use crate::fetch::KeySets;
use crate::fetch::resolver::Resolver;

const CHECK: &str = "issuers.keys";

/// Every trusted issuer whose keys are elsewhere.
pub(super) async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let sets = match KeySets::new(config.fetch.clone(), Resolver::System, clock.clone()) {
        Ok(sets) => sets,
        Err(error) => return vec![Finding::problem(CHECK, "[fetch]", error.to_string())],
    };
    let mut findings = Vec::new();
    for realm in &config.realms {
        for trusted in &realm.realm.proving.trusted_issuers {
            let TrustedKeys::At(location) = &trusted.keys else { continue };
            let place = format!("[realm.{}.trusted_issuers.{}]", realm.realm.name, trusted.name);
            findings.push(match sets.keys(location, None).await {
                Ok(keys) if keys.keys().is_empty() => {
                    let what = "the key set has no key that could verify anything";
                    Finding::warning(CHECK, place, what).remedy("its owner; `jwks_uri`")
                }
                Ok(keys) => {
                    let what = format!("keys can be fetched: {}", keys.keys().len());
                    Finding::ok(CHECK, place, what)
                }
                Err(error) => Finding::problem(CHECK, place, format!("keys cannot be fetched: {error}"))
                    .remedy("`jwks_uri`, `fetch.allow` and `fetch.ca_file`; whether this machine reaches the host"),
            });
        }
    }
    findings
}
