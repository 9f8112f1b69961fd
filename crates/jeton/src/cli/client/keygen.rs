//! `jeton client keygen`: a key pair for a client, made where the client is; jeton keeps nothing of it.

use std::path::PathBuf;

use clap::Args;
use jeton_engine::jose::{Algorithm, KeyError, SigningKey};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::new_file;
use crate::cli::output::Output;

/// A key pair to be made.
#[derive(Args, Debug)]
pub(in crate::cli) struct Keygen {
    /// What it signs with: EdDSA, ES256, ES384, PS256 or RS256
    #[arg(long, default_value = "ES256")]
    algorithm: Algorithm,
    /// Its identifier (`kid`); its thumbprint (RFC 7638) when left out
    #[arg(long, value_name = "KEY_ID", allow_hyphen_values = true)]
    key_id: Option<String>,
    /// Write the private key (PKCS #8, PEM) to this new file, readable by its owner only
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the private key to its file, and prints the public one as a JWK set.
pub(in crate::cli) fn run(keygen: &Keygen, output: Output) -> Result<(), Failure> {
    if keygen.algorithm.is_symmetric() {
        return Err(Failure::usage("HS256 has no key pair").next("--algorithm ES256"));
    }
    let failed = |error: KeyError| Failure::failed(format!("the key {error}"));
    let key = SigningKey::generate(keygen.algorithm).map_err(failed)?;
    let thumbprint = || key.verifying_key().thumbprint().unwrap_or_default();
    let key_id = keygen.key_id.clone().unwrap_or_else(thumbprint);
    let jwk = key.public_jwk(&key_id).unwrap_or_default();
    let jwk: Value = serde_json::from_str(&jwk)
        .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    new_file::write_private(&keygen.out, key.to_pem().map_err(failed)?.as_bytes())?;
    output.json(&json!({ "keys": [jwk] }))?;
    output.remark(&format!(
        "\nThe private key is in {}. Register the JWK set above: jeton client create … --jwks-file FILE",
        keygen.out.display()
    ))
}
