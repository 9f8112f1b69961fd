//! Traces, as a collector reads them with OpenTelemetry's own messages; and collectors that do not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jeton::serve::Running;
use jeton_engine::manage::{NewClient, NewSecret};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::started::{
    Answer, GROWTH, PATIENCE, ask, get, growth_body, make, make_client, start, token_when_known,
    within_patience,
};

/// How a collector behaves.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Takes,
    Says(&'static str),
    Hangs,
    HangsUp,
}

/// A collector that keeps the heads and bodies of what it is sent.
struct Collector {
    address: std::net::SocketAddr,
    messages: UnboundedReceiver<(String, Vec<u8>)>,
}

impl Collector {
    async fn open(manner: Manner) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (tell, messages) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move {
                    // Who no longer listens needs no message.
                    let _ = tell.send(serve(stream, manner).await);
                });
            }
        });
        Self { address, messages }
    }

    /// The section of a configuration that names it.
    fn section(&self, more: &str) -> String {
        let address = self.address;
        format!("[traces]\nendpoint = \"http://{address}\"\ntimeout = \"1s\"\n{more}\n")
    }

    async fn next(&mut self) -> (String, Vec<u8>) {
        timeout(PATIENCE, self.messages.recv()).await.expect("traces are sent").unwrap()
    }

    /// The spans of the next message, and its whole.
    async fn spans(&mut self) -> (Vec<Span>, Vec<u8>) {
        let (_, body) = self.next().await;
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        (scopes.flat_map(|scope| scope.spans).collect(), body)
    }

    /// The span of a request that was answered with this status.
    async fn span_with_status(&mut self, status: &str) -> Span {
        loop {
            let (spans, _) = self.spans().await;
            let is = |span: &&Span| {
                texts(span).get("http.response.status_code") == Some(&status.to_owned())
            };
            if let Some(span) = spans.iter().find(is) {
                return span.clone();
            }
        }
    }
}

/// Reads one request and behaves.
async fn serve(mut stream: TcpStream, manner: Manner) -> (String, Vec<u8>) {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap_or(0);
        read.extend_from_slice(&piece[..count]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            assert!(count > 0, "the request breaks off");
            continue;
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        if read.len() >= end + 4 + length {
            break (head, read[end + 4..end + 4 + length].to_vec());
        }
    };
    let answer = match manner {
        Manner::Takes => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Manner::Says(answer) => answer,
        Manner::HangsUp => "",
        Manner::Hangs => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            ""
        }
    };
    // A server that has gone reads nothing.
    let _ = stream.write_all(answer.as_bytes()).await;
    (head, body)
}

/// A span's attributes as texts.
fn texts(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let pair = |one: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        (one.key.clone(), text(one.value.as_ref().unwrap().value.as_ref().unwrap()))
    };
    span.attributes.iter().map(pair).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A token request with these header lines.
