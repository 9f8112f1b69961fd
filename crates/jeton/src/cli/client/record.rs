//! How clients travel: one JSON object a line, of secrets only digests. Imports may bring a secret
//! in clear text, for those who come from another system.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::proof::Proof;
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock, Secret, SecretDigest};
use jeton_engine::clock::Time;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::registration::Registration;
use jeton_engine::terms::Lifetime;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::shown;
use crate::cli::moment;

/// A client as a line tells of it.
pub(super) struct Arriving {
    /// The client, with the secrets whose digests came along.
    pub(super) client: Client,
    /// A secret in clear text.
    pub(super) secret: Option<Zeroizing<String>>,
}

/// The object that [`read`] takes back.
pub(super) fn write(client: &Client) -> Value {
    json!({
        "client_id": client.id,
        "name": client.name,
        "subject": client.subject,
        "status": match client.status {
            ClientStatus::Enabled => "enabled",
            ClientStatus::Disabled => "disabled",
        },
        "role": match client.role {
            ClientRole::Client => "client",
            ClientRole::ResourceServer => "resource_server",
        },
        "lock": match client.lock {
            Lock::Open => Value::Null,
            Lock::Until(end) => Value::from(moment::rfc3339(end)),
            Lock::UntilUnlocked => Value::from("until_unlocked"),
        },
        "scope": client.scope,
        "audience": client.audiences,
        "lifetime": shown::lifetime(client.lifetime),
        "claims": client.claims,
        "proof": client.proof,
        "registration": client.registration,
        "networks": client.networks,
        "authentication": client.authentication,
        "secrets": client.secrets.iter().map(write_secret).collect::<Vec<_>>(),
        "created_at": moment::rfc3339(client.created_at),
        "changed_at": moment::rfc3339(client.changed_at),
    })
}

fn write_secret(secret: &Secret) -> Value {
    let (kind, digest) = match &secret.digest {
        SecretDigest::Generated(digest) => ("generated", URL_SAFE_NO_PAD.encode(digest)),
        SecretDigest::Supplied(phc) => ("supplied", phc.to_string()),
        SecretDigest::Sealed(bytes) => ("sealed", URL_SAFE_NO_PAD.encode(bytes)),
    };
    json!({
        "secret_id": secret.id,
        "name": secret.name,
        "kind": kind,
        "digest": digest,
        "created_at": moment::rfc3339(secret.created_at),
        "expires_at": secret.expires_at.map(moment::rfc3339),
        "last_used_at": secret.last_used_at.map(moment::rfc3339),
    })
}

/// Reads one line; tells every problem of it. No value of the line is repeated in a problem: it
/// could be a secret in the wrong place.
pub(super) fn read(line: &str, realm: &RealmName, now: Time) -> Result<Arriving, Vec<String>> {
    let object: Map<String, Value> = serde_json::from_str(line)
        .map_err(|error| vec![format!("column {}: is not one JSON object", error.column())])?;
    let mut fields = Fields { object, within: "", problems: Vec::new() };
    let id: Option<ClientId> = fields.required("client_id");
    let client_secret = fields.text("client_secret").map(Zeroizing::new);
    let secrets = fields.objects("secrets");
    let created_at = fields.time("created_at").unwrap_or(now);
    let client = Client {
        realm: realm.clone(),
        // A stand-in: without an identifier the line is refused below.
        id: id.or_else(|| "missing".parse().ok()).ok_or_else(Vec::new)?,
        name: fields.text("name").map(String::into_boxed_str),
        subject: fields.parsed("subject"),
        role: fields.choice("role", &ROLES).unwrap_or_default(),
        status: fields.choice("status", &STATUSES).unwrap_or(ClientStatus::Enabled),
        lock: fields.lock(),
        scope: fields.parsed("scope").unwrap_or_default(),
        audiences: fields.list("audience"),
        lifetime: fields.lifetime(),
        claims: fields.claims(),
        proof: fields.proof(),
        registration: fields.registration(),
        networks: fields.list("networks"),
        authentication: fields.list("authentication"),
        secrets: Vec::new(),
        created_at,
        changed_at: fields.time("changed_at").unwrap_or(created_at),
        revision: 1,
    };
    let mut problems = fields.finish();
    if client_secret.is_some() && !secrets.is_empty() {
        problems.push("client_secret and secrets: give one of them".to_owned());
    }
    let secrets = secrets
        .into_iter()
        .enumerate()
        .filter_map(|(index, object)| read_secret(index, object, now, &mut problems))
        .collect();
    if problems.is_empty() {
        Ok(Arriving { client: Client { secrets, ..client }, secret: client_secret })
    } else {
        Err(problems)
    }
}

const ROLES: [(&str, ClientRole); 2] =
    [("client", ClientRole::Client), ("resource_server", ClientRole::ResourceServer)];

