//! Proves the wire of built-in dialects with hand-made decisions: what is read, what is refused in
//! which order, and every byte of what is written.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test assumes and fails"
)]

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use jeton_dialect::{Dialect, Dialects, Incoming, load};
use jeton_engine::claims::CustomClaims;
use jeton_engine::client::{Client, ClientRole, ClientStatus, Lock};
use jeton_engine::clock::{Random, Time};
use jeton_engine::confirmation::Confirmation;
use jeton_engine::engine::LiveClient;
use jeton_engine::error::{Error, Kind, Reason, Refusal};
use jeton_engine::event::Reference;
use jeton_engine::limit::Allowances;
use jeton_engine::request::{AuthenticationMethod, Credentials, TokenRequest};
use jeton_engine::token::{AccessToken, Decision, Issued};

const NOW: Time = Time::from_seconds(1_570_016_900);

fn dialect(name: &str) -> Arc<Dialect> {
    let dialects = Dialects::builtin().unwrap_or_else(|problems| panic!("{problems}"));
    Arc::clone(dialects.get(name).unwrap())
}

fn client() -> Arc<LiveClient> {
    let client = Client {
        realm: "main".parse().unwrap(),
        id: "3ce66d885c1a3b752bb90007a5f1e2d4".parse().unwrap(),
        name: Some("Ada \"the\" Countess".into()),
        subject: Some("210263".parse().unwrap()),
        status: ClientStatus::Enabled,
        role: ClientRole::Client,
        lock: Lock::Open,
        scope: "read write".parse().unwrap(),
        audiences: Vec::new(),
        lifetime: None,
        networks: Vec::new(),
        authentication: Vec::new(),
        claims: CustomClaims::default(),
        proof: None,
        registration: None,
        secrets: Vec::new(),
        created_at: NOW,
        changed_at: NOW,
        revision: 1,
    };
    Arc::new(client.into())
}

fn issued() -> Issued {
    Issued {
        access_token: AccessToken::new("the.token".to_owned()),
        client: client(),
        confirmation: Confirmation::default(),
        issued_at: NOW,
        expires_at: Some(Time::from_seconds(NOW.seconds() + 3600)),
        scope: "read".parse().unwrap(),
        scope_is_as_asked: false,
        allowances: Allowances::default(),
    }
}

fn decision(outcome: Result<Issued, Error>) -> Decision {
    Decision { reference: Reference::new(&Random::seeded(1)), at: NOW, outcome }
}

/// A POST with a body of this type.
fn post<'a>(method: &'a Method, headers: &'a HeaderMap, body: &'a [u8]) -> Incoming<'a> {
    Incoming { method, query: None, headers, body: Ok(body) }
}

fn with_type(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    headers
}

/// Status, headers in order, and body, as text.
fn text(dialect: &Dialect, decision: &Decision, asked_with: &HeaderMap) -> String {
    let answer = dialect.write(decision, asked_with);
    let headers: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    format!("{}\n{}\n{body}", answer.status.as_u16(), headers.concat())
}

fn refused(dialect: &Dialect, incoming: &Incoming<'_>) -> Refusal {
    dialect.read(incoming).err().expect("a refusal")
}

/// The readings of the presented credentials as `id/secret`.
fn readings(request: &TokenRequest<'_>) -> Vec<String> {
    match &request.credentials {
        Credentials::Secret(secret) => secret
            .readings
            .iter()
            .map(|reading| format!("{}/{}", reading.client_id, reading.secret))
            .collect(),
        other => panic!("no secret: {other:?}"),
    }
}

const GROWTH: &[u8] =
    br#" {"grant_type":"client_credentials","client_id":"an id","client_secret":"a \u0073ecret","x":[{}]} "#;

#[test]
fn dt_growth_reads_the_documented_request() {
    let dialect = dialect("dt-growth");
    let headers = with_type("Application/JSON ; charset=utf-8");
    let asked = dialect.read(&post(&Method::POST, &headers, GROWTH)).unwrap();
    assert_eq!(readings(&asked.request()), ["an id/a secret"]);
}

