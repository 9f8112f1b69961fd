//! What `jeton.toml` says of proof: profile, assertions, DPoP and trusted issuers, and what it may not say.

#![cfg(test)]

use std::path::Path;
use std::time::Duration;

use jeton::config::{Config, Problems};
use jeton_engine::key_source::KeyLocation;
use jeton_engine::realm::proving::{Nonces, Profile, Proving, TrustedKeys, Uses};

const MAIN: &str = "[realm.main]\nissuer = \"https://auth.example.com/main\"\n";

fn parse(text: &str, directory: &Path) -> Result<Config, Problems> {
    jeton::config::parse("jeton.toml", text, std::iter::empty(), directory)
}

fn proving(said: &str) -> Proving {
    let config = parse(&format!("{MAIN}{said}"), Path::new("/nowhere"));
    let config = config.unwrap_or_else(|problems| panic!("{said}\n{problems}"));
    config.realm("main").unwrap().realm.proving.clone()
}

fn refused(text: &str, expected: &str) {
    let problems = match parse(text, Path::new("/nowhere")) {
        Ok(_) => panic!("taken: {text}"),
        Err(problems) => problems.to_string(),
    };
    assert!(problems.contains(expected), "{expected}\n{problems}");
}

#[test]
fn what_is_not_said_is_the_engines_own_default() {
    assert_eq!(proving(""), Proving::default());
}

#[test]
fn every_setting_is_meant() {
    let said = "assertions = { audience = \"issuer-or-token-endpoint\", lifetime_max = \"5m\" }\n\
                dialects = [\"rfc6749\", \"fuuffy\"]\ndpop = { nonces = \"required\", age_max = \"30s\" }\n";
    let proving = proving(said);
    let endpoints = [
        "https://auth.example.com/main/oauth2/token",
        "https://auth.example.com/main/v1/auth/token",
    ];
    assert_eq!(proving.assertions.also_for, endpoints);
    assert_eq!(proving.assertions.lifetime_max, Duration::from_secs(300));
    assert_eq!(proving.dpop.nonces, Nonces::Required);
    assert_eq!(proving.dpop.age_max, Duration::from_secs(30));
    assert_eq!(proving.profile, Profile::Standard);
}

#[test]
fn trusted_issuers_have_their_keys_there_here_or_where_their_metadata_says() {
    let directory = tempfile::tempdir().unwrap();
    let jwks = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(directory.path().join("ci.json"), jwks).unwrap();
    let said = "[realm.main.trusted_issuers.k8s]\nissuer = \"https://kubernetes.default.svc\"\n\
                jwks_uri = \"https://kubernetes.default.svc/openid/v1/jwks\"\nuses = \"until-expiry\"\n\
                [realm.main.trusted_issuers.ci]\nissuer = \"ci\"\njwks_file = \"ci.json\"\naudience = \"jeton\"\n\
                [realm.main.trusted_issuers.cloud]\nissuer = \"https://cloud.example.com\"\n";
    let config = parse(&format!("{MAIN}{said}"), directory.path());
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let issuers = &config.realm("main").unwrap().realm.proving.trusted_issuers;
    let [ci, cloud, k8s] = issuers.as_slice() else { panic!("{issuers:?}") };
    assert_eq!((ci.name.as_str(), ci.audience.as_deref()), ("ci", Some("jeton")));
    assert_eq!(ci.keys, TrustedKeys::These(jwks.parse().unwrap()));
    let discovered = KeyLocation::Issuer("https://cloud.example.com".into());
    assert_eq!(cloud.keys, TrustedKeys::At(discovered));
    let there = KeyLocation::Uri("https://kubernetes.default.svc/openid/v1/jwks".into());
    assert_eq!([ci.uses, k8s.uses], [Uses::Once, Uses::UntilExpiry]);
    assert_eq!((&k8s.keys, k8s.audience.as_deref()), (&TrustedKeys::At(there), None));
    let shown = config.show();
    assert!(shown.iter().any(|(key, ..)| key == "realm.main.trusted_issuers.ci.jwks_file"));
}

#[test]
fn a_trusted_issuer_that_nobody_could_trust_is_refused() {
    let issuer = |said: &str| format!("{MAIN}[realm.main.trusted_issuers.x]\n{said}\n");
    refused(&issuer("audience = \"a\""), "the trusted issuer `x` has no `issuer`");
    refused(&issuer("issuer = \"ci\""), "must be an https URL");
    refused(&issuer("issuer = \"http://a.example\""), "must be an https URL");
    refused(
        &issuer("issuer = \"ci\"\njwks_uri = \"http://a.example/jwks\""),
        "must be an https URL",
    );
    refused(&issuer("issuer = \"ci\"\njwks_file = \"not-there.json\""), "which cannot be read");
    let both = "issuer = \"ci\"\njwks_uri = \"https://a.example/\"\njwks_file = \"f\"";
    refused(&issuer(both), "`realm.main.trusted_issuers.x.jwks_file` names");
    refused(&issuer("issuer = \"https://a\"\nuses = \"twice\""), "\"until-expiry\"");
    refused(&issuer("issuer = \"https://a\"\nkeys = \"f\""), "there is no setting");
    refused(&format!("{MAIN}trusted_issuers = \"x\"\n"), "[realm.main.trusted_issuers.NAME]");
    let twice = format!(
        "{}[realm.main.trusted_issuers.y]\nissuer = \"https://a.example\"\n",
        issuer("issuer = \"https://a.example\"")
    );
    refused(&twice, "is the issuer of another trusted issuer already");
}

#[test]
fn fapi2_is_refused_where_it_could_not_be_kept() {
    let realm = |said: &str| format!("{MAIN}profile = \"fapi2\"\n{said}\n");
    assert_eq!(proving("profile = \"fapi2\"\n").profile, Profile::Fapi2);
    refused(
        &realm("assertions.audience = \"issuer-or-token-endpoint\""),
        "accepts the issuer alone",
    );
    refused(&realm("dialects = [\"rfc6749\", \"fuuffy\"]"), "the dialect fuuffy has no other way");
    refused(&realm("token.algorithm = \"RS256\""), "does not allow tokens signed with RS256");
    let plain = "[realm.main]\nissuer = \"http://127.0.0.1:8080\"\nprofile = \"fapi2\"\n";
    refused(plain, "needs TLS");
    refused(&format!("{MAIN}profile = \"fapi\"\n"), "write one of \"standard\", \"fapi2\"");
}
