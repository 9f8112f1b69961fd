//! Registered clients that read, replace and delete their registration (RFC 7592), and software
//! statements (RFC 7591 section 2.3).

use std::sync::Arc;
use std::time::Duration;

use jeton_engine::client::ClientStatus;
use jeton_engine::engine::{Parts, Settings};
use jeton_engine::error::{Error, Fault, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::key_source::{KeyLocation, NoKeySource};
use jeton_engine::manage::{ClientChange, Rotation};
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::{TrustedIssuer, TrustedKeys};
use jeton_engine::realm::registration::{Registering, Statements};
use jeton_engine::registration::{Managed, ManagementAct, Registered};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};

use crate::asserting::{ISSUER, Signer, set};
use crate::registering::{SOURCE, member, object, realm_with, rules, stage};
use crate::stage::{Ask, START, Stage, reason, settings, terms};

async fn read(stage: &Stage, id: &str, token: Option<&str>) -> Result<Registered, Reason> {
    let answered = stage.manage_own(id, token, ManagementAct::Read).await;
    if answered.outcome.is_err() {
        return Err(reason(&answered));
    }
    match answered.outcome.unwrap() {
        Managed::Is(registered) => Ok(*registered),
        Managed::Deleted => panic!("deleted"),
    }
}

#[tokio::test]
async fn a_client_reads_what_it_registered_with_its_own_token_alone() {
    let stage = stage().await;
    let one = stage.registered(json!({ "client_name": "One" })).await;
    let other = stage.registered(json!({})).await;
    stage.orders().await;
    let (id, token) = (one.client.id.as_str(), one.access_token.as_str());
    let found = read(&stage, id, Some(token)).await.unwrap();
    assert_eq!(found.client, one.client);
    // Not rotated, and of the secret only a digest is kept.
    assert_eq!(found.access_token.as_str(), token);
    assert!(found.secret.is_none());
    assert_eq!(read(&stage, id, None).await.unwrap_err(), Reason::RegistrationTokenMissing);
    let wrong = [
        (id, other.access_token.as_str()),
        (id, "wrong"),
        (id, one.secret.as_deref().unwrap().as_str()),
        ("unknown", token),
        ("orders", token),
    ];
    for (id, token) in wrong {
        let refused = read(&stage, id, Some(token)).await;
        assert_eq!(refused.unwrap_err(), Reason::RegistrationTokenWrong, "{id}");
    }
}

