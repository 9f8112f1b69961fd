//! Writing a JSON object, compact, member by member: what is known to be one need not be built first.

use serde_json::Value;

use super::is_plain;

/// A JSON object on its way. Who writes it sees to it that no member comes twice.
pub struct Object(Vec<u8>);

impl Object {
    /// An object without members, with room for so many bytes before it has to grow.
    pub fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(b'{');
        Self(bytes)
    }

    /// A text.
    pub fn string(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text(text);
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, number: i64) {
        self.name(name);
        self.json(&number);
    }

    /// Anything.
    pub fn value(&mut self, name: &str, value: &Value) {
        self.name(name);
        self.json(value);
    }

    /// An object of its own.
    pub fn object(&mut self, name: &str, object: Self) {
        self.name(name);
        self.0.extend_from_slice(&object.end());
    }

    /// One text is a string, several are an array, none is no member: as audiences are told (RFC 7519
    /// section 4.1.3).
    pub fn one_or_several<T: AsRef<str>>(&mut self, name: &str, texts: &[T]) {
        match texts {
            [] => {}
            [one] => self.string(name, one.as_ref()),
            [first, others @ ..] => {
                self.name(name);
                self.0.push(b'[');
                self.text(first.as_ref());
                for other in others {
                    self.0.push(b',');
                    self.text(other.as_ref());
                }
                self.0.push(b']');
            }
        }
    }

    /// Its text.
    pub fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.text(name);
        self.0.push(b':');
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        // Writing text, numbers and JSON values into memory has no way to fail.
        let written = serde_json::to_writer(&mut self.0, value);
        debug_assert!(written.is_ok());
    }

    /// A text in quotes. Nearly every one can stand there as it is, which is quickly seen.
    fn text(&mut self, text: &str) {
        if !is_plain(text) {
            return self.json(&text);
        }
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_stand_in_their_order_and_read_back_as_they_were() {
        let mut inner = Object::new(0);
        inner.string("x", "");
        let mut object = Object::new(0);
        object.string("text", "a\"\\\né");
        object.number("number", -7);
        object.value("value", &json!([null, 1.5, {"a": true}]));
        object.object("none", Object::new(0));
        object.object("inner", inner);
        object.one_or_several::<&str>("nobody", &[]);
        object.one_or_several("one", &["a"]);
        object.one_or_several("several", &["a", "\"", "c"]);
        let text = String::from_utf8(object.end()).unwrap();
        let expected = r#"{"text":"a\"\\\né","number":-7,"value":[null,1.5,{"a":true}],"none":{},"#
            .to_owned()
            + r#""inner":{"x":""},"one":"a","several":["a","\"","c"]}"#;
        assert_eq!(text, expected);
        assert_eq!(Object::new(0).end(), b"{}");
    }
}
