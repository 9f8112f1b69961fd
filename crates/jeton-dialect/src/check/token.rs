//! What a dialect says of its tokens: the shape, the lifetime, and what would be too weak.

use std::num::NonZeroU32;
use std::time::Duration;

use jeton_engine::jose::Algorithm;
use jeton_engine::name::Audience;
use jeton_engine::terms::{
    ClaimValue, HeaderValue, JwtShape, Lifetime, Permission, StoredShape, TokenShape,
};

use crate::problem::{Finder, suggestion};
use crate::raw;
use crate::said::{Json, Members, Said};
use crate::template::{Piece, split_or_note};

/// What the token table means.
pub(super) struct Meant {
    pub(super) shape: Option<TokenShape>,
    pub(super) lifetime: Lifetime,
    pub(super) never_expires: Permission,
    pub(super) audience: Option<Audience>,
}

/// Claims that say who may do what and for how long: the engine's word, never a constant.
const GRANTING: [&str; 8] = ["sub", "client_id", "scope", "exp", "nbf", "iat", "jti", "cnf"];

const FORMATS: [&str; 4] = ["jwt", "stored", "sealed", "realm"];

pub(super) fn compile(said: &Said<raw::Token>, finder: &mut Finder<'_>) -> Option<Meant> {
    let never_expires = match said.danger_never_expires.as_ref().map(|said| said.value) {
        Some(true) => Permission::Permitted,
        Some(false) | None => Permission::Refused,
    };
    let lifetime = lifetime(said, never_expires, finder);
    let audience = said.audience.as_ref().map(|text| {
        let parsed = text.parse::<Audience>();
        parsed.map_err(|problem| {
            finder.at(&text.span, format!("an audience {problem}"), "shorten or correct it");
        })
    });
    let shape = shape(said, finder);
    Some(Meant {
        shape: shape?,
        lifetime: lifetime?,
        never_expires,
        audience: audience.transpose().ok()?,
    })
}

fn lifetime(
    said: &Said<raw::Token>,
    never_expires: Permission,
    finder: &mut Finder<'_>,
) -> Option<Lifetime> {
    let Some(text) = &said.lifetime else {
        if !said.spoiled.contains(&"lifetime") {
            finder.at(
                &said.span,
                "[token] lacks `lifetime`",
                "add `lifetime = \"1h\"` or the like",
            );
        }
        return None;
    };
    if text.value == "never" {
        if never_expires == Permission::Refused {
            let remedy =
                "set `danger_never_expires = true` beside it, or write a lifetime such as `1h`";
            finder.at(&text.span, "a token that never expires is dangerous", remedy);
            return None;
        }
        return Some(Lifetime::Never);
    }
    let seconds = duration(text, finder)?.as_secs();
    let seconds = u32::try_from(seconds).ok().and_then(NonZeroU32::new);
    if seconds.is_none() {
        finder.at(&text.span, "this is too long for a lifetime", "write at most 49710 days");
    }
    seconds.map(Lifetime::Seconds)
}

/// Parses `90s`, `10m`, `1h` or `30d`.
pub(super) fn duration(text: &Said<String>, finder: &mut Finder<'_>) -> Option<Duration> {
    let parse = || {
        let unit = text.chars().last()?;
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    };
    let parsed = parse();
    if parsed.is_none() {
        let message = format!("`{}` is not a length of time", text.value);
        finder.at(
            &text.span,
            message,
            "write a number from 1 and its unit: `90s`, `10m`, `1h` or `30d`",
        );
    }
    parsed
}

/// The outer `Option` is for problems, the inner for formats that the realm decides.
fn shape(said: &Said<raw::Token>, finder: &mut Finder<'_>) -> Option<Option<TokenShape>> {
    let Some(format) = &said.format else {
        if !said.spoiled.contains(&"format") {
            finder.at(
                &said.span,
                "[token] lacks `format`",
                "add `format = \"jwt\"`, `\"stored\"` or `\"realm\"`",
            );
        }
        return None;
    };
    let foreign = match format.as_str() {
        "jwt" => ["prefix", "alphabet", "length"].as_slice(),
        "stored" => &["algorithm", "header", "claims"],
        "sealed" | "realm" => &["algorithm", "header", "claims", "prefix", "alphabet", "length"],
        other => {
            let message = format!("`{other}` is not a token format");
            finder.at(&format.span, message, suggestion(other, FORMATS));
            return None;
        }
    };
    refuse_foreign(said, &format.value, foreign, finder);
    match format.as_str() {
        "jwt" => jwt(said, finder).map(|shape| Some(TokenShape::Jwt(shape))),
        "stored" => stored(said, finder).map(|shape| Some(TokenShape::Stored(shape))),
        "sealed" => Some(Some(TokenShape::Sealed)),
        _ => Some(None),
    }
}

