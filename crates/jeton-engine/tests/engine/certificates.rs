//! Certificates prove who a client is (RFC 8705 section 2), each with its nearest no, and bind its tokens
//! (section 3).

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use jeton_engine::certificate::{CertificateName, Chain, ClientCertificate};
use jeton_engine::client::proof::{Binding, ClientKeys, Proof, PublicKeys, SenderConstraint};
use jeton_engine::client::{Client, ClientStatus, Lock};
use jeton_engine::error::{Error, Kind, Reason};
use jeton_engine::jose::{Algorithm, JwkSet, VerifyingKey};
use jeton_engine::key_source::{KeyLocation, KeySource, KeysUnavailable};
use jeton_engine::manage::{NewClient, NewSecret, NewToken};
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::{Profile, Proving};
use jeton_engine::request::{
    AuthenticationMethod, Caller, Credentials, TokenQuestion, TokenRequest,
};
use jeton_engine::terms::Terms;
use jeton_engine::token::Decision;
use jeton_engine::verify::{Access, Requirement, Scheme};
use parking_lot::Mutex;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _, SanType};

use crate::stage::{Ask, Stage, id, kind, named, realm, reason, settings, supplied, terms};

const SOURCE: &str = "192.0.2.1";

/// A key, and the parameters of a certificate that bears every kind of name.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.distinguished_name.push(DnType::CommonName, "orders");
    params.subject_alt_names = vec![
        SanType::DnsName("orders.example".try_into().unwrap()),
        SanType::URI("spiffe://example/orders".try_into().unwrap()),
        SanType::Rfc822Name("orders@example.com".try_into().unwrap()),
        SanType::IpAddress("2001:db8::7".parse().unwrap()),
    ];
    params
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn signed(key: &KeyPair, params: &CertificateParams, chain: Chain) -> ClientCertificate {
    ClientCertificate::from_der(params.self_signed(key).unwrap().der(), chain).unwrap()
}

/// A certificate of the client, vouched for.
fn good() -> ClientCertificate {
    signed(&key(), &params(), Chain::Verified)
}

/// A JWK set with the public half of this key, its JWK having these members as well.
fn jwks(key: &KeyPair, more: &str) -> String {
    let pem = pem("PUBLIC KEY", &key.subject_public_key_info());
    let jwk = VerifyingKey::from_public_pem(Algorithm::Es256, &pem).unwrap().to_jwk().unwrap();
    let jwk = jwk.strip_suffix('}').unwrap();
    format!("{{\"keys\":[{jwk}{more}}}]}}")
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A client that proves itself in this way.
fn client(method: AuthenticationMethod, proof: Proof) -> NewClient {
    NewClient { authentication: vec![method], proof, secret: NewSecret::None, ..named("orders") }
}

fn by_name(name: CertificateName) -> NewClient {
    let proof = Proof { certificate: Some(name), ..Proof::default() };
    client(AuthenticationMethod::TlsClientAuth, proof)
}

fn by_subject(dn: &str) -> NewClient {
    by_name(CertificateName::subject_dn(dn).unwrap())
}

fn by_keys(keys: ClientKeys) -> NewClient {
    let proof = Proof { keys: Some(keys), ..Proof::default() };
    client(AuthenticationMethod::SelfSignedTlsClientAuth, proof)
}

fn by_jwks(jwks: &str) -> NewClient {
    by_keys(ClientKeys::Jwks(jwks.parse::<PublicKeys>().unwrap()))
}

async fn with(new: NewClient) -> Stage {
    let stage = Stage::new().await;
    stage.client(new).await;
    stage
}

fn caller(certificate: Option<&ClientCertificate>) -> Caller<'_> {
    Caller { certificate, ..Caller::from(SOURCE.parse::<IpAddr>().unwrap()) }
}

/// Asks for a token, naming a client and showing a certificate.
async fn ask(stage: &Stage, client: &str, certificate: Option<&ClientCertificate>) -> Decision {
    let credentials = Credentials::Named(client);
    let request = TokenRequest { credentials, scope: None, audiences: Default::default() };
    stage.engine.decide(&stage.state(), &terms(), caller(certificate), Ok(&request)).await
}

