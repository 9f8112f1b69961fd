//! What a client may prove itself with: each way of authenticating with what it needs, and nothing
//! that the realm's profile forbids.

use crate::certificate::CertificateName;
use crate::client::proof::{Binding, ClientKeys, Federated, Proof};
use crate::client::{Client, SecretDigest};
use crate::jose::VerifyingKey;
use crate::manage::{ManageError, invalid};
use crate::realm::Realm;
use crate::realm::proving::Profile;
use crate::request::AuthenticationMethod;

/// The most claims that a federated assertion can be held against.
const CLAIMS_MAX: usize = 32;
/// The longest name of one, in bytes.
const CLAIM_NAME_BYTES_MAX: usize = 255;
/// The longest value of one, in bytes of JSON.
const CLAIM_VALUE_BYTES_MAX: usize = 1024;

/// Claims of every assertion that are judged anyway (RFC 7523 section 3).
const JUDGED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The ways in which a client may authenticate of which nobody says any: what it is given to prove
/// itself with is meant to be used. Without such, any way of presenting its secret.
pub(super) fn ways(said: Vec<AuthenticationMethod>, proof: &Proof) -> Vec<AuthenticationMethod> {
    if !said.is_empty() {
        return said;
    }
    let signs = proof.keys.is_some() || proof.federated.is_some();
    let signs = signs.then_some(AuthenticationMethod::PrivateKeyJwt);
    let shows = proof.certificate.is_some().then_some(AuthenticationMethod::TlsClientAuth);
    signs.into_iter().chain(shows).collect()
}

/// Whether any way in which the client may authenticate uses a secret.
pub(super) fn may_use_secret(client: &Client) -> bool {
    client.authentication.is_empty()
        || client.authentication.iter().any(|method| !method.proves_possession())
}

/// Holds what a client proves itself with against its ways of authenticating and its realm.
pub(super) fn check(realm: &Realm, client: &Client) -> Result<(), ManageError> {
    let nothing = Proof::default();
    let proof = client.proof.as_deref().unwrap_or(&nothing);
    if proof.to_string().len() > Proof::BYTES_MAX {
        let problem = format!("keys and claims must have at most {} bytes", Proof::BYTES_MAX);
        return Err(invalid("jwks-file", problem));
    }
    check_ways(client, proof)?;
    check_secrets(client)?;
    if let Some(name) = &proof.certificate {
        check_certificate(client, name)?;
    }
    if let Some(federated) = &proof.federated {
        if !client.authentication.contains(&AuthenticationMethod::PrivateKeyJwt) {
            let problem = "tokens of another issuer come as private_key_jwt; name that among the ways of \
                           authentication";
            return Err(invalid("federated", problem));
        }
        check_federated(realm, federated)?;
    }
    match realm.proving.profile {
        Profile::Standard => Ok(()),
        Profile::Fapi2 => check_fapi2(realm, client, proof),
    }
}

/// Each way has what it needs.
fn check_ways(client: &Client, proof: &Proof) -> Result<(), ManageError> {
    for method in &client.authentication {
        let problem = match method {
            AuthenticationMethod::PrivateKeyJwt => {
                let missing = "needs the client's public keys, jwks-file or jwks-uri, or an issuer whose \
                               assertions stand for it, federated";
                (proof.keys.is_none() && proof.federated.is_none()).then_some(missing)
            }
            AuthenticationMethod::SelfSignedTlsClientAuth => {
                let missing = "needs the client's public keys: jwks-file or jwks-uri";
                proof.keys.is_none().then_some(missing)
            }
            AuthenticationMethod::TlsClientAuth => {
                let missing = "needs the name in the client's certificate: one of tls-subject-dn, \
                               tls-san-dns, tls-san-uri, tls-san-ip and tls-san-email";
                proof.certificate.is_none().then_some(missing)
            }
            AuthenticationMethod::ClientSecretJwt => {
                let shown = client.authentication.iter().any(|other| other.shows_secret());
                let mixed = "cannot stand beside client_secret_basic or client_secret_post: a secret \
                             that is never shown must not be shown after all";
                shown.then_some(mixed)
            }
            AuthenticationMethod::ClientSecretBasic | AuthenticationMethod::ClientSecretPost => {
                None
            }
        };
        if let Some(problem) = problem {
            return Err(invalid("authentication", format!("{method} {problem}")));
        }
    }
    Ok(())
}

