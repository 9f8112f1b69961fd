//! `jeton token`: tokens made by hand, listed, revoked, and looked at.

use std::path::Path;

use clap::{Args, Subcommand};
use jeton_engine::clock::Time;
use jeton_engine::manage::{ManageError, NewToken};
use jeton_engine::name::{ClientId, DialectName, TokenId};
use jeton_engine::scope::Scope;
use jeton_engine::store::TokenFilter;
use jeton_engine::terms::Lifetime;
use jeton_engine::token::{TokenOrigin, TokenRecord};
use serde::Serialize;

use super::client::unknown;
use super::failure::Failure;
use super::moment;
use super::open::{Opened, RealmChoice};
use super::output::{Cell, Form, Output};

pub(super) mod get;
pub(super) mod inspect;
pub(super) mod introspect;
pub(super) mod verify;

/// What to do with tokens.
#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Make a token by hand, with a name and an expiry or none; it is printed once
    #[command(after_help = "Examples:
  jeton token issue --realm staff --client ayse --name \"build server\" --expires 90d
  jeton token issue --realm staff --client ayse --name dashboards --expires never --json")]
    Issue(Issue),
    /// List tokens that are kept: made by hand, or of a format that is stored
    #[command(after_help = "Examples:
  jeton token list --realm staff --by-hand
  jeton token list --realm main --client partner-7 --json")]
    List(List),
    /// Look at a token on standard input, offline: what it says, not whether it is true
    #[command(after_help = "Example:
  printf %s \"$TOKEN\" | jeton token inspect")]
    Inspect,
    /// Get a token as a client does, in any dialect; it is printed alone, with --json the whole answer
    #[command(after_help = "Examples:
  printf %s \"$SECRET\" | jeton token get --token-endpoint http://127.0.0.1:8080/main/oauth2/token \\
      --client-id partner-7 --client-secret-stdin --scope read
  jeton token get --token-endpoint http://127.0.0.1:8080/auth/v1/token --dialect dt-growth \\
      --client-id partner-7 --client-secret-file partner-7.secret
  jeton token get --issuer https://auth.example.com/main --client-id partner-9 --key-file partner-9.key --dpop
  jeton token get --issuer https://auth.example.com/main --client-id ci --assertion-file token.jwt
  jeton token get --issuer https://auth.example.com/main --client-id partner-10 \\
      --tls-certificate partner-10.pem --tls-key partner-10.key

An answer of `use_dpop_nonce` is obeyed once. With --json the thumbprint of the DPoP key stands beside the answer
(`dpop_jkt`).")]
    Get(Box<get::Get>),
    /// Hold a signed token on standard input against a JWK set: exit code 0 when it is valid, 1 when not
    #[command(after_help = "Example:
  printf %s \"$TOKEN\" | jeton token verify --jwks http://127.0.0.1:8080/main/.well-known/jwks.json --audience orders")]
    Verify(verify::Verify),
    /// Ask a server whether a token on standard input holds right now: exit code 0 when it does, 1 when not
    #[command(after_help = "Example:
  printf %s \"$TOKEN\" | jeton token introspect --introspection-endpoint http://127.0.0.1:8080/main/oauth2/introspect \\
      --client-id orders --client-secret-file orders.secret --json")]
    Introspect(Box<introspect::Introspect>),
    /// Revoke a token by its identifier; every server obeys within a second
    #[command(after_help = "Example:
  jeton token revoke TOKEN_ID --realm staff")]
    Revoke(Revoke),
}

/// A token to be made by hand.
#[derive(Args, Debug)]
pub(super) struct Issue {
    #[command(flatten)]
    realm: RealmChoice,
    /// The client that will have it
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client: ClientId,
    /// What people call it
    #[arg(long)]
    name: String,
    /// When it expires (90d, never); as a token of the endpoint when left out
    #[arg(long, value_name = "DURATION", value_parser = moment::lifetime)]
    expires: Option<Lifetime>,
    /// What it may be used for; all that the client may have when left out
    #[arg(long)]
    scope: Option<Scope>,
    /// The dialect whose token it shall be; the realm's first when left out
    #[arg(long, value_name = "NAME")]
    dialect: Option<DialectName>,
}

/// Which tokens to list.
#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    realm: RealmChoice,
    /// Only this client's
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client: Option<ClientId>,
    /// Only those made by hand
    #[arg(long)]
    by_hand: bool,
    /// The most tokens to list, the newest first
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// A token to be revoked.
#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The token's identifier, as `jeton token list` shows it; never the token itself
    #[arg(value_name = "TOKEN_ID")]
    id: TokenId,
    #[command(flatten)]
    realm: RealmChoice,
}

