//! Proves that what counts once counts once at all servers together: two of them on one store are given the
//! same assertion, and then the same DPoP proof, at the same instant, two hundred times.

use std::net::SocketAddr;
use std::path::Path;

use jeton::config::{self, Config};
use jeton::serve::{Listeners, Running, Server, Sources};
use jeton_engine::client::proof::{ClientKeys, Proof, PublicKeys};
use jeton_engine::clock::Clock;
use jeton_engine::jose::{Algorithm, SigningKey, base64url};
use jeton_engine::manage::{Manage, NewClient, NewSecret};
use jeton_engine::request::AuthenticationMethod;
use serde_json::{Value, json};

use crate::asking::basic;
use crate::started::{Answer, Line, within_patience};

const TIMES: usize = 200;
const ISSUER: &str = "https://a.example.com/main";

/// Two servers on one file, and a line to each.
struct Pair {
    servers: [Running; 2],
    lines: [Line; 2],
    key: SigningKey,
    basic: String,
}

impl Pair {
    async fn begin(folder: &Path) -> Self {
        let config = || -> Config {
            let text = format!(
                "[storage]\nurl = \"sqlite:jeton.db\"\n[realm.main]\nissuer = \"{ISSUER}\"\n\
                 limits.client = \"off\"\n"
            );
            config::parse("jeton.toml", &text, std::iter::empty(), folder).unwrap()
        };
        let start = async || {
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            let listeners = Listeners::open(any, any, 64).unwrap();
            Server::start_on(listeners, config(), Sources::default()).await.unwrap()
        };
        let servers = [start().await, start().await];
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let jwk = key.public_jwk("k").unwrap();
        let keys: PublicKeys = format!("{{\"keys\":[{jwk}]}}").parse().unwrap();
        let signs = NewClient {
            id: Some("signs".parse().unwrap()),
            authentication: vec![AuthenticationMethod::PrivateKeyJwt],
            proof: Proof { keys: Some(ClientKeys::Jwks(keys)), ..Proof::default() },
            secret: NewSecret::None,
            ..NewClient::default()
        };
        let shows = NewClient { id: Some("shows".parse().unwrap()), ..NewClient::default() };
        let manage = Manage::new(servers[0].parts().clone());
        let realm = config().realm("main").unwrap().realm.clone();
        manage.create_client(&realm, signs).await.unwrap();
        let made = manage.create_client(&realm, shows).await.unwrap();
        let basic = basic("shows", &made.1.unwrap().generated.unwrap());
        let mut lines = [
            Line::open(servers[0].public_address()).await,
            Line::open(servers[1].public_address()).await,
        ];
        // Both have to hear of the clients, which are made one after the other, the second one last.
        for line in &mut lines {
            within_patience(async || {
                let answer = ask(line, &request(&basic, "")).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
        Self { servers, lines, key, basic }
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let header = base64url::encode(header.to_string());
        self.key.sign_compact(&header, claims.to_string().as_bytes()).unwrap()
    }

    /// Both are asked the same at the same instant: one says yes, the other this.
    async fn both(&mut self, request: &str, status: u16, error: &str) {
        let [one, two] = &mut self.lines;
        let (first, second) = tokio::join!(ask(one, request), ask(two, request));
        let refused = match (first.status, second.status) {
            (200, 200) => panic!("used twice"),
            (200, _) => second,
            (_, 200) => first,
            _ => panic!("used never: {first:?} {second:?}"),
        };
        let body: Value = serde_json::from_str(&refused.body).unwrap();
        assert_eq!((refused.status, body["error"].as_str()), (status, Some(error)), "{refused:?}");
    }

    async fn end(self) {
        let [one, two] = self.servers;
        one.stop().await;
        two.stop().await;
    }
}

async fn ask(line: &mut Line, request: &str) -> Answer {
    assert!(line.send(request).await);
    line.answer().await
}

fn request(headers: &str, more: &str) -> String {
    let form = format!("grant_type=client_credentials{more}");
    let length = form.len();
    format!(
        "POST /main/oauth2/token HTTP/1.1\r\nHost: x\r\n{headers}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    )
}

fn now() -> i64 {
    Clock::System.now().seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_given_one_assertion_at_one_instant_one_says_yes_two_hundred_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::begin(folder.path()).await;
    for round in 0..TIMES {
        let claims = json!({
            "iss": "signs", "sub": "signs", "aud": ISSUER, "jti": round.to_string(),
            "iat": now(), "exp": now() + 60,
        });
        let assertion = pair.sign(&json!({"alg": "EdDSA", "kid": "k"}), &claims);
        let form = format!(
            "&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
             &client_assertion={assertion}"
        );
        pair.both(&request("", &form), 401, "invalid_client").await;
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_given_one_proof_at_one_instant_one_says_yes_two_hundred_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::begin(folder.path()).await;
    let jwk: Value = serde_json::from_str(&pair.key.public_jwk("k").unwrap()).unwrap();
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
    for round in 0..TIMES {
        let htu = format!("{ISSUER}/oauth2/token");
        let claims = json!({"jti": round.to_string(), "htm": "POST", "htu": htu, "iat": now()});
        let headers = format!("{}DPoP: {}\r\n", pair.basic, pair.sign(&header, &claims));
        pair.both(&request(&headers, ""), 400, "invalid_dpop_proof").await;
    }
    pair.end().await;
}
