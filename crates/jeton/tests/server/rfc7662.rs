//! Proves who learns what about a token at the introspection endpoint (RFC 7662), in a realm of
//! either kind.

use jeton_engine::client::ClientStatus;
use jeton_engine::manage::NewClient;
use serde_json::{Value, json};

use crate::asking::{Asking, BOTH, REALMS, assert_refused, basic};
use crate::started::{ask, within_patience};

const INACTIVE: &str = "{\"active\":false}";
const PATH: &str = "/oauth2/introspect";

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_resource_server_learns_what_a_token_says() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("main").await;
    let answer = asking.introspect("main", "orders", &token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut said = object(&answer.body);
    let taken = |said: &mut Value, name: &str| said.as_object_mut().unwrap().remove(name).unwrap();
    let lives =
        taken(&mut said, "exp").as_i64().unwrap() - taken(&mut said, "iat").as_i64().unwrap();
    assert_eq!(lives, 600);
    assert!(taken(&mut said, "jti").is_string());
    let expected = json!({
        "active": true,
        "scope": "read write",
        "client_id": "partner",
        "token_type": "Bearer",
        "sub": "partner",
        "aud": ["orders", "billing"],
        "iss": "https://a.example.com/main",
    });
    assert_eq!(said, expected, "no username, no nbf, nothing else");
    asking.end().await;
}

#[tokio::test]
async fn a_documented_dialects_token_is_told_in_the_same_words() {
    let asking = Asking::begin(REALMS).await;
    let token = asking.token("staff").await;
    let said = object(&asking.introspect("staff", "orders", &token).await.body);
    let names: Vec<_> = said.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["active", "client_id", "token_type", "exp", "iat", "sub", "iss"]);
    assert_eq!(said["client_id"], "partner");
    asking.end().await;
}

#[tokio::test]
async fn a_client_learns_of_its_own_tokens_and_nothing_of_others() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let token = asking.token(realm).await;
        let own = asking.introspect(realm, "partner", &token).await;
        assert_eq!(object(&own.body)["active"], true, "{realm}");
        let others = asking.introspect(realm, "other", &token).await;
        assert_eq!((others.status, others.body.as_str()), (200, INACTIVE), "{realm}");
    }
    asking.end().await;
}

#[tokio::test]
async fn a_token_holds_in_its_own_realm_only() {
    let asking = Asking::begin(REALMS).await;
    let (main, staff) = (asking.token("main").await, asking.token("staff").await);
    assert_eq!(asking.introspect("staff", "orders", &main).await.body, INACTIVE);
    assert_eq!(asking.introspect("main", "orders", &staff).await.body, INACTIVE);
    asking.end().await;
}

#[tokio::test]
async fn what_is_no_token_is_inactive_and_nothing_more() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let token = asking.token(realm).await;
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let altered: String = signature.chars().rev().collect();
        let long = "x".repeat(20_000);
        for wrong in [
            "nonsense",
            "a.b.c",
            "jse_x",
            &format!("{signed}."),
            &format!("{signed}.{altered}"),
            &long,
        ] {
            let answer = asking.introspect(realm, "orders", wrong).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, INACTIVE), "{realm} {wrong}");
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn a_disabled_clients_token_is_inactive_until_it_is_enabled_again() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let token = asking.token(realm).await;
        assert!(asking.is_active(realm, &token).await);
        let (name, id) = (realm.parse().unwrap(), "partner".parse().unwrap());
        for (status, active) in [(ClientStatus::Disabled, false), (ClientStatus::Enabled, true)] {
            asking.manage().set_status(&name, &id, status).await.unwrap();
            let began = std::time::Instant::now();
            within_patience(async || {
                (asking.is_active(realm, &token).await == active).then_some(())
            })
            .await;
            assert!(began.elapsed().as_millis() < 1000, "{realm}: {:?}", began.elapsed());
        }
    }
    asking.end().await;
}

#[tokio::test]
async fn realm_and_client_add_claims_of_their_own() {
    let text = format!("{REALMS}claims = {{ tenant = \"t\", tier = 1 }}\n");
    let asking = Asking::begin_with(&text, |new: &mut NewClient| {
        new.claims = "{\"tier\":2}".parse().unwrap();
    })
    .await;
    let token = asking.token("staff").await;
    let said = object(&asking.introspect("staff", "orders", &token).await.body);
    assert_eq!((&said["tenant"], &said["tier"]), (&json!("t"), &json!(2)));
    asking.end().await;
}

