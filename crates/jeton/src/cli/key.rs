//! `jeton key`: the keys that a realm's tokens are signed with.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use jeton_engine::jose::{Algorithm, VerifyingKey};
use jeton_engine::key::{KeyRecord, KeyStatus};
use jeton_engine::manage::{KeyMaterial, ManageError, RetiredKey};
use jeton_engine::name::{KeyId, RealmName};
use serde::Serialize;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::moment;
use super::new_file;
use super::open::{Opened, RealmChoice};
use super::output::{Cell, Form, Output};
use super::secret_input::{self, SecretInput};

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub(super) enum KeyCommand {
    /// List the keys of a realm
    #[command(after_help = "Example:
  jeton key list --realm growth")]
    List(RealmChoice),
    /// Make a key that signs from now on
    #[command(after_help = "Example:
  jeton key create --realm growth --algorithm HS256")]
    Create(Create),
    /// Bring a key along that signs from now on
    #[command(after_help = "Examples:
  printf %s \"$HMAC_SECRET\" | jeton key import --realm growth --algorithm HS256 --secret-stdin
  jeton key import --realm main --algorithm ES256 --pem-file key.pem
  jeton key import --realm main --jwk-file key.jwk.json")]
    Import(Import),
    /// Publish the successor of the active key now; it signs once every cached JWK set has it
    #[command(after_help = "Example:
  jeton key rotate --realm main

A running server lets it sign after `keys.publish_ahead`; until then the active key signs on.")]
    Rotate(Rotate),
    /// Stop signing with a key at once; a key that is retired already is removed, with its tokens
    #[command(after_help = "Example:
  jeton key retire KEY_ID --realm main")]
    Retire(Retire),
    /// Print a key: its public half as a JWK, or with --private the whole of it
    #[command(after_help = "Examples:
  jeton key export KEY_ID --realm main
  jeton key export KEY_ID --realm main --pem
  jeton key export KEY_ID --realm growth --private --out hmac-secret.txt

--private prints PKCS #8 in PEM, of a symmetric key the secret in base64url.")]
    Export(Export),
}

/// A key to be made.
#[derive(Args, Debug)]
pub(super) struct Create {
    #[command(flatten)]
    realm: RealmChoice,
    /// What it signs with
    #[arg(long)]
    algorithm: Algorithm,
    /// Its identifier (`kid`); generated when left out
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    id: Option<KeyId>,
}

/// A key brought along.
#[derive(Args, Debug)]
pub(super) struct Import {
    #[command(flatten)]
    realm: RealmChoice,
    /// What it signs with; may be left out when a JWK says it itself (`alg`)
    #[arg(long, required_unless_present = "jwk_file")]
    algorithm: Option<Algorithm>,
    /// Its identifier (`kid`); generated when left out
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    id: Option<KeyId>,
    #[command(flatten)]
    source: Source,
    /// The secret is given in base64url, as `key export` prints it
    #[arg(long, conflicts_with_all = ["pem_file", "jwk_file"])]
    base64url: bool,
}

/// Where the key comes from: one of these.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, id = "source")]
struct Source {
    /// Take the HMAC secret from standard input; one newline at its end is not part of it
    #[arg(long)]
    secret_stdin: bool,
    /// Take the HMAC secret from a file; one newline at its end is not part of it
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Take the HMAC secret from an environment variable
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// A private key in PEM (PKCS #8, SEC 1 or PKCS #1)
    #[arg(long, value_name = "FILE")]
    pem_file: Option<PathBuf>,
    /// A private or symmetric JWK
    #[arg(long, value_name = "FILE")]
    jwk_file: Option<PathBuf>,
}

/// A key to be followed by another.
#[derive(Args, Debug)]
pub(super) struct Rotate {
    #[command(flatten)]
    realm: RealmChoice,
    /// Of which algorithm; when left out: that of the realm's only key
    #[arg(long)]
    algorithm: Option<Algorithm>,
}

/// A key to be retired.
#[derive(Args, Debug)]
pub(super) struct Retire {
    /// The key's identifier (`kid`)
    #[arg(value_name = "KEY_ID")]
    id: KeyId,
    #[command(flatten)]
    realm: RealmChoice,
}

