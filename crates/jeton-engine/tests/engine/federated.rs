//! Tokens of another issuer that stand for a client.

use jeton_engine::client::ClientStatus;
use jeton_engine::client::proof::{Federated, Proof};
use jeton_engine::engine::Parts;
use jeton_engine::error::{Kind, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::key_source::KeyLocation;
use jeton_engine::manage::{ClientChange, ManageError, NewClient, NewSecret, ProofChange};
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::{Profile, TrustedIssuer, TrustedKeys, Uses};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};

use crate::asserting::{Beside, ISSUER, Places, Signer, change, set};
use crate::stage::{START, Stage, id, kind, main, named, realm, reason, settings, terms};

const CLUSTER: &str = "https://kubernetes.default.svc";
const SUBJECT: &str = "system:serviceaccount:shop:orders";

fn trusted(keys: TrustedKeys) -> TrustedIssuer {
    let (issuer, uses) = (CLUSTER.to_owned(), Uses::Once);
    TrustedIssuer { name: "k8s".parse().unwrap(), issuer, keys, audience: None, uses }
}

fn trusting(signer: &Signer) -> Realm {
    let mut realm = realm();
    realm.proving.trusted_issuers = vec![trusted(TrustedKeys::These(set(&[signer.jwk()])))];
    realm
}

/// A client for whom the cluster's tokens about a subject stand, with these claims.
fn standing(client: &str, claims: Value) -> NewClient {
    let Value::Object(claims) = claims else { panic!("no object") };
    let federated = Some(Federated {
        issuer: "k8s".parse().unwrap(),
        subject: SUBJECT.parse().unwrap(),
        claims,
    });
    let proof = Proof { federated, ..Proof::default() };
    NewClient { proof, secret: NewSecret::None, ..named(client) }
}

async fn stage() -> (Stage, Signer) {
    let signer = Signer::new(Algorithm::Rs256);
    let stage = Stage::with(settings(), trusting(&signer)).await;
    stage.client(standing("orders", json!({}))).await;
    (stage, signer)
}

/// What the cluster writes into a projected token.
fn token() -> Value {
    json!({
        "iss": CLUSTER, "sub": SUBJECT, "aud": [ISSUER, "https://else.example.com"],
        "iat": START, "nbf": START, "exp": START + 3607,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "orders" } },
    })
}

fn token_with(changes: &Value) -> Value {
    let mut claims = token();
    change(&mut claims, changes);
    claims
}

#[tokio::test]
async fn a_token_stands_for_the_client_that_is_registered_for_its_subject() {
    let (stage, signer) = stage().await;
    let decision = stage.present(&signer.sign(&token())).await;
    assert_eq!(decision.outcome.unwrap().client.id, id("orders"));
    let beside = Beside { client_id: Some("orders"), ..Beside::default() };
    stage.present_with(&terms(), beside, &signer.sign(&token())).await.outcome.unwrap();
}

#[tokio::test]
async fn without_an_identifier_a_token_may_be_used_until_it_expires_and_with_one_once() {
    let (stage, signer) = stage().await;
    let reusable = signer.sign(&token());
    for _ in 0..3 {
        stage.accepted(&reusable).await;
    }
    let once = signer.sign(&token_with(&json!({ "jti": "1" })));
    stage.accepted(&once).await;
    assert_eq!(stage.rejected(&once).await, Reason::AssertionReplayed);
    let odd = signer.sign(&token_with(&json!({ "jti": 1 })));
    assert_eq!(stage.rejected(&odd).await, Reason::AssertionIdentifier);
    stage.pass_seconds(3616);
    stage.accepted(&reusable).await;
    stage.pass_seconds(1);
    assert_eq!(stage.rejected(&reusable).await, Reason::AssertionExpired);
}