/// A token in words; never the token itself, but for the one time when it is made.
#[derive(Serialize)]
struct ShownToken {
    realm: String,
    token_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    client_id: String,
    name: Option<String>,
    origin: &'static str,
    status: &'static str,
    format: &'static str,
    subject: String,
    scope: String,
    audience: Vec<String>,
    issued_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl ShownToken {
    fn new(token: &TokenRecord, now: Time) -> Self {
        let (origin, name) = match &token.origin {
            TokenOrigin::Endpoint => ("endpoint", None),
            TokenOrigin::ByHand(name) => ("by_hand", Some(name.to_string())),
        };
        Self {
            realm: token.realm.to_string(),
            token_id: token.id.to_string(),
            access_token: None,
            client_id: token.client_id.to_string(),
            name,
            origin,
            status: status(token, now),
            format: token.format.name(),
            subject: token.subject.to_string(),
            scope: token.scope.to_string(),
            audience: token.audiences.iter().map(ToString::to_string).collect(),
            issued_at: moment::rfc3339(token.issued_at),
            expires_at: token.expires_at.map(moment::rfc3339),
            revoked_at: token.revoked_at.map(moment::rfc3339),
        }
    }
}

fn status(token: &TokenRecord, now: Time) -> &'static str {
    if token.revoked_at.is_some() {
        "revoked"
    } else if token.expires_at.is_some_and(|end| end <= now) {
        "expired"
    } else {
        "active"
    }
}

/// Does it; those that need no store are done before one is opened, by [`without_store`].
pub(super) async fn run(
    command: TokenCommand,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    match command {
        TokenCommand::Issue(issue) => run_issue(issue, opened, output).await,
        TokenCommand::List(list) => run_list(&list, opened, output).await,
        TokenCommand::Revoke(revoke) => run_revoke(&revoke, opened, output).await,
        TokenCommand::Inspect
        | TokenCommand::Get(_)
        | TokenCommand::Verify(_)
        | TokenCommand::Introspect(_) => without_store(&command, None, output).unwrap_or(Ok(())),
    }
}

/// Does what needs no store; `None` for the rest.
pub(super) fn without_store(
    command: &TokenCommand,
    config: Option<&Path>,
    output: Output,
) -> Option<Result<(), Failure>> {
    match command {
        TokenCommand::Inspect => Some(inspect::run(output)),
        TokenCommand::Get(get) => Some(get::run(get, config, output)),
        TokenCommand::Verify(verify) => Some(verify::run(verify, output)),
        TokenCommand::Introspect(introspect) => Some(introspect::run(introspect, output)),
        TokenCommand::Issue(_) | TokenCommand::List(_) | TokenCommand::Revoke(_) => None,
    }
}

async fn run_issue(issue: Issue, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&issue.realm)?;
    let terms = opened.terms(&issue.realm, issue.dialect.as_ref())?;
    let new = NewToken {
        client_id: issue.client,
        name: issue.name,
        lifetime: issue.expires,
        scope: issue.scope,
    };
    let made = opened.manage().make_token(realm, &terms, new).await;
    let (token, record) = made.map_err(|error| unknown(error, &realm.name))?;
    if output.form() == Form::Json {
        let mut shown = ShownToken::new(&record, opened.now());
        shown.access_token = Some(token.reveal().to_owned());
        return output.json(&shown);
    }
    output.line(token.reveal())?;
    output.remark(&format!(
        "\nThe token is shown this once. To revoke it: jeton token revoke {} --realm {}",
        record.id, realm.name
    ))
}

async fn run_list(list: &List, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&list.realm)?;
    let filter = TokenFilter { client_id: list.client.clone(), by_hand_only: list.by_hand };
    let mut tokens: Vec<TokenRecord> = Vec::new();
    let wanted = list.limit as usize;
    while tokens.len() <= wanted {
        let before = tokens.last().map(|token| token.id.clone());
        let page = opened.manage().tokens(&realm.name, &filter, before.as_ref(), 500).await?;
        if page.is_empty() {
            break;
        }
        tokens.extend(page);
    }
    let more = tokens.len() > wanted;
    tokens.truncate(wanted);
    let now = opened.now();
    if output.form() == Form::Json {
        output.json(&tokens.iter().map(|token| ShownToken::new(token, now)).collect::<Vec<_>>())?;
    } else if tokens.is_empty() {
        output.remark(&format!("Realm {} keeps no such token.", realm.name))?;
    } else {
        let rows: Vec<_> = tokens.iter().map(|token| row(token, now)).collect();
        output.table(&["TOKEN ID", "CLIENT ID", "NAME", "STATUS", "ISSUED", "EXPIRES"], &rows)?;
    }
    if more {
        super::warn(&format!("only the newest {wanted} are listed; --limit lists more"));
    }
    Ok(())
}

fn row(token: &TokenRecord, now: Time) -> Vec<Cell> {
    let shown = ShownToken::new(token, now);
    let status = match shown.status {
        "active" => Cell::good("active"),
        other => Cell::bad(other),
    };
    let expires = token.expires_at.map_or_else(|| "never".to_owned(), moment::to_the_second);
    vec![
        Cell::new(shown.token_id),
        Cell::new(shown.client_id),
        Cell::maybe(shown.name),
        status,
        Cell::new(moment::to_the_second(token.issued_at)),
        Cell::new(expires),
    ]
}

async fn run_revoke(revoke: &Revoke, opened: &Opened, output: Output) -> Result<(), Failure> {
    let realm = opened.realm(&revoke.realm)?;
    opened.manage().revoke_token(&realm.name, &revoke.id).await.map_err(|error| match error {
        ManageError::Missing(_) => {
            Failure::from(error).next(format!("jeton token list --realm {}", realm.name))
        }
        other => other.into(),
    })?;
    if output.form() == Form::Json {
        return output.json(&serde_json::json!({
            "realm": realm.name, "token_id": revoke.id, "status": "revoked"
        }));
    }
    output.line(&format!("{}\trevoked", revoke.id))
}
