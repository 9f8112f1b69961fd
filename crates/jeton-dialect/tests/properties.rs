//! Proves what holds for every input: readers never panic and agree with other readers; every kind
//! of every built-in dialect has an answer that is no success and carries no secret.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use jeton_dialect::{Dialect, Dialects, Incoming, load};
use jeton_engine::clock::{Random, Time};
use jeton_engine::error::{Error, Fault, Kind, Reason, Refusal};
use jeton_engine::event::Reference;
use jeton_engine::request::Credentials;
use jeton_engine::token::Decision;
use proptest::prelude::*;

/// Reads JSON, forms and Basic, requires nothing and refuses nothing but what does not decode.
static OPEN: LazyLock<Dialect> = LazyLock::new(|| {
    let text = r#"title = "Open"
[request]
method = "POST"
path = "/token"
media_types = { "application/json" = "json", "application/x-www-form-urlencoded" = "form" }
authentication = ["client_secret_post", "client_secret_basic"]
lengths = { client_id = 100000, client_secret = 100000, scope = 100000 }
[request.parameters]
client_id = "id"
client_secret = "secret"
scope = "scope"
[token]
format = "realm"
lifetime = "1h"
[success.json]
token = "{access_token}"
[refusals]
refused = { status = 400 }
server_error = { status = 500 }
"#;
    load(&"open".parse().unwrap(), "open", text).unwrap_or_else(|told| panic!("{told}"))
});

/// What was read: identifier, secret, scope; or why nothing was.
type Outcome = Result<(String, String, Option<String>), Reason>;

fn read(content_type: &'static str, body: &[u8], authorization: Option<&[u8]>) -> Outcome {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(authorization) = authorization
        && let Ok(value) = HeaderValue::from_bytes(authorization)
    {
        headers.insert(AUTHORIZATION, value);
    }
    let incoming =
        Incoming { method: &Method::POST, query: None, headers: &headers, body: Ok(body) };
    let asked = OPEN.read(&incoming).map_err(|refusal| refusal.reason)?;
    let request = asked.request();
    let Credentials::Secret(secret) = &request.credentials else { panic!("no credentials") };
    let reading = &secret.readings[0];
    Ok((reading.client_id.to_owned(), reading.secret.to_owned(), request.scope.map(str::to_owned)))
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// JSON in all its shapes, with few names, so that they collide.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..5)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn readers_never_panic(body in any::<Vec<u8>>(), header in any::<Vec<u8>>()) {
        let _ = read(JSON, &body, None);
        let _ = read(FORM, &body, None);
        let _ = read(FORM, b"a=b", Some(&header));
        let basic = [b"Basic ".as_slice(), &header].concat();
        let _ = read(FORM, b"a=b", Some(&basic));
    }

    #[test]
    fn near_json_is_accepted_just_when_serde_json_accepts_it(text in "[{}\\[\\]\":,a0-9.eE+\\-\\\\u \t\n]{0,24}") {
        let theirs: Result<BTreeMap<String, serde::de::IgnoredAny>, _> = serde_json::from_str(&text);
        let ours = read(JSON, text.as_bytes(), None);
        let is_malformed = matches!(ours, Err(Reason::BodyMalformed | Reason::BodyEmpty));
        prop_assert_eq!(is_malformed, theirs.is_err(), "{:?}", ours);
    }

    #[test]
    fn json_means_what_it_means_to_serde_json(
        id in ".{1,40}", secret in ".{1,40}", scope in ".{0,40}", extra in any_json(), pretty in any::<bool>(),
    ) {
        let value = serde_json::json!({ "x": extra, "id": id, "secret": secret, "scope": scope });
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let scope = Some(scope).filter(|scope| !scope.is_empty());
        prop_assert_eq!(read(JSON, text.unwrap().as_bytes(), None), Ok((id, secret, scope)));
    }

    #[test]
    fn cut_json_is_malformed(id in ".{1,20}", cut in 1usize..20) {
        let text = serde_json::json!({ "id": id, "secret": "x" }).to_string();
        let keep = text.len().saturating_sub(cut).max(1);
        prop_assert_eq!(read(JSON, &text.as_bytes()[..keep], None), Err(Reason::BodyMalformed));
    }

    #[test]
    fn forms_mean_what_was_encoded(id in ".{1,40}", secret in ".{1,40}", scope in ".{0,40}") {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
                .replace("%20", "+")
        };
        let text = format!("id={}&{}={}&scope={}", encode(&id), encode("secret"), encode(&secret), encode(&scope));
        let scope = Some(scope).filter(|scope| !scope.is_empty());
        prop_assert_eq!(read(FORM, text.as_bytes(), None), Ok((id, secret, scope)));
    }

    #[test]
    fn a_name_that_comes_twice_is_found_among_many(count in 1usize..60, at in 0usize..60) {
        let names: Vec<String> = (0..count).map(|index| format!("\"n{index}\":0")).collect();
        let twice = format!("{{{},\"n{}\":1}}", names.join(","), at % count);
        prop_assert_eq!(read(JSON, twice.as_bytes(), None), Err(Reason::ParameterTwice));
        let form: Vec<String> = (0..count).map(|index| format!("n{index}=0")).collect();
        let twice = format!("{}&%6e{}=1", form.join("&"), at % count);
        prop_assert_eq!(read(FORM, twice.as_bytes(), None), Err(Reason::ParameterTwice));
    }
}

/// Every kind of refusal and fault, as decisions.
fn decisions() -> Vec<Decision> {
    let refusals = Reason::ALL.iter().flat_map(|reason| {
        Kind::ALL.iter().map(|kind| {
            Error::Refusal(Box::new(Refusal {
                kind: *kind,
                parameter: Some("client_secret".into()),
                retry_after: Some(Duration::from_millis(1)),
                ..Refusal::from(*reason)
            }))
        })
    });
    let faults =
        [Fault::Overloaded, Fault::Store("s3cret".to_owned()), Fault::Impossible("s3cret")];
    refusals
        .chain(faults.into_iter().map(Error::Fault))
        .map(|error| Decision {
            reference: Reference::new(&Random::seeded(1)),
            at: Time::from_seconds(1_767_225_600),
            outcome: Err(error),
        })
        .collect()
}

#[test]
fn every_kind_of_every_dialect_has_an_answer_that_is_no_success() {
    let dialects = Dialects::builtin().unwrap_or_else(|told| panic!("{told}"));
    let decisions = decisions();
    for folder in dialects.iter() {
        let dialect: &Arc<Dialect> = &folder.dialect;
        let is_dangerous = dialect.source_text().contains("danger_success_status = true");
        for decision in &decisions {
            let answer = dialect.write(decision, &HeaderMap::new());
            let (name, body) = (dialect.name(), String::from_utf8(answer.body.to_vec()).unwrap());
            assert!(is_dangerous || !answer.status.is_success(), "{name}: {decision:?}");
            assert!(!body.contains("s3cret"), "{name}: {body}");
            let media_type = answer.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap());
            assert_eq!(media_type.is_some(), !body.is_empty(), "{name}: {body}");
            if media_type.is_some_and(|media_type| media_type.contains("json")) {
                serde_json::from_str::<serde_json::Value>(&body)
                    .unwrap_or_else(|told| panic!("{name}: {told} in {body}"));
            }
            let is_cached = answer.headers.get("cache-control").is_none();
            assert!(!is_cached, "{name}: {decision:?} may be cached");
        }
    }
}
