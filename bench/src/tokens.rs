//! Whether what a row gave out is what it seems: signatures by the realm's own keys, introspection, and no
//! token twice.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use jeton_engine::clock::Clock;
use jeton_jose::jws::{Unverified, Verified};
use jeton_jose::{JwkSet, VerifyingKey};
use serde_json::Value;

use crate::asks::token;
use crate::kit::{SHARED_SECRET, Signed, signed};
use crate::load::{Connections, Expected};
use crate::measure::harvest;
use crate::rows::{Ask, Row, Tokens};
use crate::session::Bench;

/// So many tokens are revoked and looked at.
const REVOKED: usize = 16;

/// Looks at what some answers of a row gave out, or at what it did to tokens.
///
/// # Errors
/// What is wrong with a token.
pub(crate) fn check(bench: &Bench<'_>, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
    if bench.row.ask == Ask::Revoke {
        return revoked(bench);
    }
    if !bench.row.ask.gives_a_token() {
        return Ok(());
    }
    let tokens = bodies.iter().map(|body| token(body).context("an answer has no token"));
    let tokens = tokens.collect::<anyhow::Result<Vec<String>>>()?;
    if tokens.is_empty() {
        bail!("no answer was kept for a look");
    }
    let names = match signed(&bench.row.realm) {
        Signed::Not => tokens.clone(),
        Signed::WithSecret => {
            let key = VerifyingKey::from_secret(SHARED_SECRET.as_bytes())?;
            identifiers(&tokens, |token| Ok(token.verify(&key)?))?
        }
        Signed::WithPublishedKey => {
            let keys = key_set(bench)?;
            identifiers(&tokens, |token| Ok(token.verify_with(&keys)?))?
        }
    };
    if names.iter().collect::<HashSet<_>>().len() < names.len() {
        bail!("a token was given out twice");
    }
    introspect(bench, tokens, br#"{"active":true"#).context("a token that was given out is no good")
}

/// The identifiers of those that have one: in some dialects all tokens of a client are the same for a second.
/// Each must be signed, and not be over yet.
fn identifiers(
    tokens: &[String],
    verify: impl Fn(Unverified<'_>) -> anyhow::Result<Verified>,
) -> anyhow::Result<Vec<String>> {
    let now = Clock::System.now().seconds();
    let mut identifiers = Vec::new();
    for token in tokens {
        let verified = verify(Unverified::parse(token)?).context("a token's signature")?;
        let claims: Value = serde_json::from_slice(&verified.payload)?;
        let expires = claims.get("exp").and_then(Value::as_i64);
        if expires.is_none_or(|expires| expires <= now) {
            bail!("a token's `exp` is {expires:?}, and it is {now}");
        }
        identifiers.extend(claims.get("jti").and_then(Value::as_str).map(str::to_owned));
    }
    Ok(identifiers)
}

/// The realm's keys, as it publishes them.
fn key_set(bench: &Bench<'_>) -> anyhow::Result<JwkSet> {
    let row = Row { ask: Ask::Get, path: "/.well-known/jwks.json".to_owned(), ..bench.row.clone() };
    let bodies = ask_once_each(&Bench { row: &row, ..*bench }, Vec::new(), br#"{"keys":["#, 1)?;
    let text = bodies.first().map(|body| String::from_utf8_lossy(body)).unwrap_or_default();
    Ok(JwkSet::parse(&text)?)
}

/// Tokens that are revoked must not hold any more.
fn revoked(bench: &Bench<'_>) -> anyhow::Result<()> {
    let tokens = bench.tokens(REVOKED)?;
    introspect(bench, tokens.clone(), br#"{"active":true"#)
        .context("a token before it is revoked")?;
    ask_once_each(bench, tokens.clone(), b"", REVOKED)?;
    introspect(bench, tokens, br#"{"active":false"#).context("a revoked token")
}

/// Introspects each token; every answer must begin so.
fn introspect(bench: &Bench<'_>, tokens: Vec<String>, begins: &[u8]) -> anyhow::Result<()> {
    let row = Row { ask: Ask::Introspect, tokens: Tokens::First, ..bench.row.clone() };
    let count = tokens.len();
    ask_once_each(&Bench { row: &row, ..*bench }, tokens, begins, count).map(drop)
}

/// Asks about each of these tokens at least once, on one connection; so many of the answers.
fn ask_once_each(
    bench: &Bench<'_>,
    tokens: Vec<String>,
    begins: &[u8],
    count: usize,
) -> anyhow::Result<Vec<Vec<u8>>> {
    let requests = bench.asker().requests(tokens)?;
    let mut subject = bench.with(requests, Expected { status: 200, begins: begins.to_vec() })?;
    subject.count = 1;
    subject.connections = Connections::Kept;
    harvest(&mut subject, count)
}
