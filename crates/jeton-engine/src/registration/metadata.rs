//! Client metadata (RFC 7591 section 2, RFC 8705, RFC 9449 section 5.2): which members there are,
//! what each must be, and what they mean for a client of the client-credentials grant.
//!
//! Members that nobody knows are ignored, `null` is as good as absent (RFC 7592 section 2.2).
//! `redirect_uris` are checked and then dropped, for no grant here redirects.

use jeton_jose::Algorithm;
use serde_json::{Map, Value};
use url::Url;

use crate::certificate::CertificateName;
use crate::client::proof::{Binding, ClientKeys, Proof, PublicKeys, SenderConstraint};
use crate::error::{Reason, Refusal};
use crate::name::NameError;
use crate::realm::proving::Profile;
use crate::realm::registration::Registering;
use crate::request::AuthenticationMethod;
use crate::scope::Scope;

/// The longest plain text in the metadata, in bytes.
const TEXT_BYTES_MAX: usize = 255;
/// The longest URL in the metadata, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// The most texts in a list.
const LIST_MAX: usize = 16;
/// The most that is kept of metadata beside keys, in bytes of JSON.
const KEPT_BYTES_MAX: usize = 32 * 1024;
/// The longest tag of a language (RFC 5646 section 4.4.1), in bytes.
const LANGUAGE_BYTES_MAX: usize = 35;

/// The member with the algorithm of a client's assertions.
pub(super) const SIGNING_ALGORITHM: &str = "token_endpoint_auth_signing_alg";

/// What a member must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Has rules of its own, below.
    Ruled,
    /// A text, kept as it is.
    Text,
    /// A URL for people, which may be there in several languages (section 2.2).
    HumanUrl,
    /// A list of texts.
    Texts,
    /// What only the server says; a client must not (RFC 7592 section 2.2).
    OursAlone,
}

/// Every member that is known, and the sentence about it: it reads after the name, within the
/// characters of `error_description` (RFC 6749 section 5.2).
const MEMBERS: &[(&str, Shape, &str)] = &[
    (
        "redirect_uris",
        Shape::Ruled,
        "must be a list of absolute URIs without fragments; none is needed here",
    ),
    (
        "token_endpoint_auth_method",
        Shape::Ruled,
        "must be a way to authenticate that is offered here; client_secret_basic when left out",
    ),
    (
        "token_endpoint_auth_signing_alg",
        Shape::Ruled,
        "must be an algorithm that is accepted here, that the authentication method signs with, and that a key of jwks is for",
    ),
    ("grant_types", Shape::Ruled, "must be client_credentials alone"),
    ("response_types", Shape::Ruled, "must be empty: there is no authorization endpoint"),
    ("client_name", Shape::Ruled, "must have 1 to 255 bytes without control characters"),
    ("client_uri", Shape::HumanUrl, HUMAN_URL),
    ("logo_uri", Shape::HumanUrl, HUMAN_URL),
    ("tos_uri", Shape::HumanUrl, HUMAN_URL),
    ("policy_uri", Shape::HumanUrl, HUMAN_URL),
    (
        "scope",
        Shape::Ruled,
        "must be scope tokens one space apart, of those that may be had by this registration",
    ),
    (
        "contacts",
        Shape::Texts,
        "must be a list of at most 16 texts, each of 1 to 255 bytes without control characters",
    ),
    (
        "jwks",
        Shape::Ruled,
        "must be a JWK set of public signature keys that are accepted here; private_key_jwt and self_signed_tls_client_auth need it or jwks_uri, nobody both",
    ),
    ("jwks_uri", Shape::Ruled, "must be an https URL, and not stand beside jwks"),
    ("software_id", Shape::Text, TEXT),
    ("software_version", Shape::Text, TEXT),
    (
        "software_statement",
        Shape::Ruled,
        "must be a JWT with software_id that an issuer signed whom this server trusts",
    ),
    ("tls_client_auth_subject_dn", Shape::Ruled, CERTIFICATE),
    ("tls_client_auth_san_dns", Shape::Ruled, CERTIFICATE),
    ("tls_client_auth_san_uri", Shape::Ruled, CERTIFICATE),
    ("tls_client_auth_san_ip", Shape::Ruled, CERTIFICATE),
    ("tls_client_auth_san_email", Shape::Ruled, CERTIFICATE),
    ("tls_client_certificate_bound_access_tokens", Shape::Ruled, "must be true or false"),
    ("dpop_bound_access_tokens", Shape::Ruled, "must be true or false"),
    ("client_id", Shape::OursAlone, "must be the identifier that the client has"),
    ("client_secret", Shape::OursAlone, "must be the secret that the client has, or be left out"),
    ("client_secret_expires_at", Shape::OursAlone, OURS_ALONE),
    ("client_id_issued_at", Shape::OursAlone, OURS_ALONE),
    ("registration_access_token", Shape::OursAlone, OURS_ALONE),
    ("registration_client_uri", Shape::OursAlone, OURS_ALONE),
];

