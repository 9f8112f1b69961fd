//! Proves that `jeton serve` obeys signals, survives what a machine lacks, and tells all of it in its log.

#![cfg(test)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(20);

const GROWTH: &str =
    "[realm.growth]\nissuer = \"https://reporting.example.com\"\ndialects = [\"dt-growth\"]\n";

/// `jeton serve` in a folder of its own, with its log line by line.
struct Process {
    child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts it, by way of `shell` when that is not empty.
    fn start(shell: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jeton.toml");
        write_configuration(&file, GROWTH);
        let jeton = env!("CARGO_BIN_EXE_jeton");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{shell} exec \"$0\" serve --config \"$1\""))
            .args([jeton.as_ref(), file.as_os_str()])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _ = sender.send(line);
            }
        });
        Self { child, log, seen: Vec::new(), file, _folder: folder }
    }

    /// Waits for a log line with this message.
    fn said(&mut self, message: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.log.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line["message"].as_str().is_some_and(|said| said.contains(message)) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("it never said {message:?}, but: {:#?}", self.seen);
                }
            }
        }
    }

    /// Where the listeners are.
    fn ready(&mut self) -> (SocketAddr, SocketAddr) {
        let line = self.said("ready");
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        (address("public"), address("admin"))
    }

    fn signal(&self, name: &str) {
        let done =
            Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(done.unwrap().success());
    }

    fn ends(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end: {:#?}", self.seen);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_configuration(file: &Path, realms: &str) {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n{realms}"
    );
    std::fs::write(file, text).unwrap();
}

/// The status line of the answer, or nothing when there is none.
fn ask(address: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn sighup_takes_over_a_good_file_and_a_bad_one_changes_nothing_and_says_why() {
    let mut process = Process::start("");
    let (public, _) = process.ready();
    assert!(ask(public, "/auth/v1/token", "{}").contains("400"));
    assert!(ask(public, "/main/oauth2/token", "{}").contains("404"));

    let both = format!("{GROWTH}[realm.main]\nissuer = \"https://b.example.com/main\"\n");
    write_configuration(&process.file, &both);
    process.signal("HUP");
    assert_eq!(process.said("the configuration was taken over")["realms"], 2);
    assert!(ask(public, "/main/oauth2/token", "{}").contains("400"));

    write_configuration(
        &process.file,
        "[realm.main]\nissuer = \"nonsense\"\ndialect = [\"rfc6749\"]\n",
    );
    process.signal("HUP");
    let first = process.said("`realm.main.issuer` is not a URL");
    assert_eq!((first["line"].as_u64(), first["level"].as_str()), (Some(8), Some("ERROR")));
    assert_eq!(process.said("there is no setting")["remedy"], "did you mean `dialects`?");
    process.said("was not taken over; nothing has changed");
    assert!(ask(public, "/auth/v1/token", "{}").contains("400"));
    assert!(ask(public, "/main/oauth2/token", "{}").contains("400"));

    process.signal("TERM");
    process.said("stopped");
    assert!(process.ends().success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut process = Process::start("");
    let (public, _) = process.ready();
    let mut begun = TcpStream::connect(public).unwrap();
    begun.set_read_timeout(Some(PATIENCE)).unwrap();
    begun.write_all(b"POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut bytes = [0; 12];
    begun.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 100");
    process.signal("INT");
    process.said("stopping");
    let began = Instant::now();
    process.signal("TERM");
    process.said("stopped at once");
    assert!(process.ends().success());
    assert!(began.elapsed() < Duration::from_secs(5), "the request at hand was not waited for");
}

#[test]
fn neither_secret_nor_query_nor_body_stands_in_the_log() {
    let mut process = Process::start("RUST_LOG=trace");
    let (public, _) = process.ready();
    let body = "{\"grant_type\":\"client_credentials\",\"client_id\":\"partner\",\"client_secret\":\"hunter2\"}";
    assert!(ask(public, "/auth/v1/token?secret=hunter3", body).contains("400"));
    assert!(ask(public, "/auth/v1/token", "{\"hunter4\":").contains("400"));
    assert!(ask(public, "/elsewhere", body).contains("404"));
    process.signal("TERM");
    process.said("stopped");
    assert!(process.ends().success());
    while let Ok(line) = process.log.recv_timeout(PATIENCE) {
        process.seen.push(line);
    }
    let ours: Vec<String> = process.seen.iter().map(ToString::to_string).collect();
    assert!(ours.iter().any(|line| line.contains("client_unknown")), "{ours:#?}");
    for secret in ["hunter2", "hunter3", "hunter4"] {
        let leaking: Vec<_> = ours.iter().filter(|line| line.contains(secret)).collect();
        assert!(leaking.is_empty(), "{leaking:#?}");
    }
}

#[test]
fn a_lack_of_file_descriptors_neither_ends_the_server_nor_keeps_it_busy() {
    let mut process = Process::start("ulimit -n 40;");
    let (public, _) = process.ready();
    let crowd: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(public).unwrap()).collect();
    process.said("a connection cannot be accepted");
    let before = processor_time(process.child.id());
    std::thread::sleep(Duration::from_secs(1));
    let spent = processor_time(process.child.id()) - before;
    assert!(spent < 30, "{spent} hundredths of a second were spent in one second of waiting");
    drop(crowd);
    assert!(ask(public, "/auth/v1/token", "{}").contains("400"));
    process.signal("TERM");
    assert!(process.ends().success());
}

/// User and system time of a process, in hundredths of a second (`proc(5)`, fields 14 and 15).
fn processor_time(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, rest) = text.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a_port_that_is_taken_and_a_key_that_others_can_read_are_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jeton.toml");
    let listen = taken.local_addr().unwrap();
    std::fs::write(
        &file,
        format!("[server]\nlisten = \"{listen}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{GROWTH}"),
    )
    .unwrap();
    let (code, said) = run_to_the_end(&file);
    assert_eq!(code, Some(1));
    assert!(said.contains(&format!("cannot listen on {listen}")), "{said}");

    write_configuration(&file, GROWTH);
    std::fs::write(folder.path().join("jeton.db.master-key"), "x").unwrap();
    let (code, said) = run_to_the_end(&file);
    assert_eq!(code, Some(1));
    assert!(said.contains("can be read by others") && said.contains("chmod 600"), "{said}");
}

fn run_to_the_end(file: &Path) -> (Option<i32>, String) {
    let jeton =
        Command::new(env!("CARGO_BIN_EXE_jeton")).arg("serve").arg("--config").arg(file).output();
    let output = jeton.unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
