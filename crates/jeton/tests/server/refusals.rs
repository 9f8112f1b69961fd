//! Proves that no dialect can be talked round: every mistake and every attack on a token request gets an
//! answer that the dialect has for refusals, never a token and never a fault.

use std::collections::BTreeSet;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use jeton_dialect::exchange::Request;
use jeton_dialect::{Dialect, Dialects, Wanted};
use jeton_engine::client::{ClientStatus, Lock};
use jeton_engine::clock::{Random, Time};
use jeton_engine::error::Reason;
use jeton_engine::event::Reference;
use jeton_engine::manage::{Manage, NewClient};
use jeton_engine::name::RealmName;
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::token::Decision;
use serde_json::Value;

use crate::started::{Answer, Line, make, start, within_patience};

/// How a refusal looks from far: its status, its type, and the names of what is in it.
#[derive(Debug, PartialEq)]
struct Look {
    status: u16,
    content_type: Option<String>,
    names: BTreeSet<String>,
}

/// The names in a body, with their places.
fn names(body: &str) -> BTreeSet<String> {
    fn walk(value: &Value, place: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    walk(value, &format!("{place}.{name}"), into);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| walk(one, &format!("{place}[]"), into)),
            _ => {
                into.insert(place.to_owned());
            }
        }
    }
    let mut into = BTreeSet::new();
    match serde_json::from_str(body) {
        Ok(value) => walk(&value, "", &mut into),
        Err(_) => {
            into.extend(body.split('&').filter_map(|pair| pair.split('=').next()).map(Into::into));
        }
    }
    into
}

/// Every way in which a dialect says no.
fn looks(dialect: &Dialect) -> Vec<Look> {
    let all = Reason::ALL.iter().map(|reason| {
        let decision = Decision {
            reference: Reference::new(&Random::seeded(1)),
            at: Time::from_seconds(0),
            outcome: Err((*reason).into()),
        };
        let answer = dialect.write(&decision, &HeaderMap::new());
        let content_type = answer.headers.get(CONTENT_TYPE);
        Look {
            status: answer.status.as_u16(),
            content_type: content_type.map(|value| value.to_str().unwrap().to_owned()),
            names: names(std::str::from_utf8(&answer.body).unwrap()),
        }
    });
    all.collect()
}

/// That the answer is one of the dialect's refusals. What depends on the request, such as the parameter at
/// fault, may stand in it besides.
fn assert_refused(dialect: &Dialect, looks: &[Look], attack: &str, answer: &Answer) {
    let own = names(&answer.body);
    let fits = |look: &Look| {
        look.status == answer.status
            && look.content_type.as_deref() == answer.header("content-type")
            && look.names.is_subset(&own)
            && own.difference(&look.names).all(|name| name == ".parameter")
    };
    assert!(answer.status < 500, "{} {attack}: {answer:?}", dialect.name());
    assert!(looks.iter().any(fits), "{} {attack}: {answer:?}", dialect.name());
}