#[tokio::test]
async fn a_disabled_client_does_not_manage_itself() {
    let stage = stage().await;
    let one = stage.registered(json!({})).await;
    let (id, token) = (&one.client.id, Some(one.access_token.as_str()));
    let name = &stage.realm.name;
    let acts = || {
        [
            ManagementAct::Read,
            ManagementAct::Replace(Ok(object(json!({ "client_id": id })))),
            ManagementAct::Delete,
        ]
    };
    stage.manage().set_status(name, id, ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    for act in acts() {
        let answered = stage.manage_own(id.as_str(), token, act).await;
        assert_eq!(reason(&answered), Reason::ClientDisabled);
    }
    stage.manage().set_status(name, id, ClientStatus::Enabled).await.unwrap();
    stage.follow().await;
    for act in acts() {
        stage.manage_own(id.as_str(), token, act).await.outcome.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_registration_token_costs_its_source_a_guess() {
    let settings = Settings {
        guesses_free: 2,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm_with(rules())).await;
    let one = stage.registered(json!({})).await;
    for id in [one.client.id.as_str(), "unknown"] {
        let refused = read(&stage, id, Some("wrong")).await;
        assert_eq!(refused.unwrap_err(), Reason::RegistrationTokenWrong);
    }
    assert_eq!(read(&stage, "unknown", Some("wrong")).await.unwrap_err(), Reason::SourceSlowed);
}

#[tokio::test]
async fn requests_about_registrations_have_limits() {
    let rules = Registering {
        source_limits: Rates::new(vec!["3/min".parse().unwrap()]).unwrap(),
        ..rules()
    };
    let stage = Stage::with(settings(), realm_with(rules)).await;
    let one = stage.registered(json!({})).await;
    let (id, token) = (one.client.id.as_str(), Some(one.access_token.as_str()));
    for _ in 0..2 {
        read(&stage, id, token).await.unwrap();
    }
    assert_eq!(read(&stage, id, token).await.unwrap_err(), Reason::RegistrationLimited);
}

#[tokio::test]
async fn replacing_takes_away_what_is_not_said_again() {
    let stage = stage().await;
    let said = json!({
        "client_name": "One", "scope": "read write", "contacts": ["a@a.example"],
        "dpop_bound_access_tokens": true, "software_id": "s", "client_name#fr": "Un",
    });
    let one = stage.registered(said).await;
    let change = ClientChange {
        subject: Some(Some("warehouse".parse().unwrap())),
        ..ClientChange::default()
    };
    stage.manage().change_client(&stage.realm, &one.client.id, change).await.unwrap();
    let after = stage
        .replaced(&one, json!({ "scope": "read", "software_id": "t", "contacts": null }))
        .await;
    let client = &after.client;
    assert_eq!((client.name.as_deref(), client.scope.to_string().as_str()), (None, "read"));
    let registration = client.registration.as_ref().unwrap();
    assert_eq!(Value::Object(registration.members.clone()), json!({ "software_id": "t" }));
    assert!(client.proof.is_none());
    // What only operators say of it stays.
    assert_eq!(client.subject(), "warehouse");
    assert_eq!(stage.kept(client.id.as_str()).await, *client);
    // The secret stays good, and is not told again; so does the registration access token.
    assert!(after.secret.is_none());
    let secret = one.secret.as_deref().unwrap();
    stage.issued(&terms(), &Ask::basic(&[(client.id.as_str(), secret)])).await;
    assert_eq!(after.access_token, one.access_token);
}

#[tokio::test]
async fn what_replaces_must_be_the_clients_own() {
    let stage = stage().await;
    let one = stage.registered(json!({})).await;
    let secret = one.secret.as_deref().unwrap().as_str();
    stage.replaced(&one, json!({ "client_secret": secret })).await;
    stage.replaced(&one, json!({ "client_secret": null })).await;
    for (said, expected) in [
        (json!({ "client_id": null }), "client_id"),
        (json!({ "client_id": "other" }), "client_id"),
        (json!({ "client_secret": "of my own choosing" }), "client_secret"),
        (json!({ "client_secret": 1 }), "client_secret"),
        (
            json!({ "registration_access_token": one.access_token.as_str() }),
            "registration_access_token",
        ),
        (json!({ "registration_client_uri": "https://a.example" }), "registration_client_uri"),
        (json!({ "client_secret_expires_at": 0 }), "client_secret_expires_at"),
        (json!({ "client_id_issued_at": 0 }), "client_id_issued_at"),
        (json!({ "grant_types": ["password"] }), "grant_types"),
    ] {
        let answered = stage.replace(&one, said.clone()).await;
        assert_eq!(member(&answered), expected, "{said}");
    }
    let missing = ManagementAct::Replace(Ok(object(json!({}))));
    let token = Some(one.access_token.as_str());
    let answered = stage.manage_own(one.client.id.as_str(), token, missing).await;
    assert_eq!(member(&answered), "client_id");
    assert_eq!(stage.kept(one.client.id.as_str()).await.revision, 3);
}

#[tokio::test]
async fn another_way_of_authenticating_gets_what_it_needs_and_drops_the_rest() {
    let stage = stage().await;
    let one = stage.registered(json!({})).await;
    let by = |method: &str| {
        json!({ "token_endpoint_auth_method": method,
        "jwks_uri": "https://a.example/jwks" })
    };
    // Shown either way: the same secret.
    let post = stage.replaced(&one, by("client_secret_post")).await;
    assert!(post.secret.is_none() && post.client.secrets == one.client.secrets);
    // No secret, and then a new one.
    let keys = stage.replaced(&one, by("private_key_jwt")).await;
    assert!(keys.secret.is_none() && keys.client.secrets.is_empty());
    let id = one.client.id.as_str();
    let old = Ask::basic(&[(id, one.secret.as_deref().unwrap())]);
    assert_eq!(stage.refused(&terms(), &old).await, Reason::SecretsNone);
    let basic = stage.replaced(&one, by("client_secret_basic")).await;
    let fresh = basic.secret.unwrap();
    stage.issued(&terms(), &Ask::basic(&[(id, &fresh)])).await;
    // For an HMAC it is kept in another way, so it is another secret.
    let hmac = stage.replaced(&one, by("client_secret_jwt")).await;
    let sealed = hmac.secret.unwrap();
    assert_ne!(sealed, fresh);
    assert_eq!(hmac.client.authentication, [AuthenticationMethod::ClientSecretJwt]);
    let mut own = by("client_secret_jwt");
    own["client_secret"] = json!(sealed.as_str());
    stage.replaced(&one, own.clone()).await;
    own["client_secret"] = json!(fresh.as_str());
    assert_eq!(member(&stage.replace(&one, own).await), "client_secret");
}

#[tokio::test]
async fn an_expired_secret_is_replaced_by_a_new_one() {
    let stage = stage().await;
    let one = stage.registered(json!({})).await;
    let rotation = Rotation { grace: Some(Duration::ZERO), ..Rotation::default() };
    let rotation = Rotation { expires_at: Some(crate::stage::time(60)), ..rotation };
    stage.manage().rotate_secret(&stage.realm.name, &one.client.id, rotation).await.unwrap();
    stage.follow().await;
    assert!(stage.replaced(&one, json!({})).await.secret.is_none());
    stage.pass_seconds(60);
    assert!(stage.replaced(&one, json!({})).await.secret.is_some());
}

#[tokio::test]
async fn nobody_gives_itself_more_scope_than_it_was_let_in_with() {
    let stage = stage().await;
    let token = stage.initial(1, "read write").await;
    let one = stage.register(&token, json!({ "scope": "read" })).await.outcome.unwrap();
    let scoped = |scope: &str| json!({ "scope": scope });
    assert_eq!(member(&stage.replace(&one, scoped("admin")).await), "scope");
    assert_eq!(stage.replaced(&one, scoped("write")).await.client.scope.to_string(), "write");
    // Not what an operator has taken from it a moment ago, either: nobody was told of that yet.
    let narrowed = ClientChange { scope: Some("read".parse().unwrap()), ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &one.client.id, narrowed).await.unwrap();
    assert_eq!(member(&stage.replace(&one, scoped("write")).await), "scope");
    assert_eq!(stage.replaced(&one, json!({})).await.client.scope.to_string(), "read");
}

#[tokio::test]
async fn a_client_that_deleted_itself_is_gone_at_once() {
    let stage = stage().await;
    let one = stage.registered(json!({})).await;
    let (id, token) = (one.client.id.as_str(), Some(one.access_token.as_str()));
    let ask = Ask::basic(&[(id, one.secret.as_deref().unwrap())]);
    let access_token = stage.token(&terms(), &ask).await;
    assert!(stage.holds(&access_token).await);
    let deleted = stage.manage_own(id, token, ManagementAct::Delete).await;
    assert!(matches!(deleted.outcome, Ok(Managed::Deleted)));
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::ClientUnknown);
    assert!(!stage.holds(&access_token).await);
    let again = stage.manage_own(id, token, ManagementAct::Delete).await;
    assert_eq!(reason(&again), Reason::RegistrationTokenWrong);
}

const MAKER: &str = "https://maker.example.com";

fn trusting(statements: Statements, keys: TrustedKeys) -> Realm {
    let mut realm = realm_with(Registering { statements, ..rules() });
    realm.proving.trusted_issuers = vec![TrustedIssuer {
        name: "maker".parse().unwrap(),
        issuer: MAKER.to_owned(),
        keys,
        audience: None,
        uses: jeton_engine::realm::proving::Uses::Once,
    }];
    realm
}

fn statement() -> Value {
    json!({ "iss": MAKER, "software_id": "s-1", "client_name": "By its maker", "scope": "read" })
}

#[tokio::test]
async fn a_software_statement_takes_precedence_over_what_the_client_says() {
    let signer = Signer::new(Algorithm::Es256);
    let keys = TrustedKeys::These(set(&[signer.jwk()]));
    let stage = Stage::with(settings(), trusting(Statements::Required, keys)).await;
    let text = signer.sign(&statement());
    let said = json!({ "software_statement": text, "client_name": "Mine", "software_id": "x",
        "contacts": ["a@a.example"] });
    let one = stage.registered(said).await;
    assert_eq!(one.client.name.as_deref(), Some("By its maker"));
    assert_eq!(one.client.scope.to_string(), "read");
    let members = &one.client.registration.as_ref().unwrap().members;
    assert_eq!(members["software_id"], "s-1");
    assert_eq!(members["software_statement"], json!(text));
    assert_eq!(members["contacts"], json!(["a@a.example"]));
    // Again without is no more allowed than the first time.
    assert_eq!(reason(&stage.replace(&one, json!({})).await), Reason::StatementInvalid);
    stage.replaced(&one, json!({ "software_statement": text })).await;
    // It is no way around the rules, and says nothing that is the server's to say.
    let mut greedy = statement();
    greedy["scope"] = json!("everything");
    let token = stage.initial(9, "").await;
    let answered =
        stage.register(&token, json!({ "software_statement": signer.sign(&greedy) })).await;
    assert_eq!(member(&answered), "scope");
    let mut other = statement();
    other["client_id"] = json!("orders");
    let other = signer.sign(&other);
    stage.replaced(&one, json!({ "software_statement": other })).await;
}

#[tokio::test]
async fn only_a_statement_that_holds_and_is_meant_as_one_counts() {
    let signer = Signer::new(Algorithm::Es256);
    let keys = TrustedKeys::These(set(&[signer.jwk()]));
    let stage = Stage::with(settings(), trusting(Statements::Accepted, keys)).await;
    let token = stage.initial(100, "").await;
    let register = async |text: Value| {
        stage.register_from(SOURCE, Some(&token), json!({ "software_statement": text })).await
    };
    let with = |name: &str, value: Value| {
        let mut claims = statement();
        claims[name] = value;
        signer.sign(&claims).into()
    };
    for good in [
        with("exp", json!(START + 60)),
        with("aud", json!(ISSUER)),
        with("aud", json!(["https://elsewhere.example", ISSUER])),
        with("iat", json!(START)),
    ] {
        assert!(register(good).await.outcome.is_ok());
    }
    let workload = json!({ "iss": MAKER, "sub": "system:serviceaccount:a:b", "aud": ISSUER,
        "iat": START, "exp": START + 60 });
    let stranger = Signer::new(Algorithm::Es256);
    let typed = json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" });
    for bad in [
        json!("nonsense"),
        json!(1),
        with("exp", json!(START - 60)),
        with("exp", json!("tomorrow")),
        with("nbf", json!(START + 60)),
        with("aud", json!("https://elsewhere.example")),
        with("software_id", Value::Null),
        signer.sign(&workload).into(),
        stranger.sign(&statement()).into(),
        signer.sign_under(&typed, &statement()).into(),
    ] {
        let answered = register(bad.clone()).await;
        assert_eq!(reason(&answered), Reason::StatementInvalid, "{bad}");
        assert_eq!(member(&answered), "software_statement");
    }
    let unknown = register(with("iss", json!("https://other.example.com"))).await;
    assert_eq!(reason(&unknown), Reason::StatementUnapproved);
    assert!(register(Value::Null).await.outcome.is_ok(), "none is needed");
}

#[tokio::test]
async fn when_the_issuers_keys_cannot_be_had_nothing_is_decided() {
    let signer = Signer::new(Algorithm::Es256);
    let keys = TrustedKeys::At(KeyLocation::Issuer(MAKER.into()));
    let first = Stage::with(settings(), trusting(Statements::Accepted, keys)).await;
    let parts = Parts { key_source: Arc::new(NoKeySource), ..first.parts.clone() };
    let stage = Stage::on(parts, first.realm.clone()).await;
    let token = stage.initial(1, "").await;
    let said = json!({ "software_statement": signer.sign(&statement()) });
    let answered = stage.register(&token, said).await;
    assert!(matches!(answered.outcome, Err(Error::Fault(Fault::Unreachable(_)))));
    stage.register(&token, json!({})).await.outcome.unwrap();
}
