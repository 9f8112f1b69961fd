//! Looks at the listeners: whether a server runs here and is ready, or else whether one could listen.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;
use tokio::net::TcpSocket;
use url::Url;

use super::finding::Finding;
use crate::cli::dialect::wire::{self, Expect};
use crate::config::Config;

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// Nobody: it can be listened on.
    Free,
    /// Somebody listens.
    Taken,
    /// It cannot be listened on, for another reason.
    Refused(String),
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Ready,
    NotReady(String),
    /// No jeton answers there.
    Absent,
}

/// Both listeners, and the server behind them.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let (public, admin) = (config.server.listen, config.admin.listen);
    if public.port() == 0 || admin.port() == 0 {
        let what = "any free port is taken: where a server listens, its log says";
        return vec![Finding::note("listeners", "[server] listen, [admin] listen", what)];
    }
    let at_admin = found(admin);
    let server = if at_admin == Found::Taken { ask(admin) } else { Server::Absent };
    judged((public, &found(public)), (admin, &at_admin), &server)
}

fn judged(
    (public, at_public): (SocketAddr, &Found),
    (admin, at_admin): (SocketAddr, &Found),
    server: &Server,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match server {
        Server::Ready => findings.push(Finding::ok("server", admin, "a server runs and is ready")),
        Server::NotReady(reason) => findings.push(
            Finding::problem("server", admin, format!("a server runs and is not ready: {reason}"))
                .remedy("its log; what is said of the database here"),
        ),
        Server::Absent => {
            findings.push(Finding::note(
                "server",
                admin,
                "no server runs here with this configuration",
            ));
            findings.extend(unusable("listeners.admin", admin, at_admin));
            findings.extend(unusable("listeners.public", public, at_public));
            if findings.len() == 1 {
                let what = format!("can be listened on, and {admin} too");
                findings.push(Finding::ok("listeners", public, what));
            }
            return findings;
        }
    }
    findings.push(match at_public {
        Found::Taken => Finding::ok("listeners.public", public, "is listened on"),
        Found::Free | Found::Refused(_) => {
            Finding::problem("listeners.public", public, "is not listened on, though a server runs")
                .remedy("it may be stopping, or run with another configuration: restart it")
        }
    });
    findings
}

/// Why a server could not listen there.
fn unusable(check: &'static str, address: SocketAddr, found: &Found) -> Option<Finding> {
    let (what, remedy) = match found {
        Found::Free => return None,
        Found::Taken => (
            "another program listens there".to_owned(),
            format!(
                "another port; `ss -ltnp 'sport = {}'` tells which program it is",
                address.port()
            ),
        ),
        Found::Refused(reason) => (
            format!("cannot be listened on: {reason}"),
            "an address of this machine; a port below 1024 needs CAP_NET_BIND_SERVICE".to_owned(),
        ),
    };
    Some(Finding::problem(check, address, what).remedy(remedy))
}

/// Takes the address for a moment, without listening on it.
fn found(address: SocketAddr) -> Found {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    // As the server does it, so that the remains of old connections are no obstacle.
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    });
    match bound {
        Ok(()) => Found::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => Found::Taken,
        Err(error) => Found::Refused(error.to_string()),
    }
}

/// Asks whoever listens there whether it is a jeton, and ready.
fn ask(admin: SocketAddr) -> Server {
    let host = match admin.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    let address = SocketAddr::new(host, admin.port());
    let Ok(url) = Url::parse(&format!("http://{address}/health/ready")) else {
        return Server::Absent;
    };
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    match wire::send(&url, None, request.as_bytes(), Expect::Body) {
        Ok(answer) => read(&answer.body),
        Err(_) => Server::Absent,
    }
}

fn read(body: &[u8]) -> Server {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Server::Absent };
    match (body.get("status").and_then(Value::as_str), body.get("reason").and_then(Value::as_str)) {
        (Some("ready"), _) => Server::Ready,
        (Some("not_ready"), reason) => {
            Server::NotReady(reason.unwrap_or("it says no more").to_owned())
        }
        _ => Server::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn levels(public: &Found, admin: &Found, server: &Server) -> Vec<(&'static str, Level)> {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let findings = judged((address(8080), public), (address(8081), admin), server);
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn without_a_server_both_addresses_must_be_free() {
        let absent = ("server", Level::Note);
        let refused = Found::Refused("permission denied".to_owned());
        for (public, admin, then) in [
            (&Found::Free, &Found::Free, ("listeners", Level::Ok)),
            (&Found::Taken, &Found::Free, ("listeners.public", Level::Problem)),
            (&Found::Free, &Found::Taken, ("listeners.admin", Level::Problem)),
            (&refused, &Found::Free, ("listeners.public", Level::Problem)),
        ] {
            assert_eq!(levels(public, admin, &Server::Absent), [absent, then]);
        }
    }

    #[test]
    fn a_server_is_to_be_ready_and_to_listen_on_both() {
        let listening = ("listeners.public", Level::Ok);
        let ready = levels(&Found::Taken, &Found::Taken, &Server::Ready);
        assert_eq!(ready, [("server", Level::Ok), listening]);
        let not_ready = Server::NotReady("the store does not answer".to_owned());
        let not_ready = levels(&Found::Taken, &Found::Taken, &not_ready);
        assert_eq!(not_ready, [("server", Level::Problem), listening]);
        let deaf = levels(&Found::Free, &Found::Taken, &Server::Ready);
        assert_eq!(deaf, [("server", Level::Ok), ("listeners.public", Level::Problem)]);
    }

    #[test]
    fn another_program_is_no_server_of_ours() {
        assert_eq!(read(b"{\"status\":\"ready\"}"), Server::Ready);
        let not_ready = Server::NotReady("stopping".to_owned());
        assert_eq!(read(b"{\"status\":\"not_ready\",\"reason\":\"stopping\"}"), not_ready);
        for body in [&b"<html>"[..], b"{}", b"{\"status\":\"UP\"}", b""] {
            assert_eq!(read(body), Server::Absent);
        }
    }
}
