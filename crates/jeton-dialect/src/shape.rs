//! The shape of a body: JSON with values in it, compiled once into steps that are written in a row.

use jeton_engine::jose::json::is_plain;

use crate::problem::Finder;
use crate::said::{Json, Said};
use crate::template::{Piece, pieces};
use crate::value::{Found, Place, Slot, Source, Value};

/// JSON in which some texts are values. Kept beside the compiled steps because `replay` compares a
/// live answer with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Anything without values.
    Constant(serde_json::Value),
    /// One value, alone: it keeps its JSON type.
    Slot(Slot),
    /// A text with values in it.
    Text(Vec<Piece<Slot>>),
    /// An array; an element whose value is absent is left out.
    Array(Vec<Shape>),
    /// An object; a member whose value is absent is left out.
    Object(Vec<(String, Shape)>),
}

impl Shape {
    /// Builds the shape of what a file says; notes what cannot stand in this place.
    pub(crate) fn new(json: &Said<Json>, place: Place, finder: &mut Finder<'_>) -> Option<Self> {
        Some(match &json.value {
            Json::Bool(said) => Self::Constant((*said).into()),
            Json::Integer(number) => Self::Constant((*number).into()),
            Json::Float(number) => Self::Constant((*number).into()),
            Json::Text(text) => {
                let pieces = pieces(text, &json.span, place, finder)?;
                match pieces.as_slice() {
                    [] => Self::Constant(String::new().into()),
                    [Piece::Literal(literal)] => Self::Constant(literal.clone().into()),
                    [Piece::Value(slot)] => Self::Slot(*slot),
                    _ => Self::Text(pieces),
                }
            }
            Json::Array(items) => {
                let items: Vec<Option<Self>> =
                    items.iter().map(|item| Self::new(item, place, finder)).collect();
                Self::Array(items.into_iter().collect::<Option<_>>()?)
            }
            Json::Object(members) => {
                let members: Vec<Option<(String, Self)>> = members
                    .0
                    .iter()
                    .map(|(name, value)| {
                        Self::new(value, place, finder).map(|shape| (name.value.clone(), shape))
                    })
                    .collect();
                Self::Object(members.into_iter().collect::<Option<_>>()?)
            }
        })
    }

    /// Whether this value stands anywhere in it.
    pub(crate) fn holds(&self, value: Value) -> bool {
        match self {
            Self::Constant(_) => false,
            Self::Slot(slot) => slot.value == value,
            Self::Text(pieces) => pieces
                .iter()
                .any(|piece| matches!(piece, Piece::Value(slot) if slot.value == value)),
            Self::Array(items) => items.iter().any(|item| item.holds(value)),
            Self::Object(members) => members.iter().any(|(_, member)| member.holds(value)),
        }
    }

    /// The values without which this does not appear; objects and arrays always appear.
    fn needs(&self) -> Vec<Value> {
        let needed: Vec<Value> = match self {
            Self::Constant(_) | Self::Array(_) | Self::Object(_) => Vec::new(),
            Self::Slot(slot) => vec![slot.value],
            Self::Text(pieces) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Value(slot) => Some(slot.value),
                    Piece::Literal(_) => None,
                })
                .collect(),
        };
        needed.into_iter().filter(|value| may_be_absent(*value)).collect()
    }
}

/// Whether a value that may stand in a place can be absent there.
fn may_be_absent(value: Value) -> bool {
    matches!(
        value,
        Value::ExpiresIn
            | Value::ExpiresAt
            | Value::Scope
            | Value::ScopeIfChanged
            | Value::ClientName
            | Value::Parameter
            | Value::RetryAfter
            | Value::Limit
            | Value::Remaining
            | Value::Reset
    )
}

/// A body as steps, to be taken in a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    steps: Vec<Step>,
    /// The bytes of all literals; a lower bound of the body's length.
    literal_bytes: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// These bytes, as they are.
    Literal(Vec<u8>),
    /// A value as JSON: a quoted text or a bare number.
    Json(Slot),
    /// A value inside a JSON text.
    Inside(Slot),
    /// A value as it is.
    Bare(Slot),
    /// A comma, unless nothing stands before it in the same object or array.
    Comma,
    /// Takes the next steps only when all these values are there.
    When(Vec<Value>, usize),
}

impl Steps {
    /// Compiles a JSON body.
    pub(crate) fn json(shape: &Shape) -> Self {
        let mut steps = Self::default();
        steps.add(shape);
        steps
    }

    /// Compiles a text body or a header.
    pub(crate) fn text(pieces: &[Piece<Slot>]) -> Self {
        let mut steps = Self::default();
        for piece in pieces {
            match piece {
                Piece::Literal(literal) => steps.literal(literal.as_bytes()),
                Piece::Value(slot) => steps.steps.push(Step::Bare(*slot)),
            }
        }
        steps
    }

