//! A network of its own for each server, and one wire from there to the database: a relay on our side of
//! it. What passes the wire can be dropped in silence, in both directions or one, or slowed down.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::namespace::{Denied, Kind, Namespace};
use crate::node::Node;

/// Where the database seems to be, for every server.
const DATABASE_PORT: u16 = 5432;
/// Where servers listen, public and admin.
const PORTS: (u16, u16) = (8080, 8081);

/// What happens to what passes between a server and the database. Callers reach the server all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// It passes.
    Well,
    /// It is dropped in silence.
    Cut,
    /// What the server says is dropped.
    Mute,
    /// What the database says is dropped.
    Deaf,
    /// It passes, at a few kilobytes a second.
    Slow,
}

/// A server's network.
#[derive(Debug)]
pub(crate) struct Network {
    number: u8,
    namespace: Namespace,
    relay: JoinHandle<()>,
}

impl Network {
    /// Joins a new network to ours by a wire, with the database of this port behind it.
    pub(crate) async fn new(number: u8, database: SocketAddr) -> Result<Self, Denied> {
        Self::join(number, database).await.map_err(|error| Denied(format!("{error:#}")))
    }

    async fn join(number: u8, database: SocketAddr) -> Result<Self> {
        let rules = "ip link set lo up
            nft add table ip drill
            nft add chain ip drill in '{ type filter hook input priority 0; }'
            nft add chain ip drill out '{ type filter hook output priority 0; }'";
        let namespace = Namespace::new(Kind::Network, rules, &[])
            .map_err(|Denied(why)| anyhow::anyhow!(why))?;
        let (here, there) = (here(number), there(number));
        let wire = format!("drill{number}");
        let (id, own, other) =
            (namespace.id().to_string(), format!("{here}/30"), format!("{there}/30"));
        ip(&["link", "add", &wire, "type", "veth", "peer", "name", "wire", "netns", &id])?;
        ip(&["addr", "add", &own, "dev", &wire])?;
        ip(&["link", "set", &wire, "up"])?;
        namespace.run(&["ip", "addr", "add", &other, "dev", "wire"])?;
        namespace.run(&["ip", "link", "set", "wire", "up"])?;
        let listener = TcpListener::bind((here, DATABASE_PORT)).await.context("the relay")?;
        Ok(Self { number, namespace, relay: tokio::spawn(relay(listener, database)) })
    }

    /// Where the database is for a server in this network.
    pub(crate) fn database(&self) -> String {
        format!("{}:{DATABASE_PORT}", here(self.number))
    }

    /// Puts a server, which does not run yet, into this network.
    pub(crate) fn hold(&self, node: &mut Node, folder: &Path) {
        let address = |port| SocketAddr::from((there(self.number), port));
        node.enter(self.namespace.words(folder), address(PORTS.0), address(PORTS.1));
    }

    /// From now on this happens to what passes.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn wire(&self, how: Wire) -> Result<()> {
        let (mute, deaf) = match how {
            Wire::Well | Wire::Slow => (false, false),
            Wire::Cut => (true, true),
            Wire::Mute => (true, false),
            Wire::Deaf => (false, true),
        };
        // One call, so that both directions change in the same moment.
        let mut rules = "flush table ip drill\n".to_owned();
        if mute {
            rules.push_str(&format!("add rule ip drill out tcp dport {DATABASE_PORT} drop\n"));
        }
        if deaf {
            rules.push_str(&format!("add rule ip drill in tcp sport {DATABASE_PORT} drop\n"));
        }
        self.namespace.run(&["sh", "-c", &format!("nft -f - <<'RULES'\n{rules}RULES")])?;
        let slow = "tc qdisc replace dev wire root tbf rate 256kbit burst 4kb latency 2s";
        let usual = "tc qdisc del dev wire root 2>/dev/null || true";
        self.namespace.run(&["sh", "-c", if how == Wire::Slow { slow } else { usual }])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.relay.abort();
        // The other end goes with it.
        let _ = ip(&["link", "del", &format!("drill{}", self.number)]);
    }
}

fn here(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 231, number, 1)
}

fn there(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 231, number, 2)
}

fn ip(words: &[&str]) -> Result<()> {
    let output = std::process::Command::new("ip").args(words).output().context("there is no ip")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "ip {words:?}: {}", errors.trim());
    Ok(())
}

/// Passes everything on, for every connection that comes.
async fn relay(listener: TcpListener, database: SocketAddr) {
    while let Ok((mut server, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut database) = TcpStream::connect(database).await {
                let _ = (server.set_nodelay(true), database.set_nodelay(true));
                let _ = copy_bidirectional(&mut server, &mut database).await;
            }
        });
    }
}
