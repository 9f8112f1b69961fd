//! What went wrong in a TLS handshake that we began, in words that say what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// What happened, and what may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) next: Option<&'static str>,
}

const RIGHT_NAME: &str =
    "the URL with a host that the certificate names, or a certificate for this one";
const CA_FILE: &str =
    "--ca-file FILE with the certificate of its authority, if you trust it for this";
const SHOW_ANOTHER: &str = "--tls-certificate FILE --tls-key FILE with a certificate that it accepts, whole chain in the file";

/// The TLS error inside an input or output error, if it is one.
pub(crate) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What a TLS error between us and `host` means.
pub(crate) fn explain(error: &Error, host: &str) -> Trouble {
    let (what, next) = match error {
        Error::InvalidCertificate(problem) => certificate(problem, host),
        Error::AlertReceived(alert) => alerted(*alert, host),
        Error::PeerIncompatible(_) => (
            format!("{host} speaks no TLS that is safe: TLS 1.2 with AES-GCM, or 1.3, is needed"),
            None,
        ),
        Error::InvalidMessage(_) => (
            format!("{host} does not speak TLS at this port"),
            Some("the port of https, or http if it is on this machine"),
        ),
        other => (format!("TLS with {host} failed: {other}"), None),
    };
    Trouble { what, next }
}

fn certificate(problem: &CertificateError, host: &str) -> (String, Option<&'static str>) {
    use CertificateError as E;
    match problem {
        E::UnknownIssuer => (
            format!("the certificate of {host} is from an authority that is not trusted here"),
            Some(CA_FILE),
        ),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            (format!("the certificate is for another host than {host}"), Some(RIGHT_NAME))
        }
        E::Expired | E::ExpiredContext { .. } => (
            format!("the certificate of {host} has expired"),
            Some("a new certificate there, or the right time of day here"),
        ),
        E::NotValidYet | E::NotValidYetContext { .. } => (
            format!("the certificate of {host} is not valid yet"),
            Some("the right time of day here, or a certificate there that is valid now"),
        ),
        E::Revoked => (format!("the certificate of {host} was revoked"), None),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            (format!("the certificate of {host} is not for servers"), None)
        }
        other => (format!("the certificate of {host} is refused: {other}"), None),
    }
}

/// The server hung up and said why. Where it is about certificates, it is about ours.
fn alerted(alert: AlertDescription, host: &str) -> (String, Option<&'static str>) {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => (
            format!("{host} wants a client certificate"),
            Some("--tls-certificate FILE --tls-key FILE"),
        ),
        A::UnknownCA
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateUnknown
        | A::CertificateExpired
        | A::CertificateRevoked
        | A::AccessDenied
        | A::DecryptError => (
            format!("{host} refuses the client certificate: {}", spelled(alert)),
            Some(SHOW_ANOTHER),
        ),
        A::HandshakeFailure => (
            format!("{host} and we have no way of TLS in common, or it wants a client certificate"),
            Some("--tls-certificate FILE --tls-key FILE"),
        ),
        other => (format!("{host} refuses the TLS handshake: {}", spelled(other)), None),
    }
}

/// The alert's name as RFC 8446 section 6.2 writes it.
fn spelled(alert: AlertDescription) -> String {
    let mut name = String::new();
    for letter in format!("{alert:?}").chars() {
        if letter.is_uppercase() && name.ends_with(|last: char| last.is_lowercase()) {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}
