//! A jeton to measure: its folder with configuration, database, clients, keys and certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_jose::{Algorithm, SigningKey, base64url};
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::process::{Process, free_address, output};
use crate::rows::{Set, Store};

/// The realms that every kit has clients in, and how their tokens can be checked from outside.
const REALMS: [(&str, Signed); 11] = [
    ("growth", Signed::WithSecret),
    ("fairbid", Signed::WithSecret),
    ("fuuffy", Signed::Not),
    ("apinizer", Signed::WithSecret),
    ("hs256", Signed::WithSecret),
    ("eddsa", Signed::WithPublishedKey),
    ("es256", Signed::WithPublishedKey),
    ("rs256", Signed::WithPublishedKey),
    ("sealed", Signed::Not),
    ("stored", Signed::Not),
    ("limited", Signed::WithSecret),
];
/// The realm whose clients may be many.
const CROWDED: &str = "growth";
/// Clients of every other set and realm.
pub(crate) const FEW: usize = 10;
/// What signs where HS256 does. Nothing is secret about it: the kit is gone after the run.
pub(crate) const SHARED_SECRET: &str = "what signs in every realm of a run, by HS256 ...";
/// Who may introspect.
pub(crate) const RESOURCE_SERVER: &str = "resource-server";

/// Whether tokens are signed, and by what kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// They are not; only the server can tell what they are worth.
    Not,
    /// By the secret that every kit brings along.
    WithSecret,
    /// By a key whose public half is in the realm's JWK set.
    WithPublishedKey,
}

/// How the tokens of a realm are signed.
pub(crate) fn signed(realm: &str) -> Signed {
    REALMS.iter().find(|(name, _)| *name == realm).map_or(Signed::Not, |(_, signed)| *signed)
}

/// A folder, and what is in it.
pub(crate) struct Kit {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) certificates: Arc<Certificates>,
    /// The key of every client of [`Set::Keyed`].
    pub(crate) client_key: SigningKey,
    /// The key of the issuer that the realm `eddsa` trusts.
    pub(crate) platform_key: SigningKey,
    /// How many clients the realm `growth` has.
    pub(crate) clients: usize,
    jeton: PathBuf,
}

/// What a kit is made from.
pub(crate) struct Ingredients<'a> {
    pub(crate) jeton: &'a Path,
    /// Must exist, and be empty.
    pub(crate) folder: PathBuf,
    pub(crate) store: Store,
    /// A database for it, where the store is PostgreSQL.
    pub(crate) postgresql: Option<&'a str>,
    pub(crate) clients: usize,
}

impl Kit {
    /// Writes configuration and certificates, and takes the clients in.
    ///
    /// # Errors
    /// What could not be made.
    pub(crate) fn make(ingredients: Ingredients<'_>) -> anyhow::Result<Self> {
        let Ingredients { jeton, folder, store, postgresql, clients } = ingredients;
        let (address, admin) = (free_address()?, free_address()?);
        let certificates = Arc::new(Certificates::make(&folder)?);
        let (client_key, platform_key) =
            (SigningKey::generate(Algorithm::EdDsa)?, SigningKey::generate(Algorithm::EdDsa)?);
        fs::write(folder.join("platform-jwks.json"), key_set(&platform_key))?;
        let random: Vec<u8> = digest(&SHA256, address.to_string().as_bytes()).as_ref().to_vec();
        let master_key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        write_private(&folder.join("master-key"), &master_key)?;
        let storage = match store {
            Store::Sqlite => "sqlite:jeton.db",
            Store::Postgresql => postgresql.unwrap_or_default(),
        };
        for (file, scheme, more) in
            [("jeton.toml", "http", ""), ("jeton-tls.toml", "https", Certificates::SECTION)]
        {
            let text = include_str!("../realms.toml")
                .replace("PUBLIC", &address.to_string())
                .replace("ADMIN", &admin.to_string())
                .replace("SCHEME", scheme)
                .replace("STORAGE", storage);
            fs::write(folder.join(file), text + more)?;
        }
        let jeton = jeton.to_owned();
        let kit = Self { folder, address, certificates, client_key, platform_key, clients, jeton };
        kit.take_clients_in()?;
        Ok(kit)
    }

