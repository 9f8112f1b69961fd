//! Registering: who may, how often, with which metadata (RFC 7591). For every yes the nearest no.

use std::time::Duration;

use jeton_engine::client::proof::{Binding, ClientKeys};
use jeton_engine::engine::Settings;
use jeton_engine::error::Reason;
use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::{ManageError, NewRegistrationToken};
use jeton_engine::rate::Rates;
use jeton_engine::realm::proving::Profile;
use jeton_engine::realm::registration::{Admission, Registering};
use jeton_engine::registration::metadata::demand;
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};

use crate::asserting::{Signer, claims_with, set};
use crate::registering::{SOURCE, member, realm_with, rules, stage};
use crate::stage::{Ask, Stage, reason, settings, terms, time};

#[tokio::test]
async fn a_client_that_registered_itself_has_tokens_at_once() {
    let stage = stage().await;
    let token = stage.initial(1, "").await;
    let answered =
        stage.register(&token, json!({ "client_name": "Orders", "scope": "read" })).await;
    let registered = answered.outcome.unwrap();
    let client = &registered.client;
    assert_eq!(client.name.as_deref(), Some("Orders"));
    assert_eq!(client.scope.to_string(), "read");
    assert_eq!(client.authentication, [AuthenticationMethod::ClientSecretBasic]);
    assert_eq!((client.created_at, client.revision), (time(0), 1));
    let secret = registered.secret.as_deref().unwrap();
    let ask = Ask::basic(&[(client.id.as_str(), secret)]);
    assert_eq!(stage.issued(&terms(), &ask).await.scope.to_string(), "read");
    // It was registered for one way of authenticating.
    let post = Ask::new(client.id.as_str(), secret);
    assert_eq!(stage.refused(&terms(), &post).await, Reason::AuthenticationMethod);
    // What is kept holds neither secret nor tokens.
    let kept = format!(
        "{:?} {}",
        stage.kept(client.id.as_str()).await,
        client.registration.as_ref().unwrap()
    );
    for hidden in [secret, &registered.access_token, &token] {
        assert!(!kept.contains(hidden) && !format!("{registered:?}").contains(hidden));
    }
}

#[tokio::test]
async fn a_token_is_good_for_as_many_clients_as_it_says() {
    let stage = stage().await;
    let token = stage.initial(2, "").await;
    for _ in 0..2 {
        stage.register(&token, json!({})).await.outcome.unwrap();
    }
    let third = stage.register(&token, json!({})).await;
    assert_eq!(reason(&third), Reason::InitialTokenWrong);
    let tokens = stage.manage().registration_tokens(&stage.realm.name).await.unwrap();
    assert_eq!(tokens.iter().map(|token| token.uses_left).collect::<Vec<_>>(), [0]);
    assert_eq!(stage.state().clients(), 2);
}

#[tokio::test]
async fn what_is_refused_uses_nothing_up() {
    let stage = stage().await;
    let token = stage.initial(1, "").await;
    let refused = stage.register(&token, json!({ "grant_types": ["password"] })).await;
    assert_eq!(reason(&refused), Reason::MetadataInvalid);
    stage.register(&token, json!({})).await.outcome.unwrap();
}

#[tokio::test]
async fn two_servers_at_once_use_the_last_use_once() {
    let one = stage().await;
    let other = one.another().await;
    for _ in 0..20 {
        let token = one.initial(1, "").await;
        let (here, there) =
            tokio::join!(one.register(&token, json!({})), other.register(&token, json!({})));
        let outcomes = [here.outcome, there.outcome];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    }
    one.follow().await;
    assert_eq!(one.state().clients(), 20);
}