async fn refused(stage: &Stage, certificate: &ClientCertificate) -> Reason {
    reason(&ask(stage, "orders", Some(certificate)).await)
}

async fn accepted(stage: &Stage, certificate: &ClientCertificate) -> bool {
    ask(stage, "orders", Some(certificate)).await.outcome.is_ok()
}

#[tokio::test]
async fn each_kind_of_name_proves_the_client_that_registered_it() {
    let certificate = good();
    for name in [
        CertificateName::subject_dn("CN=orders,O=Acme"),
        CertificateName::subject_dn("cn=Orders, o=ACME"),
        CertificateName::dns("Orders.Example"),
        CertificateName::uri("spiffe://example/orders"),
        CertificateName::ip("2001:db8:0::7"),
        CertificateName::email("orders@EXAMPLE.com"),
    ] {
        let stage = with(by_name(name.unwrap())).await;
        assert!(accepted(&stage, &certificate).await);
    }
}

#[tokio::test]
async fn a_name_that_only_resembles_the_registered_one_proves_nothing() {
    let certificate = good();
    for name in [
        CertificateName::subject_dn("O=Acme,CN=orders"),
        CertificateName::subject_dn("CN=orders"),
        CertificateName::subject_dn("CN=order,O=Acme"),
        CertificateName::subject_dn("CN=orders2,O=Acme"),
        CertificateName::subject_dn("CN=orders\\,O=Acme"),
        CertificateName::subject_dn("CN=orders+O=Acme"),
        CertificateName::subject_dn("CN=orders\\00,O=Acme"),
        CertificateName::subject_dn("CN=\u{43e}rders,O=Acme"),
        CertificateName::dns("example"),
        CertificateName::dns("a.orders.example"),
        CertificateName::dns("*.example"),
        CertificateName::dns("orders.example."),
        CertificateName::uri("spiffe://example/Orders"),
        CertificateName::uri("spiffe://example/orders/"),
        CertificateName::ip("2001:db8::8"),
        CertificateName::email("Orders@example.com"),
        // The right text as another kind of name.
        CertificateName::dns("orders"),
        CertificateName::uri("mailto:orders@example.com"),
    ] {
        let stage = with(by_name(name.clone().unwrap())).await;
        assert_eq!(refused(&stage, &certificate).await, Reason::CertificateWrong, "{name:?}");
    }
}

#[tokio::test]
async fn names_with_nulls_wildcards_and_second_common_names_are_nobody_elses() {
    let stage = with(by_subject("CN=orders,O=Acme")).await;
    for common in ["orders\u{0}", "orders\u{0}.evil", "*", "orders,O=Acme"] {
        let mut params = params();
        params.distinguished_name.push(DnType::CommonName, common);
        let certificate = signed(&key(), &params, Chain::Verified);
        assert_eq!(refused(&stage, &certificate).await, Reason::CertificateWrong, "{common:?}");
    }
    let common = || DnType::CustomDnType(vec![2, 5, 4, 3]);
    for (more, value) in [(common(), "orders"), (common(), "evil"), (DnType::CountryName, "FR")] {
        let mut twice = params();
        twice.distinguished_name.push(more, value);
        let certificate = signed(&key(), &twice, Chain::Verified);
        assert_eq!(
            refused(&stage, &certificate).await,
            Reason::CertificateWrong,
            "{certificate:?}"
        );
    }

    let stage = with(by_name(CertificateName::dns("orders.example").unwrap())).await;
    let mut wild = params();
    wild.subject_alt_names = vec![SanType::DnsName("*.example".try_into().unwrap())];
    let certificate = signed(&key(), &wild, Chain::Verified);
    assert_eq!(refused(&stage, &certificate).await, Reason::CertificateWrong);
}

