//! Strict JSON: one object, UTF-8, nothing after it, and no member twice at any depth. Read here, written
//! by [`Object`].
//!
//! RFC 7515 section 4 and RFC 7519 section 4 leave a choice for repeated members: refuse, or take
//! the last. Two readers that choose differently read two different tokens, so we refuse.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

mod object;

pub use object::Object;

/// The object that these bytes are.
///
/// Nesting is bounded (128 levels) by the parser; the caller bounds the bytes.
///
/// # Errors
/// When the bytes are not one JSON object, or a member is there twice.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrictObject> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(NotStrictObject::NotObject),
    }
}

/// Whether a text can stand between the quotes of a JSON string as it is (RFC 8259 section 7).
///
/// Every byte is looked at, whatever the ones before it were, and eight of them at once.
pub fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let in_words =
        words.iter().fold(0, |found, word| found | special_in(u64::from_le_bytes(*word)));
    in_words == 0 && !rest.iter().fold(false, |found, byte| found | is_special(*byte))
}

/// How many bytes from the first can stand between the quotes of a JSON string as they are: where the
/// string ends, or wants a closer look.
pub fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (before, word) in words.iter().enumerate() {
        let special = special_in(u64::from_le_bytes(*word));
        if special != 0 {
            return before * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + in_rest
}

/// A control character, a quotation mark or a backslash.
const fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// Not zero if one of eight bytes [is special](is_special). The lowest bit that is set belongs to the first
/// of them; those above it may be set for no reason.
const fn special_in(word: u64) -> u64 {
    /// Not zero if one of the bytes is below `bound`, which is at most 128.
    const fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(EACH * bound as u64) & !word & (EACH * 0x80)
    }
    const EACH: u64 = 0x0101_0101_0101_0101;
    let (quotation, backslash) = (word ^ (EACH * b'"' as u64), word ^ (EACH * b'\\' as u64));
    below(word, 0x20) | below(quotation, 1) | below(backslash, 1)
}

fn value(bytes: &[u8]) -> Result<Value, NotStrictObject> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(value)) => Ok(value),
        // The parser's own text repeats what it read, so only the kind of mistake leaves here.
        Err(error) if error.is_data() => Err(NotStrictObject::MemberTwice),
        Err(_) => Err(NotStrictObject::NotJson),
    }
}

/// Bytes that are no strict JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStrictObject {
    /// It does not parse.
    #[error("is not JSON")]
    NotJson,
    /// It parses to something else.
    #[error("is not a JSON object")]
    NotObject,
    /// An object in it has a member twice.
    #[error("has a member twice")]
    MemberTwice,
}

/// A JSON value without repeated members.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let Strict(value) = map.next_value()?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_in_order() {
        let members = object(br#" {"b":1,"a":[{"c":null,"d":-1.5}],"e":"\u00e9"} "#).unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), ["b", "a", "e"]);
        assert_eq!(members["a"][0]["d"], -1.5);
        assert_eq!(members["e"], "é");
    }

    #[test]
    fn what_ends_a_string_is_found_at_its_place_and_nothing_else_is() {
        for byte in 0..=u8::MAX {
            let ends = byte < 0x20 || byte == b'"' || byte == b'\\';
            // Also bytes that differ from it by what a subtraction borrows.
            for around in [byte.wrapping_add(1), byte.wrapping_sub(1), byte ^ 0x80, b'a', b'~'] {
                let around = if is_special(around) { b' ' } else { around };
                for length in 1..=17 {
                    for at in 0..length {
                        let mut bytes = vec![around; length];
                        assert_eq!(plain_length(&bytes), length);
                        bytes[at] = byte;
                        let expected = if ends { at } else { length };
                        assert_eq!(plain_length(&bytes), expected, "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_is_plain_unless_one_of_its_bytes_must_be_escaped_wherever_it_stands() {
        for byte in 0..=0x7f_u8 {
            let must_be_escaped = byte < 0x20 || byte == b'"' || byte == b'\\';
            for length in 1..=17 {
                for at in 0..length {
                    for around in ["a", "~", " ", "\u{7f}"] {
                        let mut text = around.repeat(length).into_bytes();
                        text[at] = byte;
                        let text = String::from_utf8(text).unwrap();
                        assert_eq!(is_plain(&text), !must_be_escaped, "{text:?}");
                    }
                }
            }
        }
        assert!(is_plain("") && is_plain("é\u{10ffff}\u{80} !#[]"));
        assert!(!is_plain("é\u{10ffff}\u{80}\""));
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"a":[[{"b":1,"\u0062":2}]]}"#]
        {
            assert_eq!(object(text.as_bytes()), Err(NotStrictObject::MemberTwice), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in ["", " ", "{", "{}{}", "{} x", "{\"a\":1,}", "{'a':1}", "\u{feff}{}", "{a:1}"] {
            assert_eq!(object(text.as_bytes()), Err(NotStrictObject::NotJson), "{text:?}");
        }
        for text in ["[]", "1", "\"a\"", "null", "true"] {
            assert_eq!(object(text.as_bytes()), Err(NotStrictObject::NotObject), "{text:?}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotStrictObject::NotJson));
        assert_eq!(object(br#"{"a":"\ud800"}"#), Err(NotStrictObject::NotJson));
        assert_eq!(object(br#"{"a":1e999}"#), Err(NotStrictObject::NotJson));
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(object(deep.as_bytes()), Err(NotStrictObject::NotJson));
    }
}
