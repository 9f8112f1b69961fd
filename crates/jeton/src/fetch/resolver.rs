//! Where the addresses of a host come from.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Tells the addresses of a host.
pub type Tell = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// Looks up hosts.
#[derive(Clone)]
pub enum Resolver {
    /// As the system does: its hosts file, its name servers.
    System,
    /// As told; for tests.
    Told(Arc<Tell>),
}

impl Resolver {
    /// Every address of a host, in the order of preference.
    ///
    /// # Errors
    /// What the system says when there is none.
    pub async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::System => {
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            }
            Self::Told(tell) => Ok(tell(host)),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "System",
            Self::Told(_) => "Told",
        })
    }
}