#[tokio::test]
async fn a_token_ends_when_it_expires_or_is_revoked() {
    let stage = stage().await;
    let manage = stage.manage();
    let new =
        |expires_at| NewRegistrationToken { scope: "".parse().unwrap(), uses: 10, expires_at };
    let made = manage.create_registration_token(&stage.realm, new(Some(time(60)))).await.unwrap();
    let (_, expiring) = made;
    let (revoked_record, revoked) =
        manage.create_registration_token(&stage.realm, new(None)).await.unwrap();
    for token in [&expiring, &revoked] {
        stage.register(token, json!({})).await.outcome.unwrap();
    }
    stage.pass_seconds(60);
    assert_eq!(reason(&stage.register(&expiring, json!({})).await), Reason::InitialTokenWrong);
    let name = &stage.realm.name;
    manage.revoke_registration_token(name, &revoked_record.id).await.unwrap();
    assert_eq!(reason(&stage.register(&revoked, json!({})).await), Reason::InitialTokenWrong);
    let again = manage.revoke_registration_token(name, &revoked_record.id).await;
    assert!(matches!(again, Err(ManageError::Missing(_))));
    // The clients stay.
    assert_eq!(stage.state().clients(), 2);
}

#[tokio::test]
async fn tokens_are_made_where_they_are_good_for_something() {
    let on = stage().await;
    let new = |uses, scope: &str, expires_at| NewRegistrationToken {
        scope: scope.parse().unwrap(),
        uses,
        expires_at,
    };
    let manage = on.manage();
    manage.create_registration_token(&on.realm, new(1, "read", Some(time(1)))).await.unwrap();
    for (wrong, field) in [
        (new(0, "", None), "uses"),
        (new(1, "unknown", None), "scope"),
        (new(1, "", Some(time(0))), "expires"),
    ] {
        match manage.create_registration_token(&on.realm, wrong).await {
            Err(ManageError::Invalid { field: found, .. }) => assert_eq!(found, field),
            _ => panic!("{field} was taken"),
        }
    }
    let off = Stage::new().await;
    let made = off.manage().create_registration_token(&off.realm, new(1, "", None)).await;
    assert!(matches!(made, Err(ManageError::Invalid { field: "realm", .. })));
    let answered = off.register("nothing", json!({})).await;
    assert_eq!(reason(&answered), Reason::PathUnknown);
}