const STATUSES: [(&str, ClientStatus); 2] =
    [("enabled", ClientStatus::Enabled), ("disabled", ClientStatus::Disabled)];

/// What is kept of a secret, by its name in a line.
#[derive(Clone, Copy)]
enum Kind {
    Generated,
    Supplied,
    Sealed,
}

const KINDS: [(&str, Kind); 3] =
    [("generated", Kind::Generated), ("supplied", Kind::Supplied), ("sealed", Kind::Sealed)];

fn read_secret(
    index: usize,
    object: Map<String, Value>,
    now: Time,
    problems: &mut Vec<String>,
) -> Option<Secret> {
    let within = format!("secrets[{index}].");
    let mut fields = Fields { object, within: &within, problems: Vec::new() };
    let id = fields.required("secret_id");
    let kind = fields.choice("kind", &KINDS);
    let digest = fields.text("digest").and_then(|text| match kind {
        Some(Kind::Generated) => {
            let bytes = URL_SAFE_NO_PAD.decode(&text).ok()?;
            Some(SecretDigest::Generated(bytes.as_slice().try_into().ok()?))
        }
        Some(Kind::Supplied) if text.starts_with("$argon2id$") => {
            Some(SecretDigest::Supplied(text.into_boxed_str()))
        }
        Some(Kind::Sealed) => {
            Some(SecretDigest::Sealed(URL_SAFE_NO_PAD.decode(&text).ok()?.into()))
        }
        Some(Kind::Supplied) | None => None,
    });
    if digest.is_none() {
        fields.problem(
            "digest",
            "must be SHA-256 in base64url (kind generated), an Argon2id PHC string (kind supplied) or encrypted, in base64url (kind sealed)",
        );
    }
    let name = fields.text("name").map(String::into_boxed_str);
    let created_at = fields.time("created_at").unwrap_or(now);
    let (expires_at, last_used_at) = (fields.time("expires_at"), fields.time("last_used_at"));
    problems.extend(fields.finish());
    Some(Secret { id: id?, name, digest: digest?, created_at, expires_at, last_used_at })
}

/// The members of an object, taken out one by one; what is left at the end is unknown.
struct Fields<'a> {
    object: Map<String, Value>,
    within: &'a str,
    problems: Vec<String>,
}

