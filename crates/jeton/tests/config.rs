//! Proves that configuration mistakes are told all at once with line and remedy, and that what is right is taken.

#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use jeton::config::{self, Config, Database, MasterKeySource, Origin, Problems};
use jeton_engine::engine::Settings;
use jeton_engine::jose::Algorithm;
use jeton_engine::rate::Rates;
use jeton_engine::realm::registration::{Admission, Statements};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::rotate::Rotation;
use jeton_engine::terms::{Lifetime, TokenShape};

const MAIN: &str = "[realm.main]\nissuer = \"https://auth.example.com/main\"\n";

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::parse("jeton.toml", text, environment, Path::new("/nowhere"))
}

fn parse(text: &str) -> Result<Config, Problems> {
    parse_with(text, &[])
}

/// The messages of a configuration that is refused.
fn messages(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("it should be refused");
    problems.iter().map(|problem| problem.message().to_owned()).collect()
}

fn main_with(text: &str) -> String {
    format!("{MAIN}{text}\n")
}

fn assert_refused(text: &str, expected: &str) {
    let messages = messages(text);
    assert_eq!(messages.len(), 1, "{text}\n{messages:#?}");
    assert!(messages[0].contains(expected), "{text}\n{messages:#?}");
}

fn assert_taken(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

#[test]
fn the_least_configuration_is_one_realm_and_everything_else_has_a_default() {
    let config = assert_taken(MAIN);
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.admin.listen, "127.0.0.1:8081".parse().unwrap());
    assert_eq!(config.server.body_bytes_max, 65_536);
    assert_eq!(config.storage.database, Database::File("/nowhere/jeton.db".into()));
    assert_eq!(
        config.storage.master_key,
        MasterKeySource::BesideDatabase("/nowhere/jeton.db.master-key".into())
    );
    let realm = config.realm("main").unwrap();
    assert_eq!(realm.realm.issuer, "https://auth.example.com/main");
    assert_eq!(realm.prefix, "/main");
    assert_eq!(realm.hosts, ["auth.example.com"]);
    assert_eq!(realm.mounts[0].path, "/main/oauth2/token");
    assert!(realm.realm.client_limits.is_none() && realm.realm.source_limits.is_empty());
    assert!(config.warnings.is_empty());
}

#[test]
fn the_defaults_of_the_table_are_the_engines_own() {
    assert_eq!(assert_taken(MAIN).settings, Settings::default());
}

