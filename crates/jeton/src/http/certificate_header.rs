//! The certificate that a client showed to the proxy in front of us, as the proxy passes it on.
//!
//! Whoever writes the header decides who the caller is. So it only counts from a trusted proxy, which must
//! remove or overwrite what a caller sends under the name; there is one field of it or none; and what
//! cannot be understood is refused instead of being taken for no certificate.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use jeton_engine::certificate::{Chain, ClientCertificate};
use jeton_engine::request::AuthenticationMethod;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::by_certificate;

/// The header, and what its proxy answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateHeader {
    /// The name of the field.
    pub name: HeaderName,
    /// How the certificate is written in it.
    pub format: CertificateFormat,
    /// Verified: the proxy passes on certificates of the authorities that are trusted for clients and no
    /// others. Unverified: it passes on whatever it is shown.
    pub chain: Chain,
}

impl CertificateHeader {
    /// The ways in which clients can authenticate by what the proxy passes on.
    pub fn methods(&self) -> &'static [AuthenticationMethod] {
        by_certificate(self.chain)
    }
}

/// How a certificate is written in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFormat {
    /// A byte sequence between colons (RFC 9440 section 2.2).
    Rfc9440,
    /// Envoy's `X-Forwarded-Client-Cert`.
    Xfcc,
    /// PEM, percent-encoded: nginx's `$ssl_client_escaped_cert`.
    PemUrlencoded,
    /// DER in base64: HAProxy's `ssl_c_der,base64`.
    DerBase64,
}

/// A header that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The longest field that is read: PEM of the largest certificate, percent-encoded.
const LENGTH_MAX: usize = 2 * ClientCertificate::BYTES_MAX;

/// Reads the certificate; `None` where the proxy says that there was none, by no field or an empty one.
pub(crate) fn read(
    header: &CertificateHeader,
    headers: &HeaderMap,
) -> Result<Option<ClientCertificate>, Malformed> {
    let mut fields = headers.get_all(&header.name).iter();
    let field = fields.next();
    // One of two may be the caller's own.
    if fields.next().is_some() {
        return Err(Malformed);
    }
    let Some(field) = field else { return Ok(None) };
    let text = field.to_str().map_err(|_| Malformed)?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > LENGTH_MAX {
        return Err(Malformed);
    }
    let told = match header.format {
        CertificateFormat::Rfc9440 => Told::certificate(byte_sequence(text)?),
        CertificateFormat::DerBase64 => Told::certificate(base64(text)?),
        CertificateFormat::PemUrlencoded => Told::certificate(pem(text)?),
        CertificateFormat::Xfcc => xfcc(text)?,
    };
    let certificate =
        ClientCertificate::from_der(&told.der, header.chain).map_err(|_| Malformed)?;
    match told.hash {
        Some(hash)
            if !hash.eq_ignore_ascii_case(&hexadecimal(certificate.thumbprint().as_bytes())) =>
        {
            Err(Malformed)
        }
        _ => Ok(Some(certificate)),
    }
}

/// What a proxy says of a certificate.
struct Told {
    der: Vec<u8>,
    /// Its SHA-256 digest in hexadecimal digits.
    hash: Option<String>,
}

impl Told {
    fn certificate(der: Vec<u8>) -> Self {
        Self { der, hash: None }
    }
}

/// An item of RFC 8941 section 3.3.5, and nothing behind it: RFC 9440 defines no parameter.
fn byte_sequence(text: &str) -> Result<Vec<u8>, Malformed> {
    let inner = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    base64(inner.ok_or(Malformed)?)
}

fn base64(text: &str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).map_err(|_| Malformed)
}

/// One certificate: with two, proxy and we might mean different ones.
fn pem(text: &str) -> Result<Vec<u8>, Malformed> {
    let decoded: Vec<u8> = percent_decode_str(text).collect();
    let mut found = CertificateDer::pem_slice_iter(&decoded);
    match (found.next(), found.next()) {
        (Some(Ok(der)), None) => Ok(der.to_vec()),
        _ => Err(Malformed),
    }
}

/// Envoy's list, one element for each proxy on the way. The last one is from the proxy next to us, which
/// saw the certificate itself or answers for what it passes on; those before it are hearsay.
fn xfcc(text: &str) -> Result<Told, Malformed> {
    let last = split(text, ',')?.pop().ok_or(Malformed)?;
    let (mut certificate, mut hash) = (None, None);
    for pair in split(last, ';')? {
        let (name, value) = pair.trim().split_once('=').ok_or(Malformed)?;
        let slot = match name {
            _ if name.eq_ignore_ascii_case("cert") => &mut certificate,
            _ if name.eq_ignore_ascii_case("hash") => &mut hash,
            _ => continue,
        };
        if slot.replace(unquoted(value)).is_some() {
            return Err(Malformed);
        }
    }
    let der = pem(&certificate.ok_or(Malformed)?)?;
    Ok(Told { der, hash: hash.map(Cow::into_owned) })
}

/// Splits outside of quotes, in which a backslash takes its meaning from what follows it.
fn split(text: &str, separator: char) -> Result<Vec<&str>, Malformed> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text
        .split(|letter: char| {
            if escaped {
                escaped = false;
                return false;
            }
            escaped = quoted && letter == '\\';
            quoted ^= letter == '"';
            letter == separator && !quoted
        })
        .collect();
    if quoted || escaped { Err(Malformed) } else { Ok(parts) }
}

