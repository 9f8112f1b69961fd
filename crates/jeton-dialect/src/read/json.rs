//! JSON (RFC 8259), decoded strictly in one pass: UTF-8, one object, nothing after it; a member
//! given twice, at any depth, is found.

use std::borrow::Cow;

use jeton_engine::error::Reason;
use jeton_engine::jose::json::plain_length;

use super::given::{Given, Names, Value};

/// How deep arrays and objects may nest.
const DEPTH_MAX: usize = 64;

/// Why there is no JSON here; the caller hears `malformed_body` whatever it is.
#[derive(Debug)]
pub(super) struct NotJson;

/// Reads a JSON object.
pub(super) fn read<'a>(bytes: &'a [u8], given: &mut Given<'a>) -> Result<(), Reason> {
    let text = std::str::from_utf8(bytes).map_err(|_| Reason::BodyMalformed)?;
    let mut reader = Reader { text, at: 0, twice: None };
    reader.document(given).map_err(|NotJson| Reason::BodyMalformed)?;
    if let Some(name) = reader.twice {
        given.note_twice(&name);
    }
    Ok(())
}

/// What is done with each member, whose colon is behind us.
type TakeMember<'a, 't> = dyn FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), NotJson> + 't;
/// What is done with each element.
type TakeElement<'a, 't> = dyn FnMut(&mut Reader<'a>) -> Result<(), NotJson> + 't;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// The first member that came twice in a nested object.
    twice: Option<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    fn document(&mut self, given: &mut Given<'a>) -> Result<(), NotJson> {
        self.space();
        self.expect(b'{')?;
        self.members(1, &mut |reader, name| {
            let value = reader.parameter()?;
            given.put(name, value);
            Ok(())
        })?;
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(NotJson) }
    }

    /// The members of an object whose brace is behind us.
    fn members(&mut self, depth: usize, take: &mut TakeMember<'a, '_>) -> Result<(), NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson);
        }
        self.space();
        if self.accept(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            self.expect(b'"')?;
            let name = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            take(self, name)?;
            self.space();
            if self.accept(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// The value of a member of the outermost object.
    fn parameter(&mut self) -> Result<Value<'a>, NotJson> {
        if self.accept(b'"') {
            return self.string().map(Value::Text);
        }
        if !self.accept(b'[') {
            self.skip(1)?;
            return Ok(Value::Unusable);
        }
        let mut texts = Vec::new();
        let mut only_texts = true;
        self.elements(2, &mut |reader| {
            if reader.accept(b'"') {
                texts.push(reader.string()?);
            } else {
                only_texts = false;
                reader.skip(2)?;
            }
            Ok(())
        })?;
        Ok(if only_texts { Value::Texts(texts) } else { Value::Unusable })
    }

    /// The elements of an array whose bracket is behind us.
    fn elements(&mut self, depth: usize, take: &mut TakeElement<'a, '_>) -> Result<(), NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson);
        }
        self.space();
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            self.space();
            take(self)?;
            self.space();
            if self.accept(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// Any value, checked and passed over.
    fn skip(&mut self, depth: usize) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(drop)
            }
            Some(b'{') => {
                self.at += 1;
                let mut names = Names::default();
                self.members(depth + 1, &mut |reader, name| {
                    if let Err(name) = names.insert(name) {
                        reader.twice.get_or_insert(name);
                    }
                    reader.skip(depth + 1)
                })
            }
            Some(b'[') => {
                self.at += 1;
                self.elements(depth + 1, &mut |reader| reader.skip(depth + 1))
            }
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.number(),
        }
    }

    /// A string whose opening quote is behind us: borrowed, unless it holds an escape.
    fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        let rest = self.rest();
        let end = plain_length(rest);
        if rest.get(end) == Some(&b'"') {
            let text = self.text.get(self.at..self.at + end).ok_or(NotJson)?;
            self.at += end + 1;
            return Ok(Cow::Borrowed(text));
        }
        let mut decoded = String::with_capacity(end + 16);
        loop {
            let rest = self.rest();
            let end = plain_length(rest);
            decoded.push_str(self.text.get(self.at..self.at + end).ok_or(NotJson)?);
            let found = rest.get(end).copied();
            self.at += end + 1;
            match found {
                Some(b'"') => return Ok(Cow::Owned(decoded)),
                Some(b'\\') => decoded.push(self.escape()?),
                // Control characters must be escaped, and a string must end.
                _ => return Err(NotJson),
            }
        }
    }

    /// An escape whose backslash is behind us.
    fn escape(&mut self) -> Result<char, NotJson> {
        let byte = self.peek().ok_or(NotJson)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                if !(0xD800..0xE000).contains(&first) {
                    return char::from_u32(first).ok_or(NotJson);
                }
                // A surrogate stands for something only as the first of a pair.
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.four_digits()?;
                if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
                    return Err(NotJson);
                }
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                char::from_u32(code).ok_or(NotJson)?
            }
            _ => return Err(NotJson),
        })
    }

    fn four_digits(&mut self) -> Result<u32, NotJson> {
        let digits = self.rest().first_chunk::<4>().ok_or(NotJson)?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + char::from(*digit).to_digit(16).ok_or(NotJson)?;
        }
        self.at += 4;
        Ok(code)
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<(), NotJson> {
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            if !self.accept(b'+') {
                self.accept(b'-');
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(NotJson) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.accept(byte) { Ok(()) } else { Err(NotJson) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}
