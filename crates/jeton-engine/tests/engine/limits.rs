//! How many requests a client or a source may make.

use std::net::IpAddr;
use std::time::Duration;

use jeton_engine::engine::Settings;
use jeton_engine::error::{Error, Kind, Reason, Refusal};
use jeton_engine::limit::{Allowance, Limit, LimitOf};
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::request::{Caller, Credentials, TokenRequest};
use jeton_engine::terms::Terms;

use crate::stage::{Ask, Stage, named, realm, settings, terms, time};

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn rates(texts: &[&str]) -> Rates {
    Rates::new(texts.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
}

/// How many requests the limits of clients, of sources and of the realm have refused.
fn limited_by(stage: &Stage) -> [u64; 3] {
    let limited = &stage.engine.readings().realms[0].limited;
    [LimitOf::Client, LimitOf::Source, LimitOf::Realm]
        .map(|of| limited.iter().find(|(limit, _)| *limit == of).map_or(0, |(_, count)| *count))
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
        let left = stage.issued(&terms, &ask).await.allowances.tightest().unwrap();
        assert_eq!((left.limit, left.remaining, left.reset), (3, remaining, time(70)));
    }
    let decision = stage.ask(&terms, &ask).await;
    let Err(Error::Refusal(refusal)) = decision.outcome else { panic!("not refused") };
    assert_eq!((refusal.reason, refusal.kind), (Reason::RateLimited, Kind::RateLimited));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(40)));
    let left = refusal.allowance.unwrap();
    assert_eq!((left.limit, left.remaining, left.reset), (3, 0, time(70)));
    assert_eq!(refusal.client_id, Some(crate::stage::id("orders")));

    stage.issued(&terms, &Ask::new("other", &other)).await;
    stage.pass_seconds(40);
    assert_eq!(stage.issued(&terms, &ask).await.allowances.tightest().unwrap().remaining, 2);
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
    let realm = Realm { client_limits: Some(rates(&["1/min"])), ..realm() };
    let mut stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    stage.issued(&limited(&["5/min"]), &ask).await;
    assert_eq!(stage.refused(&limited(&["5/min"]), &ask).await, Reason::RateLimited);
    stage.reconfigure(|realm| realm.client_limits = Some(Rates::default())).await;
    let issued = stage.issued(&limited(&["1/min"]), &ask).await;
    assert_eq!(issued.allowances.tightest(), None, "off");
}

#[tokio::test]
async fn an_operators_limit_is_a_burst_that_comes_back_one_by_one() {
    let realm = Realm { client_limits: Some(rates(&["6/min burst 2"])), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let left = stage.issued(&limited(&["1/hour"]), &ask).await.allowances.tightest();
    let expected = Allowance {
        of: LimitOf::Client,
        among: None,
        limit: 2,
        remaining: 1,
        reset: time(10),
        window_seconds: 20,
        more_in_seconds: 10,
    };
    assert_eq!(left, Some(expected));
    stage.issued(&terms(), &ask).await;
    let Err(Error::Refusal(refusal)) = stage.ask(&terms(), &ask).await.outcome else {
        panic!("not refused")
    };
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(10)));
    assert_eq!(refusal.allowance, Some(Allowance { remaining: 0, reset: time(20), ..expected }));
    stage.pass_seconds(10);
    stage.issued(&terms(), &ask).await;
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::RateLimited);
    assert_eq!(limited_by(&stage), [2, 0, 0]);
}

#[tokio::test]
async fn what_is_spent_outlives_a_reload_and_another_limit_beside_it() {
    let realm = Realm { client_limits: Some(rates(&["2/hour"])), ..realm() };
    let mut stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    stage.issued(&terms(), &ask).await;
    stage.reconfigure(|realm| realm.client_limits = Some(rates(&["2/hour", "100/min"]))).await;
    let issued = stage.issued(&terms(), &ask).await;
    let left: Vec<u32> = issued.allowances.as_slice().iter().map(|left| left.remaining).collect();
    assert_eq!(left, [99, 0]);
    stage.reconfigure(|realm| realm.client_limits = Some(rates(&["2/hour"]))).await;
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::RateLimited);
    stage.reconfigure(|realm| realm.client_limits = Some(rates(&["4/hour"]))).await;
    stage.pass_seconds(900);
    stage.issued(&terms(), &ask).await;
}