fn unquoted(value: &str) -> Cow<'_, str> {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if inner.contains('\\') => Cow::Owned(inner.replace("\\\"", "\"")),
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(value),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn made() -> rcgen::Certificate {
        let params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    fn escaped(certificate: &rcgen::Certificate) -> String {
        utf8_percent_encode(&certificate.pem(), NON_ALPHANUMERIC).to_string()
    }

    fn hash(certificate: &rcgen::Certificate) -> String {
        let read = ClientCertificate::from_der(certificate.der(), Chain::Unverified).unwrap();
        hexadecimal(read.thumbprint().as_bytes())
    }

    fn read_fields(
        format: CertificateFormat,
        fields: &[&str],
    ) -> Result<Option<ClientCertificate>, Malformed> {
        let name = HeaderName::from_static("client-cert");
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(&name, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        read(&CertificateHeader { name, format, chain: Chain::Verified }, &headers)
    }

    fn assert_read(format: CertificateFormat, field: &str, certificate: &rcgen::Certificate) {
        let expected = ClientCertificate::from_der(certificate.der(), Chain::Verified).unwrap();
        assert_eq!(read_fields(format, &[field]), Ok(Some(expected)), "{field}");
    }

    fn assert_malformed(format: CertificateFormat, field: &str) {
        assert_eq!(read_fields(format, &[field]), Err(Malformed), "{field}");
    }

    #[test]
    fn a_certificate_is_read_in_every_format() {
        let one = made();
        let der = STANDARD.encode(one.der());
        assert_read(CertificateFormat::Rfc9440, &format!(":{der}:"), &one);
        assert_read(CertificateFormat::DerBase64, &der, &one);
        assert_read(CertificateFormat::PemUrlencoded, &escaped(&one), &one);
        // Some proxies leave the plus sign as it is; it is no space.
        let bare = one.pem().replace('\n', "%0A").replace(' ', "%20");
        assert_read(CertificateFormat::PemUrlencoded, &bare, &one);
        assert_read(CertificateFormat::Xfcc, &format!("Cert=\"{}\"", escaped(&one)), &one);
    }

    #[test]
    fn no_field_and_an_empty_one_are_no_certificate_and_two_are_refused() {
        let der = STANDARD.encode(made().der());
        let format = CertificateFormat::DerBase64;
        assert_eq!(read_fields(format, &[]), Ok(None));
        assert_eq!(read_fields(format, &[" "]), Ok(None));
        assert_eq!(read_fields(format, &[&der, &der]), Err(Malformed));
        assert_eq!(read_fields(format, &["", &der]), Err(Malformed));
    }

    #[test]
    fn what_is_not_one_certificate_in_the_format_is_refused() {
        let (one, other) = (made(), made());
        let der = STANDARD.encode(one.der());
        for text in [&der, &format!(":{der}"), &format!(":{der}:;a=1"), ":!:", "::", "?1"] {
            assert_malformed(CertificateFormat::Rfc9440, text);
        }
        for text in [&format!(":{der}:"), &format!("{der},{der}"), "bm90aGluZw==", "\u{fc}"] {
            assert_malformed(CertificateFormat::DerBase64, text);
        }
        let two = format!("{}{}", escaped(&one), escaped(&other));
        for text in [&two, &der, "-----BEGIN CERTIFICATE-----", "%zz"] {
            assert_malformed(CertificateFormat::PemUrlencoded, text);
        }
        assert_malformed(CertificateFormat::DerBase64, &"A".repeat(LENGTH_MAX + 1));
    }

    #[test]
    fn of_envoys_elements_the_last_counts() {
        let (one, other) = (made(), made());
        let (mine, theirs) = (escaped(&one), escaped(&other));
        let subject = "Subject=\"CN=a\\\",Cert=x;Cert=y\"";
        for text in [
            format!("Cert=\"{theirs}\",Cert=\"{mine}\""),
            format!("By=spiffe://a;Hash={};{subject};Cert=\"{mine}\"", hash(&one)),
            format!("Hash={};cert={mine};URI=", hash(&one).to_uppercase()),
            format!("{subject};Cert=\"{theirs}\", Cert=\"{mine}\";DNS=a;DNS=b"),
        ] {
            assert_read(CertificateFormat::Xfcc, &text, &one);
        }
        for text in [
            format!("Cert=\"{mine}\","),
            format!("Cert=\"{mine}\",Hash={}", hash(&one)),
            format!("Hash={};Cert=\"{mine}\"", hash(&other)),
            format!("Cert=\"{mine}\";Cert=\"{mine}\""),
            format!("Cert=\"{mine}"),
            format!("Subject=\"a\\\";Cert={mine}"),
            mine,
        ] {
            assert_malformed(CertificateFormat::Xfcc, &text);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_caller_puts_before_it_changes_what_a_proxy_appends(invented in "[ -~]{0,60}") {
            let one = made();
            let text = format!("{invented},Cert=\"{}\"", escaped(&one));
            let read = read_fields(CertificateFormat::Xfcc, &[&text]);
            let thumbprint = read.map(|read| read.map(|read| read.thumbprint()));
            let own = ClientCertificate::from_der(one.der(), Chain::Verified).unwrap();
            proptest::prop_assert!(
                thumbprint == Err(Malformed) || thumbprint == Ok(Some(own.thumbprint())), "{text}"
            );
        }
    }
}