    /// The bytes, when there is nothing else.
    pub(crate) fn constant(&self) -> Option<&[u8]> {
        match self.steps.as_slice() {
            [] => Some(&[]),
            [Step::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// Writes the body.
    pub(crate) fn write(&self, source: &Source<'_>) -> Vec<u8> {
        // Room for a token and the figures beside it, so that one allocation is enough.
        let mut out = Vec::with_capacity(self.literal_bytes + 768);
        let mut steps = self.steps.iter();
        while let Some(step) = steps.next() {
            match step {
                Step::Literal(bytes) => out.extend_from_slice(bytes),
                Step::Json(slot) => write_json(source, *slot, &mut out),
                Step::Inside(slot) => write_inside(source, *slot, &mut out),
                Step::Bare(slot) => write_bare(source, *slot, &mut out),
                Step::Comma => {
                    if !matches!(out.last(), Some(b'{' | b'[')) {
                        out.push(b',');
                    }
                }
                Step::When(values, count) => {
                    if !values.iter().all(|value| source.has(*value)) {
                        steps.by_ref().take(*count).for_each(drop);
                    }
                }
            }
        }
        out
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.literal_bytes += bytes.len();
        if let Some(Step::Literal(last)) = self.steps.last_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.steps.push(Step::Literal(bytes.to_vec()));
        }
    }

    fn add(&mut self, shape: &Shape) {
        match shape {
            Shape::Constant(value) => self.literal(value.to_string().as_bytes()),
            Shape::Slot(slot) => self.steps.push(Step::Json(*slot)),
            Shape::Text(pieces) => {
                self.literal(b"\"");
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => {
                            let mut escaped = Vec::new();
                            escape(literal, &mut escaped);
                            self.literal(&escaped);
                        }
                        Piece::Value(slot) => self.steps.push(Step::Inside(*slot)),
                    }
                }
                self.literal(b"\"");
            }
            Shape::Array(items) => {
                self.literal(b"[");
                self.list(items.iter().map(|item| (None, item)));
                self.literal(b"]");
            }
            Shape::Object(members) => {
                self.literal(b"{");
                self.list(members.iter().map(|(name, member)| (Some(name.as_str()), member)));
                self.literal(b"}");
            }
        }
    }

    /// Members or elements, with their commas.
    fn list<'s>(&mut self, items: impl Iterator<Item = (Option<&'s str>, &'s Shape)>) {
        let mut something_before = false;
        let mut is_first = true;
        for (name, item) in items {
            let needs = item.needs();
            let mut inner = Self::default();
            if something_before {
                inner.literal(b",");
            } else if !is_first {
                inner.steps.push(Step::Comma);
            }
            if let Some(name) = name {
                let mut key = vec![b'"'];
                escape(name, &mut key);
                key.extend_from_slice(b"\":");
                inner.literal(&key);
            }
            inner.add(item);
            something_before |= needs.is_empty();
            is_first = false;
            self.append(needs, inner);
        }
    }

    fn append(&mut self, needs: Vec<Value>, inner: Self) {
        if needs.is_empty() {
            for step in inner.steps {
                match step {
                    Step::Literal(bytes) => self.literal(&bytes),
                    other => self.steps.push(other),
                }
            }
            return;
        }
        self.steps.push(Step::When(needs, inner.steps.len()));
        self.literal_bytes += inner.literal_bytes;
        self.steps.extend(inner.steps);
        // A literal after this must not melt into the last conditional one.
        self.steps.push(Step::Literal(Vec::new()));
    }
}

fn write_json(source: &Source<'_>, slot: Slot, out: &mut Vec<u8>) {
    match source.find(slot) {
        Some(Found::Text(text)) => {
            out.push(b'"');
            escape(&text, out);
            out.push(b'"');
        }
        Some(Found::Number(number)) if slot.as_text => {
            out.push(b'"');
            decimal(number, out);
            out.push(b'"');
        }
        Some(Found::Number(number)) => decimal(number, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn write_inside(source: &Source<'_>, slot: Slot, out: &mut Vec<u8>) {
    match source.find(slot) {
        Some(Found::Text(text)) => escape(&text, out),
        Some(Found::Number(number)) => decimal(number, out),
        None => {}
    }
}

fn write_bare(source: &Source<'_>, slot: Slot, out: &mut Vec<u8>) {
    match source.find(slot) {
        Some(Found::Text(text)) => out.extend_from_slice(text.as_bytes()),
        Some(Found::Number(number)) => decimal(number, out),
        None => {}
    }
}

/// Writes a number without the machinery of `fmt`.
fn decimal(number: i64, out: &mut Vec<u8>) {
    if number < 0 {
        out.push(b'-');
    }
    let start = out.len();
    let mut rest = number.unsigned_abs();
    loop {
        // A digit always fits a byte.
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Writes a text as it stands between the quotes of a JSON string (RFC 8259 section 7).
fn escape(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            other => out.push(other),
        }
    }
}

/// Whether all the values of a header are there.
pub(crate) fn all_there(pieces: &[Piece<Slot>], source: &Source<'_>) -> bool {
    pieces.iter().all(|piece| match piece {
        Piece::Literal(_) => true,
        Piece::Value(slot) => source.has(slot.value),
    })
}