#[tokio::test]
async fn the_right_name_needs_an_authority_that_vouches_for_it_and_the_right_moment() {
    let stage = with(by_subject("CN=orders,O=Acme")).await;
    let unvouched = signed(&key(), &params(), Chain::Unverified);
    assert_eq!(refused(&stage, &unvouched).await, Reason::CertificateUntrusted);

    let mut limited = params();
    limited.not_before = rcgen::date_time_ymd(2023, 11, 14);
    limited.not_after = rcgen::date_time_ymd(2023, 11, 16);
    let certificate = signed(&key(), &limited, Chain::Verified);
    assert!(accepted(&stage, &certificate).await);
    // A connection that stays open for longer than its certificate lasts.
    stage.pass_seconds(2 * 86_400);
    assert_eq!(refused(&stage, &certificate).await, Reason::CertificateExpired);

    limited.not_before = rcgen::date_time_ymd(2023, 11, 20);
    limited.not_after = rcgen::date_time_ymd(2023, 11, 21);
    let certificate = signed(&key(), &limited, Chain::Verified);
    assert_eq!(refused(&stage, &certificate).await, Reason::CertificateExpired);
}

#[tokio::test]
async fn a_registered_key_proves_the_client_whatever_certificate_it_is_in() {
    let key = key();
    let stage = with(by_jwks(&jwks(&key, ""))).await;
    for chain in [Chain::Verified, Chain::Unverified] {
        assert!(accepted(&stage, &signed(&key, &params(), chain)).await);
    }
    // Another certificate of the same key, nameless, and long expired: only the key counts.
    let mut other = CertificateParams::default();
    other.not_after = rcgen::date_time_ymd(2001, 1, 1);
    assert!(accepted(&stage, &signed(&key, &other, Chain::Unverified)).await);
    // The same names around another key.
    let certificate = good();
    assert_eq!(refused(&stage, &certificate).await, Reason::CertificateWrong);
}

#[tokio::test]
async fn a_registered_certificate_proves_the_client_alone() {
    use base64::Engine as _;
    let key = key();
    let registered = params().self_signed(&key).unwrap();
    let x5c = base64::engine::general_purpose::STANDARD.encode(registered.der());
    let stage = with(by_jwks(&jwks(&key, &format!(",\"x5c\":[\"{x5c}\"]")))).await;
    let shown = ClientCertificate::from_der(registered.der(), Chain::Unverified).unwrap();
    assert!(accepted(&stage, &shown).await);
    // The same key in another certificate; the same certificate beside another key.
    let mut other = params();
    other.serial_number = Some(7.into());
    let certificate = signed(&key, &other, Chain::Verified);
    assert_eq!(refused(&stage, &certificate).await, Reason::CertificateWrong);
    let stage = with(by_jwks(&jwks(&self::key(), &format!(",\"x5c\":[\"{x5c}\"]")))).await;
    assert_eq!(refused(&stage, &shown).await, Reason::CertificateWrong);
}

/// Has one key set, and remembers what it was asked for.
struct OneSet(Mutex<Option<Arc<JwkSet>>>, Mutex<Vec<Option<String>>>);

#[async_trait]
impl KeySource for OneSet {
    async fn key_set(
        &self,
        location: &KeyLocation,
        wanted: Option<&str>,
    ) -> Result<Arc<JwkSet>, KeysUnavailable> {
        assert_eq!(*location, KeyLocation::Uri("https://orders.example/jwks".into()));
        self.1.lock().push(wanted.map(ToOwned::to_owned));
        self.0.lock().clone().ok_or_else(|| KeysUnavailable("it does not answer".into()))
    }
}

#[tokio::test]
async fn keys_are_fetched_and_looked_at_again_before_a_certificate_is_refused() {
    let (key, other) = (key(), key());
    let set = Arc::new(JwkSet::parse(&jwks(&key, "")).unwrap());
    let source = Arc::new(OneSet(Mutex::new(Some(set)), Mutex::default()));
    let mut parts = Stage::new().await.parts;
    parts.key_source = Arc::clone(&source) as Arc<dyn KeySource>;
    let stage = Stage::on(parts, realm()).await;
    let uri = "https://orders.example/jwks".parse().unwrap();
    stage.client(by_keys(ClientKeys::JwksUri(uri))).await;

    assert!(accepted(&stage, &signed(&key, &params(), Chain::Unverified)).await);
    assert_eq!(*source.1.lock(), [None]);
    let unknown = signed(&other, &params(), Chain::Unverified);
    assert_eq!(refused(&stage, &unknown).await, Reason::CertificateWrong);
    assert_eq!(*source.1.lock(), [None, None, Some(unknown.thumbprint().to_string())]);

    *source.0.lock() = None;
    assert_eq!(refused(&stage, &unknown).await, Reason::KeysUnavailable);
}

