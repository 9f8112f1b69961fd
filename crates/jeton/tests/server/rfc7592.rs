//! Proves that a registered client manages its own registration and nobody else's (RFC 7592).

use jeton_engine::client::ClientStatus;
use jeton_engine::event::EventKind;
use serde_json::{Value, json};

use crate::asking::assert_refused;
use crate::rfc7591::{Registrar, body};
use crate::started::{Answer, within_patience};

/// A registered client and what only it knows.
struct Own {
    id: String,
    token: String,
    told: Value,
}

impl Own {
    async fn new(registrar: &Registrar, metadata: &Value) -> Self {
        let told = registrar.registered(metadata).await;
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        Self { id: text("client_id"), token: text("registration_access_token"), told }
    }

    async fn send(&self, registrar: &Registrar, method: &str, said: &Value) -> Answer {
        let place = format!("{method} /main/oauth2/register/{}", self.id);
        registrar.send(&place, Some(&self.token), &said.to_string()).await
    }

    async fn get(&self, registrar: &Registrar) -> Answer {
        self.send(registrar, "GET", &json!({})).await
    }

    fn secret(&self) -> &str {
        self.told["client_secret"].as_str().unwrap()
    }
}

#[tokio::test]
async fn a_client_reads_what_it_was_told_but_for_its_secret() {
    let registrar = Registrar::begin().await;
    let own = Own::new(&registrar, &json!({ "client_name": "One", "scope": "read" })).await;
    let answer = own.get(&registrar).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut expected = own.told.clone();
    expected.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(body(&answer), expected);
    registrar.running.stop().await;
}

#[tokio::test]
async fn a_client_replaces_all_of_its_metadata() {
    let registrar = Registrar::begin().await;
    let said = json!({ "client_name": "One", "scope": "read write", "software_id": "s" });
    let own = Own::new(&registrar, &said).await;
    let said = json!({ "client_id": own.id, "client_secret": own.secret(), "scope": "read",
        "contacts": ["a@a.example"] });
    let answer = own.send(&registrar, "PUT", &said).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = body(&answer);
    assert_eq!((&told["scope"], &told["contacts"]), (&json!("read"), &json!(["a@a.example"])));
    assert!(told.get("client_name").is_none() && told.get("software_id").is_none());
    assert_eq!(told["registration_access_token"], json!(own.token));
    assert_eq!(told["client_id_issued_at"], own.told["client_id_issued_at"]);
    assert_eq!(body(&own.get(&registrar).await), told);
    assert_eq!(registrar.token_status(&own.id, own.secret()).await, 200);
    for (said, member) in [
        (json!({ "scope": "read" }), "client_id"),
        (json!({ "client_id": "other" }), "client_id"),
        (json!({ "client_id": own.id, "client_secret": "chosen" }), "client_secret"),
        (
            json!({ "client_id": own.id, "registration_access_token": own.token }),
            "registration_access_token",
        ),
        (json!({ "client_id": own.id, "scope": "admin" }), "scope"),
    ] {
        let answer = own.send(&registrar, "PUT", &said).await;
        assert_refused(&answer, 400, "invalid_client_metadata");
        let description = body(&answer)["error_description"].as_str().unwrap().to_owned();
        assert!(description.starts_with(member), "{description}");
    }
    assert_refused(&own.send(&registrar, "PUT", &json!([])).await, 400, "invalid_client_metadata");
    assert_eq!(body(&own.get(&registrar).await), told, "what was refused changed nothing");
    registrar.running.stop().await;
}

#[tokio::test]
async fn another_way_of_authenticating_brings_another_secret() {
    let registrar = Registrar::begin().await;
    let own = Own::new(&registrar, &json!({})).await;
    let by = |method: &str| {
        json!({ "client_id": own.id, "token_endpoint_auth_method": method,
        "jwks_uri": "https://a.example/jwks" })
    };
    let keys = body(&own.send(&registrar, "PUT", &by("private_key_jwt")).await);
    assert!(keys.get("client_secret").is_none() && keys.get("client_secret_expires_at").is_none());
    assert_eq!(registrar.token_status(&own.id, own.secret()).await, 401);
    let basic = body(&own.send(&registrar, "PUT", &by("client_secret_basic")).await);
    let fresh = basic["client_secret"].as_str().unwrap();
    assert_eq!(registrar.token_status(&own.id, own.secret()).await, 401);
    assert_eq!(registrar.token_status(&own.id, fresh).await, 200);
    registrar.running.stop().await;
}