impl Fields<'_> {
    fn problem(&mut self, field: &str, problem: impl Display) {
        self.problems.push(format!("{}{field}: {problem}", self.within));
    }

    /// The member, unless it is absent or null.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.object.shift_remove(field).filter(|value| !value.is_null())
    }

    fn text(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(field, "must be a string");
                None
            }
        }
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, field: &str) -> Option<T> {
        let text = self.text(field)?;
        text.parse().map_err(|error| self.problem(field, error)).ok()
    }

    fn required<T: FromStr<Err: Display>>(&mut self, field: &str) -> Option<T> {
        if self.object.get(field).is_none_or(Value::is_null) {
            self.problem(field, "is missing");
            return None;
        }
        self.parsed(field)
    }

    fn choice<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(field)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(field, format!("must be {}", names.join(" or ")));
        }
        found
    }

    fn time(&mut self, field: &str) -> Option<Time> {
        let text = self.text(field)?;
        let time = moment::parse_rfc3339(&text).ok();
        if time.is_none() {
            self.problem(field, "must be a time in RFC 3339, such as 2026-01-31T12:00:00Z");
        }
        time
    }

    fn array(&mut self, field: &str) -> Vec<Value> {
        match self.take(field) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                self.problem(field, "must be an array");
                Vec::new()
            }
        }
    }

    fn list<T: FromStr<Err: Display>>(&mut self, field: &str) -> Vec<T> {
        let mut list = Vec::new();
        for value in self.array(field) {
            match value.as_str().map(str::parse) {
                Some(Ok(parsed)) => list.push(parsed),
                Some(Err(error)) => self.problem(field, error),
                None => self.problem(field, "must be an array of strings"),
            }
        }
        list
    }

    fn objects(&mut self, field: &str) -> Vec<Map<String, Value>> {
        let mut objects = Vec::new();
        for value in self.array(field) {
            match value {
                Value::Object(object) => objects.push(object),
                _ => self.problem(field, "must be an array of objects"),
            }
        }
        objects
    }

    fn lock(&mut self) -> Lock {
        match self.text("lock").as_deref() {
            None => Lock::Open,
            Some("until_unlocked") => Lock::UntilUnlocked,
            Some(text) => match moment::parse_rfc3339(text) {
                Ok(end) => Lock::Until(end),
                Err(_) => {
                    self.problem("lock", "must be null, \"until_unlocked\" or a time in RFC 3339");
                    Lock::Open
                }
            },
        }
    }

    fn claims(&mut self) -> CustomClaims {
        let claims = match self.take("claims") {
            None => return CustomClaims::default(),
            Some(Value::Object(claims)) => CustomClaims::try_from(claims),
            Some(_) => {
                self.problem("claims", "must be an object");
                return CustomClaims::default();
            }
        };
        claims.unwrap_or_else(|error| {
            self.problem("claims", error);
            CustomClaims::default()
        })
    }

    fn proof(&mut self) -> Option<Box<Proof>> {
        let proof = self.take("proof").filter(|proof| !proof.is_null())?;
        let read = proof.to_string().parse::<Proof>();
        read.map_err(|error| self.problem("proof", error)).ok().map(Box::new)
    }

    fn registration(&mut self) -> Option<Box<Registration>> {
        let registration = self.take("registration")?;
        let read = registration.to_string().parse::<Registration>();
        read.map_err(|error| self.problem("registration", error)).ok().map(Box::new)
    }

    fn lifetime(&mut self) -> Option<Lifetime> {
        let read = match self.take("lifetime")? {
            Value::String(text) => moment::lifetime(&text).ok(),
            Value::Number(number) => {
                number.as_u64().and_then(|seconds| moment::seconds(seconds).ok())
            }
            _ => None,
        };
        if read.is_none() {
            self.problem(
                "lifetime",
                "must be seconds as a number, a duration such as \"10m\", or \"never\"",
            );
        }
        read
    }

    fn finish(mut self) -> Vec<String> {
        let unknown: Vec<String> = self.object.keys().cloned().collect();
        for field in unknown {
            self.problem(&field.escape_debug().to_string(), "is not a known member");
        }
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> RealmName {
        "main".parse().unwrap()
    }

    const NOW: Time = Time::from_seconds(1_800_000_000);

    fn problems(line: &str) -> Vec<String> {
        read(line, &realm(), NOW).map(|_| ()).unwrap_err()
    }

    #[test]
    fn an_exported_client_comes_back_as_it_was() {
        let line = r#"{"client_id":"a b","name":"N","subject":"7","status":"disabled","lock":"until_unlocked",
            "scope":"read write","audience":["x"],"lifetime":600,"role":"resource_server","claims":{"tier":"gold"},"networks":["10.0.0.0/8"],"authentication":["client_secret_basic"],
            "secrets":[{"secret_id":"s1","kind":"generated","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","created_at":"2020-01-01T00:00:00Z"},
                       {"secret_id":"s2","name":"old","kind":"supplied","digest":"$argon2id$v=19$m=19456,t=2,p=1$AAAA$BBBB","created_at":"2020-01-01T00:00:00Z","expires_at":"2030-01-01T00:00:00Z"}],
            "created_at":"2020-01-01T00:00:00Z","changed_at":"2021-01-01T00:00:00Z"}"#;
        let arriving = read(line, &realm(), NOW).map_err(|problems| problems.join("\n")).unwrap();
        assert_eq!(arriving.client.status, ClientStatus::Disabled);
        assert_eq!(arriving.client.lock, Lock::UntilUnlocked);
        assert_eq!(arriving.client.secrets.len(), 2);
        let again = read(&write(&arriving.client).to_string(), &realm(), NOW).ok().unwrap();
        assert_eq!(again.client, arriving.client);
    }

    #[test]
    fn a_line_of_another_system_needs_little_and_may_bring_a_secret_in_clear() {
        let arriving =
            read(r#"{"client_id":"a","client_secret":"hunter2"}"#, &realm(), NOW).ok().unwrap();
        assert_eq!(arriving.secret.unwrap().as_str(), "hunter2");
        assert_eq!(arriving.client.created_at, NOW);
        assert!(arriving.client.secrets.is_empty());
    }

    #[test]
    fn every_problem_of_a_line_is_told() {
        let told = problems(
            r#"{"name":5,"status":"off","lifetime":0,"networks":["x"],"colour":"red","created_at":"now"}"#,
        );
        let fields: Vec<&str> =
            told.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(
            fields,
            ["client_id", "created_at", "name", "status", "lifetime", "networks", "colour"]
        );
    }

    #[test]
    fn a_problem_never_repeats_a_secret() {
        for line in [
            r#"{"client_id":"a","client_secret":123456789}"#,
            r#"{"client_id":"a","client_secret":"123456789","secrets":[{}]}"#,
            r#"{"client_id":"a","secrets":["123456789"]}"#,
            r#"{"client_id":"a","secrets":[{"secret_id":"s","kind":"generated","digest":"123456789"}]}"#,
            r#""123456789""#,
        ] {
            let told = problems(line);
            assert!(
                !told.is_empty() && told.iter().all(|problem| !problem.contains("123456789")),
                "{told:?}"
            );
        }
    }
}
