//! Proves that a server which is told to stop finishes what has begun, takes nothing new, and waits no
//! longer than its grace.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::started::{
    GROWTH, Line, PATIENCE, ask, get, make_client, post, start, token_when_known, within_patience,
};

#[tokio::test]
async fn a_request_that_has_begun_is_answered_and_nothing_new_is_taken() {
    let running = start(GROWTH).await;
    let (public, admin) = (running.public_address(), running.admin_address());
    let mut idle = Line::open(public).await;
    idle.send(&post("/auth/v1/token", "x", "{}")).await;
    assert_eq!(idle.answer().await.status, 400);
    let mut begun = Line::open(public).await;
    begun.send("POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(begun.answer().await.status, 100, "the request has begun");

    let stopping = tokio::spawn(running.stop());
    assert_eq!(idle.closed().await, "", "an idle connection is closed at once");
    // The listener closes before the last request is finished.
    let refused = async {
        while TcpStream::connect(public).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("nothing new is taken");
    let ready = ask(admin, &get("/health/ready", "x")).await;
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(!stopping.is_finished(), "it waits for the request");

    begun.send("{}").await;
    let answer = begun.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, "{\"error\":\"invalid_request\"}"));
    begun.closed().await;
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn while_it_drains_every_request_is_answered_and_every_answer_is_a_connections_last() {
    let running = start(&format!("[server]\ndrain = \"1s\"\n{GROWTH}")).await;
    let (public, admin) = (running.public_address(), running.admin_address());
    let mut kept = Line::open(public).await;
    kept.send(&post("/auth/v1/token", "x", "{}")).await;
    let answer = kept.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (400, None), "it is kept");

    let running = std::sync::Arc::new(running);
    let draining = tokio::spawn({
        let running = std::sync::Arc::clone(&running);
        async move { running.drain().await }
    });
    within_patience(async || {
        (ask(admin, &get("/health/ready", "x")).await.status == 503).then_some(())
    })
    .await;
    kept.send(&post("/auth/v1/token", "x", "{}")).await;
    let answer = kept.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert_eq!(kept.closed().await, "");
    // New connections are still welcome, and closed with their first answer.
    let mut new = Line::open(public).await;
    new.send(&post("/auth/v1/token", "x", "{}")).await;
    let answer = new.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    assert_eq!(new.closed().await, "");
    draining.await.unwrap();
    let running = std::sync::Arc::into_inner(running).unwrap();
    tokio::time::timeout(PATIENCE, running.stop()).await.unwrap();
}

#[tokio::test]
async fn what_the_kernel_took_before_the_end_is_answered() {
    let running = start(GROWTH).await;
    let public = running.public_address();
    // Nothing awaits in between: when stopping begins, the server has heard of none of these.
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(public).unwrap();
        let request = post("/auth/v1/token", "x", "{}");
        std::io::Write::write_all(&mut &stream, request.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        lines.push(Line::over(TcpStream::from_std(stream).unwrap()));
    }
    let stopping = tokio::spawn(running.stop());
    for line in &mut lines {
        let answer = line.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
    }
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_grace_ends_what_does_not_end_itself() {
    let running = start(&format!("[server]\nshutdown_grace = \"1s\"\n{GROWTH}")).await;
    let mut hanging = Line::open(running.public_address()).await;
    hanging.send("POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(hanging.answer().await.status, 100);
    let began = Instant::now();
    tokio::time::timeout(PATIENCE, running.stop()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(began.elapsed() < Duration::from_secs(8), "the body's own time was not waited for");
    assert_eq!(hanging.closed().await, "");
}

#[tokio::test]
async fn dropping_a_server_stops_it() {
    let running = start(GROWTH).await;
    let address = running.public_address();
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(address, "x", &secret).await;
    drop(running);
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the listener closes");
}
