//! Proves what callers hear of limits: the standard fields, the dialect's own, and when to come again.

use jeton::serve::Running;
use jeton_engine::manage::NewClient;

use crate::asking::{Asking, REALMS};
use crate::started::{Answer, make, start, within_patience};

/// A realm of the standard dialect with these limits.
fn main_with(limits: &str) -> String {
    format!("[realm.main]\nissuer = \"https://a.example.com/main\"\nlimits = {limits}\n")
}

async fn token(asking: &Asking, client: &str) -> Answer {
    let headers = asking.basic("main", client);
    asking.post("main", "/oauth2/token", &headers, "grant_type=client_credentials").await
}

/// The fields about limits, and when to come again.
fn told(answer: &Answer) -> [Option<&str>; 3] {
    ["ratelimit-policy", "ratelimit", "retry-after"].map(|name| answer.header(name))
}

const TOO_MANY: &str =
    "{\"error\":\"temporarily_unavailable\",\"error_description\":\"Too many requests.\"}";

#[tokio::test]
async fn a_client_is_told_what_it_has_left_and_when_there_is_more() {
    let asking = Asking::begin(&main_with("{ client = [\"2/hour\"] }")).await;
    let policy = Some("\"client\";q=2;w=3600");
    let one = token(&asking, "partner").await;
    assert_eq!((one.status, told(&one)), (200, [policy, Some("\"client\";r=1;t=1800"), None]));
    let two = token(&asking, "partner").await;
    assert_eq!(two.status, 200);
    let three = token(&asking, "partner").await;
    assert_eq!((three.status, three.body.as_str()), (429, TOO_MANY));
    let [said, left, wait] = told(&three).map(Option::unwrap);
    assert_eq!(Some(said), policy);
    assert_eq!(left, format!("\"client\";r=0;t={wait}"));
    assert!((1_700..=1_800).contains(&wait.parse::<u32>().unwrap()), "{wait}");

    let other = token(&asking, "other").await;
    assert_eq!((other.status, other.header("ratelimit")), (200, Some("\"client\";r=1;t=1800")));
    asking.end().await;
}

#[tokio::test]
async fn several_limits_are_told_by_their_units() {
    let limits = "{ client = [\"60/min burst 2\", \"5/day\"] }";
    let asking = Asking::begin(&main_with(limits)).await;
    let answer = token(&asking, "partner").await;
    let policy = "\"client-min\";q=2;w=2, \"client-day\";q=5;w=86400";
    let left = "\"client-min\";r=1;t=1, \"client-day\";r=4;t=17280";
    assert_eq!(told(&answer), [Some(policy), Some(left), None]);
    asking.end().await;
}

#[tokio::test]
async fn without_limits_and_to_who_proves_nothing_nothing_is_told() {
    let unlimited = Asking::begin(REALMS).await;
    let answer = token(&unlimited, "partner").await;
    assert_eq!((answer.status, told(&answer)), (200, [None; 3]));
    unlimited.end().await;

    let asking = Asking::begin(&main_with("{ client = [\"1/hour\"] }")).await;
    assert_eq!(token(&asking, "partner").await.status, 200);
    for credentials in [String::new(), crate::asking::basic("partner", "wrong")] {
        let body = "grant_type=client_credentials";
        let answer = asking.post("main", "/oauth2/token", &credentials, body).await;
        assert_eq!(told(&answer), [None; 3], "{answer:?}");
        assert!(matches!(answer.status, 400 | 401), "{answer:?}");
    }
    asking.end().await;
}

#[tokio::test]
async fn the_limit_of_a_realm_is_told_when_it_refuses() {
    let asking = Asking::begin(&main_with("{ realm = [\"1/hour\"] }")).await;
    let first = token(&asking, "partner").await;
    assert_eq!((first.status, told(&first)), (200, [None; 3]), "it is others' business as well");
    let answer = token(&asking, "other").await;
    assert_eq!((answer.status, answer.body.as_str()), (429, TOO_MANY));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"realm\";q=1;w=3600"));
    assert_eq!(asking.introspect("main", "orders", "x").await.status, 200, "no token request");
    asking.end().await;
}

