//! `client_secret_jwt`: a secret that never crosses the wire, kept encrypted and good for nothing
//! else.

use std::sync::Arc;
use std::time::Duration;

use jeton_engine::client::{Client, SecretDigest};
use jeton_engine::engine::Parts;
use jeton_engine::error::Reason;
use jeton_engine::manage::{ClientChange, ManageError, NewClient, NewSecret, Rotation};
use jeton_engine::request::AuthenticationMethod::{
    self, ClientSecretBasic, ClientSecretJwt, ClientSecretPost,
};
use serde_json::json;

use crate::asserting::{Signer, claims, claims_with};
use crate::stage::{Ask, START, Stage, id, main, orders, realm, supplied, terms, time};

const LONG: &str = "correct horse battery staple, and two more words";

fn by(authentication: &[AuthenticationMethod], secret: NewSecret) -> NewClient {
    NewClient { authentication: authentication.to_vec(), secret, ..orders() }
}

fn sign(secret: &str, jti: &str) -> String {
    Signer::of_secret(secret).sign(&claims_with(&json!({ "jti": jti, "exp": START + 600 })))
}

#[tokio::test]
async fn a_generated_and_a_supplied_secret_make_assertions_and_prove_nothing_when_shown() {
    let stage = Stage::new().await;
    let generated = stage.client(by(&[ClientSecretJwt], NewSecret::Generated)).await;
    assert!(generated.len() >= 43);
    stage.accepted(&sign(&generated, "1")).await;
    assert_eq!(stage.rejected(&sign(&generated, "1")).await, Reason::AssertionReplayed);
    assert_eq!(stage.rejected(&sign(LONG, "2")).await, Reason::AssertionSignature);
    let shown = stage.refused(&terms(), &Ask::new("orders", &generated)).await;
    assert_eq!(shown, Reason::SecretWrong);

    let stage = Stage::new().await;
    stage.client(by(&[ClientSecretJwt], supplied(LONG))).await;
    stage.accepted(&sign(LONG, "1")).await;
    // A name for the key is neither needed nor in the way.
    let named =
        Signer::of_secret(LONG).named("whatever").sign(&claims_with(&json!({ "jti": "2" })));
    stage.accepted(&named).await;
    assert!(stage.ask(&terms(), &Ask::new("orders", LONG)).await.outcome.is_err());
}

#[tokio::test]
async fn the_secret_is_kept_encrypted_for_this_client_only() {
    let stage = Stage::new().await;
    stage.client(by(&[ClientSecretJwt], supplied(LONG))).await;
    let kept = stage.kept("orders").await;
    let SecretDigest::Sealed(sealed) = &kept.secrets[0].digest else { panic!("not sealed") };
    assert!(!sealed.windows(7).any(|part| LONG.as_bytes().windows(7).any(|long| long == part)));
    assert!(!format!("{kept:?}").contains("horse"));

    let manage = stage.manage();
    let elsewhere = Client { id: id("elsewhere"), ..kept.clone() };
    let refused = manage.import_client(&stage.realm, elsewhere).await;
    assert!(matches!(refused, Err(ManageError::Invalid { field: "secrets", .. })), "{refused:?}");
    stage.delete("orders").await;
    manage.import_client(&stage.realm, kept.clone()).await.unwrap();
    stage.follow().await;
    stage.accepted(&sign(LONG, "1")).await;

    // Under another master key nothing opens: the client is refused, and the server goes on.
    let parts = Parts { master_key: "cd".repeat(32).parse().unwrap(), ..stage.parts.clone() };
    let other = Stage::on(parts, realm()).await;
    assert_eq!(other.rejected(&sign(LONG, "2")).await, Reason::AssertionKeysNone);
    let there = Stage::new().await;
    let parts = Parts { master_key: "cd".repeat(32).parse().unwrap(), ..there.parts.clone() };
    let there = Stage::on(parts, realm()).await;
    let refused = there.manage().import_client(&there.realm, kept).await;
    assert!(matches!(refused, Err(ManageError::Invalid { field: "secrets", .. })), "{refused:?}");
}

