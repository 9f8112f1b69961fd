//! Taking tokens back.

use jeton_engine::error::{Kind, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::jose::base64url;
use jeton_engine::terms::{Terms, TokenShape};

use crate::stage::{Ask, Stage, kind, main, named, reason, stated_terms, terms};

#[tokio::test]
async fn a_client_revokes_its_own_token_for_good() {
    let shapes = [Some(TokenShape::stored()), Some(TokenShape::Sealed)];
    let of = |token| Terms { token, ..terms() };
    for terms in shapes.map(of).into_iter().chain([stated_terms()]) {
        let stage = Stage::new().await;
        stage.import_shared(None).await;
        let secret = stage.orders().await;
        let ask = Ask::new("orders", &secret);
        let token = stage.token(&terms, &ask).await;
        stage.pass_seconds(1);
        let next = stage.token(&terms, &ask).await;
        for _ in 0..2 {
            stage.revoke(&ask, &token).await.outcome.unwrap();
            assert!(!stage.holds(&token).await);
        }
        let reopened = stage.another().await;
        assert!(!reopened.holds(&token).await, "{terms:?}");
        assert!(reopened.holds(&next).await && stage.holds(&next).await, "{terms:?}");
    }
}

#[tokio::test]
async fn nobody_revokes_anothers_token() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let other = stage.client(named("other")).await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    let answer = stage.revoke(&Ask::new("other", &other), &token).await;
    assert_eq!((reason(&answer), kind(&answer)), (Reason::TokenNotTheirs, Kind::Forbidden));
    let answer = stage.revoke(&Ask::new("orders", "wrong"), &token).await;
    assert_eq!(reason(&answer), Reason::SecretWrong);
    assert!(stage.holds(&token).await);
}

#[tokio::test]
async fn a_token_that_is_none_is_revoked_enough() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let expired = stage.token(&terms(), &ask).await;
    stage.pass_seconds(3600);
    for token in ["", "x", "a.b.c", "jse_x", &expired] {
        assert!(stage.revoke(&ask, token).await.outcome.is_ok(), "{token}");
    }
}

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The other signature that is as right as an ES256 token's own: (r, n - s) for (r, s).
fn rewritten(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = base64url::decode(signature).unwrap();
    let mut borrow = 0;
    for (digit, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let difference = i16::from(order) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256) as u8;
    }
    format!("{signed}.{}", base64url::encode(signature))
}

#[tokio::test]
async fn a_revoked_token_does_not_come_back_under_another_right_signature() {
    let stage = Stage::new().await;
    stage.manage().create_key(&main(), Algorithm::Es256, None).await.unwrap();
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let jwt = Terms { token: Some(TokenShape::rfc9068(Algorithm::Es256)), ..terms() };
    let token = stage.token(&jwt, &ask).await;
    let twin = rewritten(&token);
    assert_ne!(twin, token);
    assert!(stage.holds(&twin).await, "the signature is as right");
    stage.revoke(&ask, &token).await.outcome.unwrap();
    assert!(!stage.holds(&token).await && !stage.holds(&twin).await);
    assert!(!stage.another().await.holds(&twin).await);
    assert!(stage.revoke(&ask, &twin).await.outcome.is_ok());
}

#[tokio::test]
async fn a_clock_that_ran_ahead_and_was_set_back_brings_no_token_back() {
    for shape in [TokenShape::stored(), TokenShape::Sealed] {
        let stage = Stage::new().await;
        let secret = stage.orders().await;
        let ask = Ask::new("orders", &secret);
        let terms = Terms { token: Some(shape), ..terms() };
        let token = stage.token(&terms, &ask).await;
        stage.revoke(&ask, &token).await.outcome.unwrap();
        let now = stage.parts.clock.now();
        stage.pass_seconds(3900);
        let ahead = stage.another().await;
        // Long enough for what has expired to be removed: checks wait behind it.
        let checked = async {
            for _ in 0..50 {
                ahead.store().check().await.unwrap();
            }
        };
        std::sync::Arc::clone(&ahead.engine).upkeep(checked).await;
        stage.parts.clock.set(now);
        assert!(!ahead.holds(&token).await && !stage.holds(&token).await);
        assert!(!stage.another().await.holds(&token).await);
    }
}
