//! What is meant by a realm's settings about proof: the profile, assertions, DPoP, trusted issuers.

use std::path::Path;

use jeton_engine::client::proof::{HttpsUri, PublicKeys};
use jeton_engine::key_source::KeyLocation;
use jeton_engine::name::RealmName;
use jeton_engine::realm::proving::{
    Assertions, Dpop, Nonces, Profile, Proving, TrustedIssuer, TrustedKeys, Uses,
};
use jeton_engine::terms::TokenShape;

use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::Problem;
use super::raw::Said;
use super::realms::optional;
use super::{Mount, settings};

/// The largest JWK set in a file, in bytes.
const JWKS_FILE_BYTES_MAX: u64 = 512 * 1024;

/// What they say, before the rest of the realm is known.
pub(super) struct SaidOfProof {
    proving: Proving,
    also_for_endpoints: bool,
}

/// Reads them.
pub(super) fn proving(
    reader: &mut Reader,
    realm: &RealmName,
    base_dir: &Path,
) -> Option<SaidOfProof> {
    let key = |rest: &str| format!("realm.{realm}.{rest}");
    let profile = reader.read(&key("profile"), |said| {
        one_of(said, &[("standard", Profile::Standard), ("fapi2", Profile::Fapi2)])
    });
    let also_for_endpoints = reader.read(&key("assertions.audience"), |said| {
        one_of(said, &[("issuer", false), ("issuer-or-token-endpoint", true)])
    });
    let lifetime_max = reader.read(&key("assertions.lifetime_max"), parse::duration::<30, 86_400>);
    let nonces = reader.read(&key("dpop.nonces"), |said| {
        one_of(said, &[("off", Nonces::NotAsked), ("required", Nonces::Required)])
    });
    let age_max = reader.read(&key("dpop.age_max"), parse::duration::<10, 3600>);
    let trusted_issuers = trusted_issuers(reader, realm, base_dir);

    let (profile, also_for_endpoints) = (profile?, also_for_endpoints?);
    if profile == Profile::Fapi2 && also_for_endpoints {
        let key = key("assertions.audience");
        let message = "the profile fapi2 accepts the issuer alone as audience of assertions";
        let problem = Problem::new(reader.place(&key), message);
        reader.problem(problem.remedy(format!("leave `{key}` out")));
    }
    let assertions = Assertions { lifetime_max: lifetime_max?, ..Assertions::default() };
    let dpop = Dpop { nonces: nonces?, age_max: age_max?, ..Dpop::default() };
    let proving = Proving { profile, assertions, dpop, trusted_issuers: trusted_issuers? };
    Some(SaidOfProof { proving, also_for_endpoints })
}

impl SaidOfProof {
    /// What is meant, in a realm that is so far like this.
    pub(super) fn of(mut self, reader: &mut Reader, so_far: &SoFar<'_>) -> Proving {
        if self.also_for_endpoints {
            let url = |mount: &Mount| format!("{}{}", so_far.issuer, mount.dialect.path());
            self.proving.assertions.also_for = so_far.mounts.iter().map(url).collect();
        }
        if self.proving.profile == Profile::Fapi2 {
            fit_for_fapi2(reader, so_far);
        }
        self.proving
    }
}

/// What is known of a realm so far.
pub(super) struct SoFar<'a> {
    pub(super) name: &'a RealmName,
    pub(super) issuer: &'a str,
    pub(super) token: &'a TokenShape,
    pub(super) mounts: &'a [Mount],
}

/// Whether issuer, tokens and dialects can be what the FAPI 2.0 Security Profile allows. How clients
/// prove who they are and what tokens are bound to is looked at with every request.
fn fit_for_fapi2(reader: &mut Reader, so_far: &SoFar<'_>) {
    let mut problem = |key: &str, message: String, remedy: &str| {
        let place = reader.place(&format!("realm.{}.{key}", so_far.name));
        reader.problem(Problem::new(place, message).remedy(remedy));
    };
    if !so_far.issuer.starts_with("https://") {
        let message = "the profile fapi2 needs TLS, and the issuer is plain http".to_owned();
        problem("issuer", message, "write an issuer with https");
    }
    for mount in so_far.mounts {
        let (dialect, terms) = (mount.dialect.name(), &mount.terms);
        if !terms.authentication.iter().any(|method| Profile::Fapi2.allows_method(*method)) {
            let message = format!(
                "the profile fapi2 allows no secrets, and the dialect {dialect} has no other way to authenticate"
            );
            problem("dialects", message, "give this dialect a realm of its own");
        }
        if let TokenShape::Jwt(shape) = terms.token.as_ref().unwrap_or(so_far.token)
            && !Profile::Fapi2.allows(shape.algorithm)
        {
            let algorithm = shape.algorithm;
            let (key, remedy) = match terms.token {
                Some(_) => ("dialects", "give this dialect a realm of its own"),
                None => ("token.algorithm", "use EdDSA, ES256 or PS256"),
            };
            let message = format!(
                "the profile fapi2 does not allow tokens signed with {algorithm}, as those of {dialect} are"
            );
            problem(key, message, remedy);
        }
    }
}

