//! Texts with `{values}` in them: how they are parsed, and which values and forms may stand where.

use std::ops::Range;

use crate::problem::{Finder, suggestion};
use crate::value::{Form, Place, Slot, Sort, Value};

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<V> {
    /// Text that is always the same.
    Literal(String),
    /// A value.
    Value(V),
}

/// The text between `{` and `}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Braced(pub(crate) String);

/// Takes a text apart. `{{` and `}}` stand for the braces themselves.
pub(crate) fn split(text: &str) -> Result<Vec<Piece<Braced>>, &'static str> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.peek() == Some(&character) => {
                characters.next();
                literal.push(character);
            }
            '}' => return Err("`}` without `{`"),
            '{' => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                let mut inside = String::new();
                loop {
                    match characters.next() {
                        Some('}') => break,
                        Some('{') | None => return Err("`{` without `}`"),
                        Some(other) => inside.push(other),
                    }
                }
                pieces.push(Piece::Value(Braced(inside.trim().to_owned())));
            }
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// Takes a text apart and notes when it cannot be done.
pub(crate) fn split_or_note(
    text: &str,
    span: &Range<usize>,
    finder: &mut Finder<'_>,
) -> Option<Vec<Piece<Braced>>> {
    let split = split(text);
    if let Err(problem) = split {
        finder.at(span, problem, "write `{{` or `}}` for a brace that is meant literally");
    }
    split.ok()
}

/// Parses a text of an answer, with the values that may stand in this place.
pub(crate) fn pieces(
    text: &str,
    span: &Range<usize>,
    place: Place,
    finder: &mut Finder<'_>,
) -> Option<Vec<Piece<Slot>>> {
    let split = split_or_note(text, span, finder)?;
    let resolved: Vec<Option<Piece<Slot>>> = split
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(literal) => Some(Piece::Literal(literal)),
            Piece::Value(braced) => slot(&braced, span, place, finder).map(Piece::Value),
        })
        .collect();
    resolved.into_iter().collect()
}

fn slot(
    braced: &Braced,
    span: &Range<usize>,
    place: Place,
    finder: &mut Finder<'_>,
) -> Option<Slot> {
    let mut words = braced.0.split_ascii_whitespace();
    let name = words.next().unwrap_or_default();
    let may_stand = |value: &Value| value.place() == Place::Both || value.place() == place;
    let known = Value::ALL.iter().copied().filter(may_stand);
    let Some(value) = known.clone().find(|value| value.name() == name) else {
        let elsewhere = Value::ALL.iter().any(|value| value.name() == name);
        let message = match (elsewhere, place) {
            (true, Place::Success) => format!("`{name}` is only known in refusals"),
            (true, Place::Both) => format!("`{name}` is not known in every answer"),
            (true, Place::Refusal) => format!("`{name}` is only known when a token was issued"),
            (false, _) => format!("there is no value `{name}`"),
        };
        finder.at(span, message, suggestion(name, known.map(Value::name)));
        return None;
    };
    let mut slot = Slot { value, form: Form::Plain, as_text: false };
    let rest: Vec<&str> = words.collect();
    let mut rest = rest.as_slice();
    if let ["in", "milliseconds", after @ ..] = rest {
        slot.form = Form::Milliseconds;
        rest = after;
    }
    match rest {
        [] => {}
        ["as", "text"] => slot.as_text = true,
        ["as", "date"] if slot.form == Form::Plain => slot.form = Form::Date,
        _ => {
            let remedy =
                "after a value may follow `in milliseconds`, and then `as text`; or `as date`";
            finder.at(span, format!("`{}` is not a form", braced.0), remedy);
            return None;
        }
    }
    let fits = match slot.form {
        Form::Plain => true,
        Form::Milliseconds => matches!(value.sort(), Sort::Moment | Sort::Duration),
        Form::Date => value.sort() == Sort::Moment,
    };
    if !fits {
        finder.at(span, format!("`{name}` is not a time"), format!("write `{{{name}}}` alone"));
        return None;
    }
    Some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_hold_values_and_doubled_braces_are_braces() {
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let value = |text: &str| Piece::Value(Braced(text.to_owned()));
        assert_eq!(split("").unwrap(), []);
        assert_eq!(split("plain").unwrap(), [literal("plain")]);
        assert_eq!(split("{a}").unwrap(), [value("a")]);
        assert_eq!(
            split("x { a as text } y").unwrap(),
            [literal("x "), value("a as text"), literal(" y")]
        );
        assert_eq!(split("{{a}}").unwrap(), [literal("{a}")]);
        for wrong in ["{", "}", "{a", "a}", "{a{b}}", "{{a}"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
