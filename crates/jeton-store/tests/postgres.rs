//! What holds for PostgreSQL beyond the conformance suite: many servers on one database,
//! connections that are lost, locks that others hold, migrations.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may assume")]

use std::sync::Arc;
use std::time::Duration;

use jeton_engine::event::EventKind;
use jeton_engine::spent::Spent;
use jeton_engine::store::{Change, Changed, Revision, Store, StoreError};
use jeton_store::{PostgresAddress, PostgresSettings, PostgresStore};
use tokio::time::{Instant, sleep, timeout};

#[path = "postgres/checking.rs"]
mod checking;
#[path = "postgres/moving.rs"]
mod moving;
#[path = "postgres/opening.rs"]
mod opening;
#[path = "conformance/sample.rs"]
#[expect(dead_code, reason = "these tests need only some of the samples")]
mod sample;
#[path = "postgres/server.rs"]
#[expect(dead_code, reason = "these tests need no pooler")]
mod server;
#[path = "postgres/tls.rs"]
mod tls;

use sample::{at, before, client, event, id, main, token};
use server::Place;

async fn open_at(address: &PostgresAddress) -> Arc<PostgresStore> {
    PostgresStore::open(address, PostgresSettings::default()).await.unwrap()
}

/// Does the same until it succeeds, as servers do.
async fn until_ok<T>(what: &str, mut act: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match act().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < end, "waited in vain until {what}: {error}"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn of_two_servers_that_spend_the_same_at_once_one_does() {
    let place = Place::schema().await;
    let servers = [open_at(&place.address()).await, open_at(&place.address()).await];
    for round in 0..200_u32 {
        let one = |number: u8| {
            let mut id = [number; 16];
            id[..4].copy_from_slice(&round.to_be_bytes());
            Spent { id, until: at(60) }
        };
        // An assertion and a proof, in this order and in the other.
        let (these, those) = ([one(1), one(2)], [one(2), one(1)]);
        let realm = main();
        let (here, there) = tokio::join!(
            servers[0].spend(&realm, &these, at(0)),
            servers[1].spend(&realm, &those, at(0)),
        );
        let successes =
            [here.unwrap(), there.unwrap()].iter().filter(|known| known.is_none()).count();
        assert_eq!(successes, 1, "in round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_follower_misses_no_change_however_many_servers_make_them() {
    const SERVERS: usize = 3;
    const EACH: usize = 60;
    let place = Place::schema().await;
    let follower = open_at(&place.address()).await;
    let mut writers = Vec::new();
    for server in 0..SERVERS {
        let store = open_at(&place.address()).await;
        writers.push(tokio::spawn(async move {
            let adding = (0..EACH).map(|number| {
                let (store, new) = (Arc::clone(&store), client(&format!("{server}-{number}")));
                tokio::spawn(async move {
                    store.add_client(&new, &event(EventKind::ClientCreated)).await.unwrap();
                })
            });
            for added in adding.collect::<Vec<_>>() {
                added.await.unwrap();
            }
        }));
    }
    let mut seen = Vec::new();
    let mut revision = Revision(0);
    let end = Instant::now() + Duration::from_secs(60);
    while seen.len() < SERVERS * EACH {
        assert!(Instant::now() < end, "only {} changes were seen", seen.len());
        let changes = follower.changes(revision).await.unwrap();
        let Changed::These(these) = changes.changed else { panic!("nothing was removed") };
        assert_eq!(changes.revision.0 - revision.0, these.len() as u64);
        revision = changes.revision;
        seen.extend(these);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut names: Vec<_> = seen.iter().map(|change| format!("{change:?}")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SERVERS * EACH);
}

/// Waits for a change that another server makes, and says how long that took.
async fn time_to_hear(
    follower: &Arc<PostgresStore>,
    other: &PostgresStore,
    name: &str,
) -> Duration {
    // Whatever was told before has been heard.
    follower.wait_for_change().await.unwrap();
    let waits = {
        let follower = Arc::clone(follower);
        tokio::spawn(async move { follower.wait_for_change().await })
    };
    sleep(Duration::from_millis(20)).await;
    other.add_client(&client(name), &event(EventKind::ClientCreated)).await.unwrap();
    let began = Instant::now();
    timeout(Duration::from_secs(1), waits).await.unwrap().unwrap().unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn what_another_server_changes_is_heard_and_otherwise_found() {
    let place = Place::schema().await;
    let never = PostgresSettings { poll: Duration::from_secs(3600), ..PostgresSettings::default() };
    let listening = PostgresStore::open(&place.address(), never).await.unwrap();
    let looking = open_at(&place.address_with("pooler=transaction")).await;
    let other = open_at(&place.address()).await;
    // Until the first change is heard nobody knows that somebody listens.
    let mut heard = false;
    for round in 0..20 {
        let name = format!("heard-{round}");
        heard = time_to_hear(&listening, &other, &name).await < Duration::from_millis(150);
        if heard {
            break;
        }
    }
    assert!(heard, "no notification ended a wait");
    assert!(time_to_hear(&looking, &other, "found").await < Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_store_whose_connections_were_cut_needs_no_restart() {
    let place = Place::schema().await;
    let name = format!("cut-{}", std::process::id());
    let store = open_at(&place.address_with(&format!("application_name={name}"))).await;
    store.keep_token(token(1), None).await.unwrap();
    let administrator = place.connect().await;
    for round in 2..5 {
        let cut = administrator
            .query_typed_one(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE application_name = $1",
                &[(&name.as_str(), tokio_postgres::types::Type::TEXT)],
            )
            .await
            .unwrap();
        assert!(cut.get::<_, i64>(0) > 0);
        until_ok("tokens are kept again", async || {
            match store.keep_token(token(round), None).await {
                Err(StoreError::Exists) => Ok(()),
                other => other,
            }
        })
        .await;
        let kept = until_ok("tokens are found again", async || {
            store.token(&main(), &token(round).digest).await
        });
        assert_eq!(kept.await, Some(token(round)));
        until_ok("changes are followed again", async || store.wait_for_change().await).await;
        until_ok("it is in order again", async || store.check().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_token_whose_commit_was_cut_off_is_not_acknowledged() {
    let place = Place::schema().await;
    let name = format!("commit-{}", std::process::id());
    let store = open_at(&place.address_with(&format!("application_name={name}"))).await;
    let administrator = place.connect().await;
    // A commit that takes so long that it can be cut in the middle.
    administrator
        .batch_execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON token DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION dawdle()",
        )
        .await
        .unwrap();
    let keeping = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.keep_token(token(1), None).await })
    };
    let sleeping = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE application_name = $1 AND wait_event = 'PgSleep'";
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        let values = [(&name.as_str() as _, tokio_postgres::types::Type::TEXT)];
        let cut = administrator.query_typed_one(sleeping, &values).await.unwrap();
        if cut.get::<_, i64>(0) > 0 {
            break;
        }
        assert!(Instant::now() < end, "the commit was never seen");
    }
    assert!(matches!(keeping.await.unwrap(), Err(StoreError::Unreachable(_))));
    administrator.batch_execute("DROP TRIGGER dawdle ON token").await.unwrap();
    until_ok("tokens are kept again", async || store.keep_token(token(2), None).await).await;
    assert_eq!(store.token(&main(), &token(1).digest).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn who_holds_the_feed_keeps_changes_waiting_and_tokens_not() {
    let place = Place::schema().await;
    let store = open_at(&place.address_with("statement_timeout=1")).await;
    let other = place.connect().await;
    other.batch_execute("BEGIN; SELECT newest FROM feed FOR UPDATE").await.unwrap();
    let (realm, created) = (main(), event(EventKind::ClientCreated));
    let (orders, used) = (client("orders"), [Spent { id: [1; 16], until: at(60) }]);
    let adding = store.add_client(&orders, &created);
    let (added, kept, spent) =
        tokio::join!(adding, store.keep_token(token(1), None), store.spend(&realm, &used, at(0)),);
    assert!(matches!(added, Err(StoreError::Unreachable(_))), "{added:?}");
    assert_eq!((kept, spent), (Ok(()), Ok(None)));
    assert_eq!(store.client(&main(), &id("orders")).await, Ok(None));
    other.batch_execute("COMMIT").await.unwrap();
    store.add_client(&client("orders"), &created).await.unwrap();
    let told = Changed::These(vec![Change::Client(main(), id("orders"))]);
    assert_eq!(store.changes(Revision(0)).await.unwrap().changed, told);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_full_queue_is_said_and_nothing_of_it_is_lost() {
    let place = Place::schema().await;
    let settings = PostgresSettings { queue_max: 4, batch_max: 1, ..PostgresSettings::default() };
    let store = PostgresStore::open(&place.address(), settings).await.unwrap();
    let other = place.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE token IN SHARE MODE").await.unwrap();
    let keeping: Vec<_> = (0..32_u16)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { (number, store.keep_token(token(number), None).await) })
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(2);
    while keeping.iter().filter(|one| one.is_finished()).count() < 26 {
        assert!(Instant::now() < end, "nothing was refused");
        sleep(Duration::from_millis(2)).await;
    }
    other.batch_execute("COMMIT").await.unwrap();
    let mut overloaded = 0;
    for one in keeping {
        let (number, outcome) = one.await.unwrap();
        let found = store.token(&main(), &token(number).digest).await.unwrap();
        match outcome {
            Ok(()) => assert_eq!(found, Some(token(number))),
            Err(error) => {
                assert_eq!((error, found), (StoreError::Overloaded, None));
                overloaded += 1;
            }
        }
    }
    // Four waited, and up to two were being written.
    assert!((26..=28).contains(&overloaded), "{overloaded} were refused");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn what_cannot_be_written_takes_nothing_else_along() {
    let place = Place::schema().await;
    let store = open_at(&place.address()).await;
    let other = place.connect().await;
    // While the table is locked, all of these come together in one batch.
    other.batch_execute("BEGIN; LOCK TABLE token, event IN SHARE MODE").await.unwrap();
    let keeping: Vec<_> = (0..9_u16)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut unwritable = event(EventKind::TokenRefused);
                unwritable.detail = Some("\0".into());
                match number {
                    8 => store.keep_events(&[unwritable]).await,
                    number => store.keep_token(token(number), None).await,
                }
            })
        })
        .collect();
    sleep(Duration::from_millis(50)).await;
    other.batch_execute("COMMIT").await.unwrap();
    for (number, one) in (0..).zip(keeping) {
        match (number, one.await.unwrap()) {
            (8, outcome) => assert!(matches!(outcome, Err(StoreError::Failed(_))), "{outcome:?}"),
            (_, outcome) => assert_eq!(outcome, Ok(()), "{number}"),
        }
    }
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn removing_what_expired_waits_for_nobody() {
    let place = Place::schema().await;
    let store = open_at(&place.address()).await;
    for number in 0..3 {
        store.keep_token(token(number), None).await.unwrap();
    }
    let other = place.connect().await;
    other.batch_execute("BEGIN; SELECT FROM token WHERE id = 't00001' FOR UPDATE").await.unwrap();
    let horizon = before(at(9999), at(-1));
    let removed = timeout(Duration::from_secs(1), store.remove_expired(&horizon, 10)).await;
    assert_eq!(removed.unwrap(), Ok(2));
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.remove_expired(&horizon, 10).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn commits_are_durable_even_where_the_server_says_they_need_not_be() {
    let place = Place::schema().await;
    let administrator = place.connect().await;
    for (pooler, number) in [("none", 1), ("transaction", 2)] {
        let parameters = format!("pooler={pooler}");
        let address = place.address_set("-csynchronous_commit%3Doff", &parameters);
        let store = open_at(&address).await;
        administrator
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS seen (level text); \
                 CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; \
                 END $$; CREATE OR REPLACE TRIGGER look AFTER INSERT ON token \
                 EXECUTE FUNCTION look()",
            )
            .await
            .unwrap();
        store.keep_token(token(number), None).await.unwrap();
    }
    let seen = administrator.query_typed("SELECT level FROM seen", &[]).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, ["on", "on"]);
}
