//! `jeton serve`: the server, until a signal says stop.

use std::path::Path;
use std::pin::Pin;

use super::failure::Failure;
use crate::serve::StartError;
use crate::telemetry;

/// Runs it, on a runtime of its own.
pub(super) fn run(explicit: Option<&Path>) -> Result<(), Failure> {
    let config = super::open::load_config(explicit)?;
    telemetry::start(&config.log);
    crate::open_files::lift(&config.server);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    // Behind a pointer: otherwise it would be in the program once for every kind of runtime.
    let serving: Pin<Box<dyn Future<Output = _>>> = Box::pin(crate::serve::run(config));
    let served = runtime.block_on(serving);
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