const TEXT: &str = "must be a text of 1 to 255 bytes without control characters";
const HUMAN_URL: &str = "must be an https or http URL of at most 2048 bytes";
const CERTIFICATE: &str = "must be one well-formed name of the client's certificate, exactly one with tls_client_auth and none otherwise";
const OURS_ALONE: &str = "must not be there: it is the server's to say";

/// The members that name a client's certificate (RFC 8705 section 2.1.2), and how each is read.
type ReadName = fn(&str) -> Result<CertificateName, NameError>;
const CERTIFICATE_NAMES: [(&str, ReadName); 5] = [
    ("tls_client_auth_subject_dn", CertificateName::subject_dn),
    ("tls_client_auth_san_dns", CertificateName::dns),
    ("tls_client_auth_san_uri", CertificateName::uri),
    ("tls_client_auth_san_ip", CertificateName::ip),
    ("tls_client_auth_san_email", CertificateName::email),
];

/// What a member must be, in a sentence after its name, for callers.
pub fn demand(member: &str) -> &'static str {
    let known = MEMBERS.iter().find(|(name, ..)| *name == member);
    known.map_or("is not allowed", |(_, _, demand)| demand)
}

/// Whether somebody else than the server may say this of a client: itself, or a software statement.
pub(super) fn may_be_stated(member: &str) -> bool {
    let base = member.split('#').next().unwrap_or(member);
    let known = MEMBERS.iter().find(|(name, ..)| *name == base);
    known.is_some_and(|(_, shape, _)| *shape != Shape::OursAlone)
}

/// The refusal of metadata because of this member.
pub(crate) fn wrong(member: &str) -> Refusal {
    about(Reason::MetadataInvalid, member)
}

/// A refusal because of this member.
pub(super) fn about(reason: Reason, member: &str) -> Refusal {
    Refusal { parameter: Some(member.into()), ..Refusal::from(reason) }
}

/// What metadata are held against.
pub(crate) struct Grounds<'a> {
    pub(crate) profile: Profile,
    pub(crate) rules: &'a Registering,
    /// The scope that the client may give itself.
    pub(crate) scope_max: &'a Scope,
    /// What it gets when it names none.
    pub(crate) scope_default: &'a Scope,
}

/// What a client says of itself, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientMetadata {
    pub(crate) name: Option<String>,
    pub(crate) method: AuthenticationMethod,
    pub(crate) scope: Scope,
    /// Everything but `federated`.
    pub(crate) proof: Proof,
    /// What has no place of its own in a client, to be told again.
    pub(crate) members: Map<String, Value>,
}

impl ClientMetadata {
    /// Reads and checks metadata.
    ///
    /// # Errors
    /// The refusal of the first member that is wrong.
    pub(crate) fn read(said: Map<String, Value>, grounds: &Grounds<'_>) -> Result<Self, Refusal> {
        let mut reader = Reader { said, kept: Map::new() };
        reader.redirect_uris()?;
        reader.grants()?;
        let method = reader.method(grounds)?;
        let keys = reader.keys(method)?;
        let certificate = reader.certificate(method)?;
        reader.signing_algorithm(method, keys.as_ref(), grounds.profile)?;
        let sender = reader.sender()?;
        let scope = reader.scope(grounds)?;
        let name = reader.text("client_name")?;
        reader.plain_members()?;
        reader.keep("software_statement");
        if Value::Object(reader.kept.clone()).to_string().len() > KEPT_BYTES_MAX {
            return Err(Reason::MetadataInvalid.into());
        }
        Ok(Self {
            name,
            method,
            scope,
            proof: Proof { keys, certificate, federated: None, sender },
            members: reader.kept,
        })
    }
}

