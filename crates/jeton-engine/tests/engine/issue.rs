//! What a token says and how it looks, and when there is none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_engine::client::ClientStatus;
use jeton_engine::error::{Fault, Kind, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::{ClientChange, NewClient};
use jeton_engine::request::{Credentials, TokenRequest};
use jeton_engine::store::TokenFilter;
use jeton_engine::terms::{Lifetime, Permission, Terms, TokenShape};
use jeton_engine::token::{TokenFormat, TokenOrigin};

use crate::stage::{
    Ask, START, Stage, fault, id, kind, main, named, orders, realm, realm_of, reason, settings,
    stated_terms, terms, time,
};

#[tokio::test]
async fn a_client_gets_what_it_asks_for_of_its_scope_and_nothing_else() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = || Ask::new("orders", &secret);
    for (asked, granted) in
        [("read", "read"), ("write read", "write read"), ("read read", "read"), ("", "")]
    {
        let issued = stage.issued(&terms(), &ask().scope(asked)).await;
        assert_eq!(issued.scope.to_string(), granted, "{asked}");
        assert!(issued.scope_is_as_asked, "{asked}");
    }
    let issued = stage.issued(&terms(), &ask()).await;
    assert_eq!(issued.scope.to_string(), "read write");
    assert!(!issued.scope_is_as_asked, "it asked for none");

    for asked in ["admin", "read admin", "READ"] {
        let refused = stage.refused(&terms(), &ask().scope(asked)).await;
        assert_eq!(refused, Reason::ScopeNotGranted, "{asked}");
    }
    for asked in ["read  write", " read", "read ", "re\"ad", "read\twrite", "réad"] {
        let refused = stage.refused(&terms(), &ask().scope(asked)).await;
        assert_eq!(refused, Reason::ScopeMalformed, "{asked}");
    }
    let long: Vec<String> = (0..=256).map(|number| format!("s{number}")).collect();
    let refused = stage.refused(&terms(), &ask().scope(&long.join(" "))).await;
    assert_eq!(refused, Reason::ScopeMalformed);
}

#[tokio::test]
async fn a_scope_that_the_realm_no_longer_knows_is_granted_no_more() {
    let mut stage = Stage::new().await;
    let secret = stage.orders().await;
    stage.reconfigure(|realm| realm.scopes = "read".parse().unwrap()).await;
    let ask = Ask::new("orders", &secret);
    assert_eq!(stage.issued(&terms(), &ask).await.scope.to_string(), "read");
    let refused = stage.refused(&terms(), &ask.scope("write")).await;
    assert_eq!(refused, Reason::ScopeNotGranted);
}

#[tokio::test]
async fn audiences_are_the_clients_or_the_realms_or_the_dialects_or_the_issuer() {
    let mut stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let said = async |stage: &Stage, terms: &Terms, ask: &Ask<'_>| -> Vec<Box<str>> {
        let token = stage.token(terms, ask).await;
        stage.check(&token).await.unwrap().says.audiences.clone()
    };
    assert_eq!(said(&stage, &terms(), &ask).await, [stage.realm.issuer.as_str().into()]);
    let own_shape = Terms { token: Some(stage.realm.token.clone()), ..terms() };
    assert!(
        said(&stage, &own_shape, &ask).await.is_empty(),
        "the dialect says what its tokens say"
    );
    let dialects = Terms { audience: Some("dialect".parse().unwrap()), ..terms() };
    assert_eq!(said(&stage, &dialects, &ask).await, ["dialect".into()]);
    stage.reconfigure(|realm| realm.audience = Some("realm".parse().unwrap())).await;
    assert_eq!(said(&stage, &dialects, &ask).await, ["realm".into()]);

    let own = vec!["one".parse().unwrap(), "two".parse().unwrap()];
    let change = ClientChange { audiences: Some(own), ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), change).await.unwrap();
    stage.follow().await;
    assert_eq!(said(&stage, &dialects, &ask).await, ["one".into(), "two".into()]);
    let ask_two = ask.clone().audiences(&["two", "two"]);
    assert_eq!(said(&stage, &dialects, &ask_two).await, ["two".into()], "each once");
    for other in [&["realm"][..], &["one", "three"], &["ONE"], &[""]] {
        let refused = stage.refused(&dialects, &ask.clone().audiences(other)).await;
        assert_eq!(refused, Reason::TargetNotAllowed, "{other:?}");
    }
}

