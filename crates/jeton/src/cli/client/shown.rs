//! How a client is shown: names and values that scripts may rely on, and the same for people.

use jeton_engine::claims::CustomClaims;
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use jeton_engine::clock::Time;
use jeton_engine::manage::MadeSecret;
use jeton_engine::registration::Registration;
use jeton_engine::terms::Lifetime;
use serde::Serialize;
use serde_json::{Map, Value};

use proof::ShownProof;

use crate::cli::moment;
use crate::cli::output::Cell;

mod proof;

/// The headings of a client's secrets.
pub(super) const SECRET_HEADINGS: [&str; 6] =
    ["SECRET ID", "NAME", "KIND", "CREATED", "EXPIRES", "LAST USED"];

/// A client in words.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct ShownClient {
    realm: String,
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<String>,
    name: Option<String>,
    subject: String,
    status: &'static str,
    locked_until: Option<String>,
    role: ClientRole,
    scope: String,
    audience: Vec<String>,
    lifetime: Value,
    claims: CustomClaims,
    networks: Vec<String>,
    authentication: Vec<&'static str>,
    #[serde(flatten)]
    proof: ShownProof,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<ShownRegistration>,
    secrets: Vec<ShownSecret>,
    created_at: String,
    changed_at: String,
    #[serde(skip)]
    lifetime_spelled: Option<String>,
}

/// How a client came that registered itself, and what it says of itself.
#[derive(Serialize, Clone, Debug)]
struct ShownRegistration {
    through: Option<String>,
    scope_max: Option<String>,
    metadata: Map<String, Value>,
}

/// A secret in words: all but the secret.
#[derive(Serialize, Clone, Debug)]
struct ShownSecret {
    secret_id: String,
    name: Option<String>,
    kind: &'static str,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    #[serde(skip)]
    times: [Option<Time>; 3],
}

impl ShownClient {
    /// The headings of [`ShownClient::row`].
    pub(super) const HEADINGS: [&'static str; 6] =
        ["CLIENT ID", "STATUS", "NAME", "SCOPE", "SECRETS", "CHANGED"];

    /// Puts a client in words, as things are at `now`.
    pub(crate) fn new(client: &Client, now: Time) -> Self {
        Self {
            realm: client.realm.to_string(),
            client_id: client.id.to_string(),
            client_secret: None,
            secret_id: None,
            name: client.name.as_deref().map(str::to_owned),
            subject: client.subject().to_owned(),
            status: status(client, now),
            locked_until: match client.lock {
                Lock::Until(end) if now < end => Some(moment::rfc3339(end)),
                Lock::Until(_) | Lock::Open | Lock::UntilUnlocked => None,
            },
            role: client.role,
            scope: client.scope.to_string(),
            audience: client.audiences.iter().map(ToString::to_string).collect(),
            lifetime: lifetime(client.lifetime),
            claims: client.claims.clone(),
            networks: client.networks.iter().map(ToString::to_string).collect(),
            authentication: client.authentication.iter().map(|method| method.name()).collect(),
            proof: ShownProof::new(client),
            registration: client.registration.as_deref().map(ShownRegistration::new),
            secrets: client.secrets.iter().map(ShownSecret::new).collect(),
            created_at: moment::rfc3339(client.created_at),
            changed_at: moment::rfc3339(client.changed_at),
            lifetime_spelled: client.lifetime.map(moment::lifetime_spelled),
        }
    }

    /// Whether it is enabled, disabled or locked.
    pub(crate) fn status(&self) -> &'static str {
        self.status
    }

    /// Adds the secret that was just made: the one time it is shown.
    pub(super) fn with_secret(mut self, made: Option<&MadeSecret>) -> Self {
        self.secret_id = made.map(|made| made.id.to_string());
        self.client_secret =
            made.and_then(|made| made.generated.as_ref()).map(|secret| secret.to_string());
        self
    }

    /// What to hand to whoever will use the client.
    pub(super) fn credentials(&self, made: Option<&MadeSecret>) -> Vec<(&'static str, Cell)> {
        let mut facts = vec![("client_id", Cell::new(&self.client_id))];
        if let Some(made) = made {
            if let Some(secret) = &made.generated {
                facts.push(("client_secret", Cell::new(secret.as_str())));
            }
            facts.push(("secret_id", Cell::new(made.id.as_str())));
        }
        facts
    }

    /// One line of a list.
    pub(super) fn row(&self) -> Vec<Cell> {
        vec![
            Cell::new(&self.client_id),
            self.status_cell(),
            Cell::maybe(self.name.as_ref()),
            Cell::maybe(Some(&self.scope).filter(|scope| !scope.is_empty())),
            Cell::new(self.secrets.len().to_string()),
            Cell::new(&self.changed_at),
        ]
    }