#[tokio::test]
async fn whoever_is_not_proved_hears_the_same() {
    let stage = with(by_subject("CN=orders,O=Acme")).await;
    stage.client(NewClient { secret: supplied("x"), ..named("secretive") }).await;
    let bare = NewClient { id: Some(id("bare")), ..by_subject("CN=bare") };
    stage.client(bare).await;
    let bare = stage.kept("bare").await;
    stage.keep(Client { proof: None, ..bare }).await;
    let certificate = good();
    for (client, shown, expected) in [
        ("nobody", Some(&certificate), Reason::ClientUnknown),
        ("secretive", Some(&certificate), Reason::AuthenticationMethod),
        ("bare", Some(&certificate), Reason::CertificateUnregistered),
        ("orders", None, Reason::AuthenticationMissing),
        ("nobody", None, Reason::AuthenticationMissing),
    ] {
        let decision = ask(&stage, client, shown).await;
        assert_eq!(reason(&decision), expected, "{client}");
        assert_eq!(kind(&decision), Kind::InvalidClient, "{client}");
    }
    // A secret is no way in for a client of certificates.
    let by_secret = stage.refused(&terms(), &Ask::new("orders", "x")).await;
    assert_eq!(by_secret, Reason::SecretsNone);
}

#[tokio::test]
async fn a_proved_client_must_still_be_enabled_unlocked_and_call_from_its_networks() {
    let networks = vec!["198.51.100.0/24".parse().unwrap()];
    let stage = with(NewClient { networks, ..by_subject("CN=orders,O=Acme") }).await;
    assert_eq!(refused(&stage, &good()).await, Reason::SourceNotAllowed);

    let stage = with(by_subject("CN=orders,O=Acme")).await;
    let manage = stage.manage();
    manage.lock_client(&stage.realm.name, &id("orders"), Lock::UntilUnlocked).await.unwrap();
    stage.follow().await;
    assert_eq!(refused(&stage, &good()).await, Reason::ClientLocked);
    manage.unlock_client(&stage.realm.name, &id("orders")).await.unwrap();
    manage.set_status(&stage.realm.name, &id("orders"), ClientStatus::Disabled).await.unwrap();
    stage.follow().await;
    assert_eq!(refused(&stage, &good()).await, Reason::ClientDisabled);
    // Only who has proved to be the client may learn that.
    let wrong = signed(&key(), &CertificateParams::default(), Chain::Verified);
    assert_eq!(refused(&stage, &wrong).await, Reason::CertificateWrong);
}

#[tokio::test]
async fn wrong_certificates_cost_guesses_and_right_ones_do_not() {
    let few = jeton_engine::engine::Settings { guesses_free: 3, ..settings() };
    let few = jeton_engine::engine::Settings { guess_wait_max: std::time::Duration::ZERO, ..few };
    let stage = Stage::with(few, realm()).await;
    stage.client(by_subject("CN=orders,O=Acme")).await;
    for _ in 0..5 {
        assert!(accepted(&stage, &good()).await);
    }
    let wrong = signed(&key(), &CertificateParams::default(), Chain::Verified);
    for _ in 0..3 {
        assert_eq!(refused(&stage, &wrong).await, Reason::CertificateWrong);
    }
    assert_eq!(refused(&stage, &wrong).await, Reason::SourceSlowed);
}