/// A key to be printed.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The key's identifier (`kid`)
    #[arg(value_name = "KEY_ID")]
    id: KeyId,
    #[command(flatten)]
    realm: RealmChoice,
    /// The public half, as a JWK; this is what happens without a flag, too
    #[arg(long, conflicts_with = "private")]
    public: bool,
    /// The public half in PEM instead of as a JWK; --private is PEM anyway
    #[arg(long)]
    pem: bool,
    /// The whole key: whoever has it can sign tokens in this realm's name
    #[arg(long)]
    private: bool,
    /// Write to this new file, readable by its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A key in words.
#[derive(Serialize)]
struct ShownKey {
    realm: String,
    key_id: String,
    algorithm: &'static str,
    status: &'static str,
    created_at: String,
    activated_at: Option<String>,
    retired_at: Option<String>,
    public_jwk: Option<serde_json::Value>,
}

impl ShownKey {
    fn new(key: &KeyRecord) -> Self {
        Self {
            realm: key.realm.to_string(),
            key_id: key.id.to_string(),
            algorithm: key.algorithm.name(),
            status: key.status.name(),
            created_at: moment::rfc3339(key.created_at),
            activated_at: key.activated_at.map(moment::rfc3339),
            retired_at: key.retired_at.map(moment::rfc3339),
            public_jwk: key.public_jwk.as_deref().and_then(|jwk| serde_json::from_str(jwk).ok()),
        }
    }
}

/// Does it.
pub(super) async fn run(
    command: KeyCommand,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    match command {
        KeyCommand::List(realm) => list(&realm, opened, output).await,
        KeyCommand::Create(create) => {
            let realm = opened.realm(&create.realm)?;
            let made = opened.manage().create_key(&realm.name, create.algorithm, create.id).await;
            print_made(&made?, output)
        }
        KeyCommand::Rotate(rotate) => {
            let realm = opened.realm(&rotate.realm)?;
            let algorithm = match rotate.algorithm {
                Some(algorithm) => algorithm,
                None => opened.manage().algorithm_to_rotate(&realm.name).await?,
            };
            let upcoming = opened.manage().rotate_key(&realm.name, algorithm).await;
            print_made(&upcoming?, output)
        }
        KeyCommand::Retire(retire) => run_retire(&retire, opened, output).await,
        KeyCommand::Import(import) => run_import(import, opened, output).await,
        KeyCommand::Export(export) => run_export(&export, opened, output).await,
    }
}

async fn list(realm: &RealmChoice, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(realm)?;
    let keys = opened.manage().keys(&realm.name).await?;
    if output.form() == Form::Json {
        return output.json(&keys.iter().map(ShownKey::new).collect::<Vec<_>>());
    }
    if keys.is_empty() {
        return output.remark(&format!(
            "Realm {0} has no keys. One is made when it first signs; or: jeton key create --realm {0} --algorithm HS256",
            realm.name
        ));
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    output.table(&["KEY ID", "ALGORITHM", "STATUS", "CREATED"], &rows)
}

fn row(key: &KeyRecord) -> Vec<Cell> {
    let status = match key.status {
        KeyStatus::Active => Cell::good("active"),
        KeyStatus::Upcoming | KeyStatus::Retired => Cell::new(key.status.name()),
    };
    let created = Cell::new(moment::to_the_second(key.created_at));
    vec![Cell::new(key.id.as_str()), Cell::new(key.algorithm.name()), status, created]
}

fn print_made(key: &KeyRecord, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&ShownKey::new(key));
    }
    output.facts(&[
        ("key_id", Cell::new(key.id.as_str())),
        ("algorithm", Cell::new(key.algorithm.name())),
        ("status", Cell::new(key.status.name())),
    ])
}

async fn run_retire(retire: &Retire, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&retire.realm)?;
    let retired = opened.manage().retire_key(&realm.name, &retire.id).await.map_err(|error| {
        Failure::from(error).next(format!("jeton key list --realm {}", realm.name))
    })?;
    let (status, remark) = match retired {
        RetiredKey::StillVerifies => ("retired", "It signs no more; its tokens hold on."),
        RetiredKey::Removed => ("removed", "It is gone; its tokens no longer hold."),
    };
    if output.form() == Form::Json {
        return output.json(&serde_json::json!({
            "realm": realm.name, "key_id": retire.id, "status": status
        }));
    }
    output.line(&format!("{}\t{status}", retire.id))?;
    output.remark(remark)
}

