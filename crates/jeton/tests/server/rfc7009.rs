//! Proves that a client takes back its own tokens and nobody else's (RFC 7009), in a realm of either kind.

use crate::asking::{Asking, BOTH, REALMS, assert_refused, basic};
use crate::started::{Answer, ask};

const PATH: &str = "/oauth2/revoke";

fn assert_done(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_revoked_token_is_inactive_from_then_on() {
    let text = format!(
        "{REALMS}[realm.opaque]\nissuer = \"https://a.example.com/opaque\"\ntoken.format = \"sealed\"\n\
         [realm.kept]\nissuer = \"https://a.example.com/kept\"\ntoken.format = \"stored\"\n"
    );
    let asking = Asking::begin(&text).await;
    for realm in ["main", "staff", "opaque", "kept"] {
        let token = asking.token(realm).await;
        assert!(asking.is_active(realm, &token).await, "{realm}");
        assert_done(&asking.revoke(realm, "partner", &token).await);
        assert!(!asking.is_active(realm, &token).await, "{realm}");
        assert_done(&asking.revoke(realm, "partner", &token).await);
    }
    asking.end().await;
}

#[tokio::test]
async fn a_token_that_never_was_is_revoked_enough() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        for token in ["nonsense", "a.b.c", "jse_nonsense"] {
            assert_done(&asking.revoke(realm, "partner", token).await);
        }
        let headers = asking.basic(realm, "partner");
        let hinted = "token=x&token_type_hint=refresh_token";
        assert_done(&asking.post(realm, PATH, &headers, hinted).await);
    }
    asking.end().await;
}

#[tokio::test]
async fn nobody_revokes_somebody_elses_token() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let token = asking.token(realm).await;
        // Not even who may look at it.
        for client in ["other", "orders"] {
            let answer = asking.revoke(realm, client, &token).await;
            assert_refused(&answer, 400, "unauthorized_client");
        }
        assert!(asking.is_active(realm, &token).await, "{realm}");
    }
    asking.end().await;
}

#[tokio::test]
async fn one_token_is_revoked_and_the_next_one_holds() {
    let asking = Asking::begin(REALMS).await;
    let (first, second) = (asking.token("main").await, asking.token("main").await);
    assert_done(&asking.revoke("main", "partner", &first).await);
    assert!(!asking.is_active("main", &first).await);
    assert!(asking.is_active("main", &second).await);
    asking.end().await;
}

#[tokio::test]
async fn the_caller_must_be_a_client_and_ask_in_order() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let token = asking.token(realm).await;
        let body = format!("token={token}");
        let own = asking.basic(realm, "partner");
        let wrong = asking.post(realm, PATH, &basic("partner", "wrong"), &body).await;
        assert_refused(&wrong, 401, "invalid_client");
        assert_eq!(wrong.header("www-authenticate"), Some(&*format!("Basic realm=\"{realm}\"")));
        assert_refused(&asking.post(realm, PATH, "", &body).await, 401, "invalid_client");
        let twice = asking.post(realm, PATH, &own, &format!("{body}&{body}")).await;
        assert_refused(&twice, 400, "invalid_request");
        assert_refused(&asking.post(realm, PATH, &own, "").await, 400, "invalid_request");
        let in_url = asking.post(realm, &format!("{PATH}?{body}"), &own, &body).await;
        assert_refused(&in_url, 400, "invalid_request");
        let request = format!("GET /{realm}{PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
        let got = ask(asking.running.public_address(), &request).await;
        assert_refused(&got, 405, "invalid_request");
        assert_eq!(got.header("allow"), Some("POST"));
        assert!(asking.is_active(realm, &token).await, "{realm}");
    }
    asking.end().await;
}
