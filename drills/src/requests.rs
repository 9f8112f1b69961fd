//! The requests of a drill, and what their answers say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cast::{Client, Realm};
use crate::http::{Answer, Request};

/// RFC 7523 section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// For a token, by secret, as the realm's dialect wants it.
pub(crate) fn token(client: &Client) -> Request {
    token_with(client, &client.secret())
}

/// The same, with this secret.
pub(crate) fn token_with(client: &Client, secret: &str) -> Request {
    let realm = client.realm.name();
    if client.realm == Realm::Stored {
        let fields = [("client_id", client.id.as_str()), ("client_secret", secret)];
        return Request::form(&format!("/{realm}/v1/auth/token"), &[], &fields);
    }
    let basic = basic(&client.id, secret);
    let headers = [("Authorization", basic.as_str())];
    let fields = [("grant_type", "client_credentials")];
    Request::form(&format!("/{realm}/oauth2/token"), &headers, &fields)
}

/// For a token, by assertion (RFC 7523 section 2.2).
pub(crate) fn token_by(assertion: &str) -> Request {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    Request::form("/jwt/oauth2/token", &[], &fields)
}

/// What a token says, asked by somebody who may ask.
pub(crate) fn introspect(asker: &Client, token: &str) -> Request {
    about(asker, "introspect", token)
}

/// The end of a token, asked by its client.
pub(crate) fn revoke(client: &Client, token: &str) -> Request {
    about(client, "revoke", token)
}

/// The same, proved by assertion.
pub(crate) fn revoke_by(assertion: &str, token: &str) -> Request {
    let fields = [
        ("token", token),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    Request::form("/jwt/oauth2/revoke", &[], &fields)
}

fn about(client: &Client, act: &str, token: &str) -> Request {
    let basic = basic(&client.id, &client.secret());
    let path = format!("/{}/oauth2/{act}", client.realm.name());
    Request::form(&path, &[("Authorization", &basic)], &[("token", token)])
}

/// May a request with this token pass a gateway?
pub(crate) fn verify(realm: Realm, token: &str) -> Request {
    let bearer = format!("Bearer {token}");
    Request::get(&format!("/{}/oauth2/verify", realm.name()), &[("Authorization", &bearer)])
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// The token in an answer, and for how many seconds it holds.
pub(crate) fn issued(answer: &Answer) -> Option<(String, u64)> {
    let json = answer.json();
    let said = json.get("data").unwrap_or(&json);
    let token = said.get("access_token")?.as_str()?.to_owned();
    let seconds = match said.get("expires_in")? {
        Value::String(text) => text.parse().ok()?,
        number => number.as_u64()?,
    };
    Some((token, seconds))
}

/// Whether an answer to an introspection says that the token is active; `None` when it is no answer to that.
pub(crate) fn active(answer: &Answer) -> Option<bool> {
    if answer.status == 200 { answer.json().get("active")?.as_bool() } else { None }
}
