//! What the process says of itself: log lines on standard error, text for people, JSON for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Begins to log. Later calls in the same process change nothing.
pub fn start(log: &Log) {
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter(log)).with_writer(std::io::stderr);
    // A second subscriber in one process (in tests) is refused, which is just what we want.
    let _ = if text {
        lines.with_target(false).with_ansi(colours()).try_init()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    log_panics();
}

/// `RUST_LOG` wins, as everywhere else; what it says wrong is passed over.
fn filter(log: &Log) -> EnvFilter {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    wanted
        .and_then(|wanted| EnvFilter::try_new(wanted).ok())
        .unwrap_or_else(|| EnvFilter::new(&log.filter))
}

fn colours() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Says where a panic was. Its message may hold what a caller sent, so it stays untold.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            location,
            thread = thread.name(),
            "the server panicked; a request at hand is answered with a fault"
        );
    }));
}
