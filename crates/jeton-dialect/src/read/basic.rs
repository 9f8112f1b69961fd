//! The `Authorization: Basic` header (RFC 7617, RFC 6749 section 2.3.1) and its two readings.
//!
//! RFC 6749 form-encodes identifier and secret before they are joined; half of the clients in the
//! wild do not. So the form-decoded reading comes first and the raw one second, when it differs.

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

/// Credentials from the header, in the preferred order of their readings.
pub(super) struct Basic(SmallVec<[Pair; 2]>);

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
        if text.chars().any(char::is_control) {
            return None;
        }
        let (client_id, secret) = text.split_once(':').filter(|(id, _)| !id.is_empty())?;
        let mut pairs = SmallVec::new();
        let decode = |text: &str| form::decode(text.as_bytes()).map(std::borrow::Cow::into_owned);
        if let (Some(id), Some(decoded)) = (decode(client_id), decode(secret).map(Zeroizing::new))
            && (id != client_id || **decoded != *secret)
            && !id.chars().chain(decoded.chars()).any(char::is_control)
        {
            pairs.push(Pair { client_id: id, secret: decoded });
        }
        let secret = Zeroizing::new(secret.to_owned());
        pairs.push(Pair { client_id: client_id.to_owned(), secret });
        Some(Self(pairs))
    }

    /// The readings; only those of this client when it is named elsewhere too.
    pub(super) fn readings(&self, client_id: Option<&str>) -> SmallVec<[Reading<'_>; 2]> {
        let matching = self
            .0
            .iter()
            .filter(|pair| client_id.is_none_or(|client_id| pair.client_id == client_id));
        matching.map(|pair| Reading { client_id: &pair.client_id, secret: &pair.secret }).collect()
    }
}