fn refuse_foreign(
    said: &Said<raw::Token>,
    format: &str,
    foreign: &[&str],
    finder: &mut Finder<'_>,
) {
    let given = [
        ("algorithm", said.algorithm.as_ref().map(|said| &said.span)),
        ("header", said.header.as_ref().map(|said| &said.span)),
        ("claims", said.claims.as_ref().map(|said| &said.span)),
        ("prefix", said.prefix.as_ref().map(|said| &said.span)),
        ("alphabet", said.alphabet.as_ref().map(|said| &said.span)),
        ("length", said.length.as_ref().map(|said| &said.span)),
    ];
    for (name, span) in given {
        if let Some(span) = span
            && foreign.contains(&name)
        {
            let message = format!("`{name}` means nothing for tokens of format `{format}`");
            finder.at(span, message, "remove it, or change `format`");
        }
    }
}

fn jwt(said: &Said<raw::Token>, finder: &mut Finder<'_>) -> Option<JwtShape> {
    let lacks = |name: &str, is_missing: bool, finder: &mut Finder<'_>| {
        if is_missing && !said.spoiled.contains(&name) {
            let message = format!("[token] of format `jwt` lacks `{name}`");
            finder.at(&said.span, message, "see `[token]` in `jeton dialect guide`");
        }
    };
    lacks("algorithm", said.algorithm.is_none(), finder);
    lacks("claims", said.claims.is_none(), finder);
    let algorithm = said.algorithm.as_ref().and_then(|text| {
        let parsed: Result<Algorithm, _> = text.parse();
        parsed
            .map_err(|_| {
                let known: Vec<&str> = Algorithm::ALL.iter().map(|known| known.name()).collect();
                let message = format!("`{}` is not a signature algorithm", text.value);
                finder.at(&text.span, message, suggestion(&text.value, known));
            })
            .ok()
    });
    let header = match &said.header {
        Some(members) => header(members, finder),
        None => Some(vec![
            ("alg".to_owned(), HeaderValue::Algorithm),
            ("typ".to_owned(), HeaderValue::Constant("JWT".into())),
        ]),
    };
    let claims = said.claims.as_ref().and_then(|members| claims(members, finder));
    Some(JwtShape { algorithm: algorithm?, header: header?, claims: claims? })
}

fn header(
    said: &Said<Members<Json>>,
    finder: &mut Finder<'_>,
) -> Option<Vec<(String, HeaderValue)>> {
    let known: [(&str, HeaderValue); 2] =
        [("algorithm", HeaderValue::Algorithm), ("key_id", HeaderValue::KeyId)];
    let read = members(said, &known, HeaderValue::Constant, finder);
    for (member, (_, place)) in read.iter().zip(&said.value.0) {
        if let Some((name, value)) = member
            && name == "alg"
            && *value != HeaderValue::Algorithm
        {
            let remedy = "write `alg = \"{algorithm}\"`: it is always the algorithm of the key";
            finder.at(&place.span, "`alg` cannot be chosen", remedy);
        }
    }
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    if !read.iter().any(|(name, _)| name == "alg") {
        let remedy = "add `alg = \"{algorithm}\"`: RFC 7515 section 4.1.1 requires it";
        finder.at(&said.span, "the JOSE header lacks `alg`", remedy);
    }
    Some(read)
}

fn claims(
    said: &Said<Members<Json>>,
    finder: &mut Finder<'_>,
) -> Option<Vec<(String, ClaimValue)>> {
    let known = [
        ("issuer", ClaimValue::Issuer),
        ("subject", ClaimValue::Subject),
        ("client_id", ClaimValue::ClientId),
        ("client_name", ClaimValue::ClientName),
        ("audience", ClaimValue::Audience),
        ("scope", ClaimValue::Scope),
        ("issued_at", ClaimValue::IssuedAt),
        ("not_before", ClaimValue::NotBefore),
        ("expires_at", ClaimValue::ExpiresAt),
        ("token_id", ClaimValue::TokenId),
    ];
    let read = members(said, &known, ClaimValue::Constant, finder);
    for (member, (place, _)) in read.iter().zip(&said.value.0) {
        if let Some((name, ClaimValue::Constant(_))) = member
            && GRANTING.contains(&name.as_str())
        {
            let message = format!("`{name}` cannot be a constant: a dialect never grants");
            finder.at(
                &place.span,
                message,
                "write the value that belongs here, as in `\"{subject}\"`",
            );
        }
    }
    // What else is missing can only be told when every claim was understood.
    let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    let says_who = |value: &ClaimValue| matches!(value, ClaimValue::Subject | ClaimValue::ClientId);
    if !read.iter().any(|(_, value)| says_who(value)) {
        let remedy = "add `sub = \"{subject}\"` or the like";
        finder.at(&said.span, "no claim says whose token it is", remedy);
    }
    let expires = read.iter().any(|(_, value)| *value == ClaimValue::ExpiresAt);
    if !expires {
        let remedy = "add `exp = \"{expires_at}\"`: who checks the token has no other way to know";
        finder.at(&said.span, "no claim says when the token expires", remedy);
    }
    Some(read)
}

