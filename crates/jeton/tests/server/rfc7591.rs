//! Proves that clients register themselves as RFC 7591 says, where the realm lets them and nowhere else.

use std::collections::BTreeMap;

use jeton::serve::Running;
use jeton_engine::manage::{Manage, NewRegistrationToken};
use serde_json::{Value, json};

use crate::asking::{assert_refused, basic};
use crate::started::{Answer, ask, configured, get, start};

/// `main` lets clients register themselves, `staff` does not, `open` lets anybody.
pub(crate) const REALMS: &str = "\
[realm.main]\nissuer = \"https://a.example.com/main\"\nscopes = [\"read\", \"write\"]\n\
registration.enabled = true\nregistration.limits.source = \"off\"\n\
[realm.staff]\nissuer = \"https://a.example.com/staff\"\n\
[realm.open]\nissuer = \"https://a.example.com/open\"\nregistration.enabled = true\n\
registration.initial_access_token = \"danger-open\"\nregistration.limits.source = [\"2/min\"]\n\
registration.clients_max = 1\n";

/// A server with these realms.
pub(crate) struct Registrar {
    pub(crate) running: Running,
}

impl Registrar {
    pub(crate) async fn begin() -> Self {
        Self { running: start(REALMS).await }
    }

    pub(crate) fn manage(&self) -> Manage {
        Manage::new(self.running.parts().clone())
    }

    /// Makes an initial access token of `main`.
    pub(crate) async fn initial(&self, uses: u32) -> String {
        let config = configured(REALMS);
        let new = NewRegistrationToken { scope: "".parse().unwrap(), uses, expires_at: None };
        let realm = &config.realm("main").unwrap().realm;
        self.manage().create_registration_token(realm, new).await.unwrap().1.to_string()
    }

    /// Sends JSON with a method to a path, with or without a token.
    pub(crate) async fn send(
        &self,
        method_and_path: &str,
        token: Option<&str>,
        body: &str,
    ) -> Answer {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let headers = format!("{}Content-Type: application/json\r\n", token.unwrap_or_default());
        self.send_with(method_and_path, &headers, body).await
    }

