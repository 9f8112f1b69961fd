//! From what a file says to what it means: every problem is found, none stops the search.

mod answer;
mod request;
mod token;

use std::sync::Arc;

use jeton_engine::limit::Limit;
use jeton_engine::name::DialectName;
use jeton_engine::terms::{Lockout, Terms};
use toml::de::DeTable;

use crate::dialect::{Dialect, Row};
use crate::limit_fields::LimitFields;
use crate::problem::{Finder, Problems};
use crate::raw;
use crate::said::Raw as _;
use crate::template::Piece;
use crate::value::{Slot, Value};

/// Reads a dialect file and compiles it.
///
/// # Errors
/// Every problem of the file at once.
pub fn load(name: &DialectName, file: &str, text: &str) -> Result<Dialect, Problems> {
    let mut finder = Finder::new(file, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        finder.at(&span, error.message(), "this is not TOML: see toml.io for its grammar");
    }
    if !errors.is_empty() {
        // What follows a syntax error is guesswork; reporting it would mislead.
        return Err(finder.finish());
    }
    let span = table.span();
    let root = toml::Spanned::new(span, toml::de::DeValue::Table(table.into_inner()));
    let dialect = raw::Dialect::read(&root, &mut finder)
        .and_then(|said| compile(name, &said, text, &mut finder));
    let problems = finder.finish();
    match dialect {
        Some(dialect) if problems.is_empty() => Ok(dialect),
        _ if problems.is_empty() => Err(Problems::with_file(file, "this is not a dialect")),
        _ => Err(problems),
    }
}

fn compile(
    name: &DialectName,
    said: &raw::Dialect,
    text: &str,
    finder: &mut Finder<'_>,
) -> Option<Dialect> {
    need(said.title.is_none() && !said.spoiled.contains(&"title"), finder, || {
        ("`title` is missing", "add `title = \"…\"`: what people call what this dialect speaks for")
    });
    let asking = part("request", said.request.as_ref(), &said.spoiled, finder);
    let success = part("success", said.success.as_ref(), &said.spoiled, finder);
    let token = part("token", said.token.as_ref(), &said.spoiled, finder);
    let refusals = part("refusals", said.refusals.as_ref(), &said.spoiled, finder);
    let answers = said.answers.as_ref().map(|answers| &answers.value);

    let asking = asking.and_then(|said| request::compile(said, finder));
    let authentication = asking.as_ref().map(|(_, methods)| methods.clone());
    let token = token.and_then(|said| token::compile(said, finder));
    let shared = answer::Shared::new(answers, finder);
    let success = success.and_then(|said| answer::success(said, &shared, finder));
    let refusals = refusals.and_then(|said| answer::refusals(said, &shared, finder));
    let limits = said.limits.as_ref().map(|limits| limits_of(limits, finder)).unwrap_or_default();
    let lockout = match &said.lockout {
        Some(lockout) => Some(lockout_of(lockout, finder)?),
        None => None,
    };
    let token = token?;
    let terms = Terms {
        dialect: name.clone(),
        authentication: authentication?,
        token: token.shape,
        lifetime: token.lifetime,
        never_expires: token.never_expires,
        audience: token.audience,
        lockout,
        limits,
    };
    let (success, refusals) = (success?, refusals?);
    let limit_fields = limit_fields_of(said.limits.as_ref(), (&success, &refusals), finder);
    Some(Dialect {
        name: name.clone(),
        title: said.title.as_ref()?.value.clone(),
        asking: asking?.0,
        success,
        refusals,
        terms: Arc::new(terms),
        limit_fields,
        source_text: text.to_owned(),
    })
}

/// A table that every dialect needs.
fn part<'s, T>(
    name: &str,
    said: Option<&'s crate::said::Said<T>>,
    spoiled: &[&str],
    finder: &mut Finder<'_>,
) -> Option<&'s crate::said::Said<T>> {
    if said.is_none() && !spoiled.contains(&name) {
        let message = format!("the table `[{name}]` is missing");
        finder.missing(message, "every dialect needs it; see `jeton dialect guide`");
    }
    said
}

/// Notes a problem of the file as a whole when `is_missing`.
fn need(
    is_missing: bool,
    finder: &mut Finder<'_>,
    problem: impl FnOnce() -> (&'static str, &'static str),
) {
    if is_missing {
        let (message, remedy) = problem();
        finder.missing(message, remedy);
    }
}

fn limits_of(said: &raw::Limits, finder: &mut Finder<'_>) -> Vec<Limit> {
    let Some(texts) = &said.client else { return Vec::new() };
    texts
        .iter()
        .filter_map(|text| {
            let parsed: Result<Limit, _> = text.parse();
            parsed
                .map_err(|problem| {
                    let message = format!("`{}` is not a limit: it {problem}", text.value);
                    finder.at(&text.span, message, "write `100/min`, `1000/hour` or the like");
                })
                .ok()
        })
        .collect()
}

/// Whether answers have the standard fields about limits: unless the dialect has headers of its own for
/// that, or says so.
fn limit_fields_of(
    said: Option<&crate::said::Said<raw::Limits>>,
    (success, refusals): (&Row, &[Arc<Row>]),
    finder: &mut Finder<'_>,
) -> LimitFields {
    let of_limits = |piece: &Piece<Slot>| match piece {
        Piece::Literal(_) => false,
        Piece::Value(slot) => matches!(slot.value, Value::Limit | Value::Remaining | Value::Reset),
    };
    let tells = |row: &Row| row.headers.varying().any(|(_, text)| text.iter().any(of_limits));
    let own = tells(success) || refusals.iter().any(|row| tells(row));
    let Some(fields) = said.and_then(|said| said.fields.as_ref()) else {
        return if own { LimitFields::None } else { LimitFields::Standard };
    };
    match fields.value.as_str() {
        "standard" => LimitFields::Standard,
        "off" => LimitFields::None,
        other => {
            let message = format!("`{other}` is not a way to tell limits");
            finder.at(&fields.span, message, "write `standard` or `off`");
            LimitFields::None
        }
    }
}

fn lockout_of(said: &crate::said::Said<raw::Lockout>, finder: &mut Finder<'_>) -> Option<Lockout> {
    let mut missing = Vec::new();
    for (name, is_there) in [
        ("failures", said.failures.is_some()),
        ("within", said.within.is_some()),
        ("duration", said.duration.is_some()),
    ] {
        if !is_there && !said.spoiled.contains(&name) {
            missing.push(format!("`{name}`"));
        }
    }
    if !missing.is_empty() {
        let message = format!("[lockout] lacks {}", missing.join(" and "));
        let remedy = "such as `failures = 5`, `within = \"15m\"`, `duration = \"30m\"`";
        finder.at(&said.span, message, remedy);
    }
    let failures = said.failures.as_ref().and_then(|said| {
        let failures = said.value.try_into().ok();
        if failures.is_none() {
            finder.at(&said.span, "no guess at all locks everybody out", "write 1 or more");
        }
        failures
    });
    let within = said.within.as_ref().and_then(|said| token::duration(said, finder));
    let duration = match &said.duration {
        Some(said) if said.value == "until_unlocked" => Some(None),
        Some(said) => token::duration(said, finder).map(Some),
        None => None,
    };
    Some(Lockout { failures: failures?, within: within?, duration: duration? })
}
