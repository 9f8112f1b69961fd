//! What operators may do, and the nearest that they may not.

use jeton_engine::client::{Client, ClientStatus};
use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::{ClientChange, KeyMaterial, ManageError, NewClient, NewToken, Rotation};
use jeton_engine::store::TokenFilter;
use jeton_engine::terms::{Lifetime, Permission, Terms};
use zeroize::Zeroizing;

use crate::stage::{
    Ask, SHARED, SUPPLIED, Stage, id, main, named, orders, reason, stated_terms, supplied, terms,
    time,
};

fn field<T>(outcome: Result<T, ManageError>) -> &'static str {
    match outcome {
        Err(ManageError::Invalid { field, .. }) => field,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it was done"),
    }
}

#[tokio::test]
async fn a_client_is_made_once_and_only_with_what_is_allowed() {
    let mut stage = Stage::new().await;
    stage.reconfigure(|realm| realm.scopes = "read write".parse().unwrap()).await;
    stage.orders().await;
    let create = async |new| stage.manage().create_client(&stage.realm, new).await;
    assert!(matches!(create(orders()).await, Err(ManageError::Exists(_))));
    let admin = NewClient { scope: "read admin".parse().unwrap(), ..named("a") };
    assert_eq!(field(create(admin).await), "scope");
    let unnamed = NewClient { name: Some("two\nlines".to_owned()), ..named("a") };
    assert_eq!(field(create(unnamed).await), "name");
    let late = NewClient { lifetime: Some(Lifetime::seconds(u32::MAX)), ..named("a") };
    assert_eq!(field(create(late).await), "lifetime");
    let past = NewClient { secret_expires_at: Some(time(0)), ..named("a") };
    assert_eq!(field(create(past).await), "secret-expires");
    for secret in ["", "line\n", &"x".repeat(1025)] {
        let bad = NewClient { secret: supplied(secret), ..named("a") };
        assert_eq!(field(create(bad).await), "secret", "{secret}");
    }
    assert_eq!(stage.manage().clients(&main(), None, 10).await.unwrap().len(), 1);
    let (client, made) = create(NewClient::default()).await.unwrap();
    assert_eq!(client.id.as_str().len(), 24);
    assert!(made.unwrap().generated.unwrap().starts_with("jts_"));
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let stage = Stage::new().await;
    let (manage, nobody) = (stage.manage(), id("nobody"));
    let missing = |error: ManageError| assert!(matches!(error, ManageError::Missing(_)), "{error}");
    missing(manage.client(&main(), &nobody).await.unwrap_err());
    missing(manage.delete_client(&main(), &nobody).await.unwrap_err());
    missing(manage.unlock_client(&main(), &nobody).await.unwrap_err());
    missing(manage.set_status(&main(), &nobody, ClientStatus::Enabled).await.unwrap_err());
    missing(manage.revoke_secrets(&main(), &nobody, None).await.unwrap_err());
    let change = ClientChange::default();
    missing(manage.change_client(&stage.realm, &nobody, change).await.unwrap_err());
    missing(
        manage.rotate_secret(&main(), &nobody, Rotation::default()).await.map(drop).unwrap_err(),
    );
    missing(manage.revoke_token(&main(), &"t".parse().unwrap()).await.unwrap_err());
    missing(manage.export_key(&main(), &"k".parse().unwrap()).await.map(drop).unwrap_err());
    stage.orders().await;
    let no_secret = "s".parse().unwrap();
    missing(manage.revoke_secrets(&main(), &id("orders"), Some(&no_secret)).await.unwrap_err());
}

#[tokio::test]
async fn a_change_changes_what_it_names_and_nothing_else() {
    let stage = Stage::new().await;
    stage.orders().await;
    let before = stage.kept("orders").await;
    let manage = stage.manage();
    let nothing = ClientChange::default();
    let same = manage.change_client(&stage.realm, &id("orders"), nothing).await.unwrap();
    assert_eq!(same, before, "nothing to change is no change");
    stage.pass_seconds(1);
    let name = ClientChange { name: Some(Some("Orders".to_owned())), ..ClientChange::default() };
    let after = manage.change_client(&stage.realm, &id("orders"), name).await.unwrap();
    let expected = Client {
        name: Some("Orders".into()),
        changed_at: time(1),
        revision: before.revision + 1,
        ..before
    };
    assert_eq!(after, expected);
    assert_eq!(stage.kept("orders").await, expected);
}

#[tokio::test]
async fn many_changes_at_once_all_happen_or_say_that_they_did_not() {
    let stage = Stage::new().await;
    stage.orders().await;
    let mut acts = Vec::new();
    for _ in 0..4 {
        let manage = stage.manage();
        acts.push(tokio::spawn(async move {
            manage.rotate_secret(&main(), &id("orders"), Rotation::default()).await.is_ok()
        }));
    }
    let mut done = 0;
    for act in acts {
        done += usize::from(act.await.unwrap());
    }
    assert_eq!(stage.kept("orders").await.secrets.len(), 1 + done);
}

