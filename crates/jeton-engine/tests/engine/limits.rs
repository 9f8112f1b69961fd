//! How many requests a client or a source may make.

use std::time::Duration;

use jeton_engine::error::{Error, Kind, Reason};
use jeton_engine::limit::{Allowance, Limit};
use jeton_engine::realm::Realm;
use jeton_engine::terms::Terms;

use crate::stage::{Ask, Stage, named, realm, settings, terms, time};

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn limited(texts: &[&str]) -> Terms {
    Terms { limits: limits(texts), ..terms() }
}

#[tokio::test]
async fn a_client_has_so_many_requests_in_a_window_and_is_told_what_is_left() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    let (terms, ask) = (limited(&["3/min"]), Ask::new("orders", &secret));
    for remaining in [2, 1, 0] {
        stage.pass_seconds(10);
        let allowance = stage.issued(&terms, &ask).await.allowance;
        assert_eq!(allowance, Some(Allowance { limit: 3, remaining, reset: time(70) }));
    }
    let decision = stage.ask(&terms, &ask).await;
    let Err(Error::Refusal(refusal)) = decision.outcome else { panic!("not refused") };
    assert_eq!((refusal.reason, refusal.kind), (Reason::RateLimited, Kind::RateLimited));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(40)));
    assert_eq!(refusal.allowance, Some(Allowance { limit: 3, remaining: 0, reset: time(70) }));
    assert_eq!(refusal.client_id, Some(crate::stage::id("orders")));

    stage.issued(&terms, &Ask::new("other", &other)).await;
    stage.pass_seconds(40);
    assert_eq!(stage.issued(&terms, &ask).await.allowance.unwrap().remaining, 2);
}

#[tokio::test]
async fn nobody_else_can_use_up_a_clients_requests() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let terms = limited(&["1/min"]);
    for _ in 0..5 {
        assert_eq!(stage.refused(&terms, &Ask::new("orders", "wrong")).await, Reason::SecretWrong);
        let admin = Ask::new("orders", &secret).scope("admin");
        assert_eq!(stage.refused(&terms, &admin).await, Reason::ScopeNotGranted);
    }
    stage.issued(&terms, &Ask::new("orders", &secret)).await;
    assert_eq!(stage.refused(&terms, &Ask::new("orders", &secret)).await, Reason::RateLimited);
    assert_eq!(
        stage.refused(&terms, &Ask::new("orders", "wrong")).await,
        Reason::SecretWrong,
        "who did not prove to be the client does not hear of its limits"
    );
}

#[tokio::test]
async fn requests_at_one_mount_do_not_give_back_those_at_another() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let (one, other) = (limited(&["2/min"]), limited(&["100/hour"]));
    let ask = Ask::new("orders", &secret);
    for _ in 0..2 {
        stage.issued(&one, &ask).await;
        stage.issued(&other, &ask).await;
    }
    assert_eq!(stage.refused(&one, &ask).await, Reason::RateLimited);
    stage.issued(&other, &ask).await;
    stage.issued(&terms(), &ask).await;
}

#[tokio::test]
async fn a_client_made_again_has_all_its_requests() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let terms = limited(&["1/hour"]);
    stage.issued(&terms, &Ask::new("orders", &secret)).await;
    stage.pass_seconds(1);
    // Both acts are heard of at once.
    stage.manage().delete_client(&stage.realm.name, &crate::stage::id("orders")).await.unwrap();
    let secret = stage.orders().await;
    stage.issued(&terms, &Ask::new("orders", &secret)).await;
    assert_eq!(stage.refused(&terms, &Ask::new("orders", &secret)).await, Reason::RateLimited);
}

#[tokio::test]
async fn the_realms_limits_stand_in_for_the_dialects() {
    let realm = Realm { client_limits: Some(limits(&["1/min"])), ..realm() };
    let mut stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    stage.issued(&limited(&["5/min"]), &ask).await;
    assert_eq!(stage.refused(&limited(&["5/min"]), &ask).await, Reason::RateLimited);
    stage.reconfigure(|realm| realm.client_limits = Some(Vec::new())).await;
    assert_eq!(stage.issued(&limited(&["1/min"]), &ask).await.allowance, None, "off");
}

#[tokio::test]
async fn a_source_has_so_many_requests_right_or_wrong() {
    let realm = Realm { source_limits: limits(&["2/min"]), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let right = Ask::new("orders", &secret);
    stage.issued(&terms(), &right).await;
    assert_eq!(stage.refused(&terms(), &Ask::new("nobody", "x")).await, Reason::ClientUnknown);
    let decision = stage.ask(&terms(), &right).await;
    let Err(Error::Refusal(refusal)) = decision.outcome else { panic!("not refused") };
    assert_eq!(refusal.reason, Reason::RateLimited);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
    assert_eq!(refusal.allowance, None, "the client's own allowance is another");
    stage.issued(&terms(), &right.clone().from("192.0.2.2")).await;
    stage.pass_seconds(60);
    stage.issued(&terms(), &right).await;
}

#[tokio::test]
async fn one_realms_requests_are_not_counted_in_another() {
    let main = Realm { source_limits: limits(&["1/min"]), ..realm() };
    let stage = Stage::with(settings(), main.clone()).await;
    let secret = stage.orders().await;
    let other = Realm { name: "other".parse().unwrap(), ..main.clone() };
    stage.engine.reconfigure(vec![main, other.clone()]).await.unwrap();
    let elsewhere = stage.engine.realm(&other.name).unwrap();
    let caller = jeton_engine::request::Caller::from(std::net::IpAddr::from([192, 0, 2, 1]));
    let asked = || jeton_engine::request::TokenRequest {
        credentials: jeton_engine::request::Credentials::None,
        scope: None,
        audiences: Default::default(),
    };
    for expected in [Reason::AuthenticationMissing, Reason::RateLimited] {
        let decision = stage.engine.decide(&elsewhere, &terms(), caller, Ok(asked())).await;
        assert_eq!(crate::stage::reason(&decision), expected);
    }
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
}