#[tokio::test]
async fn all_clients_share_the_limit_of_the_realm_and_nobody_else_can_use_it_up() {
    let limits = (Some(rates(&["1/min"])), rates(&["2/hour"]));
    let realm = Realm { client_limits: limits.0, realm_limits: limits.1, ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let others = [stage.client(named("one")).await, stage.client(named("two")).await];
    for _ in 0..5 {
        assert_eq!(
            stage.refused(&terms(), &Ask::new("orders", "wrong")).await,
            Reason::SecretWrong
        );
    }
    let ask = Ask::new("orders", &secret);
    stage.issued(&terms(), &ask).await;
    for _ in 0..5 {
        assert_eq!(stage.refused(&terms(), &ask).await, Reason::RateLimited, "the client's own");
    }
    stage.issued(&terms(), &Ask::new("one", &others[0])).await;
    let Err(Error::Refusal(refusal)) =
        stage.ask(&terms(), &Ask::new("two", &others[1])).await.outcome
    else {
        panic!("not refused")
    };
    assert_eq!((refusal.reason, refusal.kind), (Reason::RealmLimited, Kind::RateLimited));
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(1_800)));
    assert_eq!(refusal.allowance.unwrap().of, LimitOf::Realm);
    assert_eq!(limited_by(&stage), [5, 0, 1]);
    stage.pass_seconds(1_800);
    let left = stage.issued(&terms(), &Ask::new("two", &others[1])).await.allowances;
    assert_eq!(left.as_slice().len(), 1, "what is left of the realm's is nobody's business");
}

