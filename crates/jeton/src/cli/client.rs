//! `jeton client`: the clients of a realm. Every rule is the engine's; here are only words and flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::{Client, ClientRole, ClientStatus};
use jeton_engine::manage::{MadeSecret, ManageError, NewClient, NewSecret, Rotation};
use jeton_engine::name::{Audience, ClientId, RealmName, SecretId, Subject};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::scope::Scope;
use jeton_engine::terms::Lifetime;

use super::failure::Failure;
use super::moment::{self, Until};
use super::open::{Opened, RealmChoice};
use super::output::{Form, Output};
use super::secret_input::SecretInput;
use changes::Changes;
use proving::Proving;

mod changes;
mod keygen;
mod proving;
mod public_keys;
mod record;
mod registration_token;
mod shown;
mod transfer;

pub(super) use shown::ShownClient;

/// The most clients asked of the store at one time.
const PAGE: u32 = 500;

/// What to do with clients.
#[derive(Subcommand, Debug)]
pub(super) enum ClientCommand {
    /// Make a client; a secret that is neither given nor needless is generated and printed once
    #[command(after_help = "Examples:
  jeton client create partner-7 --realm growth --subject 210263
  printf %s \"$SECRET\" | jeton client create partner-8 --realm growth --secret-stdin
  jeton client create --realm main --scope \"read write\" --lifetime 10m --secret-expires 90d --json
  jeton client create partner-9 --realm main --jwks-file partner-9.jwks.json --sender-constrained dpop
  jeton client create partner-10 --realm main --tls-san-dns partner-10.example.com
  jeton client create ci --realm main --federated github --federated-subject repo:acme/orders:ref:refs/heads/main")]
    Create(Box<Create>),
    /// Make a key pair for a client: the private key into a file, the public one printed as a JWK set
    #[command(after_help = "Example:
  jeton client keygen --out partner-7.key > partner-7.jwks.json
  jeton client create partner-7 --realm main --jwks-file partner-7.jwks.json")]
    Keygen(keygen::Keygen),
    /// List the clients of a realm
    #[command(after_help = "Example:
  jeton client list --realm growth --json | jq -r '.[].client_id'")]
    List(RealmChoice),
    /// Show one client and its secrets (never the secrets themselves)
    #[command(after_help = "Example:
  jeton client show partner-7 --realm growth")]
    Show(Named),
    /// Change a client; what is not mentioned stays
    #[command(after_help = "Examples:
  jeton client update partner-7 --realm growth --name \"Partner Seven\" --lifetime 30m
  jeton client update partner-7 --realm growth --no-network")]
    Update(Box<Update>),
    /// Let a disabled client have tokens again
    #[command(after_help = "Example:
  jeton client enable partner-7 --realm growth")]
    Enable(Named),
    /// Give a client no more tokens; every server obeys within a second
    #[command(after_help = "Example:
  jeton client disable partner-7 --realm growth")]
    Disable(Named),
    /// Unlock a client that wrong guesses have locked
    #[command(after_help = "Example:
  jeton client unlock \"Ayşe Yılmaz\" --realm staff")]
    Unlock(Named),
    /// Delete a client, its secrets and its tokens
    #[command(after_help = "Example:
  jeton client delete partner-7 --realm growth")]
    Delete(Named),
    /// Give a client a further secret; the old ones stay, or end after --grace
    #[command(after_help = "Examples:
  jeton client rotate-secret partner-7 --realm growth
  jeton client rotate-secret partner-7 --realm growth --grace 24h --secret-name 2026-q1")]
    RotateSecret(RotateSecret),
    /// Revoke a client's secrets, all of them or one
    #[command(after_help = "Examples:
  jeton client revoke-secrets partner-7 --realm growth
  jeton client revoke-secrets partner-7 --realm growth --secret SECRET_ID")]
    RevokeSecrets(RevokeSecrets),
    /// Make a token with which others register clients; printed once (or --list, or --revoke one)
    #[command(after_help = "Examples:
  jeton client registration-token --realm main --uses 5 --expires 1d --scope \"read write\"
  jeton client registration-token --realm main --list
  jeton client registration-token --realm main --revoke TOKEN_ID")]
    RegistrationToken(registration_token::RegistrationToken),
    /// Take over clients from JSON lines: of an export, or of another system
    #[command(
        after_help = "Each line is an object: client_id, and where they are known name, subject, status, scope, audience,
