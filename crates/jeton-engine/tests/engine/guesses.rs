//! Wrong guesses slow their source down, and nobody else.

use std::task::{Context, Waker};
use std::time::Duration;

use jeton_engine::engine::Settings;
use jeton_engine::error::{Error, Reason};
use jeton_engine::terms::TokenShape;

use crate::stage::{Ask, Stage, named, realm, realm_of, settings, terms};

/// Three guesses are free, then one a second; nobody waits.
async fn stage() -> Stage {
    let settings = Settings {
        guesses_free: 3,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    Stage::with(settings, realm()).await
}

async fn guess_until_slowed(stage: &Stage, client: &str, source: &str) -> usize {
    let ask = Ask::new(client, "wrong").from(source);
    for guesses in 0..100 {
        if stage.refused(&terms(), &ask).await == Reason::SourceSlowed {
            return guesses;
        }
    }
    panic!("never slowed");
}

#[tokio::test]
async fn a_source_that_guesses_wrong_is_refused_unread_until_its_time_has_come() {
    let stage = stage().await;
    let secret = stage.orders().await;
    assert_eq!(guess_until_slowed(&stage, "orders", "192.0.2.7").await, 3);
    let right = Ask::new("orders", &secret).from("192.0.2.7");
    let Err(Error::Refusal(refusal)) = stage.ask(&terms(), &right).await.outcome else {
        panic!("not refused")
    };
    assert_eq!(refusal.reason, Reason::SourceSlowed);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(1)));
    assert!(refusal.client_id.is_none());

    stage.issued(&terms(), &Ask::new("orders", &secret).from("192.0.2.8")).await;
    stage.pass_seconds(1);
    stage.issued(&terms(), &right).await;
}

#[tokio::test]
async fn guesses_at_clients_that_are_not_there_count_as_well() {
    let stage = stage().await;
    stage.orders().await;
    let source = "2001:db8::1";
    stage.refused(&terms(), &Ask::new("nobody", "x").from(source)).await;
    stage.refused(&terms(), &Ask::new("nobody else", "x").from("2001:db8::2")).await;
    assert_eq!(guess_until_slowed(&stage, "orders", "2001:db8::3").await, 1, "one /64");
}

#[tokio::test]
async fn a_good_client_is_not_slowed_by_its_neighbour_at_the_same_address() {
    let stage = stage().await;
    let secret = stage.orders().await;
    let good = Ask::new("orders", &secret).from("192.0.2.7");
    stage.issued(&terms(), &good).await;
    guess_until_slowed(&stage, "other", "192.0.2.7").await;
    for _ in 0..10 {
        stage.issued(&terms(), &good).await;
    }
    let elsewhere = Ask::new("orders", &secret).from("192.0.2.8");
    stage.issued(&terms(), &elsewhere).await;
    // It was right from there last: here it is one of many again.
    assert_eq!(stage.refused(&terms(), &good).await, Reason::SourceSlowed);
}

#[tokio::test]
async fn guesses_at_a_good_client_from_its_own_address_slow_only_that_client() {
    let stage = stage().await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
    assert_eq!(guess_until_slowed(&stage, "orders", "192.0.2.1").await, 3);
    assert_eq!(stage.refused(&terms(), &Ask::new("orders", &secret)).await, Reason::SourceSlowed);
    stage.issued(&terms(), &Ask::new("other", &other)).await;
}

#[tokio::test]
async fn the_loopback_address_of_ipv6_is_a_source_like_any_other() {
    let stage = stage().await;
    stage.orders().await;
    stage.client(named("other")).await;
    assert_eq!(guess_until_slowed(&stage, "orders", "::1").await, 3);
    let refused = stage.refused(&terms(), &Ask::new("other", "wrong").from("::1")).await;
    assert_eq!(refused, Reason::SourceSlowed, "not three more for every client");
}

#[tokio::test]
async fn a_right_secret_that_may_not_enter_costs_as_much_as_a_wrong_one() {
    let stage = stage().await;
    let secret = stage.orders().await;
    let manage = stage.manage();
    let id = crate::stage::id("orders");
    let lock = jeton_engine::client::Lock::UntilUnlocked;
    manage.lock_client(&stage.realm.name, &id, lock).await.unwrap();
    stage.follow().await;
    let right = Ask::new("orders", &secret);
    for _ in 0..3 {
        assert_eq!(stage.refused(&terms(), &right).await, Reason::ClientLocked);
    }
    assert_eq!(stage.refused(&terms(), &right).await, Reason::SourceSlowed);
}

#[tokio::test]
async fn hanging_up_before_the_answer_does_not_save_a_guess() {
    let settings = Settings {
        argon2_memory_kib: 8 * 1024,
        guesses_free: 3,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm()).await;
    stage.orders_supplied().await;
    for _ in 0..3 {
        let (terms, ask) = (terms(), Ask::new("orders", "wrong"));
        let mut asking = std::pin::pin!(stage.ask(&terms, &ask));
        // The slow hash runs elsewhere, so the first look never finds an answer.
        let looked = asking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(looked.is_pending());
    }
    let refused = stage.refused(&terms(), &Ask::new("orders", "wrong")).await;
    assert_eq!(refused, Reason::SourceSlowed);
}

#[tokio::test(start_paused = true)]
async fn a_slowed_source_waits_where_waiting_is_short_and_hears_what_it_would_have_heard() {
    let settings = Settings {
        guesses_free: 1,
        guesses_per_second: 1,
        guess_wait_max: Duration::from_secs(2),
        ..settings()
    };
    let stage = Stage::with(settings, realm_of(TokenShape::Sealed)).await;
    let secret = stage.orders().await;
    let began = tokio::time::Instant::now();
    let wrong = Ask::new("orders", "wrong");
    assert_eq!(stage.refused(&terms(), &wrong).await, Reason::SecretWrong);
    assert_eq!(stage.refused(&terms(), &wrong).await, Reason::SecretWrong);
    assert!(began.elapsed() >= Duration::from_secs(1));
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
    assert!(began.elapsed() >= Duration::from_secs(3), "who is right waits as long");
}
