//! Moving a SQLite installation over: everything arrives, nothing is mixed up, nothing by halves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyStatus;
use jeton_engine::spent::Spent;
use jeton_engine::store::{Changed, Revision, Store, TokenFilter};
use jeton_store::{
    Location, SqliteSettings, SqliteStore, TransferError, TransferProgress, TransferStage, transfer,
};
use tempfile::TempDir;

use crate::open_at;
use crate::sample::{at, client, event, id, key, main, secret, token};
use crate::server::Place;

/// More than one page of tokens.
const TOKENS: u16 = 2_345;

/// An installation with something in every table.
async fn installation() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("jeton.db");
    let store =
        SqliteStore::open(&Location::File(path.clone()), SqliteSettings::default()).unwrap();
    for name in ["orders", "gone", "ünï códe"] {
        let mut client = client(name);
        client.secrets = vec![secret("first"), secret("second")];
        store.add_client(&client, &event(EventKind::ClientCreated)).await.unwrap();
    }
    for (name, status) in [("a", KeyStatus::Active), ("b", KeyStatus::Upcoming)] {
        let key = key(name, Algorithm::EdDsa, status);
        store.add_key(&key, &event(EventKind::KeyCreated)).await.unwrap();
    }
    let keep = |number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.keep_token(token(number), None).await })
    };
    for kept in (0..TOKENS).map(keep).collect::<Vec<_>>() {
        kept.await.unwrap().unwrap();
    }
    let revoking = event(EventKind::TokenRevoked);
    assert!(store.revoke_token(&main(), &token(7).id, &revoking).await.unwrap());
    let deleting = event(EventKind::ClientDeleted);
    assert!(store.delete_client(&main(), &id("gone"), &deleting).await.unwrap());
    store.spend(&main(), &[Spent { id: [9; 16], until: at(60) }], at(0)).await.unwrap();
    store.close().await;
    (directory, path)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn an_installation_arrives_as_it_was_and_goes_on_from_there() {
    let (_directory, path) = installation().await;
    let place = Place::schema().await;
    let told = Mutex::new(Vec::new());
    let note = |progress: TransferProgress| {
        assert!(progress.done <= progress.total);
        told.lock().unwrap().push((progress.table, progress.stage, progress.done));
    };
    let moved = transfer(&path, &place.address(), &note).await.unwrap();
    let moved: BTreeMap<_, _> = moved.into_iter().collect();
    assert_eq!((moved["client"], moved["secret"], moved["signing_key"]), (2, 4, 2));
    assert_eq!((moved["token"], moved["deleted_client"]), (u64::from(TOKENS), 1));
    assert_eq!((moved["spent"], moved["event"], moved["change"]), (1, 7, 8));
    let told = told.into_inner().unwrap();
    assert!(told.contains(&("token", TransferStage::Copying, 1_000)));
    assert!(told.contains(&("token", TransferStage::Comparing, u64::from(TOKENS))));

    let old = SqliteStore::open(&Location::File(path), SqliteSettings::default()).unwrap();
    let new = open_at(&place.address()).await;
    let (all, filter) = (Revision(0), TokenFilter::default());
    assert_eq!(new.clients(&main(), None, 99).await, old.clients(&main(), None, 99).await);
    assert_eq!(new.keys(&main()).await, old.keys(&main()).await);
    assert_eq!(new.changes(all).await, old.changes(all).await);
    let tokens = new.tokens(&main(), &filter, None, 9_999).await;
    assert_eq!(tokens, old.tokens(&main(), &filter, None, 9_999).await);
    assert_eq!(new.revoked_tokens(&main(), at(0)).await.unwrap().len(), 1);
    let spent = [Spent { id: [9; 16], until: at(60) }];
    assert_eq!(new.spend(&main(), &spent, at(0)).await, Ok(Some(0)));
    // What comes next is numbered after what was there.
    let before = new.changes(all).await.unwrap().revision;
    new.add_client(&client("next"), &event(EventKind::ClientCreated)).await.unwrap();
    let changes = new.changes(before).await.unwrap();
    assert!(matches!(changes.changed, Changed::These(these) if these.len() == 1));
    new.keep_token(token(TOKENS), None).await.unwrap();
    let next = key("c", Algorithm::Es256, KeyStatus::Active);
    new.add_key(&next, &event(EventKind::KeyCreated)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn nothing_is_moved_into_a_database_with_something_in_it_or_out_of_one_in_use() {
    let (_directory, path) = installation().await;
    let place = Place::schema().await;
    let store =
        SqliteStore::open(&Location::File(path.clone()), SqliteSettings::default()).unwrap();
    let refused = transfer(&path, &place.address(), &|_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::InUse(_)), "{refused}");
    store.close().await;
    let target = open_at(&place.address()).await;
    target.keep_events(&[event(EventKind::TokenRefused)]).await.unwrap();
    let refused = transfer(&path, &place.address(), &|_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotEmpty { table: "event", .. }), "{refused}");
    assert_eq!(target.clients(&main(), None, 9).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_row_that_comes_back_otherwise_undoes_everything_and_it_can_be_tried_again() {
    let (_directory, path) = installation().await;
    let place = Place::schema().await;
    let target = open_at(&place.address()).await;
    let administrator = place.connect().await;
    administrator
        .batch_execute(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.subject := 'another'; RETURN NEW; END $$; \
             CREATE TRIGGER spoil BEFORE INSERT ON token FOR EACH ROW WHEN (NEW.id = 't01234') \
             EXECUTE FUNCTION spoil()",
        )
        .await
        .unwrap();
    let refused = transfer(&path, &place.address(), &|_| {}).await.unwrap_err();
    assert!(matches!(refused, TransferError::Differs { table: "token", .. }), "{refused}");
    assert_eq!(target.clients(&main(), None, 9).await, Ok(Vec::new()));
    administrator.batch_execute("DROP TRIGGER spoil ON token").await.unwrap();
    transfer(&path, &place.address(), &|_| {}).await.unwrap();
    assert_eq!(target.clients(&main(), None, 9).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn both_databases_have_the_same_tables() {
    let (_directory, path) = installation().await;
    let place = Place::schema().await;
    open_at(&place.address()).await.close().await;
    let sqlite = rusqlite::Connection::open(&path).unwrap();
    let mut select = sqlite
        .prepare(
            "SELECT t.name || '.' || c.name FROM pragma_table_list AS t, pragma_table_info(t.name) AS c \
             WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' \
             AND t.name NOT IN ('migration', 'token_place', 'token_placed', 'client_extract', \
             'client_extracted') ORDER BY 1",
        )
        .unwrap();
    let rows = select.query_map([], |row| row.get(0)).unwrap();
    let in_sqlite: Vec<String> = rows.map(Result::unwrap).collect();
    let rows = place
        .connect()
        .await
        .query_typed(
            "SELECT table_name || '.' || column_name COLLATE \"C\" FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name NOT IN ('migration', 'feed') ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let in_postgres: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(in_postgres, in_sqlite);
}
