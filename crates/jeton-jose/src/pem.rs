//! PEM (RFC 7468): finds the one key in a text, and writes keys as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::KeyError;

/// The longest PEM text we read, in bytes. An RSA key of 4096 bits has about 3300.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// What the label of a PEM block says about the DER in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// `PRIVATE KEY`: PKCS#8 (RFC 5208).
    Pkcs8,
    /// `EC PRIVATE KEY`: SEC 1 (RFC 5915).
    Sec1,
    /// `RSA PRIVATE KEY`: PKCS#1 (RFC 8017).
    Pkcs1,
    /// `PUBLIC KEY`: SubjectPublicKeyInfo (RFC 5280).
    PublicSpki,
    /// `RSA PUBLIC KEY`: PKCS#1 (RFC 8017).
    PublicPkcs1,
}

impl Label {
    const ALL: [Self; 5] =
        [Self::Pkcs8, Self::Sec1, Self::Pkcs1, Self::PublicSpki, Self::PublicPkcs1];

    const fn name(self) -> &'static str {
        match self {
            Self::Pkcs8 => "PRIVATE KEY",
            Self::Sec1 => "EC PRIVATE KEY",
            Self::Pkcs1 => "RSA PRIVATE KEY",
            Self::PublicSpki => "PUBLIC KEY",
            Self::PublicPkcs1 => "RSA PUBLIC KEY",
        }
    }
}

/// The one key in this text, and what it is. Text around blocks and the curve parameters that
/// OpenSSL writes before a SEC 1 key are passed over.
pub(crate) fn key(text: &str) -> Result<(Label, Zeroizing<Vec<u8>>), KeyError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    let mut found = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = boundary(line, "-----BEGIN ") else { continue };
        if name == "ENCRYPTED PRIVATE KEY" {
            return Err(KeyError::PemEncrypted);
        }
        let label = Label::ALL.into_iter().find(|label| label.name() == name);
        if label.is_none() && name != "EC PARAMETERS" {
            return Err(KeyError::Pem);
        }
        let bytes = block(&mut lines, name)?;
        if let Some(label) = label
            && found.replace((label, bytes)).is_some()
        {
            return Err(KeyError::Pem);
        }
    }
    found.ok_or(KeyError::Pem)
}

/// The label of a line that is a boundary, `None` for another line.
fn boundary<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.trim().strip_prefix(start)?.strip_suffix("-----")
}

/// The bytes up to the end of this block.
fn block<'a>(
    lines: &mut impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut encoded = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
    for line in lines {
        if let Some(end) = boundary(line, "-----END ") {
            if end != name {
                return Err(KeyError::Pem);
            }
            return STANDARD
                .decode(encoded.as_bytes())
                .map(Zeroizing::new)
                .map_err(|_| KeyError::Pem);
        }
        // The headers of RFC 1421, by which OpenSSL marks its old way of encrypting.
        if line.starts_with("Proc-Type:") {
            return Err(KeyError::PemEncrypted);
        }
        encoded.push_str(line.trim());
    }
    Err(KeyError::Pem)
}

/// The PEM text of this DER.
pub(crate) fn text(label: Label, der: &[u8]) -> Zeroizing<String> {
    let name = label.name();
    let mut text = Zeroizing::new(String::with_capacity(der.len() * 3 / 2 + 128));
    text.push_str("-----BEGIN ");
    text.push_str(name);
    text.push_str("-----\n");
    // 48 bytes are the 64 characters of a line.
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(name);
    text.push_str("-----\n");
    text
}
