//! Where requests go and what answers may cost.

use super::*;
use crate::tls::rehearsal::Use;

#[tokio::test]
async fn keys_are_fetched_from_an_allowed_address_by_name_and_by_number() {
    let stage = Stage::new();
    let server = stage.server(Published::new("one").answer());
    for place in [named(&server), at(ALLOWED, &server)] {
        assert_eq!(key_ids(&stage.get(&place).await.unwrap()), ["one"]);
    }
    let asked = server.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /jwks.json http/1.1\r\nhost: keys.example.com:"), "{asked}");
    for header in ["cookie", "authorization", "accept-encoding", "referer"] {
        assert!(!asked.contains(header), "{asked}");
    }
}

#[tokio::test]
async fn the_systems_names_and_an_authority_in_a_file_are_enough() {
    let (authority, folder) = (Authority::new("the authority"), tempfile::tempdir().unwrap());
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    let leaf = authority.server(&["localhost"]);
    let server = Server::start(leaf.config(None), Published::new("one").answer());
    let keys = |bounds| KeySets::new(bounds, Resolver::System, Clock::fixed(START));
    let trusting = Bounds { ca_file: Some(ca_file), ..bounds() };
    let fetched = keys(trusting.clone()).unwrap().keys(&at("localhost", &server), None).await;
    assert_eq!(key_ids(&fetched.unwrap()), ["one"]);
    let guarded = Bounds { allow: Vec::new(), ..trusting };
    let error = keys(guarded).unwrap().keys(&at("localhost", &server), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Forbidden { .. }), "{error}");
    assert_eq!(server.connections(), 1);
    let error =
        keys(Bounds { ca_file: Some(folder.path().join("no.pem")), ..bounds() }).unwrap_err();
    assert!(error.to_string().contains("no.pem cannot be read"), "{error}");
}

#[tokio::test]
async fn what_is_not_public_is_never_connected_to_however_it_is_spelled() {
    let stage = Stage::with(bounds(), |_| vec![FORBIDDEN, "10.0.0.1", "::1", "fe80::1"]);
    let server = stage.server(Published::new("one").answer());
    let canary = stage.canary(&server);
    let hosts = [
        "keys.example.com",
        "127.0.0.2",
        "127.2",
        "0x7f000002",
        "2130706434",
        "[::1]",
        "[::ffff:127.0.0.2]",
        "[64:ff9b::7f00:2]",
        "[2002:7f00:2::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "localhost",
    ];
    for host in hosts {
        let error = stage.get(&at(host, &canary)).await.unwrap_err();
        assert!(matches!(error, FetchError::Forbidden { .. }), "{host}: {error}");
    }
    assert_eq!((canary.connections(), server.connections()), (0, 0));
}