#[tokio::test]
async fn the_clients_lifetime_comes_before_the_realms_before_the_dialects() {
    let mut stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let issued = stage.issued(&terms(), &ask).await;
    assert_eq!((issued.expires_in(), issued.expires_at), (Some(3600), Some(time(3600))));
    stage.reconfigure(|realm| realm.lifetime = Some(Lifetime::seconds(600))).await;
    assert_eq!(stage.issued(&terms(), &ask).await.expires_in(), Some(600));
    set_lifetime(&stage, Lifetime::seconds(60)).await;
    assert_eq!(stage.issued(&terms(), &ask).await.expires_in(), Some(60));
}

async fn set_lifetime(stage: &Stage, lifetime: Lifetime) {
    let change = ClientChange { lifetime: Some(Some(lifetime)), ..ClientChange::default() };
    stage.manage().change_client(&stage.realm, &id("orders"), change).await.unwrap();
    stage.follow().await;
}

#[tokio::test]
async fn no_life_is_longer_than_the_realm_gives_any() {
    let mut stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    stage.reconfigure(|realm| realm.lifetime_max = Some(Lifetime::seconds(900))).await;
    let permitted = Terms { never_expires: Permission::Permitted, ..terms() };
    assert_eq!(stage.issued(&permitted, &ask).await.expires_in(), Some(900));
    for (lifetime, expected) in [
        (Lifetime::Never, 900),
        (Lifetime::seconds(901), 900),
        (Lifetime::seconds(900), 900),
        (Lifetime::seconds(899), 899),
    ] {
        set_lifetime(&stage, lifetime).await;
        assert_eq!(stage.issued(&permitted, &ask).await.expires_in(), Some(expected), "{lifetime}");
        let new = jeton_engine::manage::NewToken {
            client_id: id("orders"),
            name: "laptop".to_owned(),
            lifetime: Some(lifetime),
            scope: None,
        };
        let made = stage.manage().make_token(&stage.realm, &permitted, new).await.unwrap();
        assert_eq!(made.1.expires_at, Some(time(i64::try_from(expected).unwrap())), "{lifetime}");
    }
}

#[tokio::test]
async fn a_token_never_expires_only_where_the_dialect_permits_it() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    set_lifetime(&stage, Lifetime::Never).await;
    let ask = Ask::new("orders", &secret);
    let issued = stage.issued(&terms(), &ask).await;
    assert_eq!(issued.expires_in(), Some(3600), "the next word down counts");
    let permitted = Terms { never_expires: Permission::Permitted, ..terms() };
    let issued = stage.issued(&permitted, &ask).await;
    assert_eq!((issued.expires_in(), issued.expires_at), (None, None));
    let nobody_else = Terms { lifetime: Lifetime::Never, ..terms() };
    assert_eq!(stage.issued(&nobody_else, &ask).await.expires_in(), Some(3600));
}

#[tokio::test]
async fn a_stated_jwt_is_the_same_byte_for_byte() {
    let stage = Stage::new().await;
    stage.import_shared(None).await;
    let new = NewClient { subject: Some("acme".parse().unwrap()), ..orders() };
    let secret = stage.client(new).await;
    // Made with Python's hmac from the same secret, header and claims.
    let expected = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAw\
        MzYwMCwiYXVkIjoic3BlZWRiYWxsIiwic3ViIjoiYWNtZSJ9.";
    let token = stage.token(&stated_terms(), &Ask::new("orders", &secret)).await;
    assert!(token.starts_with(expected), "{token}");
    assert_eq!(token, format!("{expected}9oe--eqKdC7vU3n-0XKCMmp4N8ox_LG0BAfrcqhXunQ"));
    // Half a second later it still says whole seconds.
    stage.pass(std::time::Duration::from_millis(999));
    assert_eq!(stage.token(&stated_terms(), &Ask::new("orders", &secret)).await, token);
}

