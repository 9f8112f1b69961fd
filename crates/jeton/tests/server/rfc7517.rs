//! Proves what the JWK set holds and how it is cached (RFC 7517 section 5, RFC 9110 section 13).

use jeton::serve::Running;
use jeton_engine::jose::{Algorithm, JwkSet};
use jeton_engine::manage::Manage;

use crate::started::{Answer, GROWTH, ask, get, start, within_patience};

const MAIN: &str = "[realm.main]\nissuer = \"https://a.example.com/main\"\n";
const PATH: &str = "/main/.well-known/jwks.json";

async fn asked(running: &Running, method: &str, path: &str, headers: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    ask(running.public_address(), &request).await
}

#[tokio::test]
async fn the_set_is_cached_for_five_minutes_under_its_registered_type() {
    let running = start(MAIN).await;
    let answer = ask(running.public_address(), &get(PATH, "x")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/jwk-set+json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(answer.header("etag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')));
    let set = JwkSet::parse(&answer.body).unwrap();
    assert_eq!(set.keys().len(), 1);
    assert_eq!(set.keys()[0].algorithm(), Algorithm::EdDsa);
    running.stop().await;
}

#[tokio::test]
async fn who_has_this_version_is_not_sent_it_again() {
    let running = start(MAIN).await;
    let tag = asked(&running, "GET", PATH, "").await.header("etag").unwrap().to_owned();
    for named in [tag.clone(), format!("W/{tag}"), format!("\"old\", {tag}"), "*".to_owned()] {
        let answer = asked(&running, "GET", PATH, &format!("If-None-Match: {named}\r\n")).await;
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{named}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    }
    let other = asked(&running, "GET", PATH, "If-None-Match: \"old\"\r\n").await;
    assert_eq!(other.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_new_key_makes_another_version() {
    let running = start(MAIN).await;
    let before = asked(&running, "GET", PATH, "").await;
    let tag = before.header("etag").unwrap().to_owned();
    let manage = Manage::new(running.parts().clone());
    let realm = "main".parse().unwrap();
    let upcoming = manage.rotate_key(&realm, Algorithm::EdDsa).await.unwrap();
    let after = within_patience(async || {
        let answer = asked(&running, "GET", PATH, &format!("If-None-Match: {tag}\r\n")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(after.body.contains(upcoming.id.as_str()), "an upcoming key is published ahead");
    assert_eq!(JwkSet::parse(&after.body).unwrap().keys().len(), 2);
    assert!(!after.body.contains("\"d\""), "no private member");
    running.stop().await;
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let running = start(MAIN).await;
    let whole = asked(&running, "GET", PATH, "").await;
    let mut line = crate::started::Line::open(running.public_address()).await;
    line.send(&format!("HEAD {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await;
    let head = line.closed().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", whole.body.len())), "{head}");
    assert!(head.contains("content-type: application/jwk-set+json\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    running.stop().await;
}

#[tokio::test]
async fn other_methods_are_refused_and_told_which_there_are() {
    let running = start(MAIN).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = asked(&running, method, PATH, "Content-Length: 0\r\n").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_symmetric_key_is_never_published() {
    // This realm's dialect signs with HS256.
    let running = start(GROWTH).await;
    let answer = asked(&running, "GET", "/.well-known/jwks.json", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"keys\":[]}"));
    running.stop().await;
}

#[tokio::test]
async fn no_other_spelling_of_the_path_has_it() {
    let running = start(MAIN).await;
    for path in [
        "/.well-known/jwks.json",
        "/main/.well-known/jwks.json/",
        "/main/.well-known/jwks",
        "/main//.well-known/jwks.json",
        "/.well-known/jwks.json/main",
    ] {
        assert_eq!(asked(&running, "GET", path, "").await.status, 404, "{path}");
    }
    running.stop().await;
}
