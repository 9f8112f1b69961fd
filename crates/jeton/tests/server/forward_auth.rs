//! Proves what gateways hear at `/oauth2/verify` (RFC 6750 section 3), in a realm of either kind.

use jeton::serve::Running;
use jeton_engine::manage::NewClient;

use crate::asking::{Asking, BOTH, REALMS};
use crate::started::{Answer, ask, within_patience};

const IDENTITY: [&str; 4] =
    ["x-jeton-client-id", "x-jeton-subject", "x-jeton-scope", "x-jeton-token-id"];

async fn verify(running: &Running, target: &str, headers: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    ask(running.public_address(), &request).await
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn identity(answer: &Answer) -> Vec<Option<&str>> {
    IDENTITY.iter().map(|name| answer.header(name)).collect()
}

/// A no: bare, uncached, and without an identity. With 401 it names both ways of presenting a token.
fn assert_challenged(answer: &Answer, status: u16, challenge: &str) {
    let realm = challenge.split('"').nth(1).unwrap();
    let algorithms = "EdDSA ES256 ES384 PS256 RS256";
    let challenge = match status {
        401 => format!("{challenge}, DPoP realm=\"{realm}\", algs=\"{algorithms}\""),
        _ => challenge.to_owned(),
    };
    assert_eq!((answer.status, answer.body.as_str()), (status, ""), "{answer:?}");
    assert_eq!(answer.header("www-authenticate"), Some(&*challenge), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(identity(answer), [None; 4]);
}

#[tokio::test]
async fn a_token_that_holds_passes_with_the_callers_identity() {
    let asking = Asking::begin(REALMS).await;
    let headers = bearer(&asking.token("main").await);
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"] {
        let request = format!(
            "{method} /main/oauth2/verify HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let answer = ask(asking.running.public_address(), &request).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{method}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let [client, subject, scope, id] = identity(&answer)[..] else { unreachable!() };
        assert_eq!(
            (client, subject, scope),
            (Some("partner"), Some("partner"), Some("read write"))
        );
        assert_eq!(id.map(str::len), Some(36));
    }
    asking.end().await;
}

#[tokio::test]
async fn what_is_absent_is_an_empty_header_so_that_a_copy_overwrites() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("staff").await;
    let forged: String = IDENTITY.map(|name| format!("{name}: admin\r\n")).concat();
    let answer =
        verify(&asking.running, "/staff/oauth2/verify", &format!("{forged}{}", bearer(&token)))
            .await;
    assert_eq!(answer.status, 204);
    // Tokens of this dialect have neither scope nor identifier.
    let absent = [Some("partner"), Some("partner"), Some(""), Some("")];
    assert_eq!(identity(&answer), absent);

    // Also after somebody who has both was let through.
    let other = bearer(&asking.token("main").await);
    let passed = verify(&asking.running, "/main/oauth2/verify", &other).await;
    assert_eq!(passed.header("x-jeton-scope"), Some("read write"));
    let again = verify(&asking.running, "/staff/oauth2/verify", &bearer(&token)).await;
    assert_eq!(identity(&again), absent);
    asking.end().await;
}

#[tokio::test]
async fn hard_characters_are_percent_encoded() {
    let asking = Asking::begin_with(REALMS, |new: &mut NewClient| {
        new.subject = Some(format!("Zoë 100% {}", new.id.as_ref().unwrap()).parse().unwrap());
    })
    .await;
    for realm in BOTH {
        let headers = bearer(&asking.token(realm).await);
        let answer = verify(&asking.running, &format!("/{realm}/oauth2/verify"), &headers).await;
        assert_eq!(
            answer.header("x-jeton-subject"),
            Some("Zo%C3%AB%20100%25%20partner"),
            "{realm}"
        );
    }
    asking.end().await;
}

#[tokio::test]
async fn without_a_token_there_is_a_challenge_without_an_error() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let target = format!("/{realm}/oauth2/verify");
        let challenge = format!("Bearer realm=\"{realm}\"");
        for headers in ["", "Authorization: Basic YTpi\r\n", "Authorization: DPoPs x\r\n"] {
            assert_challenged(&verify(&asking.running, &target, headers).await, 401, &challenge);
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_invalid_however_it_is_wrong() {
    let asking = Asking::begin(REALMS).await;
    for (realm, other) in [("main", "staff"), ("staff", "main")] {
        let target = format!("/{realm}/oauth2/verify");
        let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
        let elsewhere = asking.token(other).await;
        for token in ["nonsense", "a.b.c", "", "a b", "jse_x", "\u{fc}", &elsewhere] {
            let answer = verify(&asking.running, &target, &bearer(token)).await;
            assert_challenged(&answer, 401, &challenge);
            assert_eq!(answer.header("jeton-reference").map(str::len), Some(10));
        }
        let token = asking.token(realm).await;
        assert_eq!(verify(&asking.running, &target, &bearer(&token)).await.status, 204);
        let lower = format!("authorization: bearer {token}\r\n");
        assert_eq!(verify(&asking.running, &target, &lower).await.status, 204);
        assert_eq!(asking.revoke(realm, "partner", &token).await.status, 200);
        assert_challenged(
            &verify(&asking.running, &target, &bearer(&token)).await,
            401,
            &challenge,
        );
    }
    asking.end().await;
}

#[tokio::test]
async fn a_token_comes_once_and_never_in_a_url() {
    let text = format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n{REALMS}");
    let asking = Asking::begin(&text).await;
    for realm in BOTH {
        let one = bearer(&asking.token(realm).await);
        let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_request\"");
        let target = format!("/{realm}/oauth2/verify");
        let in_urls = [
            (format!("{target}?access_token=x"), String::new()),
            (format!("{target}?access_token=x"), one.clone()),
            (format!("{target}?scope=read&access%5Ftoken=x"), one.clone()),
            (format!("{target}?for=/orders?access_token=x"), one.clone()),
            (format!("{target}/orders?access_token=x"), one.clone()),
            (target.clone(), format!("{one}{one}")),
            (target.clone(), format!("{one}X-Forwarded-Uri: /orders?access_token=x\r\n")),
            (target.clone(), format!("{one}X-Original-URL: https://x/?access_token=x\r\n")),
        ];
        for (target, headers) in in_urls {
            let answer = verify(&asking.running, &target, &headers).await;
            assert_challenged(&answer, 401, &challenge);
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn a_gateway_may_demand_scope_and_audience() {
    let asking = Asking::begin(REALMS).await;
    let headers = bearer(&asking.token("main").await);
    let refused = "Bearer realm=\"main\", error=\"invalid_token\"";
    for (query, status) in [
        ("scope=read", 204),
        ("scope=read+write", 204),
        ("scope=read&scope=write", 204),
        ("audience=orders", 204),
        ("audience=nobody&audience=billing", 204),
        ("scope=read&audience=orders", 204),
        ("audience=nobody", 401),
        ("audience=order", 401),
        ("scope=admin", 403),
        ("scope=read&scope=admin", 403),
        ("scope=READ", 403),
    ] {
        let answer =
            verify(&asking.running, &format!("/main/oauth2/verify?{query}"), &headers).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        if status == 401 {
            assert_challenged(&answer, 401, refused);
        }
    }
    let answer = verify(&asking.running, "/main/oauth2/verify?scope=read+admin", &headers).await;
    let challenge = "Bearer realm=\"main\", error=\"insufficient_scope\", scope=\"read admin\"";
    assert_challenged(&answer, 403, challenge);
    // Tokens of this dialect have no audience and no scope at all.
    let headers = bearer(&asking.token("staff").await);
    for (query, status) in [("", 204), ("audience=orders", 401), ("scope=read", 403)] {
        let target = format!("/staff/oauth2/verify?{query}");
        assert_eq!(verify(&asking.running, &target, &headers).await.status, status, "{query}");
    }
    asking.end().await;
}

#[tokio::test]
async fn nothing_that_a_caller_sends_is_a_requirement() {
    let asking = Asking::begin(REALMS).await;
    let headers = bearer(&asking.token("main").await);
    for (target, status) in [
        // Behind the path everything is the caller's.
        ("/main/oauth2/verify/orders?scope=admin&x=1&x=2", 200),
        ("/main/oauth2/verify/", 200),
        ("/main/oauth2/verify/../token", 200),
        // After `for=` as well: it can neither add an audience nor take scope away.
        ("/main/oauth2/verify?scope=read&for=/orders?scope=admin", 200),
        ("/main/oauth2/verify?audience=nobody&for=/orders?x&audience=orders", 401),
        ("/main/oauth2/verify?scope=admin&for=/orders&for=&scope=read", 403),
    ] {
        let answer = verify(&asking.running, target, &headers).await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
    }
    asking.end().await;
}

#[tokio::test]
async fn a_gateways_own_mistake_is_a_no_that_asks_for_no_other_token() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let headers = bearer(&asking.token(realm).await);
        for query in ["scope=", "audience=", "scopes=read", "scope=a%22b", "x=1"] {
            let target = format!("/{realm}/oauth2/verify?{query}");
            let answer = verify(&asking.running, &target, &headers).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (403, None), "{query}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(answer.body.contains("\"error_description\":\""), "{query}");
            assert_eq!(identity(&answer), [None; 4]);
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn a_disabled_clients_token_stops_passing_within_a_second() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let headers = bearer(&asking.token(realm).await);
        let target = format!("/{realm}/oauth2/verify");
        assert_eq!(verify(&asking.running, &target, &headers).await.status, 204);
        let (name, id) = (realm.parse().unwrap(), "partner".parse().unwrap());
        let disabled = jeton_engine::client::ClientStatus::Disabled;
        asking.manage().set_status(&name, &id, disabled).await.unwrap();
        let began = std::time::Instant::now();
        within_patience(async || {
            (verify(&asking.running, &target, &headers).await.status == 401).then_some(())
        })
        .await;
        assert!(began.elapsed().as_millis() < 1000, "{realm}: {:?}", began.elapsed());
    }
    asking.end().await;
}

#[tokio::test]
async fn a_refusal_can_be_explained_by_its_reference() {
    let asking = Asking::begin(REALMS).await;
    let manage = asking.manage();
    let token = asking.token("main").await;
    for (query, token, detail) in
        [("", "nonsense", "token_invalid"), ("?scope=admin", token.as_str(), "scope_insufficient")]
    {
        let target = format!("/main/oauth2/verify{query}");
        let answer = verify(&asking.running, &target, &bearer(token)).await;
        let reference = answer.header("jeton-reference").unwrap().parse().unwrap();
        let event = within_patience(async || manage.event(reference).await.unwrap()).await;
        assert_eq!((event.kind.name(), event.detail.as_deref()), ("access_refused", Some(detail)));
    }
    asking.end().await;
}