#[tokio::test]
async fn without_a_token_nobody_registers_unless_the_realm_is_open() {
    let stage = stage().await;
    let answered = stage.register_from(SOURCE, None, json!({})).await;
    assert_eq!(reason(&answered), Reason::RegistrationTokenMissing);
    let open = Registering { initial_access_token: Admission::DangerAnybody, ..rules() };
    let open = Stage::with(settings(), realm_with(open)).await;
    let registered = open.register_from(SOURCE, None, json!({ "scope": "write" })).await;
    let client = registered.outcome.unwrap().client;
    assert_eq!(client.scope.to_string(), "write");
    assert_eq!(client.registration.unwrap().through, None);
    // A token that is presented must be right even there.
    assert_eq!(reason(&open.register("wrong", json!({})).await), Reason::InitialTokenWrong);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_costs_its_source_a_guess() {
    let settings = Settings {
        guesses_free: 2,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm_with(rules())).await;
    let right = stage.initial(3, "").await;
    stage.register(&right, json!({})).await.outcome.unwrap();
    for _ in 0..2 {
        assert_eq!(reason(&stage.register("wrong", json!({})).await), Reason::InitialTokenWrong);
    }
    assert_eq!(reason(&stage.register(&right, json!({})).await), Reason::SourceSlowed);
    stage.register_from("192.0.2.2", Some(&right), json!({})).await.outcome.unwrap();
}

#[tokio::test]
async fn sources_and_realms_have_limits() {
    let limits = |text: &str| Rates::new(vec![text.parse().unwrap()]).unwrap();
    let rules =
        Registering { source_limits: limits("2/min"), realm_limits: limits("3/min"), ..rules() };
    let stage = Stage::with(settings(), realm_with(rules)).await;
    let token = stage.initial(100, "").await;
    let from = async |source: &str| stage.register_from(source, Some(&token), json!({})).await;
    for _ in 0..2 {
        from("192.0.2.1").await.outcome.unwrap();
    }
    let limited = from("192.0.2.1").await;
    assert_eq!(reason(&limited), Reason::RegistrationLimited);
    assert_eq!(limited.outcome.unwrap_err().retry_after(), Some(Duration::from_secs(30)));
    // Who is not admitted does not count against the realm.
    for source in ["192.0.2.7", "192.0.2.8"] {
        let wrong = stage.register_from(source, Some("wrong"), json!({})).await;
        assert_eq!(reason(&wrong), Reason::InitialTokenWrong);
    }
    from("192.0.2.2").await.outcome.unwrap();
    assert_eq!(reason(&from("192.0.2.3").await), Reason::RegistrationLimited);
    stage.pass_seconds(60);
    from("192.0.2.1").await.outcome.unwrap();
}

#[tokio::test]
async fn a_realm_has_so_many_registered_clients_and_no_more() {
    let rules = Registering { clients_max: 1, ..rules() };
    let stage = Stage::with(settings(), realm_with(rules)).await;
    stage.orders().await;
    let token = stage.initial(9, "").await;
    let first = stage.register(&token, json!({})).await.outcome.unwrap();
    assert_eq!(reason(&stage.register(&token, json!({})).await), Reason::RegistrationsFull);
    stage.delete(first.client.id.as_str()).await;
    stage.register(&token, json!({})).await.outcome.unwrap();
}

#[tokio::test]
async fn scope_is_what_the_token_gives_within_what_the_realm_names() {
    let stage = stage().await;
    for (of_token, asked, expected) in [
        ("", None, Some("")),
        ("", Some("read admin"), Some("read admin")),
        ("", Some("unknown"), None),
        ("", Some("read  write"), None),
        ("read write", None, Some("read write")),
        ("read write", Some("write"), Some("write")),
        ("read write", Some(""), Some("")),
        ("read", Some("write"), None),
    ] {
        let token = stage.initial(1, of_token).await;
        let metadata = asked.map_or(json!({}), |scope| json!({ "scope": scope }));
        let answered = stage.register(&token, metadata).await;
        match expected {
            Some(scope) => {
                assert_eq!(answered.outcome.unwrap().client.scope.to_string(), scope);
            }
            None => assert_eq!(member(&answered), "scope", "{of_token} {asked:?}"),
        }
    }
    // A realm that names no scope gives none away by itself.
    let unnamed = Stage::with(
        settings(),
        jeton_engine::realm::Realm { scopes: "".parse().unwrap(), ..realm_with(rules()) },
    )
    .await;
    let token = unnamed.initial(1, "").await;
    assert_eq!(member(&unnamed.register(&token, json!({ "scope": "admin" })).await), "scope");
    let token = unnamed.initial(1, "admin").await;
    unnamed.register(&token, json!({ "scope": "admin" })).await.outcome.unwrap();
}

/// Holds metadata against what is expected of each: `""` taken, otherwise the member refused.
async fn judge(stage: &Stage, cases: &[(Value, &str)]) {
    let token = stage.initial(1000, "").await;
    for (metadata, expected) in cases {
        let answered = stage.register(&token, metadata.clone()).await;
        if expected.is_empty() {
            assert!(answered.outcome.is_ok(), "{metadata}: {answered:?}");
        } else {
            assert_eq!(member(&answered), *expected, "{metadata}");
            assert_ne!(demand(expected), "is not allowed", "{expected} has a sentence");
        }
    }
}

#[tokio::test]
async fn grants_and_responses_are_those_of_client_credentials() {
    let stage = stage().await;
    judge(
        &stage,
        &[
            (json!({ "grant_types": ["client_credentials"], "response_types": [] }), ""),
            (json!({ "grant_types": null, "response_types": null, "redirect_uris": null }), ""),
            (json!({ "grant_types": [] }), "grant_types"),
            (json!({ "grant_types": "client_credentials" }), "grant_types"),
            (json!({ "grant_types": ["client_credentials", "refresh_token"] }), "grant_types"),
            (json!({ "grant_types": [1] }), "grant_types"),
            (json!({ "response_types": ["code"] }), "response_types"),
            (json!({ "redirect_uris": ["https://a.example/back"] }), ""),
            (json!({ "redirect_uris": ["https://a.example/back#here"] }), "redirect_uris"),
            (json!({ "redirect_uris": ["/back"] }), "redirect_uris"),
            (json!({ "redirect_uris": "https://a.example/back" }), "redirect_uris"),
            (json!({ "unheard_of": { "anything": 1 } }), ""),
        ],
    )
    .await;
    let token = stage.initial(1, "").await;
    let answered = stage.register(&token, json!({ "redirect_uris": ["x"] })).await;
    assert_eq!(reason(&answered), Reason::RedirectUriInvalid);
}

#[tokio::test]
async fn each_way_of_authenticating_has_what_it_needs() {
    let stage = stage().await;
    let keys = serde_json::to_value(set(&[Signer::new(Algorithm::Es256).jwk()])).unwrap();
    let private = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0" }] });
    let by = |method: &str, more: Value| {
        let mut metadata = more;
        metadata["token_endpoint_auth_method"] = method.into();
        metadata
    };
    let dn = json!({ "tls_client_auth_subject_dn": "CN=orders" });
    judge(&stage, &[
        (by("client_secret_post", json!({})), ""),
        (by("client_secret_jwt", json!({ "token_endpoint_auth_signing_alg": "HS256" })), ""),
        (by("client_secret_jwt", json!({ "token_endpoint_auth_signing_alg": "ES256" })), "token_endpoint_auth_signing_alg"),
        (by("none", json!({})), "token_endpoint_auth_method"),
        (by("client_secret", json!({})), "token_endpoint_auth_method"),
        (json!({ "token_endpoint_auth_method": 7 }), "token_endpoint_auth_method"),
        (by("private_key_jwt", json!({ "jwks": keys })), ""),
        (by("private_key_jwt", json!({ "jwks_uri": "https://a.example/jwks" })), ""),
        (by("private_key_jwt", json!({})), "jwks"),
        (by("private_key_jwt", json!({ "jwks": {} })), "jwks"),
        (by("private_key_jwt", json!({ "jwks": private })), "jwks"),
        (by("private_key_jwt", json!({ "jwks": [] })), "jwks"),
        (by("private_key_jwt", json!({ "jwks_uri": "http://a.example/jwks" })), "jwks_uri"),
        (by("private_key_jwt", json!({ "jwks_uri": 1 })), "jwks_uri"),
        (by("private_key_jwt", json!({ "jwks": keys, "jwks_uri": "https://a.example/jwks" })), "jwks_uri"),
        (by("private_key_jwt", json!({ "jwks": keys, "token_endpoint_auth_signing_alg": "ES256" })), ""),
        (by("private_key_jwt", json!({ "jwks": keys, "token_endpoint_auth_signing_alg": "EdDSA" })), "token_endpoint_auth_signing_alg"),
        (by("private_key_jwt", json!({ "jwks": keys, "token_endpoint_auth_signing_alg": "none" })), "token_endpoint_auth_signing_alg"),
        (by("client_secret_basic", json!({ "token_endpoint_auth_signing_alg": "ES256" })), "token_endpoint_auth_signing_alg"),
        (by("self_signed_tls_client_auth", json!({ "jwks": keys })), ""),
        (by("self_signed_tls_client_auth", json!({})), "jwks"),
        (by("tls_client_auth", dn.clone()), ""),
        (by("tls_client_auth", json!({ "tls_client_auth_san_ip": "2001:db8::1" })), ""),
        (by("tls_client_auth", json!({})), "tls_client_auth_subject_dn"),
        (by("tls_client_auth", json!({ "tls_client_auth_subject_dn": "CN" })), "tls_client_auth_subject_dn"),
        (by("tls_client_auth", json!({ "tls_client_auth_san_ip": "here" })), "tls_client_auth_san_ip"),
        (by("tls_client_auth", json!({ "tls_client_auth_san_dns": "a.example", "tls_client_auth_san_ip": "192.0.2.1" })), "tls_client_auth_san_ip"),
        (by("client_secret_basic", dn), "tls_client_auth_subject_dn"),
    ])
    .await;
}

#[tokio::test]
async fn descriptions_are_checked_and_kept() {
    let stage = stage().await;
    let long = "x".repeat(256);
    judge(&stage, &[
        (json!({ "client_name": "" }), "client_name"),
        (json!({ "client_name": long }), "client_name"),
        (json!({ "client_name#fr": "Commandes" }), ""),
        (json!({ "client_name#fr": 1 }), "client_name"),
        (json!({ "client_name#": "Orders" }), "client_name"),
        (json!({ "client_name#f r": "Orders" }), "client_name"),
        (json!({ "client_uri": "https://a.example", "logo_uri#de": "http://a.example/logo" }), ""),
        (json!({ "client_uri": "javascript:alert(1)" }), "client_uri"),
        (json!({ "tos_uri": "a.example" }), "tos_uri"),
        (json!({ "policy_uri": "https://a.example/ b" }), "policy_uri"),
        (json!({ "contacts": ["a@a.example"] }), ""),
        (json!({ "contacts": "a@a.example" }), "contacts"),
        (json!({ "contacts": ["a\nb"] }), "contacts"),
        (json!({ "contacts": vec!["a"; 17] }), "contacts"),
        (json!({ "software_id": "s", "software_version": "1" }), ""),
        (json!({ "software_id": 1 }), "software_id"),
        (json!({ "software_version": long }), "software_version"),
        (json!({ "dpop_bound_access_tokens": "true" }), "dpop_bound_access_tokens"),
        (json!({ "tls_client_certificate_bound_access_tokens": 1 }), "tls_client_certificate_bound_access_tokens"),
    ])
    .await;
    let said = json!({
        "client_name#fr": "Commandes", "contacts": ["a@a.example"], "software_id": "s",
        "policy_uri": "https://a.example/p", "software_statement": "ignored here", "more": 1,
    });
    let registered = stage.registered(said).await;
    let members = &registered.client.registration.unwrap().members;
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["client_name#fr", "contacts", "policy_uri", "software_id"]);
}

