//! Every metric: its name, its kind, its labels and what it means. Nothing is told that is not in here, and
//! `docs/operate/observing.md` tells of all of it.

use prometheus_client::metrics::MetricType;

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// As it is declared in OpenMetrics: counters without `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// In the order in which they are written.
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It grows until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It tells how values are spread.
    Histogram,
}

impl Kind {
    pub(super) fn metric_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

macro_rules! metrics {
    ($($constant:ident, $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// All of them, in the order in which they are written.
        pub(super) const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    BUILD, Gauge, "jeton_build_info", ["version", "storage"], "1; which version of jeton runs, on which kind of store";

    REQUESTS, Counter, "jeton_requests", ["realm", "endpoint", "dialect", "outcome"], "Requests by what came of them";
    DURATIONS, Histogram, "jeton_request_duration_seconds", ["realm", "endpoint", "dialect", "outcome"], "Time from the head of a request until its answer was ready";
    IN_FLIGHT, Gauge, "jeton_requests_in_flight", [], "Requests that are being decided";
    IN_FLIGHT_MAX, Gauge, "jeton_requests_in_flight_max", [], "Requests that may be decided at one time (server.requests_in_flight_max)";

    ISSUED, Counter, "jeton_tokens_issued", ["realm", "format", "algorithm"], "Tokens issued at token endpoints";
    REFUSALS, Counter, "jeton_refusals", ["realm", "reason"], "Requests that were refused, by the reason that the log and `jeton explain` give";
    FAULTS, Counter, "jeton_faults", ["realm", "kind"], "Requests in which jeton broke";
    AUTHENTICATIONS, Counter, "jeton_client_authentications", ["realm", "method"], "Clients that proved who they are, by how";
    SECRET_USES, Counter, "jeton_secret_uses", ["realm"], "Times that a secret was right and might be used";
    ALSO_FOR, Counter, "jeton_assertions_for_other_audience", ["realm"], "Client assertions accepted though made for a token endpoint instead of the issuer (assertions.also_for)";
    LIMITED, Counter, "jeton_requests_limited", ["realm", "limit"], "Requests that were one too many, by whose limit was used up";
    GUESS_WAITS, Counter, "jeton_guess_waits", [], "Attempts to authenticate that had to wait for their turn after wrong guesses";
    GUESSES_WAITING, Gauge, "jeton_guesses_waiting", [], "Attempts to authenticate that wait for their turn";
    HASHES, Counter, "jeton_slow_hashes", [], "Runs of Argon2id";
    HASHES_RUNNING, Gauge, "jeton_slow_hashes_running", [], "Runs of Argon2id going on";
    HASHES_WAITING, Gauge, "jeton_slow_hashes_waiting", [], "Requests that wait for a run of Argon2id";

    CACHE_HITS, Counter, "jeton_cache_hits", ["cache", "realm"], "Times that something was in memory";
    CACHE_MISSES, Counter, "jeton_cache_misses", ["cache", "realm"], "Times that something was not in memory";
    CACHE_ENTRIES, Gauge, "jeton_cache_entries", ["cache", "realm"], "What is in memory";
    FETCHES, Counter, "jeton_key_set_fetches", ["outcome"], "Key sets of clients and trusted issuers fetched over the network";

    CLIENTS, Gauge, "jeton_clients", ["realm", "status"], "Clients; `locked` ones are counted with enabled and disabled ones too";
    SECRETS_ENDING, Gauge, "jeton_secrets_expiring", ["realm", "within"], "Secrets of enabled clients that expire within a time, or have expired";
    CLIENTS_ENDING, Gauge, "jeton_clients_without_secret_soon", ["realm", "within"], "Enabled clients whose last secret expires within a time, or has expired";
    REVOKED, Gauge, "jeton_tokens_revoked", ["realm"], "Revoked tokens in memory that have not expired";

    KEYS, Gauge, "jeton_keys", ["realm", "algorithm", "status"], "Signing keys";
    KEY_SINCE, Gauge, "jeton_key_active_since_timestamp_seconds", ["realm", "algorithm"], "When the active key began to sign";
    KEY_DUE, Gauge, "jeton_key_rotation_due_timestamp_seconds", ["realm", "algorithm"], "When the successor of the active key takes over; absent where jeton does not rotate";

    BEHIND, Gauge, "jeton_memory_behind_seconds", [], "Time since memory last followed all changes in the store";
    WRITABLE, Gauge, "jeton_store_writable", [], "1 when the last transaction was committed, 0 when it failed";
    QUEUED, Gauge, "jeton_store_queue_length", ["queue"], "Writes that wait for the store";
    QUEUE_MAX, Gauge, "jeton_store_queue_length_max", ["queue"], "Writes that may wait (storage.queue_max); one more is answered with 503";
    TURNED_AWAY, Counter, "jeton_store_writes_turned_away", [], "Writes that found the queue full";
    WRITES, Histogram, "jeton_store_commit_writes", [], "Writes that shared a commit";
    COMMITS, Histogram, "jeton_store_commit_duration_seconds", [], "Time from the beginning of a transaction until it was durable";
    COMMIT_FAILURES, Counter, "jeton_store_commit_failures", [], "Transactions that failed; nothing in them was acknowledged";
    POOL_OPEN, Gauge, "jeton_store_connections", ["pool", "state"], "Connections to PostgreSQL";
    POOL_MAX, Gauge, "jeton_store_connections_max", ["pool"], "Connections to PostgreSQL that may be open";
    POOL_WAITING, Gauge, "jeton_store_connections_waiting", ["pool"], "Who waits for a connection to PostgreSQL";

    RECORDED, Gauge, "jeton_recorder_queue_length", ["queue"], "Events and last uses of secrets on their way to log and store";
    RECORDED_MAX, Gauge, "jeton_recorder_queue_length_max", ["queue"], "How many of them may wait";
    RECORDED_LOST, Counter, "jeton_recorder_dropped", ["queue"], "Events and last uses of secrets that were lost because their queue was full";

    CONNECTIONS, Counter, "jeton_connections_accepted", ["listener"], "Connections accepted";
    CONNECTIONS_OPEN, Gauge, "jeton_connections_open", ["listener"], "Connections open";
    CONNECTIONS_MAX, Gauge, "jeton_connections_max", ["listener"], "Connections that may be open; further ones wait";
    HANDSHAKES, Counter, "jeton_tls_handshakes", ["outcome"], "TLS handshakes by what came of them";
    CERTIFICATE, Gauge, "jeton_tls_certificate_expiry_timestamp_seconds", [], "When the first certificate of the chain in force expires; absent without TLS";
    CRL, Gauge, "jeton_tls_crl_next_update_timestamp_seconds", [], "When the first of the revocation lists in force is to be replaced; absent without any";

    CPU, Counter, "process_cpu_seconds", [], "CPU time of the process, user and system";
    MEMORY, Gauge, "process_resident_memory_bytes", [], "Resident memory of the process";
    MEMORY_VIRTUAL, Gauge, "process_virtual_memory_bytes", [], "Virtual memory of the process";
    FILES, Gauge, "process_open_fds", [], "Open file descriptors";
    FILES_MAX, Gauge, "process_max_fds", [], "File descriptors that may be open";
    THREADS, Gauge, "process_threads", [], "Threads of the process";
    STARTED, Gauge, "process_start_time_seconds", [], "When the process was started";
}
