//! An assertion is accepted once: by whichever server, across restarts, for as long as it would be
//! accepted at all.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::engine::{Parts, Settings};
use jeton_engine::error::Reason;
use jeton_engine::jose::Algorithm;
use jeton_engine::rate::Rates;
use jeton_engine::store::Horizon;
use jeton_store::{Location, SqliteSettings, SqliteStore};
use serde_json::{Value, json};

use crate::asserting::{Beside, Signer, claims, claims_with, signing, stage};
use crate::stage::{START, Stage, fault, realm, reason, settings, terms, time};

fn numbered(number: usize) -> Value {
    claims_with(&json!({ "jti": format!("number {number}") }))
}

/// The same assertion to both at the same instant, two hundred times.
async fn race(one: Stage, two: Stage, signer: &Signer) {
    const ROUNDS: usize = 200;
    let (one, two) = (Arc::new(one), Arc::new(two));
    for number in 0..ROUNDS {
        let assertion = Arc::new(signer.sign(&numbered(number)));
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let tasks = [&one, &two].map(|stage| {
            let (stage, assertion) = (Arc::clone(stage), Arc::clone(&assertion));
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                stage.present(&assertion).await
            })
        });
        let mut accepted = 0;
        for task in tasks {
            let decision = task.await.unwrap();
            match &decision.outcome {
                Ok(_) => accepted += 1,
                Err(_) => assert_eq!(reason(&decision), Reason::AssertionReplayed),
            }
        }
        assert_eq!(accepted, 1, "round {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_servers_on_one_store_exactly_one_accepts_an_assertion() {
    let (one, signer) = stage().await;
    let two = one.another().await;
    race(one, two, &signer).await;
}

/// A server of its own on the database in this file, as another process would have it.
async fn on_file(path: &Path) -> (Stage, Arc<SqliteStore>) {
    let place = Location::File(path.to_owned());
    let store = SqliteStore::open(&place, SqliteSettings::default()).unwrap();
    let parts = Parts { store: store.clone(), ..Stage::new().await.parts };
    (Stage::on(parts, realm()).await, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_servers_with_stores_of_their_own_on_one_file_exactly_one_accepts_an_assertion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jeton.db");
    let signer = Signer::new(Algorithm::EdDsa);
    let (one, _) = on_file(&path).await;
    one.client(signing("orders", &[signer.jwk()])).await;
    let (two, _) = on_file(&path).await;
    race(one, two, &signer).await;
}

#[tokio::test]
async fn what_was_used_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jeton.db");
    let signer = Signer::new(Algorithm::EdDsa);
    let assertion = signer.sign(&claims());
    let (before, store) = on_file(&path).await;
    before.client(signing("orders", &[signer.jwk()])).await;
    before.accepted(&assertion).await;
    store.close().await;

    let (after, _) = on_file(&path).await;
    assert_eq!(after.rejected(&assertion).await, Reason::AssertionReplayed);
    after.accepted(&signer.sign(&numbered(2))).await;
}

/// Every second from the first use until long after: never accepted again, whatever was removed.
#[tokio::test]
async fn a_used_assertion_is_refused_until_the_end_of_time() {
    let (stage, signer) = stage().await;
    let assertion = signer.sign(&claims());
    stage.accepted(&assertion).await;
    for second in 1..=200 {
        stage.pass_seconds(1);
        let now = stage.parts.clock.now();
        // As the server does it in the background, at its most eager.
        let horizon = Horizon { tokens: now, events: now, spent: now };
        stage.store().remove_expired(&horizon, 1000).await.unwrap();
        let expected = match second {
            0..70 => Reason::AssertionReplayed,
            _ => Reason::AssertionExpired,
        };
        assert_eq!(stage.rejected(&assertion).await, expected, "after {second} s");
    }
}

