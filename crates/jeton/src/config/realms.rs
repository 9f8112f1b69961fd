//! What is meant by the sections `[realm.NAME]`, and whether the realms can be told apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jeton_dialect::{Dialect, Dialects};
use jeton_engine::jose::Algorithm;
use jeton_engine::name::{Audience, RealmName};
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::rotate::Rotation;
use jeton_engine::scope::Scope;
use jeton_engine::terms::{Lifetime, Permission, TokenShape};
use jeton_engine::token::TokenFormat;
use url::{Host, Url};

use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::{Place, Problem};
use super::proving::SoFar;
use super::raw::{Said, Value};
use super::{Mount, RealmConfig, proving, registration, settings};
use crate::http::endpoint::Endpoint;

/// The algorithms that a realm's tokens may be signed with in this version.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::EdDsa,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Hs256,
];

/// Those that may be gone, or different, in the next version.
const EXPERIMENTAL: &[Algorithm] = &[Algorithm::MlDsa44, Algorithm::MlDsa65];

/// Every realm that is right; what is wrong with the others has been noted.
pub(super) fn realms(
    reader: &mut Reader,
    dialects: &Dialects,
    base_dir: &Path,
) -> Vec<RealmConfig> {
    let named = reader.raw.realms.clone();
    if named.is_empty() {
        let problem =
            Problem::new(Place::Default, "there is no realm, so there would be no endpoint");
        reader.problem(problem.remedy("add a section [realm.main] with an `issuer`"));
    }
    let mut realms = Vec::new();
    for (name, place) in &named {
        match name.parse::<RealmName>() {
            Ok(name) => realms.extend(realm(reader, (&name, place), dialects, base_dir)),
            Err(error) => {
                let message = format!("the realm name \"{name}\" {error}");
                reader.problem(Problem::new(place.clone(), message));
            }
        }
    }
    tell_apart(reader, &realms);
    unreachable_paths(reader, &realms);
    realms
}

fn realm(
    reader: &mut Reader,
    (name, place): (&RealmName, &Place),
    dialects: &Dialects,
    base_dir: &Path,
) -> Option<RealmConfig> {
    let key = |rest: &str| format!("realm.{name}.{rest}");
    if reader.said(&key("issuer")).is_none() {
        let message = format!("the realm `{name}` has no `issuer`");
        let remedy =
            "add the URL that it is reached at, such as issuer = \"https://auth.example.com\"";
        reader.problem(Problem::new(place.clone(), message).remedy(remedy));
    }
    let issuer = issuer(reader, &key("issuer"));
    let hosts = reader.read_list(&key("hosts"), |said| parse::list(said, host));
    let spoken = spoken(reader, &key("dialects"), dialects);
    let audience = optional(reader, &key("audience"), parse::name::<Audience>);
    let scopes = scopes(reader, &key("scopes"));
    let (token, lifetime) = token(reader, name, spoken.as_deref().unwrap_or_default());
    let lifetime_max = lifetime_max(reader, &key("token.lifetime_max"));
    let claims = optional(reader, &key("claims"), parse::claims);
    let rotation = rotation(reader, name);
    let proving = proving::proving(reader, name, base_dir);
    let registration = registration::registration(reader, name);
    let client_limits = optional_limits(reader, &key("limits.client"));
    let source_limits = reader.read_list(&key("limits.source"), parse::limits);
    let realm_limits = reader.read_list(&key("limits.realm"), parse::limits);

    let Issuer { text: issuer, prefix, authority } = issuer?;
    let mounts = mounts(reader, &key("dialects"), &prefix, spoken?);
    let token = token?;
    let so_far = SoFar { name, issuer: &issuer, token: &token, mounts: &mounts };
    let proving = proving?.of(reader, &so_far);
    let said = registration?;
    let registration = said.map(|said| registration::of(reader, said, name, (&mounts, &proving)));
    let mut all_hosts = vec![authority];
    for host in hosts? {
        if !all_hosts.contains(&host) {
            all_hosts.push(host);
        }
    }
    Some(RealmConfig {
        realm: Realm {
            name: name.clone(),
            issuer,
            audience: audience?,
            scopes: scopes?,
            token,
            lifetime: lifetime?,
            lifetime_max: lifetime_max?,
            lifetime_longest: longest(lifetime?, lifetime_max?, &mounts),
            claims: claims?.unwrap_or_default(),
            proving,
            registration,
            rotation: rotation?,
            client_limits: client_limits?,
            source_limits: source_limits?,
            realm_limits: realm_limits?,
        },
        prefix,
        hosts: all_hosts,
        mounts,
    })
}

