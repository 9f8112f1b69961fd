//! A client's certificate: which one it is, what it names, and whether its chain was verified.
//!
//! Whoever makes one has proof that the caller holds the private key: a TLS handshake of ours, or the
//! word of a trusted proxy. What it is worth is decided later: `tls_client_auth` takes a verified chain
//! and a registered name (RFC 8705 section 2.1), `self_signed_tls_client_auth` a registered key
//! (section 2.2), a certificate-bound token the thumbprint alone (section 3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::clock::Time;
use crate::confirmation::Thumbprint;
use crate::name::NameError;

mod distinguished_name;

pub use distinguished_name::DistinguishedName;

/// Whether a certificate chains to a certification authority that this server trusts for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// It does: issued for clients, within its validity and not revoked when it was presented.
    Verified,
    /// It does not, or nobody checked: self-signed, of an authority unknown to us, expired, not meant
    /// for clients. The caller holds its key all the same.
    Unverified,
}

/// A certificate whose private key the caller was shown to hold. Parsed once a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    thumbprint: Thumbprint,
    chain: Chain,
    subject: DistinguishedName,
    alternative_names: Box<[CertificateName]>,
    public_key: Box<[u8]>,
    not_before: Time,
    not_after: Time,
}

/// Why bytes are not a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// More bytes than [`ClientCertificate::BYTES_MAX`].
    #[error("the certificate is larger than {} bytes", ClientCertificate::BYTES_MAX)]
    TooLarge,
    /// No certificate, more than one, or one whose names cannot be read.
    #[error("this is not one X.509 certificate in DER")]
    NotACertificate,
}

impl ClientCertificate {
    /// The largest certificate that is read, in bytes of DER.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// Reads a certificate. `chain` says what was found out about its chain; nothing is verified here.
    ///
    /// # Errors
    /// When the bytes are not one certificate.
    pub fn from_der(der: &[u8], chain: Chain) -> Result<Self, CertificateError> {
        if der.len() > Self::BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        let broken = CertificateError::NotACertificate;
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| broken)?;
        if !rest.is_empty() {
            return Err(broken);
        }
        let names = certificate.subject_alternative_name().map_err(|_| broken)?;
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let validity = certificate.validity();
        Ok(Self {
            thumbprint: Thumbprint::of_certificate(der),
            chain,
            subject: DistinguishedName::of(certificate.subject()),
            alternative_names: names.unwrap_or_default().iter().filter_map(name_of).collect(),
            public_key: certificate.public_key().raw.into(),
            not_before: Time::from_seconds(validity.not_before.timestamp()),
            not_after: Time::from_seconds(validity.not_after.timestamp()),
        })
    }

    /// The SHA-256 digest of the certificate's DER: its text is `x5t#S256` (RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether its chain was verified when it was presented.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The subject.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The public key as `SubjectPublicKeyInfo` in DER (RFC 5280 section 4.1.2.7).
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether `now` is within the validity, both ends included (RFC 5280 section 4.1.2.5). A chain was
    /// verified when the connection began, and a connection may outlive a certificate.
    pub fn is_valid_at(&self, now: Time) -> bool {
        // The last second belongs to it as a whole.
        self.not_before <= now && now.whole_second() <= self.not_after
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> Time {
        self.not_after
    }

    /// Whether it bears this name (RFC 8705 section 2.1.2). A subject alternative name is compared
    /// with every name of its kind.
    pub fn bears(&self, name: &CertificateName) -> bool {
        match name {
            CertificateName::SubjectDn(subject) => self.subject == *subject,
            _ => self.alternative_names.contains(name),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientCertificate")
            .field("subject", &self.subject)
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

/// A name by which a client's certificate is known: exactly one is registered for a client that uses
/// `tls_client_auth` (RFC 8705 section 2.1.2). Two are equal when they name the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Said", into = "Said")]
pub enum CertificateName {
    /// `tls_client_auth_subject_dn`.
    SubjectDn(DistinguishedName),
    /// `tls_client_auth_san_dns`, in lower case.
    Dns(Box<str>),
    /// `tls_client_auth_san_uri`, to the letter.
    Uri(Box<str>),
    /// `tls_client_auth_san_ip`.
    Ip(IpAddr),
    /// `tls_client_auth_san_email`, its host in lower case.
    Email(Box<str>),
}

impl CertificateName {
    /// A subject, in the form of RFC 4514.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn subject_dn(text: &str) -> Result<Self, NameError> {
        DistinguishedName::from_str(text).map(Self::SubjectDn)
    }

    /// A host name. A wildcard is taken to the letter: it stands for no other name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn dns(text: &str) -> Result<Self, NameError> {
        check_alternative_name(text)?;
        Ok(Self::Dns(text.to_ascii_lowercase().into()))
    }

    /// A URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn uri(text: &str) -> Result<Self, NameError> {
        check_alternative_name(text)?;
        match text.split_once(':') {
            Some((scheme, _)) if !scheme.is_empty() => Ok(Self::Uri(text.into())),
            _ => Err(NameError("must be a URI with a scheme")),
        }
    }

    /// An IP address: dotted or with colons, however it is abbreviated.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn ip(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self::Ip).map_err(|_| NameError("must be an IP address"))
    }

    /// An address of electronic mail: what stands before the last `@` is taken to the letter
    /// (RFC 5280 section 7.5).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn email(text: &str) -> Result<Self, NameError> {
        check_alternative_name(text)?;
        match text.rsplit_once('@') {
            Some((local, host)) if !local.is_empty() && !host.is_empty() => {
                Ok(Self::Email(format!("{local}@{}", host.to_ascii_lowercase()).into()))
            }
            _ => Err(NameError("must have something before and after an @")),
        }
    }

    /// The registered name of the client metadata member (RFC 8705 section 2.1.2).
    pub fn member(&self) -> &'static str {
        match self {
            Self::SubjectDn(_) => "tls_client_auth_subject_dn",
            Self::Dns(_) => "tls_client_auth_san_dns",
            Self::Uri(_) => "tls_client_auth_san_uri",
            Self::Ip(_) => "tls_client_auth_san_ip",
            Self::Email(_) => "tls_client_auth_san_email",
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectDn(name) => write!(formatter, "{name}"),
            Self::Dns(name) | Self::Uri(name) | Self::Email(name) => formatter.write_str(name),
            Self::Ip(address) => write!(formatter, "{address}"),
        }
    }
}