#[tokio::test]
async fn so_much_is_kept_and_no_more() {
    let stage = stage().await;
    let long = format!("https://a.example/{}", "x".repeat(2000));
    let many = |count: usize| {
        let languages = (0..count).map(|number| (format!("client_uri#l{number}"), json!(long)));
        Value::Object(languages.collect())
    };
    stage.registered(many(15)).await;
    let token = stage.initial(1, "").await;
    assert_eq!(member(&stage.register(&token, many(17)).await), "client_uri");
    let mut both = many(15);
    for number in 0..2 {
        both[format!("logo_uri#l{number}")] = json!(long);
    }
    assert_eq!(reason(&stage.register(&token, both).await), Reason::MetadataInvalid);
}

#[tokio::test]
async fn bound_tokens_and_keys_are_where_they_are_looked_for() {
    let stage = stage().await;
    let registered = stage
        .registered(json!({
            "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/jwks",
            "dpop_bound_access_tokens": true, "tls_client_certificate_bound_access_tokens": false,
        }))
        .await;
    assert!(registered.secret.is_none() && registered.client.secrets.is_empty());
    let proof = registered.client.proof.unwrap();
    assert!(matches!(proof.keys, Some(ClientKeys::JwksUri(_))));
    assert_eq!((proof.sender.dpop, proof.sender.mtls), (Binding::Required, Binding::Off));
}

