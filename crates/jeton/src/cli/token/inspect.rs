//! `jeton token inspect`: what a token says about itself, offline, and what that is worth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_engine::clock::{Clock, Time};
use jeton_engine::confirmation::CNF;
use serde_json::{Map, Value, json};

use super::verify::bound_to;
use crate::cli::failure::Failure;
use crate::cli::moment;
use crate::cli::output::{Cell, Form, Output};
use crate::cli::secret_input;

/// Claims that are times (RFC 7519 section 4.1).
const TIMES: [&str; 3] = ["iat", "nbf", "exp"];

/// What cannot be known from a JSON Web Token alone.
const JWT_NOT_CHECKED: [&str; 3] = [
    "the signature: anybody can write a token that says this",
    "whether the issuer made it, and for you",
    "whether it was revoked, or its client disabled",
];

/// What cannot be known from an opaque token alone.
const OPAQUE_NOT_CHECKED: [&str; 2] = [
    "anything it stands for: only the server that issued it knows",
    "whether it was ever issued, has expired or was revoked",
];

/// A token, as far as its string tells.
#[derive(Debug, PartialEq)]
enum Look {
    Jwt { header: Map<String, Value>, claims: Map<String, Value> },
    Opaque { characters: usize, alphabet: &'static str },
}

/// Reads a token from standard input and says what it says.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let token = secret_input::stdin("Token")?;
    let token = secret_input::text(&token, "the token")?;
    // Pasted tokens often bring the name of the scheme and spaces along.
    let token = token.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    if token.is_empty() {
        return Err(Failure::usage("there is no token on standard input")
            .next("printf %s \"$TOKEN\" | jeton token inspect"));
    }
    let now = Clock::System.now();
    match look(token) {
        Look::Jwt { header, claims } => print_jwt(&header, &claims, now, output),
        Look::Opaque { characters, alphabet } => print_opaque(characters, alphabet, output),
    }
}

