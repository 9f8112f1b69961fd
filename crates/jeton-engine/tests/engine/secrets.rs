//! Which secrets are right, for how long, and in which way they may be presented.

use std::time::Duration;

use jeton_engine::client::Client;
use jeton_engine::error::{Fault, Reason};
use jeton_engine::manage::{ClientChange, NewClient, NewSecret, Rotation};
use jeton_engine::request::AuthenticationMethod;

use crate::stage::{
    Ask, SUPPLIED, Stage, fault, id, main, named, orders, realm, settings, supplied, terms, time,
};

#[tokio::test]
async fn a_generated_secret_is_right_and_any_other_is_wrong() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    assert_eq!(secret.len(), 47);
    assert!(stage.ask(&terms(), &Ask::new("orders", &secret)).await.outcome.is_ok());
    let (upper, longer) = (secret.to_uppercase(), format!("{secret} "));
    let shorter = secret.strip_suffix(|_: char| true).unwrap();
    for wrong in ["", " ", "jts_", &upper, &longer, shorter] {
        let refused = stage.refused(&terms(), &Ask::new("orders", wrong)).await;
        assert_eq!(refused, Reason::SecretWrong, "{wrong}");
    }
    let refused = stage.refused(&terms(), &Ask::new("Orders", &secret)).await;
    assert_eq!(refused, Reason::ClientUnknown);
    assert_eq!(stage.engine.slow_hashes(), 0, "nobody's secret is hashed slowly here");
}

#[tokio::test]
async fn a_supplied_secret_is_hashed_slowly_once_and_remembered() {
    let stage = Stage::new().await;
    stage.orders_supplied().await;
    let ask = Ask::new("orders", SUPPLIED);
    for _ in 0..5 {
        stage.issued(&terms(), &ask).await;
        assert_eq!(stage.engine.slow_hashes(), 1);
    }
    assert_eq!(stage.refused(&terms(), &Ask::new("orders", "wrong")).await, Reason::SecretWrong);
    assert_eq!(stage.engine.slow_hashes(), 2, "a wrong one never is");
    stage.pass_seconds(299);
    stage.issued(&terms(), &ask).await;
    assert_eq!(stage.engine.slow_hashes(), 2);
    stage.pass_seconds(1);
    stage.issued(&terms(), &ask).await;
    assert_eq!(stage.engine.slow_hashes(), 3, "not for ever");
    assert!(!format!("{:?}", stage.kept("orders").await).contains("argon2id"));
}

#[tokio::test]
async fn what_is_remembered_goes_when_the_client_changes() {
    let stage = Stage::new().await;
    stage.orders_supplied().await;
    let ask = Ask::new("orders", SUPPLIED);
    stage.issued(&terms(), &ask).await;
    let change = ClientChange { name: Some(Some("Orders".to_owned())), ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), change).await.unwrap();
    stage.follow().await;
    stage.issued(&terms(), &ask).await;
    assert_eq!(stage.engine.slow_hashes(), 2);
    stage.manage().revoke_secrets(&main(), &id("orders"), None).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::SecretsNone);
}

#[tokio::test]
async fn a_client_made_again_does_not_know_the_old_ones_secret() {
    let stage = Stage::new().await;
    stage.orders_supplied().await;
    let ask = Ask::new("orders", SUPPLIED);
    stage.issued(&terms(), &ask).await;
    // Both acts are heard of at once, and the new client has the old one's revision and moment.
    stage.manage().delete_client(&main(), &id("orders")).await.unwrap();
    stage.client(NewClient { secret: supplied("another secret"), ..orders() }).await;
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::SecretWrong);
    stage.issued(&terms(), &Ask::new("orders", "another secret")).await;
}

