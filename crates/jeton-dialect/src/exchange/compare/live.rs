//! Comparing with a server that has its own clock, randomness and keys: tokens, times and references
//! may be others, but must be of the same form.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_engine::event::Reference;
use jeton_engine::terms::{ClaimValue, HeaderValue, StoredShape, TokenShape};
use serde_json::Value as Json;

use super::{Difference, Response, header_names, lossy, status, values};
use crate::dialect::{Dialect, Row};
use crate::shape::Shape;
use crate::template::Piece;
use crate::value::{Form, Slot, Value};

/// Compares a live response with the recorded one. Empty when it is as good.
pub fn compare_live(dialect: &Dialect, expected: &Response, actual: &Response) -> Vec<Difference> {
    let mut found = status(expected, actual);
    let row = row(dialect, expected);
    let mut judge = Judge { dialect, found: Vec::new() };
    for name in header_names(expected, actual) {
        let (left, right) = (values(&expected.headers, &name), values(&actual.headers, &name));
        let pieces = row.and_then(|row| {
            let mut varying = row.headers.varying();
            varying.find(|(known, _)| known.as_str() == name).map(|(_, pieces)| pieces)
        });
        match pieces {
            Some(pieces) => judge.text(&name, pieces, &left, &right),
            None if name == "retry-after" => judge.digits(&name, &left, &right),
            None => judge.same(&name, &left, &right),
        }
    }
    match row.and_then(|row| row.shape.as_ref()) {
        Some(shape) => judge.body(shape, &expected.body, &actual.body),
        None => judge.same("body", &lossy(&expected.body), &lossy(&actual.body)),
    }
    found.extend(judge.found);
    found
}

/// The row that the recorded response was written from: the one whose constants it has.
fn row<'d>(dialect: &'d Dialect, expected: &Response) -> Option<&'d Row> {
    let rows = std::iter::once(&dialect.success).chain(dialect.refusals.iter().map(|row| &**row));
    let mut candidates = rows.filter(|row| row.status.as_u16() == expected.status);
    candidates.find(|row| match &row.shape {
        None => expected.body.is_empty(),
        Some(shape) => {
            let mut judge = Judge { dialect, found: Vec::new() };
            judge.body(shape, &expected.body, &expected.body);
            judge.found.is_empty()
        }
    })
}

/// Collects differences.
struct Judge<'d> {
    dialect: &'d Dialect,
    found: Vec<Difference>,
}

