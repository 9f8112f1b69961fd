//! What an operator should hear of the files before clients do: mistakes that keep them from being used,
//! and what is probably not meant.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use http::uri::Authority;
use jeton_engine::clock::Time;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _, X509Certificate};

use super::server::Named;
use super::{TlsError, certificates};
use crate::config::{ClientCertificates, Tls};

/// How long before its end a certificate is spoken of: most are renewed thirty days ahead.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What is allowed but probably not meant.
#[derive(Debug)]
pub(crate) struct Warning {
    pub(crate) named: Named,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
}

/// What to do about an error; most say so themselves.
pub(crate) fn remedy(error: &TlsError) -> Option<&'static str> {
    match error {
        TlsError::Mismatch { .. } => Some(
            "name the key that the certificate was made for; `openssl pkey -pubout` tells which",
        ),
        TlsError::Order { .. } => {
            Some("put the server's own certificate first, then the one that signed it, and so on")
        }
        TlsError::Expired { .. } => Some("renew it; the file is read again as soon as it changes"),
        TlsError::NotYetValid { .. } => Some("look at the clock of this machine"),
        TlsError::NoAuthority { .. } => {
            Some("name the certificate of the authority that signs your clients' certificates")
        }
        TlsError::Unreadable { .. }
        | TlsError::File { .. }
        | TlsError::NoRoots
        | TlsError::Setup(_) => None,
    }
}

