//! `jeton token verify`: is a token signed by one of these keys, and does it hold now, for these?

use std::path::Path;

use clap::Args;
use jeton_engine::clock::{Clock, Time};
use jeton_engine::confirmation::CNF;
use jeton_engine::jose::JwkSet;
use jeton_engine::jose::jws::{Verified, verify_compact};
use jeton_engine::jose::jwt::Claims;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::fetch::Trust;
use crate::cli::output::{Form, Output};
use crate::cli::{fetch, moment, secret_input};

/// What a token is held against.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// The JWK set: a file, an https URL, or http on this machine. A file may hold one JWK alone, and
    /// the secrets of HS256
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    #[command(flatten)]
    trust: Trust,
    /// Who must have issued it (`iss`)
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Who it must be for (`aud`), alone or among others
    #[arg(long)]
    audience: Option<String>,
}

/// Reads a token from standard input; done when it is valid, failed with the reason when not.
pub(in crate::cli) fn run(verify: &Verify, output: Output) -> Result<(), Failure> {
    let keys = keys(&verify.jwks, &verify.trust)?;
    let token = secret_input::stdin("Token")?;
    let token = secret_input::text(&token, "the token")?;
    match check(token.trim(), &keys, verify, Clock::System.now()) {
        Ok((verified, claims)) => print(&verified, claims.as_ref(), output),
        Err(reason) if output.form() == Form::Json => {
            output.json(&json!({ "valid": false, "reason": reason }))?;
            Err(Failure::Said)
        }
        Err(reason) => Err(Failure::failed(reason)),
    }
}

fn keys(from: &str, trust: &Trust) -> Result<JwkSet, Failure> {
    let keys = if from.starts_with("http://") || from.starts_with("https://") {
        JwkSet::parse(&published(from, trust)?)
    } else {
        let bytes = secret_input::file(Path::new(from))?;
        JwkSet::parse_kept(&secret_input::text(&bytes, "the JWK set")?)
    };
    keys.map_err(|error| Failure::usage(format!("the JWK set {error}")).at(from))
}

fn published(from: &str, trust: &Trust) -> Result<String, Failure> {
    let url = fetch::url(from)?;
    let request = fetch::Request { method: "GET", url: &url, headers: "", body: "" };
    let answer = fetch::fetch(&request, trust)?;
    if answer.status != 200 {
        let what = format!("the JWK set was not found: status {}", answer.status);
        return Err(Failure::failed(what).at(&url));
    }
    String::from_utf8(answer.body)
        .map_err(|_| Failure::failed("the JWK set is not UTF-8 text").at(&url))
}

/// The signature first: what an unsigned token says of its time is worth nothing.
fn check(
    token: &str,
    keys: &JwkSet,
    wanted: &Verify,
    now: Time,
) -> Result<(Verified, Option<Claims>), String> {
    let verified = verify_compact(token, keys).map_err(|error| error.to_string())?;
    let claims = Claims::parse(&verified.payload).ok();
    let Some(said) = &claims else {
        return match (&wanted.issuer, &wanted.audience) {
            (None, None) => Ok((verified, None)),
            _ => Err("the payload is not a set of claims".to_owned()),
        };
    };
    let time = |name| {
        let time = said.time(name).map_err(|error| error.to_string())?;
        Ok::<_, String>(time.and_then(|at| i64::try_from(at).ok()).map(Time::from_seconds))
    };
    if let Some(end) = time("exp")?.filter(|end| *end <= now) {
        return Err(format!("the token expired at {}", moment::rfc3339(end)));
    }
    if let Some(start) = time("nbf")?.filter(|start| *start > now) {
        return Err(format!("the token does not hold before {}", moment::rfc3339(start)));
    }
    if let Some(wanted) = &wanted.issuer {
        let issuer = said.text("iss").map_err(|error| error.to_string())?;
        if issuer != Some(wanted) {
            return Err(format!("the issuer is {}, not {wanted}", issuer.unwrap_or("nobody")));
        }
    }
    if let Some(wanted) = &wanted.audience {
        let audiences = said.audiences().map_err(|error| error.to_string())?;
        if !audiences.contains(&wanted.as_str()) {
            let named = if audiences.is_empty() { "nobody".into() } else { audiences.join(", ") };
            return Err(format!("the token is for {named}, not for {wanted}"));
        }
    }
    Ok((verified, claims))
}

/// What a token's `cnf` binds it to, in words, with the thumbprint.
pub(super) fn bound_to(confirmation: Option<&Value>) -> Vec<(&'static str, String)> {
    let members = confirmation.and_then(Value::as_object).into_iter().flatten();
    let bound = members.map(|(name, value)| {
        let to = match name.as_str() {
            "jkt" => "a DPoP key",
            "x5t#S256" => "a certificate",
            _ => "something else",
        };
        (to, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    });
    bound.collect()
}

fn print(verified: &Verified, claims: Option<&Claims>, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&json!({
            "valid": true,
            "algorithm": verified.header.algorithm.name(),
            "key_id": verified.header.key_id,
            "type": verified.header.token_type,
            "claims": claims.map(Claims::members),
        }));
    }
    let key = verified.header.key_id.as_deref().unwrap_or("a key without identifier");
    output.line(&format!("valid\t{}\t{key}", verified.header.algorithm))?;
    // RFC 7800 section 3: the signature alone does not make whoever brings it the right one.
    for (to, thumbprint) in bound_to(claims.and_then(|claims| claims.value(CNF))) {
        output.line(&format!("bound to\t{to}\t{thumbprint}"))?;
    }
    output.remark("Whether it was revoked, or its client disabled, only introspection tells.")
}