#[tokio::test]
async fn who_registered_one_algorithm_uses_no_other() {
    let stage = stage().await;
    let (es256, eddsa) = (Signer::new(Algorithm::Es256), Signer::new(Algorithm::EdDsa).named("k2"));
    let jwks = serde_json::to_value(set(&[es256.jwk(), eddsa.jwk()])).unwrap();
    let said = |named: Value| {
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks,
            "token_endpoint_auth_signing_alg": named })
    };
    let one = stage.registered(said("ES256".into())).await;
    let id = one.client.id.as_str();
    let by = |jti: &str| claims_with(&json!({ "iss": id, "sub": id, "jti": jti }));
    stage.accepted(&es256.sign(&by("1"))).await;
    assert_eq!(stage.rejected(&eddsa.sign(&by("2"))).await, Reason::AssertionAlgorithm);
    stage.replaced(&one, said(Value::Null)).await;
    stage.accepted(&eddsa.sign(&by("3"))).await;
}

#[tokio::test]
async fn a_key_that_does_not_say_its_algorithm_has_the_one_that_was_registered() {
    let stage = stage().await;
    let signer = Signer::new(Algorithm::Ps256);
    let mut jwk = signer.jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    let said = |named: Value| {
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [jwk.clone()] },
            "token_endpoint_auth_signing_alg": named })
    };
    let one = stage.registered(said("PS256".into())).await;
    let id = one.client.id.as_str();
    let by = |jti: &str| claims_with(&json!({ "iss": id, "sub": id, "jti": jti }));
    stage.accepted(&signer.sign(&by("1"))).await;
    // Nothing was said of it: then it is for RS256, as most are that do not say.
    stage.replaced(&one, said(Value::Null)).await;
    assert_eq!(stage.rejected(&signer.sign(&by("2"))).await, Reason::AssertionKeyUnknown);
}