    /// Everything but the secrets.
    pub(super) fn facts(&self) -> Vec<(&'static str, Cell)> {
        let joined = |list: &[String]| Some(list.join(" ")).filter(|text| !text.is_empty());
        let claims = Some(&self.claims).filter(|claims| !claims.is_empty());
        let mut facts = vec![
            ("client_id", Cell::new(&self.client_id)),
            ("realm", Cell::new(&self.realm)),
            ("status", self.status_cell()),
            ("locked_until", Cell::maybe(self.locked_until.as_ref())),
            ("name", Cell::maybe(self.name.as_ref())),
            ("subject", Cell::new(&self.subject)),
            ("scope", Cell::maybe(Some(&self.scope).filter(|scope| !scope.is_empty()))),
            ("audience", Cell::maybe(joined(&self.audience))),
            ("lifetime", Cell::maybe(self.lifetime_spelled.as_ref())),
            ("networks", Cell::maybe(joined(&self.networks))),
            (
                "authentication",
                Cell::maybe(Some(self.authentication.join(" ")).filter(|text| !text.is_empty())),
            ),
            (
                "role",
                Cell::new(match self.role {
                    ClientRole::Client => "client",
                    ClientRole::ResourceServer => "resource_server",
                }),
            ),
            ("claims", Cell::maybe(claims.map(ToString::to_string))),
        ];
        facts.extend(self.proof.facts());
        if let Some(registration) = &self.registration {
            facts.push(("registered", Cell::new(registration.spelled())));
        }
        facts.push(("created_at", Cell::new(&self.created_at)));
        facts.push(("changed_at", Cell::new(&self.changed_at)));
        facts
    }

    /// A line for each secret.
    pub(super) fn secret_rows(&self, now: Time) -> Vec<Vec<Cell>> {
        self.secrets.iter().map(|secret| secret.row(now)).collect()
    }

    fn status_cell(&self) -> Cell {
        if self.status == "enabled" { Cell::good(self.status) } else { Cell::bad(self.status) }
    }
}

impl ShownRegistration {
    fn new(registration: &Registration) -> Self {
        Self {
            through: registration.through.as_ref().map(ToString::to_string),
            scope_max: registration.scope_max.as_ref().map(ToString::to_string),
            metadata: registration.members.clone(),
        }
    }

    /// In a line.
    fn spelled(&self) -> String {
        match &self.through {
            Some(token) => format!("by itself, with token {token}"),
            None => "by itself, with no token".to_owned(),
        }
    }
}

impl ShownSecret {
    fn new(secret: &Secret) -> Self {
        Self {
            secret_id: secret.id.to_string(),
            name: secret.name.as_deref().map(str::to_owned),
            kind: match secret.digest {
                SecretDigest::Generated(_) => "generated",
                SecretDigest::Supplied(_) => "supplied",
                SecretDigest::Sealed(_) => "sealed",
            },
            created_at: moment::rfc3339(secret.created_at),
            expires_at: secret.expires_at.map(moment::rfc3339),
            last_used_at: secret.last_used_at.map(moment::rfc3339),
            times: [Some(secret.created_at), secret.expires_at, secret.last_used_at],
        }
    }

    fn row(&self, now: Time) -> Vec<Cell> {
        let [created, expires, used] = self.times;
        let told = |time: Option<Time>| {
            Cell::maybe(time.map(|time| {
                format!("{} ({})", moment::to_the_second(time), moment::distance(time, now))
            }))
        };
        let expiry = match expires {
            Some(end) if end <= now => {
                Cell::bad(format!("{} (expired)", moment::to_the_second(end)))
            }
            other => told(other),
        };
        vec![
            Cell::new(&self.secret_id),
            Cell::maybe(self.name.as_ref()),
            Cell::new(self.kind),
            told(created),
            expiry,
            told(used),
        ]
    }
}

fn status(client: &Client, now: Time) -> &'static str {
    match client.status {
        ClientStatus::Disabled => "disabled",
        ClientStatus::Enabled if client.lock.holds(now) => "locked",
        ClientStatus::Enabled => "enabled",
    }
}

/// Seconds as a number, `"never"`, or null where realm or dialect say.
pub(super) fn lifetime(lifetime: Option<Lifetime>) -> Value {
    match lifetime {
        Some(Lifetime::Seconds(seconds)) => Value::from(seconds.get()),
        Some(Lifetime::Never) => Value::from("never"),
        None => Value::Null,
    }
}
