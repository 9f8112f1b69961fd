//! Every server behind a load balancer is stopped and started again under load: no request fails.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::Terms;
use crate::cast::Cast;
use crate::chance::Chance;
use crate::http::{Connection, Request};
use crate::load::Load;
use crate::node::{Node, free_address};
use crate::oracle::{Oracle, Server, check};
use crate::place::Place;
use crate::postgres::Postgres;
use crate::report::Report;
use crate::tally::Latencies;

const NODES: usize = 3;

/// Behind HAProxy, which asks for readiness, and behind nginx, which looks at nothing.
pub(crate) async fn rolling_restart(terms: Terms) -> Result<Report> {
    let mut report = Report::default();
    let postgres = Postgres::of_the_script()?;
    for balancer in [Balancer::Haproxy, Balancer::Nginx] {
        let url = postgres.database("rolling_restart").await?;
        let place = Arc::new(Place::postgres(&url)?);
        behind(balancer, &place, terms, &mut report).await?;
    }
    Ok(report)
}

async fn behind(
    balancer: Balancer,
    place: &Arc<Place>,
    terms: Terms,
    report: &mut Report,
) -> Result<()> {
    let name = balancer.name();
    let mut chance = Chance::new(terms.seed);
    let cast = Arc::new(Cast::create(place, 3, &mut chance).await?);
    let oracle = Arc::new(Oracle::default());
    let mut nodes = Node::start_many(place, NODES).await?;
    let front = free_address()?;
    let _process = balancer.start(place, front, &nodes).await?;
    // Who answers behind the balancer, nobody knows.
    let servers = vec![Server { number: None, address: front }];
    let mut load = Load::mixed(servers, terms.pick(16, 64), terms.pick(600, 40_000));
    load.pause = Duration::from_millis(terms.pick(10, 2));
    let running = load.start(&oracle, &cast, &chance.branch(1));
    running.answered(300, Duration::from_secs(20)).await;
    let mut stopped = Latencies::default();
    for _ in 0..terms.pick(1, 5) {
        for node in &mut nodes {
            let began = Instant::now();
            let status = node.stop().await?;
            stopped.add(began.elapsed());
            if !status.success() {
                report.broke(format!("{name}: node {} ended with {status}", node.number));
            }
            node.start().await?;
            // The balancer has to notice before the next one goes.
            sleep(Duration::from_millis(1200)).await;
        }
    }
    let tally = running.stop().await?;
    let examples = tally.examples();
    let failed = tally.unanswered_count() + tally.count(|status| status >= 500);
    report.figure(format!("{name}: restarts"), stopped.count());
    report.figure(format!("{name}: requests"), tally.count(|_| true));
    report.latencies(&format!("{name}: answers"), &tally.latencies());
    report.latencies(&format!("{name}: a stop took"), &stopped);
    report.must_be_zero(&format!("{name}: failed requests"), failed, &examples);
    report.must_be_zero(&format!("{name}: refused connections"), tally.refused_connections(), &[]);
    let servers: Vec<Server> = nodes.iter().map(Server::from).collect();
    check(&oracle, &cast, &servers, report).await
}

/// A real load balancer.
#[derive(Clone, Copy, Debug)]
enum Balancer {
    Haproxy,
    Nginx,
}

impl Balancer {
    fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// Starts it in the foreground, and waits until it passes requests on.
    async fn start(self, place: &Place, front: SocketAddr, nodes: &[Node]) -> Result<Child> {
        let file = place.path(&format!("{}.conf", self.name()));
        let text = match self {
            Self::Haproxy => haproxy(front, nodes),
            Self::Nginx => nginx(front, nodes),
        };
        std::fs::write(&file, text)?;
        let log = std::fs::File::create(place.path(&format!("{}.log", self.name())))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(self.name());
        command.env("PATH", format!("{path}:/usr/sbin")).current_dir(place.path(""));
        match self {
            Self::Haproxy => command.arg("-db").arg("-f").arg(&file),
            Self::Nginx => command.arg("-p").arg(place.path("")).arg("-c").arg(&file),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be run", self.name()))?;
        let request = Request::get("/jwt/.well-known/jwks.json", &[]);
        let began = Instant::now();
        loop {
            let answer = Connection::to(front, Duration::from_secs(5)).ask(&request).await.answer();
            if answer.is_some_and(|answer| answer.status == 200) {
                return Ok(child);
            }
            if child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(15) {
                let log = place.path(&format!("{}.log", self.name()));
                let words = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{} does not serve: {words}", self.name());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// As docs/operate/running.md says.
fn haproxy(front: SocketAddr, nodes: &[Node]) -> String {
    let servers: String = nodes
        .iter()
        .map(|Node { number, public, admin, .. }| {
            format!("    server node{number} {public} check addr 127.0.0.1 port {}\n", admin.port())
        })
        .collect();
    format!(
        "defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 30s
    retries 3
    option redispatch 1
    retry-on conn-failure
frontend front
    bind {front}
    default_backend jeton
backend jeton
    balance roundrobin
    option httpchk GET /health/ready
    default-server check inter 500ms fall 1 rise 1 pool-purge-delay 1s
{servers}"
    )
}

/// As docs/operate/running.md says. It logs into our own file and runs as whoever started it.
fn nginx(front: SocketAddr, nodes: &[Node]) -> String {
    let servers: String = nodes
        .iter()
        .map(|node| format!("    server {} max_fails=1 fail_timeout=1s;\n", node.public))
        .collect();
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path nginx-body;
  proxy_temp_path nginx-proxy;
  fastcgi_temp_path nginx-fastcgi;
  uwsgi_temp_path nginx-uwsgi;
  scgi_temp_path nginx-scgi;
  keepalive_requests 1000000;
  upstream jeton {{
{servers}    keepalive 32;
    keepalive_timeout 2s;
  }}
  server {{
    listen {front};
    location / {{
      proxy_pass http://jeton;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
    }}
  }}
}}
"
    )
}