#[test]
fn every_problem_is_told_at_once_with_its_line_and_remedy() {
    let text = r#"colour = "blue"

[server]
lisen = "127.0.0.1:8080"
listen = ":8080"
trusted_proxies = ["10.0.0.0/8", "proxy.example"]
body_bytes_max = "64 kilobytes"
header_timeout = 10
connections_max = 0

[server.tls]
certificate = "cert.pem"

[storage]
url = "postgres://jeton:hunter2@db/jeton?sslmode=prefer"

[log]
format = "xml"

[fetch]
allow = ["10.0.0.0/33"]

[realm.main]
issuer = "https://auth.example.com/"
dialects = ["rfc6479", "rfc6749", "rfc6749"]
scopes = ["read write", "admin"]
token = { format = "opaque", algorithm = "RS257", lifetime = "ten minutes" }
profile = "fapi"

[realm.main.limits]
client = ["600 a minute"]
source = "none"

[realm.main.registration]
enabled = "no"

[realm.Other]
issuer = "https://other.example.com"
"#;
    let problems = parse(text).unwrap_err();
    insta::assert_snapshot!(problems.to_string());
    assert!(!problems.to_string().contains("hunter2"), "a password must not be shown");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line() {
    insta::assert_snapshot!(
        parse("[server\nlisten = \"127.0.0.1:8080\"\n").unwrap_err().to_string()
    );
}

#[test]
fn a_file_without_realms_is_refused() {
    assert_refused("", "there is no realm");
}

#[test]
fn the_issuer_is_a_url_in_its_normal_form() {
    for issuer in [
        "https://auth.example.com",
        "https://auth.example.com/main",
        "https://auth.example.com:8443/a/b-c_d.e~f",
        "http://127.0.0.1:8080/main",
        "http://localhost:8080",
        "http://[::1]:8080",
    ] {
        let config = assert_taken(&format!("[realm.main]\nissuer = \"{issuer}\"\n"));
        assert_eq!(config.realms[0].realm.issuer, issuer);
        assert!(config.warnings.is_empty(), "{issuer}");
    }
    for (issuer, expected) in [
        ("auth.example.com", "is not a URL"),
        ("ftp://auth.example.com", "must start with https://"),
        ("https://user@auth.example.com", "user name or password"),
        ("https://auth.example.com/?a=b", "query or a fragment"),
        ("https://auth.example.com/main?", "query or a fragment"),
        ("https://auth.example.com/#x", "query or a fragment"),
        ("https://auth.example.com/", "must not end with a slash"),
        ("https://auth.example.com/main/", "must not end with a slash"),
        ("https://auth.example.com//main", "between single slashes"),
        ("https://auth.example.com/m%61in", "may only have letters"),
        ("https://auth.example.com/a/../b", "normal form"),
        ("https://AUTH.example.com", "normal form"),
        ("https://auth.example.com:443", "normal form"),
    ] {
        assert_refused(&format!("[realm.main]\nissuer = \"{issuer}\"\n"), expected);
    }
}

#[test]
fn plain_http_to_another_machine_is_warned_about_and_taken() {
    let config = assert_taken("[realm.main]\nissuer = \"http://auth.example.com\"\n");
    insta::assert_snapshot!(config.warnings.to_string());
}

#[test]
fn realms_with_the_same_prefix_need_different_hosts() {
    let two = |first: &str, second: &str| {
        format!("[realm.a]\nissuer = \"{first}\"\n[realm.b]\nissuer = \"{second}\"\n")
    };
    assert_taken(&two("https://a.example.com", "https://b.example.com"));
    assert_taken(&two("https://a.example.com", "https://a.example.com/b"));
    assert_taken(&two("https://a.example.com", "https://a.example.com:8443"));
    assert_refused(&two("https://a.example.com", "https://a.example.com"), "cannot be told apart");
    assert_refused(
        &two("https://a.example.com/x", "http://a.example.com/x"),
        "cannot be told apart",
    );
    let hosts = "[realm.a]\nissuer = \"https://a.example.com\"\nhosts = [\"B.example.com\"]\n\
                 [realm.b]\nissuer = \"https://b.example.com\"\n";
    assert_refused(hosts, "both are at b.example.com/");
}

#[test]
fn hosts_are_hosts_with_or_without_a_port() {
    for host in ["a.example.com", "a.example.com:8443", "127.0.0.1", "[::1]:8080", "[::1]"] {
        assert_taken(&main_with(&format!("hosts = [\"{host}\"]")));
    }
    for host in [
        "https://a.example.com",
        "a.example.com/x",
        "a b",
        "a.example.com:x",
        "a.example.com:99999",
    ] {
        assert_refused(&main_with(&format!("hosts = [\"{host}\"]")), "must be a host");
    }
}

#[test]
fn a_dialect_cannot_have_the_path_of_an_endpoint_that_every_realm_has() {
    let folder = tempfile::tempdir().unwrap();
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dialects/rfc6749/dialect.toml");
    let dialect = std::fs::read_to_string(builtin).unwrap();
    for (path, taken) in [
        ("/.well-known/jwks.json", false),
        ("/.well-known/openid-configuration/main", false),
        ("/.well-known/jwks", true),
    ] {
        let own = folder.path().join("dialects/own");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("dialect.toml"), dialect.replace("/oauth2/token", path)).unwrap();
        let text = main_with("dialects = [\"own\"]");
        let parsed = config::parse("jeton.toml", &text, std::iter::empty(), folder.path());
        match parsed {
            Ok(_) => assert!(taken, "{path}"),
            Err(problems) => {
                assert!(!taken, "{path}: {problems}");
                let problem = problems.iter().next().unwrap();
                assert!(problem.message().contains("belongs to an endpoint"), "{problems}");
            }
        }
    }
}