/// The longest life that configuration gives any of the realm's tokens.
fn longest(realm: Option<Lifetime>, most: Option<Lifetime>, mounts: &[Mount]) -> Lifetime {
    let of_mounts = mounts.iter().map(|mount| realm.unwrap_or(mount.dialect.terms().lifetime));
    let longest = of_mounts.max().unwrap_or(Lifetime::seconds(1));
    most.map_or(longest, |most| longest.min(most))
}

/// What every life is cut to.
fn lifetime_max(reader: &mut Reader, key: &str) -> Option<Option<Lifetime>> {
    optional(reader, key, |said| match parse::lifetime(said)? {
        Lifetime::Never => {
            Err(Wrong::new("must be a duration").instead("leave it out for no such limit"))
        }
        seconds @ Lifetime::Seconds(_) => Ok(seconds),
    })
}

/// When the realm's keys are rotated.
fn rotation(reader: &mut Reader, realm: &RealmName) -> Option<Rotation> {
    let key = |rest: &str| format!("realm.{realm}.keys.{rest}");
    let every = reader.read(&key("rotate_every"), parse::duration_or_off::<3_600, 315_360_000>);
    let publish_ahead = reader.read(&key("publish_ahead"), |said| {
        let ahead = parse::duration::<1, 31_536_000>(said)?;
        if ahead < Rotation::PUBLISH_AHEAD_MIN {
            let least = Rotation::PUBLISH_AHEAD_MIN.as_secs() / 60;
            return Err(Wrong::new("is less than caches may keep the old keys")
                .instead(format!("write at least \"{least}m\"")));
        }
        Ok(ahead)
    });
    let rotation = Rotation { every: every?, publish_ahead: publish_ahead? };
    if rotation.every.is_some_and(|every| every <= rotation.publish_ahead) {
        let (every, ahead) = (key("rotate_every"), key("publish_ahead"));
        let place = match reader.place(&every) {
            Place::Default => reader.place(&ahead),
            place => place,
        };
        let message = format!("`{every}` must be longer than `{ahead}`");
        let remedy = "a key must sign for longer than its successor is published ahead";
        reader.problem(Problem::new(place, message).remedy(remedy));
        return None;
    }
    Some(rotation)
}

/// A setting that may be absent: `Some(None)` when it is, `None` when it is wrong.
pub(super) fn optional<T>(
    reader: &mut Reader,
    key: &str,
    parse: impl FnOnce(&Said) -> Result<T, Wrong>,
) -> Option<Option<T>> {
    match reader.said(key) {
        None => Some(None),
        Some(_) => reader.read(key, parse).map(Some),
    }
}

fn optional_limits(reader: &mut Reader, key: &str) -> Option<Option<Rates>> {
    match reader.said(key) {
        None => Some(None),
        Some(_) => reader.read_list(key, parse::limits).map(Some),
    }
}

struct Issuer {
    text: String,
    prefix: String,
    /// Host and, where the URL names one, port.
    authority: String,
}

fn issuer(reader: &mut Reader, key: &str) -> Option<Issuer> {
    let url = reader.read(key, issuer_url)?;
    let host = url.host_str()?.to_owned();
    if url.scheme() == "http" && !is_loopback(&url) {
        let message = format!("`{key}` is plain http on a host that is not this machine");
        let remedy =
            "tokens and secrets would travel in the clear; use https (a proxy may end TLS)";
        let place = reader.place(key);
        reader.warnings.push(Problem::new(place, message).remedy(remedy));
    }
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    let text = url.as_str().trim_end_matches('/').to_owned();
    Some(Issuer { text, prefix: url.path().trim_end_matches('/').to_owned(), authority })
}

