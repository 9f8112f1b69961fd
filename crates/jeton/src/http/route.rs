//! Which realm and which mount a request belongs to. Paths are compared byte by byte: nothing is decoded,
//! merged or resolved, so no spelling reaches an endpoint but its own.

use std::collections::HashMap;
use std::sync::Arc;

use jeton_engine::engine::{Engine, RealmState};
use jeton_engine::error::Fault;
use jeton_engine::name::RealmName;
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::terms::Terms;

use super::endpoint::{Endpoint, inserted_prefix};
use super::traffic::{Meter, Meters};
use crate::config::{Mount, RealmConfig};

/// Every realm by the way it is reached. Never changes; a reload makes a new one.
pub(crate) struct Routes {
    /// Nobody outside chooses the keys, so the hash need not resist anybody.
    by_prefix: HashMap<String, Group, foldhash::fast::RandomState>,
    prefix_bytes_max: usize,
}

/// The realms with one prefix.
enum Group {
    /// Answers whatever the `Host` header says.
    Only(Arc<Site>),
    /// Told apart by host.
    ByHost(HashMap<String, Arc<Site>>),
}

/// A realm with its mounts.
pub(crate) struct Site {
    pub(crate) realm: Arc<RealmState>,
    prefix: String,
    /// At least one.
    pub(crate) mounts: Vec<Mount>,
    /// The terms of the endpoints that are no mounts.
    pub(crate) terms: Terms,
    /// The ways in which clients can authenticate by certificate; none where none reaches us.
    pub(crate) by_certificate: &'static [AuthenticationMethod],
    /// Where its requests are counted.
    pub(crate) meters: Meters,
}

/// Where a request belongs.
pub(crate) struct Found {
    pub(crate) site: Arc<Site>,
    mount: usize,
    pub(crate) path: Path,
}

/// Whether the path is one of the realm's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// A mount has it.
    Known,
    /// One of the endpoints has it that every realm has.
    Endpoint(Endpoint),
    /// No mount has it; the nearest one's dialect says so.
    Unknown,
}

impl Found {
    /// The mount whose dialect answers.
    pub(crate) fn mount(&self) -> Result<&Mount, Fault> {
        self.site
            .mounts
            .get(self.mount)
            .ok_or(Fault::Impossible("a realm without mounts was routed to"))
    }

    /// Where the request is counted.
    pub(crate) fn meter(&self) -> &Meter {
        let meters = &self.site.meters;
        match self.path {
            Path::Known => meters.mount(self.mount),
            Path::Endpoint(endpoint) => meters.endpoint(endpoint),
            Path::Unknown => meters.unknown(),
        }
    }
}

impl Routes {
    /// The routes of these realms, which the engine must know already. They count on from where those
    /// `before` them are.
    pub(crate) fn new(
        realms: &[RealmConfig],
        engine: &Engine,
        by_certificate: &'static [AuthenticationMethod],
        before: Option<&Self>,
    ) -> Result<Self, Fault> {
        let mut by_prefix: HashMap<String, Vec<(&RealmConfig, Arc<Site>)>> = HashMap::new();
        for config in realms {
            let state = engine.realm(&config.realm.name);
            let counted = before.and_then(|before| before.site(&config.realm.name));
            let site = Site {
                realm: state
                    .ok_or(Fault::Impossible("the engine does not know a configured realm"))?,
                prefix: config.prefix.clone(),
                mounts: config.mounts.clone(),
                terms: config.endpoint_terms()?,
                by_certificate,
                meters: Meters::new(&config.mounts, counted.map(|site| &site.meters)),
            };
            by_prefix.entry(config.prefix.clone()).or_default().push((config, Arc::new(site)));
        }
        Ok(Self {
            prefix_bytes_max: by_prefix.keys().map(String::len).max().unwrap_or(0),
            by_prefix: by_prefix
                .into_iter()
                .map(|(prefix, sites)| (prefix, Group::new(&sites)))
                .collect(),
        })
    }

    /// Where a request with this path and authority belongs. The longest prefix wins.
    pub(crate) fn find(&self, path: &str, authority: Option<&str>) -> Option<Found> {
        if let Some(found) = self.find_inserted(path, authority) {
            return Some(found);
        }
        prefixes(path, self.prefix_bytes_max)
            .filter_map(|prefix| self.by_prefix.get(prefix))
            .find_map(|group| group.site(authority))
            .map(|site| site.found(path))
    }

    /// Every realm.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.by_prefix.values().flat_map(Group::sites)
    }

    fn site(&self, name: &RealmName) -> Option<&Arc<Site>> {
        self.sites().find(|site| site.realm.realm().name == *name)
    }

    /// The realm whose metadata is asked for between host and path.
    fn find_inserted(&self, path: &str, authority: Option<&str>) -> Option<Found> {
        let site = self.by_prefix.get(inserted_prefix(path)?)?.site(authority)?;
        Some(Found { site: Arc::clone(site), mount: 0, path: Path::Endpoint(Endpoint::Metadata) })
    }
}

