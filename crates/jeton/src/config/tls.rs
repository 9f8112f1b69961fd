//! `[server.tls]`: what is said of certificates, and what the files that are named hold. The files are only
//! read by `jeton config check` and the server itself: other commands need no right to read a private key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_engine::certificate::Chain;
use jeton_engine::clock::Clock;
use jeton_engine::request::AuthenticationMethod;

use super::Config;
use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::{Place, Problem, Problems, Severity};
use crate::tls::inspect;
use crate::tls::server::{Named, ServerSide};

/// TLS on the public listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those that lead to its root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Whether clients may present certificates.
    pub client_certificates: ClientCertificates,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// The most handshakes going on at one time; the oldest gives way.
    pub handshakes_max: usize,
}

/// Whether clients may present certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    Off,
    /// They may present any.
    Optional {
        /// The authorities whose chains are verified, in PEM; without them, none is.
        ca: Option<PathBuf>,
        /// Revocation lists of these authorities and those below them, in PEM or DER.
        crls: Vec<PathBuf>,
    },
}

impl ClientCertificates {
    /// The ways in which clients can authenticate by what they present here.
    pub const fn methods(&self) -> &'static [AuthenticationMethod] {
        match self {
            Self::Off => &[],
            Self::Optional { ca: None, .. } => by_certificate(Chain::Unverified),
            Self::Optional { ca: Some(_), .. } => by_certificate(Chain::Verified),
        }
    }
}

/// The ways to authenticate by a certificate of such a chain (RFC 8705 section 2).
pub(crate) const fn by_certificate(chain: Chain) -> &'static [AuthenticationMethod] {
    use AuthenticationMethod::{SelfSignedTlsClientAuth, TlsClientAuth};
    match chain {
        Chain::Unverified => &[SelfSignedTlsClientAuth],
        Chain::Verified => &[TlsClientAuth, SelfSignedTlsClientAuth],
    }
}

/// Where the settings that name a file were said.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsPlaces(Vec<(&'static str, Place)>);

impl TlsPlaces {
    const NAMED: [Named; 4] = [Named::Certificate, Named::Key, Named::ClientCa, Named::ClientCrls];

    pub(super) fn of(reader: &Reader) -> Self {
        let place = |named: Named| (named.setting(), reader.place(named.setting()));
        Self(Self::NAMED.into_iter().map(place).collect())
    }

    fn place(&self, named: Named) -> Place {
        let found = self.0.iter().find(|(setting, _)| *setting == named.setting());
        found.map_or(Place::Default, |(_, place)| place.clone())
    }
}

/// Reads the section; absent without a certificate and a key.
pub(super) fn tls(reader: &mut Reader, base_dir: &Path) -> Option<Option<Tls>> {
    let path = |said: &_| Ok(base_dir.join(parse::text(said)?));
    let before = reader.raw.problems.len();
    let certificate = reader.read("server.tls.certificate", path);
    let key = reader.read("server.tls.key", path);
    let mode = reader.read("server.tls.client_certificates", mode);
    let ca = reader.read("server.tls.client_ca", path);
    let crls = reader.read_list("server.tls.client_crls", |said| parse::list(said, path));
    let timeout = reader.read("server.tls.handshake_timeout", parse::duration::<1, 3_600>);
    let most = reader.read("server.tls.handshakes_max", parse::number::<1, 1_000_000>);
    let (mode, crls, timeout, most) = (mode?, crls?, timeout?, most?);
    if reader.raw.problems.len() > before {
        return None;
    }
    missing(
        reader,
        "server.tls.client_ca",
        ca.is_none() && !crls.is_empty(),
        "server.tls.client_crls",
    );
    if mode == Mode::Off && ca.is_some() {
        let place = reader.place("server.tls.client_ca");
        let message =
            "`server.tls.client_ca` has no effect while clients are not asked for a certificate";
        let remedy = "write client_certificates = \"optional\", or leave it out";
        reader.warnings.push(Problem::new(place, message).remedy(remedy));
    }
    let client_certificates = match mode {
        Mode::Off => ClientCertificates::Off,
        Mode::Optional => ClientCertificates::Optional { ca, crls },
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Some(Tls {
            certificate,
            key,
            client_certificates,
            handshake_timeout: timeout,
            handshakes_max: usize::try_from(most).ok()?,
        })),
        (None, None) => {
            let asked = mode == Mode::Optional;
            missing(reader, "server.tls.certificate", asked, "server.tls.client_certificates");
            Some(None)
        }
        (Some(_), None) => {
            missing(reader, "server.tls.key", true, "server.tls.certificate");
            None
        }
        (None, Some(_)) => {
            missing(reader, "server.tls.certificate", true, "server.tls.key");
            None
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Optional,
}

fn mode(said: &super::raw::Said) -> Result<Mode, Wrong> {
    match parse::text(said)? {
        "off" => Ok(Mode::Off),
        "optional" => Ok(Mode::Optional),
        "required" => Err(Wrong::new("must be \"off\" or \"optional\"")
            .instead("write \"optional\", and let clients use no method but tls_client_auth")),
        _ => Err(Wrong::new("must be \"off\" or \"optional\"")),
    }
}

/// Notes that `wanted` is missing, when it is, where `because` was said.
fn missing(reader: &mut Reader, wanted: &str, is_missing: bool, because: &str) {
    if is_missing {
        let message = format!("`{because}` is set and `{wanted}` is missing");
        reader.problem(Problem::new(reader.place(because), message));
    }
}

impl Config {
    /// What is wrong with the files that `[server.tls]` names, and what is probably not meant.
    pub fn check_tls_files(&self, clock: &Clock) -> (Problems, Problems) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        if let Some(tls) = &self.server.tls {
            if let Err(wrong) = ServerSide::read(tls, clock) {
                problems.extend(wrong.0.iter().map(|(named, error)| {
                    let problem = Problem::new(self.tls_places.place(*named), error.to_string());
                    match inspect::remedy(error) {
                        Some(remedy) => problem.remedy(remedy),
                        None => problem,
                    }
                }));
            }
            let hosts = self.realms.iter().flat_map(|realm| realm.hosts.iter().map(String::as_str));
            let hosts: BTreeSet<&str> = hosts.collect();
            let told = inspect::warnings(tls, &hosts, clock.now()).into_iter();
            warnings.extend(told.map(|warning| {
                Problem::new(self.tls_places.place(warning.named), warning.message)
                    .remedy(warning.remedy)
            }));
        }
        let of = |severity, problems| self.warnings.beside(severity, problems);
        (of(Severity::Error, problems), of(Severity::Warning, warnings))
    }
}
