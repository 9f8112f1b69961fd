//! How many files a server may have open. Each connection is one; the usual soft limit of 1 024 is there for
//! programs that still call select(2), and whoever does not may lift it to the hard one by themselves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Server;

/// Files beside the connections: the database's, sockets, the admin listener's connections.
const OTHERS: u64 = 512;

/// How many a server needs that has all its connections.
pub(crate) fn needed(server: &Server) -> u64 {
    u64::try_from(server.connections_max).unwrap_or(u64::MAX).saturating_add(OTHERS)
}

/// How many this process may open once it has lifted its limit.
pub(crate) fn allowed() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Lifts the soft limit as far as the server needs it; what is not to be had is told to the log.
pub(crate) fn lift(server: &Server) {
    let needed = needed(server);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let lifted = Some(maximum.map_or(needed, |maximum| maximum.min(needed)));
    let limit = Rlimit { current: lifted, maximum };
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { lifted } else { current };
    if now != Some(needed) {
        tracing::warn!(
            open_files = now,
            connections_max = server.connections_max,
            remedy = "raise the hard limit (LimitNOFILE=65536 in the systemd unit) or lower server.connections_max",
            "fewer files may be open than connections and the database need: callers will wait before all places are taken"
        );
    }
}
