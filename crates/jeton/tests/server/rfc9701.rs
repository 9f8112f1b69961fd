//! Proves the signed answer of the introspection endpoint (RFC 9701): for whom, by which key, and that
//! it is no access token.

use jeton_engine::client::ClientRole;
use jeton_engine::jose::JwkSet;
use jeton_engine::jose::jws::verify_compact;
use jeton_engine::manage::NewClient;
use serde_json::{Value, json};

use crate::asking::{Asking, REALMS};
use crate::started::{Answer, ask, get, make, within_patience};

const SIGNED: &str = "Accept: application/token-introspection+jwt\r\n";

async fn signed(asking: &Asking, realm: &str, client: &str, token: &str) -> Answer {
    let headers = format!("{}{SIGNED}", asking.basic(realm, client));
    asking.post(realm, "/oauth2/introspect", &headers, &format!("token={token}")).await
}

async fn keys(asking: &Asking, realm: &str) -> JwkSet {
    let path = format!("/{realm}/.well-known/jwks.json");
    let answer = ask(asking.running.public_address(), &get(&path, "x")).await;
    JwkSet::parse(&answer.body).unwrap()
}

#[tokio::test]
async fn the_signed_answer_says_the_same_to_its_caller_alone() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("main").await;
    let plain = asking.introspect("main", "orders", &token).await;
    let answer = signed(&asking, "main", "orders", &token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/token-introspection+jwt"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let verified = verify_compact(&answer.body, &keys(&asking, "main").await).unwrap();
    assert_eq!(verified.header.token_type.as_deref(), Some("token-introspection+jwt"));
    let mut claims: Value = serde_json::from_slice(&verified.payload).unwrap();
    assert!(claims.as_object_mut().unwrap().remove("iat").unwrap().is_i64());
    let expected = json!({
        "iss": "https://a.example.com/main",
        "aud": "orders",
        "token_introspection": serde_json::from_str::<Value>(&plain.body).unwrap(),
    });
    assert_eq!(claims, expected, "neither sub nor exp outside");
    asking.end().await;
}

#[tokio::test]
async fn of_what_does_not_hold_it_says_so_and_nothing_else() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("main").await;
    for (client, token) in [("orders", "nonsense"), ("other", token.as_str())] {
        let answer = signed(&asking, "main", client, token).await;
        let verified = verify_compact(&answer.body, &keys(&asking, "main").await).unwrap();
        let claims: Value = serde_json::from_slice(&verified.payload).unwrap();
        assert_eq!(claims["token_introspection"], json!({ "active": false }));
        assert_eq!(claims["aud"], client);
    }
    asking.end().await;
}

#[tokio::test]
async fn of_a_token_for_another_resource_server_it_says_nothing() {
    let asking = Asking::begin(REALMS).await;
    let secret = asking.secret("main", "partner").to_owned();
    let token = async |audience: &str| {
        let form = format!(
            "grant_type=client_credentials&client_id=partner&client_secret={secret}{audience}"
        );
        let answer = asking.post("main", "/oauth2/token", "", &form).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    };
    let active = async |token: &str| {
        let answer = signed(&asking, "main", "orders", token).await;
        let verified = verify_compact(&answer.body, &keys(&asking, "main").await).unwrap();
        let claims: Value = serde_json::from_slice(&verified.payload).unwrap();
        claims["token_introspection"]["active"].as_bool().unwrap()
    };
    let (both, billing) = (token("").await, token("&audience=billing").await);
    // So far `billing` is a name that only its own server knows.
    assert!(active(&both).await && active(&billing).await);
    let new = NewClient {
        id: Some("billing".parse().unwrap()),
        role: ClientRole::ResourceServer,
        ..NewClient::default()
    };
    make(&asking.running, &asking.text, "main", new).await;
    within_patience(async || (!active(&billing).await).then_some(())).await;
    let inactive = signed(&asking, "main", "orders", &billing).await;
    let verified = verify_compact(&inactive.body, &keys(&asking, "main").await).unwrap();
    let claims: Value = serde_json::from_slice(&verified.payload).unwrap();
    assert_eq!(claims["token_introspection"], json!({ "active": false }));
    assert!(active(&both).await, "it is for this one as well");
    assert!(asking.is_active("main", &billing).await, "RFC 7662 does not ask for whom it is");
    asking.end().await;
}

#[tokio::test]
async fn the_signed_answer_is_no_access_token() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("main").await;
    let statement = signed(&asking, "main", "orders", &token).await.body;
    assert!(!asking.is_active("main", &statement).await);
    let request = format!(
        "GET /main/oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {statement}\r\n\r\n"
    );
    assert_eq!(ask(asking.running.public_address(), &request).await.status, 401);
    asking.end().await;
}

#[tokio::test]
async fn a_realm_without_a_public_key_answers_plainly() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("staff").await;
    let answer = signed(&asking, "staff", "orders", &token).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let plain = asking.introspect("staff", "orders", &token).await;
    assert_eq!(answer.body, plain.body);
    asking.end().await;
}

#[tokio::test]
async fn who_did_not_prove_to_be_a_client_is_refused_in_plain_words() {
    let asking = Asking::begin(REALMS).await;
    let headers = format!("{}{SIGNED}", crate::asking::basic("orders", "wrong"));
    let answer = asking.post("main", "/oauth2/introspect", &headers, "token=x").await;
    crate::asking::assert_refused(&answer, 401, "invalid_client");
    asking.end().await;
}
