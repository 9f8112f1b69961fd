//! Proves that a connection whose caller has been silent is as good as any other. Where there are many,
//! it holds nothing between two requests; what came too early or too late for that is not lost.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::started::{GROWTH, Line, PATIENCE, get, start};
use crate::tls::Stage;

const JWKS: &str = "/.well-known/jwks.json";

/// More than half of the places, and so as many that silent connections hold nothing.
const MANY: usize = 300;
const PLACES: &str = "[server]\nconnections_max = 500\n";

/// Many connections on which nothing was said yet.
async fn crowd(address: SocketAddr) -> Vec<Line> {
    let mut crowd = Vec::new();
    for _ in 0..MANY {
        crowd.push(Line::open(address).await);
    }
    crowd
}

/// Many that were answered once.
async fn served_crowd(address: SocketAddr) -> Vec<Line> {
    let mut crowd = crowd(address).await;
    for line in &mut crowd {
        line.send(&get(JWKS, "x")).await;
    }
    for line in &mut crowd {
        assert_eq!(line.answer().await.status, 200);
    }
    crowd
}

#[tokio::test]
async fn each_of_many_is_answered_again_and_again() {
    let running = start(&format!("{PLACES}{GROWTH}")).await;
    let mut crowd = served_crowd(running.public_address()).await;
    for _ in 0..3 {
        for line in &mut crowd {
            line.send(&get(JWKS, "x")).await;
            assert_eq!(line.answer().await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_head_that_came_in_part_with_the_request_before_it_is_read_to_its_end() {
    let running = start(&format!("{PLACES}{GROWTH}")).await;
    let _crowd = served_crowd(running.public_address()).await;
    let mut line = Line::open(running.public_address()).await;
    let (first, last) = (get(JWKS, "x"), get("/nothing", "x"));
    for cut in [1, last.len() / 2, last.len() - 1] {
        let (begin, rest) = last.split_at(cut);
        line.send(&format!("{first}{begin}")).await;
        assert_eq!(line.answer().await.status, 200);
        assert!(line.is_silent().await, "half of a head is no request");
        line.send(rest).await;
        assert_eq!(line.answer().await.status, 404);
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let running = start(&format!("{PLACES}{GROWTH}")).await;
    let _crowd = served_crowd(running.public_address()).await;
    let mut line = Line::open(running.public_address()).await;
    for _ in 0..2 {
        line.send(&format!("{}{}", get(JWKS, "x"), get("/nothing", "x")).repeat(40)).await;
        for _ in 0..40 {
            assert_eq!(line.answer().await.status, 200);
            assert_eq!(line.answer().await.status, 404);
        }
    }
}

#[tokio::test]
async fn a_caller_that_has_sent_its_last_request_has_an_answer_and_is_hung_up_on() {
    let running = start(&format!("{PLACES}{GROWTH}")).await;
    let mut crowd = served_crowd(running.public_address()).await;
    let mut line = crowd.pop().unwrap();
    line.send(&get(JWKS, "x")).await;
    line.finish_sending().await;
    assert_eq!(line.answer().await.status, 200);
    assert_eq!(line.closed().await, "");
    let mut line = crowd.pop().unwrap();
    line.finish_sending().await;
    assert_eq!(line.closed().await, "");
}

#[tokio::test]
async fn a_server_that_stops_closes_silent_connections_and_answers_what_has_come() {
    let running = start(&format!("{PLACES}{GROWTH}")).await;
    let address = running.public_address();
    let mut silent = served_crowd(address).await;
    let mut asking = Vec::new();
    for _ in 0..20 {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let held = stream.try_clone().unwrap();
        let mut line = Line::over(TcpStream::from_std(stream).unwrap());
        line.send(&get(JWKS, "x")).await;
        assert_eq!(line.answer().await.status, 200);
        asking.push((held, line));
    }
    // Nothing awaits from here on: when stopping begins, the server has heard of none of these.
    for (stream, _) in &asking {
        std::io::Write::write_all(&mut &*stream, get(JWKS, "x").as_bytes()).unwrap();
    }
    let stopping = tokio::spawn(running.stop());
    for line in asking.iter_mut().map(|(_, line)| line) {
        assert_eq!(line.answer().await.status, 200);
    }
    for line in asking.iter_mut().map(|(_, line)| line).chain(&mut silent) {
        assert_eq!(line.closed().await, "");
    }
    tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
}

#[tokio::test]
async fn over_tls_it_is_the_same() {
    let stage = Stage::new();
    let running = start(&format!("{PLACES}{}", stage.section("", GROWTH))).await;
    let _crowd = crowd(running.public_address()).await;
    let stream = stage.connect_as(running.public_address(), None).await.unwrap();
    let mut line = Line::over(stream);
    let (first, last) = (get(JWKS, "x"), get("/nothing", "x"));
    let (begin, rest) = last.split_at(9);
    for _ in 0..3 {
        line.send(&format!("{first}{first}{begin}")).await;
        assert_eq!(line.answer().await.status, 200);
        assert_eq!(line.answer().await.status, 200);
        line.send(rest).await;
        assert_eq!(line.answer().await.status, 404);
    }
    line.finish_sending().await;
    assert_eq!(line.closed().await, "");
}