fn bytes(realm: &RealmName, request: &Request) -> Vec<u8> {
    let mut bytes =
        format!("{} /{realm}{} HTTP/1.1\r\nHost: x\r\n", request.method, request.target)
            .into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let length = request.body.len();
    bytes.extend_from_slice(format!("Content-Length: {length}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Requests that are wrong in what they say of the client.
fn wrong_clients(
    dialect: &Dialect,
    method: AuthenticationMethod,
    secrets: &[(&'static str, String)],
) -> Vec<(String, Request)> {
    let right = secrets.iter().find(|(id, _)| *id == "partner").unwrap().1.as_str();
    let (long, padded) = ("a".repeat(5000), format!("{right}\0"));
    let shorter = right.strip_suffix(|_| true).unwrap();
    let mut said = vec![
        ("nobody", right),
        ("PARTNER", right),
        ("partner ", right),
        ("partner\u{301}", right),
        (&long, right),
        ("", right),
        ("partner", ""),
        ("partner", "wrong"),
        ("partner", &long),
        ("partner", &padded),
        ("partner", shorter),
        ("other", right),
    ];
    let others = secrets.iter().filter(|(id, _)| ["disabled", "locked", "revoked"].contains(id));
    said.extend(others.map(|(id, secret)| (*id, secret.as_str())));
    let compose = |(client_id, secret): (&str, &str)| {
        let wanted = Wanted {
            client_id,
            secret: Some(secret),
            assertion: None,
            method: Some(method),
            scope: None,
        };
        let shown: String = client_id.chars().take(12).collect();
        (format!("as {shown:?}"), dialect.compose(&wanted).unwrap())
    };
    said.into_iter().map(compose).collect()
}

/// What is written for what in a JSON body.
const JSON: [(&str, &str, &str); 17] = [
    ("array", "{", "[{"),
    ("open", "}", ""),
    ("two documents", "}", "}{}"),
    ("rest", "}", "} x"),
    ("comma", "}", ",}"),
    ("BOM", "{", "\u{feff}{"),
    ("not a number", "}", ",\"z\":NaN}"),
    ("nested twice", "}", ",\"z\":{\"a\":1,\"a\":2}}"),
    ("half a pair", "partner", "\\ud800"),
    ("NUL", "partner", "partner\\u0000"),
    ("control character", "partner", "partner\u{1}"),
    ("list", "\"partner\"", "[\"partner\"]"),
    ("object", "\"partner\"", "{\"partner\":1}"),
    ("number", "\"partner\"", "7"),
    ("huge number", "\"partner\"", "1e999999"),
    ("null", "\"partner\"", "null"),
    ("single quotes", "\"", "'"),
];

/// What is written for what in a form.
const FORM: [(&str, &str, &str); 7] = [
    ("broken escape", "=", "=%"),
    ("no hexadecimal", "=", "=%zz"),
    ("NUL", "=", "=%00"),
    ("overlong", "=", "=%c1%b2"),
    ("half a pair", "=", "=%ed%a0%80"),
    ("semicolons", "=", ";"),
    ("lines", "=", "\r\n"),
];

/// A right request, made wrong in its form.
fn wrong_forms(right: &Request) -> Vec<(String, Request)> {
    let mut all = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut Request)| {
        let mut request = Request {
            method: right.method.clone(),
            target: right.target.clone(),
            headers: right.headers.clone(),
            body: right.body.clone(),
        };
        change(&mut request);
        all.push((name.to_owned(), request));
    };
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post"] {
        let method: Method = method.parse().unwrap();
        if method != right.method {
            add(method.as_str(), &|request| request.method = method.clone());
        }
    }
    let Some(content_type) = right.headers.get(CONTENT_TYPE) else { return all };
    for other in ["text/plain", "multipart/form-data; boundary=x", "", "application/*"] {
        let value = HeaderValue::from_static(other);
        add(other, &|request| drop(request.headers.insert(CONTENT_TYPE, value.clone())));
    }
    add("no type", &|request| drop(request.headers.remove(CONTENT_TYPE)));
    add("two types", &|request| {
        request.headers.append(CONTENT_TYPE, content_type.clone());
    });
    let text = std::str::from_utf8(&right.body).unwrap();
    for (name, body) in wrong_bodies(text, content_type == "application/json") {
        assert_ne!(body, right.body, "{name} changes nothing");
        add(name, &|request| request.body.clone_from(&body));
    }
    all
}

fn wrong_bodies(right: &str, is_json: bool) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("empty", Vec::new()),
        ("large", [right.as_bytes(), &[b' '; 100_000]].concat()),
        ("UTF-16", right.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    for (name, from, to) in if is_json { &JSON[..] } else { &FORM[..] } {
        all.push((*name, right.replace(from, to).into_bytes()));
    }
    if is_json {
        let members = right.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap();
        let deep = format!("{{{members},\"z\":{}{}}}", "[".repeat(400), "]".repeat(400));
        let (before, after) = right.split_once("partner").unwrap();
        all.extend([
            ("all twice", format!("{{{members},{members}}}").into_bytes()),
            ("nesting", deep.into_bytes()),
            ("overlong", [before.as_bytes(), b"partne\xc1\xb2", after.as_bytes()].concat()),
        ]);
    } else {
        all.push(("all twice", format!("{right}&{right}").into_bytes()));
        all.push(("not UTF-8", [right.as_bytes(), b"&x=\xff"].concat()));
    }
    all
}

/// Makes the clients, each in its state, and gives their secrets.
async fn make_clients(
    running: &jeton::serve::Running,
    text: &str,
    realm: &RealmName,
) -> Vec<(&'static str, String)> {
    let new = async |id: &'static str| {
        let new = NewClient { id: Some(id.parse().unwrap()), ..NewClient::default() };
        (id, make(running, text, realm.as_str(), new).await)
    };
    let mut secrets = Vec::new();
    for id in ["other", "disabled", "locked", "revoked"] {
        secrets.push(new(id).await);
    }
    let manage = Manage::new(running.parts().clone());
    let id = |id: &str| id.parse().unwrap();
    manage.set_status(realm, &id("disabled"), ClientStatus::Disabled).await.unwrap();
    manage.lock_client(realm, &id("locked"), Lock::UntilUnlocked).await.unwrap();
    manage.revoke_secrets(realm, &id("revoked"), None).await.unwrap();
    // The last change: once the server takes this one, it knows of all the others.
    secrets.insert(0, new("partner").await);
    secrets
}

#[tokio::test]
async fn every_mistake_is_refused_in_the_words_of_every_dialect() {
    let dialects = Dialects::builtin().unwrap();
    let mut text = "[guesses]\nfree = 100000\n".to_owned();
    for name in dialects.names() {
        text += &format!(
            "[realm.{name}]\nissuer = \"https://a.example.com/{name}\"\ndialects = [\"{name}\"]\n\
             limits.client = \"off\"\n"
        );
    }
    let running = start(&text).await;
    let mut count = 0;
    for name in dialects.names() {
        let dialect = dialects.get(name).unwrap();
        let (realm, looks): (RealmName, _) = (name.parse().unwrap(), looks(dialect));
        let secrets = make_clients(&running, &text, &realm).await;
        let by_secret =
            dialect.terms().authentication.iter().filter(|method| method.shows_secret());
        for method in by_secret {
            let (secret, method) = (Some(secrets[0].1.as_str()), Some(*method));
            let wanted =
                Wanted { client_id: "partner", secret, assertion: None, method, scope: None };
            let right = dialect.compose(&wanted).unwrap();
            let send = async |request: &Request| {
                let mut line = Line::open(running.public_address()).await;
                line.send_bytes(&bytes(&realm, request)).await;
                line.answer().await
            };
            let accepted = async || {
                let answer = send(&right).await;
                let refused = looks.iter().any(|look| look.names == names(&answer.body));
                (answer.status < 300 && !refused).then_some(())
            };
            within_patience(accepted).await;
            let attacks = wrong_forms(&right);
            // The account's own secret comes last, because guesses may lock it.
            for (attack, request) in
                attacks.into_iter().chain(wrong_clients(dialect, method.unwrap(), &secrets))
            {
                let answer = send(&request).await;
                assert_refused(dialect, &looks, &format!("{method:?} {attack}"), &answer);
                count += 1;
            }
        }
    }
    assert!(count > 400, "{count}");
    running.stop().await;
}
