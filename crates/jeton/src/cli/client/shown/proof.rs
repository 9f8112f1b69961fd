//! How it is shown what a client proves itself with, and what its tokens are bound to.

use jeton_engine::client::Client;
use jeton_engine::client::proof::{
    Binding, ClientKeys, Federated, Proof, PublicKeys, SenderConstraint,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::output::Cell;

/// What a client proves itself with, in words.
#[derive(Serialize, Clone, Debug)]
pub(super) struct ShownProof {
    keys: Vec<ShownKey>,
    jwks_uri: Option<String>,
    certificate_name: Option<Map<String, Value>>,
    federated: Option<Federated>,
    sender_constrained: SenderConstraint,
}

/// A public key in words.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
struct ShownKey {
    key_id: Option<String>,
    algorithms: Vec<&'static str>,
    thumbprint: String,
}

impl ShownProof {
    pub(super) fn new(client: &Client) -> Self {
        let Proof { keys, certificate, federated, sender } =
            client.proof.as_deref().cloned().unwrap_or_default();
        let (keys, jwks_uri) = match keys {
            None => (Vec::new(), None),
            Some(ClientKeys::Jwks(keys)) => (shown_keys(&keys), None),
            Some(ClientKeys::JwksUri(uri)) => (Vec::new(), Some(uri.into())),
        };
        let certificate_name = certificate.as_ref().map(|name| {
            // The registered name of the member (RFC 8705 section 2.1.2).
            Map::from_iter([(name.member().to_owned(), Value::from(name.to_string()))])
        });
        Self { keys, jwks_uri, certificate_name, federated, sender_constrained: sender }
    }

    /// A line for each thing that is there.
    pub(super) fn facts(&self) -> Vec<(&'static str, Cell)> {
        let mut facts: Vec<_> =
            self.keys.iter().map(|key| ("key", Cell::new(key.line()))).collect();
        facts.extend(self.jwks_uri.iter().map(|uri| ("jwks_uri", Cell::new(uri))));
        for (member, name) in self.certificate_name.iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            facts.push(("certificate_name", Cell::new(format!("{member} {name}"))));
        }
        if let Some(Federated { issuer, subject, claims }) = &self.federated {
            facts.push(("federated", Cell::new(format!("{issuer} {subject}"))));
            for (name, value) in claims {
                facts.push(("federated_claim", Cell::new(format!("{name} {value}"))));
            }
        }
        let SenderConstraint { dpop, mtls } = self.sender_constrained;
        let bound = format!("dpop {}, mtls {}", binding(dpop), binding(mtls));
        facts.push(("sender_constrained", Cell::new(bound)));
        facts
    }
}

impl ShownKey {
    fn line(&self) -> String {
        let id = self.key_id.as_deref().unwrap_or("-");
        format!("{id} {} {}", self.algorithms.join("|"), self.thumbprint)
    }
}

/// The keys, each once: an RSA key that does not say its algorithm can be used with either.
fn shown_keys(keys: &PublicKeys) -> Vec<ShownKey> {
    let mut shown: Vec<ShownKey> = Vec::new();
    for key in keys.parse().keys() {
        let thumbprint = key.thumbprint().unwrap_or_default();
        let key_id = key.key_id().map(str::to_owned);
        let is_same = |last: &&mut ShownKey| last.thumbprint == thumbprint && last.key_id == key_id;
        match shown.last_mut().filter(is_same) {
            Some(last) => last.algorithms.push(key.algorithm().name()),
            None => {
                shown.push(ShownKey {
                    key_id,
                    algorithms: vec![key.algorithm().name()],
                    thumbprint,
                });
            }
        }
    }
    shown
}

fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Off => "off",
        Binding::Allowed => "allowed",
        Binding::Required => "required",
    }
}
