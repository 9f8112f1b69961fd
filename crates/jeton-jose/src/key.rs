//! Keys, parsed once and reused. A key knows the one algorithm it is used with.

mod private;
mod rsa;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ML_DSA_44, ML_DSA_65,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaSubjectPublicKey,
    VerificationAlgorithm,
};
use zeroize::Zeroizing;

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::KeyError;
use crate::jwk::{Curve, Members, Public, Purpose};
use crate::pem::{self, Label};
use private::Material;

/// The shortest secret for HS256, in bytes (RFC 7518 section 3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// The longest secret for HS256, in bytes.
pub const SECRET_BYTES_MAX: usize = 1024;
/// The sizes of an RSA modulus, in bits.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// The longest signature of all, in bytes: of ML-DSA-65.
const SIGNATURE_BYTES_MAX: usize = 3309;

/// A private key or secret. Cheap to clone; prints as `[redacted]`.
#[derive(Clone)]
pub struct SigningKey(Arc<Signing>);

struct Signing {
    material: Material,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// A new key. An RSA key has 2048 bits.
    ///
    /// # Errors
    /// When the library fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        Self::new(algorithm, Material::generate(algorithm)?)
    }

    /// A new RSA key of 2048, 3072 or 4096 bits.
    ///
    /// # Errors
    /// When the algorithm is not RS256 or PS256, the size is another, or the library fails.
    pub fn generate_rsa(algorithm: Algorithm, bits: u16) -> Result<Self, KeyError> {
        Self::new(algorithm, Material::generate_rsa(algorithm, bits)?)
    }

    /// A secret for HS256.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes or longer than 1024.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        Self::new(Algorithm::Hs256, Material::from_secret(secret)?)
    }

    /// A private key from PEM: PKCS#8, SEC 1 or PKCS#1.
    ///
    /// # Errors
    /// When it does not decode, is encrypted, or is not a sound key for the algorithm.
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::key(pem)?;
        Self::new(algorithm, Material::from_der(algorithm, label, &der)?)
    }

    /// A private key or secret from a JWK.
    ///
    /// # Errors
    /// When it does not decode, is not a sound key for the algorithm, says that it is for another
    /// use or algorithm, or its halves do not belong together.
    pub fn from_jwk(algorithm: Algorithm, jwk: &str) -> Result<Self, KeyError> {
        let members = Members::parse(jwk)?;
        members.check(algorithm, Purpose::Sign)?;
        Self::new(algorithm, Material::from_members(algorithm, &members)?)
    }

    /// A key from what [`SigningKey::private_bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are not a sound key for the algorithm.
    pub fn from_private_bytes(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        if algorithm.is_symmetric() {
            return Self::from_secret(bytes);
        }
        Self::new(algorithm, Material::from_der(algorithm, Label::Pkcs8, bytes)?)
    }

    fn new(algorithm: Algorithm, material: Material) -> Result<Self, KeyError> {
        let verifying = match &material {
            Material::Hmac { key, .. } => VerifyingKey::symmetric(key.clone()),
            asymmetric => VerifyingKey::asymmetric(algorithm, asymmetric.public(algorithm)?)?,
        };
        Ok(Self(Arc::new(Signing { material, verifying })))
    }

    /// The one algorithm it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.0.verifying.algorithm()
    }

    /// What is to be kept: the secret of HS256, PKCS#8 DER of every other key. Encrypt it.
    ///
    /// # Errors
    /// When the library fails.
    pub fn private_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.0.material.private_bytes()
    }

    /// PKCS#8 PEM.
    ///
    /// # Errors
    /// When the key is symmetric or the library fails.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        if self.algorithm().is_symmetric() {
            return Err(KeyError::Symmetric);
        }
        Ok(pem::text(Label::Pkcs8, &self.private_bytes()?))
    }

    /// The public half as a JWK with `use`, `alg` and this `kid`; `None` for a symmetric key.
    pub fn public_jwk(&self, key_id: &str) -> Option<String> {
        let public = self.0.verifying.0.public.as_ref()?;
        public.jwk(self.algorithm(), Some(key_id))
    }

    /// What verifies its signatures: the public half, or for HS256 the secret itself.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.0.verifying.clone()
    }

    /// Signs a payload under a header that is already base64url-encoded, and gives the compact
    /// serialization (RFC 7515 section 7.1). Its string is allocated once.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign_compact(&self, encoded_header: &str, payload: &[u8]) -> Result<String, KeyError> {
        let signature_len = self.0.material.signature_len();
        let payload_len = base64url::encoded_len(payload.len());
        let length = encoded_header.len() + payload_len + base64url::encoded_len(signature_len) + 2;
        let mut token = Vec::with_capacity(length);
        token.extend_from_slice(encoded_header.as_bytes());
        token.push(b'.');
        base64url::encode_into(&mut token, payload);
        match &self.0.material {
            Material::Hmac { key, .. } => {
                let tag = hmac::sign(key, &token);
                append(&mut token, tag.as_ref());
            }
            Material::Ed25519(key) => {
                let signature = key.try_sign(&token).map_err(|_| KeyError::Library)?;
                append(&mut token, signature.as_ref());
            }
            Material::Ecdsa(key) => {
                let signature =
                    key.sign(&SystemRandom::new(), &token).map_err(|_| KeyError::Library)?;
                append(&mut token, signature.as_ref());
            }
            Material::Rsa { key, encoding } => {
                let mut space = [0; SIGNATURE_BYTES_MAX];
                let signature = space.get_mut(..signature_len).ok_or(KeyError::Library)?;
                key.sign(*encoding, &SystemRandom::new(), &token, signature)
                    .map_err(|_| KeyError::Library)?;
                append(&mut token, signature);
            }
            Material::MlDsa(key) => {
                let mut space = [0; SIGNATURE_BYTES_MAX];
                let signature = space.get_mut(..signature_len).ok_or(KeyError::Library)?;
                key.sign(&token, signature).map_err(|_| KeyError::Library)?;
                append(&mut token, signature);
            }
        }
        // The header is text, and what is encoded is ASCII.
        String::from_utf8(token).map_err(|_| KeyError::Library)
    }
}

