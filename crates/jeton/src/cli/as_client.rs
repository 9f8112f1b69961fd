//! As whom another server is called, and how that is proved: a secret, a key, an assertion, a certificate.

use std::path::PathBuf;

use clap::Args;
use jeton_engine::clock::{Clock, Random};
use jeton_engine::jose::{Algorithm, SigningKey, base64url};
use jeton_engine::name::ClientId;
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::fetch::Trust;
use super::{secret_input, signing_key, warn};

/// How long an assertion of ours is good for, in seconds. It is used at once.
const ASSERTION_SECONDS: i64 = 60;

/// As whom to call, and how to prove it.
#[derive(Args, Debug)]
pub(super) struct AsClient {
    /// How to authenticate, by registered name; when left out: by what is given, a secret in the
    /// dialect's first way
    #[arg(long, value_name = "METHOD")]
    authentication: Option<AuthenticationMethod>,
    /// The client's identifier
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    client_id: ClientId,
    /// The client's private key, PEM or a JWK: private_key_jwt
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Which of the client's keys it is (`kid`); as a JWK says when left out, or nothing
    #[arg(long, value_name = "KEY_ID", requires = "key_file", allow_hyphen_values = true)]
    key_id: Option<String>,
    /// What it signs with; only an RSA key leaves that open
    #[arg(long, value_name = "ALGORITHM", requires = "key_file")]
    key_algorithm: Option<Algorithm>,
    /// A ready assertion of another issuer, such as a Kubernetes service account token
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    assertion_file: Option<PathBuf>,
    /// Whom our assertion is for (`aud`), where it is not the issuer
    #[arg(long, value_name = "A")]
    assertion_audience: Option<String>,
    /// The authorization server: it is whom our assertion is for, and its metadata name its endpoints
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    #[command(flatten)]
    pub(super) trust: Trust,
}

/// A client that can prove who it is.
pub(super) struct Prover {
    pub(super) client_id: ClientId,
    /// How; open for a secret of which nothing more was said.
    pub(super) method: Option<AuthenticationMethod>,
    means: Means,
}

/// What it proves that with.
enum Means {
    Secret(Zeroizing<String>),
    /// Its own signature.
    Key {
        key: SigningKey,
        key_id: Option<String>,
        audience: String,
    },
    /// What another issuer has signed.
    Ready(Zeroizing<String>),
    Certificate,
}

impl AsClient {
    /// Reads what the client proves itself with. `endpoint` is where an assertion will go.
    pub(super) fn prover(
        &self,
        secret: Option<Zeroizing<String>>,
        endpoint: &Url,
    ) -> Result<Prover, Failure> {
        use AuthenticationMethod as M;
        let has_certificate = self.trust.has_certificate();
        let signs = self.key_file.is_some() || self.assertion_file.is_some();
        if signs && secret.is_some() {
            return Err(Failure::usage("there is both a secret and something better")
                .next("one of --client-secret-…, --key-file and --assertion-file"));
        }
        let (method, means) = match (self.authentication, secret) {
            (Some(M::ClientSecretJwt), Some(secret)) => {
                (Some(M::ClientSecretJwt), self.hmac(&secret, endpoint)?)
            }
            (None | Some(M::PrivateKeyJwt), None) if signs => {
                (Some(M::PrivateKeyJwt), self.signature(endpoint)?)
            }
            (method @ (None | Some(M::ClientSecretBasic | M::ClientSecretPost)), Some(secret)) => {
                (method, Means::Secret(secret))
            }
            (method @ Some(M::TlsClientAuth | M::SelfSignedTlsClientAuth), None)
                if has_certificate && !signs =>
            {
                (method, Means::Certificate)
            }
            (None, None) if has_certificate => (None, Means::Certificate),
            (Some(method), secret) => return Err(unfit(method, secret.is_some())),
            (None, None) => return Err(nothing()),
        };
        Ok(Prover { client_id: self.client_id.clone(), method, means })
    }

