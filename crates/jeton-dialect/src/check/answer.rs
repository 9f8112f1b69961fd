//! What a dialect says of answers: rows for success and for every kind of refusal.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use jeton_engine::error::Kind;

use crate::dialect::{Body, HeaderText, Headers, Row};
use crate::problem::{Finder, suggestion};
use crate::raw;
use crate::said::{Json, Members, Said};
use crate::shape::{Shape, Steps};
use crate::template::{Piece, pieces};
use crate::value::{Place, Slot, Value};

/// Headers whose meaning is the server's, not the dialect's.
const RESERVED: [&str; 8] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "date",
    "keep-alive",
    "upgrade",
    "set-cookie",
];

type Header = (Said<String>, Said<String>);

/// What all answers have in shared.
pub(super) struct Shared<'s> {
    headers: &'s [Header],
    refusal_headers: &'s [Header],
    json_media_type: String,
}

impl<'s> Shared<'s> {
    pub(super) fn new(said: Option<&'s raw::Answers>, finder: &mut Finder<'_>) -> Self {
        let slice = |members: Option<&'s Said<Members<String>>>| {
            members.map_or(&[][..], |members| members.value.0.as_slice())
        };
        let media_type = said.and_then(|said| said.json_media_type.as_ref());
        if let Some(media_type) = media_type {
            header_value(media_type.as_bytes(), &media_type.span, finder);
        }
        for headers in [
            said.and_then(|said| said.headers.as_ref()),
            said.and_then(|said| said.refusal_headers.as_ref()),
        ] {
            refuse_twice(slice(headers), finder);
        }
        Self {
            headers: slice(said.and_then(|said| said.headers.as_ref())),
            refusal_headers: slice(said.and_then(|said| said.refusal_headers.as_ref())),
            json_media_type: media_type
                .map_or_else(|| "application/json".to_owned(), |said| said.value.clone()),
        }
    }
}

/// One row, whichever table it stands in.
struct Parts<'s> {
    span: &'s Range<usize>,
    status: StatusCode,
    headers: Option<&'s Said<Members<String>>>,
    media_type: Option<&'s Said<String>>,
    json: Option<&'s Said<Json>>,
    text: Option<&'s Said<String>>,
    place: Place,
}

pub(super) fn success(
    said: &Said<raw::Success>,
    shared: &Shared<'_>,
    finder: &mut Finder<'_>,
) -> Option<Row> {
    let status = match &said.status {
        Some(status) => {
            let code = u16::try_from(status.value).ok().filter(|code| (200..300).contains(code));
            if code.is_none() {
                finder.at(
                    &status.span,
                    "a success has a status from 200 to 299",
                    "write 200 or 201",
                );
            }
            StatusCode::from_u16(code?).ok()?
        }
        None => StatusCode::OK,
    };
    let parts = Parts {
        span: &said.span,
        status,
        headers: said.headers.as_ref(),
        media_type: said.media_type.as_ref(),
        json: said.json.as_ref(),
        text: said.text.as_ref(),
        place: Place::Success,
    };
    let before = finder.count();
    let row = row(&parts, shared, finder)?;
    let in_headers = row.headers.varying().any(|(_, pieces)| {
        pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Value(Slot { value: Value::AccessToken, .. })))
    });
    let in_body = row.shape.as_ref().is_some_and(|shape| shape.holds(Value::AccessToken));
    if !in_headers && !in_body && finder.count() == before {
        let remedy = "write `\"{access_token}\"` where the token stands";
        finder.at(&said.span, "the answer carries no token", remedy);
    }
    Some(row)
}

