//! A way to a server that can be cut, and that can swallow everything, as networks do.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives.
    Open,
    /// Nothing arrives and nobody is told; connections stay as they are.
    Silent,
    /// Connections end, and new ones too.
    Cut,
}

/// Listens on loopback and passes on.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(pass_on(caller, server, seen.clone()));
            }
        });
        Self { address, way, task }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(caller: TcpStream, server: SocketAddr, mut way: watch::Receiver<Way>) {
    // An error means that the test is over.
    let Ok(open) = way.wait_for(|way| *way != Way::Silent).await.map(|way| *way == Way::Open)
    else {
        return;
    };
    if !open {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_caller, to_caller) = caller.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_caller, to_server, way.clone()) => {}
        () = pump(from_server, to_caller, way) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = tokio::select! {
            biased;
            changed = way.changed() => match changed {
                Ok(()) if *way.borrow() == Way::Cut => return,
                Ok(()) => continue,
                Err(_) => return,
            },
            count = from.read(&mut buffer), if *way.borrow() == Way::Open => count.unwrap_or(0),
        };
        // What was read when the way fell silent arrives when it is open again.
        let still = way.wait_for(|way| *way != Way::Silent).await.map(|way| *way == Way::Open);
        if count == 0 || !matches!(still, Ok(true)) || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