#[tokio::test]
async fn of_mixed_answers_only_permitted_addresses_are_tried() {
    let stage = Stage::with(bounds(), |_| vec![FORBIDDEN, ALLOWED, FORBIDDEN]);
    let server = stage.server(Published::new("one").answer());
    let canary = stage.canary(&server);
    stage.get(&named(&server)).await.unwrap();
    assert_eq!((server.connections(), canary.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_that_is_bound_anew_is_looked_up_once_and_checked_each_time() {
    let stage = Stage::with(bounds(), |nth| vec![if nth == 0 { ALLOWED } else { FORBIDDEN }]);
    let server = stage.server(Published::new("one").answer());
    let canary = stage.canary(&server);
    stage.get(&named(&server)).await.unwrap();
    assert_eq!((stage.lookups.load(Ordering::SeqCst), server.connections()), (1, 1));
    // Bound to the canary now: refused, and the keys of before are used for their time.
    stage.later(3601);
    assert_eq!(key_ids(&stage.get(&named(&server)).await.unwrap()), ["one"]);
    assert_eq!(stage.lookups.load(Ordering::SeqCst), 2);
    assert_eq!((server.connections(), canary.connections()), (1, 0));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stage = Stage::new();
    let target = stage.server(Published::new("one").answer());
    let location = format!("Location: https://{ALLOWED}:{}/\r\n", target.address.port());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let headers = location.clone();
        let server = stage.server(move |_, out| send(out, &answer(status, &headers, &set("two"))));
        let error = stage.get(&named(&server)).await.unwrap_err();
        assert!(matches!(error, FetchError::Status(301..=307)), "{error}");
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_server_that_cannot_show_who_it_is_is_not_asked() {
    let stage = Stage::new();
    let other = Authority::new("another");
    let sign = |years| stage.authority.sign(&["keys.example.com"], Use::Server, years);
    for (leaf, words) in [
        (other.server(&["keys.example.com"]), "not trusted"),
        (stage.authority.server(&["auth.example.com"]), "for another host"),
        // The clock stands in 2025.
        (sign((2000, 2025)), "has expired"),
        (sign((2026, 3000)), "is not valid yet"),
    ] {
        let server = Server::start(leaf.config(None), Published::new("one").answer());
        let error = stage.get(&named(&server)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(server.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn long_answers_are_cut_off() {
    let stage = Stage::new();
    let piece = vec![b' '; 8192];
    let endless = move |head: &'static [u8], out: Out<'_>, piece: &[u8]| {
        send(out, head);
        while out.write_all(piece).is_ok() {}
    };
    let plain = piece.clone();
    let body = stage.server(move |_, out| endless(b"HTTP/1.1 200 OK\r\n\r\n", out, &plain));
    let chunk = [b"2000\r\n".as_slice(), &piece, b"\r\n"].concat();
    let chunks = stage.server(move |_, out| {
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", out, &chunk);
    });
    let stated = stage.server(|_, out| {
        send(out, b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n");
    });
    let line = [b"X: ".as_slice(), &[b'a'; 1000], b"\r\n"].concat();
    let headers = stage.server(move |_, out| endless(b"HTTP/1.1 200 OK\r\n", out, &line));
    let many = stage.server(move |_, out| endless(b"HTTP/1.1 200 OK\r\n", out, b"X: 1\r\n"));
    for (name, server) in [
        ("body", &body),
        ("chunks", &chunks),
        ("stated", &stated),
        ("headers", &headers),
        ("many", &many),
    ] {
        let error = stage.get(&named(server)).await.unwrap_err();
        assert_eq!(error, FetchError::TooLong, "{name}");
    }
}

#[tokio::test]
async fn slow_answers_are_given_up() {
    let short = Bounds { timeout: Duration::from_millis(500), ..bounds() };
    let stage = Stage::with(short, |_| vec![ALLOWED]);
    let drip = |head: &'static [u8], out: Out<'_>| {
        send(out, head);
        let alive = |out: Out<'_>| out.write_all(b" ").and_then(|()| out.flush()).is_ok();
        while alive(out) {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let body = stage.server(move |_, out| drip(b"HTTP/1.1 200 OK\r\n\r\n", out));
    let head = stage.server(move |_, out| drip(b"HTTP/1.1 200 OK\r\nX:", out));
    for server in [&body, &head] {
        let error = stage.get(&named(server)).await.unwrap_err();
        assert!(is_late(&error), "{error}");
    }
    // Nobody there who speaks TLS.
    let silent = std::net::TcpListener::bind((ALLOWED, 0)).unwrap();
    let url = format!("https://{ALLOWED}:{}/", silent.local_addr().unwrap().port());
    let error = stage.get(&place(&url)).await.unwrap_err();
    assert!(is_late(&error), "{error}");
}

/// The request and whoever waits for it have the same time; either may notice first.
fn is_late(error: &FetchError) -> bool {
    matches!(error, FetchError::TimedOut { .. } | FetchError::UnderWay)
}

#[tokio::test]
async fn what_is_no_key_set_is_refused_and_not_quoted() {
    let stage = Stage::new();
    let own = |status: &'static str, headers: &'static str, body: &'static str| {
        stage.server(move |_, out| send(out, &answer(status, headers, body)))
    };
    for server in [
        own("200 OK", "", "<html>s3cret</html>"),
        own("200 OK", "", r#"{"key":"s3cret"}"#),
        own("200 OK", "", r#"{"keys":[],"keys":["s3cret"]}"#),
        own("200 OK", "", ""),
        own("200 OK", "Content-Encoding: gzip\r\n", r#"{"keys":[]}"#),
        own("404 Not Found", "", r#"{"keys":[]}"#),
        own("204 No Content", "", ""),
    ] {
        let error = stage.get(&named(&server)).await.unwrap_err();
        assert!(
            matches!(
                error,
                FetchError::Content { .. } | FetchError::Encoded | FetchError::Status(_)
            ),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    let private = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}","d":"{X}"}},{{"kty":"oct","k":"AAAA"}}]}}"#
    );
    let server = stage.server(move |_, out| send(out, &answer("200 OK", "", &private)));
    assert!(stage.get(&named(&server)).await.unwrap().keys().is_empty());
}

#[tokio::test]
async fn more_requests_at_one_time_than_allowed_wait_and_then_give_up() {
    let one = Bounds { requests_max: 1, timeout: Duration::from_millis(700), ..bounds() };
    let stage = Stage::with(one, |_| vec![ALLOWED]);
    let slow = stage.server(|_, out| {
        send(out, b"HTTP/1.1 200 OK\r\n\r\n");
        while out.write_all(b" ").and_then(|()| out.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let quick = stage.server(Published::new("one").answer());
    let (slow_place, quick_place) = (named(&slow), named(&quick));
    let (first, second) = tokio::join!(stage.get(&slow_place), stage.get(&quick_place));
    let first = first.unwrap_err();
    assert!(is_late(&first), "{first}");
    // Its turn came in time or not; either way it may ask again at once.
    let second = second.err();
    assert!(matches!(second, None | Some(FetchError::Busy | FetchError::UnderWay)), "{second:?}");
    assert_eq!(key_ids(&stage.get(&quick_place).await.unwrap()), ["one"]);
}