lifetime, networks, authentication, and either `secrets` as exported, or `client_secret` in clear text (kept as
Argon2id). All lines are checked first; when one is bad, nothing is imported.

Examples:
  jeton client import clients.jsonl --realm growth --dry-run
  jeton client export --realm growth | jeton client import --realm staging"
    )]
    Import(Import),
    /// Print all clients of a realm as JSON lines; of secrets only digests
    #[command(after_help = "Example:
  jeton client export --realm growth --out clients.jsonl")]
    Export(Export),
}

/// One client of a realm.
#[derive(Args, Debug)]
pub(super) struct Named {
    /// The client's identifier
    #[arg(value_name = "ID")]
    id: ClientId,
    #[command(flatten)]
    realm: RealmChoice,
}

/// A client to be made.
#[derive(Args, Debug)]
pub(super) struct Create {
    /// Its identifier; generated when left out
    #[arg(value_name = "ID")]
    id: Option<ClientId>,
    #[command(flatten)]
    realm: RealmChoice,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// What its tokens are about (`sub`); its identifier when left out
    #[arg(long)]
    subject: Option<Subject>,
    /// The scope it may have, scope tokens one space apart
    #[arg(long, default_value = "", hide_default_value = true)]
    scope: Scope,
    /// Who its tokens may be for; may be given several times
    #[arg(long)]
    audience: Vec<Audience>,
    /// How long its tokens live (10m, 1h, never); as the realm or the dialect says when left out
    #[arg(long, value_name = "DURATION", value_parser = moment::lifetime)]
    lifetime: Option<Lifetime>,
    #[command(flatten)]
    secret: SecretInput,
    /// Make it without a secret
    #[arg(long, conflicts_with_all = ["secret_stdin", "secret_file", "secret_env", "secret_expires", "secret_name"])]
    no_secret: bool,
    /// When its secret expires (90d, never)
    #[arg(long, value_name = "DURATION", value_parser = moment::until)]
    secret_expires: Option<Until>,
    /// What people call its secret
    #[arg(long, value_name = "NAME")]
    secret_name: Option<String>,
    /// How it may authenticate, by registered name; may be given several times. When left out: by what
    /// it has, or any way of presenting its secret that the realm's dialects know
    #[arg(long, value_name = "METHOD")]
    authentication: Vec<AuthenticationMethod>,
    #[command(flatten)]
    proving: Proving,
    /// A network it may call from (10.0.0.0/8, 2001:db8::/32); may be given several times
    #[arg(long, value_name = "CIDR")]
    network: Vec<IpNet>,
    /// It serves resources: it may introspect every token of the realm
    #[arg(long)]
    resource_server: bool,
    /// Claims that it adds to its tokens, as a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    claims: CustomClaims,
}

/// What to change of a client.
#[derive(Args, Debug)]
pub(super) struct Update {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    changes: Changes,
}

/// A further secret.
#[derive(Args, Debug)]
pub(super) struct RotateSecret {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    secret: SecretInput,
    /// When the new secret expires (90d, never)
    #[arg(long, value_name = "DURATION", value_parser = moment::until)]
    secret_expires: Option<Until>,
    /// What people call the new secret
    #[arg(long, value_name = "NAME")]
    secret_name: Option<String>,
    /// The other secrets expire after so long (24h; 0s: at once); they stay as they are when left out
    #[arg(long, value_name = "DURATION", value_parser = moment::duration)]
    grace: Option<Duration>,
}

/// Secrets to revoke.
#[derive(Args, Debug)]
pub(super) struct RevokeSecrets {
    #[command(flatten)]
    named: Named,
    /// Only this secret, by its identifier (see `jeton client show`)
    #[arg(long, value_name = "SECRET_ID", allow_hyphen_values = true)]
    secret: Option<SecretId>,
}

/// Where clients come from.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// The file; standard input when left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    realm: RealmChoice,
    /// Check everything, import nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where clients go.