/// A name as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    SubjectDn(String),
    SanDns(String),
    SanUri(String),
    SanIp(String),
    SanEmail(String),
}

impl TryFrom<Said> for CertificateName {
    type Error = NameError;

    fn try_from(said: Said) -> Result<Self, NameError> {
        match said {
            Said::SubjectDn(text) => Self::subject_dn(&text),
            Said::SanDns(text) => Self::dns(&text),
            Said::SanUri(text) => Self::uri(&text),
            Said::SanIp(text) => Self::ip(&text),
            Said::SanEmail(text) => Self::email(&text),
        }
    }
}

impl From<CertificateName> for Said {
    fn from(name: CertificateName) -> Self {
        let text = name.to_string();
        match name {
            CertificateName::SubjectDn(_) => Self::SubjectDn(text),
            CertificateName::Dns(_) => Self::SanDns(text),
            CertificateName::Uri(_) => Self::SanUri(text),
            CertificateName::Ip(_) => Self::SanIp(text),
            CertificateName::Email(_) => Self::SanEmail(text),
        }
    }
}

/// These names are of ASCII in a certificate (RFC 5280 section 4.2.1.6).
fn check_alternative_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 2048 {
        return Err(NameError("must have 1 to 2048 characters"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NameError("may only have printable characters of ASCII and no spaces"));
    }
    Ok(())
}

/// The name, unless it is of a kind that nobody can register, or malformed.
fn name_of(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(text) => CertificateName::dns(text).ok(),
        GeneralName::URI(text) => CertificateName::uri(text).ok(),
        GeneralName::RFC822Name(text) => CertificateName::email(text).ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| CertificateName::Ip(bytes.into())),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| CertificateName::Ip(bytes.into())),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
