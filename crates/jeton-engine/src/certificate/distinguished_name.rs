//! A distinguished name: written as text (RFC 4514) and compared by what it says, not by its letters.

use std::fmt::{self, Write as _};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use x509_parser::asn1_rs::{Any, FromBer as _, Tag, ToDer as _};
use x509_parser::x509::X509Name;

use crate::name::NameError;

/// A distinguished name (RFC 5280 section 4.1.2.6). Two are equal when they have the same attributes
/// in the same order (distinguishedNameMatch, RFC 4517 section 4.2.15). Which string type a certificate
/// uses for a value, how special characters are escaped and how a type is spelt make no difference; nor
/// do upper and lower case or repeated spaces in the value of a type that we know by a keyword.
#[derive(Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    /// As in the certificate: the most general first, the other way round than RFC 4514 writes them.
    /// What is joined by `+` has no order, so it is sorted.
    parts: Box<[Box<[Attribute]>]>,
}

#[derive(Clone)]
struct Attribute {
    /// The type as a dotted number.
    kind: Box<str>,
    value: Value,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(Box<str>),
    /// DER of a value that is not text.
    Other(Box<[u8]>),
}

/// Types by keyword: those of RFC 4514 section 3 first, then those that common programs write. The first
/// keyword of a type is the one that we write. All of them are compared without regard to case (RFC 4519,
/// RFC 2985 section 5.2.1).
const KEYWORDS: &[(&str, &str)] = &[
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
    ("serialNumber", "2.5.4.5"),
    ("SN", "2.5.4.4"),
    ("surname", "2.5.4.4"),
    ("GN", "2.5.4.42"),
    ("givenName", "2.5.4.42"),
    ("title", "2.5.4.12"),
    ("businessCategory", "2.5.4.15"),
    ("postalCode", "2.5.4.17"),
    ("organizationIdentifier", "2.5.4.97"),
    ("jurisdictionC", "1.3.6.1.4.1.311.60.2.1.3"),
    ("jurisdictionST", "1.3.6.1.4.1.311.60.2.1.2"),
    ("jurisdictionL", "1.3.6.1.4.1.311.60.2.1.1"),
];

impl DistinguishedName {
    /// The name in a certificate.
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let attribute = |kind: String, value: &Any<'_>| Attribute {
            kind: kind.into(),
            value: Value::of(value),
        };
        let parts = name.iter_rdn().map(|relative| {
            let attributes = relative.iter();
            sorted(
                attributes
                    .map(|it| attribute(it.attr_type().to_id_string(), it.attr_value()))
                    .collect(),
            )
        });
        Self { parts: parts.collect() }
    }

    /// Whether it says nothing, as of a certificate that only bears alternative names.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

impl FromStr for DistinguishedName {
    type Err = NameError;

    /// Reads the form of RFC 4514 section 3. Spaces around `,`, `+` and `=` are passed over, as RFC 2253 had
    /// it and many programs still print it.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.trim().is_empty() || text.len() > 4096 {
            return Err(NameError("must have 1 to 4096 bytes"));
        }
        if text.starts_with('/') {
            return Err(NameError("must be like CN=name,O=organization,C=FR, without slashes"));
        }
        let mut letters = text.chars().peekable();
        let (mut parts, mut part) = (Vec::new(), Vec::new());
        loop {
            let (attribute, end) = read_attribute(&mut letters)?;
            part.push(attribute);
            if end == Some('+') {
                continue;
            }
            parts.push(sorted(std::mem::take(&mut part)));
            if end.is_none() {
                break;
            }
        }
        parts.reverse();
        Ok(Self { parts: parts.into() })
    }
}

fn sorted(mut attributes: Vec<Attribute>) -> Box<[Attribute]> {
    attributes.sort_by_cached_key(Attribute::compared);
    attributes.into()
}

