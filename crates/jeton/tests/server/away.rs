//! Two servers on one PostgreSQL, and the network between one of them and the database fails: it says
//! of no token that it holds once a second has gone by, issues what needs no row, acknowledges nothing
//! that is not kept, and needs no restart.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use jeton::config::{self, Config};
use jeton::serve::{Listeners, Running, Server, Sources};
use jeton_engine::client::ClientRole;
use jeton_engine::manage::{Manage, NewClient};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::asking::basic;
use crate::place::Place;
use crate::relay::{Relay, Way};
use crate::started::{Answer, ask, get, within_patience};

/// A server whose way to the database can fail, one whose cannot, and a client that both know.
struct Pair {
    far: Running,
    near: Running,
    relay: Relay,
    basic: String,
    _place: Place,
    _folder: TempDir,
}

fn configured(folder: &Path, url: &str) -> Config {
    let text = format!(
        "[storage]\nurl = \"{url}\"\nmaster_key.file = \"master-key\"\n\
         [realm.main]\nissuer = \"https://a.example.com/main\"\ntoken.format = \"jwt\"\n\
         [realm.kept]\nissuer = \"https://a.example.com/kept\"\ntoken.format = \"stored\"\n"
    );
    let parsed = config::parse("jeton.toml", &text, std::iter::empty(), folder);
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

impl Pair {
    async fn begin() -> Self {
        let place = Place::schema().await;
        let folder = tempfile::tempdir().unwrap();
        let mut key = std::fs::File::options();
        let key =
            key.write(true).create_new(true).mode(0o600).open(folder.path().join("master-key"));
        std::io::Write::write_all(&mut key.unwrap(), "ab".repeat(32).as_bytes()).unwrap();
        let relay = Relay::to(place.server_address().await).await;
        let start = async |door: SocketAddr| {
            let config = configured(folder.path(), &place.url_at(&door.to_string()));
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let listeners = Listeners::open(any, any, 64).unwrap();
            Server::start_on(listeners, config, Sources::default()).await.unwrap()
        };
        let near = start(place.server_address().await).await;
        let far = start(relay.address).await;
        let manage = Manage::new(near.parts().clone());
        let config = configured(folder.path(), &place.url_at("127.0.0.1:1"));
        let mut secret = String::new();
        for realm in ["main", "kept"] {
            let new = NewClient {
                id: Some("orders".parse().unwrap()),
                role: ClientRole::ResourceServer,
                secret: if secret.is_empty() {
                    NewClient::default().secret
                } else {
                    jeton_engine::manage::NewSecret::Supplied(zeroize::Zeroizing::new(
                        secret.clone(),
                    ))
                },
                ..NewClient::default()
            };
            let realm = &config.realm(realm).unwrap().realm;
            let made = manage.create_client(realm, new).await.unwrap().1;
            if let Some(generated) = made.and_then(|made| made.generated) {
                secret = generated.to_string();
            }
        }
        let basic = basic("orders", &secret);
        let pair = Self { far, near, relay, basic, _place: place, _folder: folder };
        for realm in ["main", "kept"] {
            within_patience(async || {
                let answers =
                    (pair.token(&pair.far, realm).await, pair.token(&pair.near, realm).await);
                (answers.0.status == 200 && answers.1.status == 200).then_some(())
            })
            .await;
        }
        pair
    }

    async fn post(&self, server: &Running, path: &str, form: &str) -> Answer {
        let (basic, length) = (&self.basic, form.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{basic}Content-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
        );
        ask(server.public_address(), &request).await
    }

    async fn token(&self, server: &Running, realm: &str) -> Answer {
        let path = format!("/{realm}/oauth2/token");
        self.post(server, &path, "grant_type=client_credentials").await
    }

    async fn introspect(&self, server: &Running, realm: &str, token: &str) -> Answer {
        self.post(server, &format!("/{realm}/oauth2/introspect"), &format!("token={token}")).await
    }

    async fn verify(&self, server: &Running, realm: &str, token: &str) -> Answer {
        let request = format!(
            "GET /{realm}/oauth2/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        ask(server.public_address(), &request).await
    }

    async fn ready(&self, query: &str) -> Answer {
        ask(self.far.admin_address(), &get(&format!("/health/ready{query}"), "x")).await
    }
}

fn member(answer: &Answer, name: &str) -> Value {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body[name].clone()
}

#[track_caller]
fn assert_no_answer(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    assert!(!answer.body.contains("active"), "{answer:?}");
}

async fn loses_the_database(way: Way) {
    let pair = Pair::begin().await;
    let mut tokens = Vec::new();
    for realm in ["main", "kept"] {
        let token = member(&pair.token(&pair.far, realm).await, "access_token");
        let token = token.as_str().unwrap().to_owned();
        assert_eq!(member(&pair.introspect(&pair.far, realm, &token).await, "active"), true);
        assert_eq!(pair.verify(&pair.far, realm, &token).await.status, 204);
        tokens.push((realm, token));
    }
    assert_eq!(pair.ready("").await.status, 200);

    pair.relay.set(way);
    for (realm, token) in &tokens {
        let path = format!("/{realm}/oauth2/revoke");
        assert_eq!(pair.post(&pair.near, &path, &format!("token={token}")).await.status, 200);
    }
    let revoked_at = Instant::now();
    sleep(Duration::from_secs(1)).await;
    while revoked_at.elapsed() < Duration::from_secs(4) {
        for (realm, token) in &tokens {
            assert_no_answer(&pair.introspect(&pair.far, realm, token).await);
            assert_no_answer(&pair.verify(&pair.far, realm, token).await);
        }
        assert_eq!(pair.token(&pair.far, "main").await.status, 200);
        assert_no_answer(&pair.token(&pair.far, "kept").await);
        assert_no_answer(&pair.post(&pair.far, "/main/oauth2/revoke", "token=nonsense").await);
    }
    let not_ready = pair.ready("").await;
    assert_eq!(not_ready.status, 503);
    assert_eq!(member(&not_ready, "status"), "not_ready");
    assert_eq!(member(&not_ready, "issuing"), true);
    let (since, until) = (member(&not_ready, "since"), member(&not_ready, "issuing_until"));
    assert!(since.as_str().unwrap() < until.as_str().unwrap(), "{not_ready:?}");
    let in_grace = pair.ready("?within=grace").await;
    assert_eq!((in_grace.status, member(&in_grace, "status")), (200, "in_grace".into()));
    assert_eq!(pair.ready("?within=reason").await.status, 400);

    pair.relay.set(Way::Open);
    within_patience(async || (pair.ready("").await.status == 200).then_some(())).await;
    for (realm, token) in &tokens {
        assert_eq!(member(&pair.introspect(&pair.far, realm, token).await, "active"), false);
        assert_eq!(pair.verify(&pair.far, realm, token).await.status, 401);
        assert_eq!(pair.token(&pair.far, realm).await.status, 200);
    }
    pair.far.stop().await;
    pair.near.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_server_that_is_cut_off_from_the_database_gives_no_wrong_answer_and_comes_back() {
    loses_the_database(Way::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_network_that_swallows_everything_is_noticed_as_soon_and_no_request_hangs_on_it() {
    loses_the_database(Way::Silent).await;
}