/// A row for every kind; those without one of their own share the row of their more general kind.
pub(super) fn refusals(
    said: &Said<raw::Refusals>,
    shared: &Shared<'_>,
    finder: &mut Finder<'_>,
) -> Option<Vec<Arc<Row>>> {
    let mut own: Vec<(Kind, Arc<Row>)> = Vec::new();
    let mut named = Vec::new();
    for (name, said) in &said.0.0 {
        let Ok(kind) = name.parse::<Kind>() else {
            let known = Kind::ALL.iter().map(|kind| kind.name());
            let message = format!("`{}` is not a kind of refusal", name.value);
            finder.at(&name.span, message, suggestion(&name.value, known));
            continue;
        };
        named.push(kind);
        if let Some(row) = refusal(kind, said, shared, finder) {
            own.push((kind, Arc::new(row)));
        }
    }
    let mut rows = Vec::new();
    let mut unanswered = Vec::new();
    for kind in Kind::ALL {
        let chain = || std::iter::successors(Some(*kind), |kind| kind.general());
        let found = chain().find_map(|kind| own.iter().find(|(own, _)| *own == kind));
        match found {
            Some((_, row)) => rows.push(Arc::clone(row)),
            None if !chain().any(|kind| named.contains(&kind)) => unanswered.push(kind.name()),
            None => {}
        }
    }
    if !unanswered.is_empty() {
        let message = format!("these refusals have no answer: {}", unanswered.join(", "));
        let remedy = "add a row for each, or the rows `refused` and `server_error` that cover all";
        finder.at(&said.span, message, remedy);
    }
    (rows.len() == Kind::ALL.len()).then_some(rows)
}

fn refusal(
    kind: Kind,
    said: &Said<raw::Refusal>,
    shared: &Shared<'_>,
    finder: &mut Finder<'_>,
) -> Option<Row> {
    let Some(status) = &said.status else {
        if !said.spoiled.contains(&"status") {
            finder.at(&said.span, "this row lacks `status`", "add `status = 400` or the like");
        }
        return None;
    };
    let code = status_of_refusal(kind, status, finder)?;
    let is_permitted = said.danger_success_status.as_ref().is_some_and(|said| said.value);
    if code.is_success() && !is_permitted {
        let remedy = "add `danger_success_status = true` if clients really expect it, or write 400";
        let message = "a client that looks at this status only believes that it has a token";
        finder.at(&status.span, message, remedy);
    }
    if let Some(danger) = &said.danger_success_status
        && !code.is_success()
    {
        finder.at(&danger.span, "this permits nothing: the status is no success", "remove it");
    }
    let parts = Parts {
        span: &said.span,
        status: code,
        headers: said.headers.as_ref(),
        media_type: said.media_type.as_ref(),
        json: said.json.as_ref(),
        text: said.text.as_ref(),
        place: Place::Refusal,
    };
    let mut row = row(&parts, shared, finder)?;
    if let Some(challenge) = &said.challenge {
        row.challenge = header_value(challenge.as_bytes(), &challenge.span, finder);
    }
    Some(row)
}

/// Who is told 400 changes the request, who is told 500 sends it again: a status must not say the
/// one where the other is meant. Successes are the business of `danger_success_status`.
fn status_of_refusal(
    kind: Kind,
    status: &Said<u32>,
    finder: &mut Finder<'_>,
) -> Option<StatusCode> {
    let most_general = std::iter::successors(Some(kind), |kind| kind.general()).last();
    let (hundred, example) = match most_general {
        Some(Kind::ServerError) => (500, "write 500 or 503"),
        _ => (400, "write 400 or the like"),
    };
    let fits = |code: &u16| (200..300).contains(code) || (hundred..hundred + 100).contains(code);
    let code = u16::try_from(status.value).ok().filter(fits);
    if code.is_none() {
        let message = format!("`{}` has a status from {hundred} to {}", kind.name(), hundred + 99);
        finder.at(&status.span, message, example);
    }
    StatusCode::from_u16(code?).ok()
}

fn row(parts: &Parts<'_>, shared: &Shared<'_>, finder: &mut Finder<'_>) -> Option<Row> {
    let mut headers = Vec::new();
    refuse_twice(parts.headers.map_or(&[][..], |headers| headers.value.0.as_slice()), finder);
    let (body, shape, usual_media_type) = body(parts, shared, finder)?;
    let media_type = match (parts.media_type, usual_media_type) {
        (Some(said), None) => {
            finder.at(&said.span, "there is no body that could have this type", "remove it");
            None
        }
        (Some(said), Some(_)) => header_value(said.as_bytes(), &said.span, finder),
        (None, usual) => usual.and_then(|usual| HeaderValue::from_str(&usual).ok()),
    };
    if let Some(media_type) = media_type {
        headers.push((CONTENT_TYPE, HeaderText::Constant(media_type)));
    }
    for ((name, text), place) in layered(parts, shared) {
        let Some(name) = header_name(name, finder) else { continue };
        let Some(pieces) = pieces(text, &text.span, place, finder) else { continue };
        let steps = Steps::text(&pieces);
        if let Some(constant) = steps.constant() {
            if let Some(value) = header_value(constant, &text.span, finder) {
                headers.push((name, HeaderText::Constant(value)));
            }
        } else {
            headers.push((name, HeaderText::Varying(pieces, steps)));
        }
    }
    let headers = Headers::new(headers);
    Some(Row { status: parts.status, headers, challenge: None, body, shape })
}