fn append(token: &mut Vec<u8>, signature: &[u8]) {
    token.push(b'.');
    base64url::encode_into(token, signature);
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// What verifies signatures of one algorithm. The algorithm is the key's, never the token's.
/// Cheap to clone.
#[derive(Clone)]
pub struct VerifyingKey(Arc<Verifying>);

struct Verifying {
    algorithm: Algorithm,
    key_id: Option<Box<str>>,
    check: Check,
    public: Option<Public>,
    certificate: Option<[u8; 32]>,
}

enum Check {
    Hmac(Arc<hmac::Key>),
    Public(ParsedPublicKey),
}

impl VerifyingKey {
    /// A public key from a JWK that says which algorithm it is for: by `alg`, or by its curve.
    ///
    /// # Errors
    /// When it does not decode, is private or a secret, is not a sound key, is for another use,
    /// or is an RSA key that does not say whether it is for RS256 or PS256.
    pub fn from_jwk(jwk: &str) -> Result<Self, KeyError> {
        let members = Members::parse(jwk)?;
        if members.is_private() {
            return Err(KeyError::PrivateWherePublic);
        }
        match members.algorithms()? {
            [algorithm] => Self::from_members(*algorithm, &members),
            _ => Err(KeyError::AlgorithmMissing),
        }
    }

    /// A public key from a JWK, for this algorithm.
    ///
    /// # Errors
    /// As [`VerifyingKey::from_jwk`], and when the JWK is for another algorithm.
    pub fn from_jwk_for(algorithm: Algorithm, jwk: &str) -> Result<Self, KeyError> {
        Self::from_members(algorithm, &Members::parse(jwk)?)
    }

    pub(crate) fn from_members(algorithm: Algorithm, members: &Members) -> Result<Self, KeyError> {
        if members.is_private() {
            return Err(KeyError::PrivateWherePublic);
        }
        members.check(algorithm, Purpose::Verify)?;
        let public = members.public(algorithm)?;
        Ok(Self(Arc::new(Verifying {
            algorithm,
            key_id: members.key_id()?.map(Into::into),
            check: Check::Public(parse(algorithm, &public)?),
            public: Some(public),
            certificate: members.certificate()?,
        })))
    }

    /// The secret of HS256.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes or longer than 1024.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        SigningKey::from_secret(secret).map(|key| key.verifying_key())
    }

    /// A public key from PEM: SubjectPublicKeyInfo or PKCS#1.
    ///
    /// # Errors
    /// When it does not decode, is private, or is not a sound key for the algorithm.
    pub fn from_public_pem(algorithm: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::key(pem)?;
        Self::asymmetric(algorithm, public_from_der(algorithm, label, &der)?)
    }

    /// The same key under this identifier.
    #[must_use]
    pub fn with_key_id(&self, key_id: &str) -> Self {
        let check = match &self.0.check {
            Check::Hmac(key) => Check::Hmac(key.clone()),
            Check::Public(key) => Check::Public(key.clone()),
        };
        Self(Arc::new(Verifying {
            algorithm: self.0.algorithm,
            key_id: Some(key_id.into()),
            check,
            public: self.0.public.clone(),
            certificate: self.0.certificate,
        }))
    }

    fn symmetric(key: Arc<hmac::Key>) -> Self {
        Self(Arc::new(Verifying {
            algorithm: Algorithm::Hs256,
            key_id: None,
            check: Check::Hmac(key),
            public: None,
            certificate: None,
        }))
    }

    fn asymmetric(algorithm: Algorithm, public: Public) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Verifying {
            algorithm,
            key_id: None,
            check: Check::Public(parse(algorithm, &public)?),
            public: Some(public),
            certificate: None,
        })))
    }

    /// The one algorithm it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Its identifier (`kid`), where it has one.
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id.as_deref()
    }

    /// Checks a signature in its JWS form: fixed-length `r || s` for ECDSA.
    ///
    /// # Errors
    /// When the signature is wrong.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), WrongSignature> {
        match &self.0.check {
            Check::Hmac(key) => hmac::verify(key, signed, signature),
            Check::Public(key) => key.verify_sig(signed, signature),
        }
        .map_err(|_| WrongSignature)
    }

    /// The JWK with `use` and `alg`, and `kid` where the key has one; `None` for a symmetric key.
    pub fn to_jwk(&self) -> Option<String> {
        self.0.public.as_ref()?.jwk(self.algorithm(), self.key_id())
    }

    /// The SHA-256 thumbprint, base64url (RFC 7638); `None` for a symmetric key, whose thumbprint
    /// would let others guess at the secret.
    pub fn thumbprint(&self) -> Option<String> {
        self.0.public.as_ref().map(Public::thumbprint)
    }

    /// SHA-256 of the certificate that the JWK had with the key (the first of `x5c`, RFC 7517
    /// section 4.7). That the certificate is of this key was not looked at.
    pub fn certificate(&self) -> Option<&[u8; 32]> {
        self.0.certificate.as_ref()
    }

    /// SubjectPublicKeyInfo DER (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// When the key is symmetric or the library fails.
    pub fn to_public_der(&self) -> Result<Vec<u8>, KeyError> {
        let Check::Public(key) = &self.0.check else { return Err(KeyError::Symmetric) };
        let der = key.as_der().map_err(|_| KeyError::Library)?;
        Ok(der.as_ref().to_vec())
    }

    /// SubjectPublicKeyInfo PEM.
    ///
    /// # Errors
    /// When the key is symmetric or the library fails.
    pub fn to_public_pem(&self) -> Result<String, KeyError> {
        Ok(pem::text(Label::PublicSpki, &self.to_public_der()?).to_string())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerifyingKey")
            .field("algorithm", &self.0.algorithm)
            .field("key_id", &self.0.key_id)
            .finish_non_exhaustive()
    }
}

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct WrongSignature;

