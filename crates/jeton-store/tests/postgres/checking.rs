//! Examining a database: what is sound passes, what is not is found and named, nothing is changed.

use jeton_engine::clock::Random;
use jeton_engine::event::EventKind;
use jeton_engine::jose::Algorithm;
use jeton_engine::key::KeyStatus;
use jeton_engine::master_key::MasterKey;
use jeton_engine::spent::Spent;
use jeton_engine::store::Store as _;
use jeton_store::{Examined, OpenError, examine_postgres};
use tokio_postgres::Client;

use crate::open_at;
use crate::sample::{at, client, event, id, initial_access_token, key, main, secret, token};
use crate::server::Place;

/// More than one page of tokens.
const TOKENS: u16 = 1_234;

fn master_key(seed: u64) -> MasterKey {
    MasterKey::generate(&Random::seeded(seed)).parse().unwrap()
}

/// A database with something in every table, and somebody who may change anything in it.
async fn filled(place: &Place) -> Client {
    let store = open_at(&place.address()).await;
    for name in ["orders", "gone"] {
        let mut new = client(name);
        new.secrets = vec![secret("s1"), secret("s2")];
        store.add_client(&new, &event(EventKind::ClientCreated)).await.unwrap();
    }
    let mut signing = key("k1", Algorithm::EdDsa, KeyStatus::Active);
    signing.sealed =
        master_key(1).seal(&main(), &signing.id, b"private", &Random::seeded(2)).unwrap();
    store.add_key(&signing, &event(EventKind::KeyCreated)).await.unwrap();
    let created = event(EventKind::ClientCreated);
    store.add_initial_access_token(&initial_access_token(1), &created).await.unwrap();
    let kept = (0..TOKENS).map(|number| {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.keep_token(token(number), None).await })
    });
    for kept in kept.collect::<Vec<_>>() {
        kept.await.unwrap().unwrap();
    }
    let revoking = event(EventKind::TokenRevoked);
    assert!(store.revoke_token(&main(), &token(7).id, &revoking).await.unwrap());
    let deleting = event(EventKind::ClientDeleted);
    assert!(store.delete_client(&main(), &id("gone"), &deleting).await.unwrap());
    store.spend(&main(), &[Spent { id: [9; 16], until: at(60) }], at(0)).await.unwrap();
    store.close().await;
    place.connect().await
}

async fn look(place: &Place) -> Examined {
    examine_postgres(&place.address(), Some(&master_key(1)), &|_| {}).await.unwrap()
}