#[test]
fn an_issuer_keeps_clear_of_the_places_of_metadata() {
    for path in ["/.well-known", "/.well-known/oauth-authorization-server"] {
        let text = format!("[realm.main]\nissuer = \"https://auth.example.com{path}\"\n");
        assert_refused(&text, "must not have a path that begins with /.well-known");
    }
    assert_taken("[realm.main]\nissuer = \"https://auth.example.com/main/.well-known\"\n");
}

#[test]
fn a_mount_below_another_realms_prefix_is_refused() {
    let text = "[realm.a]\nissuer = \"https://a.example.com\"\n\
                [realm.b]\nissuer = \"https://b.example.com/oauth2\"\n";
    assert_refused(text, "would never be asked for /oauth2/token");
    let text = "[realm.a]\nissuer = \"https://a.example.com\"\n\
                [realm.b]\nissuer = \"https://b.example.com/oauth\"\n";
    assert_taken(text);
}

#[test]
fn dialects_are_known_once_each_and_at_different_paths() {
    assert_taken(&main_with("dialects = [\"dt-growth\", \"rfc6749\"]"));
    assert_refused(&main_with("dialects = []"), "names no dialect");
    assert_refused(&main_with("dialects = [\"dt-grwth\"]"), "there is no dialect \"dt-grwth\"");
    assert_refused(&main_with("dialects = [\"fuuffy\", \"fuuffy\"]"), "twice");
    assert_refused(&main_with("dialects = [\"dt-growth\", \"dt-offerwall\"]"), "the same path");
    let problems = parse(&main_with("dialects = [\"dt-grwth\"]")).unwrap_err();
    let remedy = problems.iter().next().unwrap().remedy_text().unwrap().to_owned();
    assert_eq!(remedy, "did you mean \"dt-growth\"?");
    let problems = parse(&main_with("dialects = [\"smoke-signals\"]")).unwrap_err();
    let remedy = problems.iter().next().unwrap().remedy_text().unwrap().to_owned();
    assert!(remedy.starts_with("there are ") && remedy.contains("rfc6749"), "{remedy}");
}

#[test]
fn a_token_may_live_for_ever_only_where_every_dialect_permits_it() {
    let never = "token = { lifetime = \"never\" }";
    let config = assert_taken(&main_with(&format!("dialects = [\"apinizer\"]\n{never}")));
    assert_eq!(config.realms[0].realm.lifetime, Some(Lifetime::Never));
    let text = main_with(&format!("dialects = [\"apinizer\", \"rfc6749\"]\n{never}"));
    assert_refused(&text, "\"rfc6749\" does not permit");
}

#[test]
fn registration_is_off_unless_it_is_enabled_and_open_only_with_a_word_of_danger() {
    let with = |text: &str| main_with(&format!("[realm.main.registration]\n{text}"));
    let rules = |text: &str| assert_taken(text).realms[0].realm.registration.clone();
    assert_eq!(rules(MAIN), None);
    assert_eq!(rules(&with("enabled = false\nclients_max = 5")), None);
    let enabled = rules(&with("enabled = true")).unwrap();
    assert_eq!(enabled.initial_access_token, Admission::Token);
    assert_eq!((enabled.statements, enabled.clients_max), (Statements::Off, 1000));
    assert_eq!(*enabled.source_limits, ["30/min".parse().unwrap()]);
    assert_eq!(*enabled.realm_limits, ["300/min".parse().unwrap()]);
    assert!(enabled.methods.contains(&AuthenticationMethod::ClientSecretBasic));
    let open = assert_taken(&with("enabled = true\ninitial_access_token = \"danger-open\""));
    assert!(open.warnings.to_string().contains("anybody who reaches the realm"));
    assert_refused(&with("enabled = \"true\""), "must be true or false");
    assert_refused(&with("initial_access_token = \"open\""), "must not be \"open\"");
    assert_refused(&with("clients_max = 0"), "must be from 1 to");
    assert_refused(&with("enabled = true\nsoftware_statements = \"required\""), "trusts no issuer");
    assert_refused(&with("limits.realm = [\"many\"]"), "must look like");
}

