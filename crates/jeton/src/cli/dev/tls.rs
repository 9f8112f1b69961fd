//! Certificates for `jeton dev --tls`: an authority for the server and one for clients, each with one
//! certificate. They are kept in the folder and made anew, all of them, once one is missing or soon over.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_engine::certificate::{Chain, ClientCertificate};
use jeton_engine::clock::{Clock, Time};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use crate::cli::failure::Failure;
use crate::tls;

/// What everything is called under which a certificate is to be good for the server.
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// The name that the client's certificate bears.
pub(super) const CLIENT_NAME: &str = "dev-client";
const DAY: Duration = Duration::from_secs(24 * 3600);
const LIFE_DAYS: u32 = 730;
const SOON_DAYS: u32 = 30;

/// Where the files are.
#[derive(Clone, Debug)]
pub(super) struct TlsFiles {
    pub(super) ca: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
    pub(super) client_certificate: PathBuf,
    pub(super) client_key: PathBuf,
}

impl TlsFiles {
    /// The files in this folder, made where they have to be.
    pub(super) fn prepare(folder: &Path, clock: &Clock) -> Result<Self, Failure> {
        let folder = folder.join("tls");
        let files = Self {
            ca: folder.join("ca.pem"),
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            client_ca: folder.join("client-ca.pem"),
            client_certificate: folder.join("client-cert.pem"),
            client_key: folder.join("client-key.pem"),
        };
        if !files.are_good(clock.now()) {
            fs::create_dir_all(&folder)
                .map_err(|error| Failure::file("making the folder", &folder, &error))?;
            files.make(clock.now())?;
        }
        Ok(files)
    }

    fn are_good(&self, now: Time) -> bool {
        let soon = now.plus(DAY * SOON_DAYS);
        let lasts = |path: &PathBuf| {
            tls::certificates(path).is_ok_and(|found| {
                found.iter().all(|der| {
                    ClientCertificate::from_der(der, Chain::Unverified)
                        .is_ok_and(|read| read.is_valid_at(now) && read.is_valid_at(soon))
                })
            })
        };
        let belong = |certificate, key| tls::Identity::read(certificate, key).is_ok();
        [&self.ca, &self.certificate, &self.client_ca, &self.client_certificate]
            .into_iter()
            .all(lasts)
            && belong(&self.certificate, &self.key)
            && belong(&self.client_certificate, &self.client_key)
    }

    fn make(&self, now: Time) -> Result<(), Failure> {
        let cannot = |error: rcgen::Error| {
            Failure::failed(format!("certificates for this machine cannot be made: {error}"))
        };
        let made = || -> Result<[(&Path, String); 6], rcgen::Error> {
            let servers = authority("jeton dev: server authority", now)?;
            let clients = authority("jeton dev: client authority", now)?;
            let server = leaf(&SERVER_NAMES, ExtendedKeyUsagePurpose::ServerAuth, now)?;
            let client = leaf(&[CLIENT_NAME], ExtendedKeyUsagePurpose::ClientAuth, now)?;
            let (key, client_key) = (KeyPair::generate()?, KeyPair::generate()?);
            Ok([
                (&self.ca, servers.pem()),
                (&self.certificate, server.signed_by(&key, &servers)?.pem()),
                (&self.key, key.serialize_pem()),
                (&self.client_ca, clients.pem()),
                (&self.client_certificate, client.signed_by(&client_key, &clients)?.pem()),
                (&self.client_key, client_key.serialize_pem()),
            ])
        };
        made().map_err(cannot)?.iter().try_for_each(|(path, text)| write(path, text))
    }

    /// The section that names them, from the folder in which they were prepared.
    pub(super) fn section() -> &'static str {
        "\n[server.tls]\ncertificate = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n\
         client_certificates = \"optional\"\nclient_ca = \"tls/client-ca.pem\"\n"
    }
}

/// Nobody but the owner may read a key; certificates in the same folder need not be told apart.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::file("writing", path, &error);
    // An old file would keep its old mode.
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

fn authority(name: &str, now: Time) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = within(CertificateParams::default(), now);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Its key is gone after this: whoever trusts it trusts these certificates and no others.
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(
    names: &[&str],
    usage: ExtendedKeyUsagePurpose,
    now: Time,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = within(CertificateParams::default(), now);
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (number, name) in names.iter().enumerate() {
        if number == 0 {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into()?),
        });
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

/// From yesterday, since clocks differ, until two years from now.
fn within(mut params: CertificateParams, now: Time) -> CertificateParams {
    let day = |time: Time| {
        let moment = Timestamp::from_second(time.seconds()).unwrap_or_default();
        let date = moment.to_zoned(TimeZone::UTC).date();
        let number = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), number(date.month()), number(date.day()))
    };
    params.not_before = day(now.minus(DAY));
    params.not_after = day(now.plus(DAY * LIFE_DAYS));
    params
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn files_are_made_once_kept_and_made_anew_before_they_expire() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Time::from_seconds(1_782_864_000));
        let files = TlsFiles::prepare(folder.path(), &clock).unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let first = read(&files.certificate);
        assert_eq!(fs::metadata(&files.key).unwrap().mode() & 0o777, 0o600);
        clock.set(clock.now().plus(DAY * (LIFE_DAYS - SOON_DAYS - 2)));
        TlsFiles::prepare(folder.path(), &clock).unwrap();
        assert_eq!(read(&files.certificate), first);
        clock.set(clock.now().plus(DAY * 3));
        TlsFiles::prepare(folder.path(), &clock).unwrap();
        let second = read(&files.certificate);
        assert_ne!(second, first);
        fs::remove_file(&files.client_key).unwrap();
        TlsFiles::prepare(folder.path(), &clock).unwrap();
        assert_ne!(read(&files.certificate), second);
        assert!(files.client_key.exists());
    }
}
