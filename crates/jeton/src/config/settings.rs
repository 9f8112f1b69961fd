//! Every setting there is: its key, what it takes, and its default. One row each; the reader, the environment,
//! `config show` and the test of `jeton.example.toml` all look here.

use std::collections::BTreeMap;

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Boolean,
    /// A number of bytes: `65536` or `"64KiB"`.
    Bytes,
    /// A duration: `"10m"`, `"1h30m"`, `"90d"`.
    Duration,
    /// A list of texts.
    Texts,
    /// A list of limits such as `["600/min"]`, or `"off"`.
    Limits,
    /// A table of claims: `{ tenant = "acme" }`.
    Claims,
}

impl Takes {
    /// For sentences like "must be …".
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
            Self::Boolean => "true or false, without quotes",
            Self::Bytes => "a number of bytes, such as 65536 or \"64KiB\"",
            Self::Duration => "a duration, such as \"10s\", \"1h30m\" or \"90d\"",
            Self::Texts => "a list of texts, such as [\"a\", \"b\"]",
            Self::Limits => "a list of limits, such as [\"600/min\"], or \"off\"",
            Self::Claims => "a table of claims, such as { tenant = \"acme\" }",
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key, dotted. `*` stands for the name of a realm, or of something in it.
    pub key: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Its default, as it would stand in the file; `None`: absent, or decided elsewhere.
    pub default: Option<&'static str>,
}

const fn setting(key: &'static str, takes: Takes, default: &'static str) -> Setting {
    Setting { key, takes, default: Some(default) }
}

const fn no_default(key: &'static str, takes: Takes) -> Setting {
    Setting { key, takes, default: None }
}

