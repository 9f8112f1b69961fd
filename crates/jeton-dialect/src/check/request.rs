//! What a dialect says of requests: method, path, bodies, parameters and the order of checks.

use http::Method;
use jeton_engine::error::Kind;
use jeton_engine::request::AuthenticationMethod;

use crate::dialect::{ASSERTION_BYTES_MAX, Asking, Check, Decoding, Ours, Parameter, Query};
use crate::problem::{Finder, suggestion};
use crate::raw;
use crate::said::Said;

/// Our parameters, in the words of dialect files.
const OURS: [&str; 8] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "resource",
    "audience",
];
/// Ways to authenticate that show an assertion.
const BY_ASSERTION: [AuthenticationMethod; 2] =
    [AuthenticationMethod::ClientSecretJwt, AuthenticationMethod::PrivateKeyJwt];
/// Ways to authenticate that show a certificate.
const BY_CERTIFICATE: [AuthenticationMethod; 2] =
    [AuthenticationMethod::TlsClientAuth, AuthenticationMethod::SelfSignedTlsClientAuth];
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "GET"];
const QUERIES: [&str; 2] = ["ignored", "refused"];
const DECODINGS: [&str; 2] = ["json", "form"];
/// Stands for any way of authenticating in a check.
const CREDENTIALS: &str = "credentials";

type Meant = (Asking, Vec<AuthenticationMethod>);