    fn hmac(&self, secret: &str, endpoint: &Url) -> Result<Means, Failure> {
        let key = SigningKey::from_secret(secret.as_bytes())
            .map_err(|error| Failure::usage(format!("client_secret_jwt: {error}")))?;
        Ok(Means::Key { key, key_id: None, audience: self.audience(endpoint) })
    }

    fn signature(&self, endpoint: &Url) -> Result<Means, Failure> {
        if let Some(path) = &self.assertion_file {
            let bytes = secret_input::file(path)?;
            let text = secret_input::text(&bytes, "the assertion")?;
            return Ok(Means::Ready(Zeroizing::new(text.trim().to_owned())));
        }
        let Some(path) = &self.key_file else { return Err(nothing()) };
        let found = signing_key::read(path, self.key_algorithm)?;
        if found.is_ambiguous {
            return Err(Failure::usage("the key does not say which algorithm it is for")
                .at(path.display())
                .next("--key-algorithm PS256")
                .next("--key-algorithm RS256"));
        }
        let key_id = self.key_id.clone().or(found.key_id);
        Ok(Means::Key { key: found.key, key_id, audience: self.audience(endpoint) })
    }

    /// Whom our assertion is for: the issuer (FAPI 2.0 Security Profile section 5.3.3.1), as far as
    /// one was told which that is.
    fn audience(&self, endpoint: &Url) -> String {
        let said = self.assertion_audience.as_ref().or(self.issuer.as_ref());
        said.cloned().unwrap_or_else(|| {
            warn(
                "the assertion is made for the endpoint's URL, which many servers refuse; \
                 --issuer URL names whom it is for",
            );
            endpoint.to_string()
        })
    }
}

impl Prover {
    /// The secret, where that is what is shown.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.means {
            Means::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    /// An assertion for one request, where that is what is shown: no server takes one twice.
    pub(super) fn assertion(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let (key, key_id, audience) = match &self.means {
            Means::Secret(_) | Means::Certificate => return Ok(None),
            Means::Ready(assertion) => return Ok(Some(assertion.clone())),
            Means::Key { key, key_id, audience } => (key, key_id, audience),
        };
        let now = Clock::System.now().seconds();
        let mut header = json!({ "alg": key.algorithm().name(), "typ": "JWT" });
        if let (Value::Object(header), Some(key_id)) = (&mut header, key_id) {
            header.insert("kid".to_owned(), key_id.as_str().into());
        }
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
            "jti": base64url::encode(Random::System.bytes::<16>()),
        });
        let encoded = base64url::encode(header.to_string());
        let signed = key.sign_compact(&encoded, claims.to_string().as_bytes());
        let signed = signed.map_err(|error| Failure::failed(format!("the key {error}")))?;
        Ok(Some(Zeroizing::new(signed)))
    }
}

/// A method was named that what is given does not fit.
fn unfit(method: AuthenticationMethod, has_secret: bool) -> Failure {
    use AuthenticationMethod as M;
    let (needs, flags) = match method {
        M::ClientSecretBasic | M::ClientSecretPost | M::ClientSecretJwt => {
            ("the client's secret", "--client-secret-file FILE")
        }
        M::PrivateKeyJwt => ("the client's key or an assertion", "--key-file FILE"),
        M::TlsClientAuth | M::SelfSignedTlsClientAuth => {
            ("a certificate", "--tls-certificate FILE --tls-key FILE")
        }
    };
    let alone = if has_secret { " and no secret" } else { "" };
    Failure::usage(format!("{method} needs {needs}{alone}")).next(flags)
}

fn nothing() -> Failure {
    Failure::usage(
        "nothing proves who the client is: no secret, no key, no assertion, no certificate",
    )
    .next("--client-secret-file FILE")
    .next("--key-file FILE")
    .next("--assertion-file FILE")
    .next("--tls-certificate FILE --tls-key FILE")
}