/// Whether exactly these problems are found, by place and part of what is said.
#[track_caller]
fn assert_found(examined: &Examined, expected: &[(&str, &str)]) {
    let is_there = |(place, what): &(&str, &str)| {
        examined.problems.iter().any(|found| found.place == *place && found.what.contains(what))
    };
    assert!(expected.iter().all(is_there), "{:?}", examined.problems);
    assert_eq!(examined.problems.len(), expected.len(), "{:?}", examined.problems);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_sound_database_is_read_whole_and_not_changed() {
    let place = Place::schema().await;
    let administrator = filled(&place).await;
    // Whatever was written would have a transaction of its own.
    let newest = "SELECT (SELECT newest FROM feed), (SELECT checks FROM probe), \
        (SELECT max(xmin::text::bigint) FROM token)";
    let before = administrator.query_typed_one(newest, &[]).await.unwrap();
    let examined = look(&place).await;
    assert_found(&examined, &[]);
    assert_eq!((examined.schema, examined.schema_known), (1, 1));
    assert_eq!((examined.sealed, examined.opened), (1, 1));
    assert!(examined.bytes > 8192 && examined.newest.is_some());
    let count = |name| examined.tables.iter().find(|(table, _)| *table == name).unwrap().1;
    assert_eq!(count("token"), u64::from(TOKENS));
    assert_eq!((count("client"), count("secret"), count("deleted_client")), (1, 2, 1));
    assert_eq!((count("signing_key"), count("initial_access_token"), count("spent")), (1, 1, 1));
    assert!(count("event") > 0 && count("change") > 0);
    let after = administrator.query_typed_one(newest, &[]).await.unwrap();
    for column in 0..3 {
        assert_eq!(before.get::<_, i64>(column), after.get::<_, i64>(column));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn rows_that_mean_nothing_are_named_each_and_the_others_read() {
    let place = Place::schema().await;
    let administrator = filled(&place).await;
    administrator
        .batch_execute(
            "ALTER TABLE client DROP CONSTRAINT client_status_check; \
             UPDATE client SET status = 'asleep' WHERE id = 'orders'; \
             UPDATE token SET scope = '\"' WHERE id = 't00007'; \
             UPDATE event SET kind = 'danced' WHERE seq = (SELECT min(seq) FROM event); \
             UPDATE change SET kind = 'danced' WHERE seq = (SELECT min(seq) FROM change)",
        )
        .await
        .unwrap();
    let examined = look(&place).await;
    let expected = [
        ("constraint client.client_status_check", "not there"),
        ("table client", "main/orders cannot be read: its status"),
        ("table token", "main/t00007 cannot be read: its scope"),
        ("table event", "its kind"),
        ("table change", "cannot be read"),
    ];
    assert_found(&examined, &expected);
    assert!(examined.tables.contains(&("token", u64::from(TOKENS))));
    assert!(!examined.problems.iter().any(|problem| problem.what.contains("asleep")));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn orphans_and_numbers_that_would_be_given_again_are_found() {
    let place = Place::schema().await;
    let administrator = filled(&place).await;
    administrator
        .batch_execute(
            "SET session_replication_role = replica; DELETE FROM client WHERE id = 'orders'; \
             SELECT setval('token_seq_seq', 3); UPDATE feed SET newest = 1",
        )
        .await
        .unwrap();
    let given = "greater than the last that was given";
    let orphans = "2 rows refer to rows of client that are not there";
    let expected = [("table secret", orphans), ("table token", given), ("table change", given)];
    assert_found(&look(&place).await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn tables_that_are_not_as_the_migrations_make_them_are_named() {
    let place = Place::schema().await;
    let administrator = filled(&place).await;
    administrator
        .batch_execute(
            "DROP INDEX token_digest; ALTER TABLE probe SET UNLOGGED; \
             ALTER TABLE event ALTER kind DROP NOT NULL; DROP TABLE spent; \
             CREATE TABLE somebody_elses (number bigint)",
        )
        .await
        .unwrap();
    let examined = look(&place).await;
    let expected = [
        ("index token_digest", "not there"),
        ("table probe", "not as the migrations make it"),
        ("column event.kind", "not as the migrations make it"),
        ("table spent", "not there"),
        ("column spent.id", "not there"),
        ("column spent.realm", "not there"),
        ("column spent.until", "not there"),
        ("constraint spent.spent_pkey", "not there"),
        ("constraint spent.spent_id_check", "not there"),
        ("index spent_pkey", "not there"),
        ("index spent_until", "not there"),
        ("table spent", "does not exist"),
    ];
    assert_found(&examined, &expected);
    // What comes after the table that could not be read was read.
    assert!(examined.tables.iter().any(|(table, rows)| *table == "change" && *rows > 0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn what_another_master_key_sealed_is_found_and_left_alone_without_one() {
    let place = Place::schema().await;
    filled(&place).await;
    let address = place.address();
    let other = examine_postgres(&address, Some(&master_key(3)), &|_| {}).await.unwrap();
    assert_found(&other, &[("table signing_key", "")]);
    assert_eq!((other.sealed, other.opened), (1, 0));
    let without = examine_postgres(&address, None, &|_| {}).await.unwrap();
    assert_found(&without, &[]);
    assert_eq!((without.sealed, without.opened), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn another_text_of_a_migration_is_named_and_an_empty_or_foreign_database_too() {
    let place = Place::schema().await;
    assert_found(&look(&place).await, &[("the database", "it is empty")]);
    let administrator = filled(&place).await;
    administrator.batch_execute("UPDATE migration SET checksum = 'x'").await.unwrap();
    let refused = examine_postgres(&place.address(), None, &|_| {}).await.unwrap_err();
    assert!(matches!(refused, OpenError::Altered { number: 1, .. }), "{refused}");
    administrator.batch_execute("DROP TABLE migration").await.unwrap();
    let refused = examine_postgres(&place.address(), None, &|_| {}).await.unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn what_a_newer_version_added_is_no_problem() {
    let place = Place::schema().await;
    let administrator = filled(&place).await;
    administrator
        .batch_execute(
            "INSERT INTO migration (number, name, checksum, works_from) \
             VALUES (900, 'expand', 'x', 1); \
             ALTER TABLE token ADD dance text; DROP INDEX event_age; \
             UPDATE event SET kind = 'danced' WHERE seq = (SELECT min(seq) FROM event)",
        )
        .await
        .unwrap();
    let examined = look(&place).await;
    assert_found(&examined, &[]);
    assert_eq!((examined.schema, examined.schema_known), (900, 1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn pages_and_indexes_are_looked_at_where_amcheck_is_and_otherwise_that_is_said() {
    let place = Place::database().await;
    let administrator = filled(&place).await;
    let examined = look(&place).await;
    assert_found(&examined, &[]);
    assert_eq!(examined.unseen.len(), 1);
    assert!(examined.unseen[0].remedy.contains("pg_amcheck"));
    administrator.batch_execute("CREATE EXTENSION amcheck").await.unwrap();
    let examined = look(&place).await;
    assert_found(&examined, &[]);
    assert_eq!(examined.unseen, []);
    // A row that its index knows nothing of, as after a crash on a disk that lies.
    let ready = "UPDATE pg_index SET indisready = TO WHERE indexrelid = 'spent_until'::regclass";
    administrator.batch_execute(&ready.replace("TO", "FALSE")).await.unwrap();
    let insert = "INSERT INTO spent (realm, id, until) VALUES ('main', '0123456789abcdef', 1)";
    administrator.batch_execute(insert).await.unwrap();
    administrator.batch_execute(&ready.replace("TO", "TRUE")).await.unwrap();
    let examined = look(&place).await;
    assert_found(&examined, &[("index spent_until", "lacks matching index tuple")]);
    assert!(examined.problems[0].remedy.contains("REINDEX"));
}
