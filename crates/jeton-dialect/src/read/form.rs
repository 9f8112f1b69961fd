//! Forms (`application/x-www-form-urlencoded`), decoded strictly: whole percent escapes, UTF-8.

use std::borrow::Cow;

use jeton_engine::error::Reason;

use super::given::{Given, Value};

/// Reads a form.
pub(super) fn read<'a>(bytes: &'a [u8], given: &mut Given<'a>) -> Result<(), Reason> {
    for (name, value) in pairs(bytes) {
        let name = decode(name).ok_or(Reason::BodyMalformed)?;
        let value = decode(value).ok_or(Reason::BodyMalformed)?;
        given.put(name, Value::Text(value));
    }
    Ok(())
}

/// The names that decode.
pub(super) fn names(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    pairs(bytes).filter_map(|(name, _)| decode(name))
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pieces = bytes.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// Decodes `+` and percent escapes; `None` when an escape is not two hex digits or the result is
/// not UTF-8. Bytes beyond ASCII may stand unescaped: `curl -d` sends them so.
pub(super) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (escape, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let [high, low] = escape.map(|digit| char::from(digit).to_digit(16));
                decoded.push(u8::try_from(high? * 16 + low?).ok()?);
            }
            other => decoded.push(*other),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
