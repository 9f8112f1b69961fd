//! When a token holds.

use jeton_engine::client::ClientStatus;
use jeton_engine::jose::{Algorithm, SigningKey};
use jeton_engine::manage::{KeyMaterial, NewClient, NewToken};
use jeton_engine::realm::Realm;
use jeton_engine::terms::{StoredShape, Terms, TokenShape};
use jeton_engine::token::TokenFormat;
use zeroize::Zeroizing;

use crate::stage::{
    Ask, SHARED, START, Stage, id, main, named, orders, realm, realm_of, settings, stated_terms,
    terms, time,
};

/// Terms of every format, with its name.
fn formats() -> [(TokenFormat, Terms); 4] {
    let of = |shape| Terms { token: Some(shape), ..terms() };
    [
        (TokenFormat::Stored, of(TokenShape::stored())),
        (TokenFormat::Sealed, of(TokenShape::Sealed)),
        (TokenFormat::Jwt, of(TokenShape::rfc9068(Algorithm::Es256))),
        (TokenFormat::Jwt, stated_terms()),
    ]
}

async fn stage() -> (Stage, String) {
    let stage = Stage::new().await;
    stage.import_shared(Some("shared")).await;
    stage.manage().create_key(&main(), Algorithm::Es256, None).await.unwrap();
    let secret = stage.orders().await;
    (stage, secret)
}

#[tokio::test]
async fn a_token_of_any_format_says_what_it_was_issued_with_until_it_expires() {
    for (index, (format, terms)) in formats().iter().enumerate() {
        let (stage, secret) = stage().await;
        let token = stage.token(terms, &Ask::new("orders", &secret).scope("read")).await;
        for _ in 0..2 {
            let active = stage.check(&token).await.unwrap();
            assert_eq!((active.client.id.as_str(), &*active.says.subject), ("orders", "orders"));
            assert_eq!(active.says.format, *format);
            assert_eq!(active.says.issued_at, time(0));
            assert_eq!(active.says.expires_at, Some(time(3600)));
            let scope = if index == 3 { "" } else { "read" };
            assert_eq!(active.says.scope.to_string(), scope);
        }
        stage.pass_seconds(3599);
        assert!(stage.holds(&token).await);
        stage.pass_seconds(1);
        assert!(!stage.holds(&token).await, "{format:?}, read before");
        assert!(!stage.another().await.holds(&token).await, "{format:?}, seen first");
    }
}

#[tokio::test]
async fn a_token_holds_while_its_client_is_enabled_and_the_same() {
    for (format, terms) in formats() {
        let (stage, secret) = stage().await;
        let token = stage.token(&terms, &Ask::new("orders", &secret)).await;
        assert!(stage.holds(&token).await);
        for (status, holds) in [(ClientStatus::Disabled, false), (ClientStatus::Enabled, true)] {
            stage.manage().set_status(&main(), &id("orders"), status).await.unwrap();
            stage.follow().await;
            assert_eq!(stage.holds(&token).await, holds, "{format:?} {status:?}");
        }
        stage.delete("orders").await;
        assert!(!stage.holds(&token).await, "{format:?} deleted");
        stage.pass_seconds(1);
        stage.client(orders()).await;
        assert!(!stage.holds(&token).await, "{format:?} of an earlier client");
        assert!(!stage.another().await.holds(&token).await, "{format:?} of an earlier client");
    }
}

#[tokio::test]
async fn a_stored_token_does_not_hold_for_a_client_made_again_in_the_same_second() {
    let (stage, secret) = stage().await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    assert!(stage.holds(&token).await);
    stage.delete("orders").await;
    stage.client(orders()).await;
    assert!(!stage.holds(&token).await);
}

#[tokio::test]
async fn not_one_altered_character_is_accepted() {
    for (format, terms) in formats() {
        let (stage, secret) = stage().await;
        let token = stage.token(&terms, &Ask::new("orders", &secret)).await;
        assert!(stage.holds(&token).await);
        for index in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(!stage.holds(&altered).await, "{format:?} at {index}");
        }
        for other in ["", " ", ".", "..", &format!("{token} "), &format!(" {token}")] {
            assert!(!stage.holds(other).await, "{format:?} {other}");
        }
    }
    let (stage, _) = stage().await;
    assert!(!stage.holds(&"a".repeat(100_000)).await);
}

#[tokio::test]
async fn a_token_of_another_realm_is_none_here() {
    for (format, terms) in formats() {
        let (stage, secret) = stage().await;
        let token = stage.token(&terms, &Ask::new("orders", &secret)).await;
        let other = Realm {
            name: "other".parse().unwrap(),
            issuer: "https://auth.example.com/other".to_owned(),
            ..realm()
        };
        let other = Stage::on(stage.parts.clone(), other).await;
        other.orders().await;
        assert!(stage.holds(&token).await && !other.holds(&token).await, "{format:?}");
    }
}