#[tokio::test]
async fn what_a_documented_limit_refuses_is_not_counted_against_the_realm() {
    let realm = Realm { realm_limits: rates(&["2/hour"]), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    let ask = Ask::new("orders", &secret);
    stage.issued(&limited(&["1/min"]), &ask).await;
    for _ in 0..5 {
        assert_eq!(stage.refused(&limited(&["1/min"]), &ask).await, Reason::RateLimited);
    }
    stage.issued(&limited(&["1/min"]), &Ask::new("other", &other)).await;
}

#[tokio::test]
async fn a_source_has_so_many_requests_right_or_wrong() {
    let realm = Realm { source_limits: rates(&["2/min"]), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let right = Ask::new("orders", &secret);
    stage.issued(&terms(), &right).await;
    assert_eq!(stage.refused(&terms(), &Ask::new("nobody", "x")).await, Reason::ClientUnknown);
    let decision = stage.ask(&terms(), &right).await;
    let Err(Error::Refusal(refusal)) = decision.outcome else { panic!("not refused") };
    assert_eq!(refusal.reason, Reason::SourceLimited);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(refusal.allowance.unwrap().of, LimitOf::Source, "it tells nothing of the client");
    assert_eq!(refusal.client_id, None);
    stage.issued(&terms(), &right.clone().from("192.0.2.2")).await;
    stage.pass_seconds(30);
    stage.issued(&terms(), &right).await;
    assert_eq!(limited_by(&stage), [0, 1, 0]);
}

#[tokio::test]
async fn what_the_client_was_refused_is_given_back_to_its_source() {
    let limits = (Some(rates(&["1/min"])), rates(&["2/min"]));
    let realm = Realm { client_limits: limits.0, source_limits: limits.1, ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
    for _ in 0..5 {
        let again = Ask::new("orders", &secret);
        assert_eq!(stage.refused(&terms(), &again).await, Reason::RateLimited);
    }
    stage.issued(&terms(), &Ask::new("other", &other)).await;
    let again = Ask::new("other", &other);
    assert_eq!(stage.refused(&terms(), &again).await, Reason::SourceLimited);
}

#[tokio::test]
async fn requests_that_nobody_can_read_count_against_their_source() {
    let realm = Realm { source_limits: rates(&["2/min"]), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let unreadable = async |source: [u8; 4]| {
        let caller = Caller::from(IpAddr::from(source));
        let asked = Err(Reason::BodyMalformed.into());
        let decision = stage.engine.decide(&stage.state(), &terms(), caller, asked.as_ref()).await;
        crate::stage::reason(&decision)
    };
    for expected in [Reason::BodyMalformed, Reason::BodyMalformed, Reason::SourceLimited] {
        assert_eq!(unreadable([192, 0, 2, 1]).await, expected);
    }
    assert_eq!(unreadable([192, 0, 2, 2]).await, Reason::BodyMalformed);
}

#[tokio::test]
async fn who_proves_nothing_at_introspection_counts_against_its_source_and_a_gateway_does_not() {
    let realm = Realm { source_limits: rates(&["3/min"]), ..realm() };
    let stage = Stage::with(settings(), realm).await;
    let secret = stage.orders().await;
    let ask = async |secret: &str| {
        let introspected = stage.introspect(&Ask::new("orders", secret), "unknown").await;
        match introspected.outcome {
            Ok(_) => Ok(()),
            Err(_) => Err(crate::stage::reason(&introspected)),
        }
    };
    for _ in 0..10 {
        ask(&secret).await.unwrap();
    }
    for expected in [Reason::SecretWrong, Reason::SecretWrong, Reason::SecretWrong] {
        assert_eq!(ask("wrong").await, Err(expected));
    }
    assert_eq!(ask("wrong").await, Err(Reason::SourceLimited));
    ask(&secret).await.unwrap();
    let again = Ask::new("orders", &secret);
    assert_eq!(
        stage.refused(&terms(), &again).await,
        Reason::SourceLimited,
        "all are counted there"
    );

    let caller = Caller::from(IpAddr::from([192, 0, 2, 1]));
    let unreadable = Refusal::from(Reason::BodyMalformed);
    let revoked = stage.engine.revoke(&stage.state(), &terms(), caller, Err(&unreadable)).await;
    assert_eq!(revoked.outcome.unwrap_err().kind(), Kind::RateLimited);
}

#[tokio::test]
async fn wrong_guesses_of_a_neighbour_cost_a_right_client_nothing_of_its_limits() {
    let realm = Realm { client_limits: Some(rates(&["3/hour"])), ..realm() };
    let settings = Settings { guesses_free: 3, guess_wait_max: Duration::ZERO, ..settings() };
    let stage = Stage::with(settings, realm).await;
    let secret = stage.orders().await;
    let right = Ask::new("orders", &secret);
    stage.issued(&terms(), &right).await;
    let mut slowed = 0;
    for guess in 0..200 {
        let guess = format!("nobody-{guess}");
        let reason = stage.refused(&terms(), &Ask::new(&guess, "x")).await;
        slowed += u32::from(reason == Reason::SourceSlowed);
    }
    assert_eq!(slowed, 197);
    stage.issued(&terms(), &right).await;
    stage.issued(&terms(), &right).await;
    assert_eq!(stage.refused(&terms(), &right).await, Reason::RateLimited);
}

#[tokio::test]
async fn one_realms_requests_are_not_counted_in_another() {
    let main = Realm { source_limits: rates(&["1/min"]), ..realm() };
    let stage = Stage::with(settings(), main.clone()).await;
    let secret = stage.orders().await;
    let other = Realm { name: "other".parse().unwrap(), ..main.clone() };
    stage.engine.reconfigure(vec![main, other.clone()]).await.unwrap();
    let elsewhere = stage.engine.realm(&other.name).unwrap();
    let caller = Caller::from(IpAddr::from([192, 0, 2, 1]));
    let asked = || TokenRequest {
        credentials: Credentials::None,
        scope: None,
        audiences: Default::default(),
    };
    for expected in [Reason::AuthenticationMissing, Reason::SourceLimited] {
        let decision = stage.engine.decide(&elsewhere, &terms(), caller, Ok(&asked())).await;
        assert_eq!(crate::stage::reason(&decision), expected);
    }
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
}