#[tokio::test]
async fn whoever_proves_nothing_uses_up_its_source_and_gateways_ask_on() {
    let proxied = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let text = format!("{proxied}{}", main_with("{ source = [\"2/hour\"] }"));
    let asking = Asking::begin(&text).await;
    let post = async |path: &str, headers: &str, body: &str| {
        let headers = format!("X-Forwarded-For: 192.0.2.9\r\n{headers}");
        asking.post("main", path, &headers, body).await
    };
    let malformed = post("/oauth2/token", "", "%").await;
    assert_eq!((malformed.status, told(&malformed)), (400, [None; 3]));
    let (right, ask) = (asking.basic("main", "partner"), "grant_type=client_credentials");
    assert_eq!(post("/oauth2/token", &right, ask).await.status, 200);
    for body in ["%", ask] {
        let answer = post("/oauth2/token", &right, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (429, TOO_MANY), "{body}");
        assert_eq!(answer.header("ratelimit-policy"), Some("\"source\";q=2;w=3600"));
        assert!(answer.header("retry-after").is_some());
    }
    let stranger = post("/oauth2/introspect", "", "token=x").await;
    assert_eq!(stranger.status, 429, "{stranger:?}");
    assert!(stranger.header("retry-after").is_some());
    let gateway = asking.basic("main", "orders");
    assert_eq!(post("/oauth2/introspect", &gateway, "token=x").await.status, 200);
    let verify = "GET /main/oauth2/verify HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.9\r\n\
                  Authorization: Bearer nonsense\r\n\r\n";
    let verified = crate::started::ask(asking.running.public_address(), verify).await;
    assert_eq!(verified.status, 401, "gateways take anything else for a failure");
    asking.end().await;
}

/// A token of `partner` in a realm that speaks `fuuffy`, asked for from this address.
async fn shipping(running: &Running, secret: &str, source: &str) -> Answer {
    let body = format!("client_id=partner&client_secret={secret}");
    let request = format!(
        "POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {source}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    crate::started::ask(running.public_address(), &request).await
}

#[tokio::test]
async fn a_dialect_tells_an_operators_limits_in_its_own_headers() {
    let text = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
        [realm.ship]\nissuer = \"https://a.example.com\"\ndialects = [\"fuuffy\"]\n\
        limits = { client = [\"2/hour\"], source = [\"3/hour\"] }\n";
    let running = start(text).await;
    let new = NewClient { id: Some("partner".parse().unwrap()), ..NewClient::default() };
    let secret = make(&running, text, "ship", new).await;
    let mut source = 0;
    let first = within_patience(async || {
        source += 1;
        let answer = shipping(&running, &secret, &format!("192.0.2.{source}")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    let own = |answer: &Answer| {
        ["x-ratelimit-limit", "x-ratelimit-remaining"]
            .map(|name| answer.header(name).map(str::to_owned))
    };
    let said = |limit: &str, left: &str| [Some(limit.to_owned()), Some(left.to_owned())];
    assert_eq!((own(&first), told(&first)), (said("2", "1"), [None; 3]));
    let second = shipping(&running, &secret, "203.0.113.1").await;
    assert_eq!((second.status, own(&second)), (200, said("2", "0")));
    let third = shipping(&running, &secret, "203.0.113.1").await;
    assert_eq!((third.status, own(&third)), (429, said("2", "0")));
    assert!(third.body.contains("\"429000\""), "{third:?}");

    // What a caller invents left of what the proxy added makes it nobody else.
    for invented in ["198.51.100.1", "198.51.100.2"] {
        let source = format!("{invented}, 203.0.113.9");
        assert_eq!(shipping(&running, "wrong", &source).await.status, 401);
    }
    assert_eq!(shipping(&running, "wrong", "203.0.113.9").await.status, 401);
    let refused = shipping(&running, "wrong", "198.51.100.3, ::ffff:203.0.113.9").await;
    assert_eq!(refused.status, 429);
    assert_eq!(own(&refused), [None, None], "it is the source's limit, not the client's");
    running.stop().await;
}
