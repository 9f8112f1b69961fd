//! `jeton dev`: everything on this machine. A realm for each built-in dialect with the clients of its
//! exchanges, a curl line for each, and a server until somebody says stop.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use jeton_dialect::{Dialects, Folder};
use jeton_engine::clock::Clock;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::dialect::script::Script;
use super::failure::Failure;
use super::open::Opened;
use super::output::Output;
use crate::config::Config;
use crate::serve::{Listeners, Server, Sources};
use crate::telemetry;

mod curl;
mod provision;
mod tls;
mod welcome;

/// Everything on this machine.
#[derive(Args, Debug)]
#[command(
    after_help = "Listens on 127.0.0.1 only, with secrets that everybody knows: never for production.

Examples:
  jeton dev
  jeton dev --port 0 --json | head -1 | jq -r '.realms[].token_endpoint'
  jeton dev --tls                        https, with certificates of its own making
  jeton dev --dir ./dev                  keeps what happens; `--config ./dev/jeton.toml` manages it"
)]
pub(super) struct Dev {
    /// The port; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Keep everything in this folder, and go on from what is there; a folder that is removed at the end when left out
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Speak https, with an authority and certificates made for this machine; clients may show one of theirs
    #[arg(long)]
    tls: bool,
}

/// A realm of this server: a dialect, and who plays in its exchanges.
struct Stage<'a> {
    folder: &'a Folder,
    script: Script,
}

impl Stage<'_> {
    fn name(&self) -> &str {
        self.folder.dialect.name().as_str()
    }
}

/// Runs it, on a runtime of its own.
pub(super) fn run(dev: &Dev, output: Output) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::failed(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(serve(dev, output))
}

async fn serve(dev: &Dev, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let dialects = super::dialect::builtin()?;
    let stages = stages(&dialects)?;
    let listeners = listen(dev.port).await?;
    let (public, admin) = (address(&listeners.public)?, address(&listeners.admin)?);
    let home = Home::new(dev.dir.as_deref())?;
    let tls = match dev.tls {
        true => Some(tls::TlsFiles::prepare(&home.path, &Clock::System)?),
        false => None,
    };
    let place = welcome::Place { public, admin, home: &home, tls: tls.as_ref() };
    let config = configure(&stages, &place)?;
    telemetry::start(&config.log);
    let opened = Opened::new(config.clone()).await?;
    let provisioned = provision::realms(&stages, &opened).await;
    opened.close().await;
    let realms = provisioned?;
    let running = Server::start_on(listeners, config, Sources::default())
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    let said = welcome::say(&stages, &realms, &place, output);
    if said.is_ok() {
        stop.wait().await;
    }
    running.stop().await;
    said
}

/// Every built-in dialect with its exchanges.
fn stages(dialects: &Dialects) -> Result<Vec<Stage<'_>>, Failure> {
    let stage = |folder| {
        let script = Script::read(folder).map_err(|problems| {
            Failure::failed(format!("the built-in exchanges are broken:\n{problems}"))
        })?;
        Ok(Stage { folder, script })
    };
    dialects.iter().map(stage).collect()
}

/// Where configuration, database and master key are.
struct Home {
    path: PathBuf,
    /// Removes the folder when the server has ended.
    temporary: Option<TempDir>,
}

impl Home {
    fn new(kept: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = kept {
            fs::create_dir_all(path)
                .map_err(|error| Failure::file("making the folder", path, &error))?;
            return Ok(Self { path: path.to_owned(), temporary: None });
        }
        let made = tempfile::Builder::new().prefix("jeton-dev-").tempdir();
        let made =
            made.map_err(|error| Failure::file("making a folder", &std::env::temp_dir(), &error))?;
        Ok(Self { path: made.path().to_owned(), temporary: Some(made) })
    }

    fn config_file(&self) -> PathBuf {
        self.path.join("jeton.toml")
    }

    fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }
}

/// The line that tells our own configuration from somebody's.
const MARK: &str = "# Written by `jeton dev` at every start: changes are lost.";

/// Writes the configuration and reads it as every other command will. It only ever listens on this
/// machine, whatever the environment says.
fn configure(stages: &[Stage<'_>], place: &welcome::Place<'_>) -> Result<Config, Failure> {
    let welcome::Place { public, admin, home, tls } = *place;
    let mut text = format!(
        "{MARK}\n\n[server]\nlisten = \"{public}\"\n\n[admin]\nlisten = \"{admin}\"\n\n[storage]\nurl = \"sqlite:dev.db\"\n"
    );
    text.push_str(tls.map_or("", |_| tls::TlsFiles::section()));
    for stage in stages {
        let name = stage.name();
        text.push_str(&format!(
            "\n[realm.{name}]\nissuer = \"{}/{name}\"\ndialects = [\"{name}\"]\n",
            place.base()
        ));
    }
    let file = home.config_file();
    let ours = fs::read_to_string(&file).map(|before| before.starts_with(MARK)).unwrap_or(true);
    if !ours {
        return Err(Failure::failed(
            "there is a configuration of your own in this folder; nothing was written",
        )
        .at(file.display())
        .next("another folder: jeton dev --dir D"));
    }
    fs::write(&file, text).map_err(|error| Failure::file("writing", &file, &error))?;
    let config = super::open::load_config(Some(&file))?;
    if config.server.listen == public && config.admin.listen == admin {
        return Ok(config);
    }
    Err(Failure::usage("jeton dev listens on 127.0.0.1 only, on the port that --port says").next(
        "unset JETON__SERVER__LISTEN and JETON__ADMIN__LISTEN; for other machines: jeton serve",
    ))
}

/// Opens both sockets on the loopback address. Operators get the next port where it is free.
async fn listen(port: u16) -> Result<Listeners, Failure> {
    let bind = async |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let public = bind(port).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::failed(format!("port {port} is taken by another program"))
                .next("jeton dev --port 0 takes any port that is free")
        }
        _ => Failure::failed(format!("cannot listen on 127.0.0.1:{port}: {error}"))
            .next("jeton dev --port 0 takes any port that is free"),
    })?;
    let beside = port.checked_add(1).filter(|_| port != 0).unwrap_or(0);
    let admin = match bind(beside).await {
        Ok(admin) => admin,
        Err(_) => {
            bind(0).await.map_err(|error| Failure::failed(format!("cannot listen: {error}")))?
        }
    };
    Ok(Listeners { public, admin })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::failed(format!("the listener has no address: {error}")))
}

/// The signals that end it.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::failed(format!("signals cannot be listened for: {error}"))
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
