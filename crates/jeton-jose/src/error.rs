//! What can be wrong with a key or a token: one variant per reason, never with a secret in it.

use crate::algorithm::Algorithm;
use crate::json::NotStrictObject;

/// Why a key was refused, or could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has no PEM block, more than one key, or a block that does not decode.
    #[error("is not one PEM block with a key")]
    Pem,
    /// The PEM block is encrypted.
    #[error("is encrypted: decrypt it first, for example with `openssl pkey`")]
    PemEncrypted,
    /// The PEM block holds a private key where a public one belongs.
    #[error("holds a private key where a public one belongs")]
    PrivateWherePublic,
    /// The PEM block or JWK holds a public key where a private one belongs.
    #[error("holds a public key where a private one belongs")]
    PublicWherePrivate,
    /// The JWK or JWK set is longer than we read.
    #[error("is longer than we read")]
    TooLong,
    /// The JWK or JWK set is not a strict JSON object.
    #[error("{0}")]
    Json(#[from] NotStrictObject),
    /// A member is missing, or of the wrong type or form.
    #[error("the member `{0}` is missing or malformed")]
    Member(&'static str),
    /// The key is of a kind (`kty`, `crv`) that we do not use.
    #[error("is of a kind we do not use")]
    KindUnknown,
    /// The key is of another kind or curve than the algorithm needs, or does not decode.
    #[error("is not of the kind and curve that {0} needs, or is damaged")]
    KindMismatch(Algorithm),
    /// The key says that it is for another algorithm.
    #[error("says that it is not for {0}")]
    AlgorithmMismatch(Algorithm),
    /// The key is for an algorithm that we do not use.
    #[error("is for an algorithm we do not use")]
    AlgorithmUnknown,
    /// An RSA key does not say which algorithm it is for.
    #[error("does not say which algorithm it is for")]
    AlgorithmMissing,
    /// The key is not for signatures (`use`).
    #[error("is not for signatures (`use`)")]
    Use,
    /// The key may not be used for this (`key_ops`).
    #[error("may not be used for this (`key_ops`)")]
    Operations,
    /// The public half does not belong to the private half.
    #[error("the public half does not belong to the private half")]
    HalvesDiffer,
    /// An RSA modulus outside 2048 to 4096 bits.
    #[error("the RSA modulus is not of 2048 to 4096 bits")]
    RsaSize,
    /// An RSA public exponent that is even, below 65537 or above 32 bits.
    #[error("the RSA public exponent is even, below 65537 or above 32 bits")]
    RsaExponent,
    /// An RSA modulus whose primes can be guessed (CVE-2017-15361).
    #[error("the RSA key comes from a generator whose keys can be factored (CVE-2017-15361)")]
    RsaWeak,
    /// A secret below 32 bytes (RFC 7518 section 3.2).
    #[error("the secret is shorter than the 32 bytes that HS256 needs (RFC 7518 section 3.2)")]
    SecretShort,
    /// A secret above 1024 bytes.
    #[error("the secret is longer than 1024 bytes")]
    SecretLong,
    /// The key does not decode, or is no valid key: a point off the curve, wrong factors.
    #[error("does not decode to a valid key")]
    Invalid,
    /// An ML-DSA key without its seed; it could not be written again.
    #[error("is an expanded ML-DSA key without its seed")]
    SeedMissing,
    /// A symmetric key, which has no public half and no PEM form.
    #[error("is symmetric: it has no public half and no PEM form")]
    Symmetric,
    /// No random bytes, or the library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is longer than we read.
    #[error("the token is longer than 64 KiB")]
    TooLong,
    /// It is not three parts with points between them.
    #[error("the token is not three parts with points between them")]
    Parts,
    /// A part is not base64url.
    #[error("a part of the token is not base64url without padding")]
    Base64url,
    /// The header is not a strict JSON object.
    #[error("the header {0}")]
    HeaderJson(NotStrictObject),
    /// A header parameter is missing or of the wrong type.
    #[error("the header parameter `{0}` is missing or malformed")]
    Header(&'static str),
    /// The token says that it is not signed (`alg` is `none`).
    #[error("the token is not signed")]
    Unsigned,
    /// The token names an algorithm we do not use.
    #[error("the token names an algorithm we do not use")]
    AlgorithmUnknown,
    /// The token names another algorithm than its key's.
    #[error("the token's algorithm is not that of the key")]
    AlgorithmMismatch,
    /// The token must only be read by those who know an extension that we do not know (`crit`).
    #[error("the token demands an extension we do not know")]
    CriticalUnknown,
    /// The payload is not encoded (`b64` is false, RFC 7797), which no compact JWT may be.
    #[error("the token's payload is not base64url-encoded")]
    PayloadUnencoded,
    /// The payload is compressed (`zip`).
    #[error("the token's payload is compressed")]
    Compressed,
    /// No key of the set fits the token's key identifier and algorithm.
    #[error("no known key has the token's key identifier and algorithm")]
    KeyUnknown,
    /// The token names no key and too many would fit, or it names one that is there twice.
    #[error("the token names no key and too many would fit, or one that is there twice")]
    KeyAmbiguous,
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
}
