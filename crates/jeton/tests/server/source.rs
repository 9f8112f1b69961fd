//! Proves that a caller's address is what trusted proxies say, and nobody else.

use jeton_engine::manage::NewClient;

use crate::started::{Answer, GROWTH, ask, growth_body, make, start};
use jeton::serve::Running;

/// A server whose only client may call from 192.0.2.0/24 alone.
async fn start_with(trusted: &str) -> (Running, String) {
    let text = format!("[server]\ntrusted_proxies = {trusted}\n{GROWTH}");
    let running = start(&text).await;
    let new = NewClient {
        id: Some("partner".parse().unwrap()),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..NewClient::default()
    };
    let secret = make(&running, &text, "growth", new).await;
    (running, secret)
}

async fn ask_with(running: &Running, secret: &str, headers: &str) -> Answer {
    let body = growth_body(secret);
    let request = format!(
        "POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(running.public_address(), &request).await
}

/// Waits until the server knows the client, then asks with each set of headers.
async fn assert_statuses(trusted: &str, known_by: Option<&str>, expected: &[(&str, u16)]) {
    let (running, secret) = start_with(trusted).await;
    if let Some(headers) = known_by {
        let known = async {
            while ask_with(&running, &secret, headers).await.status != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::started::PATIENCE, known).await.expect("the client is known");
    }
    for (headers, status) in expected {
        let answer = ask_with(&running, &secret, headers).await;
        assert_eq!(answer.status, *status, "{headers:?}: {}", answer.body);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_last_hop_only() {
    let known_by = Some("X-Forwarded-For: 192.0.2.7\r\n");
    let expected = [
        ("Forwarded: for=192.0.2.7\r\n", 200),
        ("X-Forwarded-For: 203.0.113.1, 192.0.2.7\r\n", 200),
        ("X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n", 200),
        ("X-Forwarded-For: ::ffff:192.0.2.7\r\n", 200),
        ("X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n", 200),
        // The caller's own invention stands left of what the proxy added.
        ("X-Forwarded-For: 192.0.2.7, 203.0.113.1\r\n", 400),
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 203.0.113.1\r\n", 400),
        // The headers disagree, so nobody knows.
        ("X-Forwarded-For: 203.0.113.1\r\nForwarded: for=192.0.2.7\r\n", 400),
        ("X-Forwarded-For: 192.0.2.7\r\nForwarded: for=203.0.113.1\r\n", 400),
        ("X-Forwarded-For: unknown\r\n", 400),
        ("", 400),
    ];
    assert_statuses("[\"127.0.0.0/8\"]", known_by, &expected).await;
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let expected =
        [("X-Forwarded-For: 192.0.2.7\r\n", 400), ("Forwarded: for=192.0.2.7\r\n", 400), ("", 400)];
    assert_statuses("[]", None, &expected).await;
    assert_statuses("[\"10.0.0.0/8\"]", None, &expected).await;
}