async fn run_import(import: Import, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&import.realm)?;
    let material = import.material()?;
    let algorithm = match (import.algorithm, &material) {
        (Some(algorithm), _) => algorithm,
        (None, KeyMaterial::Jwk(jwk)) => algorithm_of(jwk)?,
        (None, KeyMaterial::Secret(_) | KeyMaterial::Pem(_)) => {
            return Err(Failure::usage("--algorithm is missing").next("--algorithm HS256"));
        }
    };
    let key = opened.manage().import_key(&realm.name, algorithm, import.id, material).await?;
    print_made(&key, output)
}

impl Import {
    fn material(&self) -> Result<KeyMaterial, Failure> {
        if let Some(path) = &self.source.pem_file {
            let text = secret_input::text(&secret_input::file(path)?, "the PEM file")?;
            return Ok(KeyMaterial::Pem(text));
        }
        if let Some(path) = &self.source.jwk_file {
            let text = secret_input::text(&secret_input::file(path)?, "the JWK file")?;
            return Ok(KeyMaterial::Jwk(text));
        }
        let source = SecretInput {
            secret_stdin: self.source.secret_stdin,
            secret_file: self.source.secret_file.clone(),
            secret_env: self.source.secret_env.clone(),
        };
        let missing =
            || Failure::usage("no key was given").next("--secret-stdin, --pem-file or --jwk-file");
        let bytes = source.read_bytes()?.ok_or_else(missing)?;
        if !self.base64url {
            return Ok(KeyMaterial::Secret(bytes));
        }
        let decoded = URL_SAFE_NO_PAD.decode(&*bytes).map_err(|_| {
            Failure::usage("the secret is not base64url")
                .next("without --base64url it is taken as it is")
        })?;
        Ok(KeyMaterial::Secret(Zeroizing::new(decoded)))
    }
}

/// The algorithm that a JWK says it is for (RFC 7517 section 4.4).
fn algorithm_of(jwk: &str) -> Result<Algorithm, Failure> {
    let parsed: serde_json::Value = serde_json::from_str(jwk).map_err(|_| {
        Failure::usage("the file is not one JSON object").next("a private JWK, RFC 7517")
    })?;
    let named = parsed.get("alg").and_then(serde_json::Value::as_str);
    named.and_then(|name| name.parse().ok()).ok_or_else(|| {
        Failure::usage("the JWK does not say its algorithm, or one that is not known")
            .next("--algorithm")
    })
}

async fn run_export(export: &Export, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&export.realm)?;
    let keys = opened.manage().keys(&realm.name).await?;
    let key = keys.iter().find(|key| key.id == export.id).ok_or_else(|| {
        let error = ManageError::Missing(format!("key {} of realm {}", export.id, realm.name));
        Failure::from(error).next(format!("jeton key list --realm {}", realm.name))
    })?;
    let text = if export.private {
        private_text(&realm.name, key, opened).await?
    } else {
        let public = key.public_jwk.clone().ok_or_else(|| {
            Failure::failed(format!("key {} is symmetric: it has no public half", key.id))
                .next("--private, if whoever gets it may sign tokens in this realm's name")
        })?;
        Zeroizing::new(if export.pem { public_pem(&public)? } else { public })
    };
    if let Some(path) = &export.out {
        new_file::write_private(path, format!("{}\n", text.trim_end()).as_bytes())?;
        return output.remark(&format!("written to {}", path.display()));
    }
    if output.form() == Form::Json {
        let name = if export.private { "private_key" } else { "public_jwk" };
        let name = if export.pem && !export.private { "public_pem" } else { name };
        let value = if export.private || export.pem {
            serde_json::Value::from(text.as_str())
        } else {
            serde_json::from_str(&text).unwrap_or_default()
        };
        return output.json(&serde_json::json!({
            "realm": realm.name, "key_id": key.id, "algorithm": key.algorithm.name(), name: value
        }));
    }
    output.line(text.trim_end())
}

fn public_pem(jwk: &str) -> Result<String, Failure> {
    let key = VerifyingKey::from_jwk(jwk).and_then(|key| key.to_public_pem());
    key.map_err(|error| Failure::failed(error.to_string()))
}

async fn private_text(
    realm: &RealmName,
    key: &KeyRecord,
    opened: &Opened,
) -> Result<Zeroizing<String>, Failure> {
    let bytes = opened.manage().export_key(realm, &key.id).await?;
    if key.public_jwk.is_none() {
        return Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes)));
    }
    secret_input::text(&bytes, "the key")
}
