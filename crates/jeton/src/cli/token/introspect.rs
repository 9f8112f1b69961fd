//! `jeton token introspect`: asks a server whether a token holds right now (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use jeton_engine::request::{AssertionCredentials, AuthenticationMethod};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::cli::as_client::{AsClient, Prover};
use crate::cli::failure::Failure;
use crate::cli::metadata::Metadata;
use crate::cli::output::{Form, Output};
use crate::cli::{fetch, secret_input};

/// Whom to ask, and as whom: a client that serves resources, or the token's own.
#[derive(Args, Debug)]
pub(in crate::cli) struct Introspect {
    /// The introspection endpoint: an https URL, or http on this machine; as --issuer says when left out
    #[arg(long, value_name = "URL", required_unless_present = "issuer")]
    introspection_endpoint: Option<String>,
    #[command(flatten)]
    client: AsClient,
    #[command(flatten)]
    secret: ClientSecret,
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
    let secret = introspect.secret.read()?;
    let trust = &introspect.client.trust;
    let url = endpoint(introspect)?;
    let prover = introspect.client.prover(secret, &url)?;
    let token = secret_input::stdin("Token")?;
    let token = secret_input::text(&token, "the token")?;

    let (headers, body) = question(&prover, token.trim())?;
    let request = fetch::Request { method: "POST", url: &url, headers: &headers, body: &body };
    let answer = fetch::fetch(&request, trust)?;
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

fn endpoint(introspect: &Introspect) -> Result<Url, Failure> {
    match (&introspect.introspection_endpoint, &introspect.client.issuer) {
        (Some(endpoint), _) => fetch::url(endpoint),
        (None, Some(issuer)) => {
            let trust = &introspect.client.trust;
            let metadata = Metadata::fetch(issuer, trust)?;
            metadata.endpoint("introspection_endpoint", trust.has_certificate())
        }
        (None, None) => Err(Failure::usage("--introspection-endpoint is missing")),
    }
}

/// Header lines and body. A client without a secret and an assertion is known by its certificate, and
/// only says who it is (RFC 8705 section 2).
fn question(
    prover: &Prover,
    token: &str,
) -> Result<(Zeroizing<String>, Zeroizing<String>), Failure> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let id = encoded(prover.client_id.as_str());
    let mut headers = Zeroizing::new(
        "Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            .to_owned(),
    );
    let mut body = Zeroizing::new(format!("token={}", encoded(token)));
    let by_post = prover.method == Some(AuthenticationMethod::ClientSecretPost);
    match (prover.secret(), prover.assertion()?) {
        (Some(secret), _) if by_post => {
            body.push_str(&format!("&client_id={id}&client_secret={}", encoded(secret)));
        }
        (Some(secret), _) => {
            // Form-encoded before they are joined (RFC 6749 section 2.3.1).
            let pair = Zeroizing::new(format!("{id}:{}", encoded(secret)));
            let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            headers.push_str(&format!("Authorization: Basic {}\r\n", *pair));
        }
        (None, Some(assertion)) => {
            let kind = encoded(AssertionCredentials::JWT_BEARER);
            let assertion = encoded(&assertion);
            body.push_str(&format!(
                "&client_id={id}&client_assertion_type={kind}&client_assertion={assertion}"
            ));
        }
        (None, None) => body.push_str(&format!("&client_id={id}")),
    }
    Ok((headers, body))
}
