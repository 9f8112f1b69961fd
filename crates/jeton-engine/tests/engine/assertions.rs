//! What a client's own assertion must say, claim by claim, and who hears what when it does not.

use jeton_engine::client::{ClientStatus, Lock};
use jeton_engine::error::{Kind, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::NewClient;
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::terms::Terms;
use serde_json::{Value, json};

use crate::asserting::{
    Beside, ISSUER, Signer, claims, claims_with, fapi2, realm_with, signing, stage, stage_of,
};
use crate::stage::{Ask, START, Stage, id, kind, main, named, realm, reason, terms};

#[tokio::test]
async fn an_assertion_of_each_algorithm_is_accepted() {
    for algorithm in
        [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256]
    {
        let (stage, signer) = stage_of(algorithm, realm()).await;
        stage.accepted(&signer.sign(&claims())).await;
    }
}

/// Each set of claims by itself, on a clock at the beginning.
async fn judge(stage: &Stage, signer: &Signer, cases: &[(Value, Result<(), Reason>)]) {
    for (at, (changes, expected)) in cases.iter().enumerate() {
        let mut changes = changes.clone();
        if changes.get("jti").is_none() {
            changes["jti"] = json!(format!("case {at}"));
        }
        let decision = stage.ask_by(&signer.sign(&claims_with(&changes))).await;
        match expected {
            Ok(()) => assert!(decision.outcome.is_ok(), "{changes} {:?}", reason(&decision)),
            Err(expected) => {
                assert_eq!(reason(&decision), *expected, "{changes}");
                assert_eq!(kind(&decision), Kind::InvalidClient, "{changes}");
            }
        }
    }
}

#[tokio::test]
async fn issuer_and_subject_are_the_client() {
    let (stage, signer) = stage().await;
    stage.client(signing("other", &[Signer::new(Algorithm::EdDsa).jwk()])).await;
    let issuer = Err(Reason::AssertionIssuer);
    let subject = Err(Reason::AssertionSubject);
    let cases = [
        (json!({ "iss": null }), issuer),
        (json!({ "iss": 7 }), issuer),
        (json!({ "iss": ["orders"] }), issuer),
        (json!({ "iss": "nobody" }), Err(Reason::ClientUnknown)),
        (json!({ "iss": "Orders" }), Err(Reason::ClientUnknown)),
        // Signed by another's key.
        (json!({ "iss": "other", "sub": "other" }), Err(Reason::AssertionSignature)),
        (json!({ "iss": "other" }), Err(Reason::AssertionSignature)),
        (json!({ "sub": null }), subject),
        (json!({ "sub": ["orders"] }), subject),
        (json!({ "sub": "other" }), subject),
        (json!({ "sub": "orders " }), subject),
        // What our own tokens say.
        (json!({ "iss": ISSUER }), issuer),
    ];
    judge(&stage, &signer, &cases).await;
}

#[tokio::test]
async fn a_client_id_beside_the_assertion_must_be_the_same() {
    let (stage, signer) = stage().await;
    stage.client(named("other")).await;
    let beside = |client_id| Beside { client_id: Some(client_id), ..Beside::default() };
    let assertion = signer.sign(&claims());
    for client_id in ["other", "nobody", "ORDERS"] {
        let decision = stage.present_with(&terms(), beside(client_id), &assertion).await;
        assert_eq!(reason(&decision), Reason::AssertionOfAnother, "{client_id}");
    }
    stage.present_with(&terms(), beside("orders"), &assertion).await.outcome.unwrap();
    let nameless = signer.sign(&claims_with(&json!({ "iss": null, "sub": null, "jti": "2" })));
    let decision = stage.present_with(&terms(), beside("orders"), &nameless).await;
    assert_eq!(reason(&decision), Reason::AssertionIssuer);
}

#[tokio::test]
async fn the_audience_is_the_issuer_alone() {
    let (stage, signer) = stage().await;
    let wrong = Err(Reason::AssertionAudience);
    let cases = [
        (json!({ "aud": [ISSUER] }), Ok(())),
        (json!({ "aud": null }), wrong),
        (json!({ "aud": [] }), wrong),
        (json!({ "aud": [ISSUER, ISSUER] }), wrong),
        (json!({ "aud": [ISSUER, "https://else.example.com"] }), wrong),
        (json!({ "aud": "https://else.example.com" }), wrong),
        (json!({ "aud": format!("{ISSUER}/") }), wrong),
        (json!({ "aud": ISSUER.to_uppercase() }), wrong),
        (json!({ "aud": format!("{ISSUER}/oauth2/token") }), wrong),
        (json!({ "aud": { "a": ISSUER } }), wrong),
        (json!({ "aud": [7] }), wrong),
        (json!({ "aud": 7 }), wrong),
    ];
    judge(&stage, &signer, &cases).await;
}

#[tokio::test]
async fn while_old_clients_move_another_audience_is_accepted_and_counted() {
    let endpoint = format!("{ISSUER}/oauth2/token");
    let also = |realm: &mut jeton_engine::realm::Realm| {
        realm.proving.assertions.also_for = vec![format!("{ISSUER}/oauth2/token")];
    };
    let (stage, signer) = stage_of(Algorithm::EdDsa, realm_with(also)).await;
    let cases = [
        (json!({ "aud": ISSUER }), Ok(())),
        (json!({ "aud": endpoint }), Ok(())),
        (json!({ "aud": [endpoint] }), Ok(())),
        (json!({ "aud": [endpoint, ISSUER] }), Err(Reason::AssertionAudience)),
        (json!({ "aud": endpoint, "jti": "" }), Err(Reason::AssertionIdentifier)),
    ];
    judge(&stage, &signer, &cases).await;
    assert_eq!(stage.state().assertions_for_others(), [(id("orders"), 2)]);

    let strict = |realm: &mut jeton_engine::realm::Realm| {
        also(realm);
        realm.proving.profile = jeton_engine::realm::proving::Profile::Fapi2;
    };
    let (stage, signer) = stage_of(Algorithm::EdDsa, realm_with(strict)).await;
    let wrong = Err(Reason::AssertionAudience);
    let cases = [
        (json!({ "aud": endpoint }), wrong),
        (json!({ "aud": [ISSUER] }), wrong),
        (json!({ "aud": ISSUER }), Ok(())),
    ];
    judge(&stage, &signer, &cases).await;
    assert_eq!(stage.state().assertions_for_others(), []);
}

#[tokio::test]
async fn times_hold_to_the_second_on_both_sides() {
    let (stage, signer) = stage().await;
    let expired = Err(Reason::AssertionExpired);
    let early = Err(Reason::AssertionEarly);
    let cases = [
        // Ten seconds of leeway.
        (json!({ "exp": START - 9 }), Ok(())),
        (json!({ "exp": START - 10 }), expired),
        (json!({ "exp": START - 11 }), expired),
        (json!({ "exp": 0 }), expired),
        // An hour, and the leeway.
        (json!({ "exp": START + 3610 }), Ok(())),
        (json!({ "exp": START + 3611 }), Err(Reason::AssertionLongLived)),
        (json!({ "exp": 253_402_300_799_u64 }), Err(Reason::AssertionLongLived)),
        (json!({ "nbf": START + 10 }), Ok(())),
        (json!({ "nbf": START + 11 }), early),
        (json!({ "iat": START + 10 }), Ok(())),
        (json!({ "iat": START + 11 }), early),
        (json!({ "iat": START - 3610 }), Ok(())),
        (json!({ "iat": START - 3611 }), Err(Reason::AssertionOld)),
        (json!({ "nbf": START - 86_400 }), Ok(())),
        (json!({ "nbf": null, "iat": null }), Ok(())),
        (json!({ "exp": START as f64 + 60.5 }), Ok(())),
    ];
    judge(&stage, &signer, &cases).await;
}

#[tokio::test]
async fn times_of_another_type_are_refused_present_as_they_are() {
    let (stage, signer) = stage().await;
    let odd = [
        json!("1700000000"),
        json!(true),
        json!([START]),
        json!({ "at": START }),
        json!(-1),
        json!(1e300),
        json!(""),
    ];
    for value in odd {
        let cases = [
            (json!({ "exp": value }), Err(Reason::AssertionExpiryMissing)),
            (json!({ "nbf": value }), Err(Reason::AssertionTimeMalformed)),
            (json!({ "iat": value }), Err(Reason::AssertionTimeMalformed)),
        ];
        judge(&stage, &signer, &cases).await;
    }
    let missing = [(json!({ "exp": null }), Err(Reason::AssertionExpiryMissing))];
    judge(&stage, &signer, &missing).await;
    // Null is there, and is no time.
    let mut claims = claims();
    claims["nbf"] = Value::Null;
    assert_eq!(stage.rejected(&signer.sign(&claims)).await, Reason::AssertionTimeMalformed);
}

#[tokio::test]
async fn fapi2_accepts_ten_seconds_ahead_and_refuses_more_than_sixty_whatever_the_leeway() {
    for (leeway, latest) in [(0, 10), (10, 10), (45, 45), (600, 60)] {
        let mut realm = fapi2();
        realm.proving.assertions.leeway = std::time::Duration::from_secs(leeway);
        let (stage, signer) = stage_of(Algorithm::Es256, realm).await;
        let early = Err(Reason::AssertionEarly);
        let cases = [
            (json!({ "iat": START + latest, "nbf": START + latest }), Ok(())),
            (json!({ "iat": START + latest + 1 }), early),
            (json!({ "nbf": START + latest + 1 }), early),
        ];
        judge(&stage, &signer, &cases).await;
    }
}

#[tokio::test]
async fn the_identifier_is_a_text_of_1_to_256_bytes() {
    let (stage, signer) = stage().await;
    let wrong = Err(Reason::AssertionIdentifier);
    let cases = [
        (json!({ "jti": "a" }), Ok(())),
        (json!({ "jti": "a".repeat(256) }), Ok(())),
        (json!({ "jti": "a".repeat(257) }), wrong),
        (json!({ "jti": "" }), wrong),
        (json!({ "jti": 7 }), wrong),
        (json!({ "jti": ["a"] }), wrong),
    ];
    judge(&stage, &signer, &cases).await;
    let without = signer.sign(&claims_with(&json!({ "jti": null })));
    assert_eq!(stage.rejected(&without).await, Reason::AssertionIdentifier);
}

#[tokio::test]
async fn only_jwts_for_this_purpose_are_read() {
    let (stage, signer) = stage().await;
    let typed = |token_type: Value, jti: &str| {
        let mut header = json!({ "alg": "EdDSA", "kid": "k1", "typ": token_type });
        if token_type.is_null() {
            header.as_object_mut().unwrap().remove("typ");
        }
        signer.sign_under(&header, &claims_with(&json!({ "jti": jti })))
    };
    for token_type in [
        json!(null),
        json!("JWT"),
        json!("jwt"),
        json!("client-authentication+jwt"),
        json!("application/client-authentication+jwt"),
    ] {
        stage.accepted(&typed(token_type.clone(), &token_type.to_string())).await;
    }
    for token_type in
        ["at+jwt", "AT+JWT", "application/at+jwt", "dpop+jwt", "JOSE", "logout+jwt", ""]
    {
        let refused = stage.rejected(&typed(json!(token_type), "x")).await;
        assert_eq!(refused, Reason::AssertionTyped, "{token_type}");
    }
    assert_eq!(stage.rejected(&typed(json!(7), "x")).await, Reason::AssertionMalformed);
}

#[tokio::test]
async fn what_is_no_assertion_is_refused_as_such() {
    let (stage, signer) = stage().await;
    let right = signer.sign(&claims());
    let twice = {
        let payload = claims().to_string().replacen('{', r#"{"iss":"orders","#, 1);
        let header = jeton_engine::jose::jws::encode_header(&signer.key, Some("k1"), None);
        signer.key.sign_compact(&header, payload.as_bytes()).unwrap()
    };
    let long = signer.sign(&claims_with(&json!({ "x": "x".repeat(13_000) })));
    let malformed = ["", "x", "a.b", "a.b.c", "a.b.c.d.e", &format!("{right}."), &twice, &long];
    for text in malformed {
        assert_eq!(stage.rejected(text).await, Reason::AssertionMalformed, "{text}");
    }
    for assertion_type in ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"] {
        let beside = Beside { assertion_type, ..Beside::default() };
        let decision = stage.present_with(&terms(), beside, &right).await;
        assert_eq!(reason(&decision), Reason::AssertionType);
    }
    stage.accepted(&right).await;
}

#[tokio::test]
async fn a_client_registered_for_one_method_cannot_use_another() {
    let (stage, signer) = stage().await;
    let secret = stage.client(named("secretive")).await;
    assert_eq!(stage.refused(&terms(), &Ask::new("orders", "x")).await, Reason::SecretsNone);
    let claims = claims_with(&json!({ "iss": "secretive", "sub": "secretive" }));
    assert_eq!(stage.rejected(&signer.sign(&claims)).await, Reason::AssertionKeysNone);
    let hmac = Signer::of_secret(&secret).sign(&claims);
    assert_eq!(stage.rejected(&hmac).await, Reason::AssertionKeysNone);

    // With keys, but registered for something else.
    let elsewhere = NewClient {
        authentication: vec![AuthenticationMethod::SelfSignedTlsClientAuth],
        ..signing("certified", &[signer.jwk()])
    };
    stage.client(elsewhere).await;
    let claims = claims_with(&json!({ "iss": "certified", "sub": "certified" }));
    assert_eq!(stage.rejected(&signer.sign(&claims)).await, Reason::AuthenticationMethod);
}

#[tokio::test]
async fn a_dialect_that_does_not_list_the_method_does_not_have_it() {
    let (stage, signer) = stage().await;
    let only = vec![AuthenticationMethod::ClientSecretJwt];
    let terms = Terms { authentication: only, ..terms() };
    let decision = stage.present_with(&terms, Beside::default(), &signer.sign(&claims())).await;
    assert_eq!(reason(&decision), Reason::AuthenticationMethod);
}

#[tokio::test]
async fn locked_disabled_and_misplaced_clients_hear_what_they_hear_with_a_secret() {
    let (stage, signer) = stage().await;
    let away = NewClient {
        networks: vec!["198.51.100.0/24".parse().unwrap()],
        ..signing("away", &[signer.jwk()])
    };
    stage.client(away).await;
    let manage = stage.manage();
    let next = |jti: &str| signer.sign(&claims_with(&json!({ "jti": jti })));

    manage.lock_client(&main(), &id("orders"), Lock::UntilUnlocked).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&next("1")).await, Reason::ClientLocked);
    manage.unlock_client(&main(), &id("orders")).await.unwrap();
    manage.set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    let disabled = stage.present(&next("2")).await;
    assert_eq!(
        (reason(&disabled), kind(&disabled)),
        (Reason::ClientDisabled, Kind::ClientDisabled)
    );
    manage.set_status(&main(), &id("orders"), ClientStatus::Enabled).await.unwrap();
    stage.follow().await;
    // Refused before it was spent, so it is still good.
    stage.accepted(&next("1")).await;

    let away = claims_with(&json!({ "iss": "away", "sub": "away" }));
    assert_eq!(stage.rejected(&signer.sign(&away)).await, Reason::SourceNotAllowed);
}

