//! Proves that DPoP (RFC 9449) holds over HTTP: at the token endpoint, at introspection and at
//! `/oauth2/verify`, where a gateway asks about somebody's request.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use jeton_engine::jose::{Algorithm, SigningKey, base64url};
use serde_json::{Value, json};

use crate::asking::{Asking, REALMS, assert_refused};
use crate::started::{Answer, ask, within_patience};

const TOKEN: &str = "https://a.example.com/main/oauth2/token";
const ALGORITHMS: &str = "EdDSA ES256 ES384 PS256 RS256";

/// A client's key, and the proofs that it makes.
struct Prover {
    key: SigningKey,
    made: AtomicU64,
}

impl Prover {
    fn new(algorithm: Algorithm) -> Self {
        Self { key: SigningKey::generate(algorithm).unwrap(), made: AtomicU64::new(0) }
    }

    /// A header with a new proof; `more` replaces and adds claims, `null` removes them.
    fn header(&self, method: &str, uri: &str, more: &Value) -> String {
        format!("DPoP: {}\r\n", self.proof(method, uri, more))
    }

    fn proof(&self, method: &str, uri: &str, more: &Value) -> String {
        let id = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let jwk: Value = serde_json::from_str(&self.key.public_jwk("k").unwrap()).unwrap();
        let header =
            json!({"typ": "dpop+jwt", "alg": self.key.algorithm().name(), "jwk": jwk}).to_string();
        let mut claims = json!({"jti": id, "htm": method, "htu": uri, "iat": now()});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        let claims = claims.map(|(name, value)| (name.clone(), value.clone())).collect();
        let claims = Value::Object(claims).to_string();
        self.key.sign_compact(&base64url::encode(header), claims.as_bytes()).unwrap()
    }
}

fn now() -> i64 {
    jeton_engine::clock::Clock::System.now().seconds()
}

fn ath(token: &str) -> String {
    base64url::encode(digest(&SHA256, token.as_bytes()))
}

impl Asking {
    /// A token request of `partner` with these headers.
    async fn token_with(&self, headers: &str) -> Answer {
        let headers = format!("{}{headers}", self.basic("main", "partner"));
        self.post("main", "/oauth2/token", &headers, "grant_type=client_credentials").await
    }