fn signed(header: &str, claims: &str) -> String {
    let key = SigningKey::from_secret(SHARED).unwrap();
    let header = jeton_engine::jose::base64url::encode(header);
    key.sign_compact(&header, claims.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_jwt_of_another_kind_under_the_same_key_is_no_access_token() {
    let (stage, _) = stage().await;
    let claims = format!(r#"{{"iat":{START},"exp":{},"sub":"orders"}}"#, START + 60);
    for (header, holds) in [
        (r#"{"alg":"HS256"}"#, true),
        (r#"{"alg":"HS256","typ":"jwt"}"#, true),
        (r#"{"alg":"HS256","typ":"application/at+jwt","kid":"shared"}"#, true),
        (r#"{"alg":"HS256","typ":"token-introspection+jwt"}"#, false),
        (r#"{"alg":"HS256","typ":"logout+jwt","kid":"shared"}"#, false),
        (r#"{"alg":"HS256","typ":""}"#, false),
        (r#"{"alg":"HS256","typ":"JWT","kid":"another"}"#, false),
        (r#"{"alg":"HS384","typ":"JWT"}"#, false),
        (r#"{"alg":"none"}"#, false),
        (r#"{"alg":"HS256","crit":["x"],"x":1}"#, false),
    ] {
        assert_eq!(stage.holds(&signed(header, &claims)).await, holds, "{header}");
    }
}

#[tokio::test]
async fn claims_that_do_not_fit_make_no_token() {
    let (stage, _) = stage().await;
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    for claims in [
        "{}",
        r#"{"iat":1700000000}"#,
        r#"{"iat":1700000000,"sub":"nobody"}"#,
        r#"{"iat":"1700000000","sub":"orders"}"#,
        r#"{"iat":1700000000,"exp":"never","sub":"orders"}"#,
        r#"{"iat":1700000000,"exp":1,"sub":"orders"}"#,
        r#"{"iat":1699999999,"sub":"orders"}"#,
        r#"{"iat":1700000000,"iss":"https://elsewhere.example","sub":"orders"}"#,
        r#"{"iat":1700000000,"sub":"nobody","sub":"orders"}"#,
        r#"{"iat":1700000000,"sub":["orders"]}"#,
    ] {
        assert!(!stage.holds(&signed(header, claims)).await, "{claims}");
    }
    assert!(stage.holds(&signed(header, r#"{"iat":1700000000,"sub":"orders"}"#)).await);
}

#[tokio::test]
async fn a_subject_that_stands_for_two_clients_stands_for_none() {
    let (stage, _) = stage().await;
    let acme = |client: &str| NewClient { subject: Some("acme".parse().unwrap()), ..named(client) };
    let one = stage.client(acme("one")).await;
    let token = stage.token(&stated_terms(), &Ask::new("one", &one)).await;
    assert_eq!(stage.another().await.check(&token).await.unwrap().client.id, id("one"));
    stage.client(acme("two")).await;
    // Otherwise it would hold on as the other's when its own client is disabled.
    assert!(!stage.another().await.holds(&token).await);
    stage.delete("two").await;
    assert!(stage.another().await.holds(&token).await);
    stage.client(named("acme")).await;
    assert!(!stage.another().await.holds(&token).await, "one's subject is the other's identifier");
}

#[tokio::test]
async fn a_removed_key_takes_its_tokens_with_it_even_when_another_has_its_name() {
    let (stage, secret) = stage().await;
    let token = stage.token(&stated_terms(), &Ask::new("orders", &secret)).await;
    assert!(stage.holds(&token).await);
    let key = "shared".parse().unwrap();
    stage.manage().retire_key(&main(), &key).await.unwrap();
    stage.follow().await;
    assert!(stage.holds(&token).await, "a retired key still verifies");
    stage.manage().retire_key(&main(), &key).await.unwrap();
    let material = KeyMaterial::Secret(Zeroizing::new(vec![7; 32]));
    let manage = stage.manage();
    manage.import_key(&main(), Algorithm::Hs256, Some(key), material).await.unwrap();
    stage.follow().await;
    assert!(!stage.holds(&token).await);
}

#[tokio::test]
async fn a_stored_token_may_have_dots() {
    let shape = StoredShape { prefix: "a.".to_owned(), alphabet: "AB".to_owned(), length: 128 };
    let dots = StoredShape { prefix: "a.b.".to_owned(), ..shape.clone() };
    for shape in [shape, dots] {
        let stage = Stage::with(settings(), realm_of(TokenShape::Stored(shape))).await;
        let secret = stage.orders().await;
        let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
        assert!(stage.holds(&token).await, "{token}");
    }
}

#[tokio::test]
async fn a_token_made_by_hand_holds_until_it_is_revoked() {
    for (format, terms) in formats() {
        let (stage, _) = stage().await;
        let new = NewToken {
            client_id: id("orders"),
            name: "laptop".to_owned(),
            lifetime: None,
            scope: None,
        };
        let made = stage.manage().make_token(&stage.realm, &terms, new).await.unwrap();
        let (token, record) = (made.0.reveal(), made.1);
        assert!(stage.holds(token).await, "{format:?}");
        let found = stage.manage().token_record(&main(), token).await.unwrap().unwrap();
        assert_eq!(found.id, record.id);
        stage.manage().revoke_token(&main(), &record.id).await.unwrap();
        stage.follow().await;
        assert!(!stage.holds(token).await, "{format:?}");
        assert!(!stage.another().await.holds(token).await, "{format:?}");
    }
}