    pub(crate) async fn send_with(
        &self,
        method_and_path: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let request = format!(
            "{method_and_path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        ask(self.running.public_address(), &request).await
    }

    pub(crate) async fn register(&self, token: &str, metadata: &Value) -> Answer {
        self.send("POST /main/oauth2/register", Some(token), &metadata.to_string()).await
    }

    /// Registers and must be let; what was told.
    pub(crate) async fn registered(&self, metadata: &Value) -> Value {
        let token = self.initial(1).await;
        let answer = self.register(&token, metadata).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        body(&answer)
    }

    /// The status of a token request with this secret.
    pub(crate) async fn token_status(&self, id: &str, secret: &str) -> u16 {
        let headers =
            format!("{}Content-Type: application/x-www-form-urlencoded\r\n", basic(id, secret));
        let body = "grant_type=client_credentials";
        self.send_with("POST /main/oauth2/token", &headers, body).await.status
    }
}

pub(crate) fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// The members of an answer but those that differ each time, which must be there.
pub(crate) fn constant(told: &Value, differing: &[&str]) -> BTreeMap<String, Value> {
    let mut members: BTreeMap<String, Value> =
        told.as_object().unwrap().clone().into_iter().collect();
    for name in differing {
        assert!(members.remove(*name).is_some(), "no {name} in {told}");
    }
    members
}

pub(crate) fn as_map(value: &Value) -> BTreeMap<String, Value> {
    value.as_object().unwrap().clone().into_iter().collect()
}

#[tokio::test]
async fn a_client_registers_and_is_told_everything_once() {
    let registrar = Registrar::begin().await;
    let token = registrar.initial(1).await;
    let metadata = json!({
        "client_name": "Orders", "client_name#fr": "Commandes", "scope": "read", "unheard_of": 1,
        "software_id": "4711", "contacts": ["a@a.example"], "dpop_bound_access_tokens": false,
        "redirect_uris": ["https://a.example/back"],
    });
    let answer = registrar.register(&token, &metadata).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let told = body(&answer);
    let differing = [
        "client_id",
        "client_secret",
        "client_id_issued_at",
        "registration_access_token",
        "registration_client_uri",
    ];
    let expected = json!({
        "client_name": "Orders", "client_name#fr": "Commandes", "scope": "read",
        "software_id": "4711", "contacts": ["a@a.example"], "client_secret_expires_at": 0,
        "grant_types": ["client_credentials"], "response_types": [],
        "token_endpoint_auth_method": "client_secret_basic", "dpop_bound_access_tokens": false,
        "tls_client_certificate_bound_access_tokens": false,
    });
    assert_eq!(constant(&told, &differing), as_map(&expected));
    let id = told["client_id"].as_str().unwrap();
    let url = format!("https://a.example.com/main/oauth2/register/{id}");
    assert_eq!(told["registration_client_uri"], url);
    assert!(told["client_id_issued_at"].as_i64().unwrap() > 1_700_000_000);
    let secret = told["client_secret"].as_str().unwrap();
    assert_eq!(registrar.token_status(id, secret).await, 200);
    assert_eq!(registrar.token_status(id, "wrong").await, 401);
    registrar.running.stop().await;
}

#[tokio::test]
async fn a_client_with_keys_is_told_no_secret() {
    let registrar = Registrar::begin().await;
    let told = registrar
        .registered(&json!({
            "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/jwks",
            "token_endpoint_auth_signing_alg": "ES256", "dpop_bound_access_tokens": true,
        }))
        .await;
    let differing = [
        "client_id",
        "client_id_issued_at",
        "registration_access_token",
        "registration_client_uri",
    ];
    let expected = json!({
        "grant_types": ["client_credentials"], "response_types": [],
        "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://a.example/jwks",
        "token_endpoint_auth_signing_alg": "ES256", "dpop_bound_access_tokens": true,
        "tls_client_certificate_bound_access_tokens": false,
    });
    assert_eq!(constant(&told, &differing), as_map(&expected));
    registrar.running.stop().await;
}

#[tokio::test]
async fn without_the_right_token_the_challenge_is_that_of_bearer_tokens() {
    let registrar = Registrar::begin().await;
    let path = "POST /main/oauth2/register";
    let used = registrar.initial(1).await;
    assert_eq!(registrar.register(&used, &json!({})).await.status, 201);
    // Who brought none is told of no error (RFC 6750 section 3.1), not even of the metadata's.
    for headers in ["", "Authorization: Basic YTpi\r\n", "Authorization: Bearer\r\n"] {
        let answer = registrar.send_with(path, headers, "nonsense").await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{answer:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"main\""));
        assert_eq!(answer.header("jeton-reference").map(str::len), Some(10));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for token in ["wrong", used.as_str()] {
        let answer = registrar.register(token, &json!({ "grant_types": ["password"] })).await;
        assert_refused(&answer, 401, "invalid_token");
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                "Bearer realm=\"main\", error=\"invalid_token\", \
                 error_description=\"The token does not hold here, or not any more.\""
            )
        );
    }
    // A token is looked for in the header alone, and never in the URL.
    let fresh = registrar.initial(1).await;
    let in_url = format!("{path}?access_token={fresh}");
    assert_eq!(registrar.send(&in_url, None, "{}").await.status, 401);
    let twice = format!("Authorization: Bearer {fresh}\r\n").repeat(2);
    assert_eq!(registrar.send_with(path, &twice, "{}").await.status, 401);
    assert_eq!(registrar.register(&fresh, &json!({})).await.status, 201);
    registrar.running.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_code_and_its_member() {
    let registrar = Registrar::begin().await;
    let token = registrar.initial(1).await;
    for (metadata, code, member) in [
        (
            json!({ "grant_types": ["authorization_code"] }),
            "invalid_client_metadata",
            "grant_types",
        ),
        (
            json!({ "jwks_uri": "https://a.example/j", "jwks": { "keys": [] } }),
            "invalid_client_metadata",
            "jwks",
        ),
        (json!({ "scope": "admin" }), "invalid_client_metadata", "scope"),
        (
            json!({ "token_endpoint_auth_method": "none" }),
            "invalid_client_metadata",
            "token_endpoint_auth_method",
        ),
        (json!({ "redirect_uris": ["#"] }), "invalid_redirect_uri", "redirect_uris"),
    ] {
        let answer = registrar.register(&token, &metadata).await;
        assert_refused(&answer, 400, code);
        let description = body(&answer)["error_description"].as_str().unwrap().to_owned();
        assert!(description.starts_with(&format!("{member} must ")), "{description}");
        let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        assert!(description.bytes().all(allowed), "{description}");
    }
    let path = "POST /main/oauth2/register";
    for text in ["", "nonsense", "[]", "\"x\"", "{\"scope\":\"read\",\"scope\":\"write\"}"] {
        let answer = registrar.send(path, Some(&token), text).await;
        assert_refused(&answer, 400, "invalid_client_metadata");
    }
    let form = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    assert_refused(&registrar.send_with(path, &form, "{}").await, 400, "invalid_request");
    let large = json!({ "x": "x".repeat(70_000) }).to_string();
    assert_refused(&registrar.send(path, Some(&token), &large).await, 413, "invalid_request");
    let get = registrar.send("GET /main/oauth2/register", Some(&token), "").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    // None of that has used the token up.
    assert_eq!(registrar.register(&token, &json!({})).await.status, 201);
    registrar.running.stop().await;
}

#[tokio::test]
async fn a_realm_without_registration_has_no_such_endpoint() {
    let registrar = Registrar::begin().await;
    for path in ["POST /staff/oauth2/register", "GET /staff/oauth2/register/orders"] {
        let answer = registrar.send(path, None, "{}").await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    let address = registrar.running.public_address();
    let metadata = "/.well-known/oauth-authorization-server";
    for (realm, expected) in
        [("main", json!("https://a.example.com/main/oauth2/register")), ("staff", Value::Null)]
    {
        let answer = ask(address, &get(&format!("/{realm}{metadata}"), "x")).await;
        assert_eq!(body(&answer)["registration_endpoint"], expected, "{realm}");
    }
    registrar.running.stop().await;
}

#[tokio::test]
async fn an_open_realm_takes_anybody_within_its_limits() {
    let registrar = Registrar::begin().await;
    let path = "POST /open/oauth2/register";
    assert_eq!(registrar.send(path, None, "{}").await.status, 201);
    let full = registrar.send(path, None, "{}").await;
    assert_refused(&full, 403, "access_denied");
    let limited = registrar.send(path, None, "{}").await;
    assert_refused(&limited, 429, "temporarily_unavailable");
    let seconds: u32 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    registrar.running.stop().await;
}