#[test]
fn fetching_reaches_what_is_named_and_warns_of_everything() {
    let with = |line: &str| main_with(&format!("[fetch]\n{line}"));
    let config = assert_taken(&with("allow = [\"10.0.0.0/8\", \"::1\"]\nstale_max = \"0s\""));
    let networks: Vec<String> = config.fetch.allow.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert!(config.fetch.stale_max.is_zero() && config.warnings.is_empty());
    let config = assert_taken(&with("allow = [\"::/0\"]"));
    assert!(config.warnings.to_string().contains("every address there is"));
    assert_refused(&with("allow = [\"kubernetes\"]"), "must be a network or an address");
    assert_refused(&with("fresh_min = \"2h\""), "longer than `fetch.fresh_max`");
    assert_refused(&with("body_bytes_max = \"1MiB\""), "from 1KiB to 512KiB");
    assert_refused(&with("ca_file = \"absent.pem\""), "absent.pem cannot be read");
}

#[test]
fn public_and_admin_listener_must_differ() {
    let two = |public: &str, admin: &str| {
        format!("[server]\nlisten = \"{public}\"\n[admin]\nlisten = \"{admin}\"\n{MAIN}")
    };
    assert_taken(&two("127.0.0.1:8080", "127.0.0.1:8081"));
    assert_taken(&two("127.0.0.1:8080", "127.0.0.2:8080"));
    assert_taken(&two("127.0.0.1:0", "127.0.0.1:0"));
    assert_refused(&two("127.0.0.1:8080", "127.0.0.1:8080"), "are the same");
    assert_refused(&two("0.0.0.0:8080", "127.0.0.1:8080"), "are the same");
}

#[test]
fn tokens_have_three_formats() {
    let shape = |format: &str| {
        let text = main_with(&format!("token.format = \"{format}\""));
        assert_taken(&text).realm("main").unwrap().realm.token.clone()
    };
    assert_eq!(shape("jwt"), TokenShape::rfc9068(Algorithm::EdDsa));
    assert_eq!(shape("sealed"), TokenShape::Sealed);
    assert_eq!(shape("stored"), TokenShape::stored());
    assert_refused(&main_with("token.format = \"opaque\""), "must be \"jwt\"");
    let unsigned =
        assert_taken(&main_with("token = { format = \"sealed\", algorithm = \"ES256\" }"));
    assert!(unsigned.warnings.iter().next().unwrap().message().contains("only JWTs are signed"));
}

#[test]
fn what_is_experimental_must_be_accepted() {
    for algorithm in ["ML-DSA-44", "ML-DSA-65"] {
        let line = format!("token.algorithm = \"{algorithm}\"");
        assert_refused(&main_with(&line), "which is experimental");
        assert_taken(&main_with(&format!("{line}\ntoken.experimental = \"on\"")));
    }
    for algorithm in ["EdDSA", "ES256", "ES384", "RS256", "PS256", "HS256"] {
        assert_taken(&main_with(&format!("token.algorithm = \"{algorithm}\"")));
    }
    assert_refused(&main_with("token.experimental = \"yes\""), "must be \"on\" or \"off\"");
}

#[test]
fn keys_sign_for_longer_than_they_are_published_ahead() {
    let rotation =
        |text: &str| assert_taken(&main_with(text)).realm("main").unwrap().realm.rotation;
    assert_eq!(rotation(""), Rotation::default());
    assert_eq!(rotation("keys.rotate_every = \"off\"").every, None);
    let often = rotation("keys = { rotate_every = \"1h\", publish_ahead = \"10m\" }");
    assert_eq!(often.every, Some(Duration::from_secs(3600)));
    assert_eq!(often.publish_ahead, Rotation::PUBLISH_AHEAD_MIN);
    for (line, expected) in [
        ("keys.publish_ahead = \"599s\"", "is less than caches may keep the old keys"),
        ("keys.rotate_every = \"59m\"", "must be from"),
        ("keys.rotate_every = \"never\"", "must be a duration"),
        ("keys.rotate_every = \"1d\"", "must be longer than"),
        ("keys.publish_ahead = \"90d\"", "must be longer than"),
    ] {
        assert_refused(&main_with(line), expected);
    }
}

