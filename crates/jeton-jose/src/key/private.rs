//! The private half of a key: how it is made, read, and written for keeping.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING,
    PqdsaKeyPair, PqdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, point, rsa};
use crate::algorithm::Algorithm;
use crate::error::KeyError;
use crate::jwk::{Members, Private, Public};
use crate::pem::Label;

/// The library's parsed private key.
pub(super) enum Material {
    Hmac { key: Arc<hmac::Key>, secret: Zeroizing<Vec<u8>> },
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa { key: RsaKeyPair, encoding: &'static dyn RsaEncoding },
    MlDsa(PqdsaKeyPair),
}

/// What the library needs to know of an algorithm.
enum Family {
    Hmac,
    Ed25519,
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Rsa(&'static dyn RsaEncoding),
    MlDsa(&'static PqdsaSigningAlgorithm),
}

fn family(algorithm: Algorithm) -> Family {
    match algorithm {
        Algorithm::Hs256 => Family::Hmac,
        Algorithm::EdDsa => Family::Ed25519,
        Algorithm::Es256 => Family::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Family::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Rs256 => Family::Rsa(&RSA_PKCS1_SHA256),
        Algorithm::Ps256 => Family::Rsa(&RSA_PSS_SHA256),
        Algorithm::MlDsa44 => Family::MlDsa(&ML_DSA_44_SIGNING),
        Algorithm::MlDsa65 => Family::MlDsa(&ML_DSA_65_SIGNING),
    }
}

impl Material {
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        Ok(match family(algorithm) {
            Family::Hmac => {
                let mut secret = Zeroizing::new([0; SECRET_BYTES_MIN]);
                rand::fill(secret.as_mut()).map_err(|_| KeyError::Library)?;
                Self::from_secret(secret.as_ref())?
            }
            Family::Ed25519 => {
                Self::Ed25519(Ed25519KeyPair::generate().map_err(|_| KeyError::Library)?)
            }
            Family::Ecdsa(kind) => {
                Self::Ecdsa(EcdsaKeyPair::generate(kind).map_err(|_| KeyError::Library)?)
            }
            Family::Rsa(_) => Self::generate_rsa(algorithm, 2048)?,
            Family::MlDsa(kind) => {
                Self::MlDsa(PqdsaKeyPair::generate(kind).map_err(|_| KeyError::Library)?)
            }
        })
    }

    pub(super) fn generate_rsa(algorithm: Algorithm, bits: u16) -> Result<Self, KeyError> {
        let Family::Rsa(encoding) = family(algorithm) else {
            return Err(KeyError::KindMismatch(algorithm));
        };
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(KeyError::RsaSize),
        };
        let key = RsaKeyPair::generate(size).map_err(|_| KeyError::Library)?;
        Ok(Self::Rsa { key, encoding })
    }

    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretShort);
        }
        if secret.len() > SECRET_BYTES_MAX {
            return Err(KeyError::SecretLong);
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self::Hmac { key, secret: Zeroizing::new(secret.to_vec()) })
    }

    /// From DER, of the form that its PEM label says.
    pub(super) fn from_der(
        algorithm: Algorithm,
        label: Label,
        der: &[u8],
    ) -> Result<Self, KeyError> {
        // The library says little more of why it rejects; nearly always the key is of another kind.
        let mismatch = |rejected: KeyRejected| match rejected.description_() {
            "TooSmall" | "TooLarge" => KeyError::RsaSize,
            _ => KeyError::KindMismatch(algorithm),
        };
        Ok(match (family(algorithm), label) {
            (_, Label::PublicSpki | Label::PublicPkcs1) => {
                return Err(KeyError::PublicWherePrivate);
            }
            (Family::Hmac, _) => return Err(KeyError::KindMismatch(algorithm)),
            (Family::Ed25519, Label::Pkcs8) => {
                Self::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(mismatch)?)
            }
            (Family::Ecdsa(kind), Label::Pkcs8) => {
                Self::Ecdsa(EcdsaKeyPair::from_pkcs8(kind, der).map_err(mismatch)?)
            }
            (Family::Ecdsa(kind), Label::Sec1) => {
                Self::Ecdsa(EcdsaKeyPair::from_private_key_der(kind, der).map_err(mismatch)?)
            }
            (Family::Rsa(encoding), Label::Pkcs8) => {
                Self::Rsa { key: RsaKeyPair::from_pkcs8(der).map_err(mismatch)?, encoding }
            }
            (Family::Rsa(encoding), Label::Pkcs1) => {
                Self::Rsa { key: RsaKeyPair::from_der(der).map_err(mismatch)?, encoding }
            }
            (Family::MlDsa(kind), Label::Pkcs8) => {
                let key = PqdsaKeyPair::from_pkcs8(kind, der).map_err(mismatch)?;
                // Without its seed a key signs but cannot be written, so it could not be kept.
                key.to_pkcs8v1().map_err(|_| KeyError::SeedMissing)?;
                Self::MlDsa(key)
            }
            (_, Label::Sec1 | Label::Pkcs1) => return Err(KeyError::KindMismatch(algorithm)),
        })
    }

    /// From a JWK that has been checked for this algorithm.
    pub(super) fn from_members(algorithm: Algorithm, members: &Members) -> Result<Self, KeyError> {
        let private = members.private(algorithm)?;
        if let (Family::Hmac, Private::One(secret)) = (family(algorithm), &private) {
            return Self::from_secret(secret);
        }
        let public = members.public(algorithm)?;
        let differ = |_| KeyError::HalvesDiffer;
        match (family(algorithm), &public, &private) {
            (Family::Ed25519, Public::Ed25519 { x }, Private::One(seed)) => {
                Ed25519KeyPair::from_seed_and_public_key(seed, x).map(Self::Ed25519).map_err(differ)
            }
            (Family::Ecdsa(kind), Public::Ec { x, y, .. }, Private::One(scalar)) => {
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                EcdsaKeyPair::from_private_key_and_public_key(kind, scalar, &point)
                    .map(Self::Ecdsa)
                    .map_err(differ)
            }
            (Family::Rsa(encoding), Public::Rsa { modulus, exponent }, Private::Rsa(parts)) => {
                rsa::check(modulus, exponent)?;
                let [d, p, q, d_p, d_q, q_inv] = parts.as_ref();
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents { n: modulus, e: exponent },
                    d,
                    p,
                    q,
                    dP: d_p,
                    dQ: d_q,
                    qInv: q_inv,
                };
                RsaKeyPair::from_components(&components)
                    .map(|key| Self::Rsa { key, encoding })
                    .map_err(differ)
            }
            (Family::MlDsa(kind), Public::MlDsa { bytes, .. }, Private::One(seed)) => {
                let key = PqdsaKeyPair::from_seed(kind, seed).map_err(|_| KeyError::Invalid)?;
                if key.public_key().as_ref() != bytes.as_slice() {
                    return Err(KeyError::HalvesDiffer);
                }
                Ok(Self::MlDsa(key))
            }
            _ => Err(KeyError::KindMismatch(algorithm)),
        }
    }

    /// The public half of an asymmetric key.
    pub(super) fn public(&self, algorithm: Algorithm) -> Result<Public, KeyError> {
        Ok(match self {
            Self::Hmac { .. } => return Err(KeyError::Symmetric),
            Self::Ed25519(key) => Public::Ed25519 { x: key.public_key().as_ref().to_vec() },
            Self::Ecdsa(key) => point(algorithm, key.public_key().as_ref())?,
            Self::Rsa { key, .. } => {
                let PublicKeyComponents { n: modulus, e: exponent } =
                    PublicKeyComponents::from(key.public_key());
                Public::Rsa { modulus, exponent }
            }
            Self::MlDsa(key) => {
                Public::MlDsa { algorithm, bytes: key.public_key().as_ref().to_vec() }
            }
        })
    }

    pub(super) fn private_bytes(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let failed = |_| KeyError::Library;
        let bytes = match self {
            Self::Hmac { secret, .. } => return Ok(secret.clone()),
            Self::Ed25519(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Self::Ecdsa(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Self::Rsa { key, .. } => {
                let der: Pkcs8V1Der<'static> = key.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
            Self::MlDsa(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    /// The bytes of every signature.
    pub(super) fn signature_len(&self) -> usize {
        match self {
            Self::Hmac { .. } => 32,
            Self::Ed25519(_) => 64,
            // Two numbers as long as a coordinate; the point has two of them and a byte before.
            Self::Ecdsa(key) => key.public_key().as_ref().len() - 1,
            Self::Rsa { key, .. } => key.public_modulus_len(),
            Self::MlDsa(key) => key.algorithm().signature_len(),
        }
    }
}
