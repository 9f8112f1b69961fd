//! The drills there are: one row each, and one file each beside this one.

mod away;
mod bad_reload;
mod clock_jump;
mod corrupt_page;
mod crowd;
mod cut;
mod disk;
mod key_rotation;
mod kill;
mod kill_nodes;
mod overload;
mod revocation;
mod rolling_restart;
mod slow;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Result;

use crate::report::Report;

/// One drill.
pub(crate) struct Drill {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What `scripts/drill` has to start or install for it: `postgres`, `haproxy`, `nginx` …
    pub(crate) needs: &'static [&'static str],
    /// Runs it.
    pub(crate) run: fn(Terms) -> Run,
}

/// A drill that runs.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result<Report>> + Send>>;

/// How a drill is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// For how long.
    pub(crate) length: Length,
    /// What its choices come from.
    pub(crate) seed: u64,
}

/// For how long a drill is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Some seconds, with a binary of any kind.
    Short,
    /// Some minutes.
    Long,
}

impl Terms {
    /// One of two, by the length.
    pub(crate) fn pick<T>(self, short: T, long: T) -> T {
        match self.length {
            Length::Short => short,
            Length::Long => long,
        }
    }

    /// A number of seconds, by the length.
    pub(crate) fn seconds(self, short: u64, long: u64) -> Duration {
        Duration::from_secs(self.pick(short, long))
    }
}

/// Every drill, in the order in which `all` runs them.
pub(crate) const DRILLS: &[Drill] = &[
    Drill {
        name: "kill-sqlite",
        about: "kill -9 of a server on SQLite under load, at random moments",
        needs: &[],
        run: |terms| Box::pin(kill::sqlite(terms)),
    },
    Drill {
        name: "kill-postgres",
        about: "kill -9 of a server on PostgreSQL under load, at random moments",
        needs: &["postgres"],
        run: |terms| Box::pin(kill::postgres(terms)),
    },
    Drill {
        name: "kill-nodes",
        about: "kill -9 of any of three servers under load, and of their PostgreSQL",
        needs: &["postgres"],
        run: |terms| Box::pin(kill_nodes::kill_nodes(terms)),
    },
    Drill {
        name: "revocation",
        about: "how long until every server obeys what was taken back, also one that was frozen",
        needs: &["postgres"],
        run: |terms| Box::pin(revocation::revocation(terms)),
    },
    Drill {
        name: "rolling-restart",
        about: "every server behind HAProxy and behind nginx is restarted under load",
        needs: &["postgres", "haproxy", "nginx"],
        run: |terms| Box::pin(rolling_restart::rolling_restart(terms)),
    },
    Drill {
        name: "bad-reload",
        about: "configurations of every bad kind are read again under load, then a good one",
        needs: &[],
        run: |terms| Box::pin(bad_reload::bad_reload(terms)),
    },
    Drill {
        name: "key-rotation",
        about: "keys are rotated under load while verifiers keep their JWK sets as long as they may",
        needs: &["postgres"],
        run: |terms| Box::pin(key_rotation::key_rotation(terms)),
    },
    Drill {
        name: "clock-jump",
        about: "the clock on the wall jumps ahead beyond every life, and back",
        needs: &[],
        run: |terms| Box::pin(clock_jump::clock_jump(terms)),
    },
    Drill {
        name: "failed-fsync",
        about: "flushes of the disk fail under load, kill -9, and the loss of power",
        needs: &[],
        run: |terms| Box::pin(disk::failed_flush(terms)),
    },
    Drill {
        name: "read-only",
        about: "the database's file system can only be read for a while",
        needs: &[],
        run: |terms| Box::pin(disk::read_only(terms)),
    },
    Drill {
        name: "disk-full",
        about: "the database's file system is full for a while",
        needs: &["unshare", "nsenter"],
        run: |terms| Box::pin(disk::full(terms)),
    },
    Drill {
        name: "corrupt-page",
        about: "pages of the database go bad, at rest and under a running server",
        needs: &[],
        run: |terms| Box::pin(corrupt_page::corrupt_page(terms)),
    },
    Drill {
        name: "idle-connections",
        about: "as many idle connections as there are places, and one more",
        needs: &[],
        run: |terms| Box::pin(crowd::idle(terms)),
    },
    Drill {
        name: "connection-flood",
        about: "connections that come and go, from invented sources, and more than files can be open",
        needs: &["prlimit"],
        run: |terms| Box::pin(crowd::flood(terms)),
    },
    Drill {
        name: "slow-senders",
        about: "heads, bodies, answers and TLS handshakes that take for ever",
        needs: &[],
        run: |terms| Box::pin(slow::senders(terms)),
    },
    Drill {
        name: "overload",
        about: "more stored tokens are asked for than a slow disk takes",
        needs: &[],
        run: |terms| Box::pin(overload::stored(terms)),
    },
    Drill {
        name: "database-restart",
        about: "PostgreSQL is stopped, killed and started again, also behind a pooler",
        needs: &["postgres", "pgbouncer"],
        run: |terms| Box::pin(away::restart(terms)),
    },
    Drill {
        name: "failover",
        about: "the standby of a replicated pair takes over, and the old primary comes back",
        needs: &["postgres"],
        run: |terms| Box::pin(away::failover(terms)),
    },
    Drill {
        name: "network-cut",
        about: "the network to the database is cut in silence, for one server, for all, in one direction",
        needs: &["postgres", "network"],
        run: |terms| Box::pin(cut::network(terms)),
    },
];
