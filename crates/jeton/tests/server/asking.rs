//! A server with a standard realm and one that speaks a documented dialect, their clients, and the
//! questions that these ask.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton::config;
use jeton::serve::Running;
use jeton_engine::client::ClientRole;
use jeton_engine::manage::{Manage, NewClient};
use serde_json::Value;

use crate::started::{Answer, ask, configured, make, start, within_patience};

/// `main` is asked as the RFCs say, `staff` as a documented dialect does.
pub(crate) const REALMS: &str = "\
[realm.main]\nissuer = \"https://a.example.com/main\"\n\
[realm.staff]\nissuer = \"https://a.example.com/staff\"\ndialects = [\"apinizer\"]\n";

/// The realms of [`REALMS`].
pub(crate) const BOTH: [&str; 2] = ["main", "staff"];

/// A running server whose clients are known to it: `partner` and `other`, and `orders`, which
/// serves resources. The secret of each is its own in each realm.
pub(crate) struct Asking {
    pub(crate) running: Running,
    pub(crate) text: String,
    secrets: Vec<(String, &'static str, String)>,
}

impl Asking {
    pub(crate) async fn begin(text: &str) -> Self {
        Self::begin_with(text, |_| {}).await
    }

    /// With something changed about each client before it is made.
    pub(crate) async fn begin_with(text: &str, adorn: impl Fn(&mut NewClient)) -> Self {
        let running = start(text).await;
        let mut secrets = Vec::new();
        let realms: Vec<String> =
            configured(text).realms.iter().map(|realm| realm.realm.name.to_string()).collect();
        for realm in &realms {
            for (id, role) in [
                ("partner", ClientRole::Client),
                ("other", ClientRole::Client),
                ("orders", ClientRole::ResourceServer),
            ] {
                let mut new = NewClient {
                    id: Some(id.parse().unwrap()),
                    role,
                    scope: "read write".parse().unwrap(),
                    audiences: vec!["orders".parse().unwrap(), "billing".parse().unwrap()],
                    ..NewClient::default()
                };
                adorn(&mut new);
                let secret = make(&running, text, realm, new).await;
                secrets.push((realm.clone(), id, secret));
            }
        }
        let asking = Self { running, text: text.to_owned(), secrets };
        for realm in &realms {
            within_patience(async || {
                let answer = asking.introspect(realm, "orders", "nothing").await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
        asking
    }

    pub(crate) fn manage(&self) -> Manage {
        Manage::new(self.running.parts().clone())
    }

    pub(crate) fn secret(&self, realm: &str, client: &str) -> &str {
        let found = self.secrets.iter().find(|(of, id, _)| of == realm && *id == client);
        &found.unwrap().2
    }

    pub(crate) fn basic(&self, realm: &str, client: &str) -> String {
        basic(client, self.secret(realm, client))
    }

    /// A form to a path below a realm.
    pub(crate) async fn post(&self, realm: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "POST /{realm}{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             {headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        ask(self.running.public_address(), &request).await
    }

    /// A token of `partner`.
    pub(crate) async fn token(&self, realm: &str) -> String {
        let dialect = configured_realm(&self.text, realm).mounts[0].dialect.clone();
        let secret = self.secret(realm, "partner");
        let body =
            format!("grant_type=client_credentials&client_id=partner&client_secret={secret}");
        let answer = self.post(realm, dialect.path(), "", &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn introspect(&self, realm: &str, client: &str, token: &str) -> Answer {
        let headers = self.basic(realm, client);
        self.post(realm, "/oauth2/introspect", &headers, &format!("token={token}")).await
    }

    pub(crate) async fn revoke(&self, realm: &str, client: &str, token: &str) -> Answer {
        let headers = self.basic(realm, client);
        self.post(realm, "/oauth2/revoke", &headers, &format!("token={token}")).await
    }

    pub(crate) async fn is_active(&self, realm: &str, token: &str) -> bool {
        let answer = self.introspect(realm, "orders", token).await;
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["active"].as_bool().unwrap()
    }

    pub(crate) async fn end(self) {
        self.running.stop().await;
    }
}

pub(crate) fn basic(client: &str, secret: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{client}:{secret}")))
}

fn configured_realm(text: &str, realm: &str) -> config::RealmConfig {
    configured(text).realm(realm).unwrap().clone()
}

/// What a refusal of the protocol's endpoints always has.
pub(crate) fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["error"], code, "{answer:?}");
    assert!(body["error_description"].is_string());
    assert_eq!(body.as_object().unwrap().len(), 2);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("jeton-reference").map(str::len), Some(10));
}
