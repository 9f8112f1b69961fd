//! Proves what a realm's own tokens say (RFC 9068 section 2): every claim that must be there is, whoever
//! asks and however the token looks.

use jeton_engine::jose::jws::Unverified;
use serde_json::{Value, json};

use crate::asking::Asking;

const REALMS: &str = "\
[realm.jwt]\nissuer = \"https://a.example.com/jwt\"\n\
[realm.sealed]\nissuer = \"https://a.example.com/sealed\"\ntoken = { format = \"sealed\" }\n\
[realm.named]\nissuer = \"https://a.example.com/named\"\naudience = \"everybody\"\n";

/// Clients that nobody gave an audience.
async fn begin() -> Asking {
    Asking::begin_with(REALMS, |client| client.audiences.clear()).await
}

#[tokio::test]
async fn a_token_for_nobody_in_particular_is_for_the_realm() {
    let asking = begin().await;
    for (realm, audience) in [
        ("jwt", "https://a.example.com/jwt"),
        ("sealed", "https://a.example.com/sealed"),
        ("named", "everybody"),
    ] {
        let token = asking.token(realm).await;
        let said = asking.introspect(realm, "orders", &token).await;
        let said: Value = serde_json::from_str(&said.body).unwrap();
        assert_eq!(said["aud"], audience, "{realm}");
    }
    asking.end().await;
}

#[tokio::test]
async fn every_claim_that_must_be_there_is() {
    let asking = begin().await;
    let token = asking.token("jwt").await;
    let unverified = Unverified::parse(&token).unwrap();
    assert_eq!(unverified.header().token_type.as_deref(), Some("at+jwt"));
    let mut claims: Value = serde_json::from_slice(unverified.danger_unverified_payload()).unwrap();
    let mut taken = |name: &str| claims.as_object_mut().unwrap().remove(name).unwrap();
    assert!(taken("exp").as_i64().unwrap() > taken("iat").as_i64().unwrap());
    assert_eq!(taken("jti").as_str().unwrap().len(), 36);
    let expected = json!({
        "iss": "https://a.example.com/jwt",
        "sub": "partner",
        "client_id": "partner",
        "aud": "https://a.example.com/jwt",
        "scope": "read write",
    });
    assert_eq!(claims, expected);
    asking.end().await;
}

#[tokio::test]
async fn the_realm_is_a_resource_that_can_be_asked_for() {
    let asking = begin().await;
    let secret = asking.secret("jwt", "partner").to_owned();
    for (resource, status) in
        [("https%3A%2F%2Fa.example.com%2Fjwt", 200), ("https%3A%2F%2Fa.example.com%2Fsealed", 400)]
    {
        let form = format!(
            "grant_type=client_credentials&client_id=partner&client_secret={secret}&resource={resource}"
        );
        let answer = asking.post("jwt", "/oauth2/token", "", &form).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    asking.end().await;
}
