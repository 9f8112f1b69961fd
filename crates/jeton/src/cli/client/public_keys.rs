//! A client's public keys as files have them: a JWK set, one JWK, or in PEM a public key or a certificate.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton_engine::certificate::{Chain, ClientCertificate};
use jeton_engine::client::proof::PublicKeys;
use jeton_engine::jose::{Algorithm, KeyError, VerifyingKey, json};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use crate::cli::failure::Failure;
use crate::cli::secret_input;

/// What a public key in PEM may be for. PEM does not say for which of two algorithms an RSA key is.
const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256];

/// Reads a client's public keys.
pub(super) fn read(path: &Path) -> Result<PublicKeys, Failure> {
    let bytes = secret_input::file(path)?;
    let text = secret_input::text(&bytes, "the file with public keys")?;
    let keys = set(&text).and_then(|set| set.try_into().map_err(|error| format!("{error}")));
    keys.map_err(|problem| Failure::failed(format!("jwks-file: {problem}")).at(path.display()))
}

/// The JWK set in a text, or around the one key in it.
fn set(text: &str) -> Result<Map<String, Value>, String> {
    let key = if text.contains("-----BEGIN CERTIFICATE-----") {
        of_certificate(text.as_bytes())?
    } else if text.contains("-----BEGIN ") {
        of_pem(text)?
    } else {
        let members = json::object(text.as_bytes());
        let members = members.map_err(|_| "must be a JWK set, a JWK or PEM".to_owned())?;
        if members.contains_key("keys") {
            return Ok(members);
        }
        members
    };
    let keys = Value::Array(vec![Value::Object(key)]);
    Ok(Map::from_iter([("keys".to_owned(), keys)]))
}

/// The key in a certificate, with the certificate beside it (RFC 7517 section 4.7).
fn of_certificate(pem: &[u8]) -> Result<Map<String, Value>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    // Of a chain only the first would be the client's, and the key of an authority must not be taken.
    let Ok([der]) = found.as_deref() else { return Err("must have one certificate".to_owned()) };
    let certificate = ClientCertificate::from_der(der, Chain::Unverified);
    let certificate = certificate.map_err(|error| error.to_string())?;
    let spki = STANDARD.encode(certificate.public_key());
    let mut key =
        of_pem(&format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n"))?;
    key.insert("x5c".to_owned(), Value::Array(vec![STANDARD.encode(der).into()]));
    Ok(key)
}

/// A public key as a JWK.
fn of_pem(pem: &str) -> Result<Map<String, Value>, String> {
    let mut problem = KeyError::Pem;
    for algorithm in ALGORITHMS {
        match VerifyingKey::from_public_pem(algorithm, pem) {
            Ok(key) => {
                let jwk = key.to_jwk().unwrap_or_default();
                let mut members =
                    json::object(jwk.as_bytes()).map_err(|error| error.to_string())?;
                if algorithm == Algorithm::Rs256 {
                    members.remove("alg");
                }
                return Ok(members);
            }
            Err(error) => problem = error,
        }
    }
    Err(match problem {
        KeyError::KindMismatch(_) => {
            "the key is none for EdDSA, ES256, ES384, PS256 or RS256".to_owned()
        }
        other => format!("the key {other}"),
    })
}

#[cfg(test)]
mod tests {
    use jeton_engine::jose::SigningKey;

    use super::*;

    fn algorithms(text: &str) -> Result<Vec<Algorithm>, String> {
        let keys = PublicKeys::try_from(set(text)?).map_err(|error| error.to_string())?;
        Ok(keys.parse().keys().iter().map(VerifyingKey::algorithm).collect())
    }

    #[test]
    fn a_public_key_in_pem_says_its_algorithm_unless_it_is_an_rsa_key() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384] {
            let key = SigningKey::generate(algorithm).unwrap();
            let pem = key.verifying_key().to_public_pem().unwrap();
            assert_eq!(algorithms(&pem), Ok(vec![algorithm]));
            assert!(algorithms(&key.to_pem().unwrap()).unwrap_err().contains("private"));
        }
        let key = SigningKey::generate(Algorithm::Ps256).unwrap().verifying_key();
        let both = algorithms(&key.to_public_pem().unwrap()).unwrap();
        assert_eq!(both, [Algorithm::Rs256, Algorithm::Ps256]);
        assert_eq!(algorithms(&key.to_jwk().unwrap()), Ok(vec![Algorithm::Ps256]));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        for text in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":{}}"#, pem] {
            assert!(algorithms(text).is_err(), "{text}");
        }
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(algorithms(certificate).unwrap_err().contains("X.509"));
        assert!(algorithms(&certificate.repeat(2)).unwrap_err().contains("one certificate"));
    }
}
