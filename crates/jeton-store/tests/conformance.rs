//! What the methods of the `Store` trait mean, case by case, for every database.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assume"
)]

use std::sync::Arc;

use jeton_engine::store::Store;
use jeton_store::{Location, PostgresSettings, PostgresStore, SqliteSettings, SqliteStore};
use tempfile::TempDir;

use crate::server::Place;

#[path = "conformance/clients.rs"]
mod clients;
#[path = "conformance/feed.rs"]
mod feed;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/registrations.rs"]
mod registrations;
#[path = "conformance/round_trip.rs"]
mod round_trip;
#[path = "conformance/sample.rs"]
mod sample;
#[path = "postgres/server.rs"]
#[expect(dead_code, reason = "the suite only needs a place to be")]
mod server;
#[path = "conformance/spent.rs"]
mod spent;
#[path = "conformance/tokens.rs"]
mod tokens;

/// A fresh store, and what must stay as long as it is used.
struct Fresh {
    store: Arc<dyn Store>,
    _directory: Option<TempDir>,
    _place: Option<Place>,
}

/// Runs every case on a database of its own, made by `$fresh`.
macro_rules! conformance {
    ($backend:ident, $fresh:path $(, $attribute:meta)?) => {
        conformance! { $backend, $fresh, [$($attribute)?]
            clients: a_client_comes_back_as_it_was_added
                a_client_is_added_once
                a_client_is_replaced_with_its_secrets
                a_replacement_needs_the_next_revision
                of_many_replacements_at_once_one_wins
                the_later_of_two_last_uses_survives_a_replacement
                deleting_a_client_takes_its_secrets_and_tokens_with_it
                a_client_made_again_has_nothing_of_the_old_one
                clients_come_in_the_byte_order_of_their_identifiers
                every_client_of_a_page_has_its_own_secrets
                extracts_are_those_of_the_whole_clients
                extracts_follow_every_change
                uses_of_secrets_are_noted_when_they_are_later;
            keys: keys_come_back_in_the_order_they_were_made
                a_key_is_added_once
                an_active_key_retires_the_one_before_it
                of_many_upcoming_keys_at_once_one_is_added
                an_upcoming_key_is_activated_once
                of_many_first_keys_at_once_one_is_added
                a_changed_key_keeps_all_but_status_and_moments
                a_key_that_becomes_active_retires_the_one_before_it
                a_deleted_key_is_gone;
            tokens: a_token_is_found_by_its_digest
                a_token_is_kept_once
                an_event_is_kept_with_its_token
                tokens_come_newest_first
                tokens_are_filtered
                a_revoked_token_keeps_its_first_moment
                a_token_that_was_never_kept_is_revoked_all_the_same
                a_kept_token_is_revoked_by_its_digest
                a_token_of_a_deleted_client_can_still_be_revoked
                revoked_tokens_are_known_until_they_expire
                only_expired_tokens_are_removed
                old_events_and_changes_are_removed
                no_more_is_removed_than_asked
                events_are_found_by_their_reference;
            registrations: a_token_comes_back_as_it_was_added
                a_token_is_added_once
                a_deleted_token_lets_nobody_in
                a_registered_client_comes_back_and_its_token_has_a_use_less
                a_token_ends_with_its_last_use_and_with_its_time
                of_many_last_uses_at_once_one_registers
                no_more_are_registered_than_there_may_be
                only_expired_tokens_are_removed;
            spent: what_is_spent_once_is_spent_in_its_realm
                all_are_spent_or_none
                of_many_that_spend_the_same_at_once_one_does
                what_is_spent_is_remembered_until_its_end;
            feed: a_new_store_has_no_changes
                changes_come_in_the_order_they_happened
                what_is_no_change_is_not_told
                what_was_refused_is_not_told
                removed_changes_are_everything
                a_revision_from_the_future_is_everything
                a_change_made_before_the_wait_ends_it
                a_change_made_meanwhile_ends_the_wait
                without_a_change_the_wait_goes_on
                a_store_in_order_passes_its_check;
            round_trip: any_client_and_any_token_come_back_as_they_were;
        }
    };
    ($backend:ident, $fresh:path, $attributes:tt $($module:ident: $($case:ident)+;)+) => {
        mod $backend {
            $(mod $module {
                $(conformance! { @case $attributes, $fresh, $module, $case })+
            })+
        }
    };
    (@case [$($attribute:meta)?], $fresh:path, $module:ident, $case:ident) => {
        #[tokio::test]
        $(#[$attribute])?
        async fn $case() {
            let fresh = $fresh().await;
            crate::$module::$case(std::sync::Arc::clone(&fresh.store)).await;
        }
    };
}

conformance!(sqlite_file, crate::sqlite_file_store);
conformance!(sqlite_memory, crate::sqlite_memory_store);
conformance!(sqlite_ahead, crate::sqlite_store_ahead);
conformance!(
    postgres,
    crate::postgres_store,
    ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"
);
conformance!(
    postgres_ahead,
    crate::postgres_store_ahead,
    ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"
);
conformance!(
    postgres_pooled,
    crate::pooled_postgres_store,
    ignore =
        "needs a pooler too, named by JETON_TEST_POSTGRES_POOLER; scripts/conformance brings one"
);

async fn postgres_store() -> Fresh {
    postgres_store_at(Place::schema().await).await
}

/// What a newer program may have added while this one goes on beside it: columns with a default or
/// without a value, some named as a column of another table is, tables and indexes.
const EXPAND: [&str; 7] = [
    "ALTER TABLE client ADD COLUMN expires_at BIGINT",
    "ALTER TABLE client ADD COLUMN position INTEGER NOT NULL DEFAULT 7",
    "ALTER TABLE token ADD COLUMN through INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE event ADD COLUMN colour TEXT",
    "ALTER TABLE change ADD COLUMN newest INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE later (realm TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (realm, id))",
    "CREATE INDEX later_token ON token (realm, subject)",
];

async fn sqlite_store_ahead() -> Fresh {
    let fresh = sqlite_file_store().await;
    let path = fresh._directory.as_ref().unwrap().path().join("jeton.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    for sql in EXPAND {
        // Where every column has its type.
        newer.execute_batch(&sql.replace("BIGINT", "INTEGER")).unwrap();
    }
    let note = "INSERT INTO migration (number, name, checksum, works_from, applied_at) \
        SELECT max(number) + 1, 'later', 'x', max(number), 0 FROM migration";
    newer.execute_batch(note).unwrap();
    // Under the one that was there before, and another one that starts anew.
    fresh.store.check().await.unwrap();
    let store = SqliteStore::open(&Location::File(path), SqliteSettings::default()).unwrap();
    Fresh { store, ..fresh }
}

async fn postgres_store_ahead() -> Fresh {
    let place = Place::schema().await;
    let before = postgres_store_at(place).await;
    let place = before._place.as_ref().unwrap();
    let newer = place.connect().await;
    for sql in EXPAND {
        newer.batch_execute(sql).await.unwrap();
    }
    let note = "INSERT INTO migration (number, name, checksum, works_from) \
        SELECT max(number) + 1, 'later', 'x', max(number) FROM migration";
    newer.batch_execute(note).await.unwrap();
    before.store.check().await.unwrap();
    let store = PostgresStore::open(&place.address(), PostgresSettings::default()).await.unwrap();
    Fresh { store, ..before }
}

async fn pooled_postgres_store() -> Fresh {
    postgres_store_at(Place::pooled_database().await).await
}

async fn postgres_store_at(place: Place) -> Fresh {
    let settings = PostgresSettings::default();
    let store = PostgresStore::open(&place.address(), settings).await.unwrap();
    Fresh { store, _directory: None, _place: Some(place) }
}

async fn sqlite_file_store() -> Fresh {
    let directory = TempDir::new().unwrap();
    let location = Location::File(directory.path().join("jeton.db"));
    // Few enough that places are written between any two steps of a case.
    let settings = SqliteSettings { unplaced_max: 3, ..SqliteSettings::default() };
    let store = SqliteStore::open(&location, settings).unwrap();
    Fresh { store, _directory: Some(directory), _place: None }
}

async fn sqlite_memory_store() -> Fresh {
    let store = SqliteStore::open(&Location::Memory, SqliteSettings::default()).unwrap();
    Fresh { store, _directory: None, _place: None }
}