#[tokio::test]
async fn certificates_prove_who_introspects_and_revokes() {
    let stage = with(by_subject("CN=orders,O=Acme")).await;
    let certificate = good();
    let issued = ask(&stage, "orders", Some(&certificate)).await.outcome.unwrap();
    let token = issued.access_token.reveal();
    let question = TokenQuestion { credentials: Credentials::Named("orders"), token };
    let (state, terms) = (stage.state(), terms());
    let wrong = signed(&key(), &CertificateParams::default(), Chain::Verified);

    let by = |shown| stage.engine.introspect(&state, &terms, caller(shown), Ok(&question));
    assert!(by(Some(&certificate)).await.outcome.unwrap().token.is_some());
    assert_eq!(reason(&by(Some(&wrong)).await), Reason::CertificateWrong);
    assert_eq!(reason(&by(None).await), Reason::AuthenticationMissing);

    let by = |shown| stage.engine.revoke(&state, &terms, caller(shown), Ok(&question));
    assert_eq!(reason(&by(Some(&wrong)).await), Reason::CertificateWrong);
    assert!(stage.holds(token).await);
    by(Some(&certificate)).await.outcome.unwrap();
    assert!(!stage.holds(token).await);
}

/// The realm, with no bearer tokens.
fn fapi2() -> Realm {
    Realm { proving: Proving { profile: Profile::Fapi2, ..Proving::default() }, ..realm() }
}

fn bound_to_certificate(new: NewClient, mtls: Binding) -> NewClient {
    let sender = SenderConstraint { mtls, ..SenderConstraint::default() };
    NewClient { proof: Proof { sender, ..new.proof.clone() }, ..new }
}

#[tokio::test]
async fn a_certificate_binds_the_token_when_the_client_says_so() {
    let certificate = good();
    for (mtls, bound) in
        [(Binding::Off, false), (Binding::Allowed, true), (Binding::Required, true)]
    {
        let stage = with(bound_to_certificate(by_subject("CN=orders,O=Acme"), mtls)).await;
        let issued = ask(&stage, "orders", Some(&certificate)).await.outcome.unwrap();
        let expected = bound.then(|| certificate.thumbprint());
        assert_eq!(issued.confirmation.certificate, expected, "{mtls:?}");
        assert_eq!(issued.confirmation.token_type(), "Bearer");
        let checked = stage.check(issued.access_token.reveal()).await.unwrap();
        assert_eq!(checked.says.confirmation, issued.confirmation, "{mtls:?}");
    }
}

#[tokio::test]
async fn a_client_of_secrets_has_its_tokens_bound_and_is_refused_where_it_must_and_shows_none() {
    let shown = signed(&key(), &CertificateParams::default(), Chain::Unverified);
    for mtls in [Binding::Off, Binding::Allowed, Binding::Required] {
        let new = NewClient { secret: NewSecret::Generated, ..named("orders") };
        let stage = Stage::new().await;
        let secret = stage.client(bound_to_certificate(new, mtls)).await;
        let with = stage.ask_showing(&terms(), &Ask::new("orders", &secret), Some(&shown)).await;
        let bound = with.outcome.unwrap().confirmation.certificate;
        assert_eq!(bound.is_some(), mtls != Binding::Off, "{mtls:?}");
        let without = stage.ask_showing(&terms(), &Ask::new("orders", &secret), None).await;
        if mtls == Binding::Required {
            assert_eq!(reason(&without), Reason::CertificateMissing);
            // It has proved who it is: what is wrong is the request (RFC 6749 section 5.2).
            assert_eq!(kind(&without), Kind::InvalidRequest);
        } else {
            assert_eq!(without.outcome.unwrap().confirmation.certificate, None, "{mtls:?}");
        }
        // The certificate is no help to a wrong secret.
        let wrong = stage.ask_showing(&terms(), &Ask::new("orders", "x"), Some(&shown)).await;
        assert_eq!(kind(&wrong), Kind::InvalidClient);
    }
}

