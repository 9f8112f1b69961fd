//! A private key from a file: PEM or a JWK, for the one algorithm that it says or that was named.

use std::path::Path;

use jeton_engine::jose::{Algorithm, KeyError, SigningKey, json};
use serde_json::Value;

use super::failure::Failure;
use super::secret_input;

/// What a key may be for, the better first where it may be for two.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256];

/// A private key, and the name that its file gives it.
pub(super) struct NamedKey {
    pub(super) key: SigningKey,
    /// The `kid` of a JWK.
    pub(super) key_id: Option<String>,
    /// Whether the file left open for which of two algorithms the key is.
    pub(super) is_ambiguous: bool,
}

/// Reads a private key.
pub(super) fn read(path: &Path, algorithm: Option<Algorithm>) -> Result<NamedKey, Failure> {
    let bytes = secret_input::file(path)?;
    let text = secret_input::text(&bytes, "the key")?;
    let refused =
        |problem: KeyError| Failure::usage(format!("the key {problem}")).at(path.display());
    let is_pem = text.contains("-----BEGIN ");
    let read = |algorithm| match is_pem {
        true => SigningKey::from_pem(algorithm, &text),
        false => SigningKey::from_jwk(algorithm, &text),
    };
    let key_id = match is_pem {
        true => None,
        false => {
            let members = json::object(text.as_bytes()).map_err(|error| refused(error.into()))?;
            members.get("kid").and_then(Value::as_str).map(str::to_owned)
        }
    };
    if let Some(algorithm) = algorithm {
        let key = read(algorithm).map_err(refused)?;
        return Ok(NamedKey { key, key_id, is_ambiguous: false });
    }
    let mut fitting = Vec::new();
    let mut problem = KeyError::KindUnknown;
    for algorithm in ALGORITHMS {
        match read(algorithm) {
            Ok(key) => fitting.push(key),
            Err(KeyError::KindMismatch(_) | KeyError::AlgorithmMismatch(_)) => {}
            Err(error) => problem = error,
        }
    }
    let is_ambiguous = fitting.len() > 1;
    match fitting.into_iter().next() {
        Some(key) => Ok(NamedKey { key, key_id, is_ambiguous }),
        None => Err(refused(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, algorithm: Option<Algorithm>) -> Result<NamedKey, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, text).unwrap();
        read(&path, algorithm)
    }

    #[test]
    fn a_key_says_its_algorithm_by_its_kind_and_an_rsa_key_may_be_for_two() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384] {
            let pem = SigningKey::generate(algorithm).unwrap().to_pem().unwrap();
            let found = read_text(&pem, None).ok().unwrap();
            assert_eq!((found.key.algorithm(), found.is_ambiguous), (algorithm, false));
            assert!(read_text(&pem, Some(Algorithm::Ps256)).is_err());
        }
        let pem = SigningKey::generate(Algorithm::Rs256).unwrap().to_pem().unwrap();
        assert!(read_text(&pem, None).is_ok_and(|found| found.is_ambiguous));
        let named = read_text(&pem, Some(Algorithm::Rs256)).ok().unwrap();
        assert_eq!((named.key.algorithm(), named.is_ambiguous), (Algorithm::Rs256, false));
    }

    #[test]
    fn a_jwk_brings_its_name_along_and_a_public_one_is_refused() {
        // RFC 8037 appendix A.1.
        let public = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k1""#;
        let private = format!(r#"{{{public},"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}}"#);
        let found = read_text(&private, None).ok().unwrap();
        assert_eq!(found.key_id.as_deref(), Some("k1"));
        for wrong in [&format!("{{{public}}}"), "{}", "not a key", ""] {
            assert!(read_text(wrong, None).is_err(), "{wrong}");
        }
    }
}