/// Members of the header or the claims: constants, or one value each; `None` for what could not be
/// understood and was noted.
fn members<V: Clone>(
    said: &Members<Json>,
    known: &[(&str, V)],
    constant: impl Fn(serde_json::Value) -> V,
    finder: &mut Finder<'_>,
) -> Vec<Option<(String, V)>> {
    said.0
        .iter()
        .map(|(name, json)| {
            let value = match plain(json, finder)? {
                Plain::Constant(value) => constant(value),
                Plain::Value(word) => {
                    let found = known.iter().find(|(candidate, _)| *candidate == word);
                    if found.is_none() {
                        let message = format!("there is no value `{word}` in a token");
                        let remedy = suggestion(&word, known.iter().map(|(name, _)| *name));
                        finder.at(&json.span, message, remedy);
                    }
                    found?.1.clone()
                }
            };
            Some((name.value.clone(), value))
        })
        .collect()
}

enum Plain {
    Constant(serde_json::Value),
    Value(String),
}

fn plain(json: &Said<Json>, finder: &mut Finder<'_>) -> Option<Plain> {
    Some(Plain::Constant(match &json.value {
        Json::Bool(said) => (*said).into(),
        Json::Integer(number) => (*number).into(),
        Json::Float(number) => (*number).into(),
        Json::Text(text) => match split_or_note(text, &json.span, finder)?.as_slice() {
            [] => String::new().into(),
            [Piece::Literal(literal)] => literal.clone().into(),
            [Piece::Value(word)] => return Some(Plain::Value(word.0.clone())),
            _ => {
                let remedy = "write the value alone, as in `\"{subject}\"`, or a constant";
                finder.at(&json.span, "a token's members cannot mix text and values", remedy);
                return None;
            }
        },
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| constant_only(item, finder)).collect();
            items.into_iter().collect::<Option<Vec<_>>>()?.into()
        }
        Json::Object(members) => {
            let members: Vec<_> = members
                .0
                .iter()
                .map(|(name, value)| Some((name.value.clone(), constant_only(value, finder)?)))
                .collect();
            let members: Option<serde_json::Map<_, _>> = members.into_iter().collect();
            members?.into()
        }
    }))
}

fn constant_only(json: &Said<Json>, finder: &mut Finder<'_>) -> Option<serde_json::Value> {
    match plain(json, finder)? {
        Plain::Constant(value) => Some(value),
        Plain::Value(_) => {
            let remedy = "values stand in the token's own members only, not deeper";
            finder.at(&json.span, "a value cannot stand here", remedy);
            None
        }
    }
}

fn stored(said: &Said<raw::Token>, finder: &mut Finder<'_>) -> Option<StoredShape> {
    const HEX: &str = "0123456789abcdef";
    let prefix = said.prefix.as_ref().map_or("", |prefix| prefix.as_str());
    // RFC 6750 section 2.1: what may stand in an `Authorization: Bearer` header.
    let in_bearer = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if let Some(text) = &said.prefix
        && !text.bytes().all(in_bearer)
    {
        let remedy = "use A-Z a-z 0-9 - . _ ~ + / only (RFC 6750 section 2.1)";
        finder.at(&text.span, "this cannot stand in an Authorization header", remedy);
    }
    let alphabet = said.alphabet.as_ref().map_or(HEX, |alphabet| alphabet.as_str());
    if let Some(text) = &said.alphabet {
        let is_repeated =
            |(at, byte): (usize, u8)| text.bytes().take(at).any(|other| other == byte);
        if text.len() < 2 || text.bytes().enumerate().any(is_repeated) {
            let remedy = "write at least two different characters, each once";
            finder.at(&text.span, "this is no alphabet", remedy);
            return None;
        }
        if !text.bytes().all(in_bearer) {
            let remedy = "use A-Z a-z 0-9 - . _ ~ + / only (RFC 6750 section 2.1)";
            finder.at(&text.span, "this cannot stand in an Authorization header", remedy);
        }
    }
    let bits_each = f64::from(u32::try_from(alphabet.len()).unwrap_or(2)).log2();
    let Some(length) = &said.length else {
        if !said.spoiled.contains(&"length") {
            let message = "[token] of format `stored` lacks `length`";
            finder.at(&said.span, message, "add how many characters follow the prefix");
        }
        return None;
    };
    // A hair less than 128, so that rounding does not refuse exactly 128 bits.
    if f64::from(length.value) * bits_each < 127.999 {
        let needed = (128.0 / bits_each - 1e-9).ceil();
        let message = "a token of this length can be guessed: it has less than 128 random bits";
        finder.at(&length.span, message, format!("write {needed} or more for this alphabet"));
    }
    if length.value > 1024 {
        finder.at(&length.span, "this is longer than headers can be", "write 1024 or less");
    }
    Some(StoredShape {
        prefix: prefix.to_owned(),
        alphabet: alphabet.to_owned(),
        length: usize::try_from(length.value).ok()?,
    })
}
