//! What systemd hears of a server, read from a notify socket of our own.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::place::{Place, Process, program};

/// A server and the socket on which it tells how it is.
struct Told {
    socket: UnixDatagram,
    server: Process,
}

impl Told {
    fn start(place: &Place, watchdog: Option<Duration>) -> Self {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut serve = program();
        serve.current_dir(place.path("")).arg("serve").stderr(Stdio::null());
        serve.env("NOTIFY_SOCKET", place.path("notify"));
        if let Some(within) = watchdog {
            serve.env("WATCHDOG_USEC", within.as_micros().to_string());
        }
        Self { socket, server: Process(serve.spawn().unwrap()) }
    }

    /// The next message, line by line.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next message that is no beat.
    fn next_news(&self) -> Vec<String> {
        loop {
            let message = self.next();
            if message != ["WATCHDOG=1"] {
                return message;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.server.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

#[test]
fn systemd_hears_of_the_start_of_each_reload_and_of_the_end() {
    let place = Place::new();
    let told = Told::start(&place, None);
    let ready = told.next();
    assert_eq!(ready[0], "READY=1");
    assert!(ready[1].starts_with("STATUS=serves 2 realms on 127.0.0.1:"), "{ready:?}");

    told.signal("-HUP");
    let reloading = told.next();
    assert_eq!(reloading[0], "RELOADING=1");
    let now = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(now.parse::<u64>().is_ok(), "{reloading:?}");
    assert_eq!(told.next()[0], "READY=1");

    std::fs::write(place.path("jeton.toml"), "[server]\nlisten = 1\n").unwrap();
    told.signal("-HUP");
    assert_eq!(told.next()[0], "RELOADING=1");
    let ready = told.next();
    assert_eq!(ready[0], "READY=1");
    assert!(ready[1].contains("was not taken over"), "{ready:?}");

    told.signal("-TERM");
    assert_eq!(told.next()[0], "STOPPING=1");
    assert_eq!(told.server.terminate(), Some(0));
}

#[test]
fn a_server_that_is_watched_says_again_and_again_that_it_is_well() {
    let place = Place::new();
    let told = Told::start(&place, Some(Duration::from_millis(400)));
    assert_eq!(told.next()[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(told.next(), ["WATCHDOG=1"]);
    }
    // A database that others keep locked is no reason for a restart.
    let held = rusqlite::Connection::open(place.path("jeton.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..3 {
        assert_eq!(told.next(), ["WATCHDOG=1"]);
    }
    drop(held);
    told.signal("-TERM");
    assert_eq!(told.next_news()[0], "STOPPING=1");
    drop(told);

    let place = Place::new();
    let told = Told::start(&place, None);
    assert_eq!(told.next()[0], "READY=1");
    told.socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(told.socket.recv(&mut [0; 16]).is_err(), "nobody asked for beats");
}