fn look(token: &str) -> Look {
    let opaque = || Look::Opaque { characters: token.chars().count(), alphabet: alphabet(token) };
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else { return opaque() };
    match (object(header), object(claims)) {
        (Some(header), Some(claims)) => Look::Jwt { header, claims },
        _ => opaque(),
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn alphabet(token: &str) -> &'static str {
    let all = |allowed: fn(char) -> bool| token.chars().all(allowed);
    if all(|character| character.is_ascii_digit() || matches!(character, 'a'..='f')) {
        "lower-case hex digits"
    } else if all(|character| character.is_ascii_alphanumeric()) {
        "letters and digits"
    } else if all(|character| character.is_ascii_alphanumeric() || "-_".contains(character)) {
        "letters, digits, - and _"
    } else if all(|character| character.is_ascii_graphic()) {
        "printable ASCII"
    } else {
        "characters that do not belong in a token (RFC 6750 section 2.1)"
    }
}

fn print_jwt(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    now: Time,
    output: Output,
) -> Result<(), Failure> {
    let times = TIMES.iter().filter_map(|name| Some((*name, time_of(claims.get(*name)?)?)));
    let expires = claims.get("exp").and_then(time_of);
    if output.form() == Form::Json {
        let times: Map<String, Value> = times
            .map(|(name, time)| (name.to_owned(), moment::to_the_second(time).into()))
            .collect();
        return output.json(&json!({
            "format": "jwt",
            "header": header,
            "claims": claims,
            "times": times,
            "expired": expires.is_some_and(|end| end <= now),
            "signature_checked": false,
            "not_checked": JWT_NOT_CHECKED,
        }));
    }
    output.line("A JSON Web Token. The signature was NOT checked.\n")?;
    let mut facts = Vec::new();
    for (name, value) in header {
        facts.push((format!("header {name}"), Cell::new(plain(value))));
    }
    for (name, value) in claims {
        facts.push((name.clone(), claim_cell(name, value, now)));
    }
    for (to, thumbprint) in bound_to(claims.get(CNF)) {
        facts.push(("bound to".to_owned(), Cell::new(format!("{to}: {thumbprint}"))));
    }
    if expires.is_none() {
        facts.push(("exp".to_owned(), Cell::bad("absent: it does not say that it ever expires")));
    }
    let facts: Vec<_> = facts.iter().map(|(name, cell)| (name.as_str(), cell.clone())).collect();
    output.facts(&facts)?;
    print_not_checked(&JWT_NOT_CHECKED, output)
}

fn claim_cell(name: &str, value: &Value, now: Time) -> Cell {
    let Some(time) = time_of(value).filter(|_| TIMES.contains(&name)) else {
        return Cell::new(plain(value));
    };
    let distance = moment::distance(time, now);
    let text = format!("{} = {} ({distance})", plain(value), moment::to_the_second(time));
    match name {
        "exp" if time <= now => Cell::bad(format!("{text}: EXPIRED")),
        "nbf" if now < time => Cell::bad(format!("{text}: not valid yet")),
        _ => Cell::new(text),
    }
}

/// A `NumericDate` (RFC 7519 section 2): seconds, perhaps with a fraction.
fn time_of(value: &Value) -> Option<Time> {
    if let Some(seconds) = value.as_i64() {
        return Some(Time::from_seconds(seconds));
    }
    // Beyond 2^53 milliseconds a double is no time of day any more.
    let milliseconds = value.as_f64()? * 1000.0;
    (milliseconds.abs() < 9e15).then(|| {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the line above")]
        Time::from_milliseconds(milliseconds as i64)
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn print_opaque(characters: usize, alphabet: &str, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&json!({
            "format": "opaque",
            "characters": characters,
            "alphabet": alphabet,
            "signature_checked": false,
            "not_checked": OPAQUE_NOT_CHECKED,
        }));
    }
    output
        .line("An opaque token: its string tells nothing but its looks. Nothing was checked.\n")?;
    output.facts(&[
        ("characters", Cell::new(characters.to_string())),
        ("alphabet", Cell::new(alphabet)),
    ])?;
    print_not_checked(&OPAQUE_NOT_CHECKED, output)
}

fn print_not_checked(sentences: &[&str], output: Output) -> Result<(), Failure> {
    output.line("\nNot checked, because it cannot be from here:")?;
    sentences.iter().try_for_each(|sentence| output.line(&format!("- {sentence}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_is_taken_apart() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE1NzAwMTY5MDAsImV4cCI6MTU3MDAyMDUwMCwiYXVkIjoic3BlZWRiYWxsIiwic3ViIjoiMjEwMjYzIn0.hDo1waTytSys_oRhFNUPqZPom26bL05rxgtSt3XYHqI";
        let Look::Jwt { header, claims } = look(token) else { panic!("a JWT") };
        assert_eq!(header.get("alg"), Some(&json!("HS256")));
        assert_eq!(claims.keys().collect::<Vec<_>>(), ["iat", "exp", "aud", "sub"]);
    }

    #[test]
    fn what_is_no_jwt_is_opaque_and_only_its_looks_are_told() {
        for (token, looks) in [
            ("sk-418e41a74ca2e7d941fa4456d73dbed7", "letters, digits, - and _"),
            ("418e41a7", "lower-case hex digits"),
            ("a.b.c", "printable ASCII"),
            ("eyJhbGciOiJIUzI1NiJ9.e30", "printable ASCII"),
            ("a b", "characters that do not belong in a token (RFC 6750 section 2.1)"),
        ] {
            let Look::Opaque { alphabet, .. } = look(token) else { panic!("{token} is opaque") };
            assert_eq!(alphabet, looks, "{token}");
        }
    }

    #[test]
    fn times_are_told_in_words_and_expiry_stands_out() {
        let now = Time::from_seconds(1_570_020_500);
        assert_eq!(
            claim_cell("exp", &json!(1_570_020_500), now),
            Cell::bad("1570020500 = 2019-10-02T12:48:20Z (now): EXPIRED")
        );
        assert_eq!(
            claim_cell("exp", &json!(1_570_020_501), now),
            Cell::new("1570020501 = 2019-10-02T12:48:21Z (in 1 second)")
        );
        assert_eq!(claim_cell("sub", &json!("1570020500"), now), Cell::new("1570020500"));
        assert_eq!(time_of(&json!(1.5)), Some(Time::from_milliseconds(1500)));
        assert_eq!(time_of(&json!(1e300)), None);
    }
}