/// Whether these certificates can be shown: each signed by the next, each within its validity.
///
/// # Errors
/// The first that is wrong.
pub(crate) fn chain(path: &Path, chain: &[CertificateDer<'_>], now: Time) -> Result<(), TlsError> {
    let parsed: Result<Vec<_>, TlsError> =
        chain.iter().map(|certificate| parse(path, certificate)).collect();
    let parsed = parsed?;
    for (number, (own, next)) in parsed.iter().zip(parsed.iter().skip(1)).enumerate() {
        if own.issuer().as_raw() != next.subject().as_raw() {
            return Err(TlsError::Order {
                path: path.to_owned(),
                first: number + 1,
                second: number + 2,
            });
        }
    }
    for (number, certificate) in parsed.iter().enumerate() {
        let (path, number) = (path.to_owned(), number + 1);
        if now.whole_second() > not_after(certificate) {
            return Err(TlsError::Expired { path, number, at: moment(not_after(certificate)) });
        }
        let from = Time::from_seconds(certificate.validity().not_before.timestamp());
        if now < from {
            return Err(TlsError::NotYetValid { path, number, at: moment(from) });
        }
    }
    Ok(())
}

/// Whether this can be the certificate of an authority (RFC 5280 section 4.2.1.9).
///
/// # Errors
/// When it is that of somebody else.
pub(crate) fn authority(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
    match parse(path, certificate)?.is_ca() {
        true => Ok(()),
        false => Err(TlsError::NoAuthority { path: path.to_owned() }),
    }
}

/// Whether this is one certificate revocation list.
pub(crate) fn is_revocation_list(list: &CertificateRevocationListDer<'_>) -> bool {
    matches!(CertificateRevocationList::from_der(list), Ok(([], _)))
}

/// When the first of these certificates expires.
pub(crate) fn chain_end(chain: &[CertificateDer<'_>]) -> Option<Time> {
    let ends = chain.iter().filter_map(|certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(not_after(&parsed))
    });
    ends.min()
}

/// When the first of these lists is to be replaced.
pub(crate) fn lists_end(lists: &[CertificateRevocationListDer<'_>]) -> Option<Time> {
    let ends = lists.iter().filter_map(|list| {
        let (_, list) = CertificateRevocationList::from_der(list).ok()?;
        Some(Time::from_seconds(list.next_update()?.timestamp()))
    });
    ends.min()
}

/// What is probably not meant of files that can be used. `hosts` are those of the realms.
pub(crate) fn warnings(tls: &Tls, hosts: &BTreeSet<&str>, now: Time) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(mode) = mode(&tls.key).filter(|mode| mode & 0o007 != 0) {
        warnings.push(Warning {
            named: Named::Key,
            message: format!(
                "{} can be read or changed by everybody on this machine (mode {mode:o})",
                tls.key.display()
            ),
            remedy: "chmod 600, and make the key anew if the machine is not yours alone",
        });
    }
    if let Ok(chain) = certificates(&tls.certificate) {
        warnings.extend(about_certificate(&tls.certificate, &chain, now));
        warnings.extend(chain.first().and_then(|own| nameless_hosts(&tls.certificate, own, hosts)));
    }
    if let ClientCertificates::Optional { ca, crls } = &tls.client_certificates {
        warnings.extend(ca.iter().filter_map(|path| expired_authority(path, now)));
        warnings.extend(crls.iter().filter_map(|path| old_list(path, now)));
    }
    warnings
}

fn about_certificate(path: &Path, chain: &[CertificateDer<'_>], now: Time) -> Option<Warning> {
    let end = chain_end(chain)?;
    (now.plus(SOON) > end).then(|| Warning {
        named: Named::Certificate,
        message: format!("{} holds a certificate that expires at {}", path.display(), moment(end)),
        remedy: "renew it; the file is read again as soon as it changes",
    })
}

fn nameless_hosts(
    path: &Path,
    own: &CertificateDer<'_>,
    hosts: &BTreeSet<&str>,
) -> Option<Warning> {
    let parsed = ParsedCertificate::try_from(own).ok()?;
    let is_named = |host: &str| {
        // Where a realm is reached at a port, certificates name its host alone.
        let authority = host.parse::<Authority>();
        let host = authority.as_ref().map_or(host, Authority::host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    let missing: Vec<&str> = hosts.iter().copied().filter(|host| !is_named(host)).collect();
    (!missing.is_empty()).then(|| Warning {
        named: Named::Certificate,
        message: format!(
            "the certificate in {} does not name {}, where realms are reached",
            path.display(),
            missing.join(", ")
        ),
        remedy: "get a certificate with these names among its subject alternative names",
    })
}

fn expired_authority(path: &Path, now: Time) -> Option<Warning> {
    let roots = certificates(path).ok()?;
    let ends = roots.iter().filter_map(|root| Some(not_after(&parse(path, root).ok()?)));
    let end = ends.filter(|end| now > *end).min()?;
    Some(Warning {
        named: Named::ClientCa,
        message: format!("{} holds an authority that expired at {}", path.display(), moment(end)),
        remedy: "an authority in this file is believed to the end: take it out when it is no longer yours",
    })
}

fn old_list(path: &Path, now: Time) -> Option<Warning> {
    let lists = super::server::revocation_lists(path).ok()?;
    let end = lists_end(&lists).filter(|end| now > *end)?;
    Some(Warning {
        named: Named::ClientCrls,
        message: format!(
            "{} holds a revocation list that was to be replaced by {}: no certificate of its authority is verified",
            path.display(),
            moment(end)
        ),
        remedy: "fetch the authority's new list; the file is read again as soon as it changes",
    })
}

fn parse<'a>(
    path: &Path,
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, TlsError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(TlsError::File {
            path: path.to_owned(),
            problem: "holds a certificate that cannot be understood",
        }),
    }
}

fn not_after(certificate: &X509Certificate<'_>) -> Time {
    Time::from_seconds(certificate.validity().not_after.timestamp())
}

fn moment(time: Time) -> String {
    jiff::Timestamp::from_second(time.seconds())
        .map_or_else(|_| time.seconds().to_string(), |at| at.to_string())
}

fn mode(path: &Path) -> Option<u32> {
    Some(std::fs::metadata(path).ok()?.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_whatever_port_they_are_reached_at() {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let unnamed = |hosts: &[&str]| {
            let hosts = hosts.iter().copied().collect();
            nameless_hosts(Path::new("cert.pem"), made.cert.der(), &hosts)
                .map(|warning| warning.message)
        };
        let named = ["localhost", "localhost:8443", "127.0.0.1:8443", "[::1]", "[::1]:8443"];
        assert_eq!(unnamed(&named), None);
        let others = unnamed(&["localhost", "example.com:8443", "[::2]:8443"]).unwrap();
        assert!(others.contains("does not name [::2]:8443, example.com:8443, where"), "{others}");
    }
}