#[tokio::test]
async fn a_bound_token_passes_a_gateway_with_its_certificate_alone() {
    let new = bound_to_certificate(by_subject("CN=orders,O=Acme"), Binding::Required);
    let stage = with(new).await;
    let (certificate, renewed) = (good(), good());
    let issued = ask(&stage, "orders", Some(&certificate)).await.outcome.unwrap();
    let verify = async |shown, scheme| {
        let token = issued.access_token.reveal();
        let access =
            Access { scheme, token: token.as_bytes(), requirement: Requirement::default() };
        let verified = stage.engine.verify(&stage.state(), &terms(), caller(shown), &access).await;
        match verified {
            Ok(_) => None,
            Err(Error::Refusal(refusal)) => Some(refusal.reason),
            Err(Error::Fault(fault)) => panic!("{fault}"),
        }
    };
    // Twice, for what is remembered of a token must not stand for the certificate.
    for _ in 0..2 {
        assert_eq!(verify(Some(&certificate), Scheme::Bearer).await, None);
        let other = Some(Reason::TokenCertificateOther);
        assert_eq!(verify(Some(&renewed), Scheme::Bearer).await, other);
        let missing = Some(Reason::TokenCertificateMissing);
        assert_eq!(verify(None, Scheme::Bearer).await, missing);
        assert_eq!(verify(None, Scheme::Dpop).await, missing);
        let unbound = Some(Reason::TokenUnbound);
        assert_eq!(verify(Some(&certificate), Scheme::Dpop).await, unbound);
    }
}

#[tokio::test]
async fn a_realm_of_profile_fapi2_issues_no_bearer_tokens() {
    for mtls in [Binding::Off, Binding::Allowed, Binding::Required] {
        let stage = Stage::with(settings(), fapi2()).await;
        stage.client(bound_to_certificate(by_subject("CN=orders,O=Acme"), mtls)).await;
        let certificate = good();
        let issued = ask(&stage, "orders", Some(&certificate)).await.outcome.unwrap();
        assert_eq!(issued.confirmation.certificate, Some(certificate.thumbprint()), "{mtls:?}");
    }
}

#[tokio::test]
async fn tokens_that_must_be_bound_are_not_made_by_hand() {
    let by_hand = |stage: &Stage| {
        let new = NewToken {
            client_id: id("orders"),
            name: "cron".to_owned(),
            scope: None,
            lifetime: None,
        };
        let (manage, realm) = (stage.manage(), stage.realm.clone());
        async move { manage.make_token(&realm, &terms(), new).await.map(|_| ()) }
    };
    let required = bound_to_certificate(by_subject("CN=orders,O=Acme"), Binding::Required);
    let refusal = by_hand(&with(required).await).await.unwrap_err().to_string();
    assert!(refusal.contains("must be bound to its certificate"), "{refusal}");
    let allowed = bound_to_certificate(by_subject("CN=orders,O=Acme"), Binding::Allowed);
    assert!(by_hand(&with(allowed).await).await.is_ok());
    let stage = Stage::with(settings(), fapi2()).await;
    stage.client(by_subject("CN=orders,O=Acme")).await;
    let refusal = by_hand(&stage).await.unwrap_err().to_string();
    assert!(refusal.contains("profile is fapi2"), "{refusal}");
}

#[tokio::test]
async fn a_client_uses_no_way_that_the_dialect_does_not_read() {
    use AuthenticationMethod::{SelfSignedTlsClientAuth, TlsClientAuth};
    let key = key();
    let certificate = signed(&key, &params(), Chain::Verified);
    for (new, own, other) in [
        (by_jwks(&jwks(&key, "")), SelfSignedTlsClientAuth, TlsClientAuth),
        (by_subject("CN=orders,O=Acme"), TlsClientAuth, SelfSignedTlsClientAuth),
    ] {
        let stage = with(new).await;
        for (read, expected) in [(own, None), (other, Some(Reason::AuthenticationMethod))] {
            let terms = Terms { authentication: vec![read], ..terms() };
            let credentials = Credentials::Named("orders");
            let request = TokenRequest { credentials, scope: None, audiences: Default::default() };
            let caller = caller(Some(&certificate));
            let decision = stage.engine.decide(&stage.state(), &terms, caller, Ok(&request)).await;
            let refused = decision.outcome.is_err().then(|| reason(&decision));
            assert_eq!(refused, expected, "{own} where {read} is read");
        }
    }
}
