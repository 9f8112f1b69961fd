//! The life of signing keys.

use std::time::Duration;

use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyStatus;
use jeton_engine::manage::{NewToken, RetiredKey};
use jeton_engine::rotate::Rotation;
use jeton_engine::terms::{Lifetime, TokenShape};

use crate::stage::{Ask, Stage, id, main, realm_of, settings, terms};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Keys sign for ten days and are published one day ahead; tokens live for an hour.
async fn stage() -> Stage {
    let mut realm = realm_of(TokenShape::rfc9068(Algorithm::EdDsa));
    let day = Duration::from_secs(DAY);
    realm.rotation = Rotation { every: Some(10 * day), publish_ahead: day };
    let stage = Stage::with(settings(), realm).await;
    stage.engine.ensure_keys(&stage.state(), &[terms().into()]).await.unwrap();
    stage
}

async fn statuses(stage: &Stage) -> Vec<KeyStatus> {
    for _ in 0..3 {
        stage.engine.rotate_keys().await.unwrap();
        stage.follow().await;
    }
    stage.manage().keys(&main()).await.unwrap().iter().map(|key| key.status).collect()
}

fn published(stage: &Stage) -> usize {
    stage.state().published_keys().json.matches("\"kid\"").count()
}

#[tokio::test]
async fn a_key_is_published_ahead_takes_over_and_stays_until_its_tokens_have_expired() {
    use KeyStatus::{Active, Retired, Upcoming};
    let stage = stage().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    stage.pass_seconds(9 * DAY - 1);
    assert_eq!(statuses(&stage).await, [Active]);
    stage.pass_seconds(1);
    assert_eq!(statuses(&stage).await, [Active, Upcoming]);
    assert_eq!(published(&stage), 2);
    stage.pass_seconds(DAY - 1);
    assert_eq!(statuses(&stage).await, [Active, Upcoming]);
    let old = stage.token(&terms(), &ask).await;
    stage.pass_seconds(1);
    assert_eq!(statuses(&stage).await, [Retired, Active]);
    let new = stage.token(&terms(), &ask).await;
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(header(&old), header(&new), "another key signs");
    assert!(stage.holds(&old).await && stage.holds(&new).await);
    stage.pass_seconds(HOUR + 600);
    assert_eq!(statuses(&stage).await, [Retired, Active]);
    stage.pass_seconds(1);
    assert_eq!(statuses(&stage).await, [Active]);
    assert_eq!(published(&stage), 1);
}

#[tokio::test]
async fn of_many_servers_one_rotates() {
    let stage = stage().await;
    let mut servers = Vec::new();
    for _ in 0..8 {
        servers.push(stage.another().await);
    }
    let rotate_all = async || {
        let rotations: Vec<_> = servers
            .iter()
            .map(|server| std::sync::Arc::clone(&server.engine))
            .map(|engine| tokio::spawn(async move { engine.rotate_keys().await }))
            .collect();
        for rotation in rotations {
            rotation.await.unwrap().unwrap();
        }
        stage.manage().keys(&main()).await.unwrap()
    };
    stage.pass_seconds(9 * DAY);
    assert_eq!(rotate_all().await.len(), 2);
    stage.pass_seconds(DAY);
    let keys = rotate_all().await;
    let statuses: Vec<KeyStatus> = keys.iter().map(|key| key.status).collect();
    assert_eq!(statuses, [KeyStatus::Retired, KeyStatus::Active]);
}

#[tokio::test]
async fn a_shared_secret_is_not_rotated_by_schedule() {
    let stage = Stage::new().await;
    stage.import_shared(None).await;
    stage.pass_seconds(1_000 * DAY);
    assert_eq!(statuses(&stage).await, [KeyStatus::Active]);
}

#[tokio::test]
async fn a_long_lived_token_made_by_hand_keeps_its_key() {
    use KeyStatus::{Active, Retired};
    let stage = stage().await;
    stage.orders().await;
    let new = NewToken {
        client_id: id("orders"),
        name: "laptop".to_owned(),
        lifetime: Some(Lifetime::seconds(15 * 86_400)),
        scope: None,
    };
    let made = stage.manage().make_token(&stage.realm, &terms(), new).await.unwrap();
    stage.pass_seconds(9 * DAY);
    statuses(&stage).await;
    stage.pass_seconds(DAY);
    statuses(&stage).await;
    stage.pass_seconds(4 * DAY);
    assert_eq!(statuses(&stage).await, [Retired, Active]);
    assert!(stage.holds(made.0.reveal()).await);
    stage.manage().revoke_token(&main(), &made.1.id).await.unwrap();
    assert_eq!(statuses(&stage).await, [Active]);
}

#[tokio::test]
async fn an_operator_rotates_and_retires_by_hand() {
    let stage = stage().await;
    let manage = stage.manage();
    let next = manage.rotate_key(&main(), Algorithm::EdDsa).await.unwrap();
    assert_eq!(next.status, KeyStatus::Upcoming);
    let again = manage.rotate_key(&main(), Algorithm::EdDsa).await.unwrap();
    assert_eq!(again.id, next.id, "the one that is upcoming already");
    assert_eq!(manage.retire_key(&main(), &next.id).await, Ok(RetiredKey::StillVerifies));
    assert_eq!(manage.retire_key(&main(), &next.id).await, Ok(RetiredKey::Removed));
    assert!(manage.retire_key(&main(), &next.id).await.is_err());
}