pub(super) fn compile(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Option<Meant> {
    let method = method(said, finder);
    let path = path(said, finder);
    let media_types = media_types(said, finder);
    let authentication = authentication(said, finder);
    let names = Names::new(said, finder);
    let checks = checks(said, &names, &authentication, finder);
    let query = query(said, finder);
    consistent(said, &names, &authentication, finder);
    let asking = Asking {
        method: method?,
        path: path?,
        media_types,
        query: query?,
        basic: authentication.contains(&AuthenticationMethod::ClientSecretBasic),
        post: authentication.contains(&AuthenticationMethod::ClientSecretPost),
        assertion: authentication.iter().any(|method| BY_ASSERTION.contains(method)),
        named: authentication.iter().any(|method| BY_CERTIFICATE.contains(method)),
        ours: names.ours(),
        parameters: names.parameters,
        checks,
    };
    Some((asking, authentication))
}

fn method(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Option<Method> {
    let Some(text) = &said.method else {
        if !said.spoiled.contains(&"method") {
            finder.at(&said.span, "[request] lacks `method`", "add `method = \"POST\"`");
        }
        return None;
    };
    if !METHODS.contains(&text.as_str()) {
        let message = format!("`{}` is not a method of a token endpoint", text.value);
        finder.at(&text.span, message, suggestion(&text.value, METHODS));
        return None;
    }
    text.parse().ok()
}

fn path(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Option<String> {
    let Some(text) = &said.path else {
        if !said.spoiled.contains(&"path") {
            finder.at(
                &said.span,
                "[request] lacks `path`",
                "add `path = \"/auth/v1/token\"` or the like",
            );
        }
        return None;
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let segments_are_plain =
        text.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    if !text.starts_with('/') || !text.bytes().all(allowed) || !segments_are_plain {
        let remedy = "start with `/`, use A-Z a-z 0-9 - . _ ~ between slashes, and end without one";
        finder.at(&text.span, format!("`{}` is not a path", text.value), remedy);
        return None;
    }
    Some(text.value.clone())
}

fn media_types(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Vec<(String, Decoding)> {
    let mut read = Vec::new();
    for (name, decoding) in said.media_types.iter().flat_map(|members| &members.0) {
        let is_media_type = name.split_once('/').is_some_and(|(kind, of)| {
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
            !kind.is_empty() && !of.is_empty() && kind.bytes().chain(of.bytes()).all(token)
        });
        if !is_media_type {
            let remedy = "write it without parameters, such as `\"application/json\"`";
            finder.at(&name.span, format!("`{}` is not a media type", name.value), remedy);
        }
        let decoding = match decoding.as_str() {
            "json" => Decoding::Json,
            "form" => Decoding::Form,
            other => {
                let message = format!("bodies cannot be decoded as `{other}`");
                finder.at(&decoding.span, message, suggestion(other, DECODINGS));
                continue;
            }
        };
        let name_lower = name.to_ascii_lowercase();
        if read.iter().any(|(known, _)| *known == name_lower) {
            let message = format!("`{}` is here twice: letter case does not matter", name.value);
            finder.at(&name.span, message, "keep one of them");
        }
        read.push((name_lower, decoding));
    }
    read
}

fn query(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Option<Query> {
    let is_read = said.danger_query.as_ref().is_some_and(|said| said.value);
    let Some(text) = &said.query else {
        return Some(if is_read { Query::Read } else { Query::Ignored });
    };
    if is_read {
        let remedy = "keep one of them";
        finder.at(&text.span, "`query` and `danger_query = true` contradict each other", remedy);
        return None;
    }
    match text.as_str() {
        "ignored" => Some(Query::Ignored),
        "refused" => Some(Query::KnownRefused),
        other => {
            let message = format!("`{other}` cannot be done with parameters in the URL");
            finder.at(&text.span, message, suggestion(other, QUERIES));
            None
        }
    }
}

fn authentication(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Vec<AuthenticationMethod> {
    let Some(names) = &said.authentication else {
        return vec![AuthenticationMethod::ClientSecretPost];
    };
    if names.is_empty() {
        finder.at(&names.span, "nobody could authenticate", "name at least one way");
    }
    let mut methods = Vec::new();
    for name in names.iter() {
        match name.parse() {
            Ok(method) if methods.contains(&method) => {
                finder.at(&name.span, "this is named twice", "name it once");
            }
            Ok(method) => methods.push(method),
            Err(_) => {
                let known: Vec<&str> =
                    AuthenticationMethod::ALL.iter().map(|method| method.name()).collect();
                let message = format!("`{}` is not a way to authenticate", name.value);
                finder.at(&name.span, message, suggestion(&name.value, known));
            }
        }
    }
    methods
}

/// The parameters and what checks call them.
struct Names {
    parameters: Vec<Parameter>,
    /// In the order of `parameters`: our name, or the name on the wire of an extra one.
    words: Vec<String>,
}

impl Names {
    fn new(said: &Said<raw::Request>, finder: &mut Finder<'_>) -> Self {
        let mut names = Self { parameters: Vec::new(), words: Vec::new() };
        for (ours, theirs) in said.parameters.iter().flat_map(|members| &members.0) {
            if !OURS.contains(&ours.as_str()) {
                let message = format!("`{}` is not one of our parameters", ours.value);
                let near = suggestion(&ours.value, OURS);
                let remedy = format!("{near}; one that is only checked goes to `extra_parameters`");
                finder.at(&ours.span, message, remedy);
            }
            if theirs.0.is_empty() {
                finder.at(&theirs.span, "a parameter needs a name", "write its name on the wire");
            }
            for (at, name) in theirs.0.iter().enumerate() {
                names.refuse_taken(name, finder);
                if theirs.0.iter().take(at).any(|earlier| earlier.value == name.value) {
                    let message = format!("`{}` is named twice", name.value);
                    finder.at(&name.span, message, "name it once");
                }
            }
            let wire = theirs.0.iter().map(|name| name.value.clone()).collect();
            names.add(&ours.value, wire);
        }
        for extra in said.extra_parameters.iter().flat_map(|extras| extras.iter()) {
            names.refuse_taken(extra, finder);
            if OURS.contains(&extra.as_str()) {
                // A check that names it would mean ours, and it would be read as ours.
                let message = format!("`{}` is one of our parameters", extra.value);
                let remedy =
                    format!("move it: `{0} = \"{0}\"` in `[request.parameters]`", extra.value);
                finder.at(&extra.span, message, remedy);
            } else if names.words.contains(&extra.value) {
                let message = format!("`{}` names two parameters", extra.value);
                finder.at(&extra.span, message, "give each parameter once");
            }
            names.add(&extra.value, vec![extra.value.clone()]);
        }
        names.lengths(said, finder);
        names.repeatable(said, finder);
        names
    }

    fn add(&mut self, word: &str, names: Vec<String>) {
        let bytes_max = match word {
            "client_id" => 255,
            "client_secret" => 1024,
            "client_assertion" => ASSERTION_BYTES_MAX,
            _ => 4096,
        };
        self.words.push(word.to_owned());
        self.parameters.push(Parameter { names, bytes_max, repeatable: false });
    }

    fn refuse_taken(&self, name: &Said<String>, finder: &mut Finder<'_>) {
        if name.value.is_empty() {
            finder.at(&name.span, "a parameter needs a name", "write its name on the wire");
        }
        let taken = self.parameters.iter().any(|parameter| parameter.names.contains(&name.value));
        if taken {
            let message = format!("`{}` is the name of another parameter already", name.value);
            finder.at(&name.span, message, "give every name on the wire once");
        }
    }

    fn lengths(&mut self, said: &Said<raw::Request>, finder: &mut Finder<'_>) {
        for (word, bytes) in said.lengths.iter().flat_map(|members| &members.0) {
            let Some(at) = self.find(word, finder) else { continue };
            if bytes.value == 0 {
                finder.at(&bytes.span, "nothing would be short enough", "write 1 or more");
            }
            if let Some(parameter) = self.parameters.get_mut(at) {
                parameter.bytes_max = usize::try_from(bytes.value).unwrap_or(usize::MAX);
            }
        }
    }

    fn repeatable(&mut self, said: &Said<raw::Request>, finder: &mut Finder<'_>) {
        for word in said.repeatable.iter().flat_map(|words| words.iter()) {
            let Some(at) = self.find(word, finder) else { continue };
            if !matches!(word.as_str(), "resource" | "audience") {
                let message = format!("`{}` cannot be given more than once", word.value);
                finder.at(&word.span, message, "only `resource` and `audience` can");
            }
            if let Some(parameter) = self.parameters.get_mut(at) {
                parameter.repeatable = true;
            }
        }
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.words.iter().position(|known| known == word)
    }

    fn find(&self, word: &Said<String>, finder: &mut Finder<'_>) -> Option<usize> {
        let found = self.position(word);
        if found.is_none() {
            let message = format!("`{}` is not a parameter of this dialect", word.value);
            let known: Vec<&str> = self.words.iter().map(String::as_str).collect();
            finder.at(&word.span, message, suggestion(&word.value, known));
        }
        found
    }

    fn ours(&self) -> Ours {
        Ours {
            client_id: self.position("client_id"),
            client_secret: self.position("client_secret"),
            client_assertion: self.position("client_assertion"),
            client_assertion_type: self.position("client_assertion_type"),
            grant_type: self.position("grant_type"),
            scope: self.position("scope"),
            resource: self.position("resource"),
            audience: self.position("audience"),
        }
    }
}

fn checks(
    said: &Said<raw::Request>,
    names: &Names,
    authentication: &[AuthenticationMethod],
    finder: &mut Finder<'_>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for check in said.checks.iter().flat_map(|checks| checks.iter()) {
        let otherwise = check.otherwise.as_ref().and_then(|kind| otherwise(kind, finder));
        match (&check.required, &check.parameter, &check.allowed) {
            (Some(required), None, None) => {
                if required.is_empty() {
                    finder.at(&required.span, "this requires nothing", "name what must be there");
                }
                for word in required.iter() {
                    if word.value == CREDENTIALS {
                        checks.push(Check::Credentials(otherwise));
                    } else if let Some(at) = names.find(word, finder) {
                        checks
                            .push(Check::Present(at, otherwise.unwrap_or(Kind::MissingParameter)));
                        checks.push(Check::Length(at));
                    }
                }
            }
            (None, Some(word), Some(allowed)) => {
                if allowed.is_empty() {
                    finder.at(&allowed.span, "no value would be allowed", "name at least one");
                }
                if let Some(at) = names.find(word, finder) {
                    let usual = match word.as_str() {
                        "grant_type" => Kind::UnsupportedGrantType,
                        _ => Kind::InvalidParameter,
                    };
                    let values = allowed.iter().map(|value| value.value.clone()).collect();
                    checks.push(Check::Allowed(at, values, otherwise.unwrap_or(usual)));
                }
            }
            _ => {
                let remedy =
                    "write `{ required = [\"…\"] }` or `{ parameter = \"…\", allowed = [\"…\"] }`";
                finder.at(&check.span, "a check is one of two things", remedy);
            }
        }
    }
    complete(&mut checks, names);
    refuse_needless(said, authentication, finder);
    checks
}

/// Adds what every dialect checks, wherever the file does not say an earlier place for it: the
/// length of each parameter, and that the client has authenticated. A parameter whose values are
/// listed needs no length.
fn complete(checks: &mut Vec<Check>, names: &Names) {
    let listed = |at: usize, checks: &[Check]| {
        checks.iter().any(|check| matches!(check, Check::Allowed(listed, ..) if *listed == at))
    };
    let measured = |at: usize, checks: &[Check]| {
        checks.iter().any(|check| matches!(check, Check::Length(measured) if *measured == at))
    };
    for at in 0..names.parameters.len() {
        if listed(at, checks) {
            checks.retain(|check| !matches!(check, Check::Length(measured) if *measured == at));
        } else if !measured(at, checks) {
            checks.push(Check::Length(at));
        }
    }
    if !checks.iter().any(|check| matches!(check, Check::Credentials(_))) {
        checks.push(Check::Credentials(None));
    }
}

/// With other ways to authenticate than the secret among the parameters, identifier and secret need
/// not be there.
fn refuse_needless(
    said: &Said<raw::Request>,
    authentication: &[AuthenticationMethod],
    finder: &mut Finder<'_>,
) {
    if authentication.iter().all(|method| *method == AuthenticationMethod::ClientSecretPost) {
        return;
    }
    let checks = said.checks.iter().flat_map(|checks| checks.iter());
    for word in checks.flat_map(|check| check.required.iter().flat_map(|words| words.iter())) {
        if matches!(word.as_str(), "client_id" | "client_secret") {
            let message = format!("not every way of `authentication` has `{}`", word.value);
            finder.at(&word.span, message, "require `credentials` instead");
        }
    }
}

fn otherwise(kind: &Said<String>, finder: &mut Finder<'_>) -> Option<Kind> {
    let is_refusal = |kind: &Kind| !matches!(kind, Kind::ServerError | Kind::Unavailable);
    let parsed = kind.parse::<Kind>().ok().filter(is_refusal);
    if parsed.is_none() {
        let known = Kind::ALL.iter().filter(|kind| is_refusal(kind)).map(|kind| kind.name());
        let message = format!("`{}` is not a kind of refusal", kind.value);
        finder.at(&kind.span, message, suggestion(&kind.value, known));
    }
    parsed
}

/// The list of ways to authenticate binds: a secret among the parameters that no listed way reads
/// would only seem to be one. A `client_id` there may repeat the header's.
fn refuse_unread_secret(
    said: &Said<raw::Request>,
    authentication: &[AuthenticationMethod],
    finder: &mut Finder<'_>,
) {
    let understood = said.authentication.as_ref().map_or(1, |ways| ways.len());
    if authentication.len() != understood
        || authentication.is_empty()
        || authentication.contains(&AuthenticationMethod::ClientSecretPost)
    {
        return;
    }
    let named = said.parameters.iter().flat_map(|members| &members.0);
    for (ours, _) in named.filter(|(ours, _)| ours.value == "client_secret") {
        let remedy = "remove it, or add `client_secret_post` to `authentication`";
        finder.at(&ours.span, "no way of `authentication` reads `client_secret`", remedy);
    }
}

/// What only shows when the parts are seen together.
fn consistent(
    said: &Said<raw::Request>,
    names: &Names,
    authentication: &[AuthenticationMethod],
    finder: &mut Finder<'_>,
) {
    let reads_query = said.danger_query.as_ref().is_some_and(|said| said.value);
    let media_types = said.media_types.as_ref().filter(|members| !members.0.is_empty());
    if let (Some(method), Some(media_types)) = (&said.method, media_types)
        && method.value == "GET"
    {
        let remedy = "remove `media_types`; with `danger_query = true` parameters come in the URL";
        finder.at(&media_types.span, "a GET request has no body", remedy);
    }
    if media_types.is_none() && !reads_query && !names.parameters.is_empty() {
        let remedy = "add `media_types = { \"application/json\" = \"json\" }` or the like";
        finder.at(&said.span, "parameters have nowhere to come from", remedy);
    }
    refuse_unread_secret(said, authentication, finder);
    for method in authentication {
        let needed: &[&str] = match method {
            AuthenticationMethod::ClientSecretBasic => &[],
            AuthenticationMethod::ClientSecretPost => &["client_id", "client_secret"],
            AuthenticationMethod::ClientSecretJwt | AuthenticationMethod::PrivateKeyJwt => {
                &["client_assertion", "client_assertion_type"]
            }
            AuthenticationMethod::TlsClientAuth | AuthenticationMethod::SelfSignedTlsClientAuth => {
                &["client_id"]
            }
        };
        for word in needed {
            if names.position(word).is_none() {
                let message = format!("`{method}` needs the parameter `{word}`");
                let remedy = format!(
                    "add `{word} = \"{word}\"` (its name on the wire) to `[request.parameters]`"
                );
                finder.at(&said.span, message, remedy);
            }
        }
    }
    if names.position("grant_type").is_some() {
        let checked =
            said.checks.iter().flat_map(|checks| checks.iter()).any(|check| {
                check.parameter.as_ref().is_some_and(|word| word.value == "grant_type")
            });
        if !checked {
            let remedy = "add `{ parameter = \"grant_type\", allowed = [\"client_credentials\"] }` to `checks`";
            finder.at(&said.span, "any `grant_type` would be accepted", remedy);
        }
    }
}
