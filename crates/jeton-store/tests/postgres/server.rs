//! A place of its own for a test, on the server that `JETON_TEST_POSTGRES` names.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use jeton_store::PostgresAddress;
use tokio_postgres::{Client, NoTls};

/// A schema or a database that goes with this.
pub(crate) struct Place {
    name: String,
    url: String,
    drop: String,
}

impl Place {
    /// A schema: made in no time, and as good as a database for all but a pooler.
    pub(crate) async fn schema() -> Self {
        let name = fresh_name();
        connect(&server()).await.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
        let drop = format!("DROP SCHEMA {name} CASCADE");
        let url = format!("{}?options=-csearch_path%3D{name}", server());
        Self { name, url, drop }
    }

    /// A database, for what belongs to one as a whole.
    pub(crate) async fn database() -> Self {
        let name = fresh_name();
        connect(&server()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let server = server();
        let (before, _) = server.rsplit_once('/').unwrap();
        let url = format!("{before}/{name}?application_name=jeton");
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        Self { name, url, drop }
    }

    /// A database, to be reached through the pooler.
    pub(crate) async fn pooled_database() -> Self {
        let name = fresh_name();
        connect(&server()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let pooler =
            named("JETON_TEST_POSTGRES_POOLER").replace("/postgres?", &format!("/{name}?"));
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        Self { name, url: pooler, drop }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> PostgresAddress {
        PostgresAddress::parse(&self.url, Path::new(".")).unwrap()
    }

    /// Where it is, with a few words more.
    pub(crate) fn address_with(&self, parameters: &str) -> PostgresAddress {
        let url = format!("{}&{parameters}", self.url);
        PostgresAddress::parse(&url, Path::new(".")).unwrap()
    }

    /// Where it is, to be reached with these settings of a session.
    pub(crate) fn address_set(&self, settings: &str, parameters: &str) -> PostgresAddress {
        let name = &self.name;
        let options = format!("options=-csearch_path%3D{name}%20{settings}");
        let url = format!("{}?{options}&{parameters}", server());
        PostgresAddress::parse(&url, Path::new(".")).unwrap()
    }

    /// The same place as seen through another door, `HOST:PORT`.
    pub(crate) fn url_at(&self, door: &str) -> String {
        let (before, after) = self.url.split_once('@').unwrap();
        let (_, after) = after.split_once('/').unwrap();
        format!("{before}@{door}/{after}")
    }

    /// The address at which the server itself listens.
    pub(crate) async fn server_address(&self) -> SocketAddr {
        let (_, after) = self.url.split_once('@').unwrap();
        let (door, _) = after.split_once('/').unwrap();
        tokio::net::lookup_host(door).await.unwrap().next().unwrap()
    }

    /// A connection that knows nothing of jeton.
    pub(crate) async fn connect(&self) -> Client {
        connect(&self.url).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let sql = std::mem::take(&mut self.drop);
        // The test's own runtime cannot be waited for here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async { connect(&server()).await.batch_execute(&sql).await })
        });
        // What a failed test leaves behind goes with the server.
        let _ = dropping.join();
    }
}

fn fresh_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("jeton_test_{}_{number}", std::process::id())
}

fn server() -> String {
    named("JETON_TEST_POSTGRES")
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set"))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