    fn take_clients_in(&self) -> anyhow::Result<()> {
        for (realm, signed) in REALMS {
            if signed == Signed::WithSecret {
                let import = ["key", "import", "--realm", realm, "--algorithm", "HS256"];
                self.manage(&[&import[..], &["--secret-stdin"]].concat(), SHARED_SECRET)?;
            }
            let count = if realm == CROWDED { self.clients } else { FEW };
            let mut lines: Vec<Value> =
                (0..count).map(|number| self.client(Set::Generated, number)).collect();
            let mut server = self.client(Set::Generated, 0);
            if let Some(server) = server.as_object_mut() {
                server.insert("client_id".to_owned(), RESOURCE_SERVER.into());
                server.insert("role".to_owned(), "resource_server".into());
            }
            lines.push(server);
            if realm == "eddsa" {
                for set in
                    [Set::Supplied, Set::Keyed, Set::Federated, Set::Certified, Set::SelfSigned]
                {
                    lines.extend((0..FEW).map(|number| self.client(set, number)));
                }
            }
            let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
            self.manage(&["client", "import", "--realm", realm], &lines)?;
        }
        for number in 0..FEW {
            let id = client_id(Set::Sealed, number);
            let arguments =
                ["client", "create", &id, "--realm", "eddsa", "--secret-stdin", "--authentication"];
            let arguments = [&arguments[..], &["client_secret_jwt"]].concat();
            self.manage(&arguments, &secret(Set::Sealed, number))?;
        }
        Ok(())
    }

    /// A line of `jeton client import`.
    fn client(&self, set: Set, number: usize) -> Value {
        let id = client_id(set, number);
        match set {
            Set::Generated | Set::Sealed => {
                let digest = digest(&SHA256, secret(set, number).as_bytes());
                let digest = base64url::encode(digest.as_ref());
                let secret = json!({ "secret_id": "s1", "kind": "generated", "digest": digest });
                json!({ "client_id": id, "secrets": [secret] })
            }
            Set::Supplied => json!({ "client_id": id, "client_secret": secret(set, number) }),
            Set::Keyed => {
                let jwks: Value =
                    serde_json::from_str(&key_set(&self.client_key)).unwrap_or_default();
                json!({
                    "client_id": id,
                    "proof": { "keys": { "jwks": jwks } },
                    "authentication": ["private_key_jwt"],
                })
            }
            Set::Federated => {
                let proof = json!({ "federated": { "issuer": "platform", "subject": id } });
                json!({ "client_id": id, "proof": proof, "authentication": ["private_key_jwt"] })
            }
            Set::Certified => {
                let names = json!({ "san_dns": Certificates::CLIENT_NAME });
                json!({
                    "client_id": id,
                    "proof": { "certificate": names },
                    "authentication": ["tls_client_auth"],
                })
            }
            Set::SelfSigned => {
                let jwks = json!({ "keys": [self.certificates.client_jwk] });
                json!({
                    "client_id": id,
                    "proof": { "keys": { "jwks": jwks } },
                    "authentication": ["self_signed_tls_client_auth"],
                })
            }
        }
    }

    /// Runs a command of jeton's that needs its configuration; what it said.
    pub(crate) fn manage(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.jeton);
        command.args(arguments).arg("--config").arg(self.folder.join("jeton.toml"));
        output(&mut command, input)
    }

    /// Starts the server on these cores; it takes connections when this returns.
    pub(crate) fn serve(&self, cores: &str, tls: bool) -> anyhow::Result<Process> {
        let mut process = self.begin(cores, tls)?;
        process.listens(self.address, Duration::from_secs(60))?;
        Ok(process)
    }

    /// Starts the server and does not wait.
    pub(crate) fn begin(&self, cores: &str, tls: bool) -> anyhow::Result<Process> {
        let file = if tls { "jeton-tls.toml" } else { "jeton.toml" };
        let (jeton, file) = (self.jeton.display().to_string(), self.folder.join(file));
        let file = file.display().to_string();
        let command = [jeton.as_str(), "serve", "--config", file.as_str()];
        Process::start(cores, &command, &self.folder.join("jeton.log"))
    }

    /// The issuer of a realm.
    pub(crate) fn issuer(&self, realm: &str, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}/{realm}", self.address)
    }
}

/// The identifier of one of a set.
pub(crate) fn client_id(set: Set, number: usize) -> String {
    let name = match set {
        Set::Generated => "client",
        Set::Supplied => "supplied",
        Set::Sealed => "sealed",
        Set::Keyed => "keyed",
        Set::Federated => "federated",
        Set::Certified => "certified",
        Set::SelfSigned => "self-signed",
    };
    format!("{name}-{number:06}")
}

/// Its secret: as long as those that jeton generates.
pub(crate) fn secret(set: Set, number: usize) -> String {
    let digest = digest(&SHA256, client_id(set, number).as_bytes());
    base64url::encode(digest.as_ref())
}

fn key_set(key: &SigningKey) -> String {
    format!(r#"{{"keys":[{}]}}"#, key.public_jwk("k1").unwrap_or_default())
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