impl Judge<'_> {
    fn differ(&mut self, place: &str, expected: &str, actual: &str) {
        self.found.push(Difference::new(place, expected, actual));
    }

    fn same(&mut self, place: &str, expected: &str, actual: &str) {
        if expected != actual {
            self.differ(place, expected, actual);
        }
    }

    fn digits(&mut self, place: &str, expected: &str, actual: &str) {
        if expected == "(none)" || actual.parse::<i64>().is_err() {
            self.same(place, expected, actual);
        }
    }

    fn body(&mut self, shape: &Shape, expected: &[u8], actual: &[u8]) {
        let (expected_text, actual_text) = (lossy(expected), lossy(actual));
        match (shape, serde_json::from_slice(expected), serde_json::from_slice(actual)) {
            (Shape::Text(pieces), ..) => self.text("body", pieces, &expected_text, &actual_text),
            (_, Ok(expected), Ok(actual)) => self.json("body", shape, &expected, &actual),
            _ => self.differ("body", &expected_text, &actual_text),
        }
    }

    fn json(&mut self, place: &str, shape: &Shape, expected: &Json, actual: &Json) {
        match (shape, expected, actual) {
            (Shape::Object(members), Json::Object(left), Json::Object(right)) => {
                let names = |object: &serde_json::Map<String, Json>| {
                    object.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                };
                self.same(&format!("{place} (members)"), &names(left), &names(right));
                for (name, left) in left {
                    let shape = members.iter().find(|(known, _)| known == name);
                    let place = format!("{place}.{name}");
                    match (shape, right.get(name)) {
                        (Some((_, shape)), Some(right)) => self.json(&place, shape, left, right),
                        (None, _) => self.differ(&place, &left.to_string(), "(not in the dialect)"),
                        // The list of members has told it.
                        (Some(_), None) => {}
                    }
                }
            }
            (Shape::Array(shapes), Json::Array(left), Json::Array(right))
                if shapes.len() == left.len() && left.len() == right.len() =>
            {
                for (index, ((shape, left), right)) in
                    shapes.iter().zip(left).zip(right).enumerate()
                {
                    self.json(&format!("{place}[{index}]"), shape, left, right);
                }
            }
            (Shape::Slot(slot), left, right) => self.slot(place, *slot, left, right),
            (Shape::Text(pieces), Json::String(left), Json::String(right)) => {
                self.text(place, pieces, left, right);
            }
            (Shape::Constant(constant), left, right) => {
                self.same(place, &constant.to_string(), &left.to_string());
                self.same(place, &left.to_string(), &right.to_string());
            }
            (_, left, right) => self.differ(place, &left.to_string(), &right.to_string()),
        }
    }

    /// A value in JSON: of the same JSON type, and then as in a text.
    fn slot(&mut self, place: &str, slot: Slot, expected: &Json, actual: &Json) {
        match (expected, actual) {
            (Json::String(left), Json::String(right)) => self.value(place, slot, left, right),
            (Json::Number(left), Json::Number(right)) => {
                self.value(place, slot, &left.to_string(), &right.to_string());
            }
            (left, right) => self.differ(place, &left.to_string(), &right.to_string()),
        }
    }

    /// A text with values in it: literals must stand where they stand, values are taken by form.
    fn text(&mut self, place: &str, pieces: &[Piece<Slot>], expected: &str, actual: &str) {
        let (Some(left), Some(right)) = (parts(pieces, expected), parts(pieces, actual)) else {
            self.same(place, expected, actual);
            return;
        };
        for ((slot, left), (_, right)) in left.iter().zip(&right) {
            self.value(place, *slot, left, right);
        }
    }

    fn value(&mut self, place: &str, slot: Slot, expected: &str, actual: &str) {
        match slot.value {
            Value::AccessToken => self.token(place, expected, actual),
            Value::Reference => {
                if actual.parse::<Reference>().is_err() {
                    self.differ(place, expected, actual);
                }
            }
            Value::ExpiresAt | Value::IssuedAt | Value::Time | Value::Reset => match slot.form {
                Form::Date if actual.parse::<jiff::Timestamp>().is_err() => {
                    self.differ(place, expected, actual);
                }
                Form::Date => {}
                Form::Plain | Form::Milliseconds => {
                    self.digits(place, expected, actual);
                    // Seconds are never taken for milliseconds: three digits lie between them.
                    self.same(
                        &format!("{place} (digits)"),
                        &expected.len().to_string(),
                        &actual.len().to_string(),
                    );
                }
            },
            Value::Remaining | Value::RetryAfter => self.digits(place, expected, actual),
            _ => self.same(place, expected, actual),
        }
    }

    fn token(&mut self, place: &str, expected: &str, actual: &str) {
        match &self.dialect.terms.token {
            Some(TokenShape::Stored(shape)) if is_stored(shape, actual) => {}
            Some(TokenShape::Stored(shape)) => {
                let form = format!("{}… ({} characters)", shape.prefix, shape.length);
                self.differ(place, &form, actual);
            }
            Some(TokenShape::Jwt(shape)) => {
                let volatile_header = names(&shape.header, |value| *value == HeaderValue::KeyId);
                let volatile_claims = names(&shape.claims, is_volatile);
                self.jwt(place, (expected, actual), &volatile_header, &volatile_claims);
            }
            // The realm decides: a JWT has the members of the recorded one, anything else is opaque.
            None if members(expected, 0).is_some() && members(actual, 0).is_some() => {
                let claims = ["iss", "iat", "nbf", "exp", "jti"].map(str::to_owned);
                self.jwt(place, (expected, actual), &["alg".to_owned(), "kid".to_owned()], &claims);
            }
            Some(TokenShape::Sealed) | None if actual.is_empty() => {
                self.differ(place, expected, "(empty)");
            }
            Some(TokenShape::Sealed) | None => {}
        }
    }

    fn jwt(&mut self, place: &str, pair: (&str, &str), header: &[String], claims: &[String]) {
        for (part, what, volatile) in [(0, "header", header), (1, "claims", claims)] {
            let place = format!("{place} ({what})");
            let (Some(left), Some(right)) = (members(pair.0, part), members(pair.1, part)) else {
                self.differ(&place, "a JWT", "(not a JWT)");
                continue;
            };
            let shown = |members: &serde_json::Map<String, Json>| {
                // A token for nobody in particular is for its issuer, whoever that is.
                let issuer = |name: &str, value| name == "aud" && members.get("iss") == Some(value);
                let shown = members.iter().map(|(name, value)| {
                    let shown = match volatile.contains(name) {
                        _ if issuer(name, value) => "(the issuer)".to_owned(),
                        true if value.is_number() => "(a number)".to_owned(),
                        true => "(any)".to_owned(),
                        false => value.to_string(),
                    };
                    format!("{name}: {shown}")
                });
                shown.collect::<Vec<_>>().join("\n")
            };
            self.same(&place, &shown(&left), &shown(&right));
            if let (Some(left), Some(right)) = (lifetime(&left), lifetime(&right)) {
                let place = format!("{place} exp - iat");
                self.same(&place, &left.to_string(), &right.to_string());
            }
        }
    }
}