/// What may be the prefix of a path, in whole segments, the longest first. Prefixes have a greatest
/// length, so that a path of a thousand slashes costs no thousand searches.
fn prefixes(path: &str, bytes_max: usize) -> impl Iterator<Item = &str> {
    let whole = (path.len() <= bytes_max).then_some(path);
    let slashes = path.as_bytes().iter().take(bytes_max.saturating_add(1)).enumerate().rev();
    let ends = slashes.filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
    whole.into_iter().chain(ends.filter_map(|end| path.get(..end)))
}

impl Group {
    fn new(sites: &[(&RealmConfig, Arc<Site>)]) -> Self {
        if let [(_, only)] = sites {
            return Self::Only(Arc::clone(only));
        }
        let mut by_host = HashMap::new();
        for (config, site) in sites {
            for host in &config.hosts {
                by_host.insert(host.clone(), Arc::clone(site));
            }
        }
        // Behind a proxy the port of the issuer is often not the port of the request: the bare
        // host will do, unless it means another realm as well.
        let bare_hosts: Vec<(&str, &Arc<Site>)> = sites
            .iter()
            .flat_map(|(config, site)| {
                config.hosts.iter().map(move |host| (split_port(host).0, site))
            })
            .collect();
        for (host, site) in &bare_hosts {
            let one_meaning =
                bare_hosts.iter().all(|(other, its)| other != host || Arc::ptr_eq(its, site));
            if one_meaning && !by_host.contains_key(*host) {
                by_host.insert((*host).to_owned(), Arc::clone(site));
            }
        }
        Self::ByHost(by_host)
    }

    fn sites(&self) -> Vec<&Arc<Site>> {
        match self {
            Self::Only(site) => vec![site],
            Self::ByHost(by_host) => {
                let mut sites: Vec<&Arc<Site>> = by_host.values().collect();
                // A realm with several hosts is one all the same.
                sites.sort_by_key(|site| Arc::as_ptr(site));
                sites.dedup_by_key(|site| Arc::as_ptr(site));
                sites
            }
        }
    }

    fn site(&self, authority: Option<&str>) -> Option<&Arc<Site>> {
        match self {
            Self::Only(site) => Some(site),
            Self::ByHost(by_host) => {
                let authority = authority?.to_ascii_lowercase();
                by_host.get(&authority).or_else(|| by_host.get(split_port(&authority).0))
            }
        }
    }
}

impl Site {
    /// The path of the issuer, without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn found(self: &Arc<Self>, path: &str) -> Found {
        let position = self.mounts.iter().position(|mount| mount.path == path);
        let registers = self.realm.realm().registration.is_some();
        let endpoint = || {
            let endpoint = Endpoint::at(path.strip_prefix(self.prefix.as_str())?);
            endpoint.filter(|endpoint| *endpoint != Endpoint::Registration || registers)
        };
        let (mount, path) = match position {
            Some(mount) => (mount, Path::Known),
            None => match endpoint() {
                Some(endpoint) => (0, Path::Endpoint(endpoint)),
                None => (self.nearest(path), Path::Unknown),
            },
        };
        Found { site: Arc::clone(self), mount, path }
    }

    /// The mount that shares the path's first segment below the prefix, otherwise the first one.
    fn nearest(&self, path: &str) -> usize {
        let first = |path: &str| {
            let rest = path.strip_prefix(self.prefix.as_str())?.strip_prefix('/')?;
            rest.split('/').next().map(str::to_owned)
        };
        let asked = first(path).filter(|segment| !segment.is_empty());
        let shares = |mount: &Mount| asked.is_some() && first(&mount.path) == asked;
        self.mounts.iter().position(shares).unwrap_or(0)
    }
}

/// Host and port of an authority such as `example.com:8443` or `[::1]:8443`.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of a bare IPv6 address stand inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments_and_the_longest_comes_first() {
        let of = |path, max| prefixes(path, max).collect::<Vec<_>>();
        assert_eq!(of("/a/b/c", 100), ["/a/b/c", "/a/b", "/a", ""]);
        assert_eq!(of("/a/b/c", 3), ["/a", ""]);
        assert_eq!(of("/a/b/c", 0), [""]);
        assert_eq!(of("/", 100), ["/", ""]);
        assert_eq!(of("//a", 100), ["//a", "/", ""]);
        assert_eq!(of("*", 100), ["*"]);
    }

    #[test]
    fn ports_are_split_off_but_not_the_halves_of_ipv6_addresses() {
        assert_eq!(split_port("a.example:80"), ("a.example", Some("80")));
        assert_eq!(split_port("a.example"), ("a.example", None));
        assert_eq!(split_port("[::1]:80"), ("[::1]", Some("80")));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
    }
}
