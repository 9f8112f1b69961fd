//! Proves what is counted: each answer once, under what came of it, and nothing that callers make up.

use std::collections::{BTreeMap, BTreeSet};

use jeton::serve::Running;
use jeton_engine::clock::{Clock, Time};
use jeton_engine::error::Reason;
use jeton_engine::manage::NewClient;

use crate::asking::{Asking, REALMS, basic};
use crate::started::{
    Answer, GROWTH, Line, ask, configured, get, growth_request, make, make_client, post, start,
    token_when_known, within_patience,
};
use crate::tls::Stage;

/// What stands on the page, by name and labels.
type Samples = BTreeMap<String, f64>;

async fn page(running: &Running, headers: &str) -> Answer {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let answer = ask(running.admin_address(), &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn samples(running: &Running) -> Samples {
    let page = page(running, "").await.body;
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(read).collect()
}

/// The counters that something moves, and by how much. Only those of requests: what goes on beside them
/// has its own time.
async fn moved(running: &Running, act: impl AsyncFnOnce()) -> Vec<String> {
    let before = samples(running).await;
    act().await;
    let after = samples(running).await;
    let is_of_requests = |name: &str| {
        name.contains("_total") && !name.starts_with("process_") && !name.contains("_connections_")
    };
    let moved = after.iter().filter(|(name, _)| is_of_requests(name));
    let by = |name: &String, value: f64| value - before.get(name).copied().unwrap_or(0.0);
    moved
        .map(|(name, value)| (name, by(name, *value)))
        .filter(|(_, by)| *by != 0.0)
        .map(|(name, by)| format!("{name} +{by}"))
        .collect()
}

async fn value(running: &Running, name: &str) -> Option<f64> {
    samples(running).await.get(name).copied()
}

async fn verify(asking: &Asking, token: &str) -> Answer {
    let request = format!(
        "GET /main/oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    ask(asking.running.public_address(), &request).await
}

#[tokio::test]
async fn a_token_and_a_refusal_are_each_counted_once() {
    let asking = Asking::begin(REALMS).await;
    let issued = moved(&asking.running, async || {
        asking.token("main").await;
    });
    let expected = [
        r#"jeton_client_authentications_total{realm="main",method="client_secret_post"} +1"#,
        r#"jeton_requests_total{realm="main",endpoint="token",dialect="rfc6749",outcome="accepted"} +1"#,
        r#"jeton_secret_uses_total{realm="main"} +1"#,
        r#"jeton_tokens_issued_total{realm="main",format="jwt",algorithm="EdDSA"} +1"#,
    ];
    assert_eq!(issued.await, expected);

    let refused = moved(&asking.running, async || {
        let body = "grant_type=client_credentials&client_id=partner&client_secret=wrong";
        assert_eq!(asking.post("main", "/oauth2/token", "", body).await.status, 401);
    });
    let expected = [
        r#"jeton_refusals_total{realm="main",reason="secret_wrong"} +1"#,
        r#"jeton_requests_total{realm="main",endpoint="token",dialect="rfc6749",outcome="refused"} +1"#,
    ];
    assert_eq!(refused.await, expected);
    asking.running.stop().await;
}

#[tokio::test]
async fn a_documented_dialect_has_its_name_and_its_format() {
    let asking = Asking::begin(REALMS).await;
    let issued = moved(&asking.running, async || {
        asking.token("staff").await;
    });
    let issued = issued.await;
    let counted = |part: &str| issued.iter().any(|line| line.contains(part));
    assert!(counted(r#"endpoint="token",dialect="apinizer",outcome="accepted"} +1"#), "{issued:?}");
    assert!(issued.iter().any(|line| line.starts_with("jeton_tokens_issued_total")), "{issued:?}");
    asking.running.stop().await;
}

/// The requests among what was moved, without their name.
fn requests(moved: &[String]) -> Vec<&str> {
    moved.iter().filter_map(|line| line.strip_prefix("jeton_requests_total")).collect()
}

#[tokio::test]
async fn every_other_endpoint_is_counted_by_yes_and_no() {
    let asking = Asking::begin(REALMS).await;
    let running = &asking.running;
    let token = asking.token("main").await;

    let met = moved(running, async || {
        asking.introspect("main", "orders", &token).await;
        let wrong = basic("orders", "wrong");
        asking.post("main", "/oauth2/introspect", &wrong, "token=x").await;
    });
    let expected = [
        r#"{realm="main",endpoint="introspect",outcome="accepted"} +1"#,
        r#"{realm="main",endpoint="introspect",outcome="refused"} +1"#,
    ];
    assert_eq!(requests(&met.await), expected);

    let met = moved(running, async || {
        assert_eq!(verify(&asking, &token).await.status, 204);
        assert_eq!(verify(&asking, "x").await.status, 401);
        let nothing = get("/main/oauth2/verify", "x");
        assert_eq!(ask(running.public_address(), &nothing).await.status, 401);
    });
    let met = met.await;
    let expected = [
        r#"{realm="main",endpoint="verify",outcome="accepted"} +1"#,
        r#"{realm="main",endpoint="verify",outcome="refused"} +2"#,
    ];
    assert_eq!(requests(&met), expected);
    // Of these two only one was refused for a reason: the other asked without a token.
    // The token was read before; the other one could not be.
    for expected in [
        r#"jeton_refusals_total{realm="main",reason="token_invalid"} +1"#,
        r#"jeton_cache_hits_total{cache="verified_tokens",realm="main"} +1"#,
        r#"jeton_cache_misses_total{cache="verified_tokens",realm="main"} +1"#,
    ] {
        assert!(met.iter().any(|line| line == expected), "{expected}: {met:?}");
    }

    let met = moved(running, async || {
        assert_eq!(asking.revoke("main", "other", &token).await.status, 400);
        assert_eq!(asking.revoke("main", "partner", &token).await.status, 200);
    });
    let expected = [
        r#"{realm="main",endpoint="revoke",outcome="accepted"} +1"#,
        r#"{realm="main",endpoint="revoke",outcome="refused"} +1"#,
    ];
    assert_eq!(requests(&met.await), expected);
    assert_eq!(value(running, r#"jeton_tokens_revoked{realm="main"}"#).await, Some(1.0));
    asking.running.stop().await;
}

#[tokio::test]
async fn documents_and_paths_that_nobody_has_are_counted_without_their_names() {
    let running = start(REALMS).await;
    let address = running.public_address();
    let met = moved(&running, async || {
        ask(address, &get("/main/.well-known/jwks.json", "x")).await;
        ask(address, &post("/main/.well-known/jwks.json", "x", "{}")).await;
        ask(address, &get("/main/.well-known/openid-configuration", "x")).await;
        ask(address, &get("/.well-known/oauth-authorization-server/main", "x")).await;
        ask(address, &get("/main/wp-login.php", "x")).await;
        ask(address, &get("/wp-login.php", "x")).await;
        ask(address, "GET / HTTP/1.1\r\n\r\n").await;
    });
    let expected = [
        r#"{endpoint="unknown",outcome="refused"} +2"#,
        r#"{realm="main",endpoint="jwks",outcome="accepted"} +1"#,
        r#"{realm="main",endpoint="jwks",outcome="refused"} +1"#,
        r#"{realm="main",endpoint="metadata",outcome="accepted"} +2"#,
        r#"{realm="main",endpoint="unknown",outcome="refused"} +1"#,
    ];
    assert_eq!(requests(&met.await), expected);
    running.stop().await;
}

#[tokio::test]
async fn who_goes_away_before_the_answer_is_counted_as_gone() {
    let running = start(GROWTH).await;
    let mut line = Line::open(running.public_address()).await;
    line.send("POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").await;
    let open = r#"jeton_connections_open{listener="public"}"#;
    within_patience(async || (value(&running, open).await == Some(1.0)).then_some(())).await;
    let met = moved(&running, async || {
        drop(line);
        let gone = r#"{realm="growth",endpoint="token",dialect="dt-growth",outcome="#;
        within_patience(async || {
            let samples = samples(&running).await;
            let of = |outcome| samples[&format!("jeton_requests_total{gone}\"{outcome}\"}}")];
            // A body that ends early is refused, if the end is heard of before the connection's.
            (of("abandoned") + of("refused") > 0.0).then_some(())
        })
        .await;
    });
    assert_eq!(requests(&met.await).len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn durations_are_told_from_50_microseconds_up_and_count_what_is_counted() {
    let running = start(GROWTH).await;
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    let samples = samples(&running).await;
    let labels = r#"realm="growth",endpoint="token",dialect="dt-growth",outcome="accepted""#;
    let count = samples[&format!("jeton_request_duration_seconds_count{{{labels}}}")];
    assert_eq!(count, samples[&format!("jeton_requests_total{{{labels}}}")]);
    assert!(samples[&format!("jeton_request_duration_seconds_sum{{{labels}}}")] > 0.0);
    let mut bounds: Vec<f64> = Vec::new();
    let mut last = 0.0;
    for (name, value) in &samples {
        let Some(rest) = name.strip_prefix("jeton_request_duration_seconds_bucket{le=\"") else {
            continue;
        };
        let (bound, rest) = rest.split_once("\",").unwrap();
        if rest.trim_end_matches('}') != labels {
            continue;
        }
        if bound == "+Inf" {
            assert_eq!(*value, count);
        } else {
            bounds.push(bound.parse().unwrap());
        }
        last = value.max(last);
    }
    assert_eq!(last, count);
    bounds.sort_by(f64::total_cmp);
    let micro = |micros: f64| micros / 1e6;
    assert_eq!(bounds[..3], [micro(50.0), micro(100.0), micro(200.0)]);
    assert_eq!((bounds.len(), bounds[bounds.len() - 1]), (16, 5.0));
    running.stop().await;
}

#[tokio::test]
async fn nothing_that_callers_make_up_is_on_the_page() {
    let asking = Asking::begin(REALMS).await;
    let address = asking.running.public_address();
    let made_up = "hostile";
    let bodies = [
        format!("grant_type={made_up}"),
        format!("grant_type=client_credentials&client_id={made_up}&client_secret={made_up}"),
        format!("grant_type=client_credentials&scope={made_up}&{made_up}={made_up}"),
        format!("client_assertion_type={made_up}&client_assertion={made_up}.e30.e30"),
    ];
    for body in &bodies {
        for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/hostile"] {
            asking.post("main", path, &basic(made_up, made_up), body).await;
            asking.post("main", path, "User-Agent: hostile\r\nDPoP: hostile\r\n", body).await;
        }
    }
    ask(address, &get("/main/oauth2/verify/hostile?scope=hostile&for=/hostile", "hostile")).await;
    ask(address, &get("/hostile?hostile=hostile", "hostile.example.com")).await;
    ask(address, &get("/main/hostile\"} 1", "hostile.example.com")).await;
    ask(address, "HOSTILE /main/oauth2/token HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Nor is anything that only operators and their clients should know.
    let secret = asking.secret("main", "partner").to_owned();
    let token = asking.token("main").await;
    let text = page(&asking.running, "").await.body;
    let lower = text.to_ascii_lowercase();
    assert!(!lower.contains(made_up));
    for private in [secret.as_str(), &token, "partner", "orders", "127.0.0.1"] {
        assert!(!text.contains(private), "{private}");
    }
    asking.running.stop().await;
}

#[tokio::test]
async fn a_reload_goes_on_counting() {
    let running = start(GROWTH).await;
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    let names = [
        r#"jeton_requests_total{realm="growth",endpoint="token",dialect="dt-growth",outcome="accepted"}"#,
        r#"jeton_tokens_issued_total{realm="growth",format="jwt",algorithm="HS256"}"#,
    ];
    let both = format!("{GROWTH}[realm.main]\nissuer = \"https://b.example.com/main\"\n");
    running.reload(configured(&both)).await.unwrap();
    ask(running.public_address(), &growth_request("x", &secret)).await;
    for name in names {
        assert_eq!(value(&running, name).await, Some(2.0), "{name}");
    }
    assert_eq!(value(&running, r#"jeton_clients{realm="main",status="enabled"}"#).await, Some(0.0));
    running.stop().await;
}

#[tokio::test]
async fn whose_limit_was_used_up_is_counted() {
    let text = format!("{GROWTH}[realm.growth.limits]\nclient = [\"1/day\"]\n");
    let running = start(&text).await;
    let secret = make_client(&running, &text, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    let met = moved(&running, async || {
        assert_ne!(ask(running.public_address(), &growth_request("x", &secret)).await.status, 200);
    });
    let limited = r#"jeton_requests_limited_total{realm="growth",limit="client"} +1"#;
    let met = met.await;
    assert!(met.iter().any(|line| line == limited), "{met:?}");
    running.stop().await;
}

#[tokio::test]
async fn secrets_near_their_end_are_counted_and_those_far_from_it_are_not() {
    let running = start(GROWTH).await;
    let now = Clock::System.now();
    let days = |days: u64| Some(now.plus(std::time::Duration::from_secs(days * 86_400)));
    let ends = [("a", days(3)), ("b", days(20)), ("c", days(40)), ("d", None::<Time>)];
    for (id, secret_expires_at) in ends {
        let id = Some(id.parse().unwrap());
        let new = NewClient { id, secret_expires_at, ..NewClient::default() };
        make(&running, GROWTH, "growth", new).await;
    }
    let clients = r#"jeton_clients{realm="growth",status="enabled"}"#;
    within_patience(async || (value(&running, clients).await == Some(4.0)).then_some(())).await;
    for name in ["jeton_secrets_expiring", "jeton_clients_without_secret_soon"] {
        for (within, count) in [("expired", 0.0), ("1d", 0.0), ("7d", 1.0), ("30d", 2.0)] {
            let name = format!("{name}{{realm=\"growth\",within=\"{within}\"}}");
            assert_eq!(value(&running, &name).await, Some(count), "{name}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn keys_tell_since_when_they_sign_and_until_when() {
    let running = start(REALMS).await;
    let samples = samples(&running).await;
    let labels = r#"{realm="main",algorithm="EdDSA"}"#;
    let since = samples[&format!("jeton_key_active_since_timestamp_seconds{labels}")];
    let due = samples[&format!("jeton_key_rotation_due_timestamp_seconds{labels}")];
    assert_eq!(due - since, 90.0 * 86_400.0);
    let now = Clock::System.now().seconds() as f64;
    assert!((now - since).abs() < 60.0, "{since}");
    let active = r#"jeton_keys{realm="main",algorithm="EdDSA",status="active"}"#;
    assert_eq!(samples[active], 1.0);
    running.stop().await;
}

#[tokio::test]
async fn handshakes_are_counted_by_what_came_of_them_and_the_certificate_tells_its_end() {
    let stage = Stage::new();
    let running = start(&stage.section("", GROWTH)).await;
    let handshakes = async |outcome: &str| {
        let name = format!("jeton_tls_handshakes_total{{outcome=\"{outcome}\"}}");
        value(&running, &name).await.unwrap()
    };
    assert_eq!(handshakes("done").await, 0.0);
    let stream = stage.connect_as(running.public_address(), None).await.unwrap();
    within_patience(async || (handshakes("done").await == 1.0).then_some(())).await;
    assert_eq!(handshakes("failed").await, 0.0);
    drop(stream);
    let mut line = Line::open(running.public_address()).await;
    line.send("GET / HTTP/1.1\r\n\r\n").await;
    within_patience(async || (handshakes("failed").await == 1.0).then_some(())).await;
    let end = value(&running, "jeton_tls_certificate_expiry_timestamp_seconds").await.unwrap();
    assert!(end > Clock::System.now().seconds() as f64, "{end}");
    assert_eq!(value(&running, "jeton_tls_crl_next_update_timestamp_seconds").await, None);
    running.stop().await;
}

#[tokio::test]
async fn the_store_tells_what_it_committed_and_that_it_can() {
    let running = start(GROWTH).await;
    let before = samples(&running).await;
    make_client(&running, GROWTH, "growth").await;
    let after = samples(&running).await;
    for name in ["jeton_store_commit_writes_count", "jeton_store_commit_duration_seconds_count"] {
        assert!(after[name] > before[name], "{name}");
    }
    assert_eq!(after["jeton_store_writable"], 1.0);
    assert_eq!(after[r#"jeton_store_queue_length_max{queue="writes"}"#], 8192.0);
    assert!(after["jeton_memory_behind_seconds"] < 20.0);
    assert!(after["process_resident_memory_bytes"] > 1e6);
    running.stop().await;
}

#[tokio::test]
async fn the_format_is_the_one_that_was_asked_for() {
    let running = start(GROWTH).await;
    let plain = page(&running, "").await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.body.contains("# TYPE jeton_tokens_issued_total counter\n"));
    assert!(!plain.body.contains("# EOF"));
    let open = page(&running, "Accept: application/openmetrics-text\r\n").await;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(media_type));
    assert!(open.body.contains("# TYPE jeton_tokens_issued counter\n"));
    assert!(open.body.ends_with("# EOF\n"));
    let posted = ask(running.admin_address(), &post("/metrics", "x", "{}")).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(running.public_address(), &get("/metrics", "x")).await.status, 404);
    running.stop().await;
}

#[tokio::test]
async fn the_page_for_operators_tells_of_what_is_told_in_the_same_order() {
    let running = start(GROWTH).await;
    let text = page(&running, "").await.body;
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: Vec<&str> = kinds.map(|line| line.split_once(' ').unwrap().0).collect();
    let page = include_str!("../../../../docs/operate/observing.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.map(|row| row.split_once('`').unwrap().0);
    // Alerts have rows as well.
    let names: Vec<&str> = names.filter(|name| !name.starts_with("Jeton")).collect();
    assert_eq!(told, names);
    running.stop().await;
}

#[tokio::test]
async fn names_labels_and_their_values_are_these() {
    let running = start(GROWTH).await;
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    ask(running.public_address(), &growth_request("x", "wrong")).await;
    let text = page(&running, "").await.body;
    // Each metric once for its kind, with every value that any of its labels has.
    let mut told = String::new();
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            told.push_str(kind);
            told.push('\n');
        } else if let Some((name, rest)) = line.split_once('{') {
            let labels = rest.rsplit_once('}').unwrap().0;
            for label in labels.split("\",") {
                let (label, value) = label.split_once("=\"").unwrap();
                // This one changes with every release.
                if label == "version" {
                    continue;
                }
                let of = format!("{name} {label}");
                values.entry(of).or_default().insert(value.trim_end_matches('"').to_owned());
            }
        }
    }
    // The engine's own table says which reasons there are.
    let reasons = values.remove("jeton_refusals_total reason").unwrap();
    assert_eq!(reasons, Reason::ALL.iter().map(|reason| reason.code().to_owned()).collect());
    for (label, values) in values {
        let values: Vec<String> = values.into_iter().collect();
        told.push_str(&format!("{label}: {}\n", values.join(" ")));
    }
    insta::assert_snapshot!(told);
    running.stop().await;
}
