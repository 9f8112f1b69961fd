//! When wrong guesses lock an account, and when it opens again.

use std::num::NonZeroU32;
use std::time::Duration;

use jeton_engine::client::Lock;
use jeton_engine::error::{Kind, Reason};
use jeton_engine::manage::ClientChange;
use jeton_engine::terms::{Lockout, Terms};

use crate::stage::{Ask, Stage, id, kind, main, named, reason, terms, time};

/// Three wrong secrets in a minute lock for ten.
fn locking() -> Terms {
    let lockout = Lockout {
        failures: NonZeroU32::new(3).unwrap(),
        within: Duration::from_secs(60),
        duration: Some(Duration::from_secs(600)),
    };
    Terms { lockout: Some(lockout), ..terms() }
}

fn locking_for_good() -> Terms {
    let locking = locking();
    let lockout = locking.lockout.map(|lockout| Lockout { duration: None, ..lockout });
    Terms { lockout, ..locking }
}

async fn guess_wrong(stage: &Stage, terms: &Terms, times: usize) {
    for _ in 0..times {
        let refused = stage.refused(terms, &Ask::new("orders", "wrong")).await;
        assert_eq!(refused, Reason::SecretWrong);
    }
}

/// Waits until the store has heard of the lock: it is told beside the request.
async fn kept_lock(stage: &Stage) -> Lock {
    for _ in 0..10_000 {
        let lock = stage.kept("orders").await.lock;
        if lock != Lock::Open {
            return lock;
        }
        tokio::task::yield_now().await;
    }
    panic!("the lock was never kept");
}

#[tokio::test]
async fn the_account_locks_after_so_many_and_opens_when_its_time_is_over() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let right = Ask::new("orders", &secret);
    guess_wrong(&stage, &locking(), 2).await;
    assert!(stage.ask(&locking(), &right).await.outcome.is_ok(), "not yet, and they are forgotten");
    guess_wrong(&stage, &locking(), 2).await;
    assert!(stage.ask(&locking(), &right).await.outcome.is_ok());

    guess_wrong(&stage, &locking(), 3).await;
    let decision = stage.ask(&locking(), &right).await;
    assert_eq!((reason(&decision), kind(&decision)), (Reason::ClientLocked, Kind::InvalidClient));
    assert_eq!(kept_lock(&stage).await, Lock::Until(time(600)));
    stage.follow().await;
    assert_eq!(stage.refused(&locking(), &right).await, Reason::ClientLocked);
    assert_eq!(stage.refused(&terms(), &right).await, Reason::ClientLocked, "at every mount");

    stage.pass_seconds(599);
    assert_eq!(stage.refused(&locking(), &right).await, Reason::ClientLocked);
    stage.pass_seconds(1);
    assert!(stage.ask(&locking(), &right).await.outcome.is_ok());
}

#[tokio::test]
async fn wrong_guesses_at_a_locked_account_do_not_lock_it_for_longer() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    guess_wrong(&stage, &locking(), 3).await;
    kept_lock(&stage).await;
    stage.follow().await;
    stage.pass_seconds(590);
    guess_wrong(&stage, &locking(), 5).await;
    stage.pass_seconds(10);
    assert!(stage.ask(&locking(), &Ask::new("orders", &secret)).await.outcome.is_ok());
}

#[tokio::test]
async fn an_operator_unlocks_it_at_once() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    guess_wrong(&stage, &locking_for_good(), 3).await;
    assert_eq!(kept_lock(&stage).await, Lock::UntilUnlocked);
    stage.follow().await;
    stage.pass_seconds(1_000_000);
    let right = Ask::new("orders", &secret);
    assert_eq!(stage.refused(&locking_for_good(), &right).await, Reason::ClientLocked);
    stage.manage().unlock_client(&main(), &id("orders")).await.unwrap();
    stage.follow().await;
    assert!(stage.ask(&locking_for_good(), &right).await.outcome.is_ok());
    assert_eq!(stage.kept("orders").await.lock, Lock::Open);
}

#[tokio::test]
async fn guesses_count_for_as_long_as_the_dialect_says_and_not_longer() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let right = Ask::new("orders", &secret);
    guess_wrong(&stage, &locking(), 1).await;
    stage.pass_seconds(30);
    guess_wrong(&stage, &locking(), 1).await;
    stage.pass_seconds(31);
    // The first no longer counts, the second does.
    guess_wrong(&stage, &locking(), 1).await;
    assert_eq!(stage.kept("orders").await.lock, Lock::Open);
    stage.pass_seconds(29);
    guess_wrong(&stage, &locking(), 1).await;
    assert_eq!(stage.refused(&locking(), &right).await, Reason::ClientLocked);
}

#[tokio::test]
async fn only_wrong_secrets_of_a_client_that_is_there_count_and_only_against_it() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    stage.client(named("other")).await;
    for _ in 0..5 {
        stage.refused(&locking(), &Ask::new("other", "wrong")).await;
        stage.refused(&locking(), &Ask::new("nobody", "wrong")).await;
        let admin = Ask::new("orders", &secret).scope("admin");
        assert_eq!(stage.refused(&locking(), &admin).await, Reason::ScopeNotGranted);
    }
    assert!(stage.ask(&locking(), &Ask::new("orders", &secret)).await.outcome.is_ok());
}

#[tokio::test]
async fn where_the_dialect_locks_nobody_nobody_is_locked() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    guess_wrong(&stage, &terms(), 50).await;
    assert!(stage.ask(&terms(), &Ask::new("orders", &secret)).await.outcome.is_ok());
}

#[tokio::test]
async fn a_lock_survives_changes_and_restarts_but_not_the_client() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    guess_wrong(&stage, &locking(), 3).await;
    kept_lock(&stage).await;
    let change = ClientChange { name: Some(Some("Orders".to_owned())), ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), change).await.unwrap();
    stage.follow().await;
    let right = Ask::new("orders", &secret);
    assert_eq!(stage.refused(&locking(), &right).await, Reason::ClientLocked);
    assert_eq!(stage.another().await.refused(&locking(), &right).await, Reason::ClientLocked);

    stage.manage().delete_client(&main(), &id("orders")).await.unwrap();
    stage.pass_seconds(1);
    let secret = stage.orders().await;
    assert!(stage.ask(&locking(), &Ask::new("orders", &secret)).await.outcome.is_ok());
}
