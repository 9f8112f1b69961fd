//! Which databases are opened, and what is said of those that are not.

use std::path::Path;

use jeton_engine::event::EventKind;
use jeton_engine::store::Store as _;
use jeton_store::{Look, OpenError, PostgresAddress, PostgresSettings, PostgresStore};

use crate::open_at;
use crate::sample::{client, event, main};
use crate::server::Place;

async fn refused(address: &PostgresAddress) -> OpenError {
    let error = PostgresStore::open(address, PostgresSettings::default()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    error
}

/// A database with tables, closed again, and somebody who may change anything in it.
async fn made(place: &Place) -> tokio_postgres::Client {
    open_at(&place.address()).await.close().await;
    place.connect().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn of_many_servers_that_start_at_once_one_makes_the_tables() {
    let place = Place::schema().await;
    let opening: Vec<_> = (0..5)
        .map(|_| {
            let address = place.address();
            tokio::spawn(async move { open_at(&address).await })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().check().await.unwrap();
    }
    let count = "SELECT count(*) FROM migration WHERE number = 1";
    let row = place.connect().await.query_typed_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_schema_beyond_what_is_known_is_refused_unless_it_can_be_lived_beside() {
    let place = Place::schema().await;
    let administrator = made(&place).await;
    let newer = "INSERT INTO migration (number, name, checksum, works_from) \
        VALUES (900, 'expand', 'x', 1)";
    administrator.batch_execute(newer).await.unwrap();
    // In the middle of a rolling upgrade.
    open_at(&place.address()).await.check().await.unwrap();
    let contract = "UPDATE migration SET works_from = 900 WHERE number = 900";
    administrator.batch_execute(contract).await.unwrap();
    assert!(matches!(refused(&place.address()).await, OpenError::Newer { found: 900, .. }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_migration_with_another_text_is_refused() {
    let place = Place::schema().await;
    let administrator = made(&place).await;
    administrator.batch_execute("UPDATE migration SET checksum = 'x'").await.unwrap();
    assert!(matches!(refused(&place.address()).await, OpenError::Altered { number: 1, .. }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn tables_of_others_are_refused_and_left_alone() {
    let place = Place::schema().await;
    let administrator = place.connect().await;
    administrator.batch_execute("CREATE TABLE invoice (number bigint)").await.unwrap();
    assert!(matches!(refused(&place.address()).await, OpenError::Foreign { .. }));
    administrator.batch_execute("CREATE TABLE migration (number bigint)").await.unwrap();
    assert!(matches!(refused(&place.address()).await, OpenError::Foreign { .. }));
    let count = "SELECT count(*) FROM pg_class WHERE relkind = 'r' \
        AND relnamespace = current_schema()::regnamespace";
    let row = administrator.query_typed_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let url = "postgres://jeton:hunter2@127.0.0.1:1/auth?connect_timeout=1";
    let address = PostgresAddress::parse(url, Path::new(".")).unwrap();
    let error = refused(&address).await;
    assert!(
        matches!(&error, OpenError::Unusable { place, .. } if place == "postgres://127.0.0.1:1/auth")
    );
    assert!(!format!("{error} {error:?} {address:?}").contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_look_makes_no_tables_and_reads_those_that_are_there() {
    let place = Place::schema().await;
    let look = Look::at_postgres(&place.address()).await.unwrap();
    assert_eq!((look.schema().found, look.schema().is_current()), (0, false));
    drop(look);
    let administrator = place.connect().await;
    let count = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace";
    let row = administrator.query_typed_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);

    let store = open_at(&place.address()).await;
    store.add_client(&client("a"), &event(EventKind::ClientCreated)).await.unwrap();
    let look = Look::at_postgres(&place.address()).await.unwrap();
    assert!(look.schema().is_current());
    assert_eq!(look.clients(&main(), None, 10).await.unwrap(), [client("a")]);
    assert_eq!(look.keys(&main()).await.unwrap(), []);
    let Look::Postgres(look) = look else { unreachable!() };
    let facts = look.facts();
    assert!(facts.syncs && facts.writes_full_pages && facts.is_utf8, "{facts:?}");
    assert!(!facts.is_too_old && !facts.is_standby && !facts.is_read_only, "{facts:?}");
    assert!(look.now().await.unwrap() >= facts.now);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn those_who_write_answer_while_the_tables_are_away_and_not_once_they_are_closed() {
    let place = Place::schema().await;
    let store = open_at(&place.address()).await;
    assert!(store.answers().await);
    let administrator = place.connect().await;
    administrator.batch_execute("DROP TABLE event, secret, client CASCADE").await.unwrap();
    assert!(store.clients(&main(), None, 1).await.is_err());
    assert!(store.answers().await);
    store.close().await;
    assert!(!store.answers().await);
}
