//! Sign: keys, signatures and JSON Web Tokens, on aws-lc-rs.
//!
//! Knows nothing of OAuth, of the time of day, or of where keys are kept. A key is parsed once and
//! knows its one algorithm; what a token says of its algorithm is only ever compared with that
//! (RFC 8725 sections 3.1 and 3.2).

pub mod algorithm;
pub mod base64url;
pub mod error;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod jwt;
pub mod key;
mod pem;

pub use algorithm::Algorithm;
pub use error::{JwsError, KeyError};
pub use jwk::JwkSet;
pub use key::{SigningKey, VerifyingKey};
