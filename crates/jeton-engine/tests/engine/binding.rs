//! To what a token is bound: by what the client must, what the profile demands, and what the request
//! shows of a DPoP proof and a certificate (RFC 8705 section 3, RFC 9449 section 5).

use std::net::IpAddr;

use jeton_engine::certificate::{Chain, ClientCertificate};
use jeton_engine::client::proof::Binding::{self, Allowed, Off, Required};
use jeton_engine::client::proof::{Proof, SenderConstraint};
use jeton_engine::error::{Error, Kind, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::manage::NewClient;
use jeton_engine::realm::Realm;
use jeton_engine::realm::proving::Profile::{self, Fapi2, Standard};
use jeton_engine::request::{
    AssertionCredentials, Caller, Credentials, PresentedProof, TokenRequest,
};

use crate::asserting::{Signer, claims_with, realm_with, signing};
use crate::dpop::{Draft, TOKEN, key};
use crate::stage::{Stage, settings, terms};

const NEITHER: (bool, bool) = (false, false);
const PROOF: (bool, bool) = (true, false);
const CERTIFICATE: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

/// Profile, what the client says of DPoP and of certificates, what the request shows, and what the token is
/// bound to or why there is none.
type Row = (Profile, Binding, Binding, (bool, bool), Result<(bool, bool), Reason>);

const ROWS: &[Row] = &[
    (Standard, Off, Off, BOTH, Ok(NEITHER)),
    (Standard, Allowed, Off, NEITHER, Ok(NEITHER)),
    (Standard, Allowed, Off, PROOF, Ok(PROOF)),
    (Standard, Allowed, Off, CERTIFICATE, Ok(NEITHER)),
    (Standard, Allowed, Off, BOTH, Ok(PROOF)),
    (Standard, Off, Allowed, BOTH, Ok(CERTIFICATE)),
    (Standard, Allowed, Allowed, NEITHER, Ok(NEITHER)),
    (Standard, Allowed, Allowed, CERTIFICATE, Ok(CERTIFICATE)),
    (Standard, Allowed, Allowed, BOTH, Ok(PROOF)),
    (Standard, Required, Off, CERTIFICATE, Err(Reason::ProofMissing)),
    (Standard, Required, Off, BOTH, Ok(PROOF)),
    (Standard, Required, Allowed, BOTH, Ok(PROOF)),
    (Standard, Allowed, Required, NEITHER, Err(Reason::CertificateMissing)),
    (Standard, Allowed, Required, PROOF, Err(Reason::CertificateMissing)),
    (Standard, Allowed, Required, CERTIFICATE, Ok(CERTIFICATE)),
    (Standard, Allowed, Required, BOTH, Ok(BOTH)),
    (Standard, Required, Required, PROOF, Err(Reason::CertificateMissing)),
    (Standard, Required, Required, CERTIFICATE, Err(Reason::ProofMissing)),
    (Standard, Required, Required, BOTH, Ok(BOTH)),
    (Fapi2, Allowed, Off, NEITHER, Err(Reason::BindingMissing)),
    (Fapi2, Allowed, Off, PROOF, Ok(PROOF)),
    (Fapi2, Allowed, Off, CERTIFICATE, Ok(CERTIFICATE)),
    (Fapi2, Allowed, Off, BOTH, Ok(PROOF)),
    (Fapi2, Off, Allowed, PROOF, Err(Reason::BindingMissing)),
    (Fapi2, Off, Allowed, BOTH, Ok(CERTIFICATE)),
    (Fapi2, Required, Off, NEITHER, Err(Reason::ProofMissing)),
    (Fapi2, Required, Off, CERTIFICATE, Err(Reason::ProofMissing)),
    (Fapi2, Allowed, Required, NEITHER, Err(Reason::CertificateMissing)),
    (Fapi2, Allowed, Required, PROOF, Err(Reason::CertificateMissing)),
];

fn realm(profile: Profile) -> Realm {
    realm_with(|realm| realm.proving.profile = profile)
}

fn client(signer: &Signer, dpop: Binding, mtls: Binding) -> NewClient {
    let new = signing("orders", &[signer.jwk()]);
    let proof = Proof { sender: SenderConstraint { dpop, mtls }, ..new.proof.clone() };
    NewClient { proof, ..new }
}

#[tokio::test]
async fn a_token_is_bound_to_what_the_request_shows_as_client_and_profile_demand() {
    let key = key(Algorithm::Es256);
    let proof = Draft::new(&key).sign(&key);
    let certified = rcgen::generate_simple_self_signed(Vec::<String>::new()).unwrap();
    let certificate = ClientCertificate::from_der(certified.cert.der(), Chain::Unverified).unwrap();
    for row in ROWS {
        let (profile, dpop, mtls, (shows_proof, shows_certificate), expected) = *row;
        let stage = Stage::with(settings(), realm(profile)).await;
        let signer = Signer::new(Algorithm::Es256);
        stage.client(client(&signer, dpop, mtls)).await;
        let assertion = signer.sign(&claims_with(&serde_json::json!({})));
        let credentials = Credentials::Assertion(AssertionCredentials {
            client_id: None,
            assertion_type: AssertionCredentials::JWT_BEARER,
            assertion: &assertion,
        });
        let presented = PresentedProof { proof: &proof, method: "POST", uri: TOKEN };
        let caller = Caller {
            dpop: shows_proof.then_some(presented),
            certificate: shows_certificate.then_some(&certificate),
            ..Caller::from("192.0.2.1".parse::<IpAddr>().unwrap())
        };
        let request = TokenRequest { credentials, scope: None, audiences: Default::default() };
        let decision = stage.engine.decide(&stage.state(), &terms(), caller, Ok(&request)).await;
        let bound = match decision.outcome {
            Ok(issued) => {
                let to = issued.confirmation;
                assert!(to.certificate.is_none_or(|to| to == certificate.thumbprint()), "{row:?}");
                Ok((to.key.is_some(), to.certificate.is_some()))
            }
            Err(Error::Refusal(refusal)) => {
                // The client has authenticated: what is missing is a matter of the request.
                let kinds = [Kind::InvalidRequest, Kind::InvalidDpopProof];
                assert!(kinds.contains(&refusal.kind), "{row:?}");
                Err(refusal.reason)
            }
            Err(Error::Fault(fault)) => panic!("{row:?}: {fault}"),
        };
        assert_eq!(bound, expected, "{row:?}");
    }
}
