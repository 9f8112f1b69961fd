//! Damage of every kind: found and named by an examination, and never served as if it were nothing.

use jeton_engine::store::StoreError;
use jeton_store::Problem;

use super::*;

const PAGE: usize = 4096;

/// The numbers of the pages that a table or an index has, the first one first.
/// The root of a table or an index, and the last page below it where there are some.
pub(crate) fn pages(path: &Path, name: &str) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    let root: u32 = Connection::open(path)
        .unwrap()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0))
        .unwrap();
    let root = root as usize;
    let mut found = vec![root];
    let page = &bytes[(root - 1) * PAGE..root * PAGE];
    // Of an inner page: its right-most child, which is the last four bytes of its header.
    if matches!(page[0], 2 | 5) {
        found.push(u32::from_be_bytes(page[8..12].try_into().unwrap()) as usize);
    }
    found
}

/// Writes nonsense over a page.
pub(crate) fn spoil(path: &Path, page: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[(page - 1) * PAGE + usize::from(page == 1) * 100..page * PAGE].fill(0x5a);
    fs::write(path, bytes).unwrap();
}

fn found(examined: &Examined, place: &str) -> Problem {
    let problem = examined.problems.iter().find(|problem| problem.place.starts_with(place));
    problem.unwrap_or_else(|| panic!("nothing at {place}: {:?}", examined.problems)).clone()
}

#[tokio::test]
async fn a_sound_database_has_no_problem_and_is_left_as_it_is() {
    let (_directory, path) = place();
    filled(&path, 50).await;
    let before = fs::read(&path).unwrap();
    let examined = look(&path);
    assert_eq!(examined.problems, []);
    assert_eq!(examined.schema, examined.schema_known);
    assert_eq!(examined.newest, Some(sample::at(1)));
    assert_eq!(fs::read(&path).unwrap(), before);
    // In use, with a log.
    let store = open(&path);
    store.keep_token(token(60), None).await.unwrap();
    let examined = look(&path);
    assert!(examined.is_sound() && examined.log_pages > 0);
    assert!(examined.tables.contains(&("token", 51)));
}

#[tokio::test]
async fn a_page_of_a_table_or_an_index_is_named() {
    for name in ["token", "client", "token_expiry", "token_place", "signing_key", "event"] {
        let (_directory, path) = place();
        filled(&path, 300).await;
        let page = *pages(&path, name).last().unwrap();
        spoil(&path, page);
        let kind = if name == "token_expiry" { "index" } else { "table" };
        let problem = found(&look(&path), &format!("{kind} {name}, page {page}"));
        assert!(problem.remedy.contains("restore"), "{problem:?}");
    }
}

fn is_damage<T>(outcome: Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Failed(text)) if text.contains("jeton database check"))
}

#[tokio::test]
async fn a_server_that_meets_a_damaged_page_says_so_and_acknowledges_nothing() {
    // What is read at the start, and what is looked up and written later.
    let (_directory, path) = place();
    filled(&path, 300).await;
    spoil(&path, *pages(&path, "client").last().unwrap());
    let store = open(&path);
    assert!(is_damage(store.clients(&main(), None, 10).await));
    let created = event(EventKind::ClientCreated);
    assert!(is_damage(store.add_client(&client("new"), &created).await));
    store.close().await;
    for name in ["token", "token_place"] {
        let (_directory, path) = place();
        filled(&path, 300).await;
        spoil(&path, *pages(&path, name).last().unwrap());
        let settings = SqliteSettings { unplaced_max: 100, ..SqliteSettings::default() };
        let store = SqliteStore::open(&Location::File(path.clone()), settings).unwrap();
        // New ones go to the last page of the table, and their places by their digests.
        for number in [65_000, 65_001] {
            assert!(is_damage(store.keep_token(token(number), None).await), "{name}");
        }
        store.close().await;
        assert!(!look(&path).is_sound());
    }
}