async fn token(running: &Running, secret: &str, headers: &str) -> Answer {
    let body = growth_body(secret);
    let request = format!(
        "POST /auth/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask(running.public_address(), &request).await
}

fn within(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: rojo=00f067aa0ba902b7\r\n")
}

#[tokio::test]
async fn a_caller_s_trace_is_continued_and_nothing_it_sent_is_told() {
    let mut collector = Collector::open(Manner::Takes).await;
    let more = "sample = \"0%\"\nservice_name = \"tokens\"\nresource = [\"host.name=a\"]\n";
    let text = format!("{}{GROWTH}", collector.section(more));
    let running = start(&text).await;
    let secret = make_client(&running, &text, "growth").await;
    token_when_known(running.public_address(), "x", &secret).await;
    let answer = token(&running, &secret, &within("01")).await;
    assert_eq!(answer.status, 200);

    let (head, body) = collector.next().await;
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let resource = format!("{:?}", request.resource_spans[0].resource);
    for word in ["service.name", "\"tokens\"", "service.version", "host.name"] {
        assert!(resource.contains(word), "{resource}");
    }
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    assert_eq!(spans.len(), 1, "nothing but this request is followed: {spans:?}");
    let span = &spans[0];
    assert_eq!(
        (hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id)),
        (TRACE.into(), PARENT.into())
    );
    assert_eq!(span.trace_state, "rojo=00f067aa0ba902b7");
    assert_eq!((span.name.as_str(), span.kind()), ("POST /auth/v1/token", SpanKind::Server));
    assert!(span.end_time_unix_nano > span.start_time_unix_nano && span.status.is_none());
    let told = texts(span);
    let reference = told["jeton.reference"].clone();
    assert_eq!(reference.len(), 10, "{reference}");
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/auth/v1/token"),
        ("jeton.dialect", "dt-growth"),
        ("jeton.outcome", "accepted"),
        ("jeton.realm", "growth"),
        ("jeton.reference", &reference),
        ("jeton.token_format", "jwt"),
    ];
    let told: Vec<(&str, &str)> =
        told.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(told, expected);
    let body = String::from_utf8_lossy(&body).into_owned();
    for secret in [secret.as_str(), "partner", "eyJ"] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason_and_the_reference_of_its_answer() {
    let mut collector = Collector::open(Manner::Takes).await;
    let realm = "[realm.main]\nissuer = \"http://localhost/main\"\n";
    let running = start(&format!("{}{realm}", collector.section(""))).await;
    let form = "grant_type=client_credentials&client_id=nobody&client_secret=hunter2&x=secretive";
    let request = format!(
        "POST /main/oauth2/introspect?q=private HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\ntraceparent: 00-surely-not-01\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = ask(running.public_address(), &request).await;
    let (spans, body) = collector.spans().await;
    let told = texts(&spans[0]);
    assert_eq!(spans[0].name, "POST /main/oauth2/introspect");
    assert!(spans[0].parent_span_id.is_empty(), "a malformed context begins a trace of our own");
    assert_eq!(told["jeton.outcome"], "refused");
    assert_eq!(told["http.response.status_code"], answer.status.to_string());
    assert!(told.contains_key("jeton.refusal") && !told.contains_key("jeton.dialect"), "{told:?}");
    assert!(answer.head.contains(&told["jeton.reference"]), "{} {told:?}", answer.head);
    let body = String::from_utf8_lossy(&body).into_owned();
    for sent in ["hunter2", "nobody", "secretive", "private", "surely"] {
        assert!(!body.contains(sent), "{sent}");
    }
    let lost = ask(running.public_address(), &get("/etc/passwd", "x")).await;
    let span = collector.span_with_status(&lost.status.to_string()).await;
    assert_eq!(span.name, "GET");
    assert!(!texts(&span).contains_key("http.route"));
}

#[tokio::test]
async fn where_a_request_waited_is_told_below_it() {
    let mut collector = Collector::open(Manner::Takes).await;
    let realm = "[secrets]\nremembered_max = 0\nargon2_memory = \"8MiB\"\n\
        [realm.main]\nissuer = \"http://localhost\"\ntoken.format = \"stored\"\n";
    let text = format!("{}{realm}", collector.section("sample = \"0%\""));
    let running = start(&text).await;
    let secret = NewSecret::Supplied("correct-horse-battery-staple".to_owned().into());
    let client = NewClient { id: Some("partner".parse().unwrap()), secret, ..NewClient::default() };
    let secret = make(&running, &text, "main", client).await;
    let form = format!("grant_type=client_credentials&client_id=partner&client_secret={secret}");
    let asked = |headers: &str| {
        format!(
            "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n{headers}Content-Length: {}\r\n\r\n{form}",
            form.len()
        )
    };
    let address = running.public_address();
    let known = async || (ask(address, &asked("")).await.status == 200).then_some(());
    within_patience(known).await;
    let answer = ask(address, &asked(&within("01"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (spans, _) = collector.spans().await;
    let (root, below) = spans.split_first().unwrap();
    let names: Vec<&str> = below.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["slow hash", "store commit"]);
    for span in below {
        assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id));
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
        assert!(span.attributes.is_empty());
    }
    assert!(below[0].end_time_unix_nano <= below[1].start_time_unix_nano);
}

#[tokio::test]
async fn a_request_that_nobody_wants_followed_is_not() {
    let mut collector = Collector::open(Manner::Takes).await;
    let running = start(&format!("{}{GROWTH}", collector.section(""))).await;
    let unfollowed = token(&running, "wrong", &within("00")).await;
    assert_ne!(unfollowed.status, 200);
    // Its caller says no; the next one's says nothing, and everything is followed then.
    token(&running, "wrong", "").await;
    let (spans, _) = collector.spans().await;
    assert_eq!(spans.len(), 1);
    assert_ne!(hexadecimal(&spans[0].trace_id), TRACE);

    let mut collector = Collector::open(Manner::Takes).await;
    let running = start(&format!("{}{GROWTH}", collector.section("parents = \"nobody\""))).await;
    token(&running, "wrong", &within("00")).await;
    let (spans, _) = collector.spans().await;
    assert_ne!(hexadecimal(&spans[0].trace_id), TRACE);
    assert!(spans[0].parent_span_id.is_empty());
}

#[tokio::test]
async fn a_collector_that_is_dead_mad_or_slow_harms_nobody() {
    let gone = {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Collector { address: socket.local_addr().unwrap(), messages: unbounded_channel().1 }
    };
    let mut collectors = vec![gone];
    for manner in [
        Manner::Hangs,
        Manner::HangsUp,
        Manner::Says("220 mail.example.com ESMTP\r\n"),
        Manner::Says("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\u{1}\u{2}\u{3}\u{4}"),
        Manner::Says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        Manner::Says("HTTP/1.1 503 Later\r\nContent-Length: 100000\r\n\r\n"),
    ] {
        collectors.push(Collector::open(manner).await);
    }
    let stopping = collectors.into_iter().map(async |collector| {
        let text = format!("{}{GROWTH}", collector.section("queue_max = 16"));
        let running = start(&text).await;
        let secret = make_client(&running, &text, "growth").await;
        token_when_known(running.public_address(), "x", &secret).await;
        for _ in 0..40 {
            assert_eq!(token(&running, &secret, "").await.status, 200);
        }
        let began = Instant::now();
        timeout(PATIENCE, running.stop()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    });
    for stopped in stopping {
        stopped.await;
    }
}

#[tokio::test]
async fn what_waits_is_sent_when_a_server_stops() {
    let mut collector = Collector::open(Manner::Takes).await;
    let running = start(&format!("{}{GROWTH}", collector.section(""))).await;
    token(&running, "wrong", "").await;
    timeout(PATIENCE, running.stop()).await.unwrap();
    let (spans, _) = collector.spans().await;
    assert_eq!(spans.len(), 1);
}

#[tokio::test]
async fn a_collector_that_wants_a_key_gets_it_and_nobody_else_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "Authorization: Bearer hunter2\n").unwrap();
    let mut collector = Collector::open(Manner::Takes).await;
    let more = format!("headers.file = {:?}", file.display().to_string());
    let text = Arc::new(format!("{}{GROWTH}", collector.section(&more)));
    let running = start(&text).await;
    token(&running, "wrong", "").await;
    let (head, _) = collector.next().await;
    assert!(head.contains("authorization: Bearer hunter2"), "{head}");
    let shown = format!("{:?}", crate::started::configured(&text).traces);
    assert!(!shown.contains("hunter2"), "{shown}");
}
