//! `jeton client registration-token`: the tokens with which others register clients (RFC 7591).

use clap::Args;
use jeton_engine::clock::Time;
use jeton_engine::manage::NewRegistrationToken;
use jeton_engine::name::TokenId;
use jeton_engine::realm::Realm;
use jeton_engine::registration::InitialAccessToken;
use jeton_engine::scope::Scope;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::moment::{self, Until};
use crate::cli::open::{Opened, RealmChoice};
use crate::cli::output::{Cell, Form, Output};

/// A token to be made, or what to do with those that there are.
#[derive(Args, Debug)]
pub(in crate::cli) struct RegistrationToken {
    #[command(flatten)]
    pub(super) realm: RealmChoice,
    /// How many clients can be registered with it
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// After how long it is refused (1d, never)
    #[arg(long, value_name = "DURATION", value_parser = moment::until, default_value = "1d")]
    expires: Until,
    /// The scope that clients registered with it may have, and have when they name none; the realm's
    /// scopes, and none, when left out
    #[arg(long, default_value = "", hide_default_value = true)]
    scope: Scope,
    /// List the tokens that there are instead
    #[arg(long, conflicts_with_all = ["uses", "expires", "scope", "revoke"])]
    list: bool,
    /// Revoke this token instead; clients that were registered with it stay
    #[arg(long, value_name = "TOKEN_ID", allow_hyphen_values = true, conflicts_with_all = ["uses", "expires", "scope"])]
    revoke: Option<TokenId>,
}

/// Does it.
pub(super) async fn run(
    command: RegistrationToken,
    realm: &Realm,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    match command.revoke {
        Some(id) => revoke(&id, realm, opened, output).await,
        None if command.list => list(realm, opened, output).await,
        None => {
            let new = NewRegistrationToken {
                scope: command.scope,
                uses: command.uses,
                expires_at: command.expires.moment(opened.now()),
            };
            make(new, realm, opened, output).await
        }
    }
}

async fn make(
    new: NewRegistrationToken,
    realm: &Realm,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let (token, text) = opened.manage().create_registration_token(realm, new).await?;
    if output.form() == Form::Json {
        let mut members = described(&token);
        if let Value::Object(members) = &mut members {
            members.insert("initial_access_token".to_owned(), text.as_str().into());
        }
        return output.json(&members);
    }
    let mut facts = vec![("initial_access_token", Cell::new(text.as_str()))];
    facts.extend(facts_of(&token, opened.now()));
    output.facts(&facts)?;
    output.remark("\nThe token is shown this once; only a digest of it is kept.")
}

async fn list(realm: &Realm, opened: &Opened, output: Output) -> Result<(), Failure> {
    let tokens = opened.manage().registration_tokens(&realm.name).await?;
    if output.form() == Form::Json {
        return output.json(&tokens.iter().map(described).collect::<Vec<_>>());
    }
    if tokens.is_empty() {
        return output.remark(&format!(
            "Realm {0} has no initial access tokens. Make one: jeton client registration-token --realm {0}",
            realm.name
        ));
    }
    let now = opened.now();
    let row = |token| facts_of(token, now).into_iter().map(|(_, cell)| cell).collect();
    let rows: Vec<Vec<Cell>> = tokens.iter().map(row).collect();
    output.table(&["TOKEN ID", "USES LEFT", "SCOPE", "CREATED", "EXPIRES"], &rows)
}

async fn revoke(
    id: &TokenId,
    realm: &Realm,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    opened.manage().revoke_registration_token(&realm.name, id).await?;
    if output.form() == Form::Json {
        return output.json(&json!({ "token_id": id, "revoked": true }));
    }
    output.line(&format!("{id}\trevoked"))
}

fn described(token: &InitialAccessToken) -> Value {
    json!({
        "token_id": token.id,
        "realm": token.realm,
        "uses_left": token.uses_left,
        "scope": token.scope,
        "created_at": moment::rfc3339(token.created_at),
        "expires_at": token.expires_at.map(moment::rfc3339),
    })
}

fn facts_of(token: &InitialAccessToken, now: Time) -> Vec<(&'static str, Cell)> {
    let told = |time| format!("{} ({})", moment::to_the_second(time), moment::distance(time, now));
    let uses = match token.uses_left {
        0 => Cell::bad("0"),
        left => Cell::new(left.to_string()),
    };
    let expiry = match token.expires_at {
        Some(end) if end <= now => Cell::bad(format!("{} (expired)", moment::to_the_second(end))),
        end => Cell::maybe(end.map(told)),
    };
    let scope = Some(token.scope.to_string()).filter(|scope| !scope.is_empty());
    vec![
        ("token_id", Cell::new(token.id.as_str())),
        ("uses_left", uses),
        ("scope", Cell::maybe(scope)),
        ("created_at", Cell::new(told(token.created_at))),
        ("expires_at", expiry),
    ]
}