/// An issuer identifier (RFC 8414 section 2), in the one spelling that a URL has when it is written by
/// a program, so that what we publish and what others compute from it are the same bytes.
fn issuer_url(said: &Said) -> Result<Url, Wrong> {
    let text = parse::text(said)?;
    let url = Url::parse(text).map_err(|error| {
        Wrong::new(format!("is not a URL: {error}"))
            .instead("write it like \"https://auth.example.com/main\"")
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(Wrong::new("must start with https:// (or http:// on this machine)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("must not have a user name or password"));
    }
    if text.contains(['?', '#']) {
        return Err(Wrong::new("must not have a query or a fragment (RFC 8414 section 2)"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if url.path().contains("//") || !url.path().bytes().all(plain) {
        return Err(Wrong::new(
            "may only have letters, digits and - . _ ~ in its path, between single slashes",
        ));
    }
    if url.path().starts_with("/.well-known") {
        // Where metadata of realms with a path stands (RFC 8414 section 3.1).
        return Err(Wrong::new("must not have a path that begins with /.well-known"));
    }
    let canonical = url.as_str().trim_end_matches('/');
    if text == canonical {
        return Ok(url);
    }
    let what = if text.ends_with('/') {
        "must not end with a slash"
    } else {
        "is not written in its normal form"
    };
    Err(Wrong::new(what).instead(format!("write \"{canonical}\"")))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A host, with or without a port, as it would stand in a `Host` header; in lower case.
fn host(said: &Said) -> Result<String, Wrong> {
    let text = parse::text(said)?.to_lowercase();
    let shape = || {
        Wrong::new("must be a host, with or without a port")
            .instead("write it like \"auth.example.com\" or \"auth.example.com:8443\"")
    };
    let (name, port) = crate::http::route::split_port(&text);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(shape());
    }
    match Host::parse(name) {
        Ok(host) if host.to_string() == name => Ok(text),
        _ => Err(shape()),
    }
}

fn scopes(reader: &mut Reader, key: &str) -> Option<Scope> {
    let tokens = reader.read_list(key, |said| {
        parse::list(said, |item| {
            let token: Scope = parse::name(item)?;
            match token.tokens().count() {
                1 => Ok(token.to_string()),
                _ => Err(Wrong::new("must have one scope token an item")),
            }
        })
    })?;
    reader.read(key, |_| tokens.join(" ").parse().map_err(|error| Wrong::new(format!("{error}"))))
}

/// The realm's dialects with the place where each was named.
fn spoken(
    reader: &mut Reader,
    key: &str,
    dialects: &Dialects,
) -> Option<Vec<(Arc<Dialect>, Place)>> {
    let said = reader.said(key)?;
    let names = reader
        .read_list(key, |said| parse::list(said, |item| parse::text(item).map(str::to_owned)))?;
    let places: Vec<Place> = match &said.value {
        Value::List(items) => items.iter().map(|item| item.place.clone()).collect(),
        _ => Vec::new(),
    };
    if names.is_empty() {
        let problem = Problem::new(said.place, format!("`{key}` names no dialect"));
        reader.problem(problem.remedy("name at least one, such as [\"rfc6749\"]"));
        return None;
    }
    let known: Vec<&str> = dialects.names().collect();
    let mut spoken: Vec<(Arc<Dialect>, Place)> = Vec::new();
    let mut complete = true;
    for (name, place) in names.iter().zip(places) {
        let problem = match dialects.get(name) {
            Some(dialect) if spoken.iter().all(|(other, _)| other.name() != dialect.name()) => {
                spoken.push((Arc::clone(dialect), place));
                continue;
            }
            Some(_) => Problem::new(place, format!("`{key}` names the dialect \"{name}\" twice"))
                .remedy("name it once"),
            None => {
                let problem = Problem::new(place, format!("there is no dialect \"{name}\""));
                match settings::nearest(name, known.iter().copied()) {
                    Some(near) => problem.remedy(format!("did you mean \"{near}\"?")),
                    None => problem.remedy(format!("there are {}", known.join(", "))),
                }
            }
        };
        complete = false;
        reader.problem(problem);
    }
    complete.then_some(spoken)
}

fn mounts(
    reader: &mut Reader,
    key: &str,
    prefix: &str,
    spoken: Vec<(Arc<Dialect>, Place)>,
) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for (dialect, place) in spoken {
        let path = format!("{prefix}{}", dialect.path());
        if Endpoint::claims(dialect.path()) {
            let (name, path) = (dialect.name(), dialect.path());
            let message = format!(
                "`{key}` names \"{name}\", whose path {path} belongs to an endpoint that every realm has"
            );
            let remedy = "give the dialect another `request.path`";
            reader.problem(Problem::new(place, message).remedy(remedy));
            continue;
        }
        if let Some(other) = mounts.iter().find(|mount| mount.path == path) {
            let message = format!(
                "`{key}` names \"{}\" and \"{}\", which have the same path {}",
                other.dialect.name(),
                dialect.name(),
                dialect.path()
            );
            let remedy = "give one of them a realm of its own, with another issuer";
            reader.problem(Problem::new(place, message).remedy(remedy));
            continue;
        }
        let terms = Arc::clone(dialect.terms());
        mounts.push(Mount { dialect, terms, path });
    }
    mounts
}

/// How tokens look where the dialect leaves it to the realm, and how long they live.
fn token(
    reader: &mut Reader,
    realm: &RealmName,
    spoken: &[(Arc<Dialect>, Place)],
) -> (Option<TokenShape>, Option<Option<Lifetime>>) {
    let key = |rest: &str| format!("realm.{realm}.token.{rest}");
    let experimental = reader.read(&key("experimental"), |said| match parse::text(said)? {
        "on" => Ok(Permission::Permitted),
        "off" => Ok(Permission::Refused),
        _ => Err(Wrong::new("must be \"on\" or \"off\"")),
    });
    let experimental = experimental.unwrap_or(Permission::Refused);
    let algorithm = reader.read(&key("algorithm"), |said| algorithm(said, experimental));
    let format = reader.read(&key("format"), |said| match parse::text(said)? {
        "jwt" => Ok(TokenFormat::Jwt),
        "sealed" => Ok(TokenFormat::Sealed),
        "stored" => Ok(TokenFormat::Stored),
        _ => Err(Wrong::new("must be \"jwt\", \"sealed\" or \"stored\"")),
    });
    if format.is_some_and(|format| format != TokenFormat::Jwt)
        && reader.place(&key("algorithm")) != Place::Default
    {
        let message = format!("`{}` has no effect: only JWTs are signed", key("algorithm"));
        let place = reader.place(&key("algorithm"));
        reader.warnings.push(Problem::new(place, message).remedy("leave it out"));
    }
    let lifetime = optional(reader, &key("lifetime"), parse::lifetime);
    let refusing =
        spoken.iter().find(|(dialect, _)| dialect.terms().never_expires == Permission::Refused);
    if let (Some(Some(Lifetime::Never)), Some((dialect, _))) = (lifetime, refusing) {
        let message = format!(
            "`{}` is \"never\", which the dialect \"{}\" does not permit",
            key("lifetime"),
            dialect.name()
        );
        let problem = Problem::new(reader.place(&key("lifetime")), message);
        reader.problem(problem.remedy("write a duration, such as \"10m\""));
    }
    let shape = algorithm.zip(format).map(|(algorithm, format)| match format {
        TokenFormat::Jwt => TokenShape::rfc9068(algorithm),
        TokenFormat::Sealed => TokenShape::Sealed,
        TokenFormat::Stored => TokenShape::stored(),
    });
    (shape, lifetime)
}

/// An algorithm that tokens may be signed with.
fn algorithm(said: &Said, experimental: Permission) -> Result<Algorithm, Wrong> {
    let known = ALGORITHMS.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ");
    let algorithm: Algorithm = parse::name(said)
        .map_err(|_| Wrong::new("is not an algorithm").instead(format!("use one of {known}")))?;
    if EXPERIMENTAL.contains(&algorithm) && experimental == Permission::Refused {
        let what = format!("names {algorithm}, which is experimental");
        return Err(Wrong::new(what).instead(format!(
            "use one of {known}, or accept it by `token.experimental = \"on\"`"
        )));
    }
    Ok(algorithm)
}

/// Two realms with the same prefix need hosts that tell them apart.
fn tell_apart(reader: &mut Reader, realms: &[RealmConfig]) {
    let mut by_address: BTreeMap<(&str, &str), &RealmConfig> = BTreeMap::new();
    for realm in realms {
        let clash = realm.hosts.iter().find_map(|host| {
            by_address.get(&(realm.prefix.as_str(), host.as_str())).map(|other| (host, *other))
        });
        if let Some((host, other)) = clash {
            let message = format!(
                "the realms `{}` and `{}` cannot be told apart: both are at {host}{}",
                other.realm.name,
                realm.realm.name,
                if realm.prefix.is_empty() { "/" } else { &realm.prefix },
            );
            let place = reader.place(&format!("realm.{}.issuer", realm.realm.name));
            let remedy = "give one of them an issuer with another path or another host";
            reader.problem(Problem::new(place, message).remedy(remedy));
        }
        for host in &realm.hosts {
            by_address.entry((&realm.prefix, host)).or_insert(realm);
        }
    }
}

/// The longest prefix wins, so a path that lies at or below another realm's prefix would never be asked.
fn unreachable_paths(reader: &mut Reader, realms: &[RealmConfig]) {
    for realm in realms {
        let mounts = realm.mounts.iter().map(|mount| mount.path.clone());
        let endpoints = Endpoint::PATHS.iter().map(|(path, _)| format!("{}{path}", realm.prefix));
        for path in mounts.chain(endpoints) {
            let below = |other: &&RealmConfig| {
                let rest = path.strip_prefix(&other.prefix);
                other.prefix.len() > realm.prefix.len()
                    && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let Some(other) = realms.iter().find(below) else { continue };
            let message = format!(
                "the realm `{}` would never be asked for {path}: that path belongs to the realm `{}`",
                realm.realm.name, other.realm.name
            );
            let place = reader.place(&format!("realm.{}.issuer", other.realm.name));
            let remedy = "give one of the realms an issuer with another path";
            reader.problem(Problem::new(place, message).remedy(remedy));
            break;
        }
    }
}