/// Every setting, in the order of `jeton.example.toml`.
pub const SETTINGS: &[Setting] = &[
    setting("server.listen", Takes::Text, "\"127.0.0.1:8080\""),
    setting("server.trusted_proxies", Takes::Texts, "[]"),
    setting("server.source_ipv6_prefix", Takes::Number, "64"),
    no_default("server.client_certificate_header.format", Takes::Text),
    no_default("server.client_certificate_header.name", Takes::Text),
    setting("server.client_certificate_header.chain", Takes::Text, "\"unverified\""),
    setting("server.header_bytes_max", Takes::Bytes, "\"16KiB\""),
    setting("server.headers_max", Takes::Number, "100"),
    setting("server.body_bytes_max", Takes::Bytes, "\"64KiB\""),
    setting("server.header_timeout", Takes::Duration, "\"10s\""),
    setting("server.body_timeout", Takes::Duration, "\"10s\""),
    setting("server.write_timeout", Takes::Duration, "\"10s\""),
    setting("server.idle_timeout", Takes::Duration, "\"75s\""),
    setting("server.connections_max", Takes::Number, "10000"),
    setting("server.requests_in_flight_max", Takes::Number, "2048"),
    setting("server.backlog", Takes::Number, "1024"),
    setting("server.drain", Takes::Duration, "\"3s\""),
    setting("server.shutdown_grace", Takes::Duration, "\"20s\""),
    no_default("server.tls.certificate", Takes::Text),
    no_default("server.tls.key", Takes::Text),
    setting("server.tls.client_certificates", Takes::Text, "\"off\""),
    no_default("server.tls.client_ca", Takes::Text),
    setting("server.tls.client_crls", Takes::Texts, "[]"),
    setting("server.tls.handshake_timeout", Takes::Duration, "\"10s\""),
    setting("server.tls.handshakes_max", Takes::Number, "1024"),
    setting("admin.listen", Takes::Text, "\"127.0.0.1:8081\""),
    setting("storage.url", Takes::Text, "\"sqlite:jeton.db\""),
    no_default("storage.master_key.file", Takes::Text),
    no_default("storage.master_key.env", Takes::Text),
    setting("storage.queue_max", Takes::Number, "8192"),
    setting("storage.events_kept_for", Takes::Duration, "\"7d\""),
    setting("storage.grace", Takes::Duration, "\"5m\""),
    setting("storage.check_grace", Takes::Duration, "\"0s\""),
    setting("dialects.directory", Takes::Text, "\"dialects\""),
    setting("fetch.allow", Takes::Texts, "[]"),
    no_default("fetch.ca_file", Takes::Text),
    setting("fetch.connect_timeout", Takes::Duration, "\"3s\""),
    setting("fetch.timeout", Takes::Duration, "\"5s\""),
    setting("fetch.body_bytes_max", Takes::Bytes, "\"256KiB\""),
    setting("fetch.requests_max", Takes::Number, "16"),
    setting("fetch.again_after", Takes::Duration, "\"30s\""),
    setting("fetch.fresh_min", Takes::Duration, "\"5m\""),
    setting("fetch.fresh_max", Takes::Duration, "\"1h\""),
    setting("fetch.stale_max", Takes::Duration, "\"4h\""),
    setting("fetch.key_sets_max", Takes::Number, "1000"),
    setting("secrets.argon2_memory", Takes::Bytes, "\"19MiB\""),
    setting("secrets.argon2_passes", Takes::Number, "2"),
    setting("secrets.argon2_runs_max", Takes::Number, "2"),
    setting("secrets.argon2_waiting_max", Takes::Number, "64"),
    setting("secrets.remembered_max", Takes::Number, "10000"),
    setting("secrets.remembered_for", Takes::Duration, "\"5m\""),
    setting("guesses.free", Takes::Number, "30"),
    setting("guesses.per_second", Takes::Number, "10"),
    setting("guesses.wait_max", Takes::Duration, "\"2s\""),
    setting("log.format", Takes::Text, "\"auto\""),
    setting("log.filter", Takes::Text, "\"info\""),
    no_default("traces.endpoint", Takes::Text),
    setting("traces.sample", Takes::Text, "\"100%\""),
    setting("traces.parents", Takes::Text, "\"anybody\""),
    no_default("traces.headers.file", Takes::Text),
    no_default("traces.headers.env", Takes::Text),
    no_default("traces.ca_file", Takes::Text),
    setting("traces.service_name", Takes::Text, "\"jeton\""),
    setting("traces.resource", Takes::Texts, "[]"),
    setting("traces.queue_max", Takes::Number, "2048"),
    setting("traces.timeout", Takes::Duration, "\"5s\""),
    no_default("realm.*.issuer", Takes::Text),
    setting("realm.*.hosts", Takes::Texts, "[]"),
    setting("realm.*.dialects", Takes::Texts, "[\"rfc6749\"]"),
    no_default("realm.*.audience", Takes::Text),
    setting("realm.*.scopes", Takes::Texts, "[]"),
    setting("realm.*.token.format", Takes::Text, "\"jwt\""),
    setting("realm.*.token.algorithm", Takes::Text, "\"EdDSA\""),
    setting("realm.*.token.experimental", Takes::Text, "\"off\""),
    no_default("realm.*.token.lifetime", Takes::Duration),
    no_default("realm.*.token.lifetime_max", Takes::Duration),
    no_default("realm.*.claims", Takes::Claims),
    setting("realm.*.keys.rotate_every", Takes::Duration, "\"90d\""),
    setting("realm.*.keys.publish_ahead", Takes::Duration, "\"1d\""),
    setting("realm.*.profile", Takes::Text, "\"standard\""),
    setting("realm.*.assertions.audience", Takes::Text, "\"issuer\""),
    setting("realm.*.assertions.lifetime_max", Takes::Duration, "\"1h\""),
    setting("realm.*.dpop.nonces", Takes::Text, "\"off\""),
    setting("realm.*.dpop.age_max", Takes::Duration, "\"60s\""),
    no_default("realm.*.trusted_issuers.*.issuer", Takes::Text),
    no_default("realm.*.trusted_issuers.*.jwks_uri", Takes::Text),
    no_default("realm.*.trusted_issuers.*.jwks_file", Takes::Text),
    no_default("realm.*.trusted_issuers.*.audience", Takes::Text),
    no_default("realm.*.trusted_issuers.*.uses", Takes::Text),
    setting("realm.*.registration.enabled", Takes::Boolean, "false"),
    setting("realm.*.registration.initial_access_token", Takes::Text, "\"required\""),
    setting("realm.*.registration.software_statements", Takes::Text, "\"off\""),
    setting("realm.*.registration.clients_max", Takes::Number, "1000"),
    setting("realm.*.registration.limits.source", Takes::Limits, "[\"30/min\"]"),
    setting("realm.*.registration.limits.realm", Takes::Limits, "[\"300/min\"]"),
    no_default("realm.*.limits.client", Takes::Limits),
    setting("realm.*.limits.source", Takes::Limits, "\"off\""),
    setting("realm.*.limits.realm", Takes::Limits, "\"off\""),
];