#[derive(Args, Debug)]
pub(super) struct Export {
    #[command(flatten)]
    realm: RealmChoice,
    /// Write to this new file, readable by its owner only, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Does what needs no store; `None` for the rest.
pub(super) fn without_store(
    command: &ClientCommand,
    output: Output,
) -> Option<Result<(), Failure>> {
    match command {
        ClientCommand::Keygen(keygen) => Some(keygen::run(keygen, output)),
        _ => None,
    }
}

/// Does it; what needs no store is done before one is opened, by [`without_store`].
pub(super) async fn run(
    command: ClientCommand,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    match command {
        ClientCommand::Create(create) => run_create(*create, opened, output).await,
        ClientCommand::Keygen(keygen) => keygen::run(&keygen, output),
        ClientCommand::List(realm) => list(&realm, opened, output).await,
        ClientCommand::Show(named) => show(&named, opened, output).await,
        ClientCommand::Update(update) => run_update(*update, opened, output).await,
        ClientCommand::Enable(named) => {
            set_status(&named, ClientStatus::Enabled, opened, output).await
        }
        ClientCommand::Disable(named) => {
            set_status(&named, ClientStatus::Disabled, opened, output).await
        }
        ClientCommand::Unlock(named) => unlock(&named, opened, output).await,
        ClientCommand::Delete(named) => delete(&named, opened, output).await,
        ClientCommand::RotateSecret(rotate) => rotate_secret(rotate, opened, output).await,
        ClientCommand::RevokeSecrets(revoke) => revoke_secrets(&revoke, opened, output).await,
        ClientCommand::RegistrationToken(command) => {
            let realm = opened.realm(&command.realm)?;
            registration_token::run(command, realm, opened, output).await
        }
        ClientCommand::Import(import) => {
            let realm = opened.realm(&import.realm)?;
            transfer::import(import.file.as_deref(), import.dry_run, realm, opened, output).await
        }
        ClientCommand::Export(export) => {
            let realm = opened.realm(&export.realm)?;
            transfer::export(export.out.as_deref(), realm, opened, output).await
        }
    }
}

async fn run_create(create: Create, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&create.realm)?;
    let now = opened.now();
    let secret = match create.secret.read()? {
        Some(supplied) => NewSecret::Supplied(supplied),
        None if create.no_secret => NewSecret::None,
        None => NewSecret::AsNeeded,
    };
    let new = NewClient {
        id: create.id,
        name: create.name,
        subject: create.subject,
        scope: create.scope,
        audiences: create.audience,
        lifetime: create.lifetime,
        networks: create.network,
        authentication: create.authentication,
        role: role(create.resource_server),
        claims: create.claims,
        proof: create.proving.read()?,
        secret,
        secret_name: create.secret_name,
        secret_expires_at: create.secret_expires.and_then(|until| until.moment(now)),
    };
    let made = opened.manage().create_client(realm, new).await;
    let (client, secret) = made.map_err(|error| match error {
        ManageError::Exists(_) => Failure::from(error)
            .next(format!("another ID, or jeton client update … --realm {}", realm.name)),
        other => other.into(),
    })?;
    tell_idle_keys(&client);
    print_made(&client, secret.as_ref(), opened, output)
}

/// A client, and the secret that was just made: the one time it is shown.
fn print_made(
    client: &Client,
    secret: Option<&MadeSecret>,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let shown = ShownClient::new(client, opened.now());
    if output.form() == Form::Json {
        return output.json(&shown.with_secret(secret));
    }
    output.facts(&shown.credentials(secret))?;
    if secret.is_some_and(|secret| secret.generated.is_some()) {
        output.remark("\nThe secret is shown this once; only a digest of it is kept.")?;
    }
    Ok(())
}

async fn list(realm: &RealmChoice, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(realm)?;
    let clients = all(&realm.name, opened).await?;
    let now = opened.now();
    let shown: Vec<_> = clients.iter().map(|client| ShownClient::new(client, now)).collect();
    if output.form() == Form::Json {
        return output.json(&shown);
    }
    if shown.is_empty() {
        return output.remark(&format!(
            "Realm {0} has no clients. Make one: jeton client create --realm {0}",
            realm.name
        ));
    }
    let rows: Vec<_> = shown.iter().map(ShownClient::row).collect();
    output.table(&ShownClient::HEADINGS, &rows)
}

/// Every client of a realm.
pub(super) async fn all(realm: &RealmName, opened: &Opened) -> Result<Vec<Client>, Failure> {
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let after = clients.last().map(|client| client.id.clone());
        let page = opened.manage().clients(realm, after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(clients);
        }
        clients.extend(page);
    }
}

