//! `jeton serve`: the server, until a signal says stop.

use std::path::Path;

use super::failure::Failure;
use crate::serve::StartError;
use crate::telemetry;

/// Runs it, on a runtime of its own.
pub(super) fn run(explicit: Option<&Path>) -> Result<(), Failure> {
    let config = super::open::load_config(explicit)?;
    telemetry::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    let served = runtime.block_on(crate::serve::run(config));
    // What was to be finished is finished; whoever signalled twice does not wait for the rest.
    runtime.shutdown_background();
    served.map_err(|error| {
        let failure = Failure::failed(error.to_string());
        match error {
            StartError::Listen { .. } => failure.next(
                "another address: [server] listen, [admin] listen; or stop what listens there",
            ),
            _ => failure,
        }
    })
}