/// Two servers whose clocks differ by the leeway, in either direction.
#[tokio::test]
async fn clocks_that_differ_do_not_bring_an_assertion_back() {
    let (stage, signer) = stage().await;
    for (first, second) in [(0, 10), (10, 0)] {
        let assertion = signer.sign(&claims_with(&json!({ "jti": format!("{first}") })));
        stage.parts.clock.set(time(59 + first));
        stage.accepted(&assertion).await;
        for later in 0..30 {
            stage.parts.clock.set(time(59 + second + later));
            let refused = stage.rejected(&assertion).await;
            assert!(
                [Reason::AssertionReplayed, Reason::AssertionExpired].contains(&refused),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_leeway_that_is_made_greater_does_not_bring_an_assertion_back() {
    let (mut stage, signer) = stage().await;
    let assertion = signer.sign(&claims());
    stage.accepted(&assertion).await;
    stage.reconfigure(|realm| realm.proving.assertions.leeway = Duration::from_secs(60)).await;
    for second in [69, 70, 71, 119] {
        stage.parts.clock.set(time(second));
        assert_eq!(stage.rejected(&assertion).await, Reason::AssertionReplayed, "after {second} s");
    }
    stage.parts.clock.set(time(120));
    assert_eq!(stage.rejected(&assertion).await, Reason::AssertionExpired);
}

#[tokio::test]
async fn the_same_identifier_belongs_to_each_client_by_itself() {
    let (stage, signer) = stage().await;
    let other = Signer::new(Algorithm::Es256);
    stage.client(signing("other", &[other.jwk()])).await;
    stage.accepted(&signer.sign(&claims())).await;
    stage.accepted(&other.sign(&claims_with(&json!({ "iss": "other", "sub": "other" })))).await;
    // Another assertion, the same identifier.
    let again = signer.sign(&claims_with(&json!({ "exp": START + 61 })));
    assert_eq!(stage.rejected(&again).await, Reason::AssertionReplayed);
}

#[tokio::test]
async fn a_refused_request_uses_nothing_up() {
    let (mut stage, signer) = stage().await;
    let assertion = signer.sign(&claims());
    let hour = |limit: &str| Some(Rates::new(vec![limit.parse().unwrap()]).unwrap());
    stage.reconfigure(|realm| realm.client_limits = hour("1/h")).await;
    stage.accepted(&signer.sign(&numbered(1))).await;
    assert_eq!(stage.rejected(&assertion).await, Reason::RateLimited);
    stage.reconfigure(|realm| realm.client_limits = None).await;
    stage.accepted(&assertion).await;
    assert_eq!(stage.rejected(&assertion).await, Reason::AssertionReplayed);
}

#[tokio::test]
async fn at_introspection_and_revocation_an_assertion_is_used_up_as_well() {
    let (stage, signer) = stage().await;
    let assertion = signer.sign(&claims());
    stage.ask_by(&assertion).await.outcome.unwrap();
    assert_eq!(reason(&stage.ask_by(&assertion).await), Reason::AssertionReplayed);
    assert_eq!(stage.rejected(&assertion).await, Reason::AssertionReplayed);
}

#[tokio::test]
async fn replays_are_guesses_of_their_source_and_never_of_the_client() {
    let settings = Settings {
        guesses_free: 3,
        guesses_per_second: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm()).await;
    let signer = Signer::new(Algorithm::EdDsa);
    stage.client(signing("orders", &[signer.jwk()])).await;
    let used = signer.sign(&claims());
    stage.accepted(&used).await;
    let thief = Beside { source: "198.51.100.7", ..Beside::default() };
    for _ in 0..3 {
        let decision = stage.present_with(&terms(), thief, &used).await;
        assert_eq!(reason(&decision), Reason::AssertionReplayed);
    }
    let decision = stage.present_with(&terms(), thief, &used).await;
    assert_eq!(reason(&decision), Reason::SourceSlowed);
    for number in 0..10 {
        stage.accepted(&signer.sign(&numbered(number))).await;
    }
}

#[tokio::test]
async fn without_the_store_no_assertion_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, store) = on_file(&folder.path().join("jeton.db")).await;
    let signer = Signer::new(Algorithm::EdDsa);
    stage.client(signing("orders", &[signer.jwk()])).await;
    store.close().await;
    let decision = stage.present(&signer.sign(&claims())).await;
    fault(&decision);
}

/// A flood of rows that nobody needs any more goes as what else has expired does.
#[tokio::test]
async fn what_was_used_is_forgotten_when_it_is_too_old_to_come_again() {
    let (stage, signer) = stage().await;
    for number in 0..20 {
        stage.accepted(&signer.sign(&numbered(number))).await;
    }
    let removed = async |seconds: i64| {
        let at = time(seconds);
        let horizon = Horizon { tokens: time(0), events: time(0), spent: at };
        stage.store().remove_expired(&horizon, 1000).await.unwrap()
    };
    // exp, the leeway, and a minute.
    assert_eq!(removed(130).await, 0);
    assert_eq!(removed(131).await, 20);
}
