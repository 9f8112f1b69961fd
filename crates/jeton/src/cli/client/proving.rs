//! What a client proves itself with beside secrets, and what its tokens are bound to, as flags say it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use jeton_engine::certificate::CertificateName;
use jeton_engine::client::proof::{
    Binding, ClientKeys, Federated, HttpsUri, Proof, SenderConstraint,
};
use jeton_engine::manage::ProofChange;
use jeton_engine::name::{RealmName, Subject};
use serde_json::{Map, Value};

use super::public_keys;
use crate::cli::failure::Failure;

/// What a client proves itself with beside secrets, and what its tokens are bound to.
#[derive(Args, Debug)]
pub(super) struct Proving {
    /// Its public keys: a JWK set, a public JWK, or in PEM a public key or a certificate; they let it
    /// authenticate by private_key_jwt or self_signed_tls_client_auth
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_uri")]
    jwks_file: Option<PathBuf>,
    /// Where its public keys are published as a JWK set, by https; fetched when they are needed
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<HttpsUri>,
    #[command(flatten)]
    certificate: Names,
    /// A trusted issuer of the realm's configuration, by its name there, whose assertions stand for it
    #[arg(long, value_name = "TRUSTED_ISSUER", requires = "federated_subject")]
    federated: Option<RealmName>,
    /// The subject that these assertions must have
    #[arg(long, value_name = "S", requires = "federated")]
    federated_subject: Option<Subject>,
    /// What else they must say, to the letter (NAME:=JSON where the value is not a text); may be given
    /// several times
    #[arg(long, value_name = "NAME=VALUE", requires = "federated")]
    federated_claim: Vec<Claim>,
    /// Only issue tokens that are bound to its DPoP key (dpop) or its certificate (mtls). Also
    /// dpop=allowed, mtls=allowed: bound when a request shows it; dpop=off, mtls=off: never
    #[arg(long, value_name = "dpop|mtls")]
    sender_constrained: Vec<Sender>,
}

/// Whom the client's certificate names: one of these.
#[derive(Args, Debug)]
#[group(multiple = false, id = "tls_name")]
struct Names {
    /// The subject of its certificate, as in RFC 4514, for tls_client_auth
    #[arg(long, value_name = "DN", value_parser = CertificateName::subject_dn)]
    tls_subject_dn: Option<CertificateName>,
    /// A host name in its certificate, for tls_client_auth
    #[arg(long, value_name = "N", value_parser = CertificateName::dns)]
    tls_san_dns: Option<CertificateName>,
    /// A URI in its certificate, for tls_client_auth
    #[arg(long, value_name = "U", value_parser = CertificateName::uri)]
    tls_san_uri: Option<CertificateName>,
    /// An address in its certificate, for tls_client_auth
    #[arg(long, value_name = "A", value_parser = CertificateName::ip)]
    tls_san_ip: Option<CertificateName>,
    /// An address of electronic mail in its certificate, for tls_client_auth
    #[arg(long, value_name = "E", value_parser = CertificateName::email)]
    tls_san_email: Option<CertificateName>,
}

/// What is taken away again.
#[derive(Args, Debug)]
pub(super) struct Unproving {
    /// It has no public keys any more
    #[arg(long, conflicts_with_all = ["jwks_file", "jwks_uri"])]
    no_jwks: bool,
    /// No certificate names it any more
    #[arg(long, conflicts_with = "tls_name")]
    no_tls_name: bool,
    /// Nobody else's assertions stand for it any more
    #[arg(long, conflicts_with = "federated")]
    no_federated: bool,
    /// Its tokens are bound as those of any client again: when a request brings a DPoP proof
    #[arg(long, conflicts_with = "sender_constrained")]
    no_sender_constrained: bool,
}

impl Names {
    fn read(self) -> Option<CertificateName> {
        None.or(self.tls_subject_dn)
            .or(self.tls_san_dns)
            .or(self.tls_san_uri)
            .or(self.tls_san_ip)
            .or(self.tls_san_email)
    }
}

impl Proving {
    /// What a new client has of it.
    pub(super) fn read(self) -> Result<Proof, Failure> {
        let change = self.change()?;
        let usual = SenderConstraint::default();
        Ok(Proof {
            keys: change.keys.flatten(),
            certificate: change.certificate.flatten(),
            federated: change.federated.flatten(),
            sender: SenderConstraint {
                dpop: change.dpop.unwrap_or(usual.dpop),
                mtls: change.mtls.unwrap_or(usual.mtls),
            },
        })
    }

    fn change(self) -> Result<ProofChange, Failure> {
        let keys = match (self.jwks_file, self.jwks_uri) {
            (Some(path), _) => Some(ClientKeys::Jwks(public_keys::read(&path)?)),
            (None, uri) => uri.map(ClientKeys::JwksUri),
        };
        let claims: Map<String, Value> =
            self.federated_claim.into_iter().map(|claim| (claim.name, claim.value)).collect();
        let federated = self.federated.zip(self.federated_subject);
        let federated = federated.map(|(issuer, subject)| Federated { issuer, subject, claims });
        let binding = |kind| {
            let said = self.sender_constrained.iter().rev().find(|sender| sender.kind == kind);
            said.map(|sender| sender.binding)
        };
        Ok(ProofChange {
            keys: keys.map(Some),
            certificate: self.certificate.read().map(Some),
            federated: federated.map(Some),
            dpop: binding(Kind::Dpop),
            mtls: binding(Kind::Mtls),
        })
    }

    /// What is changed of a client that there is.
    pub(super) fn change_with(self, taken: &Unproving) -> Result<ProofChange, Failure> {
        let mut change = self.change()?;
        if taken.no_jwks {
            change.keys = Some(None);
        }
        if taken.no_tls_name {
            change.certificate = Some(None);
        }
        if taken.no_federated {
            change.federated = Some(None);
        }
        if taken.no_sender_constrained {
            let usual = SenderConstraint::default();
            (change.dpop, change.mtls) = (Some(usual.dpop), Some(usual.mtls));
        }
        Ok(change)
    }
}

/// A condition on an assertion.
#[derive(Clone, Debug, PartialEq)]
struct Claim {
    name: String,
    value: Value,
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
        let Some(name) = name.strip_suffix(':') else {
            return Ok(Self { name: name.to_owned(), value: value.into() });
        };
        let value = serde_json::from_str(value)
            .map_err(|_| r#"must have JSON after :=, as in name:={"a":1}"#)?;
        Ok(Self { name: name.to_owned(), value })
    }
}

/// What tokens are bound to, and whether.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sender {
    kind: Kind,
    binding: Binding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dpop,
    Mtls,
}

impl FromStr for Sender {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "must be dpop or mtls, or one of them with =required, =allowed or =off";
        let (kind, binding) = text.split_once('=').unwrap_or((text, "required"));
        let kind = match kind {
            "dpop" => Kind::Dpop,
            "mtls" => Kind::Mtls,
            _ => return Err(BAD),
        };
        let binding = match binding {
            "required" => Binding::Required,
            "allowed" => Binding::Allowed,
            "off" => Binding::Off,
            _ => return Err(BAD),
        };
        Ok(Self { kind, binding })
    }
}