impl Attribute {
    /// What is compared of it: type and value. Of caseIgnoreMatch (RFC 4517 section 4.2.11) only what it
    /// does to letters of ASCII and to spaces: its mapping of all other letters (RFC 4518) takes many for
    /// the same that only look alike, and a name that opens a door must not have doubles.
    fn compared(&self) -> (Box<str>, Value) {
        let ignores_case = || KEYWORDS.iter().any(|(_, number)| *number == &*self.kind);
        let value = match &self.value {
            Value::Text(text) if ignores_case() => {
                let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
                Value::Text(words.join(" ").to_ascii_lowercase().into())
            }
            value => value.clone(),
        };
        (self.kind.clone(), value)
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for Attribute {}

/// Reads `type=value` and the `,` or `+` behind it.
fn read_attribute(
    letters: &mut Peekable<Chars<'_>>,
) -> Result<(Attribute, Option<char>), NameError> {
    let mut kind = String::new();
    loop {
        match letters.next() {
            Some('=') => break,
            Some(letter) if letter.is_ascii_alphanumeric() || "-. ".contains(letter) => {
                kind.push(letter);
            }
            _ => return Err(NameError("must be made of type=value, separated by commas")),
        }
    }
    let kind = kind_of(kind.trim())?;
    while letters.next_if_eq(&' ').is_some() {}
    let value = match letters.next_if_eq(&'#') {
        Some(_) => return read_encoded(letters, kind),
        None => read_text(letters)?,
    };
    Ok((Attribute { kind, value: Value::Text(value.0.into()) }, value.1))
}

fn kind_of(kind: &str) -> Result<Box<str>, NameError> {
    let known = KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(kind));
    if let Some((_, number)) = known {
        return Ok((*number).into());
    }
    let number = kind
        .get(..4)
        .filter(|it| it.eq_ignore_ascii_case("OID."))
        .map_or(kind, |prefix| kind.get(prefix.len()..).unwrap_or(kind));
    let is_arc = |arc: &str| {
        !arc.is_empty()
            && arc.bytes().all(|byte| byte.is_ascii_digit())
            && (arc == "0" || !arc.starts_with('0'))
    };
    if number.contains('.') && number.split('.').all(is_arc) {
        return Ok(number.into());
    }
    Err(NameError("has a type that is neither a known keyword, such as CN, nor a dotted number"))
}

/// Reads a value written as text up to an unescaped `,` or `+`.
fn read_text(letters: &mut Peekable<Chars<'_>>) -> Result<(String, Option<char>), NameError> {
    const BROKEN: NameError =
        NameError("has a backslash that escapes nothing (RFC 4514 section 3)");
    let mut bytes = Vec::new();
    // Where the value ends when the spaces behind it are not of it.
    let mut end = 0;
    let separator = loop {
        let Some(letter) = letters.next() else { break None };
        match letter {
            ',' | '+' => break Some(letter),
            '\\' => {
                let escaped = letters.next().ok_or(BROKEN)?;
                if " \"#+,;<=>\\".contains(escaped) {
                    push(&mut bytes, escaped);
                } else {
                    let low = letters.next().ok_or(BROKEN)?;
                    bytes.push(byte_of(escaped, low).ok_or(BROKEN)?);
                }
                end = bytes.len();
            }
            '"' | ';' | '<' | '>' | '\0' => {
                return Err(NameError("has one of \" ; < > without a backslash before it"));
            }
            ' ' => bytes.push(b' '),
            letter => {
                push(&mut bytes, letter);
                end = bytes.len();
            }
        }
    };
    bytes.truncate(end);
    if bytes.is_empty() {
        return Err(NameError("has an attribute without a value"));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| NameError("escapes bytes that are not UTF-8"))?;
    Ok((text, separator))
}

/// Reads a value written as `#` and the digits of its BER.
fn read_encoded(
    letters: &mut Peekable<Chars<'_>>,
    kind: Box<str>,
) -> Result<(Attribute, Option<char>), NameError> {
    const BROKEN: NameError = NameError("has a # that hexadecimal BER does not follow");
    let mut bytes = Vec::new();
    let separator = loop {
        match letters.next() {
            None => break None,
            Some(letter @ (',' | '+')) => break Some(letter),
            Some(' ') => {}
            Some(high) => {
                let low = letters.next().ok_or(BROKEN)?;
                bytes.push(byte_of(high, low).ok_or(BROKEN)?);
            }
        }
    };
    match Any::from_ber(&bytes) {
        Ok(([], value)) => Ok((Attribute { kind, value: Value::of(&value) }, separator)),
        _ => Err(BROKEN),
    }
}

fn push(bytes: &mut Vec<u8>, letter: char) {
    bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

fn byte_of(high: char, low: char) -> Option<u8> {
    u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()
}

impl Value {
    /// The value: text wherever the string type and its bytes allow it.
    fn of(value: &Any<'_>) -> Self {
        let text = match value.tag() {
            Tag::Utf8String
            | Tag::PrintableString
            | Tag::Ia5String
            | Tag::NumericString
            | Tag::VisibleString => String::from_utf8(value.data.to_vec()).ok(),
            // What its other bytes mean, nobody agrees on.
            Tag::TeletexString if value.data.is_ascii() => {
                String::from_utf8(value.data.to_vec()).ok()
            }
            Tag::BmpString => wide(value.data, 2),
            Tag::UniversalString => wide(value.data, 4),
            _ => None,
        };
        match text {
            Some(text) => Self::Text(text.into()),
            None => Self::Other(value.to_der_vec().unwrap_or_else(|_| value.data.to_vec()).into()),
        }
    }
}

/// Text of characters of this many bytes each.
fn wide(bytes: &[u8], width: usize) -> Option<String> {
    let characters = bytes.chunks(width).map(|chunk| {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        char::from_u32(number).filter(|_| chunk.len() == width)
    });
    characters.collect()
}

impl fmt::Display for DistinguishedName {
    /// Writes the form of RFC 4514 section 2.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.parts.iter().rev().enumerate() {
            if number > 0 {
                formatter.write_char(',')?;
            }
            for (number, attribute) in part.iter().enumerate() {
                if number > 0 {
                    formatter.write_char('+')?;
                }
                write!(formatter, "{attribute}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyword = KEYWORDS.iter().find(|(_, number)| *number == &*self.kind);
        write!(formatter, "{}=", keyword.map_or(&*self.kind, |(keyword, _)| *keyword))?;
        match &self.value {
            Value::Text(text) => write_escaped(formatter, text),
            Value::Other(bytes) => {
                formatter.write_char('#')?;
                bytes.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    }
}

/// Escapes what RFC 4514 section 2.4 says, and control characters, so that a name stays on its line.
fn write_escaped(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (number, letter) in text.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(formatter, "\\{letter}")?,
            '#' if number == 0 => formatter.write_str("\\#")?,
            ' ' if number == 0 || number == last => formatter.write_str("\\ ")?,
            letter if letter.is_control() => {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    write!(formatter, "\\{byte:02x}")?;
                }
            }
            letter => formatter.write_char(letter)?,
        }
    }
    Ok(())
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}
