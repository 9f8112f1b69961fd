//! Proves which names a certificate bears and how they are read and written.

use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

use super::*;

fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().to_vec(), rcgen::PublicKeyData::subject_public_key_info(&key))
}

fn read(change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
    ClientCertificate::from_der(&certificate(change).0, Chain::Unverified).unwrap()
}

fn subject(pairs: &[(DnType, DnValue)]) -> ClientCertificate {
    read(|params| {
        for (kind, value) in pairs {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
    })
}

fn utf8(text: &str) -> DnValue {
    DnValue::Utf8String(text.to_owned())
}

fn dn(text: &str) -> CertificateName {
    CertificateName::subject_dn(text).unwrap()
}

#[test]
fn the_thumbprint_is_of_the_whole_certificate_and_the_key_is_as_it_stands_in_it() {
    let (der, key) = certificate(|_| ());
    let read = ClientCertificate::from_der(&der, Chain::Verified).unwrap();
    assert_eq!(read.thumbprint(), Thumbprint::of_certificate(&der));
    assert_eq!(read.public_key(), key);
    assert_eq!(read.chain(), Chain::Verified);
    let (other, _) = certificate(|_| ());
    let other = ClientCertificate::from_der(&other, Chain::Verified).unwrap();
    assert_ne!(read.thumbprint(), other.thumbprint());
    assert_ne!(read.public_key(), other.public_key());
}

#[test]
fn what_is_not_exactly_one_certificate_is_refused() {
    let refused = |bytes: &[u8]| ClientCertificate::from_der(bytes, Chain::Unverified).unwrap_err();
    let (der, _) = certificate(|_| ());
    let broken = CertificateError::NotACertificate;
    assert_eq!(refused(&[]), broken);
    assert_eq!(refused(&der[..der.len() - 1]), broken);
    assert_eq!(refused(&[der.as_slice(), &[0]].concat()), broken);
    assert_eq!(refused(&[der.as_slice(), der.as_slice()].concat()), broken);
    assert_eq!(refused(&vec![0x30; ClientCertificate::BYTES_MAX]), broken);
    assert_eq!(refused(&vec![0x30; ClientCertificate::BYTES_MAX + 1]), CertificateError::TooLarge);
}

#[test]
fn a_subject_is_written_and_compared_as_rfc_4514_has_it() {
    let ours = subject(&[
        (DnType::CountryName, utf8("FR")),
        (DnType::OrganizationName, utf8("Acme, \"Sons\" + Cie")),
        (DnType::CommonName, utf8(" #1 Café ")),
    ]);
    let text = "CN=\\ #1 Café\\ ,O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR";
    assert_eq!(ours.subject().to_string(), text);
    for same in [
        text,
        "cn=\\20#1 Caf\\c3\\a9\\20, o = Acme\\2c \\\"Sons\\\" \\+ Cie , c=FR",
        "2.5.4.3=\\ \\#1 Café\\ ,OID.2.5.4.10=Acme\\, \\22Sons\\22 \\2b Cie,2.5.4.6=FR",
        "CN=#0c0a20233120436166c3a920,O=Acme\\, \\\"Sons\\\" \\+ Cie,C=#13024652",
        "CN=\\#1  caFé,O=ACME\\, \\\"sons\\\" \\+ Cie,C=fr",
    ] {
        assert!(ours.bears(&dn(same)), "{same}");
    }
    for other in [
        "CN=\\ #1 Café\\ ",
        "CN=\\ #1 Cafe\\ ,O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR",
        "CN=\\ #1 CAFÉ\\ ,O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR",
        "CN=\\ #1Café\\ ,O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR",
        "C=FR,O=Acme\\, \\\"Sons\\\" \\+ Cie,CN=\\ #1 Café\\ ",
        "O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR",
        "CN=\\ #1 Café\\ +O=Acme\\, \\\"Sons\\\" \\+ Cie,C=FR",
    ] {
        assert!(!ours.bears(&dn(other)), "{other}");
    }
}

#[test]
fn a_value_cannot_pass_itself_off_as_two_attributes() {
    let sly = subject(&[(DnType::CommonName, utf8("a,O=Acme"))]);
    assert!(!sly.bears(&dn("CN=a,O=Acme")));
    assert!(sly.bears(&dn("CN=a\\,O=Acme")));
    let control = subject(&[(DnType::CommonName, utf8("a\nb\u{0}"))]);
    assert_eq!(control.subject().to_string(), "CN=a\\0ab\\00");
}

#[test]
fn string_types_make_no_difference() {
    let printable = DnValue::PrintableString("node".try_into().unwrap());
    let wide = DnValue::BmpString("node".try_into().unwrap());
    for value in [printable, wide, utf8("node")] {
        assert!(subject(&[(DnType::CommonName, value)]).bears(&dn("CN=node")));
    }
}

#[test]
fn case_and_spaces_count_in_values_of_types_that_nobody_knows_and_lookalikes_everywhere() {
    let kind = DnType::CustomDnType(vec![1, 2, 3, 4]);
    let ours = subject(&[(kind, utf8("Node 7")), (DnType::CommonName, utf8("Kiosk  seven"))]);
    assert!(ours.bears(&dn("CN=kiosk SEVEN,1.2.3.4=Node 7")));
    for other in [
        "CN=kiosk SEVEN,1.2.3.4=node 7",
        "CN=kiosk SEVEN,1.2.3.4=Node  7",
        "CN=kiosk SEVEN,1.2.3.5=Node 7",
        // The Kelvin sign, which lower case takes for a k; a Cyrillic o; a space that does not break; a null.
        "CN=\u{212a}iosk seven,1.2.3.4=Node 7",
        "CN=ki\u{43e}sk seven,1.2.3.4=Node 7",
        "CN=kiosk\u{a0}seven,1.2.3.4=Node 7",
        "CN=kiosk seven\\00,1.2.3.4=Node 7",
        "CN=kiosk,1.2.3.4=Node 7",
        "CN=kiosk seven,CN=kiosk seven,1.2.3.4=Node 7",
        "CN=kiosk seven+CN=kiosk seven,1.2.3.4=Node 7",
    ] {
        assert!(!ours.bears(&dn(other)), "{other}");
    }
}

#[test]
fn names_come_back_as_they_were_kept() {
    for (name, kept) in [
        (dn("cn = Node\\2c 7, O=Acme"), r#"{"subject_dn":"CN=Node\\, 7,O=Acme"}"#),
        (CertificateName::dns("Node.example").unwrap(), r#"{"san_dns":"node.example"}"#),
        (CertificateName::uri("spiffe://e/N").unwrap(), r#"{"san_uri":"spiffe://e/N"}"#),
        (CertificateName::ip("2001:DB8::0:7").unwrap(), r#"{"san_ip":"2001:db8::7"}"#),
        (CertificateName::email("Ops@E.com").unwrap(), r#"{"san_email":"Ops@e.com"}"#),
    ] {
        assert_eq!(serde_json::to_string(&name).unwrap(), kept);
        assert_eq!(serde_json::from_str::<CertificateName>(kept).unwrap(), name);
    }
    for broken in [r#"{"subject_dn":"node"}"#, r#"{"san_dns":""}"#, r#"{"san":"x"}"#, "{}"] {
        assert!(serde_json::from_str::<CertificateName>(broken).is_err(), "{broken}");
    }
}

#[test]
fn a_certificate_without_a_subject_bears_none() {
    let nameless = read(|_| ());
    assert!(nameless.subject().is_empty());
    for text in ["", "   "] {
        assert!(CertificateName::subject_dn(text).is_err());
    }
}

#[test]
fn what_is_no_distinguished_name_is_refused() {
    for text in [
        "/C=FR/CN=node",
        "node",
        "CN",
        "CN=",
        "CN=node,",
        "CN=node,,C=FR",
        "CN=no\\de",
        "CN=node\\",
        "CN=a;b",
        "CN=\"a\"",
        "CN=\\ff",
        "CN=#",
        "CN=#0c",
        "CN=#0c0461",
        "CN=#zz",
        "name=node",
        "2.5..3=node",
        "2.05.4=node",
        "OID.=node",
        "=node",
    ] {
        assert!(CertificateName::subject_dn(text).is_err(), "{text}");
    }
    assert!(CertificateName::subject_dn(&format!("CN={}", "a".repeat(5000))).is_err());
}

#[test]
fn alternative_names_are_compared_with_their_own_kind_alone() {
    let ours = read(|params| {
        params.distinguished_name.push(DnType::CommonName, "node.example");
        params.subject_alt_names = vec![
            SanType::DnsName("Node.Example".try_into().unwrap()),
            SanType::DnsName("*.wild.example".try_into().unwrap()),
            SanType::URI("spiffe://example/Node".try_into().unwrap()),
            SanType::Rfc822Name("Ops@Example.com".try_into().unwrap()),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ];
    });
    for name in [
        CertificateName::dns("node.EXAMPLE"),
        CertificateName::dns("*.wild.example"),
        CertificateName::uri("spiffe://example/Node"),
        CertificateName::email("Ops@example.COM"),
        CertificateName::ip("192.0.2.7"),
        CertificateName::ip("2001:db8:0:0:0:0:0:7"),
    ] {
        assert!(ours.bears(name.as_ref().unwrap()), "{name:?}");
    }
    for name in [
        CertificateName::dns("a.wild.example"),
        CertificateName::dns("example"),
        CertificateName::dns("192.0.2.7"),
        CertificateName::uri("spiffe://example/node"),
        CertificateName::email("ops@example.com"),
        CertificateName::ip("192.0.2.8"),
        CertificateName::ip("::ffff:192.0.2.7"),
    ] {
        assert!(!ours.bears(name.as_ref().unwrap()), "{name:?}");
    }
    // A common name that looks like a host is none.
    let common = subject(&[(DnType::CommonName, utf8("node.example"))]);
    assert!(!common.bears(&CertificateName::dns("node.example").unwrap()));
}

#[test]
fn names_that_no_certificate_can_bear_are_refused() {
    assert!(CertificateName::dns("").is_err());
    assert!(CertificateName::dns("exämple.com").is_err());
    assert!(CertificateName::dns("a b").is_err());
    assert!(CertificateName::uri("node").is_err());
    assert!(CertificateName::uri(":node").is_err());
    assert!(CertificateName::ip("192.0.2.0/24").is_err());
    assert!(CertificateName::email("ops").is_err());
    assert!(CertificateName::email("@example.com").is_err());
}

#[test]
fn validity_includes_both_ends() {
    let ours = read(|params| {
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
    });
    let (begin, end) = (1_767_225_600, 1_769_904_000);
    assert_eq!(ours.not_after(), Time::from_seconds(end));
    assert!(!ours.is_valid_at(Time::from_milliseconds(begin * 1000 - 1)));
    assert!(ours.is_valid_at(Time::from_seconds(begin)));
    assert!(ours.is_valid_at(Time::from_milliseconds(end * 1000 + 999)));
    assert!(!ours.is_valid_at(Time::from_seconds(end + 1)));
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_name(values in proptest::collection::vec(".{1,20}", 1..4)) {
        let kinds = [DnType::CountryName, DnType::OrganizationName, DnType::CommonName];
        let pairs: Vec<_> = kinds.into_iter().zip(values.iter().map(|value| utf8(value))).collect();
        let ours = subject(&pairs);
        proptest::prop_assert!(ours.bears(&dn(&ours.subject().to_string())), "{}", ours.subject());
    }
}
