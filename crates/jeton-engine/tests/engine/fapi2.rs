//! What the FAPI 2.0 Security Profile refuses of proofs and signatures whatever else a realm allows
//! (sections 5.3.2.1 and 5.4.1).

use std::net::IpAddr;

use jeton_engine::certificate::{Chain, ClientCertificate};
use jeton_engine::client::proof::Binding;
use jeton_engine::error::{Error, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::realm::proving::{Nonces, Profile};
use jeton_engine::request::{
    AssertionCredentials, Caller, Credentials, PresentedProof, TokenQuestion, TokenRequest,
};
use jeton_engine::terms::TokenShape;
use jeton_engine::token::Decision;
use jeton_engine::verify::{Access, Requirement, Scheme};
use serde_json::json;

use crate::asserting::{Signer, claims_with, realm_with, signing, stage_of};
use crate::dpop::{Draft, TOKEN, key};
use crate::stage::{START, Stage, reason, settings, terms};

fn by_assertion(assertion: &str) -> Credentials<'_> {
    let assertion_type = AssertionCredentials::JWT_BEARER;
    Credentials::Assertion(AssertionCredentials { client_id: None, assertion_type, assertion })
}

async fn ask(stage: &Stage, signer: &Signer, id: &str, proof: &str) -> Decision {
    let assertion = signer.sign(&claims_with(&json!({"jti": id})));
    let credentials = by_assertion(&assertion);
    let dpop = Some(PresentedProof { proof, method: "POST", uri: TOKEN });
    let caller = Caller { dpop, ..Caller::from("192.0.2.1".parse::<IpAddr>().unwrap()) };
    let request = TokenRequest { credentials, scope: None, audiences: Default::default() };
    stage.engine.decide(&stage.state(), &terms(), caller, Ok(&request)).await
}

#[tokio::test]
async fn no_nonce_makes_up_for_an_iat_more_than_sixty_seconds_ahead() {
    for (profile, ahead, holds) in [
        (Profile::Fapi2, 60, true),
        (Profile::Fapi2, 61, false),
        (Profile::Fapi2, 3600, false),
        (Profile::Standard, 3600, true),
    ] {
        let realm = realm_with(|realm| {
            realm.proving.profile = profile;
            realm.proving.dpop.nonces = Nonces::Required;
        });
        let (stage, signer) = stage_of(Algorithm::Es256, realm).await;
        let key = key(Algorithm::Es256);
        let draft = Draft::new(&key);
        let error = ask(&stage, &signer, "1", &draft.sign(&key)).await.outcome.unwrap_err();
        let nonce = stage.engine.nonce_with(&stage.state(), Err(&error)).unwrap();
        let proof = draft.claim("nonce", nonce).claim("iat", START + ahead).sign(&key);
        let decision = ask(&stage, &signer, "2", &proof).await;
        match holds {
            true => assert!(decision.outcome.is_ok(), "{profile:?} {ahead}"),
            false => assert_eq!(reason(&decision), Reason::ProofTime, "{profile:?} {ahead}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_signed_with_a_key_that_the_profile_does_not_allow() {
    for (algorithm, fapi2) in [(Algorithm::Es384, None), (Algorithm::Es256, Some(Algorithm::Es256))]
    {
        let realm = realm_with(|realm| realm.token = TokenShape::rfc9068(algorithm));
        let mut stage = Stage::with(settings(), realm).await;
        stage.manage().create_key(&stage.realm.name, algorithm, None).await.unwrap();
        stage.follow().await;
        assert_eq!(stage.state().statement_algorithm(), Some(algorithm));
        // The key stays when a realm of old becomes one of the profile.
        stage
            .reconfigure(|realm| {
                realm.token = TokenShape::stored();
                realm.proving.profile = Profile::Fapi2;
            })
            .await;
        assert_eq!(stage.state().statement_algorithm(), fapi2);
    }
}

#[tokio::test]
async fn bearer_tokens_from_before_the_profile_are_of_no_use_any_more() {
    for bound in [false, true] {
        let mut stage = Stage::new().await;
        let signer = Signer::new(Algorithm::Es256);
        let mut new = signing("orders", &[signer.jwk()]);
        new.proof.sender.mtls = if bound { Binding::Required } else { Binding::Off };
        stage.client(new).await;
        let der = rcgen::generate_simple_self_signed(Vec::<String>::new()).unwrap().cert;
        let certificate = ClientCertificate::from_der(der.der(), Chain::Unverified).unwrap();
        let address = "192.0.2.1".parse::<IpAddr>().unwrap();
        let caller = Caller { certificate: Some(&certificate), ..Caller::from(address) };
        let assertion = |id: &str| signer.sign(&claims_with(&json!({"jti": id})));
        let first = assertion("1");
        let credentials = by_assertion(&first);
        let request = TokenRequest { credentials, scope: None, audiences: Default::default() };
        let decision = stage.engine.decide(&stage.state(), &terms(), caller, Ok(&request)).await;
        let token = decision.outcome.unwrap().access_token;
        for (profile, expected) in [(Profile::Standard, true), (Profile::Fapi2, bound)] {
            stage.reconfigure(|realm| realm.proving.profile = profile).await;
            let (state, terms) = (stage.state(), terms());
            let (scheme, requirement) = (Scheme::Bearer, Requirement::default());
            let access = Access { scheme, token: token.reveal().as_bytes(), requirement };
            let refused = match stage.engine.verify(&state, &terms, caller, &access).await {
                Ok(_) => None,
                Err(Error::Refusal(refusal)) => Some(refusal.reason),
                Err(Error::Fault(fault)) => panic!("{fault}"),
            };
            assert_eq!(refused, (!expected).then_some(Reason::TokenInvalid), "{profile:?}");
            let again = assertion(&format!("{profile:?}"));
            let question =
                TokenQuestion { credentials: by_assertion(&again), token: token.reveal() };
            let said = stage.engine.introspect(&state, &terms, caller, Ok(&question)).await;
            assert_eq!(said.outcome.unwrap().token.is_some(), expected, "{profile:?} {bound}");
        }
    }
}
