//! `jeton token introspect`: asks a server whether a token holds right now (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jeton_engine::name::ClientId;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::cli::output::{Form, Output};
use crate::cli::{fetch, secret_input};

/// Whom to ask, and as whom.
#[derive(Args, Debug)]
pub(in crate::cli) struct Introspect {
    /// The introspection endpoint: an http URL on this machine
    #[arg(long, value_name = "URL")]
    introspection_endpoint: String,
    /// The client that asks: one that serves resources, or the token's own
    #[arg(long, value_name = "ID")]
    client_id: ClientId,
    #[command(flatten)]
    secret: ClientSecret,
}

/// Where the client's secret comes from; standard input has the token.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct ClientSecret {
    /// Take the client's secret from a file; one newline at its end is not part of it
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<std::path::PathBuf>,
    /// Take the client's secret from an environment variable
    #[arg(long, value_name = "NAME")]
    client_secret_env: Option<String>,
}

impl ClientSecret {
    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        let input = secret_input::SecretInput {
            secret_stdin: false,
            secret_file: self.client_secret_file.clone(),
            secret_env: self.client_secret_env.clone(),
        };
        input.read()?.ok_or_else(|| Failure::usage("there is no client secret"))
    }
}

/// Reads a token from standard input; done when it is active, failed when not.
pub(in crate::cli) fn run(introspect: &Introspect, output: Output) -> Result<(), Failure> {
    let url = fetch::url(&introspect.introspection_endpoint)?;
    let secret = introspect.secret.read()?;
    let token = secret_input::stdin("Token")?;
    let token = secret_input::text(&token, "the token")?;

    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    // Form-encoded before they are joined (RFC 6749 section 2.3.1).
    let pair = format!("{}:{}", encoded(introspect.client_id.as_str()), encoded(&secret));
    let headers = Zeroizing::new(format!(
        "Authorization: Basic {}\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n",
        STANDARD.encode(Zeroizing::new(pair).as_bytes())
    ));
    let body = Zeroizing::new(format!("token={}", encoded(token.trim())));
    let answer = fetch::fetch("POST", &url, &headers, &body)?;
    let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let text = |name| said.as_ref().and_then(|said| said.get(name)).and_then(Value::as_str);
    if answer.status != 200 {
        let (code, why) = (text("error").unwrap_or("no error code"), text("error_description"));
        let what = format!("status {}: {code}: {}", answer.status, why.unwrap_or_default());
        return Err(Failure::failed(what).at(&url));
    }
    let said = said.filter(|said| said.get("active").is_some_and(Value::is_boolean));
    let said = said.ok_or_else(|| Failure::failed("the answer is no introspection").at(&url))?;
    let is_active = said.get("active") == Some(&Value::Bool(true));
    match output.form() {
        Form::Json => output.json(&said)?,
        _ => output.line(if is_active { "active" } else { "inactive" })?,
    }
    if is_active { Ok(()) } else { Err(Failure::Said) }
}
