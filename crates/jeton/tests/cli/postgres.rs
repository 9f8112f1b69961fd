//! `jeton database check` on a real PostgreSQL: what is said, and the exit code.

use std::os::unix::fs::PermissionsExt as _;

use super::place::Place;
use super::server::Place as Database;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL, named by JETON_TEST_POSTGRES; scripts/test brings one"]
async fn a_check_tells_as_of_sqlite_and_fails_when_something_is_wrong() {
    let (place, database) = (Place::new(), Database::schema().await);
    let door = database.server_address().await.to_string();
    let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
    let storage = format!("\"{}\"\nmaster_key.file = \"master-key\"", database.url_at(&door));
    std::fs::write(place.path("jeton.toml"), text.replace("\"sqlite:jeton.db\"", &storage))
        .unwrap();
    let check = ["database", "check", "--without-master-key"];
    place.jeton(&check).failed(1, &["the database: it is empty", "pg_restore"]);
    place.jeton(&["database", "check"]).failed(1, &["master key", "--without-master-key"]);
    std::fs::write(place.path("master-key"), "ab".repeat(32)).unwrap();
    let own = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.path("master-key"), own).unwrap();
    place.jeton(&["client", "create", "orders", "--realm", "main", "--json"]).done();
    let sound = place.jeton(&["database", "check", "--json"]).done().json();
    assert_eq!((&sound["sound"], &sound["rows"]["client"]), (&true.into(), &1.into()));
    assert_eq!(sound["problems"], serde_json::json!([]));
    assert!(sound["unseen"].is_array() && sound["database"].is_string());
    let spoil = "UPDATE client SET scope = '\"'";
    database.connect().await.batch_execute(spoil).await.unwrap();
    place.jeton(&check).failed(1, &["problem: table client: ", "main/orders", "its scope"]);
    let ran = place.jeton(&["database", "check", "--json"]).failed(1, &[]);
    assert_eq!(ran.json()["problems"][0]["place"], "table client");
}
