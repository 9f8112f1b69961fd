//! Proves that nothing is fetched that should not be, nor more often, nor more of it than it may cost.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jeton_engine::clock::{Clock, Time};
use jeton_engine::jose::JwkSet;
use jeton_engine::key_source::KeyLocation;

use super::resolver::Resolver;
use super::*;
use crate::tls::rehearsal::{Authority, Out, Server, answer};

mod freshness;
mod guarded;
mod issuers;

/// The key of RFC 8037 appendix A.2.
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn set(key_id: &str) -> String {
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{key_id}","x":"{X}"}}]}}"#)
}

fn key_ids(keys: &JwkSet) -> Vec<&str> {
    keys.keys().iter().filter_map(|key| key.key_id()).collect()
}

/// Loopback's first address stands for what may be reached, its second for what may not.
const ALLOWED: &str = "127.0.0.1";
const FORBIDDEN: &str = "127.0.0.2";

fn bounds() -> Bounds {
    Bounds {
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        ca_file: None,
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(10),
        body_bytes_max: 64 * 1024,
        requests_max: 4,
        again_after: Duration::from_secs(30),
        fresh_min: Duration::from_secs(300),
        fresh_max: Duration::from_secs(3600),
        stale_max: Duration::from_secs(7200),
        key_sets_max: 10,
    }
}

/// Key sets on a clock that stands still, trusting one authority.
struct Stage {
    authority: Authority,
    clock: Clock,
    keys: KeySets,
    /// What hosts are at, and how often that was asked.
    lookups: Arc<AtomicUsize>,
}

const START: Time = Time::from_seconds(1_750_000_000);

impl Stage {
    fn new() -> Self {
        Self::with(bounds(), |_| vec![ALLOWED])
    }

    /// Each lookup, counted from zero, gives these addresses.
    fn with(
        bounds: Bounds,
        addresses: impl Fn(usize) -> Vec<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let (authority, clock) = (Authority::new("the authority"), Clock::fixed(START));
        let lookups: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&lookups);
        let tell = move |_: &str| -> Vec<IpAddr> {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            addresses(nth).into_iter().map(|address| address.parse().unwrap()).collect()
        };
        let keys = KeySets::new(bounds, Resolver::Told(Arc::new(tell)), clock.clone()).unwrap();
        keys.trust(authority.roots());
        Self { authority, clock, keys, lookups }
    }

    /// A server that is what `keys.example.com` and the allowed address are called.
    fn server(&self, answer: impl Fn(&str, Out<'_>) + Send + Sync + 'static) -> Server {
        let names = ["keys.example.com", ALLOWED, FORBIDDEN];
        Server::start(self.authority.server(&names).config(None), answer)
    }

    /// Where nobody may go, at the same port.
    fn canary(&self, beside: &Server) -> Server {
        let config = self.authority.server(&["keys.example.com", FORBIDDEN]).config(None);
        let address = SocketAddr::new(FORBIDDEN.parse().unwrap(), beside.address.port());
        Server::start_at(address, config, |_, out| send(out, &answer("200 OK", "", &set("canary"))))
    }

    async fn get(&self, place: &KeyLocation) -> Result<Arc<JwkSet>, FetchError> {
        self.keys.keys(place, None).await
    }

    fn later(&self, seconds: u64) {
        self.clock.set(self.clock.now().plus(Duration::from_secs(seconds)));
    }
}

fn send(out: Out<'_>, bytes: &[u8]) {
    // Whoever is refused hangs up before the end.
    let _ = out.write_all(bytes);
}

/// The set at a server, by name.
fn named(server: &Server) -> KeyLocation {
    at("keys.example.com", server)
}

fn at(host: &str, server: &Server) -> KeyLocation {
    place(&format!("https://{host}:{}/jwks.json", server.address.port()))
}

fn place(url: &str) -> KeyLocation {
    KeyLocation::Uri(url.into())
}

/// A server's keys, to be exchanged under way; `None`: it is out of order.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<Option<(String, String)>>>);

impl Published {
    fn new(key_id: &str) -> Self {
        let published = Self::default();
        published.say(key_id, "");
        published
    }

    /// From now on a key of this identifier, with these header lines.
    fn say(&self, key_id: &str, headers: &str) {
        *self.0.lock().unwrap() = Some((set(key_id), headers.to_owned()));
    }

    fn fall_silent(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn answer(&self) -> impl Fn(&str, Out<'_>) + Send + Sync + 'static {
        let published = self.clone();
        move |_, out| {
            let said = published.0.lock().unwrap().clone();
            send(
                out,
                &match said {
                    Some((body, headers)) => answer("200 OK", &headers, &body),
                    None => answer("503 Service Unavailable", "", ""),
                },
            );
        }
    }
}