#[tokio::test]
async fn a_fapi2_realm_takes_no_secrets_and_no_weak_algorithms() {
    let methods = AuthenticationMethod::ALL.iter().copied();
    let methods = methods.filter(|method| method.proves_possession()).collect();
    let mut realm = realm_with(Registering { methods, ..rules() });
    realm.proving.profile = Profile::Fapi2;
    let stage = Stage::with(settings(), realm).await;
    let by_key = |algorithm, named: &str| {
        let jwks = serde_json::to_value(set(&[Signer::new(algorithm).jwk()])).unwrap();
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": jwks,
            "token_endpoint_auth_signing_alg": named })
    };
    judge(&stage, &[
        (by_key(Algorithm::Es256, "ES256"), ""),
        (by_key(Algorithm::Es384, "ES384"), "jwks"),
        (by_key(Algorithm::Ps256, "PS256"), ""),
        (json!({}), "token_endpoint_auth_method"),
        (json!({ "token_endpoint_auth_method": "client_secret_jwt" }), "token_endpoint_auth_method"),
        (json!({ "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a.example" }), ""),
    ])
    .await;
}

#[tokio::test]
async fn every_act_leaves_an_event_without_a_secret() {
    let stage = stage().await;
    let new = NewRegistrationToken { scope: "".parse().unwrap(), uses: 1, expires_at: None };
    let (record, token) =
        stage.manage().create_registration_token(&stage.realm, new).await.unwrap();
    let refused = stage.register(&token, json!({ "grant_types": [] })).await;
    let registered = stage.register(&token, json!({})).await.outcome.unwrap();
    let upkeep = stage.engine.clone();
    upkeep.upkeep(async {}).await;
    let event = stage.store().event(refused.reference).await.unwrap().unwrap();
    assert_eq!(event.kind, EventKind::RegistrationRefused);
    assert_eq!(event.detail.as_deref(), Some("metadata_invalid: grant_types"));
    assert_eq!(event.source, Some(SOURCE.parse().unwrap()));
    let through = registered.client.registration.unwrap().through;
    assert_eq!(through.as_ref(), Some(&record.id));
}