pub(super) fn one_of<T: Copy>(said: &Said, names: &[(&str, T)]) -> Result<T, Wrong> {
    let text = parse::text(said)?;
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = names.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        Wrong::new(format!("must not be \"{text}\""))
            .instead(format!("write one of {}", names.join(", ")))
    })
}

/// Every trusted issuer that is right; what is wrong with the others has been noted.
fn trusted_issuers(
    reader: &mut Reader,
    realm: &RealmName,
    base_dir: &Path,
) -> Option<Vec<TrustedIssuer>> {
    let mut issuers: Vec<TrustedIssuer> = Vec::new();
    let mut complete = true;
    for name in settings::named_below(&reader.raw.said, &format!("realm.{realm}.trusted_issuers")) {
        let Some(issuer) = trusted_issuer(reader, realm, &name, base_dir) else {
            complete = false;
            continue;
        };
        if issuers.iter().any(|other| other.issuer == issuer.issuer) {
            let key = format!("realm.{realm}.trusted_issuers.{name}.issuer");
            let message = format!("`{key}` is the issuer of another trusted issuer already");
            let problem = Problem::new(reader.place(&key), message);
            reader.problem(problem.remedy("keep one of them"));
            complete = false;
        }
        issuers.push(issuer);
    }
    complete.then_some(issuers)
}

fn trusted_issuer(
    reader: &mut Reader,
    realm: &RealmName,
    name: &str,
    base_dir: &Path,
) -> Option<TrustedIssuer> {
    let key = |rest: &str| format!("realm.{realm}.trusted_issuers.{name}.{rest}");
    let place = reader.place_below(&format!("realm.{realm}.trusted_issuers.{name}"));
    let named = match name.parse::<RealmName>() {
        Ok(named) => Some(named),
        Err(error) => {
            let message = format!("the name of the trusted issuer \"{name}\" {error}");
            reader.problem(Problem::new(place.clone(), message));
            None
        }
    };
    if reader.said(&key("issuer")).is_none() {
        let message = format!("the trusted issuer `{name}` has no `issuer`");
        let remedy =
            "write the `iss` of its tokens, such as issuer = \"https://kubernetes.default.svc\"";
        reader.problem(Problem::new(place, message).remedy(remedy));
    }
    let issuer = reader.read(&key("issuer"), |said| parse::text(said).map(str::to_owned));
    let jwks_uri = optional(reader, &key("jwks_uri"), parse::name::<HttpsUri>);
    let jwks_file = optional(reader, &key("jwks_file"), |said| jwks_file(said, base_dir));
    let audience = optional(reader, &key("audience"), |said| parse::text(said).map(str::to_owned));
    let uses = optional(reader, &key("uses"), |said| {
        one_of(said, &[("once", Uses::Once), ("until-expiry", Uses::UntilExpiry)])
    });
    let issuer = issuer?;
    let keys = match (jwks_uri?, jwks_file?) {
        (Some(_), Some(_)) => {
            let (uri, file) = (key("jwks_uri"), key("jwks_file"));
            let problem =
                Problem::new(reader.place(&file), format!("`{uri}` and `{file}` are both there"));
            reader.problem(problem.remedy("keep one of them"));
            return None;
        }
        (Some(uri), None) => TrustedKeys::At(KeyLocation::Uri(uri.as_str().into())),
        (None, Some(keys)) => TrustedKeys::These(keys),
        (None, None) => {
            // Its keys are found by its URL, which must then be one.
            reader.read(&key("issuer"), |said| {
                parse::name::<HttpsUri>(said)
                    .map_err(|wrong| wrong.instead("or name its keys with jwks_uri or jwks_file"))
            })?;
            TrustedKeys::At(KeyLocation::Issuer(issuer.as_str().into()))
        }
    };
    let uses = uses?.unwrap_or_default();
    Some(TrustedIssuer { name: named?, issuer, keys, audience: audience?, uses })
}

/// The public keys in a file.
fn jwks_file(said: &Said, base_dir: &Path) -> Result<PublicKeys, Wrong> {
    let path = base_dir.join(parse::text(said)?);
    let unread = |error: std::io::Error| {
        Wrong::new(format!("names {}, which cannot be read: {error}", path.display()))
    };
    if std::fs::metadata(&path).map_err(unread)?.len() > JWKS_FILE_BYTES_MAX {
        return Err(Wrong::new(format!("names {}, which is too large", path.display())));
    }
    let text = std::fs::read_to_string(&path).map_err(unread)?;
    text.parse().map_err(|error| Wrong::new(format!("names {}, which {error}", path.display())))
}
