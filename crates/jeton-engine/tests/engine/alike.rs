//! What must look and cost the same to somebody who guesses.

use std::time::Duration;

use jeton_engine::client::{ClientStatus, Lock};
use jeton_engine::error::{Kind, Reason};
use jeton_engine::manage::{NewClient, NewSecret, Rotation};
use jeton_engine::request::AuthenticationMethod;

use crate::stage::{Ask, SUPPLIED, Stage, id, kind, main, named, reason, supplied, terms, time};

/// A realm in which every kind of client is refused.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    let new = |client: &str| NewClient { secret: supplied(SUPPLIED), ..named(client) };
    for client in ["good", "locked", "disabled", "expired"] {
        stage.client(new(client)).await;
    }
    stage.client(NewClient { secret: NewSecret::None, ..named("none") }).await;
    stage.client(named("generated")).await;
    let basic = vec![AuthenticationMethod::ClientSecretBasic];
    stage.client(NewClient { authentication: basic, ..new("method") }).await;
    let elsewhere = vec!["198.51.100.0/24".parse().unwrap()];
    stage.client(NewClient { networks: elsewhere, ..new("elsewhere") }).await;

    let manage = stage.manage();
    manage.lock_client(&main(), &id("locked"), Lock::UntilUnlocked).await.unwrap();
    manage.set_status(&main(), &id("disabled"), ClientStatus::Disabled).await.unwrap();
    let rotation = Rotation {
        secret: supplied("second"),
        grace: Some(Duration::from_secs(1)),
        ..Rotation::default()
    };
    // Its first secret expires, so that two are kept: the most that any client has.
    manage.rotate_secret(&main(), &id("expired"), rotation).await.unwrap();
    stage.pass_seconds(1);
    stage.follow().await;
    stage
}

#[tokio::test]
async fn whatever_is_wrong_the_same_number_of_slow_hashes_is_run() {
    let stage = stage().await;
    let cases = [
        ("nobody", SUPPLIED, Reason::ClientUnknown),
        ("good", "wrong", Reason::SecretWrong),
        ("good", "", Reason::SecretWrong),
        ("none", "wrong", Reason::SecretsNone),
        ("generated", "wrong", Reason::SecretWrong),
        ("locked", "wrong", Reason::SecretWrong),
        ("locked", SUPPLIED, Reason::ClientLocked),
        ("expired", "wrong", Reason::SecretWrong),
        ("expired", SUPPLIED, Reason::SecretExpired),
        ("method", "wrong", Reason::SecretWrong),
        ("method", SUPPLIED, Reason::AuthenticationMethod),
        ("disabled", "wrong", Reason::SecretWrong),
        ("disabled", SUPPLIED, Reason::ClientDisabled),
        ("elsewhere", SUPPLIED, Reason::SourceNotAllowed),
    ];
    // Twice, because the second time something might be remembered.
    for (client, secret, expected) in cases.iter().chain(&cases) {
        let before = stage.engine.slow_hashes();
        let decision = stage.ask(&terms(), &Ask::new(client, secret)).await;
        assert_eq!(reason(&decision), *expected, "{client}");
        assert_eq!(stage.engine.slow_hashes() - before, 2, "{client} {secret}");
        let proved = [Reason::ClientDisabled, Reason::SourceNotAllowed].contains(expected);
        assert_eq!(kind(&decision) == Kind::InvalidClient, !proved, "{client}");
    }
}

#[tokio::test]
async fn two_readings_cost_twice_for_a_client_that_is_not_there_as_well() {
    let stage = stage().await;
    for client in ["good", "nobody"] {
        let before = stage.engine.slow_hashes();
        stage.refused(&terms(), &Ask::basic(&[(client, "a b"), (client, "a+b")])).await;
        assert_eq!(stage.engine.slow_hashes() - before, 4, "{client}");
    }
}

#[tokio::test]
async fn refusals_of_unknown_wrong_and_locked_say_the_same() {
    let stage = stage().await;
    let mut answers = Vec::new();
    for (client, secret) in [("nobody", "x"), ("good", "x"), ("locked", SUPPLIED)] {
        let decision = stage.ask(&terms(), &Ask::new(client, secret)).await;
        assert_eq!(decision.at, time(1));
        let error = decision.outcome.unwrap_err();
        answers.push((error.kind(), error.kind().message(), error.retry_after()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}
