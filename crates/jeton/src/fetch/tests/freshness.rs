//! When a URL is asked again, and what is used until then.

use super::*;

#[tokio::test]
async fn two_hundred_who_wait_make_one_fetch() {
    let stage = Stage::new();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = stage.server(move |_, out| {
        gate.lock().unwrap().recv().unwrap();
        send(out, &answer("200 OK", "", &set("one")));
    });
    let place = named(&server);
    let waiting: Vec<_> = (0..200)
        .map(|nth| {
            let (keys, place) = (stage.keys.clone(), place.clone());
            tokio::spawn(async move { keys.keys(&place, Some(&format!("k{nth}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    for one in waiting {
        assert_eq!(key_ids(&one.await.unwrap().unwrap()), ["one"]);
    }
    assert_eq!((server.connections(), stage.lookups.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_request_that_is_given_up_does_not_end_the_fetch_for_the_others() {
    let stage = Stage::new();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let server = stage.server(move |_, out| {
        gate.lock().unwrap().recv().unwrap();
        send(out, &answer("200 OK", "", &set("one")));
    });
    let (keys, place) = (stage.keys.clone(), named(&server));
    let first = tokio::spawn({
        let (keys, place) = (keys.clone(), place.clone());
        async move { keys.keys(&place, None).await }
    });
    tokio::task::yield_now().await;
    first.abort();
    let second = tokio::spawn(async move { keys.keys(&place, None).await });
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    assert!(second.await.unwrap().is_ok());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn key_identifiers_out_of_the_air_do_not_make_fetches() {
    let stage = Stage::new();
    let published = Published::new("one");
    let server = stage.server(published.answer());
    let place = named(&server);
    stage.get(&place).await.unwrap();
    for nth in 0..1000 {
        let keys = stage.keys.keys(&place, Some(&format!("random-{nth}"))).await.unwrap();
        assert_eq!(key_ids(&keys), ["one"]);
    }
    assert_eq!(server.connections(), 1);
    stage.later(30);
    for nth in 0..1000 {
        stage.keys.keys(&place, Some(&format!("random-{nth}"))).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
    // A key that is there in earnest is found as soon as the URL may be asked again.
    published.say("two", "");
    stage.later(30);
    assert_eq!(key_ids(&stage.keys.keys(&place, Some("two")).await.unwrap()), ["two"]);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn keys_are_used_for_as_long_as_their_server_says_within_bounds() {
    for (headers, seconds) in [
        ("", 300),
        ("Cache-Control: max-age=1200\r\n", 1200),
        ("Cache-Control: max-age=1\r\n", 300),
        ("Cache-Control: no-store\r\n", 300),
        ("Cache-Control: max-age=99999999\r\n", 3600),
    ] {
        let stage = Stage::new();
        let published = Published::default();
        published.say("one", headers);
        let server = stage.server(published.answer());
        let place = named(&server);
        stage.get(&place).await.unwrap();
        published.say("two", headers);
        stage.later(seconds * 3 / 4 - 1);
        assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"], "{headers}");
        assert_eq!(server.connections(), 1, "{headers}");
        stage.later(seconds / 4 + 2);
        assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["two"], "{headers}");
        assert_eq!(server.connections(), 2, "{headers}");
    }
}

#[tokio::test]
async fn ageing_keys_are_fetched_in_the_background() {
    let stage = Stage::new();
    let published = Published::new("one");
    let server = stage.server(published.answer());
    let place = named(&server);
    stage.get(&place).await.unwrap();
    published.say("two", "");
    stage.later(290);
    // Whoever asks gets what is there at once, and begins the fetch.
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"]);
    // Whoever wants the new key joins it.
    assert_eq!(key_ids(&stage.keys.keys(&place, Some("two")).await.unwrap()), ["two"]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn stale_keys_are_used_for_a_stated_time_and_then_no_longer() {
    let stage = Stage::new();
    let published = Published::new("one");
    let server = stage.server(published.answer());
    let place = named(&server);
    stage.get(&place).await.unwrap();
    published.fall_silent();
    stage.later(301);
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"]);
    assert_eq!(server.connections(), 2);
    // Not asked again at once, nor waited for.
    for _ in 0..100 {
        stage.get(&place).await.unwrap();
    }
    assert_eq!(server.connections(), 2);
    stage.later(7198);
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"]);
    stage.later(60);
    assert_eq!(stage.get(&place).await.unwrap_err(), FetchError::Status(503));
    published.say("two", "");
    stage.later(30);
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["two"]);
}

#[tokio::test]
async fn failures_are_remembered_shortly() {
    let stage = Stage::new();
    let published = Published::default();
    let server = stage.server(published.answer());
    let place = named(&server);
    for _ in 0..100 {
        assert_eq!(stage.get(&place).await.unwrap_err(), FetchError::Status(503));
    }
    assert_eq!(server.connections(), 1);
    published.say("one", "");
    stage.later(29);
    assert!(stage.get(&place).await.is_err());
    stage.later(1);
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_no_fetch() {
    let stage = Stage::new();
    let published = Published::new("one");
    let server = stage.server(published.answer());
    let place = named(&server);
    stage.get(&place).await.unwrap();
    published.say("two", "");
    stage.clock.set(START.minus(Duration::from_secs(86_400)));
    assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["two"]);
}

#[tokio::test]
async fn no_more_sets_are_kept_than_allowed_and_the_least_needed_goes() {
    let stage = Stage::with(Bounds { key_sets_max: 2, ..bounds() }, |_| vec![ALLOWED]);
    let servers = [(); 3].map(|()| stage.server(Published::new("one").answer()));
    let [first, second, third] = &servers;
    for server in [first, second] {
        stage.get(&named(server)).await.unwrap();
        stage.later(1);
    }
    stage.get(&named(first)).await.unwrap();
    stage.later(1);
    stage.get(&named(third)).await.unwrap();
    stage.get(&named(first)).await.unwrap();
    assert_eq!(servers.each_ref().map(Server::connections), [1, 1, 1]);
    stage.get(&named(second)).await.unwrap();
    assert_eq!(servers.each_ref().map(Server::connections), [1, 2, 1]);
}

#[tokio::test]
async fn sets_of_many_keys_push_out_others_before_memory_is_full() {
    // Two sets of eight keys on average.
    let stage = Stage::with(Bounds { key_sets_max: 2, ..bounds() }, |_| vec![ALLOWED]);
    let small = stage.server(Published::new("one").answer());
    let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#);
    let big = format!(r#"{{"keys":[{}]}}"#, vec![key; 16].join(","));
    let large = stage.server(move |_, out| send(out, &answer("200 OK", "", &big)));
    stage.get(&named(&small)).await.unwrap();
    stage.later(1);
    assert_eq!(stage.get(&named(&large)).await.unwrap().keys().len(), 16);
    stage.get(&named(&large)).await.unwrap();
    assert_eq!((small.connections(), large.connections()), (1, 1));
    stage.get(&named(&small)).await.unwrap();
    assert_eq!((small.connections(), large.connections()), (2, 1));
}