#[tokio::test]
async fn when_too_many_wait_for_a_slow_hash_the_caller_hears_so_and_pays_nothing() {
    let settings = jeton_engine::engine::Settings {
        argon2_waiting_max: 0,
        guesses_free: 1,
        guess_wait_max: Duration::ZERO,
        ..settings()
    };
    let stage = Stage::with(settings, realm()).await;
    stage.orders_supplied().await;
    let secret = stage.client(named("generated")).await;
    for _ in 0..3 {
        let decision = stage.ask(&terms(), &Ask::new("orders", SUPPLIED)).await;
        assert_eq!(fault(&decision), &Fault::Overloaded);
        assert_eq!(decision.outcome.unwrap_err().retry_after(), Some(Duration::from_secs(1)));
    }
    stage.issued(&terms(), &Ask::new("generated", &secret)).await;
}

#[tokio::test]
async fn every_one_of_several_secrets_is_right_until_it_expires_or_is_revoked() {
    let stage = Stage::new().await;
    let first = stage.orders().await;
    let rotation =
        Rotation { secret: supplied(SUPPLIED), expires_at: Some(time(100)), ..Rotation::default() };
    stage.manage().rotate_secret(&main(), &id("orders"), rotation).await.unwrap();
    stage.follow().await;
    stage.issued(&terms(), &Ask::new("orders", &first)).await;
    stage.issued(&terms(), &Ask::new("orders", SUPPLIED)).await;

    stage.pass_seconds(99);
    stage.issued(&terms(), &Ask::new("orders", SUPPLIED)).await;
    stage.pass_seconds(1);
    let refused = stage.refused(&terms(), &Ask::new("orders", SUPPLIED)).await;
    assert_eq!(refused, Reason::SecretExpired);

    let generated = stage.kept("orders").await.secrets[0].id.clone();
    let gone = stage.manage().revoke_secrets(&main(), &id("orders"), Some(&generated)).await;
    assert_eq!(gone, Ok(1));
    stage.follow().await;
    let refused = stage.refused(&terms(), &Ask::new("orders", &first)).await;
    assert_eq!(refused, Reason::SecretWrong);
}

#[tokio::test]
async fn the_old_secret_is_right_for_its_grace_and_not_a_moment_longer() {
    let stage = Stage::new().await;
    let old = stage.orders().await;
    let rotation = Rotation { grace: Some(Duration::from_secs(60)), ..Rotation::default() };
    let (_, made) = stage.manage().rotate_secret(&main(), &id("orders"), rotation).await.unwrap();
    let new = made.generated.unwrap();
    stage.follow().await;
    stage.pass_seconds(59);
    stage.issued(&terms(), &Ask::new("orders", &old)).await;
    stage.issued(&terms(), &Ask::new("orders", &new)).await;
    stage.pass_seconds(1);
    assert_eq!(stage.refused(&terms(), &Ask::new("orders", &old)).await, Reason::SecretExpired);
    stage.issued(&terms(), &Ask::new("orders", &new)).await;

    let rotation = Rotation { grace: Some(Duration::ZERO), ..Rotation::default() };
    stage.manage().rotate_secret(&main(), &id("orders"), rotation).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.refused(&terms(), &Ask::new("orders", &new)).await, Reason::SecretWrong);
}

#[tokio::test]
async fn more_secrets_than_a_client_may_have_are_refused() {
    let stage = Stage::new().await;
    stage.orders().await;
    let manage = stage.manage();
    for _ in 1..Client::SECRETS_MAX {
        manage.rotate_secret(&main(), &id("orders"), Rotation::default()).await.unwrap();
    }
    assert!(manage.rotate_secret(&main(), &id("orders"), Rotation::default()).await.is_err());
    assert_eq!(stage.kept("orders").await.secrets.len(), Client::SECRETS_MAX);
}

#[tokio::test]
async fn the_last_use_of_a_secret_is_noted() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    stage.pass_seconds(5);
    stage.issued(&terms(), &Ask::new("orders", &secret)).await;
    stage.refused(&terms(), &Ask::new("orders", "wrong")).await;
    std::sync::Arc::clone(&stage.engine).upkeep(std::future::ready(())).await;
    let used = stage.kept("orders").await.secrets[0].last_used_at;
    assert_eq!(used, Some(time(5)));

    stage.pass_seconds(600);
    stage.refused(&terms(), &Ask::new("orders", "wrong")).await;
    std::sync::Arc::clone(&stage.engine).upkeep(std::future::ready(())).await;
    assert_eq!(stage.kept("orders").await.secrets[0].last_used_at, Some(time(5)));
}