#[tokio::test]
async fn an_issuer_whose_tokens_lie_in_files_may_have_each_of_them_used_until_it_expires() {
    let (mut stage, signer) = stage().await;
    stage.reconfigure(|realm| realm.proving.trusted_issuers[0].uses = Uses::UntilExpiry).await;
    let token = signer.sign(&token_with(&json!({ "jti": "1" })));
    stage.accepted(&token).await;
    stage.accepted(&token).await;
    // What is no identifier is none, however often it may be used.
    let odd = signer.sign(&token_with(&json!({ "jti": 1 })));
    assert_eq!(stage.rejected(&odd).await, Reason::AssertionIdentifier);
}

#[tokio::test]
async fn each_claim_of_a_token_is_held_against_its_rule() {
    let (stage, signer) = stage().await;
    let cases = [
        (json!({ "sub": null }), Err(Reason::FederatedNobody)),
        (json!({ "sub": [SUBJECT] }), Err(Reason::FederatedNobody)),
        (json!({ "sub": "system:serviceaccount:shop:other" }), Err(Reason::FederatedNobody)),
        (json!({ "sub": format!("{SUBJECT} ") }), Err(Reason::FederatedNobody)),
        (json!({ "aud": ISSUER }), Ok(())),
        (json!({ "aud": null }), Err(Reason::AssertionAudience)),
        (json!({ "aud": "https://else.example.com" }), Err(Reason::AssertionAudience)),
        (json!({ "aud": [] }), Err(Reason::AssertionAudience)),
        (json!({ "aud": [[ISSUER]] }), Err(Reason::AssertionAudience)),
        (json!({ "exp": null }), Err(Reason::AssertionExpiryMissing)),
        (json!({ "exp": START + 86_410 }), Ok(())),
        (json!({ "exp": START + 86_411 }), Err(Reason::AssertionLongLived)),
        (json!({ "exp": START - 10 }), Err(Reason::AssertionExpired)),
        (json!({ "nbf": START + 11 }), Err(Reason::AssertionEarly)),
        (json!({ "iat": "now" }), Err(Reason::AssertionTimeMalformed)),
        (json!({ "iss": format!("{CLUSTER}/") }), Err(Reason::ClientUnknown)),
    ];
    for (changes, expected) in cases {
        let decision = stage.present(&signer.sign(&token_with(&changes))).await;
        match expected {
            Ok(()) => assert!(decision.outcome.is_ok(), "{changes}"),
            Err(expected) => {
                assert_eq!(reason(&decision), expected, "{changes}");
                assert_eq!(kind(&decision), Kind::InvalidClient, "{changes}");
            }
        }
    }
}

#[tokio::test]
async fn a_configured_audience_takes_the_place_of_the_issuer() {
    let (mut stage, signer) = stage().await;
    let audience = Some("api://jeton".to_owned());
    stage.reconfigure(|realm| realm.proving.trusted_issuers[0].audience = audience).await;
    assert_eq!(stage.rejected(&signer.sign(&token())).await, Reason::AssertionAudience);
    stage.accepted(&signer.sign(&token_with(&json!({ "aud": "api://jeton" })))).await;
}

#[tokio::test]
async fn claims_are_equal_as_a_whole_or_not_at_all() {
    let (stage, signer) = stage().await;
    let demanded = json!({
        "ref": "refs/heads/main", "protected": true, "project": 7, "groups": ["a", "b"],
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "orders" } },
    });
    stage.delete("orders").await;
    stage.client(standing("orders", demanded.clone())).await;
    let with = |changes: Value| {
        let mut claims = token();
        change(&mut claims, &demanded);
        change(&mut claims, &changes);
        claims
    };
    stage.accepted(&signer.sign(&with(json!({})))).await;
    stage.accepted(&signer.sign(&with(json!({ "more": 1 })))).await;
    for changes in [
        json!({ "ref": null }),
        json!({ "ref": "refs/heads/Main" }),
        json!({ "ref": ["refs/heads/main"] }),
        json!({ "protected": "true" }),
        json!({ "protected": 1 }),
        json!({ "protected": false }),
        json!({ "project": "7" }),
        json!({ "project": 7.5 }),
        json!({ "project": 8 }),
        json!({ "groups": "a" }),
        json!({ "groups": ["b", "a"] }),
        json!({ "groups": ["a", "b", "c"] }),
        json!({ "kubernetes.io": { "namespace": "shop" } }),
    ] {
        let refused = stage.rejected(&signer.sign(&with(changes.clone()))).await;
        assert_eq!(refused, Reason::FederatedClaims, "{changes}");
    }
}

