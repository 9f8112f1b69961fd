//! Base64url as JOSE wants it (RFC 7515 section 2): one spelling for every value.
//!
//! No padding, no bits left over in the last character, no other alphabet, no white space: two
//! texts that differ never decode to the same bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of these bytes.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Adds the text of these bytes to the end of `text`.
pub fn encode_into(text: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let (bytes, start) = (bytes.as_ref(), text.len());
    text.resize(start + encoded_len(bytes.len()), 0);
    let space = text.get_mut(start..).unwrap_or_default();
    // Just as much space as they need.
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, space);
    debug_assert!(written.is_ok());
}

/// How many characters the text of so many bytes has.
pub const fn encoded_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4 - (3 - bytes % 3) % 3
}

/// The bytes of this text.
///
/// # Errors
/// When the text is not the one spelling of some bytes.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, NotBase64url> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotBase64url)
}

/// A text that is not the one base64url spelling of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not base64url without padding")]
pub struct NotBase64url;