#[tokio::test]
async fn of_more_uses_than_are_written_at_a_time_the_last_of_each_secret_stands() {
    const USES: i64 = 3000;
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    for _ in 0..USES {
        stage.pass_seconds(60);
        stage.issued(&terms(), &Ask::new("orders", &secret)).await;
    }
    std::sync::Arc::clone(&stage.engine).upkeep(std::future::ready(())).await;
    let used = stage.kept("orders").await.secrets[0].last_used_at;
    assert_eq!(used, Some(time(USES * 60)));
}

#[tokio::test]
async fn of_two_readings_the_first_that_names_a_client_decides() {
    let stage = Stage::new().await;
    stage.client(NewClient { secret: supplied("s+1"), ..named("a+b") }).await;
    // Only the raw reading names a client: some libraries do not encode.
    stage.issued(&terms(), &Ask::basic(&[("a b", "s 1"), ("a+b", "s+1")])).await;
    let refused = stage.refused(&terms(), &Ask::basic(&[("a b", "s+1"), ("c", "s+1")])).await;
    assert_eq!(refused, Reason::ClientUnknown);

    // Now both do: the decoded one is meant, and the other's secret is none of its own.
    stage.client(NewClient { secret: supplied("s 1"), ..named("a b") }).await;
    let issued = stage.issued(&terms(), &Ask::basic(&[("a b", "s 1"), ("a+b", "s+1")])).await;
    assert_eq!(issued.client.id, id("a b"));
    let both_wrong = Ask::basic(&[("a b", "wrong"), ("a+b", "s+1")]);
    assert_eq!(stage.refused(&terms(), &both_wrong).await, Reason::SecretWrong);
    let crossed = Ask::basic(&[("a b", "s+1"), ("a+b", "s 1")]);
    assert_eq!(stage.refused(&terms(), &crossed).await, Reason::SecretWrong);
}

#[tokio::test]
async fn of_one_client_either_reading_of_the_secret_is_right() {
    let stage = Stage::new().await;
    let hard = NewClient { secret: supplied("100%+x"), ..orders() };
    stage.client(hard).await;
    stage.issued(&terms(), &Ask::basic(&[("orders", "100% x"), ("orders", "100%+x")])).await;
    stage.issued(&terms(), &Ask::basic(&[("orders", "100%+x"), ("orders", "100%25%2Bx")])).await;
    let neither = Ask::basic(&[("orders", "100% x"), ("orders", "100%2Bx")]);
    assert_eq!(stage.refused(&terms(), &neither).await, Reason::SecretWrong);
}

#[tokio::test]
async fn a_client_authenticates_in_the_ways_it_is_registered_for() {
    let stage = Stage::new().await;
    let authentication = vec![AuthenticationMethod::ClientSecretBasic];
    let secret = stage.client(NewClient { authentication, ..orders() }).await;
    stage.issued(&terms(), &Ask::basic(&[("orders", &secret)])).await;
    let refused = stage.refused(&terms(), &Ask::new("orders", &secret)).await;
    assert_eq!(refused, Reason::AuthenticationMethod);
    let refused = stage.refused(&terms(), &Ask::new("orders", "wrong")).await;
    assert_eq!(refused, Reason::SecretWrong, "the way is told apart only after the secret");
}

#[tokio::test]
async fn a_client_without_a_secret_has_none_that_is_right() {
    let stage = Stage::new().await;
    stage.client(NewClient { secret: NewSecret::None, ..orders() }).await;
    for secret in ["", "orders", "null"] {
        let refused = stage.refused(&terms(), &Ask::new("orders", secret)).await;
        assert_eq!(refused, Reason::SecretsNone);
    }
}
