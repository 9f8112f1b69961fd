//! Proves that realms come and go while the server runs, and that what cannot be served changes nothing.

use crate::started::{
    GROWTH, Line, ask, configured, growth_request, make_client, post, start, token_when_known,
};

#[tokio::test]
async fn a_reload_brings_new_realms_and_takes_old_ones_away() {
    let running = start(GROWTH).await;
    let address = running.public_address();
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(address, "x", &secret).await;
    // A connection that is open all the while belongs to no realm.
    let mut open = Line::open(address).await;
    open.send(&growth_request("x", &secret)).await;
    assert_eq!(open.answer().await.status, 200);

    let both = format!("{GROWTH}[realm.main]\nissuer = \"https://b.example.com/main\"\n");
    assert_eq!(running.reload(configured(&both)).await.unwrap(), Vec::<&str>::new());
    assert_eq!(ask(address, &post("/main/oauth2/token", "x", "{}")).await.status, 400);
    open.send(&growth_request("x", &secret)).await;
    assert_eq!(open.answer().await.status, 200, "the realm that stayed keeps its clients");

    let main = "[realm.main]\nissuer = \"https://b.example.com/main\"\n";
    running.reload(configured(main)).await.unwrap();
    open.send(&growth_request("x", &secret)).await;
    assert_eq!(open.answer().await.status, 404, "the realm that went is gone");
    assert_eq!(ask(address, &post("/main/oauth2/token", "x", "{}")).await.status, 400);
    running.stop().await;
}

#[tokio::test]
async fn a_realm_that_changes_is_served_as_it_is_now() {
    let running = start(GROWTH).await;
    let address = running.public_address();
    let secret = make_client(&running, GROWTH, "growth").await;
    token_when_known(address, "x", &secret).await;
    let moved = GROWTH.replace("example.com", "example.com/v2");
    running.reload(configured(&moved)).await.unwrap();
    assert_eq!(ask(address, &growth_request("x", &secret)).await.status, 404);
    let body = crate::started::growth_body(&secret);
    assert_eq!(ask(address, &post("/v2/auth/v1/token", "x", &body)).await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn sections_that_need_a_restart_are_named_and_stay_as_they_were() {
    let running = start(GROWTH).await;
    let changed =
        format!("[server]\nbody_bytes_max = \"1KiB\"\n[log]\nformat = \"json\"\n{GROWTH}");
    assert_eq!(running.reload(configured(&changed)).await.unwrap(), ["server", "log"]);
    let large = post("/auth/v1/token", "x", &format!("{{\"x\":\"{}\"}}", "x".repeat(2_000)));
    assert_eq!(ask(running.public_address(), &large).await.header("connection"), None);
    running.stop().await;
}
