//! `jeton token introspect`: asks a server whether a token holds right now (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jeton_engine::name::ClientId;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::cli::fetch::Trust;
use crate::cli::output::{Form, Output};
use crate::cli::{fetch, secret_input};

/// Whom to ask, and as whom.
#[derive(Args, Debug)]
pub(in crate::cli) struct Introspect {
    /// The introspection endpoint: an https URL, or http on this machine
    #[arg(long, value_name = "URL")]
    introspection_endpoint: String,
    /// The client that asks: one that serves resources, or the token's own
    #[arg(long, value_name = "ID")]
    client_id: ClientId,
    #[command(flatten)]
    secret: ClientSecret,
    #[command(flatten)]
    trust: Trust,
}

/// Where the client's secret comes from; standard input has the token.
#[derive(Args, Debug)]
#[group(multiple = false)]
struct ClientSecret {
    /// Take the client's secret from a file; one newline at its end is not part of it
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<std::path::PathBuf>,
    /// Take the client's secret from an environment variable
    #[arg(long, value_name = "NAME")]
    client_secret_env: Option<String>,
}

impl ClientSecret {
    fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let input = secret_input::SecretInput {
            secret_stdin: false,
            secret_file: self.client_secret_file.clone(),
            secret_env: self.client_secret_env.clone(),
        };
        input.read()
    }
}

/// Reads a token from standard input; done when it is active, failed when not.
pub(in crate::cli) fn run(introspect: &Introspect, output: Output) -> Result<(), Failure> {
    let url = fetch::url(&introspect.introspection_endpoint)?;
    let secret = introspect.secret.read()?;
    if secret.is_none() && !introspect.trust.has_certificate() {
        return Err(Failure::usage("there is neither a client secret nor a certificate")
            .next("--client-secret-file FILE")
            .next("--tls-certificate FILE --tls-key FILE"));
    }
    let token = secret_input::stdin("Token")?;
    let token = secret_input::text(&token, "the token")?;

    let (headers, body) = question(&introspect.client_id, secret.as_deref(), token.trim());
    let request = fetch::Request { method: "POST", url: &url, headers: &headers, body: &body };
    let answer = fetch::fetch(&request, &introspect.trust)?;
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

/// Header lines and body. A client without a secret is known by its certificate, and only says who it
/// is (RFC 8705 section 2).
fn question(
    client_id: &ClientId,
    secret: Option<&String>,
    token: &str,
) -> (Zeroizing<String>, Zeroizing<String>) {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let id = encoded(client_id.as_str());
    let mut headers =
        "Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            .to_owned();
    let mut body = format!("token={}", encoded(token));
    match secret {
        Some(secret) => {
            // Form-encoded before they are joined (RFC 6749 section 2.3.1).
            let pair = Zeroizing::new(format!("{id}:{}", encoded(secret)));
            let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            headers.push_str(&format!("Authorization: Basic {}\r\n", *pair));
        }
        None => body.push_str(&format!("&client_id={id}")),
    }
    (Zeroizing::new(headers), Zeroizing::new(body))
}