#[tokio::test]
async fn a_first_page_that_is_gone_is_damage() {
    let (_directory, path) = place();
    filled(&path, 50).await;
    spoil(&path, 1);
    let problem = found(&look(&path), "its");
    assert!(problem.remedy.contains("restore"), "{problem:?}");
    let location = Location::File(path.clone());
    let refused = SqliteStore::open(&location, SqliteSettings::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("jeton database check"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(0);
    fs::write(&path, bytes).unwrap();
    let refused = examine(&path, None, &|_| {}).unwrap_err();
    assert!(matches!(refused, OpenError::NotADatabase { .. }), "{refused}");
}

#[tokio::test]
async fn what_the_pages_do_not_show_is_found_too() {
    let (_directory, path) = place();
    filled(&path, 50).await;
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = OFF; \
             INSERT INTO secret (realm, client_id, position, id, supplied, created_at) \
             VALUES ('main', 'nobody', 0, 's', '$argon2id$', 0); \
             UPDATE client SET audiences = 'no list'; \
             UPDATE event SET kind = 'nonsense' WHERE seq = 3; \
             UPDATE signing_key SET sealed = zeroblob(60); \
             UPDATE sqlite_sequence SET seq = 1 WHERE name = 'token'; \
             UPDATE token_placed SET through = 7; \
             UPDATE client_extract SET digest = zeroblob(32); \
             DROP INDEX token_expiry",
        )
        .unwrap();
    drop(connection);
    let examined = look(&path);
    assert!(found(&examined, "table secret").what.contains("rows of client that are not there"));
    assert!(found(&examined, "table client").what.contains("client main/orders"));
    assert!(found(&examined, "table event").what.contains("its kind"));
    assert!(found(&examined, "table signing_key").remedy.contains("master key"));
    assert!(found(&examined, "table token").what.contains("newest number"));
    assert!(found(&examined, "table token_place").what.contains("places of 7 tokens"));
    assert!(found(&examined, "table client_extract").what.contains("extracts of 1 clients"));
    assert!(found(&examined, "index token_expiry").what.contains("not there"));
    assert_eq!(examined.problems.len(), 8, "{:?}", examined.problems);
}

/// A database with a log of commits that nobody has moved into it, and that log.
async fn with_a_log(path: &Path) -> Vec<u8> {
    filled(path, 5).await;
    let writer = Connection::open(path).unwrap();
    writer
        .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .unwrap();
    for _ in 0..4 {
        writer.execute_batch("UPDATE probe SET checks = checks + 1").unwrap();
    }
    drop(writer);
    fs::read(path.with_extension("db-wal")).unwrap()
}

fn checks(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT checks FROM probe", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_log_that_lost_what_was_acknowledged_is_refused() {
    const FRAME: usize = 24 + PAGE;
    let (_directory, path) = place();
    let log = with_a_log(&path).await;
    let file = path.with_extension("db-wal");
    let frames = (log.len() - 32) / FRAME;
    assert_eq!(frames, 4, "one page a commit");
    // In its header, in the head of a frame, in its salt, in its page.
    let spots = [3, 17, 32 + 5, 32 + 9, 32 + 100, 32 + FRAME + 4000, 32 + 2 * FRAME + 30];
    for spot in spots {
        let mut spoiled = log.clone();
        spoiled[spot] ^= 0x40;
        fs::write(&file, &spoiled).unwrap();
        let location = Location::File(path.clone());
        let refused = SqliteStore::open(&location, SqliteSettings::default());
        let refused = refused.expect_err(&format!("byte {spot}"));
        assert!(
            matches!(&refused, OpenError::Damaged { reason, .. } if reason.contains("its log"))
        );
        let problem = found(&look(&path), "its log");
        assert!(problem.what.contains("come after it"), "{problem:?}");
        let to = path.with_extension("copy");
        let copied = back_up(&path, (&to, Existing::Stays), None, &|_| {});
        assert!(matches!(copied, Err(CopyError::Open(OpenError::Damaged { .. }))));
        assert_eq!(fs::read(&file).unwrap(), spoiled, "nothing was changed");
    }
    fs::write(&file, &log).unwrap();
    let store = open(&path);
    store.close().await;
    assert_eq!(checks(&path), 4);
}

#[tokio::test]
async fn a_commit_that_a_crash_cut_off_is_no_damage() {
    const FRAME: usize = 24 + PAGE;
    let (_directory, path) = place();
    let log = with_a_log(&path).await;
    let file = path.with_extension("db-wal");
    for length in [log.len() - 1, log.len() - FRAME + 10, 32 + 3 * FRAME] {
        fs::write(&file, &log[..length]).unwrap();
        let examined = look(&path);
        assert!(examined.is_sound() && examined.log_pages == 3, "{examined:?}");
    }
    let mut torn = log.clone();
    torn[32 + 3 * FRAME + 1000] ^= 1;
    fs::write(&file, torn).unwrap();
    let store = open(&path);
    store.close().await;
    assert_eq!(checks(&path), 3);
}

#[tokio::test]
async fn an_empty_file_with_a_log_is_damage_and_not_a_new_database() {
    let (_directory, path) = place();
    with_a_log(&path).await;
    fs::write(&path, "").unwrap();
    let location = Location::File(path.clone());
    let refused = SqliteStore::open(&location, SqliteSettings::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    assert!(fs::metadata(path.with_extension("db-wal")).unwrap().len() > 0);
}