#[tokio::test]
async fn a_client_deletes_itself_and_is_gone() {
    let registrar = Registrar::begin().await;
    let (own, other) =
        (Own::new(&registrar, &json!({})).await, Own::new(&registrar, &json!({})).await);
    let answer = own.send(&registrar, "DELETE", &json!({})).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_refused(&own.get(&registrar).await, 401, "invalid_token");
    assert_eq!(registrar.token_status(&own.id, own.secret()).await, 401);
    assert_eq!(registrar.token_status(&other.id, other.secret()).await, 200);
    registrar.running.stop().await;
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_looks_the_same() {
    let registrar = Registrar::begin().await;
    let (own, other, disabled) = (
        Own::new(&registrar, &json!({})).await,
        Own::new(&registrar, &json!({})).await,
        Own::new(&registrar, &json!({})).await,
    );
    let realm = "main".parse().unwrap();
    let id = disabled.id.parse().unwrap();
    registrar.manage().set_status(&realm, &id, ClientStatus::Disabled).await.unwrap();
    within_patience(async || (disabled.get(&registrar).await.status == 401).then_some(())).await;
    let initial = registrar.initial(1).await;
    let cases = [
        (own.id.as_str(), other.token.as_str()),
        (own.id.as_str(), "wrong"),
        (own.id.as_str(), own.secret()),
        (own.id.as_str(), initial.as_str()),
        ("unknown", own.token.as_str()),
        (disabled.id.as_str(), disabled.token.as_str()),
    ];
    for method in ["GET", "PUT", "DELETE"] {
        for (id, token) in cases {
            let place = format!("{method} /main/oauth2/register/{id}");
            let answer = registrar.send(&place, Some(token), "{}").await;
            assert_refused(&answer, 401, "invalid_token");
            assert!(
                answer.header("www-authenticate").unwrap().starts_with("Bearer realm=\"main\", ")
            );
        }
        let place = format!("{method} /main/oauth2/register/{}", own.id);
        let none = registrar.send(&place, None, "{}").await;
        assert_eq!((none.status, none.body.as_str()), (401, ""), "{none:?}");
    }
    assert_eq!(own.get(&registrar).await.status, 200);
    registrar.running.stop().await;
}

#[tokio::test]
async fn other_methods_and_other_paths_are_none() {
    let registrar = Registrar::begin().await;
    let own = Own::new(&registrar, &json!({})).await;
    for method in ["POST", "PATCH"] {
        let answer = own.send(&registrar, method, &json!({})).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, PUT, DELETE")));
    }
    for path in ["", &format!("{}/", own.id), &format!("{}/x", own.id)] {
        let place = format!("GET /main/oauth2/register/{path}");
        assert_eq!(registrar.send(&place, Some(&own.token), "").await.status, 404, "{path}");
    }
    registrar.running.stop().await;
}

#[tokio::test]
async fn what_happened_is_told_under_its_reference_without_a_secret() {
    let registrar = Registrar::begin().await;
    let own = Own::new(&registrar, &json!({})).await;
    let place = format!("GET /main/oauth2/register/{}", own.id);
    let refused = registrar.send(&place, Some("a-wrong-token"), "").await;
    let reference = refused.header("jeton-reference").unwrap().parse().unwrap();
    let manage = registrar.manage();
    let event = within_patience(async || manage.event(reference).await.unwrap()).await;
    assert_eq!(event.kind, EventKind::RegistrationRefused);
    assert_eq!(event.detail.as_deref(), Some("registration_token_wrong"));
    let kept =
        format!("{:?}", manage.client(&"main".parse().unwrap(), &own.id.parse().unwrap()).await);
    for hidden in [own.secret(), own.token.as_str()] {
        assert!(!kept.contains(hidden) && !format!("{event:?}").contains(hidden));
    }
    registrar.running.stop().await;
}
