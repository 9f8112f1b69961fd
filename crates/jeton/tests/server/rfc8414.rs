//! Proves what metadata says, where it is found, and that it never repeats what a request claims (RFC 8414).

use serde_json::{Value, json};

use crate::started::{ask, get, start};

const TWO: &str = "[realm.one]\nissuer = \"https://a.example.com/one\"\n\
                   [realm.two]\nissuer = \"https://a.example.com/two\"\nscopes = [\"read\", \"write\"]\n";

const PLAIN: &str = "[realm.main]\nissuer = \"https://a.example.com\"\n";

async fn document(text: &str, path: &str) -> Value {
    let running = start(text).await;
    let answer = ask(running.public_address(), &get(path, "elsewhere.example.net")).await;
    running.stop().await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert!(answer.header("etag").is_some());
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn it_says_what_is_switched_on_and_nothing_else() {
    let metadata = document(PLAIN, "/.well-known/oauth-authorization-server").await;
    let methods =
        ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"];
    let signing = ["EdDSA", "ES256", "ES384", "PS256", "RS256"];
    let with_secret = ["EdDSA", "ES256", "ES384", "PS256", "RS256", "HS256"];
    let expected = json!({
        "issuer": "https://a.example.com",
        "token_endpoint": "https://a.example.com/oauth2/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": with_secret,
        "jwks_uri": "https://a.example.com/.well-known/jwks.json",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "introspection_endpoint": "https://a.example.com/oauth2/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": with_secret,
        "introspection_signing_alg_values_supported": ["EdDSA"],
        "revocation_endpoint": "https://a.example.com/oauth2/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": with_secret,
        "dpop_signing_alg_values_supported": signing,
    });
    assert_eq!(metadata, expected);
}

#[tokio::test]
async fn in_the_profile_fapi2_it_names_what_fapi2_allows_and_nothing_else() {
    let text = format!("{PLAIN}profile = \"fapi2\"\n");
    let metadata = document(&text, "/.well-known/oauth-authorization-server").await;
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = &metadata[format!("{endpoint}_endpoint_auth_methods_supported")];
        assert_eq!(*methods, json!(["private_key_jwt"]), "{endpoint}");
        let signing = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*signing, json!(["EdDSA", "ES256", "PS256"]), "{endpoint}");
    }
    assert_eq!(metadata["dpop_signing_alg_values_supported"], json!(["EdDSA", "ES256", "PS256"]));
    assert_eq!(metadata.get("tls_client_certificate_bound_access_tokens"), None);
}

#[tokio::test]
async fn certificates_are_named_where_they_reach_the_server() {
    let header = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n[server.client_certificate_header]\nformat = \"rfc9440\"\n";
    for (chain, expected) in [
        ("unverified", &["self_signed_tls_client_auth"][..]),
        ("verified", &["tls_client_auth", "self_signed_tls_client_auth"]),
    ] {
        let text = format!("{header}chain = \"{chain}\"\n{PLAIN}profile = \"fapi2\"\n");
        let metadata = document(&text, "/.well-known/oauth-authorization-server").await;
        let methods: Vec<&str> = ["private_key_jwt"].iter().chain(expected).copied().collect();
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(methods), "{chain}");
        assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], json!(true));
    }
}

#[tokio::test]
async fn scopes_are_named_where_the_realm_names_them() {
    let metadata = document(TWO, "/two/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["scopes_supported"], json!(["read", "write"]));
    let metadata = document(TWO, "/one/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.get("scopes_supported"), None);
}

#[tokio::test]
async fn a_realm_without_public_keys_names_no_set_of_them() {
    let text = "[realm.main]\nissuer = \"https://a.example.com\"\ntoken.format = \"stored\"\n";
    let metadata = document(text, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.get("jwks_uri"), None);
    let text = "[realm.main]\nissuer = \"https://a.example.com\"\ntoken.algorithm = \"HS256\"\n";
    let metadata = document(text, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.get("jwks_uri"), None);
    assert_eq!(metadata.get("introspection_signing_alg_values_supported"), None);
}

#[tokio::test]
async fn the_token_endpoint_is_the_standard_one_or_else_the_first() {
    let both = "[realm.main]\nissuer = \"https://a.example.com\"\ndialects = [\"dt-growth\", \"rfc6749\"]\n";
    let metadata = document(both, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["token_endpoint"], "https://a.example.com/oauth2/token");
    let metadata =
        document(crate::started::GROWTH, "/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["token_endpoint"], "https://reporting.example.com/auth/v1/token");
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["client_secret_post"]));
}

#[tokio::test]
async fn both_positions_and_both_names_have_the_same_document() {
    let running = start(TWO).await;
    let address = running.public_address();
    for realm in ["one", "two"] {
        let mut bodies = Vec::new();
        for name in ["oauth-authorization-server", "openid-configuration"] {
            for path in
                [format!("/{realm}/.well-known/{name}"), format!("/.well-known/{name}/{realm}")]
            {
                let answer = ask(address, &get(&path, "elsewhere.example.net")).await;
                assert_eq!(answer.status, 200, "{path}");
                bodies.push(answer.body);
            }
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 1);
        let metadata: Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!(metadata["issuer"], format!("https://a.example.com/{realm}"));
    }
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/",
        "/.well-known/oauth-authorization-server/three",
        "/.well-known/oauth-authorization-server/one/",
        "/.well-known/oauth-authorization-server/one/oauth2",
        "/one/.well-known/oauth-authorization-server/one",
    ] {
        assert_eq!(ask(address, &get(path, "x")).await.status, 404, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn realms_with_one_path_are_told_apart_by_host_in_the_inserted_position_too() {
    let text = "[realm.one]\nissuer = \"https://a.example.com/main\"\n\
                [realm.two]\nissuer = \"https://b.example.com/main\"\n";
    let running = start(text).await;
    let address = running.public_address();
    for path in ["/.well-known/openid-configuration/main", "/main/.well-known/openid-configuration"]
    {
        for host in ["a.example.com", "b.example.com"] {
            let answer = ask(address, &get(path, host)).await;
            let metadata: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(metadata["issuer"], format!("https://{host}/main"), "{path}");
        }
        assert_eq!(ask(address, &get(path, "c.example.com")).await.status, 404);
    }
    running.stop().await;
}

#[tokio::test]
async fn the_document_is_the_same_whatever_the_request_says_of_its_host() {
    let running = start(PLAIN).await;
    let address = running.public_address();
    let path = "/.well-known/oauth-authorization-server";
    let plain = ask(address, &get(path, "a.example.com")).await;
    let claims = "Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http\r\n\
                  Forwarded: host=evil.example;proto=http\r\n";
    let claimed = ask(address, &format!("GET {path} HTTP/1.1\r\n{claims}\r\n")).await;
    assert_eq!(plain.body, claimed.body);
    assert_eq!(plain.header("etag"), claimed.header("etag"));
    running.stop().await;
}