#[test]
fn dt_growth_checks_in_its_documented_order() {
    let dialect = dialect("dt-growth");
    let json = with_type("application/json");
    let none = HeaderMap::new();
    let text = with_type("text/json");
    let kind = |method, headers, body| refused(&dialect, &post(method, headers, body)).kind;
    assert_eq!(kind(&Method::GET, &none, b""), Kind::MethodNotAllowed);
    assert_eq!(kind(&Method::POST, &none, GROWTH), Kind::MediaType);
    assert_eq!(kind(&Method::POST, &text, GROWTH), Kind::MediaType);
    assert_eq!(kind(&Method::POST, &json, b""), Kind::EmptyBody);
    assert_eq!(kind(&Method::POST, &json, b"[]"), Kind::MalformedBody);
    for (body, expected) in [
        (r#"{"grant_type":"password","client_id":"a"}"#, Kind::MissingParameter),
        (r#"{"grant_type":5,"client_id":"a","client_secret":"b"}"#, Kind::MissingParameter),
        (r#"{"grant_type":"password","client_id":"a","client_secret":""}"#, Kind::MissingParameter),
        (
            r#"{"grant_type":"password","client_id":"a","client_secret":"b"}"#,
            Kind::UnsupportedGrantType,
        ),
        (r#"{"grant_type":"password","grant\u005ftype":"password"}"#, Kind::DuplicateParameter),
        (r#"{"a":{"b":1,"b":2}}"#, Kind::DuplicateParameter),
        (r#"{"a":1,"a":2} x"#, Kind::MalformedBody),
    ] {
        assert_eq!(kind(&Method::POST, &json, body.as_bytes()), expected, "{body}");
    }
}

#[test]
fn dt_growth_writes_its_documented_answers() {
    let dialect = dialect("dt-growth");
    let none = HeaderMap::new();
    assert_eq!(
        text(&dialect, &decision(Ok(issued())), &none),
        "200\ncontent-type: application/json\ncache-control: no-store\npragma: no-cache\n\n\
         {\"accessToken\":\"the.token\",\"tokenType\":\"bearer\",\"expiresIn\":3600}"
    );
    assert_eq!(
        text(&dialect, &decision(Err(Reason::MethodNotAllowed.into())), &none),
        "405\ncache-control: no-store\npragma: no-cache\nallow: POST\n\n"
    );
    assert_eq!(
        text(&dialect, &decision(Err(Reason::ClientDisabled.into())), &none),
        "400\ncontent-type: application/json\ncache-control: no-store\npragma: no-cache\n\n\
         {\"error\":\"invalid_client\"}"
    );
}

#[test]
fn rfc6749_reads_basic_form_decoded_first_and_raw_second() {
    let dialect = dialect("rfc6749");
    let mut headers = with_type("application/x-www-form-urlencoded");
    // "a%2Bb:c+d" in base64.
    headers.insert(AUTHORIZATION, HeaderValue::from_static("bAsIc YSUyQmI6Yytk"));
    let body = b"grant_type=client_credentials&resource=https://a&resource=https://b&scope=";
    let asked = dialect.read(&post(&Method::POST, &headers, body)).unwrap();
    let request = asked.request();
    assert_eq!(readings(&request), ["a+b/c d", "a%2Bb/c+d"]);
    assert_eq!(request.audiences.as_slice(), ["https://a", "https://b"]);
    assert_eq!(request.scope, None);
    let Credentials::Secret(secret) = &request.credentials else { panic!() };
    assert_eq!(secret.method, AuthenticationMethod::ClientSecretBasic);

    let repeated = b"grant_type=client_credentials&client_id=a%252Bb";
    let asked = dialect.read(&post(&Method::POST, &headers, repeated)).unwrap();
    assert_eq!(readings(&asked.request()), ["a%2Bb/c+d"]);

    for twice in ["client_id=other", "client_id=a%2Bb&client_secret=c", "client_secret=c"] {
        let body = format!("grant_type=client_credentials&{twice}");
        let refusal = refused(&dialect, &post(&Method::POST, &headers, body.as_bytes()));
        assert_eq!(refusal.reason, Reason::AuthenticationTwice, "{twice}");
    }
}

#[test]
fn a_challenge_is_for_who_used_the_header_unless_the_dialect_says_always() {
    let mut headers = HeaderMap::new();
    let refusal = decision(Err(Reason::SecretWrong.into()));
    let challenged = |dialect: &Dialect, headers: &HeaderMap| {
        text(dialect, &refusal, headers).contains("www-authenticate: Basic realm=")
    };
    let text = include_str!("../../../dialects/rfc6749/dialect.toml");
    let always = dialect("rfc6749");
    let from = "headers = { WWW-Authenticate = 'Basic realm=\"token\"' }";
    assert!(text.contains(from));
    let text = text.replace(from, "challenge = 'Basic realm=\"token\"'");
    let asked = load(&"mine".parse().unwrap(), "mine/dialect.toml", &text).unwrap();
    assert!(challenged(&always, &headers));
    assert!(!challenged(&asked, &headers));
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    assert!(challenged(&always, &headers));
    assert!(challenged(&asked, &headers));
}

#[test]
fn rfc6749_tells_the_scope_only_when_it_is_another() {
    let dialect = dialect("rfc6749");
    let none = HeaderMap::new();
    let mut issued = issued();
    assert!(text(&dialect, &decision(Ok(issued.clone())), &none).ends_with(
        "{\"access_token\":\"the.token\",\"token_type\":\"Bearer\",\"expires_in\":3600,\"scope\":\"read\"}"
    ));
    issued.scope_is_as_asked = true;
    issued.expires_at = None;
    assert!(
        text(&dialect, &decision(Ok(issued)), &none)
            .ends_with("{\"access_token\":\"the.token\",\"token_type\":\"Bearer\"}")
    );
}

#[test]
fn a_secret_among_the_parameters_is_none_where_only_basic_is_listed() {
    let dialect = dialect("basic-envelope");
    assert_eq!(dialect.terms().authentication, [AuthenticationMethod::ClientSecretBasic]);
    let text = r#"title = "Basic only"
[request]
method = "POST"
path = "/token"
media_types = { "application/x-www-form-urlencoded" = "form" }
authentication = ["client_secret_basic"]
[request.parameters]
client_id = "client_id"
[token]
format = "realm"
lifetime = "1h"
[success.json]
token = "{access_token}"
[refusals]
refused = { status = 400 }
server_error = { status = 500 }
"#;
    let dialect = load(&"basic".parse().unwrap(), "basic", text).unwrap();
    assert_eq!(dialect.terms().authentication, [AuthenticationMethod::ClientSecretBasic]);
    let mut headers = with_type("application/x-www-form-urlencoded");
    for body in ["client_id=a&client_secret=b", "client_id=a"] {
        let refusal = refused(&dialect, &post(&Method::POST, &headers, body.as_bytes()));
        assert_eq!(refusal.reason, Reason::AuthenticationMissing, "{body}");
    }
    // "a:b" in base64.
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic YTpi"));
    let asked = dialect.read(&post(&Method::POST, &headers, b"client_id=a")).unwrap();
    assert_eq!(readings(&asked.request()), ["a/b"]);
}
