//! Callers that are slow on purpose: heads and bodies that come a byte at a time, answers that nobody takes,
//! TLS handshakes that nobody finishes. Each is hung up on in time, and honest callers notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Terms;
use crate::cast::{Cast, Client, Realm};
use crate::chance::Chance;
use crate::http::Request;
use crate::load::Load;
use crate::node::Node;
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::process::{allow_open_files, open_files, resident};
use crate::report::Report;
use crate::tally::{Latencies, Tally};

/// How long the servers of this drill wait for a head, for a body, for somebody to take an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Hanging up may come so much later: a lingering end, and a slow machine.
const LATER: Duration = Duration::from_secs(8);
/// What honest callers may wait meanwhile, 99 of 100 of them, however slow the machine.
const HONEST_WITHIN: Duration = Duration::from_millis(1500);

/// In which way somebody is slow.
#[derive(Clone, Copy, Debug)]
enum Slowness {
    Head,
    Body,
    Answer,
}

/// Plain HTTP.
pub(crate) async fn senders(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let mut chance = Chance::new(terms.seed);
    let each = terms.pick(60, 1000);
    allow_open_files(u64::try_from(each * 3 + 200)?);
    let place = Place::sqlite()?;
    let patience = "header_timeout = \"2s\"\nbody_timeout = \"2s\"\nwrite_timeout = \"2s\"\n";
    place.configure(&place.configuration()?.replacen(
        "[server]\n",
        &format!("[server]\n{patience}"),
        1,
    ))?;
    let place = Arc::new(place);
    let cast = Arc::new(Cast::create(&place, 4, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut node = Node::new(&place, 0)?;
    node.start().await?;
    let before = honest(&node, (&oracle, &cast), &chance.branch(1), terms.seconds(2, 15)).await?;
    let (memory, files) = (resident(&node)?, open_files(&node)?);

    let mut slow = JoinSet::new();
    for slowness in [Slowness::Head, Slowness::Body, Slowness::Answer] {
        // Each of those who take nothing asks for thousands of answers before one is in the way: so much the
        // system keeps for it. They are few, because many would be a flood.
        let count = if matches!(slowness, Slowness::Answer) { each / 30 } else { each };
        for _ in 0..count {
            slow.spawn(be_slow(node.public, slowness));
        }
    }
    sleep(Duration::from_millis(500)).await;
    let memory_meanwhile = resident(&node)?;
    let meanwhile =
        honest(&node, (&oracle, &cast), &chance.branch(2), terms.seconds(3, 30)).await?;
    let (mut hung_up, mut not_hung_up) = (Latencies::default(), Vec::new());
    while let Some(done) = slow.join_next().await {
        match done? {
            Ok(after) => hung_up.add(after),
            Err(error) => not_hung_up.push(error.to_string()),
        }
    }
    sleep(Duration::from_millis(1500)).await;
    report
        .figure("slow heads, bodies, takers of answers", format!("{each}, {each}, {}", each / 30));
    report.latencies("hung up on", &hung_up);
    report.must_be_zero("not hung up on in time", not_hung_up.len(), &not_hung_up);
    let left = open_files(&node)?.saturating_sub(files);
    report.figure("open files more than before", left);
    if left > 16 {
        report.broke("their places did not come back");
    }
    report.figure("resident before, meanwhile", format!("{memory}, {memory_meanwhile} KiB"));
    tell_honest(&mut report, &before, &meanwhile);
    handshakes(terms, &place, &cast, &mut report).await?;
    check(&oracle, &cast, &[Server::from(&node)], &mut report).await?;
    Ok(report)
}

async fn honest(
    node: &Node,
    (oracle, cast): (&Arc<Oracle>, &Arc<Cast>),
    chance: &Chance,
    how_long: Duration,
) -> Result<Arc<Tally>> {
    let mut load = Load::mixed(vec![Server::from(node)], 8, usize::MAX);
    load.pause = Duration::from_millis(5);
    let running = load.start(oracle, cast, chance);
    sleep(how_long).await;
    running.stop().await
}

fn tell_honest(report: &mut Report, before: &Tally, meanwhile: &Tally) {
    report.latencies("answers before", &before.latencies());
    report.latencies("answers meanwhile", &meanwhile.latencies());
    report.must_be_within("99 of 100 meanwhile", meanwhile.latencies().share(0.99), HONEST_WITHIN);
    let examples = meanwhile.examples();
    report.must_be_zero(
        "honest requests without an answer",
        meanwhile.unanswered_count(),
        &examples,
    );
}

/// Is slow until it is hung up on; tells how long that took.
async fn be_slow(address: SocketAddr, slowness: Slowness) -> Result<Duration> {
    let socket = TcpSocket::new_v4()?;
    if matches!(slowness, Slowness::Answer) {
        // Little room for answers, so that they soon are in the server's way.
        socket.set_recv_buffer_size(4096)?;
    }
    let mut stream = socket.connect(address).await?;
    let began = Instant::now();
    let most = PATIENCE + LATER;
    let ended = match slowness {
        Slowness::Head => {
            trickle(&mut stream, b"POST /jwt/oauth2/token HTTP/1.1\r\nX-Slow: ").await
        }
        Slowness::Body => {
            let head = "POST /jwt/oauth2/token HTTP/1.1\r\nHost: jeton.test\r\nContent-Length: 300\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            trickle(&mut stream, b"grant_type=").await
        }
        Slowness::Answer => timeout(most * 4, take_nothing(&mut stream)).await.unwrap_or(Ok(())),
    };
    let took = began.elapsed();
    // Who takes nothing must first have filled what the system keeps for it, which takes its time.
    let most = if matches!(slowness, Slowness::Answer) { most * 3 } else { most };
    match ended {
        Err(_) if took <= most => Ok(took),
        Err(_) => bail!("{slowness:?}: only after {} ms", took.as_millis()),
        Ok(()) => bail!("{slowness:?}: never"),
    }
}

/// Sends a byte at a time, for as long as somebody takes them. An error is the end of the connection.
async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let mut answer = [0; 1024];
    for byte in bytes.iter().chain(std::iter::repeat_n(&b'x', 280)) {
        stream.write_all(&[*byte]).await?;
        match timeout(Duration::from_millis(100), stream.read(&mut answer)).await {
            Ok(Ok(0)) => bail!("hung up"),
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    Ok(())
}

/// Asks and asks, and takes no answer. Not as fast as it could: that would be a flood.
async fn take_nothing(stream: &mut TcpStream) -> Result<()> {
    let request = Request::get("/jwt/.well-known/oauth-authorization-server", &[]);
    let some = request.0.repeat(24);
    loop {
        stream.write_all(&some).await?;
        sleep(Duration::from_millis(50)).await;
    }
}

/// TLS handshakes that nobody finishes, more than there may be at one time; and honest ones beside them.
async fn handshakes(
    terms: Terms,
    place: &Arc<Place>,
    cast: &Cast,
    report: &mut Report,
) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(place.path("cert.pem"), made.cert.pem())?;
    std::fs::write(place.path("key.pem"), made.signing_key.serialize_pem())?;
    let mut node = Node::new(place, 1)?;
    node.set("JETON__SERVER__TLS__CERTIFICATE", "cert.pem");
    node.set("JETON__SERVER__TLS__KEY", "key.pem");
    node.set("JETON__SERVER__TLS__HANDSHAKES_MAX", "32");
    node.set("JETON__SERVER__TLS__HANDSHAKE_TIMEOUT", "2s");
    node.start().await?;
    let client = cast.with_secret(Realm::Jwt).first().copied().context("nobody is there")?;
    let client = cast.client(client)?;
    let mut honest = Latencies::default();
    honest.add(token_over_tls(place, &node, client).await?);
    let before = honest.share(1.0);
    let files = open_files(&node)?;
    for _ in 0..terms.pick(2, 10) {
        let mut unfinished = Vec::new();
        for _ in 0..terms.pick(200, 1000) {
            let mut stream = TcpStream::connect(node.public).await?;
            // The beginning of a record that holds a handshake, and no more of it.
            stream.write_all(&[22, 3, 1, 2, 0, 1]).await?;
            unfinished.push(stream);
        }
        honest.add(token_over_tls(place, &node, client).await?);
        sleep(PATIENCE + Duration::from_secs(1)).await;
        let left = open_files(&node)?.saturating_sub(files);
        if left > 8 {
            report.broke(format!("{left} unfinished handshakes still have their places"));
        }
    }
    report.figure("a token over TLS before", format!("{} ms", before.as_millis()));
    report.latencies("a token over TLS beside unfinished handshakes", &honest);
    Ok(())
}

/// A token as a command gets it, over TLS; tells how long the command took.
async fn token_over_tls(place: &Place, node: &Node, client: &Client) -> Result<Duration> {
    let began = Instant::now();
    let endpoint = format!("https://localhost:{}/jwt/oauth2/token", node.public.port());
    let arguments = ["token", "get", "--token-endpoint", &endpoint, "--ca-file", "cert.pem"];
    let client_arguments = ["--client-id", &client.id, "--client-secret-stdin"];
    let arguments: Vec<&str> = arguments.into_iter().chain(client_arguments).collect();
    place.operate_reading(&arguments, &client.secret()).await?;
    Ok(began.elapsed())
}