#[tokio::test]
async fn every_secret_is_tried_until_it_expires_or_is_revoked() {
    let stage = Stage::new().await;
    let old = stage.client(by(&[ClientSecretJwt], NewSecret::Generated)).await;
    let rotation = Rotation { grace: Some(Duration::from_secs(90)), ..Rotation::default() };
    let (client, made) =
        stage.manage().rotate_secret(&main(), &id("orders"), rotation).await.unwrap();
    let new = made.generated.unwrap();
    stage.follow().await;
    stage.accepted(&sign(&old, "1")).await;
    stage.accepted(&sign(&new, "2")).await;
    stage.pass_seconds(89);
    stage.accepted(&sign(&old, "3")).await;
    stage.pass_seconds(1);
    assert_eq!(stage.rejected(&sign(&old, "4")).await, Reason::SecretExpired);
    stage.accepted(&sign(&new, "5")).await;

    Arc::clone(&stage.engine).upkeep(std::future::ready(())).await;
    let uses: Vec<_> =
        stage.kept("orders").await.secrets.iter().map(|secret| secret.last_used_at).collect();
    assert_eq!(uses, [Some(time(89)), Some(time(90))]);

    let newest = &client.secrets[1].id;
    stage.manage().revoke_secrets(&main(), &id("orders"), Some(newest)).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&sign(&new, "6")).await, Reason::AssertionSignature);
    stage.manage().revoke_secrets(&main(), &id("orders"), None).await.unwrap();
    stage.follow().await;
    assert_eq!(stage.rejected(&sign(&new, "7")).await, Reason::AssertionKeysNone);
}

#[tokio::test]
async fn a_secret_of_less_than_32_bytes_is_no_key() {
    let stage = Stage::new().await;
    let manage = stage.manage();
    for (length, is_taken) in [(31, false), (32, true)] {
        let client = by(&[ClientSecretJwt], supplied(&"x".repeat(length)));
        let made = manage.create_client(&stage.realm, client).await;
        assert_eq!(made.is_ok(), is_taken, "{length} bytes");
    }
}

#[tokio::test]
async fn a_secret_that_is_shown_is_no_key_beside_it() {
    let stage = Stage::new().await;
    let manage = stage.manage();
    for ways in [[ClientSecretJwt, ClientSecretBasic], [ClientSecretPost, ClientSecretJwt]] {
        let made = manage.create_client(&stage.realm, by(&ways, NewSecret::Generated)).await;
        let Err(ManageError::Invalid { field: "authentication", .. }) = made else {
            panic!("taken")
        };
    }
    let change = |ways: &[AuthenticationMethod]| ClientChange {
        authentication: Some(ways.to_vec()),
        ..ClientChange::default()
    };
    stage.client(by(&[], NewSecret::Generated)).await;
    let orders = id("orders");
    let changed = manage.change_client(&stage.realm, &orders, change(&[ClientSecretJwt])).await;
    assert!(matches!(changed, Err(ManageError::Invalid { .. })), "its secret is a digest");
    manage.revoke_secrets(&main(), &orders, None).await.unwrap();
    manage.change_client(&stage.realm, &orders, change(&[ClientSecretJwt])).await.unwrap();
    manage.rotate_secret(&main(), &orders, Rotation::default()).await.unwrap();
    let changed = manage.change_client(&stage.realm, &orders, change(&[])).await;
    assert!(matches!(changed, Err(ManageError::Invalid { .. })), "its secret is sealed");
}

#[tokio::test]
async fn a_digest_of_a_secret_is_no_key() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let assertion = Signer::of_secret(&secret).sign(&claims());
    assert_eq!(stage.rejected(&assertion).await, Reason::AssertionKeysNone);
}