#[tokio::test]
async fn a_client_that_was_exported_is_taken_over_whole() {
    let stage = Stage::new().await;
    stage.client(NewClient { secret: supplied(SUPPLIED), ..orders() }).await;
    let client = stage.kept("orders").await;
    let manage = stage.manage();
    let taken = manage.import_client(&stage.realm, client.clone()).await;
    assert!(matches!(taken, Err(ManageError::Exists(_))));
    let elsewhere = Client { realm: "other".parse().unwrap(), ..client.clone() };
    assert_eq!(field(manage.check_import(&stage.realm, &elsewhere).await), "realm");
    stage.delete("orders").await;

    let twice = Client {
        secrets: vec![client.secrets[0].clone(), client.secrets[0].clone()],
        ..client.clone()
    };
    assert_eq!(field(manage.import_client(&stage.realm, twice).await), "secrets");
    let unnamed = Client { name: Some("\u{1b}[2J".into()), ..client.clone() };
    assert_eq!(field(manage.import_client(&stage.realm, unnamed).await), "name");
    let endless = Client { revision: u64::MAX, ..client.clone() };
    assert_eq!(field(manage.import_client(&stage.realm, endless).await), "revision");

    let ahead = Client { created_at: time(1_000), ..client };
    manage.import_client(&stage.realm, ahead).await.unwrap();
    stage.follow().await;
    let token = stage.token(&terms(), &Ask::new("orders", SUPPLIED)).await;
    assert!(stage.holds(&token).await, "no token is older than its client");
}

#[tokio::test]
async fn a_token_by_hand_is_listed_and_stays_within_what_its_client_may() {
    let stage = Stage::new().await;
    stage.orders().await;
    let manage = stage.manage();
    let new = || NewToken {
        client_id: id("orders"),
        name: "laptop".to_owned(),
        lifetime: None,
        scope: Some("read".parse().unwrap()),
    };
    let make = async |terms: &Terms, new| manage.make_token(&stage.realm, terms, new).await;
    let (_, record) = make(&terms(), new()).await.unwrap();
    assert_eq!(record.scope.to_string(), "read");
    let filter = TokenFilter { by_hand_only: true, ..TokenFilter::default() };
    assert_eq!(manage.tokens(&main(), &filter, None, 10).await.unwrap(), [record]);

    let admin = NewToken { scope: Some("admin".parse().unwrap()), ..new() };
    assert_eq!(field(make(&terms(), admin).await), "scope");
    let unnamed = NewToken { name: String::new(), ..new() };
    assert_eq!(field(make(&terms(), unnamed).await), "name");
    let never = || NewToken { lifetime: Some(Lifetime::Never), ..new() };
    assert_eq!(field(make(&terms(), never()).await), "expires");
    let permitted = Terms { never_expires: Permission::Permitted, ..terms() };
    assert_eq!(make(&permitted, never()).await.unwrap().1.expires_at, None);
    manage.set_status(&main(), &id("orders"), ClientStatus::Disabled).await.unwrap();
    assert_eq!(field(make(&terms(), new()).await), "client");
}

#[tokio::test]
async fn a_key_is_imported_once_and_only_for_what_it_can_do() {
    let stage = Stage::new().await;
    stage.import_shared(Some("k1")).await;
    let manage = stage.manage();
    let import = async |algorithm, id: &str, secret: &[u8]| {
        let material = KeyMaterial::Secret(Zeroizing::new(secret.to_vec()));
        manage.import_key(&main(), algorithm, Some(id.parse().unwrap()), material).await
    };
    let again = import(Algorithm::Hs256, "k1", SHARED).await;
    assert!(matches!(again, Err(ManageError::Exists(_))));
    assert_eq!(field(import(Algorithm::Hs256, "k2", &SHARED[1..]).await), "key");
    assert_eq!(field(import(Algorithm::EdDsa, "k2", SHARED).await), "algorithm");
    let pem = KeyMaterial::Pem(Zeroizing::new("no key".to_owned()));
    assert_eq!(field(manage.import_key(&main(), Algorithm::Es256, None, pem).await), "key");
    let exported = manage.export_key(&main(), &"k1".parse().unwrap()).await.unwrap();
    assert_eq!(exported.as_slice(), SHARED);
    assert!(!stage.state().published_keys().json.contains("kid"), "a secret is not published");
    assert_eq!(manage.keys(&main()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_is_found_by_its_reference() {
    let stage = Stage::new().await;
    stage.orders().await;
    let decision = stage.ask(&stated_terms(), &Ask::new("orders", "wrong")).await;
    std::sync::Arc::clone(&stage.engine).upkeep(std::future::ready(())).await;
    let event = stage.manage().event(decision.reference).await.unwrap().unwrap();
    assert_eq!((event.kind, event.at), (EventKind::TokenRefused, time(0)));
    assert_eq!(event.client_id, Some(id("orders")));
    assert_eq!(event.detail.as_deref(), Some(reason(&decision).code()));
    assert_eq!(event.source, Some("192.0.2.1".parse().unwrap()));
    let other = "0123456789".parse().unwrap();
    assert_eq!(stage.manage().event(other).await, Ok(None));
}