    /// A token that is bound to this key.
    async fn bound(&self, prover: &Prover) -> String {
        let answer = self.token_with(&prover.header("POST", TOKEN, &json!({}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["token_type"], "DPoP");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn verify(&self, query: &str, headers: &str) -> Answer {
        let target = format!("/main/oauth2/verify{query}");
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        ask(self.running.public_address(), &request).await
    }
}

/// A realm behind a gateway that is trusted.
fn behind_a_gateway() -> String {
    format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{REALMS}")
}

const ORDERS: &str = "X-Forwarded-Method: PATCH\r\nX-Forwarded-Uri: /orders/7?a=b\r\n";

fn dpop(token: &str) -> String {
    format!("Authorization: DPoP {token}\r\n")
}

#[tokio::test]
async fn a_proof_binds_the_token_and_introspection_says_so() {
    let asking = Asking::begin(REALMS).await;
    let prover = Prover::new(Algorithm::Es256);
    let token = asking.bound(&prover).await;
    let answer = asking.introspect("main", "orders", &token).await;
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(said["token_type"], "DPoP");
    let thumbprint = prover.key.verifying_key().thumbprint().unwrap();
    assert_eq!(said["cnf"], json!({"jkt": thumbprint}));

    let unbound = asking.token("main").await;
    let answer = asking.introspect("main", "orders", &unbound).await;
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((said["token_type"].as_str(), said.get("cnf")), (Some("Bearer"), None));
    asking.end().await;
}

#[tokio::test]
async fn the_token_endpoint_takes_one_proof_for_its_published_url() {
    let asking = Asking::begin(&behind_a_gateway()).await;
    let prover = Prover::new(Algorithm::EdDsa);
    let good = || prover.header("POST", TOKEN, &json!({}));
    let (one, two) = (prover.proof("POST", TOKEN, &json!({})), good());
    for headers in [
        format!("{}{two}", good()),
        format!("{two}DPoP:\r\n"),
        format!("DPoP: {one}, {one}\r\n"),
        "DPoP:\r\n".to_owned(),
        "DPoP: \u{fc}\r\n".to_owned(),
        prover.header("GET", TOKEN, &json!({})),
        // Whatever a proxy says of the host, the URL is the one in the metadata.
        format!(
            "{}X-Forwarded-Host: b.example.com\r\nX-Forwarded-Proto: https\r\n",
            prover.header("POST", "https://b.example.com/main/oauth2/token", &json!({}))
        ),
        prover.header("POST", "http://x/main/oauth2/token", &json!({})),
        prover.header("POST", TOKEN, &json!({"iat": now() - 3600})),
        prover.header("POST", TOKEN, &json!({"iat": now() + 3600})),
    ] {
        let answer = asking.token_with(&headers).await;
        assert_refused(&answer, 400, "invalid_dpop_proof");
        assert_eq!(answer.header("dpop-nonce"), None);
    }
    for header in [two, good()] {
        assert_eq!(asking.token_with(&header).await.status, 200);
        assert_refused(&asking.token_with(&header).await, 400, "invalid_dpop_proof");
    }
    for iat in [now() - 10, now() + 8] {
        let header =
            prover.header("POST", TOKEN, &json!({"iat": iat, "nbf": iat, "exp": iat + 300}));
        assert_eq!(asking.token_with(&header).await.status, 200);
    }
    asking.end().await;
}

#[tokio::test]
async fn a_realm_that_asks_for_nonces_hands_them_out_at_every_turn() {
    let text =
        behind_a_gateway().replace("[realm.staff]", "dpop.nonces = \"required\"\n[realm.staff]");
    let asking = Asking::begin(&text).await;
    let prover = Prover::new(Algorithm::EdDsa);
    let first = asking.token_with(&prover.header("POST", TOKEN, &json!({}))).await;
    assert_refused(&first, 400, "use_dpop_nonce");
    let nonce = first.header("dpop-nonce").unwrap();
    let stale = asking.token_with(&prover.header("POST", TOKEN, &json!({"nonce": "x"}))).await;
    assert_refused(&stale, 400, "use_dpop_nonce");
    assert!(stale.header("dpop-nonce").is_some());

    let answer = asking.token_with(&prover.header("POST", TOKEN, &json!({"nonce": nonce}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let nonce = answer.header("dpop-nonce").unwrap();
    // Who brings no proof has no use for one.
    assert_eq!(asking.token_with("").await.header("dpop-nonce"), None);

    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let token = body["access_token"].as_str().unwrap();
    let uri = "https://a.example.com/orders/7";
    let without = prover.header("PATCH", uri, &json!({"ath": ath(token)}));
    let answer = asking.verify("", &format!("{}{without}{ORDERS}", dpop(token))).await;
    assert_eq!(answer.status, 401);
    let challenge = format!(
        "DPoP realm=\"main\", error=\"use_dpop_nonce\", algs=\"{ALGORITHMS}\", Bearer realm=\"main\""
    );
    assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
    assert!(answer.header("dpop-nonce").is_some());
    let with = prover.header("PATCH", uri, &json!({"ath": ath(token), "nonce": nonce}));
    let answer = asking.verify("", &format!("{}{with}{ORDERS}", dpop(token))).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(answer.header("dpop-nonce").is_some());
    asking.end().await;
}

#[tokio::test]
async fn a_bound_token_passes_a_gateway_with_a_new_proof_of_its_key_each_time() {
    let asking = Asking::begin(&behind_a_gateway()).await;
    let (prover, other) = (Prover::new(Algorithm::Es256), Prover::new(Algorithm::Es256));
    let (token, others) = (asking.bound(&prover).await, asking.bound(&other).await);
    let uri = "https://a.example.com/orders/7";
    let header = |more: &Value| prover.header("PATCH", uri, more);
    let good = header(&json!({"ath": ath(&token)}));
    let refused = async |token: &str, headers: &str, error: &str| {
        let answer = asking.verify("", &format!("{}{headers}{ORDERS}", dpop(token))).await;
        assert_eq!((answer.status, answer.body.as_str()), (401, ""), "{answer:?}");
        let challenge = format!(
            "DPoP realm=\"main\", error=\"{error}\", algs=\"{ALGORITHMS}\", Bearer realm=\"main\""
        );
        assert_eq!(answer.header("www-authenticate"), Some(&*challenge), "{headers}");
        assert_eq!(answer.header("x-jeton-client-id"), None);
    };
    for headers in [
        String::new(),
        format!("{good}{}", header(&json!({"ath": ath(&token)}))),
        "DPoP: x\r\n".to_owned(),
        header(&json!({})),
        header(&json!({"ath": ath(&others)})),
        header(&json!({"ath": ath(&token), "htm": "GET"})),
        header(&json!({"ath": ath(&token), "htu": "https://a.example.com/orders/8"})),
        header(&json!({"ath": ath(&token), "htu": "https://b.example.com/orders/7"})),
        header(&json!({"ath": ath(&token), "iat": now() - 3600})),
        header(&json!({"ath": ath(&token), "jti": null})),
    ] {
        refused(&token, &headers, "invalid_dpop_proof").await;
    }
    refused(&token, &other.header("PATCH", uri, &json!({"ath": ath(&token)})), "invalid_token")
        .await;
    refused(&others, &header(&json!({"ath": ath(&others)})), "invalid_token").await;
    refused("nonsense", &header(&json!({"ath": ath("nonsense")})), "invalid_token").await;
    refused(&asking.token("main").await, &good, "invalid_token").await;

    let passing = format!("{}{good}{ORDERS}", dpop(&token));
    let too_much = asking.verify("?scope=admin", &passing).await;
    assert_eq!(too_much.status, 403);
    let challenge = format!(
        "DPoP realm=\"main\", error=\"insufficient_scope\", scope=\"admin\", algs=\"{ALGORITHMS}\""
    );
    assert_eq!(too_much.header("www-authenticate"), Some(&*challenge));
    let answer = asking.verify("?scope=read", &passing).await;
    assert_eq!(answer.status, 204, "nothing that was refused has used the proof up: {answer:?}");
    assert_eq!(answer.header("x-jeton-client-id"), Some("partner"));
    refused(&token, &good, "invalid_dpop_proof").await;

    let spelled =
        header(&json!({"ath": ath(&token), "htu": "HTTPS://A.example.COM:443/orders/7?x#y"}));
    let headers =
        format!("authorization: dPOP {token}\r\n{}{ORDERS}", spelled.replace("DPoP:", "DPOP:"));
    assert_eq!(asking.verify("", &headers).await.status, 204);
    asking.end().await;
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let asking = Asking::begin(&behind_a_gateway()).await;
    let prover = Prover::new(Algorithm::Es256);
    let token = asking.bound(&prover).await;
    let uri = "https://a.example.com/orders/7";
    let proof = prover.header("PATCH", uri, &json!({"ath": ath(&token)}));
    let challenge = format!(
        "Bearer realm=\"main\", error=\"invalid_token\", DPoP realm=\"main\", algs=\"{ALGORITHMS}\""
    );
    for headers in [String::new(), proof] {
        let headers = format!("Authorization: Bearer {token}\r\n{headers}{ORDERS}");
        let answer = asking.verify("", &headers).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some(&*challenge));
        let reference = answer.header("jeton-reference").unwrap().parse().unwrap();
        let manage = asking.manage();
        let event = within_patience(async || manage.event(reference).await.unwrap()).await;
        assert_eq!(event.detail.as_deref(), Some("token_bound"));
    }
    // A proof beside a bearer token says nothing, good or bad.
    let bearer =
        format!("Authorization: Bearer {}\r\nDPoP: x\r\nDPoP: y\r\n", asking.token("main").await);
    assert_eq!(asking.verify("", &bearer).await.status, 204);
    asking.end().await;
}

#[tokio::test]
async fn the_origin_is_the_operators_word_then_the_proxys_then_the_issuers() {
    let asking = Asking::begin(&behind_a_gateway()).await;
    let prover = Prover::new(Algorithm::Es256);
    let token = asking.bound(&prover).await;
    let told = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: told.example.com\r\n";
    let twice = "X-Forwarded-Host: told.example.com\r\nX-Forwarded-Host: b.example.com\r\n";
    for (query, headers, origin) in [
        ("", "", "https://a.example.com"),
        ("", told, "https://told.example.com"),
        ("?origin=https://api.example.com", told, "https://api.example.com"),
        ("?scope=read&origin=http%3A%2F%2F127.0.0.1%3A8080", "", "http://127.0.0.1:8080"),
        // Who is told two things knows nothing.
        ("", &format!("X-Forwarded-Proto: https\r\n{twice}"), "https://a.example.com"),
        ("", "X-Forwarded-Host: told.example.com\r\n", "https://a.example.com"),
    ] {
        for claimed in ["https://a.example.com", "https://told.example.com", origin] {
            let uri = format!("{claimed}/orders/7");
            let proof = prover.header("PATCH", &uri, &json!({"ath": ath(&token)}));
            let request = format!("{}{proof}{ORDERS}{headers}", dpop(&token));
            let answer = asking.verify(query, &request).await;
            let expected = if claimed == origin { 204 } else { 401 };
            assert_eq!(answer.status, expected, "{query} {headers} {claimed}: {answer:?}");
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn a_gateway_that_does_not_tell_the_request_is_told_so() {
    for (text, headers) in [
        // Not trusted, so nothing that it says counts.
        (REALMS.to_owned(), ORDERS),
        (behind_a_gateway(), ""),
        (behind_a_gateway(), "X-Forwarded-Method: PATCH\r\n"),
        (behind_a_gateway(), "X-Forwarded-Uri: /orders/7\r\n"),
    ] {
        let asking = Asking::begin(&text).await;
        let prover = Prover::new(Algorithm::Es256);
        let token = asking.bound(&prover).await;
        let uri = "https://a.example.com/orders/7";
        let proof = prover.header("PATCH", uri, &json!({"ath": ath(&token)}));
        let answer = asking.verify("", &format!("{}{proof}{headers}", dpop(&token))).await;
        assert_refused(&answer, 403, "invalid_request");
        assert_eq!(answer.header("www-authenticate"), None);
        for query in
            ["?origin=", "?origin=https://a.example.com/b", "?origin=https://a&origin=https://b"]
        {
            assert_eq!(asking.verify(query, &dpop(&token)).await.status, 403, "{query}");
        }
        asking.end().await;
    }
}

#[tokio::test]
async fn a_gateway_that_puts_the_path_behind_ours_tells_the_method_by_its_own() {
    let asking = Asking::begin(&behind_a_gateway()).await;
    let prover = Prover::new(Algorithm::Es256);
    let token = asking.bound(&prover).await;
    for (htm, status) in [("GET", 200), ("POST", 401)] {
        let uri = "https://a.example.com/orders/7";
        let proof = prover.header(htm, uri, &json!({"ath": ath(&token)}));
        let answer = asking.verify("/orders/7?a=b", &format!("{}{proof}", dpop(&token))).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    asking.end().await;
}