/// Names of headers are the same in any letter case, so a table can say one twice.
fn refuse_twice(headers: &[Header], finder: &mut Finder<'_>) {
    for (at, (name, _)) in headers.iter().enumerate() {
        let mut earlier = headers.iter().take(at);
        if earlier.any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            let message = format!("`{}` is here twice: letter case does not matter", name.value);
            finder.at(&name.span, message, "keep one of them");
        }
    }
}

/// The headers of all answers, of all refusals and of the row, each layer replacing what an earlier
/// one says of the same name.
fn layered<'s>(parts: &Parts<'s>, shared: &Shared<'s>) -> Vec<(&'s Header, Place)> {
    let own = parts.headers.map_or(&[][..], |headers| headers.value.0.as_slice());
    let of_refusals = match parts.place {
        Place::Refusal => shared.refusal_headers,
        Place::Success | Place::Both => &[],
    };
    let layers = [(shared.headers, Place::Both), (of_refusals, Place::Refusal), (own, parts.place)];
    let mut merged: Vec<(&Header, Place)> = Vec::new();
    for (headers, place) in layers {
        for header in headers {
            merged.retain(|(earlier, _)| !earlier.0.eq_ignore_ascii_case(&header.0));
            merged.push((header, place));
        }
    }
    merged
}

/// The body, its shape, and its usual media type; no media type when there is no body.
fn body(
    parts: &Parts<'_>,
    shared: &Shared<'_>,
    finder: &mut Finder<'_>,
) -> Option<(Body, Option<Shape>, Option<String>)> {
    let no_body_allowed = matches!(parts.status.as_u16(), 204 | 205 | 304);
    let (shape, steps, media_type) = match (parts.json, parts.text) {
        (None, None) => return Some((Body::Constant(Bytes::new()), None, None)),
        (Some(_), Some(text)) => {
            let remedy = "keep `json` or `text`";
            finder.at(&text.span, "an answer has one body", remedy);
            return None;
        }
        (Some(json), None) => {
            let shape = Shape::new(json, parts.place, finder)?;
            let steps = Steps::json(&shape);
            (shape, steps, shared.json_media_type.clone())
        }
        (None, Some(text)) => {
            let pieces = pieces(text, &text.span, parts.place, finder)?;
            let steps = Steps::text(&pieces);
            (Shape::Text(pieces), steps, "text/plain; charset=utf-8".to_owned())
        }
    };
    if no_body_allowed {
        let message = format!("an answer with status {} has no body", parts.status.as_u16());
        finder.at(parts.span, message, "remove the body or change the status");
    }
    let body = match steps.constant() {
        Some(bytes) => Body::Constant(Bytes::copy_from_slice(bytes)),
        None => Body::Steps(steps),
    };
    Some((body, Some(shape), Some(media_type)))
}

fn header_name(name: &Said<String>, finder: &mut Finder<'_>) -> Option<HeaderName> {
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        let remedy = match name.to_ascii_lowercase().as_str() {
            "content-type" => "write `media_type` or `json_media_type`",
            _ => "remove it",
        };
        finder.at(&name.span, format!("`{}` is not for a dialect to set", name.value), remedy);
        return None;
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok();
    if parsed.is_none() {
        let message = format!("`{}` is not a header's name", name.value);
        finder.at(&name.span, message, "use letters, digits and -");
    }
    parsed
}

fn header_value(bytes: &[u8], span: &Range<usize>, finder: &mut Finder<'_>) -> Option<HeaderValue> {
    let is_plain = bytes.iter().all(|byte| matches!(byte, 0x20..=0x7E));
    let parsed = HeaderValue::from_bytes(bytes).ok().filter(|_| is_plain);
    if parsed.is_none() {
        finder.at(span, "this cannot stand in a header", "use printable ASCII on one line");
    }
    parsed
}
