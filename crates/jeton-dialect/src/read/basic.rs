//! The `Authorization: Basic` header (RFC 7617, RFC 6749 section 2.3.1) and its two readings.
//!
//! RFC 6749 form-encodes identifier and secret before they are joined; half of the clients in the
//! wild do not. So the form-decoded reading comes first and the raw one second, when it differs.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jeton_engine::error::Reason;
use jeton_engine::request::Reading;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::form;

/// Standard base64; some clients leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Credentials from the header: `user-id:password`, with an identifier and no control characters.
pub(super) struct Basic {
    text: Zeroizing<String>,
    /// The form-decoded reading, where it is another.
    decoded: Option<Pair>,
}

struct Pair {
    client_id: String,
    secret: Zeroizing<String>,
}

impl Basic {
    /// Reads the header. `None` when it is of another scheme.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Reason> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (all.next(), all.next()) else {
            return Err(Reason::AuthorizationMalformed);
        };
        let value = only.as_bytes();
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"Basic") {
            return Ok(None);
        }
        let encoded = value.get(scheme.len()..).unwrap_or_default().trim_ascii();
        let bytes = BASE64.decode(encoded).map_err(|_| Reason::AuthorizationMalformed)?;
        Self::parse(bytes).map(Some).ok_or(Reason::AuthorizationMalformed)
    }

    /// Takes `user-id:password` apart (RFC 7617 section 2): the first colon divides, control
    /// characters are not allowed, and there is no credential without an identifier.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        // Clients that do not encode send Latin-1 where the text is not UTF-8.
        let text = Zeroizing::new(String::from_utf8(bytes).unwrap_or_else(|not_utf8| {
            not_utf8.as_bytes().iter().map(|byte| char::from(*byte)).collect()
        }));
        if has_control(&text) {
            return None;
        }
        let (client_id, secret) = text.split_once(':').filter(|(id, _)| !id.is_empty())?;
        let decoded = Pair::decoded(client_id, secret);
        Some(Self { text, decoded })
    }

    /// The readings, the preferred one first; only those of this client when it is named elsewhere too.
    pub(super) fn readings(&self, client_id: Option<&str>) -> SmallVec<[Reading<'_>; 2]> {
        let decoded =
            self.decoded.as_ref().map(|Pair { client_id, secret }| Reading { client_id, secret });
        let raw =
            self.text.split_once(':').map(|(client_id, secret)| Reading { client_id, secret });
        let all = decoded.into_iter().chain(raw);
        all.filter(|reading| client_id.is_none_or(|named| reading.client_id == named)).collect()
    }
}

impl Pair {
    /// What the two parts say as forms, where that is something else, and without control characters.
    fn decoded(client_id: &str, secret: &str) -> Option<Self> {
        let (client_id, secret) =
            (form::decode(client_id.as_bytes())?, form::decode(secret.as_bytes())?);
        if let (Cow::Borrowed(_), Cow::Borrowed(_)) = (&client_id, &secret) {
            return None;
        }
        let secret = Zeroizing::new(secret.into_owned());
        if has_control(&client_id) || has_control(&secret) {
            return None;
        }
        Some(Self { client_id: client_id.into_owned(), secret })
    }
}

/// Whether any character is a control character. Every byte is looked at first, whatever the ones before
/// it were, because so many can be looked at at once; nearly always they are all printable ASCII.
fn has_control(text: &str) -> bool {
    let unclear = |byte: u8| !(0x20..=0x7e).contains(&byte);
    text.bytes().fold(false, |found, byte| found | unclear(byte))
        && text.chars().any(char::is_control)
}