#[tokio::test]
async fn of_several_clients_the_one_that_fits_is_meant_or_the_one_that_is_named() {
    let (stage, signer) = stage().await;
    stage.delete("orders").await;
    stage.client(standing("main", json!({ "ref": "main" }))).await;
    stage.client(standing("tags", json!({ "ref": "tag" }))).await;
    let on = |reference: &str| signer.sign(&token_with(&json!({ "ref": reference })));
    let client =
        async |assertion: &str| stage.present(assertion).await.outcome.unwrap().client.id.clone();
    assert_eq!(client(&on("main")).await, id("main"));
    assert_eq!(client(&on("tag")).await, id("tags"));
    assert_eq!(stage.rejected(&on("other")).await, Reason::FederatedClaims);

    stage.client(standing("any", json!({}))).await;
    assert_eq!(stage.rejected(&on("main")).await, Reason::FederatedSeveral);
    assert_eq!(client(&on("other")).await, id("any"));
    stage.client(named("secretive")).await;
    for (named, expected) in [
        ("main", Ok("main")),
        ("any", Ok("any")),
        ("tags", Err(Reason::FederatedClaims)),
        ("secretive", Err(Reason::FederatedNobody)),
        ("nobody", Err(Reason::ClientUnknown)),
    ] {
        let beside = Beside { client_id: Some(named), ..Beside::default() };
        let decision = stage.present_with(&terms(), beside, &on("main")).await;
        match expected {
            Ok(client) => assert_eq!(decision.outcome.unwrap().client.id, id(client)),
            Err(expected) => assert_eq!(reason(&decision), expected, "{named}"),
        }
    }
}

#[tokio::test]
async fn a_change_of_the_client_is_a_change_of_whom_it_trusts() {
    let (stage, signer) = stage().await;
    let other = standing("orders", json!({})).proof.federated.map(|federated| Federated {
        subject: "system:serviceaccount:shop:moved".parse().unwrap(),
        ..federated
    });
    let proof = ProofChange { federated: Some(other), ..ProofChange::default() };
    let changed = ClientChange { proof, ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), changed).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&signer.sign(&token())).await, Reason::FederatedNobody);
    let moved = token_with(&json!({ "sub": "system:serviceaccount:shop:moved" }));
    stage.accepted(&signer.sign(&moved)).await;
    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&signer.sign(&moved)).await, Reason::ClientDisabled);
    stage.delete("orders").await;
    assert_eq!(stage.rejected(&signer.sign(&moved)).await, Reason::FederatedNobody);
}

#[tokio::test]
async fn only_the_issuers_keys_and_only_asymmetric_ones_speak_for_it() {
    let (stage, signer) = stage().await;
    let stranger = Signer::new(Algorithm::Rs256);
    assert_eq!(stage.rejected(&stranger.sign(&token())).await, Reason::AssertionSignature);
    let unnamed = stranger.named("k2").sign(&token());
    assert_eq!(stage.rejected(&unnamed).await, Reason::AssertionKeyUnknown);
    let pem = signer.key.verifying_key().to_public_pem().unwrap();
    let hmac = Signer::of_secret(&pem).sign(&token());
    assert_eq!(stage.rejected(&hmac).await, Reason::AssertionAlgorithm);
    let header = |token_type: &str| json!({ "alg": "RS256", "kid": "k1", "typ": token_type });
    for token_type in ["at+jwt", "dpop+jwt"] {
        let typed = signer.sign_under(&header(token_type), &token());
        assert_eq!(stage.rejected(&typed).await, Reason::AssertionTyped, "{token_type}");
    }
    for token_type in ["JWT", "JOSE"] {
        stage.accepted(&signer.sign_under(&header(token_type), &token())).await;
    }
}