/// Takes a text apart by the literals of its template.
fn parts<'t>(pieces: &[Piece<Slot>], text: &'t str) -> Option<Vec<(Slot, &'t str)>> {
    let mut rest = text;
    let mut found = Vec::new();
    let mut open: Option<Slot> = None;
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => {
                let at = rest.find(literal.as_str())?;
                let (before, after) = rest.split_at_checked(at)?;
                match open.take() {
                    Some(slot) => found.push((slot, before)),
                    None if !before.is_empty() => return None,
                    None => {}
                }
                rest = after.strip_prefix(literal.as_str())?;
            }
            Piece::Value(slot) => {
                // Two values without anything between them cannot be told apart.
                if open.replace(*slot).is_some() {
                    return None;
                }
            }
        }
    }
    match open {
        Some(slot) => found.push((slot, rest)),
        None if !rest.is_empty() => return None,
        None => {}
    }
    Some(found)
}

fn is_stored(shape: &StoredShape, token: &str) -> bool {
    token.strip_prefix(&shape.prefix).is_some_and(|random| {
        random.len() == shape.length && random.chars().all(|c| shape.alphabet.contains(c))
    })
}

fn is_volatile(value: &ClaimValue) -> bool {
    matches!(
        value,
        ClaimValue::Issuer
            | ClaimValue::IssuedAt
            | ClaimValue::NotBefore
            | ClaimValue::ExpiresAt
            | ClaimValue::TokenId
    )
}

fn names<V>(members: &[(String, V)], is_volatile: impl Fn(&V) -> bool) -> Vec<String> {
    members.iter().filter(|(_, value)| is_volatile(value)).map(|(name, _)| name.clone()).collect()
}

/// The members of one part of a JWT.
fn members(token: &str, part: usize) -> Option<serde_json::Map<String, Json>> {
    if token.split('.').count() != 3 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(part)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn lifetime(claims: &serde_json::Map<String, Json>) -> Option<i64> {
    Some(claims.get("exp")?.as_i64()? - claims.get("iat")?.as_i64()?)
}