#[tokio::test]
async fn fapi2_takes_no_secrets_and_only_its_algorithms() {
    for (algorithm, expected) in [
        (Algorithm::EdDsa, Ok(())),
        (Algorithm::Es256, Ok(())),
        (Algorithm::Ps256, Ok(())),
        (Algorithm::Rs256, Err(Reason::AssertionAlgorithm)),
        (Algorithm::Es384, Err(Reason::AssertionAlgorithm)),
    ] {
        let (mut stage, signer) = stage_of(algorithm, realm()).await;
        stage.reconfigure(|realm| realm.proving = fapi2().proving).await;
        judge(&stage, &signer, &[(json!({}), expected)]).await;
    }
    let mut stage = Stage::new().await;
    let secret = stage.client(named("secretive")).await;
    stage.reconfigure(|realm| realm.proving = fapi2().proving).await;
    let basic = Ask::basic(&[("secretive", &secret)]);
    for ask in [Ask::new("secretive", &secret), basic, Ask::new("nobody", "x")] {
        let decision = stage.ask(&terms(), &ask).await;
        assert_eq!(reason(&decision), Reason::AuthenticationProfile);
        assert_eq!(kind(&decision), Kind::InvalidClient);
    }
    let hmac = Signer::of_secret(&secret).sign(&claims());
    assert_eq!(stage.rejected(&hmac).await, Reason::AuthenticationProfile);
}
