//! Where traces go and how many: the section `[traces]`. Absent without an endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::Problem;
use super::raw::Said;

/// Where traces go and how many.
#[derive(Clone, PartialEq, Eq)]
pub struct Traces {
    /// The collector, with the path for traces.
    pub endpoint: Url,
    /// Of so many requests one in a million is followed, where the caller does not say.
    pub sample_per_million: u32,
    /// Whose word counts on whether a request is followed.
    pub parents: Parents,
    /// What the collector wants to see, such as a key of its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Further authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// What we are called.
    pub service_name: String,
    /// What else is true of this server.
    pub resource: Vec<(String, String)>,
    /// The most traces that wait to be sent; further ones are dropped and counted.
    pub queue_max: usize,
    /// How long the collector may take to answer.
    pub timeout: Duration,
}

impl fmt::Debug for Traces {
    /// Without the headers' values, which are secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Traces")
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

/// Whose word counts on whether a request is followed, and in which trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parents {
    /// Every caller's.
    Anybody,
    /// That of trusted proxies.
    TrustedProxies,
    /// Nobody's: every trace begins here.
    Nobody,
}

/// Reads the section.
pub(super) fn traces(reader: &mut Reader, base_dir: &Path) -> Option<Option<Traces>> {
    let before = reader.raw.problems.len();
    let endpoint = reader.read("traces.endpoint", endpoint);
    let sample = reader.read("traces.sample", sample);
    let parents = reader.read("traces.parents", parents);
    let headers_file = reader.read("traces.headers.file", |said| {
        let path = base_dir.join(parse::text(said)?);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Wrong::new(format!("names a file that cannot be read: {error}")))?;
        headers(&text)
    });
    let headers_env = reader.read("traces.headers.env", |said| {
        let text = std::env::var(parse::text(said)?)
            .map_err(|_| Wrong::new("names an environment variable that is not set"))?;
        headers(&text)
    });
    let ca_file = reader.read("traces.ca_file", |said| {
        let path = base_dir.join(parse::text(said)?);
        let usable = crate::tls::certificates(&path).map(|_| path);
        usable.map_err(|error| Wrong::new(format!("names a file that cannot be used: {error}")))
    });
    let service_name = reader.read("traces.service_name", |said| Ok(parse::text(said)?.to_owned()));
    let resource = reader.read_list("traces.resource", |said| parse::list(said, attribute));
    let queue = reader.read("traces.queue_max", parse::number::<16, 1_000_000>);
    let timeout = reader.read("traces.timeout", parse::duration::<1, 60>);
    if reader.raw.problems.len() > before {
        return None;
    }
    let Some(endpoint) = endpoint else { return Some(None) };
    let headers = [headers_file, headers_env].into_iter().flatten().flatten().collect::<Vec<_>>();
    if !headers.is_empty() && endpoint.scheme() == "http" && !is_here(&endpoint) {
        let place = reader.place("traces.endpoint");
        let message = "`traces.headers` are sent in the clear to `traces.endpoint`";
        reader.warnings.push(Problem::new(place, message).remedy("write https"));
    }
    let resource: BTreeMap<String, String> = resource?.into_iter().collect();
    Some(Some(Traces {
        endpoint,
        sample_per_million: sample?,
        parents: parents?,
        headers,
        ca_file,
        service_name: service_name?,
        resource: resource.into_iter().collect(),
        queue_max: usize::try_from(queue?).ok()?,
        timeout: timeout?,
    }))
}

fn is_here(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn endpoint(said: &Said) -> Result<Url, Wrong> {
    const SHAPE: &str = "write \"http://127.0.0.1:4318/v1/traces\"";
    let mut url = Url::parse(parse::text(said)?)
        .map_err(|error| Wrong::new(format!("is no URL: {error}")).instead(SHAPE))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Wrong::new("must be an http or https URL").instead(SHAPE));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        let wrong = Wrong::new("must have no user, password or fragment");
        return Err(wrong.instead("hand secrets over in traces.headers"));
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url)
}

