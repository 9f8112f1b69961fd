//! Who may ask about whose tokens.

use jeton_engine::client::{ClientRole, ClientStatus};
use jeton_engine::error::Reason;
use jeton_engine::manage::NewClient;

use crate::stage::{Ask, Stage, id, main, named, reason, terms};

#[tokio::test]
async fn a_resource_server_sees_every_token_and_a_client_only_its_own() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    let server = NewClient { role: ClientRole::ResourceServer, ..named("server") };
    let server = stage.client(server).await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret).scope("read")).await;

    for (caller, secret, sees) in
        [("orders", &secret, true), ("server", &server, true), ("other", &other, false)]
    {
        let answer = stage.introspect(&Ask::new(caller, secret), &token).await.outcome.unwrap();
        assert_eq!(answer.caller.id, id(caller));
        assert_eq!(answer.token.is_some(), sees, "{caller}");
        let unknown = stage.introspect(&Ask::new(caller, secret), "jt_unknown").await;
        assert!(unknown.outcome.unwrap().token.is_none(), "{caller}");
    }
    stage.pass_seconds(3600);
    let answer = stage.introspect(&Ask::new("server", &server), &token).await;
    assert!(answer.outcome.unwrap().token.is_none(), "expired");
}

#[tokio::test]
async fn who_does_not_prove_who_it_is_learns_nothing() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    let answer = stage.introspect(&Ask::new("orders", "wrong"), &token).await;
    assert_eq!(reason(&answer), Reason::SecretWrong);
    let answer = stage.introspect(&Ask::new("nobody", &secret), &token).await;
    assert_eq!(reason(&answer), Reason::ClientUnknown);
    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    let answer = stage.introspect(&Ask::new("orders", &secret), &token).await;
    assert_eq!(reason(&answer), Reason::ClientDisabled);
}
