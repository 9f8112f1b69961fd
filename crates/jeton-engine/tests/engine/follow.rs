//! Two servers on one store: what one is told, the other obeys.

use jeton_engine::client::ClientStatus;
use jeton_engine::engine::{Engine, Parts};
use jeton_engine::error::{Fault, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::Manage;
use jeton_engine::terms::TokenShape;

use crate::stage::{Ask, Stage, fault, id, main, orders, realm_of, settings, stated_terms, terms};

#[tokio::test]
async fn disabling_enabling_and_deleting_is_obeyed_by_every_server() {
    let stage = Stage::new().await;
    let other = stage.another().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    assert_eq!(other.refused(&terms(), &ask).await, Reason::ClientUnknown, "not heard of yet");
    other.follow().await;
    let token = other.token(&terms(), &ask).await;
    assert!(other.holds(&token).await && stage.holds(&token).await);

    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    other.follow().await;
    assert_eq!(other.refused(&terms(), &ask).await, Reason::ClientDisabled);
    assert!(!other.holds(&token).await);
    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Enabled).await.unwrap();
    other.follow().await;
    assert!(other.ask(&terms(), &ask).await.outcome.is_ok());
    assert!(other.holds(&token).await);
    stage.delete("orders").await;
    other.follow().await;
    assert_eq!(other.refused(&terms(), &ask).await, Reason::ClientUnknown);
    assert!(!other.holds(&token).await);
}

#[tokio::test]
async fn a_key_that_is_imported_signs_everywhere_and_its_tokens_hold_everywhere() {
    let stage = Stage::new().await;
    let other = stage.another().await;
    let secret = stage.orders().await;
    other.follow().await;
    let ask = Ask::new("orders", &secret);
    let decision = other.ask(&stated_terms(), &ask).await;
    assert!(matches!(fault(&decision), Fault::NoKey { .. }));
    stage.import_shared(None).await;
    other.follow().await;
    let token = other.token(&stated_terms(), &ask).await;
    assert!(stage.holds(&token).await);
}

#[tokio::test]
async fn a_revoked_token_holds_on_no_server() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let other = stage.another().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    assert!(other.holds(&token).await, "and now it remembers");
    stage.revoke(&ask, &token).await.outcome.unwrap();
    assert!(!stage.holds(&token).await);
    other.follow().await;
    assert!(!other.holds(&token).await);
    assert!(!stage.another().await.holds(&token).await);
}

#[tokio::test]
async fn a_revocation_by_an_operator_is_heard_of() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    let says = stage.check(&token).await.unwrap().says;
    let token_id = says.id.as_deref().unwrap().parse().unwrap();
    stage.manage().revoke_token(&main(), &token_id).await.unwrap();
    stage.follow().await;
    assert!(!stage.holds(&token).await);
}

#[tokio::test]
async fn a_key_under_another_master_key_keeps_nobody_from_hearing_the_rest() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    // Somebody ran a command with another master key, in a realm that had no key to tell by.
    let parts = Parts { master_key: "cd".repeat(32).parse().unwrap(), ..stage.parts.clone() };
    let wrong = Manage::new(parts);
    wrong.create_key(&main(), Algorithm::EdDsa, None).await.unwrap();
    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    assert!(stage.engine.take_changes().await.is_err(), "and the server says so");
    assert_eq!(stage.refused(&terms(), &ask).await, Reason::ClientDisabled);
    assert!(!stage.holds(&token).await);

    let bad = stage.manage().keys(&main()).await.unwrap().remove(0);
    for _ in 0..2 {
        stage.manage().retire_key(&main(), &bad.id).await.unwrap();
    }
    stage.follow().await;
}

#[tokio::test]
async fn a_command_with_another_master_key_adds_no_key_beside_those_of_this_one() {
    let stage = Stage::new().await;
    stage.import_shared(None).await;
    let parts = Parts { master_key: "cd".repeat(32).parse().unwrap(), ..stage.parts.clone() };
    let wrong = Manage::new(parts);
    assert!(wrong.create_key(&main(), Algorithm::EdDsa, None).await.is_err());
    assert_eq!(stage.manage().keys(&main()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_with_another_master_key_does_not_open() {
    let stage = Stage::with(settings(), realm_of(TokenShape::Sealed)).await;
    stage.client(orders()).await;
    stage.import_shared(None).await;
    let parts = Parts { master_key: "cd".repeat(32).parse().unwrap(), ..stage.parts.clone() };
    let opened = Engine::open(parts, vec![stage.realm.clone()]).await;
    let Err(Fault::Store(text)) = opened.map(drop) else { panic!("it opened") };
    assert!(text.contains("master key"), "{text}");
    assert!(Engine::open(stage.parts.clone(), vec![stage.realm.clone()]).await.is_ok());
}
