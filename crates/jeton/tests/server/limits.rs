//! Proves that callers which are slow, silent, large or many get what the configuration says and no more.

use std::time::{Duration, Instant};

use jeton_engine::manage::{NewClient, NewSecret};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::started::{
    GROWTH, Line, PATIENCE, ask, growth_request, make, post, start, token_when_known,
};

fn with_server(settings: &str) -> String {
    format!("[server]\n{settings}\n{GROWTH}")
}

fn head(headers: &str) -> String {
    format!(
        "POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}"
    )
}

#[tokio::test]
async fn a_silent_connection_is_cut() {
    let running = start(&with_server("header_timeout = \"1s\"")).await;
    let began = Instant::now();
    let mut line = Line::open(running.public_address()).await;
    assert_eq!(line.closed().await, "");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_however_lively_it_is() {
    let running = start(&with_server("header_timeout = \"1s\"")).await;
    let began = Instant::now();
    let mut line = Line::open(running.public_address()).await;
    line.send(&head("")).await;
    while line.is_silent().await && line.send("X-Slow: loris\r\n").await {
        assert!(began.elapsed() < Duration::from_secs(10), "it is still listened to");
    }
    assert_eq!(line.closed().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_second_head_that_trickles_is_cut_as_well() {
    let running = start(&with_server("header_timeout = \"1s\"\nidle_timeout = \"1h\"")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&post("/auth/v1/token", "x", "{}")).await;
    assert_eq!(line.answer().await.status, 400);
    line.send("POST /auth").await;
    assert_eq!(line.closed().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused_in_the_dialect() {
    let running = start(&with_server("body_timeout = \"1s\"")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&head("Content-Length: 100\r\n\r\n{")).await;
    let answer = line.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "{\"error\":\"invalid_request\"}"));
    assert_eq!(answer.header("connection"), Some("close"));
    line.closed().await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_its_idle_time() {
    let running = start(&with_server("idle_timeout = \"1s\"")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&post("/auth/v1/token", "x", "{}")).await;
    assert_eq!(line.answer().await.status, 400);
    assert_eq!(line.closed().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_without_being_read() {
    let running = start(&with_server("body_bytes_max = \"1KiB\"")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&head("Content-Length: 1000000000\r\n\r\n")).await;
    let answer = line.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "{\"error\":\"invalid_request\"}"));
    assert_eq!(answer.header("connection"), Some("close"));
    line.closed().await;
    running.stop().await;
}

#[tokio::test]
async fn the_refusal_of_a_large_body_reaches_a_caller_that_sends_all_of_it_first() {
    let running = start(&with_server("body_bytes_max = \"1KiB\"")).await;
    for framing in ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"]
    {
        let mut line = Line::open(running.public_address()).await;
        line.send(&format!("{}{}", head(framing), "x".repeat(100_000))).await;
        let answer = line.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{framing}");
        line.closed().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_body_of_just_the_allowed_size_is_read() {
    let running = start(&with_server("body_bytes_max = \"1KiB\"")).await;
    let body = |size: usize| format!("{{\"grant_type\":\"{}\"}}", "x".repeat(size - 17));
    let reached_checks = "{\"error\":\"invalid_request\"}";
    let kept = ask(running.public_address(), &post("/auth/v1/token", "x", &body(1024))).await;
    assert_eq!((kept.body.as_str(), kept.header("connection")), (reached_checks, None));
    let closed = ask(running.public_address(), &post("/auth/v1/token", "x", &body(1025))).await;
    assert_eq!(closed.header("connection"), Some("close"));
    running.stop().await;
}

#[tokio::test]
async fn a_caller_that_asks_first_is_told_to_go_on_or_not() {
    let running = start(&with_server("body_bytes_max = \"1KiB\"")).await;
    let mut line = Line::open(running.public_address()).await;
    line.send(&head("Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(line.answer().await.status, 100);
    line.send("{}").await;
    assert_eq!(line.answer().await.status, 400);

    let mut line = Line::open(running.public_address()).await;
    line.send(&head("Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n")).await;
    assert_eq!(line.answer().await.status, 400, "the answer comes at once, without 100");
    running.stop().await;
}

#[tokio::test]
async fn large_heads_and_many_fields_are_refused() {
    let running = start(&with_server("header_bytes_max = \"8KiB\"\nheaders_max = 16")).await;
    let fine = head(&format!("X-Padding: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(4_000)));
    assert_eq!(ask(running.public_address(), &fine).await.status, 400);
    let large = head(&format!("X-Padding: {}\r\n\r\n", "x".repeat(20_000)));
    assert_eq!(ask(running.public_address(), &large).await.status, 431);
    let many = head(&format!("{}\r\n", "X-Many: 1\r\n".repeat(20)));
    assert_eq!(ask(running.public_address(), &many).await.status, 431);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let running = start(&with_server("connections_max = 1")).await;
    let mut first = Line::open(running.public_address()).await;
    first.send(&post("/auth/v1/token", "x", "{}")).await;
    assert_eq!(first.answer().await.status, 400);
    let mut second = Line::open(running.public_address()).await;
    second.send(&post("/auth/v1/token", "x", "{}")).await;
    assert!(second.is_silent().await);
    drop(first);
    assert_eq!(second.answer().await.status, 400);
    running.stop().await;
}

#[tokio::test]
async fn a_request_too_many_hears_at_once_that_it_should_come_again() {
    let text =
        format!("[server]\nrequests_in_flight_max = 1\n[secrets]\nargon2_passes = 20\n{GROWTH}");
    let running = start(&text).await;
    let secret = NewSecret::Supplied(Zeroizing::new("correct horse battery staple".to_owned()));
    let new = NewClient { id: Some("partner".parse().unwrap()), secret, ..NewClient::default() };
    let secret = make(&running, &text, "growth", new).await;
    let address = running.public_address();
    token_when_known(address, "x", &secret).await;
    // A wrong secret is hashed every time, which takes long enough for the others to arrive.
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let request = growth_request("x", "wrong");
        asking.spawn(async move { ask(address, &request).await });
    }
    let answers = asking.join_all().await;
    let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!busy.is_empty() && busy.len() < 8, "{answers:?}");
    for answer in busy {
        assert_eq!(answer.body, "{\"error\":\"internal_server_error\"}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    running.stop().await;
}

#[tokio::test]
async fn requests_may_be_sent_in_a_row_and_the_sending_half_closed() {
    let running = start(GROWTH).await;
    let mut line = Line::open(running.public_address()).await;
    let request = post("/auth/v1/token", "x", "{}");
    line.send(&format!("{request}{request}")).await;
    line.finish_sending().await;
    assert_eq!(line.answer().await.status, 400);
    assert_eq!(line.answer().await.status, 400);
    assert_eq!(line.closed().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_caller_that_takes_no_answers_is_cut() {
    let running = start(&with_server("write_timeout = \"1s\"")).await;
    let mut line = Line::open_narrow(running.public_address()).await;
    let requests = post("/auth/v1/token", "x", "{}").repeat(100);
    let sending = async { while line.send(&requests).await {} };
    let cut = tokio::time::timeout(PATIENCE, sending).await;
    assert!(cut.is_ok(), "it is still listened to");
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_server_goes_on() {
    let running = start(GROWTH).await;
    for noise in ["\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "POST / HTTP/9.9\r\n\r\n"] {
        let mut line = Line::open(running.public_address()).await;
        line.send(noise).await;
        let said = line.closed().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{noise:?}: {said}");
    }
    assert_eq!(ask(running.public_address(), &post("/auth/v1/token", "x", "{}")).await.status, 400);
    running.stop().await;
}

#[tokio::test]
async fn contradicting_lengths_are_refused() {
    let running = start(GROWTH).await;
    for headers in [
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: -1\r\n\r\n{}",
        "Transfer-Encoding: gzip\r\n\r\n{}",
    ] {
        let mut line = Line::open(running.public_address()).await;
        line.send(&head(headers)).await;
        let said = line.closed().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{headers:?}: {said}");
        assert_eq!(said.matches("HTTP/1.1").count(), usize::from(!said.is_empty()), "one answer");
    }
    running.stop().await;
}
