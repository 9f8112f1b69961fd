//! The promise of stored tokens: whoever received one finds it after a crash.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jeton_engine::clock::{Clock, Random};
use jeton_engine::engine::{Parts, Settings};
use jeton_engine::key_source::NoKeySource;
use jeton_engine::manage::Manage;
use jeton_engine::master_key::MasterKey;
use jeton_store::{Location, SqliteSettings, SqliteStore};

use super::place::{Place, Process, program};

const CONNECTIONS: usize = 64;
/// Tokens to wait for before the kill.
const TOKENS: usize = 2_000;

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks for tokens on one connection until it breaks; every token that arrived whole.
fn issue(
    port: u16,
    secret: &str,
    received: &std::sync::atomic::AtomicUsize,
    stop: &AtomicBool,
) -> Vec<String> {
    let body = format!("client_id=a&client_secret={secret}");
    let request = format!(
        "POST /ship/v1/auth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut tokens = Vec::new();
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return tokens };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = Vec::new();
    while !stop.load(Ordering::Relaxed) && stream.write_all(request.as_bytes()).is_ok() {
        buffer.clear();
        let mut piece = [0; 2048];
        // The answer is whole when its body, the last thing in it, ends with its two braces.
        while !buffer.ends_with(b"}}") {
            match stream.read(&mut piece) {
                Ok(count) if count > 0 => buffer.extend_from_slice(&piece[..count]),
                _ => return tokens,
            }
        }
        let text = String::from_utf8(buffer.clone()).unwrap();
        let (_, rest) = text.split_once("\"access_token\":\"").unwrap_or_else(|| panic!("{text}"));
        tokens.push(rest.split('"').next().unwrap().to_owned());
        received.fetch_add(1, Ordering::Relaxed);
    }
    tokens
}

#[test]
fn no_received_token_is_lost_when_the_server_is_killed() {
    let place = Place::empty();
    let port = free_port();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[storage]\nurl = \"sqlite:jeton.db\"\n\
         [realm.ship]\nissuer = \"http://127.0.0.1:{port}/ship\"\ndialects = [\"fuuffy\"]\nlimits = {{ client = \"off\" }}\n"
    );
    std::fs::write(place.path("jeton.toml"), text).unwrap();
    let made = place.jeton(&["client", "create", "a", "--json"]).done().json();
    let secret = made["client_secret"].as_str().unwrap();
    let mut command = program();
    command
        .current_dir(place.path(""))
        .arg("serve")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut server = Process(command.spawn().unwrap());
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "the server does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (received, stop) = (std::sync::atomic::AtomicUsize::new(0), AtomicBool::new(false));
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| issue(port, secret, &received, &stop)))
            .collect();
        let start = Instant::now();
        while received.load(Ordering::Relaxed) < TOKENS && start.elapsed() < Duration::from_secs(5)
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        // SIGKILL, in the middle of it.
        server.0.kill().unwrap();
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    server.0.wait().unwrap();
    assert!(tokens.len() >= CONNECTIONS, "only {} tokens arrived", tokens.len());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let location = Location::File(place.path("jeton.db"));
        let store = SqliteStore::open(&location, SqliteSettings::default()).unwrap();
        let (clock, random, settings) = (Clock::System, Random::System, Settings::default());
        let master_key = MasterKey::generate(&random).parse().unwrap();
        let key_source = Arc::new(NoKeySource);
        let manage = Manage::new(Parts {
            store: Arc::clone(&store) as Arc<_>,
            clock,
            random,
            master_key,
            key_source,
            settings,
        });
        let realm = "ship".parse().unwrap();
        for token in &tokens {
            let record = manage.token_record(&realm, token).await.unwrap();
            assert!(record.is_some(), "an acknowledged token is lost");
        }
        assert!(
            manage
                .token_record(&realm, "sk-00000000000000000000000000000000")
                .await
                .unwrap()
                .is_none()
        );
        store.close().await;
    });
}