/// Takes members out of what was said, one by one.
struct Reader {
    said: Map<String, Value>,
    kept: Map<String, Value>,
}

impl Reader {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.said.remove(name).filter(|value| !value.is_null())
    }

    /// Keeps a member that was checked.
    fn keep(&mut self, name: &str) {
        if let Some(value) = self.take(name) {
            self.kept.insert(name.to_owned(), value);
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if is_plain(&text) => Ok(Some(text)),
            Some(_) => Err(wrong(name)),
        }
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(wrong(name)) };
        let texts = items.into_iter().map(|item| match item {
            Value::String(text) if text.len() <= URL_BYTES_MAX => Ok(text),
            _ => Err(wrong(name)),
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        if texts.len() > LIST_MAX { Err(wrong(name)) } else { Ok(Some(texts)) }
    }

    fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(is)) => Ok(is),
            Some(_) => Err(wrong(name)),
        }
    }

    /// RFC 6749 section 3.1.2: absolute, without a fragment. Then of no further use.
    fn redirect_uris(&mut self) -> Result<(), Refusal> {
        const NAME: &str = "redirect_uris";
        let bad = || about(Reason::RedirectUriInvalid, NAME);
        let uris = self.texts(NAME).map_err(|_| bad())?.unwrap_or_default();
        let good = |uri: &String| Url::parse(uri).is_ok_and(|uri| uri.fragment().is_none());
        if uris.iter().all(good) { Ok(()) } else { Err(bad()) }
    }

    /// The default of RFC 7591, `authorization_code`, is not known here: what is left out is
    /// replaced by what is, as section 3.2.1 allows.
    fn grants(&mut self) -> Result<(), Refusal> {
        let grants = self.texts("grant_types")?;
        let grants = grants.unwrap_or_else(|| vec!["client_credentials".to_owned()]);
        if grants.is_empty() || grants.iter().any(|grant| grant != "client_credentials") {
            return Err(wrong("grant_types"));
        }
        match self.texts("response_types")?.unwrap_or_default().is_empty() {
            true => Ok(()),
            false => Err(wrong("response_types")),
        }
    }

    fn method(&mut self, grounds: &Grounds<'_>) -> Result<AuthenticationMethod, Refusal> {
        const NAME: &str = "token_endpoint_auth_method";
        let method = match self.text(NAME)? {
            None => AuthenticationMethod::ClientSecretBasic,
            Some(text) => text.parse().map_err(|_| wrong(NAME))?,
        };
        if grounds.rules.methods.contains(&method) { Ok(method) } else { Err(wrong(NAME)) }
    }

    fn keys(&mut self, method: AuthenticationMethod) -> Result<Option<ClientKeys>, Refusal> {
        use AuthenticationMethod::{PrivateKeyJwt, SelfSignedTlsClientAuth};
        let uri = match self.take("jwks_uri") {
            None => None,
            Some(Value::String(uri)) => Some(uri.parse().map_err(|_| wrong("jwks_uri"))?),
            Some(_) => return Err(wrong("jwks_uri")),
        };
        let keys = match self.take("jwks") {
            None => None,
            Some(Value::Object(members)) => {
                Some(PublicKeys::try_from(members).map_err(|_| wrong("jwks"))?)
            }
            Some(_) => return Err(wrong("jwks")),
        };
        match (keys, uri) {
            (Some(_), Some(_)) => Err(wrong("jwks_uri")),
            (Some(keys), None) => Ok(Some(ClientKeys::Jwks(keys))),
            (None, Some(uri)) => Ok(Some(ClientKeys::JwksUri(uri))),
            (None, None) if matches!(method, PrivateKeyJwt | SelfSignedTlsClientAuth) => {
                Err(wrong("jwks"))
            }
            (None, None) => Ok(None),
        }
    }

    /// RFC 8705 section 2.1.2: exactly one name for `tls_client_auth`.
    fn certificate(
        &mut self,
        method: AuthenticationMethod,
    ) -> Result<Option<CertificateName>, Refusal> {
        let mut found = None;
        for (member, read) in CERTIFICATE_NAMES {
            let Some(value) = self.take(member) else { continue };
            let text = value.as_str().filter(|text| text.len() <= URL_BYTES_MAX);
            let name = text.and_then(|text| read(text).ok()).ok_or_else(|| wrong(member))?;
            if found.is_some() || method != AuthenticationMethod::TlsClientAuth {
                return Err(wrong(member));
            }
            found = Some(name);
        }
        if found.is_none() && method == AuthenticationMethod::TlsClientAuth {
            return Err(wrong("tls_client_auth_subject_dn"));
        }
        Ok(found)
    }

    fn signing_algorithm(
        &mut self,
        method: AuthenticationMethod,
        keys: Option<&ClientKeys>,
        profile: Profile,
    ) -> Result<(), Refusal> {
        const NAME: &str = SIGNING_ALGORITHM;
        if let (Some(ClientKeys::Jwks(keys)), AuthenticationMethod::PrivateKeyJwt) = (keys, method)
            && !keys.parse().keys().iter().any(|key| profile.allows(key.algorithm()))
        {
            return Err(wrong("jwks"));
        }
        let Some(text) = self.text(NAME)? else { return Ok(()) };
        let algorithm: Algorithm = text.parse().map_err(|_| wrong(NAME))?;
        let fits = match method {
            AuthenticationMethod::ClientSecretJwt => algorithm == Algorithm::Hs256,
            AuthenticationMethod::PrivateKeyJwt => match keys {
                Some(ClientKeys::Jwks(keys)) => {
                    let has = keys.parse().keys().iter().any(|key| key.algorithm() == algorithm);
                    profile.allows(algorithm) && has
                }
                _ => profile.allows(algorithm),
            },
            _ => false,
        };
        if !fits {
            return Err(wrong(NAME));
        }
        self.kept.insert(NAME.to_owned(), text.into());
        Ok(())
    }

    fn sender(&mut self) -> Result<SenderConstraint, Refusal> {
        let mut sender = SenderConstraint::default();
        if self.flag("dpop_bound_access_tokens")? {
            sender.dpop = Binding::Required;
        }
        if self.flag("tls_client_certificate_bound_access_tokens")? {
            sender.mtls = Binding::Required;
        }
        Ok(sender)
    }

    fn scope(&mut self, grounds: &Grounds<'_>) -> Result<Scope, Refusal> {
        let asked: Scope = match self.take("scope") {
            None => return Ok(grounds.scope_default.clone()),
            Some(Value::String(text)) => text.parse().map_err(|_| wrong("scope"))?,
            Some(_) => return Err(wrong("scope")),
        };
        if grounds.scope_max.covers(&asked) { Ok(asked) } else { Err(wrong("scope")) }
    }

    /// What is only checked, kept and told again; the human-readable among it in any language.
    fn plain_members(&mut self) -> Result<(), Refusal> {
        for (name, shape, _) in MEMBERS {
            match shape {
                Shape::Text => {
                    if let Some(text) = self.text(name)? {
                        self.kept.insert((*name).to_owned(), text.into());
                    }
                }
                Shape::Texts => {
                    let Some(texts) = self.texts(name)? else { continue };
                    if !texts.iter().all(|text| is_plain(text)) {
                        return Err(wrong(name));
                    }
                    self.kept.insert((*name).to_owned(), texts.into());
                }
                Shape::HumanUrl => self.in_every_language(name, is_web_url)?,
                Shape::Ruled if *name == "client_name" => self.in_every_language(name, is_plain)?,
                Shape::Ruled | Shape::OursAlone => {}
            }
        }
        Ok(())
    }

    fn in_every_language(
        &mut self,
        name: &'static str,
        is_good: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let spoken = |key: &&String| {
            let rest = key.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
        };
        let keys: Vec<String> = self.said.keys().filter(spoken).cloned().collect();
        if keys.len() > LIST_MAX {
            return Err(wrong(name));
        }
        for key in keys {
            let language = key.split_once('#').map(|(_, language)| language);
            let Some(value) = self.take(&key) else { continue };
            if language.is_some_and(|language| !is_language(language))
                || !value.as_str().is_some_and(&is_good)
            {
                return Err(wrong(name));
            }
            self.kept.insert(key, value);
        }
        Ok(())
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

fn is_web_url(text: &str) -> bool {
    text.len() <= URL_BYTES_MAX
        && !text.chars().any(|letter| letter.is_control() || letter == ' ')
        && Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

fn is_language(tag: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !tag.is_empty() && tag.len() <= LANGUAGE_BYTES_MAX && tag.bytes().all(allowed)
}