/// The setting with this pattern.
pub fn setting_of(pattern: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == pattern)
}

/// The pattern of a key: the names of a realm and of its trusted issuers become `*`.
pub fn pattern_of(key: &str) -> String {
    let mut parts: Vec<&str> = key.split('.').collect();
    if let [first, realm, rest @ ..] = parts.as_mut_slice()
        && *first == "realm"
    {
        *realm = "*";
        if let [section, name, ..] = rest
            && *section == "trusted_issuers"
        {
            *name = "*";
        }
    }
    parts.join(".")
}

/// The names that stand directly below a section, of all that was said, each once.
pub(super) fn named_below<T>(said: &BTreeMap<String, T>, section: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in said.keys().filter_map(|key| below(key, section)?.split('.').next()) {
        if names.last().is_none_or(|last| last != name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Whether the pattern is a section: a beginning of some setting's key.
pub fn is_section(pattern: &str) -> bool {
    SETTINGS.iter().any(|setting| below(setting.key, pattern).is_some())
}

/// The names that may stand directly in a section (`""`: the top of the file).
pub fn names_in(section: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for setting in SETTINGS {
        let rest = if section.is_empty() { Some(setting.key) } else { below(setting.key, section) };
        let name = rest.and_then(|rest| rest.split('.').next());
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names
}

fn below<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    key.strip_prefix(section)?.strip_prefix('.')
}

/// The candidate that was probably meant: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.chars().count() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed or replaced (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut next = vec![left];
        for ((above, above_left), other) in row.iter().skip(1).zip(&row).zip(&to) {
            let replaced = above_left + usize::from(letter != *other);
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_name_that_was_meant_and_other_words_find_none() {
        assert_eq!(nearest("lisen", names_in("server")), Some("listen"));
        assert_eq!(nearest("body_byte_max", names_in("server")), Some("body_bytes_max"));
        assert_eq!(nearest("Issuer", names_in("realm.*")), Some("issuer"));
        assert_eq!(nearest("colour", names_in("server")), None);
    }

    #[test]
    fn distance_counts_letters() {
        for (from, to, count) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), count, "{from} {to}");
            assert_eq!(distance(to, from), count, "{to} {from}");
        }
    }

    #[test]
    fn sections_and_settings_are_told_apart() {
        assert!(
            is_section("server") && is_section("realm.*.token") && !is_section("server.listen")
        );
        assert!(setting_of("server.listen").is_some() && setting_of("server").is_none());
        assert_eq!(pattern_of("realm.main.token.format"), "realm.*.token.format");
        assert_eq!(
            pattern_of("realm.a.trusted_issuers.k8s.issuer"),
            "realm.*.trusted_issuers.*.issuer"
        );
        assert_eq!(pattern_of("server.listen"), "server.listen");
    }
}