fn part(token: &str, index: usize) -> String {
    let part = token.split('.').nth(index).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_jwt_of_the_realm_has_the_shape_of_rfc_9068() {
    let mut realm = realm_of(TokenShape::rfc9068(Algorithm::EdDsa));
    realm.audience = Some("https://api.example.com".parse().unwrap());
    realm.claims = r#"{"tenant":"t1","tier":1}"#.parse().unwrap();
    let stage = Stage::with(settings(), realm).await;
    stage.engine.ensure_keys(&stage.state(), &[terms().into()]).await.unwrap();
    let key = stage.manage().keys(&main()).await.unwrap().remove(0);
    let claims = r#"{"tier":2,"roles":["a","b"]}"#.parse().unwrap();
    let secret = stage.client(NewClient { claims, ..orders() }).await;
    let issued = stage.issued(&terms(), &Ask::new("orders", &secret).scope("read")).await;
    let token = issued.access_token.reveal();
    assert_eq!(part(token, 0), format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, key.id));
    let claims = part(token, 1);
    let says = stage.check(token).await.unwrap().says;
    let jti = says.id.as_deref().unwrap();
    assert_eq!(jti.parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
    assert_eq!(
        claims,
        format!(
            r#"{{"iss":"https://auth.example.com/main","sub":"orders","client_id":"orders","aud":"https://api.example.com","iat":{START},"exp":{},"jti":"{jti}","scope":"read","tenant":"t1","tier":2,"roles":["a","b"]}}"#,
            START + 3600
        )
    );
}

#[tokio::test]
async fn a_shape_that_the_dialect_states_gets_no_custom_claims() {
    let mut realm = realm();
    realm.claims = r#"{"tenant":"t1"}"#.parse().unwrap();
    let stage = Stage::with(settings(), realm).await;
    stage.import_shared(None).await;
    let claims = r#"{"tier":2}"#.parse().unwrap();
    let secret = stage.client(NewClient { claims, ..orders() }).await;
    let token = stage.token(&stated_terms(), &Ask::new("orders", &secret)).await;
    let expected =
        format!(r#"{{"iat":{START},"exp":{},"aud":"speedball","sub":"orders"}}"#, START + 3600);
    assert_eq!(part(&token, 1), expected);
}

#[tokio::test]
async fn several_audiences_are_an_array_and_no_scope_is_no_claim() {
    let stage = Stage::with(settings(), realm_of(TokenShape::rfc9068(Algorithm::Hs256))).await;
    stage.import_shared(Some("k1")).await;
    let audiences = vec!["one".parse().unwrap(), "two".parse().unwrap()];
    let new = NewClient { audiences, scope: "".parse().unwrap(), ..orders() };
    let secret = stage.client(new).await;
    let token = stage.token(&terms(), &Ask::new("orders", &secret)).await;
    let claims = part(&token, 1);
    assert!(claims.contains(r#""aud":["one","two"],"#), "{claims}");
    assert!(!claims.contains("scope"), "{claims}");
}

#[tokio::test]
async fn a_stored_token_is_in_the_store_as_a_digest_when_it_is_answered() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let issued = stage.issued(&terms(), &Ask::new("orders", &secret).scope("read")).await;
    let token = issued.access_token.reveal();
    let body = token.strip_prefix("jt_").unwrap();
    assert_eq!(body.len(), 43);
    assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert!(!format!("{issued:?} {:?}", issued.access_token).contains(body));

    let kept = stage.store().tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    let [record] = kept.as_slice() else { panic!("{kept:?}") };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    assert_eq!(record.digest, digest.as_ref());
    assert_eq!((record.format, &record.origin), (TokenFormat::Stored, &TokenOrigin::Endpoint));
    assert_eq!((record.client_id.as_str(), record.subject.as_str()), ("orders", "orders"));
    assert_eq!(record.scope.to_string(), "read");
    assert_eq!((record.issued_at, record.expires_at), (time(0), Some(time(3600))));
}

#[tokio::test]
async fn a_jwt_and_a_sealed_token_leave_no_row() {
    let stage = Stage::with(settings(), realm_of(TokenShape::Sealed)).await;
    stage.import_shared(None).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let sealed = stage.token(&terms(), &ask).await;
    assert!(sealed.starts_with("jse_"));
    assert!(!sealed.contains("orders"));
    stage.token(&stated_terms(), &ask).await;
    let kept = stage.store().tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn without_a_key_there_is_a_fault_and_no_token() {
    let stage = Stage::with(settings(), realm_of(TokenShape::rfc9068(Algorithm::EdDsa))).await;
    // A key of another algorithm signs nothing here.
    stage.import_shared(None).await;
    let secret = stage.orders().await;
    let decision = stage.ask(&terms(), &Ask::new("orders", &secret)).await;
    let no_key = Fault::NoKey { realm: "main".to_owned(), algorithm: Algorithm::EdDsa };
    assert_eq!(fault(&decision), &no_key);
    assert_eq!(kind(&decision), Kind::ServerError);

    stage.engine.ensure_keys(&stage.state(), &[terms().into()]).await.unwrap();
    assert!(stage.holds(&stage.token(&terms(), &Ask::new("orders", &secret)).await).await);
    assert_eq!(stage.manage().keys(&main()).await.unwrap().len(), 2);
    stage.engine.ensure_keys(&stage.state(), &[terms().into()]).await.unwrap();
    assert_eq!(stage.manage().keys(&main()).await.unwrap().len(), 2, "once");
}

#[tokio::test]
async fn a_disabled_client_hears_so_once_it_has_proved_who_it_is() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    stage.manage().set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    let decision = stage.ask(&terms(), &Ask::new("orders", &secret)).await;
    assert_eq!(
        (reason(&decision), kind(&decision)),
        (Reason::ClientDisabled, Kind::ClientDisabled)
    );
    let decision = stage.ask(&terms(), &Ask::new("orders", "wrong")).await;
    assert_eq!((reason(&decision), kind(&decision)), (Reason::SecretWrong, Kind::InvalidClient));
}

#[tokio::test]
async fn a_client_calls_from_its_networks_only() {
    let stage = Stage::new().await;
    let networks = vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let secret = stage.client(NewClient { networks, ..orders() }).await;
    for source in ["192.0.2.1", "::ffff:192.0.2.9", "2001:db8::1"] {
        let ask = Ask::new("orders", &secret).from(source);
        assert!(stage.ask(&terms(), &ask).await.outcome.is_ok(), "{source}");
    }
    for source in ["192.0.3.1", "::ffff:192.0.3.1", "2001:db9::1", "::1"] {
        let ask = Ask::new("orders", &secret).from(source);
        assert_eq!(stage.refused(&terms(), &ask).await, Reason::SourceNotAllowed, "{source}");
        let ask = Ask::new("orders", "wrong").from(source);
        assert_eq!(stage.refused(&terms(), &ask).await, Reason::SecretWrong, "{source}");
    }
}

#[tokio::test]
async fn what_could_not_be_read_or_has_no_credentials_is_refused() {
    let stage = Stage::new().await;
    let caller = jeton_engine::request::Caller::from(std::net::IpAddr::from([192, 0, 2, 1]));
    let nothing =
        TokenRequest { credentials: Credentials::None, scope: None, audiences: Default::default() };
    let decision = stage.engine.decide(&stage.state(), &terms(), caller, Ok(&nothing)).await;
    assert_eq!(reason(&decision), Reason::AuthenticationMissing);
    let unread = Err(Reason::BodyMalformed.into());
    let decision = stage.engine.decide(&stage.state(), &terms(), caller, unread.as_ref()).await;
    assert_eq!(reason(&decision), Reason::BodyMalformed);
    assert_eq!(decision.at, time(0));
}

#[tokio::test]
async fn a_refused_request_leaves_no_token() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    stage.client(named("other")).await;
    stage.refused(&terms(), &Ask::new("orders", "wrong")).await;
    stage.refused(&terms(), &Ask::new("other", &secret)).await;
    stage.refused(&terms(), &Ask::new("orders", &secret).scope("admin")).await;
    let kept = stage.store().tokens(&main(), &TokenFilter::default(), None, 10).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
}
