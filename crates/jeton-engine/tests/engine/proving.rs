//! What a client may be given to prove itself with, and the nearest that it may not.

use jeton_engine::certificate::CertificateName;
use jeton_engine::client::SecretDigest;
use jeton_engine::client::proof::{Binding, ClientKeys, Federated, Proof, SenderConstraint};
use jeton_engine::jose::{Algorithm, SigningKey};
use jeton_engine::manage::{
    ClientChange, ManageError, NewClient, NewSecret, ProofChange, Rotation,
};
use jeton_engine::realm::proving::{Profile, TrustedIssuer, TrustedKeys, Uses};
use jeton_engine::request::AuthenticationMethod::{self, *};
use serde_json::json;

use crate::stage::{Stage, id, main, named, supplied};

/// Field and problem.
fn refused<T>(outcome: Result<T, ManageError>) -> (&'static str, String) {
    match outcome {
        Err(ManageError::Invalid { field, problem }) => (field, problem),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it was done"),
    }
}

fn keys_for(algorithm: Algorithm) -> ClientKeys {
    let jwk = SigningKey::generate(algorithm).unwrap().public_jwk("k").unwrap();
    ClientKeys::Jwks(format!(r#"{{"keys":[{jwk}]}}"#).parse().unwrap())
}

fn with_keys(algorithm: Algorithm) -> Proof {
    Proof { keys: Some(keys_for(algorithm)), ..Proof::default() }
}

fn dns() -> Proof {
    Proof { certificate: CertificateName::dns("a.example.com").ok(), ..Proof::default() }
}

fn with_claims(claims: &serde_json::Value) -> Proof {
    let claims = claims.as_object().unwrap().clone();
    let federated = Federated { issuer: main(), subject: "job".parse().unwrap(), claims };
    Proof { federated: Some(federated), ..Proof::default() }
}

fn new(ways: &[AuthenticationMethod], proof: Proof) -> NewClient {
    NewClient { authentication: ways.to_vec(), proof, ..NewClient::default() }
}

async fn trusting() -> Stage {
    let mut stage = Stage::new().await;
    stage
        .reconfigure(|realm| {
            let ClientKeys::Jwks(keys) = keys_for(Algorithm::Es256) else { unreachable!() };
            realm.proving.trusted_issuers = vec![TrustedIssuer {
                name: main(),
                issuer: "https://issuer.example.com".to_owned(),
                keys: TrustedKeys::These(keys),
                audience: None,
                uses: Uses::Once,
            }];
        })
        .await;
    stage
}

#[tokio::test]
async fn who_has_something_better_than_a_secret_gets_none_unless_it_is_to_have_one() {
    let stage = trusting().await;
    let made = async |new| stage.manage().create_client(&stage.realm, new).await.unwrap();
    let both = Proof { keys: dns().keys.or(Some(keys_for(Algorithm::EdDsa))), ..dns() };
    for (ways, proof, expected, has_secret) in [
        (&[][..], Proof::default(), &[][..], true),
        (&[], with_keys(Algorithm::EdDsa), &[PrivateKeyJwt], false),
        (&[], dns(), &[TlsClientAuth], false),
        (&[], both, &[PrivateKeyJwt, TlsClientAuth], false),
        (&[], with_claims(&json!({})), &[PrivateKeyJwt], false),
        (
            &[SelfSignedTlsClientAuth],
            with_keys(Algorithm::EdDsa),
            &[SelfSignedTlsClientAuth],
            false,
        ),
        (
            &[ClientSecretBasic, PrivateKeyJwt],
            with_keys(Algorithm::EdDsa),
            &[ClientSecretBasic, PrivateKeyJwt],
            true,
        ),
    ] {
        let (client, secret) = made(new(ways, proof)).await;
        assert_eq!(client.authentication, expected);
        assert_eq!(secret.is_some(), has_secret, "{expected:?}");
    }
    let none = NewClient { secret: NewSecret::None, ..NewClient::default() };
    assert!(made(none).await.1.is_none());
}

#[tokio::test]
async fn a_way_without_what_it_needs_is_refused_with_its_remedy() {
    let stage = trusting().await;
    let create = async |new| refused(stage.manage().create_client(&stage.realm, new).await);
    for (ways, proof, field, remedy) in [
        (&[PrivateKeyJwt][..], Proof::default(), "authentication", "jwks-file or jwks-uri"),
        (&[SelfSignedTlsClientAuth], dns(), "authentication", "jwks-file or jwks-uri"),
        (&[TlsClientAuth], with_keys(Algorithm::EdDsa), "authentication", "tls-subject-dn"),
        (&[ClientSecretJwt, ClientSecretPost], Proof::default(), "authentication", "beside"),
        (&[ClientSecretBasic], dns(), "tls-san-dns", "tls_client_auth"),
        (&[ClientSecretBasic], with_claims(&json!({})), "federated", "private_key_jwt"),
    ] {
        let (told, problem) = create(new(ways, proof)).await;
        assert_eq!(told, field, "{problem}");
        assert!(problem.contains(remedy), "{problem}");
    }
    let secret = NewClient { secret: supplied("s3cret"), ..new(&[], with_keys(Algorithm::EdDsa)) };
    let (field, problem) = create(secret).await;
    assert_eq!((field, problem.contains("private_key_jwt")), ("secret", true), "{problem}");
}

#[tokio::test]
async fn only_the_assertions_of_a_trusted_issuer_stand_for_a_client() {
    let stage = trusting().await;
    let create = async |proof| stage.manage().create_client(&stage.realm, new(&[], proof)).await;
    create(with_claims(&json!({ "ref": "main", "kubernetes.io": { "namespace": "a" } })))
        .await
        .unwrap();
    let mut stranger = with_claims(&json!({}));
    stranger.federated.as_mut().unwrap().issuer = "github".parse().unwrap();
    let (field, problem) = refused(create(stranger).await);
    assert_eq!(field, "federated");
    assert!(problem.contains("[realm.main.trusted_issuers.github]"), "{problem}");
    for claims in [
        json!({ "sub": "job" }),
        json!({ "": 1 }),
        json!({ "a\nb": 1 }),
        json!({ "ref": null }),
        json!({ "ref": "x".repeat(1025) }),
        (0..33).map(|at| (at.to_string(), json!(1))).collect(),
    ] {
        assert_eq!(refused(create(with_claims(&claims)).await).0, "federated-claim");
    }
}

#[tokio::test]
async fn a_change_of_proof_changes_what_it_names_and_is_held_against_the_same_rules() {
    let stage = Stage::new().await;
    let manage = stage.manage();
    let sender = SenderConstraint { dpop: Binding::Required, mtls: Binding::Off };
    let keyed = new(&[], Proof { sender, ..with_keys(Algorithm::EdDsa) });
    manage.create_client(&stage.realm, NewClient { id: Some(id("a")), ..keyed }).await.unwrap();
    let change = async |proof| {
        let change = ClientChange { proof, ..ClientChange::default() };
        manage.change_client(&stage.realm, &id("a"), change).await
    };
    let before = manage.client(&main(), &id("a")).await.unwrap().proof.unwrap();
    let bound = ProofChange { mtls: Some(Binding::Allowed), ..ProofChange::default() };
    let after = change(bound).await.unwrap().proof.unwrap();
    assert_eq!(after.sender, SenderConstraint { mtls: Binding::Allowed, ..before.sender });
    assert_eq!(after.keys, before.keys);
    let gone = ProofChange { keys: Some(None), ..ProofChange::default() };
    assert_eq!(refused(change(gone.clone()).await).0, "authentication");
    let by_secret = ClientChange {
        authentication: Some(vec![ClientSecretBasic]),
        proof: ProofChange { dpop: Some(Binding::Allowed), mtls: Some(Binding::Off), ..gone },
        ..ClientChange::default()
    };
    let plain = manage.change_client(&stage.realm, &id("a"), by_secret).await.unwrap();
    assert_eq!(plain.proof, None, "nothing is kept of a proof that says nothing");
    manage.rotate_secret(&main(), &id("a"), Rotation::default()).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_never_turned_into_one_of_another_kind() {
    let stage = Stage::new().await;
    let manage = stage.manage();
    let (mut client, _) = manage.create_client(&stage.realm, named("a")).await.unwrap();
    let ways = |ways: &[AuthenticationMethod]| ClientChange {
        authentication: Some(ways.to_vec()),
        ..ClientChange::default()
    };
    let hmac = manage.change_client(&stage.realm, &id("a"), ways(&[ClientSecretJwt])).await;
    assert!(refused(hmac).1.contains("revoke its secrets first"));
    client.id = id("b");
    client.secrets[0].digest = SecretDigest::Sealed(vec![1, 2, 3].into());
    assert_eq!(refused(manage.check_import(&stage.realm, &client).await).0, "authentication");
    let by_hmac = new(&[ClientSecretJwt], Proof::default());
    let (client, _) = manage.create_client(&stage.realm, by_hmac).await.unwrap();
    let basic = manage.change_client(&stage.realm, &client.id, ways(&[ClientSecretBasic])).await;
    assert!(refused(basic).1.contains("revoke its secrets first"));
    manage.revoke_secrets(&main(), &client.id, None).await.unwrap();
    manage.change_client(&stage.realm, &client.id, ways(&[ClientSecretBasic])).await.unwrap();
}

#[tokio::test]
async fn a_fapi2_realm_takes_only_what_that_profile_allows() {
    let mut stage = trusting().await;
    stage.reconfigure(|realm| realm.proving.profile = Profile::Fapi2).await;
    let create = async |new| stage.manage().create_client(&stage.realm, new).await;
    for proof in [
        dns(),
        with_keys(Algorithm::Ps256),
        with_keys(Algorithm::Es256),
        with_keys(Algorithm::EdDsa),
    ] {
        create(new(&[], proof)).await.unwrap();
    }
    let unbound = SenderConstraint { dpop: Binding::Off, mtls: Binding::Off };
    for (ways, proof, field) in [
        (&[][..], Proof::default(), "authentication"),
        (&[ClientSecretBasic], Proof::default(), "authentication"),
        (&[ClientSecretJwt], Proof::default(), "authentication"),
        (&[PrivateKeyJwt, ClientSecretPost], with_keys(Algorithm::EdDsa), "authentication"),
        (&[], with_claims(&json!({})), "federated"),
        (&[], with_keys(Algorithm::Rs256), "jwks-file"),
        (&[], with_keys(Algorithm::Es384), "jwks-file"),
        (&[], Proof { sender: unbound, ..dns() }, "sender-constrained"),
    ] {
        let (told, problem) = refused(create(new(ways, proof)).await);
        assert_eq!(told, field, "{problem}");
        assert!(problem.contains("FAPI 2.0"), "{problem}");
    }
}