#[tokio::test]
async fn a_client_of_another_issuer_is_not_meant_however_much_the_subject_is_its_own() {
    let (mut stage, signer) = stage().await;
    let ci = Signer::new(Algorithm::Es256);
    let issuer = TrustedIssuer {
        name: "ci".parse().unwrap(),
        issuer: "https://ci.example.com".to_owned(),
        ..trusted(TrustedKeys::These(set(&[ci.jwk()])))
    };
    stage.reconfigure(|realm| realm.proving.trusted_issuers.push(issuer)).await;
    let of_ci = token_with(&json!({ "iss": "https://ci.example.com" }));
    assert_eq!(stage.rejected(&ci.sign(&of_ci)).await, Reason::FederatedNobody);
    let beside = Beside { client_id: Some("orders"), ..Beside::default() };
    let decision = stage.present_with(&terms(), beside, &ci.sign(&of_ci)).await;
    assert_eq!(reason(&decision), Reason::FederatedNobody);
    // In the other's name.
    assert_eq!(stage.rejected(&ci.sign(&token())).await, Reason::AssertionKeyUnknown);
    stage.accepted(&signer.sign(&token())).await;
}

#[tokio::test]
async fn keys_are_fetched_from_where_configuration_says() {
    let signer = Signer::new(Algorithm::Rs256);
    let place = KeyLocation::Issuer(CLUSTER.into());
    let mut realm = realm();
    realm.proving.trusted_issuers = vec![trusted(TrustedKeys::At(place.clone()))];
    let parts = Stage::new().await.parts;
    let key_source = Places::one(place, &[signer.jwk()]);
    let stage = Stage::on(Parts { key_source, ..parts.clone() }, realm.clone()).await;
    stage.client(standing("orders", json!({}))).await;
    stage.accepted(&signer.sign(&token())).await;
    let without = Stage::on(parts, realm).await;
    assert_eq!(without.rejected(&signer.sign(&token())).await, Reason::KeysUnavailable);
}

#[tokio::test]
async fn fapi2_takes_no_tokens_of_others() {
    let (mut stage, signer) = stage().await;
    stage.reconfigure(|realm| realm.proving.profile = Profile::Fapi2).await;
    let refused = stage.rejected(&Signer::new(Algorithm::Es256).sign(&token())).await;
    assert_eq!(refused, Reason::AuthenticationProfile);
    assert_eq!(stage.rejected(&signer.sign(&token())).await, Reason::AssertionAlgorithm);
}

#[tokio::test]
async fn our_own_tokens_stand_for_nobody_even_where_we_trust_ourselves() {
    let (mut stage, signer) = stage().await;
    stage.reconfigure(|realm| realm.proving.trusted_issuers[0].issuer = ISSUER.to_owned()).await;
    let own = signer.sign(&token_with(&json!({ "iss": ISSUER })));
    assert_eq!(stage.rejected(&own).await, Reason::AssertionIssuer);
}

#[tokio::test]
async fn a_client_trusts_only_issuers_that_its_realm_trusts() {
    let (stage, _) = stage().await;
    let manage = stage.manage();
    let mut unknown = standing("other", json!({}));
    let federated = unknown.proof.federated.as_mut().unwrap();
    federated.issuer = "gitlab".parse().unwrap();
    let made = manage.create_client(&stage.realm, unknown).await;
    let Err(ManageError::Invalid { field: "federated", problem }) = made else { panic!("made") };
    assert!(problem.contains("k8s"), "{problem}");
    let shown = NewClient {
        authentication: vec![AuthenticationMethod::ClientSecretBasic],
        ..standing("other", json!({}))
    };
    let made = manage.create_client(&stage.realm, shown).await;
    assert!(matches!(made, Err(ManageError::Invalid { field: "federated", .. })));
}
