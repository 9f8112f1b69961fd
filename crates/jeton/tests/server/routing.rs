//! Proves which realm and which dialect answers: by path first, by host among equals, and by exact bytes.

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::started::{
    GROWTH, ask, get, growth_body, growth_request, make_client, post, start, token_when_known,
};

const TWO_HOSTS: &str = "\
[realm.growth]\nissuer = \"https://a.example.com\"\ndialects = [\"dt-growth\"]\n\
[realm.other]\nissuer = \"https://b.example.com:8443\"\ndialects = [\"dt-growth\"]\nhosts = [\"c.example.com\"]\n";

#[tokio::test]
async fn a_token_is_issued_to_a_client_and_refused_to_anybody_else() {
    let running = start(GROWTH).await;
    let address = running.public_address();
    let secret = make_client(&running, GROWTH, "growth").await;
    let answer = token_when_known(address, "reporting.example.com", &secret).await;
    assert!(answer.body.starts_with("{\"accessToken\":\"eyJ"), "{}", answer.body);
    assert!(
        answer.body.ends_with("\",\"tokenType\":\"bearer\",\"expiresIn\":3600}"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let answer = ask(address, &growth_request("reporting.example.com", "wrong")).await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "{\"error\":\"invalid_client\"}"));
    running.stop().await;
}

#[tokio::test]
async fn two_realms_with_one_path_are_told_apart_by_host() {
    let running = start(TWO_HOSTS).await;
    let address = running.public_address();
    let secret = make_client(&running, TWO_HOSTS, "growth").await;
    token_when_known(address, "a.example.com", &secret).await;
    for (host, status) in [
        ("A.Example.COM", 200),
        ("a.example.com:443", 200),
        ("b.example.com", 400),
        ("b.example.com:8443", 400),
        ("c.example.com", 400),
        ("c.example.com:1", 400),
        ("d.example.com", 404),
        ("", 404),
    ] {
        let answer = ask(address, &growth_request(host, &secret)).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.body);
    }
    let nowhere = ask(address, &growth_request("d.example.com", &secret)).await;
    assert_eq!(nowhere.body, "{\"error\":\"not_found\"}");
    running.stop().await;
}