/// A share of requests, in millionths.
fn sample(said: &Said) -> Result<u32, Wrong> {
    let wrong = || {
        Wrong::new("must be a share from \"0%\" to \"100%\"").instead("write \"5%\" or \"0.1%\"")
    };
    let text = parse::text(said)?.strip_suffix('%').ok_or_else(wrong)?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 4 || !is_number(whole) || !is_number(part) {
        return Err(wrong());
    }
    let millionths = format!("{whole}{part:0<4}").parse::<u32>().map_err(|_| wrong())?;
    if millionths <= 1_000_000 { Ok(millionths) } else { Err(wrong()) }
}

fn parents(said: &Said) -> Result<Parents, Wrong> {
    match parse::text(said)? {
        "anybody" => Ok(Parents::Anybody),
        "trusted-proxies" => Ok(Parents::TrustedProxies),
        "nobody" => Ok(Parents::Nobody),
        _ => Err(Wrong::new("must be \"anybody\", \"trusted-proxies\" or \"nobody\"")),
    }
}

/// `Name: value`, a line each. What is wrong is never repeated.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Wrong> {
    let wrong =
        || Wrong::new("holds a line that is no header").instead("write lines like `Name: value`");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            Ok((name, value))
        })
        .collect()
}

fn attribute(said: &Said) -> Result<(String, String), Wrong> {
    let wrong = || {
        Wrong::new("must be name=value").instead("write \"deployment.environment.name=production\"")
    };
    let (name, value) = parse::text(said)?.split_once('=').ok_or_else(wrong)?;
    if name.trim().is_empty() {
        return Err(wrong());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parsed(traces: &str) -> Result<Config, String> {
        let text = format!("[traces]\n{traces}\n[realm.main]\nissuer = \"http://localhost\"\n");
        super::super::parse("t", &text, std::iter::empty(), Path::new("/nowhere"))
            .map_err(|problems| problems.to_string())
    }

    fn read(traces: &str) -> Traces {
        parsed(traces).unwrap().traces.unwrap()
    }

    #[test]
    fn without_an_endpoint_nothing_is_traced() {
        assert!(parsed("sample = \"5%\"").unwrap().traces.is_none());
        let traces = read("endpoint = \"http://127.0.0.1:4318\"");
        assert_eq!(traces.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!((traces.sample_per_million, traces.parents), (1_000_000, Parents::Anybody));
        let other = read("endpoint = \"https://c.example.com/otlp/traces\"");
        assert_eq!(other.endpoint.path(), "/otlp/traces");
    }

    #[test]
    fn shares_are_read_to_the_millionth_and_nothing_else_is_a_share() {
        let with = |sample: &str| {
            parsed(&format!("endpoint = \"http://localhost:1\"\nsample = \"{sample}\""))
                .map(|config| config.traces.unwrap().sample_per_million)
        };
        for (text, millionths) in [("100%", 1_000_000), ("0%", 0), ("5%", 50_000), ("0.0001%", 1)] {
            assert_eq!(with(text), Ok(millionths), "{text}");
        }
        for text in ["100.1%", "101%", "5", "-1%", "0.00001%", "%", "1e2%", "5 %"] {
            assert!(with(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_with_secrets_and_attributes_without_a_name_are_refused() {
        for wrong in [
            "endpoint = \"http://a:b@localhost\"",
            "endpoint = \"ftp://localhost\"",
            "endpoint = \"localhost:4318\"",
            "endpoint = \"http://localhost\"\nresource = [\"production\"]",
            "endpoint = \"http://localhost\"\nparents = \"all\"",
            "endpoint = \"http://localhost\"\nheaders.file = \"/nowhere/at/all\"",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_come_from_a_file_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("headers");
        std::fs::write(&file, "Authorization: Bearer hunter2\n\nX-Tenant: a\n").unwrap();
        let with = format!("headers.file = {:?}\n", file.display().to_string());
        let traces = read(&format!("endpoint = \"http://localhost\"\n{with}"));
        assert_eq!(traces.headers.len(), 2);
        assert!(!format!("{traces:?} {:?}", traces.headers).contains("hunter2"));
        std::fs::write(&file, "hunter2").unwrap();
        let problem = parsed(&format!("endpoint = \"http://localhost\"\n{with}")).unwrap_err();
        assert!(problem.contains("no header") && !problem.contains("hunter2"), "{problem}");
        let elsewhere = "endpoint = \"http://collector.example.com\"\n";
        std::fs::write(&file, "Authorization: Bearer x").unwrap();
        assert_eq!(parsed(&format!("{elsewhere}{with}")).unwrap().warnings.len(), 1);
    }
}
