//! `jeton token get`: gets a token as a client does, in any dialect, from any server.

use std::path::Path;

use clap::Args;
use jeton_dialect::Wanted;
use jeton_engine::name::{ClientId, DialectName};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::scope::Scope;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::cli::fetch::Trust;
use crate::cli::output::{Form, Output};
use crate::cli::secret_input::ClientSecret;
use crate::cli::{dialect, fetch, secret_input};

/// Whom to ask, in which words, and as whom.
#[derive(Args, Debug)]
pub(in crate::cli) struct Get {
    /// The token endpoint: an https URL, or http on this machine
    #[arg(long, value_name = "URL")]
    token_endpoint: String,
    /// The dialect that is spoken there
    #[arg(long, value_name = "NAME", default_value = "rfc6749")]
    dialect: DialectName,
    /// How to authenticate, by registered name; the dialect's first way when left out
    #[arg(long, value_name = "METHOD")]
    authentication: Option<AuthenticationMethod>,
    /// The client's identifier
    #[arg(long, value_name = "ID")]
    client_id: ClientId,
    #[command(flatten)]
    secret: ClientSecret,
    #[command(flatten)]
    trust: Trust,
    /// The scope to ask for; whatever the client may have when left out
    #[arg(long)]
    scope: Option<Scope>,
}

/// Prints the token alone, or with `--json` the whole answer.
pub(in crate::cli) fn run(
    get: &Get,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let mut url = fetch::url(&get.token_endpoint)?;
    let dialect = dialect::named(&get.dialect, explicit)?;
    let secret = get.secret.read()?;
    if secret.is_none() && !get.trust.has_certificate() {
        return Err(Failure::usage("there is neither a client secret nor a certificate")
            .next("--client-secret-stdin")
            .next("--tls-certificate FILE --tls-key FILE"));
    }
    if let Some(method) = get.authentication.filter(|method| is_by_certificate(*method))
        && !get.trust.has_certificate()
    {
        return Err(Failure::usage(format!("{method} needs a certificate"))
            .next("--tls-certificate FILE --tls-key FILE"));
    }
    let scope = get.scope.as_ref().map(ToString::to_string);
    let wanted = Wanted {
        client_id: get.client_id.as_str(),
        secret: secret.as_deref().map(String::as_str),
        method: get.authentication,
        scope: scope.as_deref(),
    };
    let request = dialect.compose(&wanted).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(query) = request.query() {
        url.set_query(Some(query));
    }
    let headers: String = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let headers = Zeroizing::new(headers);
    let body = secret_input::text(&request.body, "the request")?;
    let method = request.method.as_str();
    let request = fetch::Request { method, url: &url, headers: &headers, body: &body };
    let answer = fetch::fetch(&request, &get.trust)?;
    // The URL may carry the secret now.
    url.set_query(None);
    let Some(token) = dialect.token_in(&answer.body).filter(|_| answer.status < 300) else {
        return Err(refused(answer.status, &answer.body).at(&url));
    };
    match output.form() {
        Form::Json => {
            let whole = serde_json::from_slice::<Value>(&answer.body);
            // An answer that is no JSON has nothing more to show than this.
            output.json(&whole.unwrap_or_else(|_| json!({ "access_token": token })))
        }
        _ => output.line(&token),
    }
}

/// Whether the client is known by what it shows in the TLS handshake (RFC 8705 section 2).
const fn is_by_certificate(method: AuthenticationMethod) -> bool {
    use AuthenticationMethod as M;
    matches!(method, M::TlsClientAuth | M::SelfSignedTlsClientAuth)
}

/// What the server said, in its own words.
fn refused(status: u16, body: &[u8]) -> Failure {
    let said: String = String::from_utf8_lossy(body).chars().take(1000).collect();
    let said = if said.is_empty() { "without a word".to_owned() } else { said };
    Failure::failed(format!("no token: status {status}: {said}"))
}