#[tokio::test]
async fn the_host_of_the_target_wins_over_the_header() {
    let running = start(TWO_HOSTS).await;
    let address = running.public_address();
    let secret = make_client(&running, TWO_HOSTS, "growth").await;
    token_when_known(address, "a.example.com", &secret).await;
    for (target, host, status) in [
        ("http://a.example.com/auth/v1/token", "b.example.com", 200),
        ("http://b.example.com/auth/v1/token", "a.example.com", 400),
    ] {
        let answer = ask(address, &post(target, host, &growth_body(&secret))).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_realm_with_a_prefix_of_its_own_answers_whatever_the_host() {
    let text = "[realm.growth]\nissuer = \"https://a.example.com/growth\"\ndialects = [\"dt-growth\"]\n\
                [realm.main]\nissuer = \"https://b.example.com\"\n";
    let running = start(text).await;
    let address = running.public_address();
    for (path, host, status) in [
        ("/growth/auth/v1/token", "elsewhere.example.com", 400),
        ("/oauth2/token", "elsewhere.example.com", 400),
        ("/auth/v1/token", "a.example.com", 404),
        ("/growthy/auth/v1/token", "a.example.com", 404),
    ] {
        let answer = ask(address, &post(path, host, "{}")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    let answer = ask(address, "POST /oauth2/token HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.status, 400, "HTTP/1.0 needs no host: {answer:?}");
    running.stop().await;
}

#[tokio::test]
async fn no_spelling_of_a_path_reaches_an_endpoint_but_its_own() {
    let running = start(GROWTH).await;
    let address = running.public_address();
    assert_eq!(ask(address, &post("/auth/v1/token?format=csv", "x", "{}")).await.status, 400);
    for path in [
        "/auth/v1/token/",
        "//auth/v1/token",
        "/auth//v1/token",
        "/auth/./v1/token",
        "/auth/x/../v1/token",
        "/auth/v1/%74oken",
        "/auth/v1/tokeN",
        "/auth/v1",
        "/",
    ] {
        let answer = ask(address, &post(path, "x", "{}")).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_unknown_path_is_answered_by_the_dialect_that_is_nearest() {
    let text = "[realm.main]\nissuer = \"https://a.example.com/main\"\ndialects = [\"rfc6749\", \"dt-growth\"]\n";
    let running = start(text).await;
    let address = running.public_address();
    // The one dialect says nothing in the body, the other names the error.
    for (path, says_something) in [
        ("/main/auth/v2/token", false),
        ("/main/auth", false),
        ("/main/oauth2/tokens", true),
        ("/main/elsewhere", true),
        ("/main/", true),
        ("/main", true),
    ] {
        let answer = ask(address, &post(path, "x", "{}")).await;
        assert_eq!((answer.status, !answer.body.is_empty()), (404, says_something), "{path}");
    }
    let answer = ask(address, &get("/", "x")).await;
    assert_eq!((answer.status, answer.body.as_str()), (404, "{\"error\":\"not_found\"}"));
    running.stop().await;
}

#[tokio::test]
async fn every_method_is_the_dialects_to_refuse() {
    let running = start(GROWTH).await;
    for method in ["GET", "PUT", "OPTIONS", "DELETE", "BREW"] {
        let request = format!("{method} /auth/v1/token HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = ask(running.public_address(), &request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
    running.stop().await;
}

/// RFC 9112 section 3.2.
#[tokio::test]
async fn a_request_says_once_and_rightly_for_which_host_it_is() {
    let running = start(GROWTH).await;
    let ask = async |version: &str, host: &str| {
        let request =
            format!("POST /auth/v1/token HTTP/{version}\r\n{host}Content-Length: 0\r\n\r\n");
        ask(running.public_address(), &request).await
    };
    for host in ["Host: a\r\nHost: b\r\n", "", "Host: a b\r\n", "Host: a/b\r\n", "Host: a@b\r\n"] {
        assert_eq!(ask("1.1", host).await.body, "{\"error\":\"invalid_request\"}", "{host}");
    }
    for (version, host) in [
        ("1.1", "Host: a\r\n"),
        ("1.1", "Host: [::1]:8443\r\n"),
        ("1.1", "Host: \r\n"),
        ("1.0", ""),
    ] {
        let answer = ask(version, host).await;
        assert_eq!(answer.body, "{\"error\":\"Bad_Request\"}", "{host}: the dialect answers");
    }
    running.stop().await;
}

/// RFC 9112 section 6.1.
#[tokio::test]
async fn a_body_in_a_coding_that_nobody_takes_off_is_refused_and_the_connection_ends() {
    let running = start(GROWTH).await;
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    let body = growth_body(&secret);
    for (coding, status) in [("chunked", 200), ("Chunked", 200), ("gzip, chunked", 400)] {
        let request = format!(
            "POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: {coding}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        let answer = ask(running.public_address(), &request).await;
        assert_eq!(answer.status, status, "{coding}: {answer:?}");
        assert_eq!(answer.header("connection"), (status == 400).then_some("close"));
    }
    running.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_and_its_authority_is_the_host() {
    let running = start(TWO_HOSTS).await;
    let address = running.public_address();
    let secret = make_client(&running, TWO_HOSTS, "growth").await;
    token_when_known(address, "a.example.com", &secret).await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let driver = tokio::spawn(connection);
    for (host, status) in [("a.example.com", 200), ("b.example.com", 400), ("d.example.com", 404)] {
        let request = http::Request::post(format!("http://{host}/auth/v1/token"))
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(growth_body(&secret))))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{host}");
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    running.stop().await;
    drop(sender);
    let _ = driver.await.unwrap();
}

#[tokio::test]
async fn health_is_told_on_the_admin_listener_and_nowhere_else() {
    let running = start(GROWTH).await;
    let (public, admin) = (running.public_address(), running.admin_address());
    let live = ask(admin, &get("/health/live", "x")).await;
    assert_eq!((live.status, live.body.as_str()), (200, "{\"status\":\"live\"}"));
    let ready = ask(admin, &get("/health/ready", "x")).await;
    assert_eq!((ready.status, ready.body.as_str()), (200, "{\"status\":\"ready\"}"));
    assert_eq!(ask(admin, &get("/health", "x")).await.status, 404);
    assert_eq!(ask(admin, &post("/health/live", "x", "{}")).await.status, 405);
    assert_eq!(ask(admin, &post("/auth/v1/token", "x", "{}")).await.status, 404);
    assert_eq!(ask(public, &get("/health/live", "x")).await.status, 404);
    running.stop().await;
}
