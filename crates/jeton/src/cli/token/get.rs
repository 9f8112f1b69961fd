//! `jeton token get`: gets a token as a client does, in any dialect, from any server.

use std::path::Path;

use clap::Args;
use jeton_dialect::{Dialect, Wanted};
use jeton_engine::name::DialectName;
use jeton_engine::scope::Scope;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::cli::as_client::{AsClient, Prover};
use crate::cli::dialect::wire::Answer;
use crate::cli::dpop::{self, Dpop, ProofKey};
use crate::cli::failure::Failure;
use crate::cli::metadata::Metadata;
use crate::cli::output::{Form, Output};
use crate::cli::secret_input::ClientSecret;
use crate::cli::{dialect, fetch, secret_input, warn};

/// Whom to ask, in which words, and as whom.
#[derive(Args, Debug)]
pub(in crate::cli) struct Get {
    /// The token endpoint: an https URL, or http on this machine; as --issuer says when left out
    #[arg(long, value_name = "URL", required_unless_present = "issuer")]
    token_endpoint: Option<String>,
    /// The dialect that is spoken there
    #[arg(long, value_name = "NAME", default_value = "rfc6749")]
    dialect: DialectName,
    #[command(flatten)]
    client: AsClient,
    #[command(flatten)]
    secret: ClientSecret,
    #[command(flatten)]
    dpop: Dpop,
    /// The scope to ask for; whatever the client may have when left out
    #[arg(long)]
    scope: Option<Scope>,
}

/// A token request, as often as it has to be sent.
struct Asking<'a> {
    get: &'a Get,
    dialect: &'a Dialect,
    endpoint: &'a Url,
    prover: &'a Prover,
    proof_key: Option<&'a ProofKey>,
}

/// Prints the token alone, or with `--json` the whole answer.
pub(in crate::cli) fn run(
    get: &Get,
    explicit: Option<&Path>,
    output: Output,
) -> Result<(), Failure> {
    let dialect = dialect::named(&get.dialect, explicit)?;
    let secret = get.secret.read()?;
    let endpoint = endpoint(get)?;
    let prover = get.client.prover(secret, &endpoint)?;
    let proof_key = get.dpop.key()?;
    let asking = Asking {
        get,
        dialect: &dialect,
        endpoint: &endpoint,
        prover: &prover,
        proof_key: proof_key.as_ref(),
    };
    let mut answer = asking.ask(None)?;
    let nonce = dpop::wanted_nonce(&answer).filter(|_| proof_key.is_some()).map(str::to_owned);
    if let Some(nonce) = nonce {
        answer = asking.ask(Some(&nonce))?;
    }
    let Some(token) = dialect.token_in(&answer.body).filter(|_| answer.status < 300) else {
        return Err(refused(answer.status, &answer.body).at(&endpoint));
    };
    print(&token, &answer, proof_key.as_ref(), output)
}

fn endpoint(get: &Get) -> Result<Url, Failure> {
    match (&get.token_endpoint, &get.client.issuer) {
        (Some(endpoint), _) => fetch::url(endpoint),
        (None, Some(issuer)) => {
            let trust = &get.client.trust;
            Metadata::fetch(issuer, trust)?.endpoint("token_endpoint", trust.has_certificate())
        }
        (None, None) => Err(Failure::usage("--token-endpoint is missing")),
    }
}

impl Asking<'_> {
    /// Sends it, with a fresh assertion and a fresh proof.
    fn ask(&self, nonce: Option<&str>) -> Result<Answer, Failure> {
        let Prover { client_id, method, .. } = self.prover;
        let assertion = self.prover.assertion()?;
        let scope = self.get.scope.as_ref().map(ToString::to_string);
        let wanted = Wanted {
            client_id: client_id.as_str(),
            secret: self.prover.secret(),
            assertion: assertion.as_deref().map(String::as_str),
            method: *method,
            scope: scope.as_deref(),
        };
        let request = self.dialect.compose(&wanted);
        let request = request.map_err(|error| Failure::usage(error.to_string()))?;
        let mut url = self.endpoint.clone();
        if let Some(query) = request.query() {
            url.set_query(Some(query));
        }
        let method = request.method.as_str();
        let mut headers = Zeroizing::new(String::new());
        for (name, value) in &request.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(key) = self.proof_key {
            headers.push_str(&key.header(method, &url, nonce)?);
        }
        let body = secret_input::text(&request.body, "the request")?;
        let request = fetch::Request { method, url: &url, headers: &headers, body: &body };
        fetch::fetch(&request, &self.get.client.trust)
    }
}

fn print(
    token: &str,
    answer: &Answer,
    proof_key: Option<&ProofKey>,
    output: Output,
) -> Result<(), Failure> {
    // An answer that is no JSON has nothing more to show than this.
    let whole = serde_json::from_slice::<Value>(&answer.body);
    let mut whole = whole.unwrap_or_else(|_| json!({ "access_token": token }));
    if let (Value::Object(members), Some(key)) = (&mut whole, proof_key) {
        let said = members.get("token_type").and_then(Value::as_str).unwrap_or("nothing");
        // RFC 9449 section 5.
        if !said.eq_ignore_ascii_case("DPoP") {
            warn(&format!("the token is not bound to the DPoP key: its type is {said}"));
        }
        members.insert("dpop_jkt".to_owned(), key.thumbprint().into());
    }
    match output.form() {
        Form::Json => output.json(&whole),
        _ => output.line(token),
    }
}

/// What the server said, in its own words.
fn refused(status: u16, body: &[u8]) -> Failure {
    let said: String = String::from_utf8_lossy(body).chars().take(1000).collect();
    let said = if said.is_empty() { "without a word".to_owned() } else { said };
    Failure::failed(format!("no token: status {status}: {said}"))
}