/// The library's algorithm, for an asymmetric one of ours.
fn verification(algorithm: Algorithm) -> Result<&'static dyn VerificationAlgorithm, KeyError> {
    Ok(match algorithm {
        Algorithm::EdDsa => &ED25519,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::MlDsa44 => &ML_DSA_44,
        Algorithm::MlDsa65 => &ML_DSA_65,
        Algorithm::Hs256 => return Err(KeyError::Symmetric),
    })
}

/// The library's form of a public key. It checks that points are on their curve.
fn parse(algorithm: Algorithm, public: &Public) -> Result<ParsedPublicKey, KeyError> {
    let parsed = match public {
        Public::Rsa { modulus, exponent } => {
            rsa::check(modulus, exponent)?;
            // By way of DER, because the library checks numbers from DER and takes others as they are.
            let components = PublicKeyComponents { n: modulus, e: exponent };
            let der: PublicKeyX509Der<'static> =
                components.as_der().map_err(|_| KeyError::Invalid)?;
            ParsedPublicKey::new(verification(algorithm)?, der.as_ref())
        }
        Public::Ec { x, y, .. } => {
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            ParsedPublicKey::new(verification(algorithm)?, point)
        }
        Public::Ed25519 { x: bytes } | Public::MlDsa { bytes, .. } => {
            ParsedPublicKey::new(verification(algorithm)?, bytes)
        }
    };
    parsed.map_err(|_| KeyError::Invalid)
}

