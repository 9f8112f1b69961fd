//! Forms (`application/x-www-form-urlencoded`), decoded strictly: whole percent escapes, UTF-8.

use std::borrow::Cow;

use jeton_engine::error::Reason;
use memchr::{memchr, memchr2};

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
    let mut left = Some(bytes);
    let pieces = std::iter::from_fn(move || {
        let (piece, others) = split(left?, b'&');
        left = others;
        Some(piece)
    });
    pieces.filter(|piece| !piece.is_empty()).map(|piece| {
        let (name, value) = split(piece, b'=');
        (name, value.unwrap_or_default())
    })
}

/// What stands before the first separator, and what behind it where there is one.
fn split(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    // Tokens and assertions are long: many bytes are looked at at once.
    match memchr(separator, bytes).and_then(|at| bytes.split_at_checked(at)) {
        Some((before, rest)) => (before, rest.get(1..)),
        None => (bytes, None),
    }
}

/// Decodes `+` and percent escapes; `None` when an escape is not two hex digits or the result is
/// not UTF-8. Bytes beyond ASCII may stand unescaped: `curl -d` sends them so.
pub(super) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if memchr2(b'+', b'%', bytes).is_none() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_divided_at_the_first_equals_sign_of_each_piece() {
        let divided = |form: &'static str| pairs(form.as_bytes()).collect::<Vec<_>>();
        let expected: [(&[u8], &[u8]); 4] = [(b"a", b"b=c"), (b"", b"d"), (b"e", b""), (b"f", b"")];
        assert_eq!(divided("a=b=c&&=d&e&f=&"), expected);
        assert_eq!(divided(""), []);
        assert_eq!(divided("&&"), []);
    }

    #[test]
    fn what_needs_no_decoding_is_borrowed_and_what_cannot_be_decoded_is_nothing() {
        assert!(matches!(decode("né".as_bytes()), Some(Cow::Borrowed("né"))));
        assert_eq!(decode(b"a+b%2B%c3%A9").as_deref(), Some("a b+é"));
        for text in [&b"%"[..], b"%4", b"%4g", b"%+1", b"%ff", b"\xff"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
