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
        let mut serve = program();
        serve.arg("serve");
        if let Some(within) = watchdog {
            serve.env("WATCHDOG_USEC", within.as_micros().to_string());
        }
        Self::spawn(place, serve)
    }

    /// Starts it in a shell that has limited itself.
    fn start_within(place: &Place, limits: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{limits} && exec \"$0\" serve")).arg(program().get_program());
        Self::spawn(place, shell)
    }

    fn spawn(place: &Place, mut serve: Command) -> Self {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        serve.current_dir(place.path("")).stderr(Stdio::null());
        serve.env("NOTIFY_SOCKET", place.path("notify"));
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

/// What the process may have open, soft and hard.
fn open_files(server: &Process) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.0.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_server_lifts_its_limit_of_open_files_as_far_as_its_connections_need_and_it_may() {
    for (connections, hard, expected) in [(1000, 4000, 1512), (10_000, 4000, 4000), (10, 4000, 600)]
    {
        let place = Place::new();
        let text = std::fs::read_to_string(place.path("jeton.toml")).unwrap();
        let text =
            text.replacen("[server]\n", &format!("[server]\nconnections_max = {connections}\n"), 1);
        std::fs::write(place.path("jeton.toml"), text).unwrap();
        let told = Told::start_within(&place, &format!("ulimit -Sn 600 && ulimit -Hn {hard}"));
        assert_eq!(told.next()[0], "READY=1");
        assert_eq!(open_files(&told.server), (expected, hard), "{connections}");
    }
}