/// The public key in this DER.
fn public_from_der(algorithm: Algorithm, label: Label, der: &[u8]) -> Result<Public, KeyError> {
    let rsa = matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256);
    match label {
        Label::PublicSpki => {}
        Label::PublicPkcs1 if rsa => {}
        Label::PublicPkcs1 => return Err(KeyError::KindMismatch(algorithm)),
        Label::Pkcs8 | Label::Sec1 | Label::Pkcs1 => return Err(KeyError::PrivateWherePublic),
    }
    if rsa {
        let key =
            RsaSubjectPublicKey::from_der(der).map_err(|_| KeyError::KindMismatch(algorithm))?;
        let PublicKeyComponents { n: modulus, e: exponent } = PublicKeyComponents::from(&key);
        return Ok(Public::Rsa { modulus, exponent });
    }
    let key = ParsedPublicKey::new(verification(algorithm)?, der)
        .map_err(|_| KeyError::KindMismatch(algorithm))?;
    let spki = key.as_der().map_err(|_| KeyError::Library)?;
    // The key itself is the last thing in a SubjectPublicKeyInfo.
    let last = |len: usize| {
        let start = spki.as_ref().len().checked_sub(len).ok_or(KeyError::Invalid)?;
        spki.as_ref().get(start..).ok_or(KeyError::Invalid)
    };
    Ok(match algorithm {
        Algorithm::Es256 => point(algorithm, last(65)?)?,
        Algorithm::Es384 => point(algorithm, last(97)?)?,
        Algorithm::MlDsa44 => Public::MlDsa { algorithm, bytes: last(1312)?.to_vec() },
        Algorithm::MlDsa65 => Public::MlDsa { algorithm, bytes: last(1952)?.to_vec() },
        _ => Public::Ed25519 { x: last(32)?.to_vec() },
    })
}

/// The uncompressed point (SEC 1 section 2.3.3) of an ECDSA key.
fn point(algorithm: Algorithm, encoded: &[u8]) -> Result<Public, KeyError> {
    let curve = match algorithm {
        Algorithm::Es256 => Curve::P256,
        Algorithm::Es384 => Curve::P384,
        other => return Err(KeyError::KindMismatch(other)),
    };
    let coordinates = encoded.strip_prefix(&[4]).ok_or(KeyError::Invalid)?;
    let (x, y) = coordinates.split_at_checked(curve.coordinate_len()).ok_or(KeyError::Invalid)?;
    Ok(Public::Ec { curve, x: x.to_vec(), y: y.to_vec() })
}
