//! Figures that are no requests per second: memory, the time to the first token, a second core.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::asks::Asker;
use crate::kit::Kit;
use crate::load::Pace;
use crate::machine::median;
use crate::measure::{SERVER_CORE, load};
use crate::rows::{Row, Store, read};
use crate::session::{Bench, Session};

/// How often a server is started for the time to its first token.
const STARTS: usize = 9;
const MIB: f64 = 1024.0 * 1024.0;

/// Takes them all.
pub(crate) fn take(session: &mut Session) -> anyhow::Result<()> {
    for (clients, connections, memory, start) in
        [(10_000, 64, 16.0, 40.0), (100_000, 1000, 48.0, 100.0)]
    {
        eprintln!("memory and start with {clients} clients");
        let row = row("growth", connections, clients)?;
        let kit = session.kit(Store::Sqlite, clients)?;
        let (idle, loaded) = resident(kit, &row)?;
        let first = first_token(kit, &row)?;
        let named = format!("{clients} clients");
        session.report.figure(&format!("resident, {named}, idle"), idle, "MiB", Some(memory));
        let name = format!("resident, {named}, under load on {connections} connections");
        session.report.figure(&name, loaded, "MiB", Some(memory));
        session.report.figure(&format!("start to first token, {named}"), first, "ms", Some(start));
    }
    for name in ["growth", "eddsa", "sealed"] {
        let row = row(name, 64, 10)?;
        let kit = session.kit(Store::Sqlite, 10)?;
        let scale = cores(kit, &row)?;
        // At least 1.8: told as what is lost, so that every figure is better when it is smaller.
        let name = format!("two cores against one, {name} (by processor time), lost of 2");
        session.report.figure(&name, 2.0 - scale, "", Some(0.2));
    }
    Ok(())
}

/// How resident memory grows from the end of the first minute under load to the end of the last, in per cent.
pub(crate) fn soak(session: &mut Session, minutes: u64) -> anyhow::Result<()> {
    let names = ["growth", "sealed", "stored-64", "introspect-jwt", "forward-auth", "dpop"];
    let kit = session.kit(Store::Sqlite, 10_000)?;
    let process = kit.serve(SERVER_CORE, false)?;
    let (mut first, mut last) = (0.0, 0.0);
    for minute in 0..minutes {
        // All of them in each minute, so that what is full after the first stays comparable.
        for name in names {
            let row = row(name, 64, 10_000)?;
            let mut subject = Bench { kit, row: &row, process: &process }.subject()?;
            let window = Duration::from_secs(60) / names.len() as u32;
            let run = load(&mut subject, Pace::Closed, Duration::ZERO, window)?;
            last = run.resident_bytes as f64 / MIB;
        }
        eprintln!("after minute {}: {last:.1} MiB", minute + 1);
        if minute == 0 {
            first = last;
        }
    }
    let name = format!("growth of resident memory over {minutes} minutes of load");
    session.report.figure(&name, (last / first - 1.0) * 100.0, "%", Some(10.0));
    Ok(())
}

fn row(name: &str, count: usize, clients: usize) -> anyhow::Result<Row> {
    let rows = read(include_str!("../rows.toml"))?;
    let row = rows.into_iter().find(|row| row.name == name).context("a row was renamed")?;
    Ok(Row { count, clients, ..row })
}

/// Resident memory before load and at its end, with all connections open, in MiB.
fn resident(kit: &Kit, row: &Row) -> anyhow::Result<(f64, f64)> {
    let process = kit.serve(SERVER_CORE, false)?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = process.usage().resident_bytes as f64 / MIB;
    let mut subject = Bench { kit, row, process: &process }.subject()?;
    let run = load(&mut subject, Pace::Closed, Duration::ZERO, Duration::from_secs(5))?;
    Ok((idle, run.resident_bytes as f64 / MIB))
}

/// From starting the process to the last byte of the first token, in milliseconds.
fn first_token(kit: &Kit, row: &Row) -> anyhow::Result<f64> {
    let mut requests = Asker { kit, row }.requests(Vec::new())?;
    let mut taken = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let process = kit.begin(SERVER_CORE, false)?;
        let answer = ask_until_answered(kit, requests.next())?;
        taken.push(began.elapsed().as_secs_f64() * 1e3);
        drop(process);
        if !answer.contains(&row.begins) {
            bail!("the first answer is no token: {answer}");
        }
    }
    Ok(median(&taken))
}

fn ask_until_answered(kit: &Kit, request: &[u8]) -> anyhow::Result<String> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(mut stream) = TcpStream::connect(kit.address) {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(request)?;
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes)?;
            return Ok(String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned());
        }
        if Instant::now() > end {
            bail!("the server did not answer within 20 seconds");
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// How much more two cores do than one, by what a request costs on each: the load generator needs the
/// second one, so that it cannot be seen directly.
fn cores(kit: &Kit, row: &Row) -> anyhow::Result<f64> {
    let cost = |cores: &str| -> anyhow::Result<f64> {
        let process = kit.serve(cores, false)?;
        let mut subject = Bench { kit, row, process: &process }.subject()?;
        let mut costs = Vec::new();
        for _ in 0..3 {
            let times = (Duration::from_millis(200), Duration::from_secs(1));
            let run = load(&mut subject, Pace::Closed, times.0, times.1)?;
            costs.push(run.cpu_seconds / run.outcome.answered as f64);
        }
        Ok(median(&costs))
    };
    Ok(2.0 * cost(SERVER_CORE)? / cost("0,1")?)
}