/// An HMAC cannot be checked with a digest; and what is kept for an HMAC is good for nothing else.
fn check_secrets(client: &Client) -> Result<(), ManageError> {
    const REMEDY: &str = "revoke its secrets first, and give it a new one afterwards";
    let by_hmac = client.authentication.contains(&AuthenticationMethod::ClientSecretJwt);
    let is_sealed = |digest: &SecretDigest| matches!(digest, SecretDigest::Sealed(_));
    if client.secrets.iter().all(|secret| is_sealed(&secret.digest) == by_hmac)
        || !may_use_secret(client)
    {
        return Ok(());
    }
    let what = match by_hmac {
        true => "client_secret_jwt cannot use a secret of which only a digest is kept",
        false => "a secret that was made for client_secret_jwt cannot be shown instead",
    };
    Err(invalid("authentication", format!("{what}; {REMEDY}")))
}

/// A name is looked at by somebody.
fn check_certificate(client: &Client, name: &CertificateName) -> Result<(), ManageError> {
    if client.authentication.contains(&AuthenticationMethod::TlsClientAuth) {
        return Ok(());
    }
    let field = match name {
        CertificateName::SubjectDn(_) => "tls-subject-dn",
        CertificateName::Dns(_) => "tls-san-dns",
        CertificateName::Uri(_) => "tls-san-uri",
        CertificateName::Ip(_) => "tls-san-ip",
        CertificateName::Email(_) => "tls-san-email",
    };
    let problem = "only tls_client_auth looks at it; name that among the ways of authentication";
    Err(invalid(field, problem))
}

/// The issuer is one that the realm trusts, and the claims are conditions that can be met.
fn check_federated(realm: &Realm, federated: &Federated) -> Result<(), ManageError> {
    let trusted = &realm.proving.trusted_issuers;
    if !trusted.iter().any(|issuer| issuer.name == federated.issuer) {
        let (realm, wanted) = (&realm.name, &federated.issuer);
        let known: Vec<&str> = trusted.iter().map(|issuer| issuer.name.as_str()).collect();
        let known = match known.as_slice() {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        let problem = format!(
            "realm {realm} does not trust {wanted}, but {known}; \
             its configuration can name more: [realm.{realm}.trusted_issuers.{wanted}]"
        );
        return Err(invalid("federated", problem));
    }
    if federated.claims.len() > CLAIMS_MAX {
        return Err(invalid("federated-claim", format!("at most {CLAIMS_MAX} each")));
    }
    for (name, value) in &federated.claims {
        let problem = if JUDGED.contains(&name.as_str()) {
            format!("{name} is judged anyway")
        } else if name.is_empty() || name.len() > CLAIM_NAME_BYTES_MAX {
            format!("a name must have 1 to {CLAIM_NAME_BYTES_MAX} bytes")
        } else if name.chars().any(char::is_control) {
            "a name must not have control characters".to_owned()
        } else if value.is_null() {
            format!("{name} must have a value")
        } else if value.to_string().len() > CLAIM_VALUE_BYTES_MAX {
            format!("the value of {name} must have at most {CLAIM_VALUE_BYTES_MAX} bytes")
        } else {
            continue;
        };
        return Err(invalid("federated-claim", problem));
    }
    Ok(())
}

/// FAPI 2.0 Security Profile sections 5.3.2.1 and 5.4.1.
fn check_fapi2(realm: &Realm, client: &Client, proof: &Proof) -> Result<(), ManageError> {
    let refused = |field, problem: &str| {
        Err(invalid(field, format!("realm {} follows FAPI 2.0: {problem}", realm.name)))
    };
    if may_use_secret(client) {
        let ways = "a client proves itself by private_key_jwt, tls_client_auth or \
                    self_signed_tls_client_auth, never by a secret";
        return refused("authentication", ways);
    }
    if !client.secrets.is_empty() {
        return refused("secret", "a client has none; revoke its secrets first");
    }
    if proof.federated.is_some() {
        return refused("federated", "nobody else's assertions stand for a client");
    }
    if let Some(ClientKeys::Jwks(keys)) = &proof.keys {
        let keys = keys.parse();
        let allowed = |wanted: String| {
            // An RSA key that does not say its algorithm is there twice.
            let same = |key: &&VerifyingKey| key.thumbprint().is_some_and(|own| own == wanted);
            keys.keys().iter().filter(same).any(|key| Profile::Fapi2.allows(key.algorithm()))
        };
        if !keys.keys().iter().filter_map(VerifyingKey::thumbprint).all(allowed) {
            return refused("jwks-file", "keys are for PS256, ES256 or EdDSA");
        }
    }
    if proof.sender.dpop == Binding::Off && proof.sender.mtls == Binding::Off {
        return refused("sender-constrained", "every token is bound, by dpop or by mtls");
    }
    Ok(())
}