#[tokio::test]
async fn the_caller_must_be_a_client_by_header_or_by_form() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let secret = asking.secret(realm, "orders").to_owned();
        let form = format!("token=x&client_id=orders&client_secret={secret}");
        assert_eq!(asking.post(realm, PATH, "", &form).await.status, 200, "{realm}");

        let wrong = asking.post(realm, PATH, &basic("orders", "wrong"), "token=x").await;
        assert_refused(&wrong, 401, "invalid_client");
        assert_eq!(wrong.header("www-authenticate"), Some(&*format!("Basic realm=\"{realm}\"")));
        let unknown = asking.post(realm, PATH, &basic("nobody", "wrong"), "token=x").await;
        assert_eq!((unknown.status, unknown.body), (401, wrong.body.clone()), "no telling which");

        let by_form =
            asking.post(realm, PATH, "", "token=x&client_id=orders&client_secret=wrong").await;
        assert_refused(&by_form, 401, "invalid_client");
        assert_eq!(by_form.header("www-authenticate"), wrong.header("www-authenticate"));
        let nobody = asking.post(realm, PATH, "", "token=x").await;
        assert_refused(&nobody, 401, "invalid_client");
        let bearer = asking.post(realm, PATH, "Authorization: Bearer x\r\n", "token=x").await;
        assert_refused(&bearer, 401, "invalid_client");
    }
    asking.end().await;
}

#[tokio::test]
async fn one_way_of_authenticating_and_every_parameter_once() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let header = asking.basic(realm, "orders");
        let twice = format!("{header}{header}");
        for (headers, body) in [
            (&header, "token=x&client_id=orders&client_secret=y"),
            (&header, "token=x&client_id=partner"),
            (&header, "token=x&token=x"),
            (&header, "token=x&token_type_hint=a&token_type_hint=b"),
            (&header, "token="),
            (&header, "token_type_hint=access_token"),
            (&header, "token=%zz"),
            (&header, ""),
        ] {
            let answer = asking.post(realm, PATH, headers, body).await;
            assert_refused(&answer, 400, "invalid_request");
        }
        let answer = asking.post(realm, PATH, &twice, "token=x").await;
        assert_refused(&answer, 401, "invalid_client");
        let hinted = asking.post(realm, PATH, &header, "token=x&token_type_hint=nonsense").await;
        assert_eq!(hinted.body, INACTIVE, "a hint is only a hint");
    }
    asking.end().await;
}

#[tokio::test]
async fn nothing_that_matters_stands_in_the_url() {
    let asking = Asking::begin(REALMS).await;
    for realm in BOTH {
        let header = asking.basic(realm, "orders");
        for query in ["token=x", "client_secret=x", "client_id=x", "token_type_hint=x"] {
            let path = format!("{PATH}?{query}");
            let answer = asking.post(realm, &path, &header, "token=x").await;
            assert_refused(&answer, 400, "invalid_request");
        }
        let elsewhere = asking.post(realm, &format!("{PATH}?x=1"), &header, "token=x").await;
        assert_eq!(elsewhere.status, 200);
    }
    asking.end().await;
}

#[tokio::test]
async fn only_forms_are_posted_here_and_not_too_large_ones() {
    let asking = Asking::begin(REALMS).await;
    let address = asking.running.public_address();
    for realm in BOTH {
        for method in ["GET", "PUT", "DELETE"] {
            let request = format!("{method} /{realm}{PATH}?x=1 HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = ask(address, &request).await;
            assert_refused(&answer, 405, "invalid_request");
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        let json = crate::started::post(&format!("/{realm}{PATH}"), "x", "{\"token\":\"x\"}");
        assert_refused(&ask(address, &json).await, 400, "invalid_request");
        let large = format!("token={}", "x".repeat(70_000));
        let answer = asking.post(realm, PATH, &asking.basic(realm, "orders"), &large).await;
        assert_refused(&answer, 413, "invalid_request");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    asking.end().await;
}

#[tokio::test]
async fn wrong_guesses_here_lock_an_account_as_they_do_at_the_token_endpoint() {
    let asking = Asking::begin(REALMS).await;
    // The dialect of `staff` locks after five wrong secrets.
    for realm in BOTH {
        for _ in 0..5 {
            let answer = asking.post(realm, PATH, &basic("orders", "wrong"), "token=x").await;
            assert_eq!(answer.status, 401);
        }
        let locked = asking.introspect(realm, "orders", "x").await;
        assert_eq!(locked.status, if realm == "staff" { 401 } else { 200 }, "{realm}");
    }
    asking.end().await;
}

#[tokio::test]
async fn a_refusal_can_be_explained_by_its_reference() {
    let asking = Asking::begin(REALMS).await;
    let answer = asking.post("main", PATH, &basic("orders", "wrong"), "token=x").await;
    let reference = answer.header("jeton-reference").unwrap().parse().unwrap();
    let manage = asking.manage();
    let event = within_patience(async || manage.event(reference).await.unwrap()).await;
    assert_eq!(event.kind.name(), "introspection_refused");
    assert_eq!(event.detail.as_deref(), Some("secret_wrong"));
    asking.end().await;
}
