//! Sign: keys, signatures and JSON Web Tokens, on aws-lc-rs.
//!
//! Knows nothing of OAuth, of the time of day, or of where keys are kept.

pub mod algorithm;

pub use algorithm::Algorithm;