async fn show(named: &Named, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&named.realm)?;
    let client = opened.manage().client(&realm.name, &named.id).await;
    let client = client.map_err(|error| unknown(error, &realm.name))?;
    let shown = ShownClient::new(&client, opened.now());
    if output.form() == Form::Json {
        return output.json(&shown);
    }
    output.facts(&shown.facts())?;
    if client.secrets.is_empty() {
        return output.remark("\nIt has no secret.");
    }
    output.remark("")?;
    output.table(&shown::SECRET_HEADINGS, &shown.secret_rows(opened.now()))
}

async fn run_update(update: Update, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&update.named.realm)?;
    let changed =
        opened.manage().change_client(realm, &update.named.id, update.changes.read()?).await;
    let client = changed.map_err(|error| unknown(error, &realm.name))?;
    tell_idle_keys(&client);
    done(&client, "changed", opened, output)
}

/// Keys are good for nothing until the client may use them; one step of moving it may leave it so.
fn tell_idle_keys(client: &Client) {
    let has_keys = client.proof.as_ref().is_some_and(|proof| proof.keys.is_some());
    let uses = [AuthenticationMethod::PrivateKeyJwt, AuthenticationMethod::SelfSignedTlsClientAuth];
    if has_keys && !uses.iter().any(|method| client.may_authenticate_by(*method)) {
        super::warn(&format!(
            "client {} may not use its keys yet: --authentication private_key_jwt lets it",
            client.id
        ));
    }
}

fn role(resource_server: bool) -> ClientRole {
    if resource_server { ClientRole::ResourceServer } else { ClientRole::Client }
}

async fn set_status(
    named: &Named,
    status: ClientStatus,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let realm = opened.realm(&named.realm)?;
    let changed = opened.manage().set_status(&realm.name, &named.id, status).await;
    let client = changed.map_err(|error| unknown(error, &realm.name))?;
    let word = match status {
        ClientStatus::Enabled => "enabled",
        ClientStatus::Disabled => "disabled",
    };
    done(&client, word, opened, output)
}

async fn unlock(named: &Named, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&named.realm)?;
    let changed = opened.manage().unlock_client(&realm.name, &named.id).await;
    let client = changed.map_err(|error| unknown(error, &realm.name))?;
    done(&client, "unlocked", opened, output)
}

async fn delete(named: &Named, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&named.realm)?;
    let deleted = opened.manage().delete_client(&realm.name, &named.id).await;
    deleted.map_err(|error| unknown(error, &realm.name))?;
    if output.form() == Form::Json {
        return output.json(&serde_json::json!({
            "realm": realm.name, "client_id": named.id, "deleted": true
        }));
    }
    output.line(&format!("{}\tdeleted", named.id))
}

async fn rotate_secret(
    rotate: RotateSecret,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let realm = opened.realm(&rotate.named.realm)?;
    let new = rotate.secret.read()?.map_or(NewSecret::Generated, NewSecret::Supplied);
    let rotation = Rotation {
        secret: new,
        name: rotate.secret_name,
        expires_at: rotate.secret_expires.and_then(|until| until.moment(opened.now())),
        grace: rotate.grace,
    };
    let made = opened.manage().rotate_secret(&realm.name, &rotate.named.id, rotation).await;
    let (client, secret) = made.map_err(|error| unknown(error, &realm.name))?;
    print_made(&client, Some(&secret), opened, output)
}

async fn revoke_secrets(
    revoke: &RevokeSecrets,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let realm = opened.realm(&revoke.named.realm)?;
    let id = &revoke.named.id;
    let revoked = opened.manage().revoke_secrets(&realm.name, id, revoke.secret.as_ref()).await;
    let revoked = revoked.map_err(|error| unknown(error, &realm.name))?;
    if output.form() == Form::Json {
        return output.json(&serde_json::json!({
            "realm": realm.name, "client_id": id, "secrets_revoked": revoked
        }));
    }
    let plural = if revoked == 1 { "" } else { "s" };
    output.line(&format!("{id}\t{revoked} secret{plural} revoked"))
}

/// One line on what became of a client.
fn done(client: &Client, word: &str, opened: &Opened, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&ShownClient::new(client, opened.now()));
    }
    output.line(&format!("{}\t{word}", client.id))
}

/// Adds to "does not exist" how to see what does.
pub(super) fn unknown(error: ManageError, realm: &RealmName) -> Failure {
    match error {
        ManageError::Missing(_) => {
            Failure::from(error).next(format!("jeton client list --realm {realm}"))
        }
        other => other.into(),
    }
}
