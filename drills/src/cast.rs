//! Who takes part in a drill: realms, and the clients that an operator makes in them.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use serde_json::Value;

use crate::assertion::Signer;
use crate::chance::Chance;
use crate::place::Place;

/// The realms, one for each way a token may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realm {
    /// Random strings in the store, through a dialect of somebody else.
    Stored,
    /// JWTs, through the standard's own dialect.
    Jwt,
    /// Sealed ones, which need no row.
    Sealed,
    /// JWTs, so many a minute: not in every configuration.
    Limited,
}

impl Realm {
    /// Those that are in every configuration.
    pub(crate) const ALL: [Self; 3] = [Self::Stored, Self::Jwt, Self::Sealed];

    /// Its name, which is also its path.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Jwt => "jwt",
            Self::Sealed => "sealed",
            Self::Limited => "limited",
        }
    }
}

/// How a client proves who it is.
#[derive(Debug)]
pub(crate) enum Proof {
    /// By a secret, which may be rotated.
    Secret(Mutex<Arc<str>>),
    /// By assertions.
    Key(Signer),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its realm.
    pub(crate) realm: Realm,
    /// Its identifier.
    pub(crate) id: String,
    /// How it proves who it is.
    pub(crate) proof: Proof,
}

impl Client {
    /// Its secret; empty when it has none.
    pub(crate) fn secret(&self) -> Arc<str> {
        match &self.proof {
            Proof::Secret(secret) => Arc::clone(&secret.lock()),
            Proof::Key(_) => Arc::from(""),
        }
    }
}

/// Everybody who takes part.
#[derive(Debug)]
pub(crate) struct Cast {
    /// Those who ask for tokens. The oracle knows them by their place here.
    pub(crate) clients: Vec<Client>,
    /// Who may introspect, one in each realm, in the order of [`Realm::ALL`].
    resource_servers: Vec<Client>,
}

impl Cast {
    /// Makes so many clients with secrets in each realm, and half as many with keys in the realm of JWTs.
    pub(crate) async fn create(place: &Place, each: usize, chance: &mut Chance) -> Result<Self> {
        let mut cast = Self { clients: Vec::new(), resource_servers: Vec::new() };
        for realm in Realm::ALL {
            for number in 0..each {
                let id = format!("{}-{number}", realm.name());
                cast.clients.push(create(place, realm, &id, &[]).await?);
            }
            let server = create(place, realm, "resources", &["--resource-server"]).await?;
            cast.resource_servers.push(server);
        }
        for number in 0..each.div_ceil(2) {
            let id = format!("key-{number}");
            cast.clients.push(create_with_key(place, &id, chance).await?);
        }
        Ok(cast)
    }

    /// The client with this number.
    pub(crate) fn client(&self, number: usize) -> Result<&Client> {
        self.clients.get(number).context("there is no such client")
    }

    /// Who may introspect the tokens of a realm.
    pub(crate) fn resource_server(&self, realm: Realm) -> Result<&Client> {
        let mut servers = self.resource_servers.iter();
        servers.find(|server| server.realm == realm).context("the realm has no resource server")
    }

    /// The numbers of the clients of a realm that have a secret.
    pub(crate) fn with_secret(&self, realm: Realm) -> Vec<usize> {
        self.numbers(|client| client.realm == realm && matches!(client.proof, Proof::Secret(_)))
    }

    /// The numbers of the clients that have a key.
    pub(crate) fn with_key(&self) -> Vec<usize> {
        self.numbers(|client| matches!(client.proof, Proof::Key(_)))
    }

    fn numbers(&self, holds: impl Fn(&Client) -> bool) -> Vec<usize> {
        let numbered = self.clients.iter().enumerate();
        numbered.filter(|(_, client)| holds(client)).map(|(number, _)| number).collect()
    }
}

/// Makes a client with a generated secret.
pub(crate) async fn create(place: &Place, realm: Realm, id: &str, more: &[&str]) -> Result<Client> {
    let mut arguments = vec!["client", "create", id, "--realm", realm.name()];
    arguments.extend_from_slice(more);
    let made = place.operate(&arguments).await?;
    let secret = secret_of(&made).context("the new client has no secret")?;
    Ok(Client { realm, id: id.to_owned(), proof: Proof::Secret(Mutex::new(secret)) })
}

/// The secret that a command printed.
pub(crate) fn secret_of(printed: &Value) -> Option<Arc<str>> {
    printed.get("client_secret").and_then(Value::as_str).map(Arc::from)
}

/// Makes a client in the realm of JWTs that proves who it is by assertions.
pub(crate) async fn create_with_key(
    place: &Place,
    id: &str,
    chance: &mut Chance,
) -> Result<Client> {
    let signer = Signer::new(chance)?;
    let file = format!("{id}.jwks.json");
    std::fs::write(place.path(&file), signer.key_set().to_string())?;
    let realm = Realm::Jwt;
    let arguments = ["client", "create", id, "--realm", realm.name(), "--jwks-file", &file];
    place.operate(&arguments).await?;
    Ok(Client { realm, id: id.to_owned(), proof: Proof::Key(signer) })
}
