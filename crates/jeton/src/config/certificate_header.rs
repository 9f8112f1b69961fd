//! How a proxy in front passes on what certificate a client showed to it.

use http::HeaderName;
use jeton_engine::certificate::Chain;

use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::Problem;
use super::raw::Said;
use crate::http::certificate_header::{CertificateFormat, CertificateHeader};

const FORMAT: &str = "server.client_certificate_header.format";
const NAME: &str = "server.client_certificate_header.name";
const CHAIN: &str = "server.client_certificate_header.chain";

/// Reads the section; absent without a format.
pub(super) fn certificate_header(reader: &mut Reader) -> Option<Option<CertificateHeader>> {
    let before = reader.raw.problems.len();
    let format = reader.read(FORMAT, format);
    let name = reader.read(NAME, name);
    let chain = reader.read(CHAIN, chain);
    if reader.raw.problems.len() > before {
        return None;
    }
    let Some(format) = format else {
        if name.is_some() {
            let message = format!("`{NAME}` is set and `{FORMAT}` is missing");
            reader.problem(Problem::new(reader.place(NAME), message));
        }
        return Some(None);
    };
    let usual = match format {
        CertificateFormat::Rfc9440 => Some(HeaderName::from_static("client-cert")),
        CertificateFormat::Xfcc => Some(HeaderName::from_static("x-forwarded-client-cert")),
        CertificateFormat::PemUrlencoded | CertificateFormat::DerBase64 => None,
    };
    let Some(name) = name.or(usual) else {
        let message = format!("`{FORMAT}` has no usual header, and `{NAME}` is missing");
        let remedy = "write the name of the header that your proxy sends";
        reader.problem(Problem::new(reader.place(FORMAT), message).remedy(remedy));
        return None;
    };
    if !reader.raw.said.contains_key("server.trusted_proxies") {
        let message = format!("`{FORMAT}` has no effect without `server.trusted_proxies`");
        let remedy = "name the addresses of your proxy: nobody else is believed";
        reader.warnings.push(Problem::new(reader.place(FORMAT), message).remedy(remedy));
    }
    Some(Some(CertificateHeader { name, format, chain: chain? }))
}

fn format(said: &Said) -> Result<CertificateFormat, Wrong> {
    match parse::text(said)? {
        "rfc9440" => Ok(CertificateFormat::Rfc9440),
        "xfcc" => Ok(CertificateFormat::Xfcc),
        "pem-urlencoded" => Ok(CertificateFormat::PemUrlencoded),
        "der-base64" => Ok(CertificateFormat::DerBase64),
        _ => Err(Wrong::new("must be \"rfc9440\", \"xfcc\", \"pem-urlencoded\" or \"der-base64\"")),
    }
}

fn name(said: &Said) -> Result<HeaderName, Wrong> {
    let name = parse::text(said)?;
    name.parse().map_err(|_| Wrong::new("must be the name of a header, such as Client-Cert"))
}

fn chain(said: &Said) -> Result<Chain, Wrong> {
    match parse::text(said)? {
        "unverified" => Ok(Chain::Unverified),
        "verified" => Ok(Chain::Verified),
        _ => Err(Wrong::new("must be \"unverified\" or \"verified\"")),
    }
}