#[test]
fn a_realm_adds_claims_of_any_kind_but_none_with_a_meaning_of_its_own() {
    let claims = |text: &str| {
        let config = assert_taken(&main_with(text));
        config.realm("main").unwrap().realm.claims.to_string()
    };
    assert_eq!(claims(""), "{}");
    let table = "claims = { tenant = \"t\", tiers = [1, 2.5], on = true, in = { a = \"b\" } }";
    assert_eq!(claims(table), r#"{"tenant":"t","tiers":[1,2.5],"on":true,"in":{"a":"b"}}"#);
    assert_eq!(claims("[realm.main.claims]\ntenant = \"t\""), r#"{"tenant":"t"}"#);
    let by_variable = [("JETON__REALM__MAIN__CLAIMS", r#"{"tenant":"v"}"#)];
    let config = parse_with(&main_with("claims = { tenant = \"t\" }"), &by_variable).unwrap();
    assert_eq!(config.realm("main").unwrap().realm.claims.to_string(), r#"{"tenant":"v"}"#);
    for (line, expected) in [
        ("claims = { sub = \"x\" }", "with a meaning of their own"),
        ("claims = { at = 2026-01-01 }", "a table with a date"),
        ("claims = { most = nan }", "that JSON cannot say"),
        ("claims = \"tenant\"", "must be a table of claims, not a text"),
        ("claims = [\"tenant\"]", "must be a table of claims, not a list"),
    ] {
        assert_refused(&main_with(line), expected);
    }
}

#[test]
fn every_life_is_cut_to_the_realms_longest() {
    let config = assert_taken(&main_with("token = { lifetime = \"2h\", lifetime_max = \"1h\" }"));
    let realm = &config.realm("main").unwrap().realm;
    let hour = Lifetime::seconds(3600);
    assert_eq!((realm.lifetime_max, realm.lifetime_longest), (Some(hour), hour));
    assert_eq!(realm.cut(Lifetime::Never), hour);
    assert_eq!(realm.cut(Lifetime::seconds(60)), Lifetime::seconds(60));
    assert_refused(&main_with("token.lifetime_max = \"never\""), "must be a duration");
}

#[test]
fn limits_are_lists_or_off() {
    let config = assert_taken(&main_with("limits = { client = \"off\", source = [\"5/second\"] }"));
    let realm = &config.realms[0].realm;
    assert_eq!(realm.client_limits, Some(Rates::default()));
    assert_eq!(*realm.source_limits, ["5/second".parse().unwrap()]);
    assert!(realm.realm_limits.is_empty());
    let rates = "limits.realm = [\"9000/hour\", \"600/min burst 50\"]";
    let realm = &assert_taken(&main_with(rates)).realms[0].realm;
    assert_eq!(realm.client_limits, None, "the dialect's word");
    let said: Vec<String> = realm.realm_limits.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["600/min burst 50", "9000/hour"]);
    assert_refused(&main_with("limits.client = []"), "names no limit");
    assert_refused(&main_with("limits.client = \"600/min\""), "must be a list of limits");
    assert_refused(&main_with("limits.client = [\"0/min\"]"), "at least one request");
    assert_refused(&main_with("limits.realm = [\"5/min\", \"6/min\"]"), "one a minute");
    assert_refused(&main_with("limits.source = [\"5/min burst 6\"]"), "a burst from 1");
    assert_refused(&main_with("limits.source = [\"4294967295/second\"]"), "1000000 a second");
    assert_refused(&main_with("limits.source = [\"4294967295/ms\"]"), "must look like 600/min");
    assert_refused(&main_with("limits.sources = [\"5/min\"]"), "limits.source");
}

#[test]
fn how_much_of_an_ipv6_address_is_one_caller_is_between_a_site_and_a_network() {
    assert_eq!(assert_taken(MAIN).settings.source_ipv6_prefix, 64);
    let with = |bits: u32| format!("[server]\nsource_ipv6_prefix = {bits}\n{MAIN}");
    assert_eq!(assert_taken(&with(56)).settings.source_ipv6_prefix, 56);
    assert_refused(&with(47), "source_ipv6_prefix");
    assert_refused(&with(65), "source_ipv6_prefix");
}

#[test]
fn the_master_key_is_named_never_given() {
    let named = "[storage]\nmaster_key = { file = \"key\" }\n";
    let config = assert_taken(&format!("{named}{MAIN}"));
    assert_eq!(config.storage.master_key, MasterKeySource::File("/nowhere/key".into()));
    let config = assert_taken(&format!("[storage]\nmaster_key = {{ env = \"KEY\" }}\n{MAIN}"));
    assert_eq!(config.storage.master_key, MasterKeySource::Environment("KEY".to_owned()));

    let both = format!("[storage]\nmaster_key = {{ env = \"KEY\", file = \"key\" }}\n{MAIN}");
    assert_refused(&both, "both a file and an environment variable");
    let problems = parse(&format!("[storage]\nmaster_key = \"hunter2\"\n{MAIN}")).unwrap_err();
    assert!(!problems.to_string().contains("hunter2"));
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn a_postgresql_database_needs_a_master_key_that_is_given() {
    let url = "url = \"postgres://jeton:hunter2@db:5433/auth?sslrootcert=ca.pem\"";
    assert_refused(&format!("[storage]\n{url}\n{MAIN}"), "`storage.master_key` is missing");
    let key = "master_key.env = \"KEY\"";
    let config = assert_taken(&format!("[storage]\n{url}\n{key}\n{MAIN}"));
    assert_eq!(config.storage.master_key, MasterKeySource::Environment("KEY".to_owned()));
    let shown: Vec<_> = config.show();
    assert!(
        shown.iter().any(|(key, value, _)| {
            key == "storage.url" && value == "\"postgres://db:5433/auth\""
        })
    );
    assert!(!format!("{:?} {shown:?}", config.storage).contains("hunter2"));
}

#[test]
fn a_database_in_memory_has_a_fresh_master_key() {
    let config = assert_taken(&format!("[storage]\nurl = \"sqlite::memory:\"\n{MAIN}"));
    assert_eq!(config.storage.database, Database::Memory);
    assert_eq!(config.storage.master_key, MasterKeySource::Fresh);
    let config = assert_taken(&format!("[storage]\nurl = \"sqlite:///var/lib/j.db\"\n{MAIN}"));
    assert_eq!(config.storage.database, Database::File("/var/lib/j.db".into()));
    for url in ["jeton.db", "sqlite:", "mysql://x", "sqlite:a.db?mode=ro", "postgres:jeton"] {
        let text = format!("[storage]\nurl = \"{url}\"\n{MAIN}");
        assert_refused(&text, "`storage.url`");
    }
}

#[test]
fn the_environment_wins_and_every_origin_is_known() {
    let environment = [
        ("JETON__SERVER__LISTEN", "127.0.0.1:9000"),
        ("JETON__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
        ("JETON__SERVER__CONNECTIONS_MAX", "77"),
        ("JETON__REALM__MAIN__TOKEN__LIFETIME", "20m"),
        ("JETON__REALM__SECOND_ONE__ISSUER", "https://second.example.com"),
        ("JETON__REALM__MAIN__LIMITS__CLIENT", "5/second,100/min"),
        ("PATH", "/bin"),
    ];
    let config =
        parse_with(&format!("[server]\nlisten = \"127.0.0.1:1\"\n{MAIN}"), &environment).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:9000".parse().unwrap());
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.server.connections_max, 77);
    assert_eq!(config.realm("second-one").unwrap().realm.issuer, "https://second.example.com");
    assert_eq!(config.realm("main").unwrap().realm.client_limits.as_ref().unwrap().len(), 2);
    let shown = config.show();
    let of = |key: &str| {
        let (_, value, origin) = shown.iter().find(|(name, ..)| name == key).unwrap();
        (value.as_str(), origin.clone())
    };
    assert_eq!(
        of("server.listen"),
        ("\"127.0.0.1:9000\"", Origin::Environment("JETON__SERVER__LISTEN".to_owned()))
    );
    assert_eq!(
        of("realm.main.issuer"),
        (
            "\"https://auth.example.com/main\"",
            Origin::File { name: "jeton.toml".to_owned(), line: 4 }
        )
    );
    assert_eq!(of("server.backlog"), ("1024", Origin::Default));
    assert_eq!(of("realm.main.audience"), ("", Origin::Default));
}

#[test]
fn a_variable_can_name_a_file_and_then_its_trailing_newline_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("listen"), "127.0.0.1:9001\n").unwrap();
    let path = folder.path().join("listen").display().to_string();
    let config = parse_with(MAIN, &[("JETON__SERVER__LISTEN_FILE", &path)]).unwrap();
    assert_eq!(config.server.listen.port(), 9001);
    // The key `storage.master_key.file` ends in the suffix itself, and is a setting like any other.
    let config = parse_with(MAIN, &[("JETON__STORAGE__MASTER_KEY__FILE", "/k")]).unwrap();
    assert_eq!(config.storage.master_key, MasterKeySource::File("/k".into()));
}

#[test]
fn mistakes_in_the_environment_are_told_by_variable() {
    let environment = [
        ("JETON__SERVER__LISEN", "127.0.0.1:1"),
        ("JETON__SERVER__BACKLOG", "many"),
        ("JETON__SERVER__LISTEN_FILE", "/does/not/exist"),
        ("JETON__ADMIN__LISTEN", "127.0.0.1:2"),
        ("JETON__ADMIN__LISTEN_FILE", "/does/not/exist"),
    ];
    insta::assert_snapshot!(parse_with(MAIN, &environment).unwrap_err().to_string());
}

#[test]
fn durations_have_bounds() {
    let config = assert_taken(&format!("[server]\nbody_timeout = \"1m30s\"\n{MAIN}"));
    assert_eq!(config.server.body_timeout, Duration::from_secs(90));
    assert_refused(&format!("[server]\nbody_timeout = \"0s\"\n{MAIN}"), "must be from 1s to 3600s");
    assert_refused(&format!("[server]\nbody_timeout = \"2h\"\n{MAIN}"), "must be from 1s to 3600s");
}

#[test]
fn a_folder_of_dialects_that_was_named_must_exist() {
    assert_refused(&format!("[dialects]\ndirectory = \"nowhere\"\n{MAIN}"), "is not a folder");
}

#[test]
fn own_dialects_stand_beside_the_built_in_ones_and_no_name_twice() {
    let folder = tempfile::tempdir().unwrap();
    let parse = || config::parse("jeton.toml", MAIN, std::iter::empty(), folder.path());
    let put = |name: &str, text: &str| {
        let place = folder.path().join("dialects").join(name);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("dialect.toml"), text).unwrap();
    };
    let builtin = parse().unwrap();
    let text = builtin.dialects.get("rfc6749").unwrap().source_text().to_owned();
    put("our-own", &text);
    assert!(parse().unwrap().dialects.get("our-own").is_some());
    // As in a clone of the repository: the very file that the built-in dialect was made from.
    put("rfc6749", &text);
    assert!(parse().is_ok());
    put("rfc6749", &text.replace("/oauth2/token", "/elsewhere"));
    assert!(parse().unwrap_err().to_string().contains("rfc6749"));
    put("rfc6749", &text);
    put("broken", "title = 7");
    assert!(parse().unwrap_err().to_string().contains("broken"));
}

#[test]
fn a_log_filter_is_one_that_can_be_obeyed() {
    let with = |filter: &str| format!("[log]\nfilter = \"{filter}\"\n{MAIN}");
    assert_taken(&with("warn,jeton=debug"));
    assert_refused(&with("jeton=loud"), "is no filter");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("jeton.toml");
    assert_eq!(config::find(Some(&missing)).unwrap_err().tried, std::slice::from_ref(&missing));
    assert!(config::load(&missing).unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&missing, MAIN).unwrap();
    assert_eq!(config::find(Some(&missing)).unwrap(), missing);
    assert_eq!(config::load(&missing).unwrap().file, Some(missing));
}
