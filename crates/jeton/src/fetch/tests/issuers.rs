//! Keys of an issuer, found by its own metadata.

use super::*;

/// An issuer with a path; `tell` makes the metadata out of its URL.
struct Told {
    server: Server,
    issuer: String,
}

fn issuer(
    stage: &Stage,
    path: &'static str,
    tell: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Told {
    let own: Arc<Mutex<String>> = Arc::default();
    let known = Arc::clone(&own);
    let server = stage.server(move |request, out| {
        let issuer = known.lock().unwrap().clone();
        let asked = request.split(' ').nth(1).unwrap();
        send(
            out,
            &match asked {
                "/tenant/keys" => answer("200 OK", "", &set("one")),
                asked if asked == path => answer("200 OK", "", &tell(&issuer)),
                _ => answer("404 Not Found", "", ""),
            },
        );
    });
    let issuer = format!("https://keys.example.com:{}/tenant", server.address.port());
    own.lock().unwrap().clone_from(&issuer);
    Told { server, issuer }
}

fn metadata(issuer: &str, jwks_uri: &str) -> String {
    format!(r#"{{"issuer":"{issuer}","jwks_uri":"{jwks_uri}"}}"#)
}

const OPENID: &str = "/tenant/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server/tenant";

fn of(issuer: &str) -> KeyLocation {
    KeyLocation::Issuer(issuer.into())
}

#[tokio::test]
async fn the_metadata_of_either_position_lead_to_the_keys() {
    for (path, requests) in [(OPENID, 2), (OAUTH, 3)] {
        let stage = Stage::new();
        let told = issuer(&stage, path, |issuer| metadata(issuer, &format!("{issuer}/keys")));
        let keys = stage.get(&of(&told.issuer)).await.unwrap();
        assert_eq!(key_ids(&keys), ["one"]);
        assert_eq!(told.server.connections(), requests, "{path}");
        stage.get(&of(&told.issuer)).await.unwrap();
        assert_eq!(told.server.connections(), requests, "{path}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_are_refused_in_every_spelling() {
    for other in ["https://evil.example.com", "{}/", "{}?x", ""] {
        let stage = Stage::new();
        let told = issuer(&stage, OPENID, move |issuer| {
            metadata(&other.replace("{}", issuer), &format!("{issuer}/keys"))
        });
        let error = stage.get(&of(&told.issuer)).await.unwrap_err();
        assert_eq!(error, FetchError::AnotherIssuer, "{other}");
        // Neither the keys nor the other position were asked for.
        assert_eq!(told.server.connections(), 1);
    }
}

#[tokio::test]
async fn keys_that_metadata_name_are_fetched_on_the_same_guarded_way() {
    let stage = Stage::new();
    let beside = stage.server(Published::new("one").answer());
    let canary = stage.canary(&beside);
    let port = canary.address.port();
    for (uri, words) in [
        (format!("https://{FORBIDDEN}:{port}/keys"), "no address that may be reached"),
        (format!("http://{ALLOWED}:{port}/keys"), "must be https"),
        ("file:///etc/passwd".to_owned(), "must be https"),
    ] {
        let told = issuer(&stage, OPENID, move |issuer| metadata(issuer, &uri));
        let error = stage.get(&of(&told.issuer)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn metadata_without_keys_are_refused() {
    for body in
        [r#"{"issuer":"{}"}"#, r#"{"issuer":"{}","issuer":"{}","jwks_uri":"{}/keys"}"#, "[]"]
    {
        let stage = Stage::new();
        let told = issuer(&stage, OPENID, move |issuer| body.replace("{}", issuer));
        let error = stage.get(&of(&told.issuer)).await.unwrap_err();
        assert!(matches!(error, FetchError::Content { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_engine_hears_why_there_are_no_keys() {
    use jeton_engine::key_source::KeySource as _;
    let stage = Stage::new();
    for (location, words) in [
        (KeyLocation::Uri("http://example.com/".into()), "the URL must be https"),
        (KeyLocation::Issuer("https://example.com/?x".into()), "the URL is not"),
        (KeyLocation::Uri("https://10.0.0.1/".into()), "no address that may be reached"),
    ] {
        let error = stage.keys.key_set(&location, None).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
